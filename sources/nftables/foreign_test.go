package nftables

import (
	"errors"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

const setsByHand = `
	set client_tx { type ipv4_addr; size 65535; flags dynamic; }
	set client_rx { type ipv4_addr; size 100; flags dynamic; }
	set client_tx6 { type ipv6_addr; size 65535; flags dynamic; }`

// A table of our name that is made otherwise is reported and left alone.
func TestForeignTable(t *testing.T) {
	t.Parallel()
	const prefix, suffix = "table inet network_metrics is not as this program makes it: ",
		"; rename or delete it, or choose another --accounting"
	const mine, unmarked = `comment "network-metrics-exporter";`, " in it, and no comment network-metrics-exporter"
	tests := []struct{ name, table, want string }{
		{"chain", "chain other { }", "chain other" + unmarked},
		{"several", "chain d { }\nchain c { }\nchain b { }\nchain e { }\nset a { type mark; }", "chain b" + unmarked},
		{"set", setsByHand + "\nset clients { type ipv4_addr; }", "set clients" + unmarked},
		{"counter", "counter c { }", "an object that is neither chain nor set" + unmarked},
		{"hook", "chain CLIENT_TRAFFIC { type filter hook input priority 300; }", "chain CLIENT_TRAFFIC is not of type filter, hook forward, priority 300"},
		{"priority", "chain CLIENT_TRAFFIC { type filter hook forward priority 0; }", "chain CLIENT_TRAFFIC is not of type filter, hook forward, priority 300"},
		{"no hook", "chain CLIENT_TRAFFIC { }", "chain CLIENT_TRAFFIC is not of type filter, hook forward, priority 300"},
		{"key", "set client_rx6 { type ipv4_addr; flags dynamic; }", "set client_rx6 is not of type ipv6_addr with only the flag dynamic"},
		{"flags", "set client_tx { type ipv4_addr; flags dynamic,timeout; }", "set client_tx is not of type ipv4_addr with only the flag dynamic"},
		{"chain that is none to be jumped to", "chain sent { type filter hook forward priority 0; }", "chain sent is a base chain"},
		{"set of networks", "set networks { type ipv4_addr; }", "set networks is not of type ipv4_addr with only the flag interval"},
		{"hook, though marked", mine + "chain CLIENT_TRAFFIC { type filter hook input priority 300; }", "chain CLIENT_TRAFFIC is not of type filter, hook forward, priority 300"},
		{"key, though marked", mine + "set client_tx { type inet_service; flags dynamic; }", "set client_tx is not of type ipv4_addr with only the flag dynamic"},
	}
	lab.Namespace(t, func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				load(t, "table inet network_metrics {\n"+tt.table+"\n}")
				before, g := listing(t), generation(t)
				a, err := Account(plan(state.Sets))
				if err == nil || err.Error() != prefix+tt.want+suffix || a != nil {
					t.Errorf("got %+v, error %v, want %s", a, err, prefix+tt.want+suffix)
				}
				if generation(t) != g {
					t.Errorf("the ruleset was changed (-before +after):\n%s", gocmp.Diff(before, listing(t)))
				}
				if strings.Contains(tt.table, mine) {
					return
				}
				mustAccount(t, plan(state.Rules))
				if err := Teardown(); err != nil {
					t.Error(err)
				}
				if diff := gocmp.Diff(before, listing(t)); diff != "" {
					t.Errorf("ruleset after rules and teardown (-before +after):\n%s", diff)
				}
			})
		}
		// A rule's number is not foreseen.
		load(t, "table inet network_metrics {\nchain CLIENT_TRAFFIC { type filter hook forward priority 300; counter; }; }")
		if _, err := Account(plan(state.Sets)); err == nil || !strings.HasPrefix(err.Error(), prefix+"a rule with handle ") {
			t.Errorf("foreign rule: got error %v", err)
		}
	})
}

// A table without our name that has nothing but what we make, as one from before
// Linux 5.10, is ours.
func TestUnmarkedTable(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		for name, table := range map[string]string{
			"empty": "",
			"sets":  setsByHand,
			"whole": strings.ReplaceAll(ownListing[strings.Index(ownListing, "{")+1:strings.LastIndex(ownListing, "}")], "\tcomment \"network-metrics-exporter\"\n", ""),
		} {
			t.Run(name, func(t *testing.T) {
				load(t, "table inet network_metrics {\n"+table+"\n}")
				mustAccount(t, plan(state.Sets))
				still(t, plan(state.Sets))
				if got := strings.Count(listing(t), "add @client_"); got != 4 {
					t.Errorf("%d rules, want 4", got)
				}
				if err := Teardown(); err != nil {
					t.Error(err)
				}
				if got := listing(t); got != "" {
					t.Errorf("left after teardown:\n%s", got)
				}
			})
		}
	})
}

// What somebody added to our table disturbs nothing and outlives us.
func TestGuestsInOurTable(t *testing.T) {
	t.Parallel()
	const guests = `
		add set inet network_metrics guests { type ipv4_addr; }
		add counter inet network_metrics c
		add chain inet network_metrics other
		add rule inet network_metrics other ip saddr @guests counter
		insert rule inet network_metrics CLIENT_TRAFFIC ip saddr { 192.168.10.1, 192.168.10.2 } counter name c`
	lab.Namespace(t, func(t *testing.T) {
		lab.Nft(t, "flush ruleset")
		mustAccount(t, plan(state.Sets))
		lab.Nft(t, guests)
		still(t, plan(state.Sets))

		other := plan(state.Sets)
		other.Interfaces = []string{"lan0", "lan1"}
		mustAccount(t, other)
		still(t, other)
		if got := listing(t); strings.Count(got, "add @client_") != 4 || !strings.Contains(got, `iifname { "lan0", "lan1" }`) && !strings.Contains(got, `iifname { "lan1", "lan0" }`) {
			t.Errorf("after the interfaces changed:\n%s", got)
		}

		if err := Teardown(); err != nil {
			t.Fatal(err)
		}
		const want = `table inet network_metrics {
	comment "network-metrics-exporter"
	counter c {
	}

	set guests {
		type ipv4_addr
	}

	chain CLIENT_TRAFFIC {
		comment "network-metrics-exporter"
		type filter hook forward priority 300; policy accept;
		ip saddr { 192.168.10.1, 192.168.10.2 } counter name "c"
	}

	chain other {
		ip saddr @guests counter
	}
}
`
		if diff := gocmp.Diff(want, listing(t)); diff != "" {
			t.Errorf("ruleset after teardown (-want +got):\n%s", diff)
		}
	})
}

// A set that somebody else's rule reads cannot be taken away: nothing is, and that
// is said.
func TestOurSetInUse(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		mustAccount(t, plan(state.Sets))
		lab.Nft(t, "add chain inet network_metrics other\nadd rule inet network_metrics other ip saddr @client_tx counter")
		before := listing(t)
		err := Teardown()
		if !errors.Is(err, unix.EBUSY) || !strings.HasSuffix(err.Error(), "(nft list table inet network_metrics)") {
			t.Errorf("got error %v", err)
		}
		if diff := gocmp.Diff(before, listing(t)); diff != "" {
			t.Errorf("ruleset (-before +after):\n%s", diff)
		}
	})
}

// In the filter table of somebody else there is never anything twice, and ours is
// the first rule of forward unless there is another jump.
func TestRulesBesideOthers(t *testing.T) {
	t.Parallel()
	const jump = `jump CLIENT_TRAFFIC comment "network-metrics-exporter 0123456789abcdef /var/lib/network-metrics-exporter"`
	tests := []struct {
		name, before, change string
		first                string // rule of forward, afterwards
	}{
		{"jump pushed down", firewall, `insert rule inet filter forward iifname "br-lan" counter`, jump},
		{"jump twice", firewall, `add rule inet filter forward ` + jump, jump},
		{"jump deleted, another behind", firewall, "flush chain inet filter forward\nadd rule inet filter forward accept", jump},
		{"jump by hand beside ours", firewall, `add rule inet filter forward iifname "br-lan" jump CLIENT_TRAFFIC`, "ct state established,related accept"},
		{"goto by hand beside ours", firewall, `add rule inet filter forward goto CLIENT_TRAFFIC`, "ct state established,related accept"},
		{"jump by hand", byHand, "", "jump CLIENT_TRAFFIC"},
		{"chain by hand", chainByHand, "", jump},
	}
	lab.Namespace(t, func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				load(t, tt.before)
				mustAccount(t, plan(state.Rules))
				lab.Nft(t, tt.change)
				a := mustAccount(t, plan(state.Rules))
				still(t, plan(state.Rules))
				got := listing(t)
				_, forward, _ := strings.Cut(got, "policy drop;\n")
				forward, _, _ = strings.Cut(forward, "}")
				first, _, _ := strings.Cut(forward, "\n")
				if strings.TrimSpace(first) != tt.first {
					t.Errorf("the first rule of forward is %s, want %s", first, tt.first)
				}
				if n := strings.Count(forward, "CLIENT_TRAFFIC"); n != 1 {
					t.Errorf("%d jumps, want 1, in\n%s", n, got)
				}
				for _, addr := range plan(state.Rules).Clients {
					for _, d := range []state.Direction{state.Rx, state.Tx} {
						if n := strings.Count(got, `"`+clientComment(addr, d)+`"`); n != 1 {
							t.Errorf("%d rules of %v %v, want 1", n, addr, d)
						}
					}
				}
				// byHand has one of the twelve, and one of another address.
				if want := 12 + strings.Count(tt.before, "rx_192.168.10.9"); len(a.Counters) != want {
					t.Errorf("%d counters, want %d", len(a.Counters), want)
				}
			})
		}
	})
}

// What somebody added to the filter table that we made, and what holds it, outlive
// us.
func TestGuestsInOurFilterTable(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		for name, tt := range map[string]struct{ guests, want string }{
			"set": {
				"add set inet filter admins { type ipv4_addr; }",
				`table inet filter {
	comment "network-metrics-exporter"
	set admins {
		type ipv4_addr
	}
}
`},
			"rule of forward": {
				`add rule inet filter forward iifname "br-lan" accept`,
				`table inet filter {
	comment "network-metrics-exporter"
	chain forward {
		comment "network-metrics-exporter"
		type filter hook forward priority filter; policy accept;
		iifname "br-lan" accept
	}
}
`},
			"rule of the traffic chain": {
				"add rule inet filter CLIENT_TRAFFIC counter",
				`table inet filter {
	comment "network-metrics-exporter"
	chain CLIENT_TRAFFIC {
		comment "network-metrics-exporter"
		counter
	}
}
`},
			"jump from elsewhere": {
				"add chain inet filter output\nadd rule inet filter output jump CLIENT_TRAFFIC",
				`table inet filter {
	comment "network-metrics-exporter"
	chain CLIENT_TRAFFIC {
		comment "network-metrics-exporter"
	}

	chain output {
		jump CLIENT_TRAFFIC
	}
}
`},
		} {
			t.Run(name, func(t *testing.T) {
				load(t, "")
				mustAccount(t, plan(state.Rules))
				lab.Nft(t, tt.guests)
				still(t, plan(state.Rules))
				if err := Teardown(); err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(tt.want, listing(t)); diff != "" {
					t.Errorf("ruleset after teardown (-want +got):\n%s", diff)
				}
			})
		}
	})
}
