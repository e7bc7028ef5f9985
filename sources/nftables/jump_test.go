package nftables

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// Wherever packets that are forwarded come to the chain already, no jump is added,
// and ours is taken away; where they do not, ours is there. What Look finds is the
// same.
func TestJumps(t *testing.T) {
	t.Parallel()
	const hook = "type filter hook forward priority filter;"
	tests := []struct {
		name, filter string
		want         []Jump // of others
	}{
		{"none", "", nil},
		{"base chain of another name", "chain FORWARD { " + hook + " jump CLIENT_TRAFFIC; }", []Jump{{Chain: "FORWARD"}}},
		{"goto, late", "chain f { " + hook + " iifname x accept; goto CLIENT_TRAFFIC; }", []Jump{{Chain: "f", Late: true}}},
		{"behind drop and counter", "chain f { " + hook + " iifname x counter drop; counter; jump CLIENT_TRAFFIC; }", []Jump{{Chain: "f"}}},
		{"by way of another chain", "chain lan { jump CLIENT_TRAFFIC; }\nchain f { " + hook + " iifname x jump lan; }", []Jump{{Chain: "lan"}}},
		{"late, by way of another chain", "chain lan { jump CLIENT_TRAFFIC; }\nchain f { " + hook + " ct state established accept; jump lan; }", []Jump{{Chain: "lan", Late: true}}},
		{"verdict map", "chain f { " + hook + " iifname vmap { lan : jump CLIENT_TRAFFIC, wan : drop }; }", []Jump{{Chain: "f", Map: "__map0"}}},
		{"named verdict map", "map m { type ifname : verdict; elements = { lan : goto CLIENT_TRAFFIC }; }\nchain f { " + hook + " iifname vmap @m; }", []Jump{{Chain: "f", Map: "m"}}},
		{"verdict map to another chain", "chain lan { jump CLIENT_TRAFFIC; }\nchain f { " + hook + " meta nfproto vmap { ipv4 : jump lan }; }", []Jump{{Chain: "lan"}}},
		{"twice", "chain f { " + hook + " jump CLIENT_TRAFFIC; }\nchain g { " + hook + " accept; jump CLIENT_TRAFFIC; }", []Jump{{Chain: "f"}, {Chain: "g", Late: true}}},
		{"base chain of the very name", "chain CLIENT_TRAFFIC { " + hook + " }", nil},
		{"of another hook", "chain f { type filter hook input priority filter; jump CLIENT_TRAFFIC; }", nil},
		{"of nobody", "chain lan { jump CLIENT_TRAFFIC; }", nil},
		{"by way of nobody's chain", "chain lan { jump CLIENT_TRAFFIC; }\nchain other { jump lan; }", nil},
		{"of a map that nobody uses", "map m { type ifname : verdict; elements = { lan : jump CLIENT_TRAFFIC }; }", nil},
	}
	lab.Namespace(t, func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				ruleset := "table inet filter {\n"
				if !strings.Contains(tt.filter, "chain CLIENT_TRAFFIC") {
					ruleset += "chain CLIENT_TRAFFIC { }\n"
				}
				load(t, ruleset+tt.filter+"\n}")
				before := listing(t)
				p := plan(state.Rules)
				for range 2 { // the second time with our rules there
					mustAccount(t, p)
					still(t, p)
					ours := strings.Count(listing(t), `jump CLIENT_TRAFFIC comment "network-metrics-exporter `)
					own := 0
					if len(tt.want) == 0 && tt.name != "base chain of the very name" {
						own = 1
					}
					if ours != own {
						t.Errorf("%d jumps of ours, want %d, in\n%s", ours, own, listing(t))
					}
					found, err := Look(p)
					if err != nil || len(found.Missing) > 0 || found.Fault != nil {
						t.Errorf("found %+v, %v", found, err)
					}
					want := tt.want
					if own == 1 {
						want = append(want, Jump{Chain: "forward", Ours: true})
					}
					if diff := gocmp.Diff(want, found.Jumps, cmpopts.IgnoreUnexported(Jump{})); diff != "" {
						t.Errorf("jumps (-want +got):\n%s", diff)
					}
				}
				// Ours where none is needed any more is taken away.
				if len(tt.want) > 0 {
					lab.Nft(t, `add chain inet filter forward { `+hook+` }
						insert rule inet filter forward jump CLIENT_TRAFFIC comment "network-metrics-exporter"`)
					mustAccount(t, p)
					if strings.Contains(listing(t), `jump CLIENT_TRAFFIC comment "network`) {
						t.Errorf("two jumps:\n%s", listing(t))
					}
					lab.Nft(t, "delete chain inet filter forward")
				}
				if err := Teardown(); err != nil {
					t.Fatal(err)
				}
				after := strings.ReplaceAll(listing(t), "\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n\n", "")
				if diff := gocmp.Diff(sorted(before), sorted(after)); diff != "" {
					t.Errorf("ruleset (-before +after teardown):\n%s", diff)
				}
			})
		}
	})
}

// Real packets count once, whoever leads them to the chain.
func TestJumpOfOthersCountsOnce(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Nft(t, `
			table inet filter {
				chain CLIENT_TRAFFIC { }
				chain FORWARD {
					type filter hook forward priority filter - 5
					meta nfproto vmap { ipv4 : jump CLIENT_TRAFFIC, ipv6 : jump CLIENT_TRAFFIC }
				}
			}`)
		p := plan(state.Rules)
		mustAccount(t, p)
		want := converse(t, r.Server, r.Clients()...)
		if diff := gocmp.Diff(want, counted(mustAccount(t, p)), alike); diff != "" {
			t.Errorf("counters (-want +got):\n%s", diff)
		}
	})
}

// Rules are for so many clients and no more, those that have some first, then the
// most important; a rule that a client lacks is added whatever the limit.
func TestMaxClients(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		p := plan(state.Rules)
		p.MaxClients = 2
		rules := func() int {
			return strings.Count(listing(t), `_fd00:10::10`) + strings.Count(listing(t), `_192.168.10.10`)
		}
		for range 2 {
			if a := mustAccount(t, p); !a.Full || len(a.Counters) != 4 || rules() != 4 {
				t.Errorf("%d counters, %d rules, full: %t", len(a.Counters), rules(), a.Full)
			}
			still(t, p)
		}
		lab.Nft(t, "delete rule inet filter CLIENT_TRAFFIC handle "+handleOf(t, "rx_192.168.10.100"))
		p.Clients = p.Clients[2:]
		p.Clients = append(p.Clients, plan(state.Rules).Clients[0])
		if a := mustAccount(t, p); !a.Full || len(a.Counters) != 4 {
			t.Errorf("%d counters, full: %t", len(a.Counters), a.Full)
		}
		p.Clients = p.Clients[len(p.Clients)-1:]
		if a := mustAccount(t, p); a.Full {
			t.Error("full, though everybody has rules")
		}

		// So are elements that the program adds.
		p = plan(state.Sets)
		p.MaxClients = 2
		if a := mustAccount(t, p); a.Full || len(a.Counters)-strays(a) != 4 {
			t.Errorf("%+v", a)
		}
	})
}

// handleOf returns the handle of the rule with that comment.
func handleOf(t *testing.T, comment string) string {
	t.Helper()
	for line := range strings.SplitSeq(lab.Command(t, "nft", "--handle", "list", "ruleset"), "\n") {
		if strings.Contains(line, `"`+comment+`"`) {
			return line[strings.LastIndex(line, " ")+1:]
		}
	}
	t.Fatalf("no rule %s", comment)
	return ""
}
