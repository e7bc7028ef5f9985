package nftables

import (
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// mustLook looks, and checks that this changed nothing.
func mustLook(t *testing.T, p Plan) *Ruleset {
	t.Helper()
	g := generation(t)
	found, err := Look(p)
	if err != nil {
		t.Fatal(err)
	}
	if generation(t) != g {
		t.Error("the ruleset was changed")
	}
	return found
}

// Look finds what a run would do and read, and what else bears on it.
func TestLook(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		p := plan(state.Sets)
		p.Clients = nil
		found := mustLook(t, p)
		want := []string{"table inet network_metrics", "set client_tx", "set client_rx", "set client_tx6", "set client_rx6",
			"chain sent", "chain received", "chain CLIENT_TRAFFIC", "rules of chain sent", "rules of chain received", "rules of chain CLIENT_TRAFFIC"}
		if diff := gocmp.Diff(want, found.Missing); diff != "" || found.Accounting != nil || found.Fault != errNoChain {
			t.Errorf("of nothing: %+v (-want +got):\n%s", found, diff)
		}

		mustAccount(t, p)
		fill(t, "client_tx", 0, 2048)
		lab.Nft(t, `
			table inet filter {
				chain CLIENT_TRAFFIC {
					ip saddr 192.168.10.7 counter comment "tx_192.168.10.7"
					ip daddr 192.168.10.7 comment "rx_192.168.10.7"
					counter comment "all"
				}
				chain forward {
					type filter hook forward priority filter
					ip saddr 192.168.10.8 counter comment "tx_192.168.10.8"
					jump CLIENT_TRAFFIC
				}
			}
			table ip asleep { flags dormant; chain f { type filter hook forward priority -5; }; }
			table bridge b { chain f { type filter hook forward priority -7; }; }`)
		found = mustLook(t, p)
		filter := Table{"inet", "filter"}
		wanted := &Ruleset{
			Owners: []Owner{tester},
			Sets:   []SetUse{{"client_tx", 2048, 2048}, {"client_rx", 0, 2048}, {"client_tx6", 0, 2048}, {"client_rx6", 0, 2048}},
			Jumps:  []Jump{{Chain: "forward"}},
			Rules: []RuleUse{
				{filter, "CLIENT_TRAFFIC", "tx_192.168.10.7", true, true},
				{filter, "CLIENT_TRAFFIC", "rx_192.168.10.7", true, false},
				{filter, "CLIENT_TRAFFIC", "all", false, true},
				{filter, "forward", "tx_192.168.10.8", true, true},
			},
			BaseChains: []BaseChain{{Table{"ip", "asleep"}, "f", -5}, {filter, "forward", 0}, {Table{"inet", ownTable}, trafficChain, 300}},
			Dormant:    []Table{{"ip", "asleep"}},
		}
		ignored := gocmp.Options{cmpopts.IgnoreFields(Ruleset{}, "Accounting"), cmpopts.IgnoreUnexported(Jump{})}
		if diff := gocmp.Diff(wanted, found, ignored); diff != "" {
			t.Errorf("ruleset (-want +got):\n%s", diff)
		}
		if a := found.Accounting; a == nil || a.Layout != state.Sets || !a.Full || len(counted(a)) != 2048 {
			t.Errorf("accounting in %s with %d counters, full: %t", a.Layout, len(counted(a)), a.Full)
		}
		if found := mustLook(t, plan(state.Flows)); found.Conntrack || len(found.Missing) != 1 || found.Accounting.Layout != state.Sets {
			t.Errorf("of flows: %+v", found)
		}

		// Of a layout that is not in place, the other one counts.
		if found := mustLook(t, plan(state.Rules)); found.Accounting == nil || found.Accounting.Layout != state.Rules || len(found.Missing) == 0 {
			t.Errorf("of rules: %+v", found)
		}
		lab.Nft(t, "delete table inet network_metrics")
		if found := mustLook(t, p); found.Accounting == nil || found.Accounting.Layout != state.Rules || len(found.Missing) == 0 {
			t.Errorf("of sets: %+v", found)
		}
		lab.Nft(t, "add table inet network_metrics\nadd chain inet network_metrics other")
		if found := mustLook(t, p); found.Fault == nil || len(found.Missing) > 0 {
			t.Errorf("of somebody else's table: %+v", found)
		}
		mustAccount(t, plan(state.Rules))
		if found := mustLook(t, plan(state.Rules)); len(found.Missing) > 0 || found.Fault != nil {
			t.Errorf("of rules in place: %+v", found)
		}
	})
}

// What tracks connections, in the words of nft(8) and of iptables-nft.
func TestLookForConntrack(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		for rule, want := range map[string]bool{
			"chain f { type filter hook forward priority 0; accept; }":                           false,
			"chain f { type filter hook forward priority 0; ct state established accept; }":      true,
			"chain f { type filter hook forward priority 0; ct state vmap { invalid : drop }; }": true,
			"chain f { type filter hook forward priority 0; ct mark 1 counter; }":                true,
			"chain f { type nat hook postrouting priority 100; oifname wan masquerade; }":        true,
			"chain f { type nat hook prerouting priority -100; tcp dport 80 dnat to 10.0.0.1; }": true,
			"chain f { type filter hook prerouting priority raw; udp dport 53 notrack; }":        false,
		} {
			load(t, "table ip t {\n"+rule+"\n}")
			if found := mustLook(t, plan(state.Sets)); found.Conntrack != want {
				t.Errorf("%s: %t, want %t", rule, found.Conntrack, want)
			}
		}
		load(t, "")
		mustAccount(t, plan(state.Flows))
		if found := mustLook(t, plan(state.Flows)); !found.Conntrack || len(found.Missing) > 0 {
			t.Errorf("flows: %+v", found)
		}
	})
}

// While the ruleset does not come to rest Look says so.
func TestLookAtChangingRuleset(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		mustAccount(t, plan(state.Sets))
		change := func() { lab.Nft(t, "add table ip x\ndelete table ip x") }
		if found, err := look(interfering{connect(t), change}, plan(state.Sets)); found != nil || err == nil {
			t.Errorf("got %+v, %v", found, err)
		}
		changes := 2
		found, err := look(interfering{connect(t), func() {
			if changes--; changes >= 0 {
				change()
			}
		}}, plan(state.Sets))
		if err != nil || found.Accounting == nil || slices.Contains(found.Missing, "set client_tx") {
			t.Errorf("got %+v, %v", found, err)
		}
	})
}
