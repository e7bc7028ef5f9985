package nftables

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// plan counts the lab's clients, all of them.
func plan(layout state.Layout) Plan {
	p := Plan{
		Layout:     layout,
		Interfaces: []string{"br-lan"},
		Networks:   []netip.Prefix{netip.MustParsePrefix("192.168.10.0/24"), netip.MustParsePrefix("fd00:10::/64")},
		MaxClients: 1024,
		Owner:      tester,
	}
	for i := range 3 {
		p.Clients = append(p.Clients,
			netip.MustParseAddr(fmt.Sprintf("192.168.10.10%d", i)),
			netip.MustParseAddr(fmt.Sprintf("fd00:10::10%d", i)))
	}
	return p
}

func mustAccount(t *testing.T, p Plan) *state.Accounting {
	t.Helper()
	a, err := Account(p)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// generation is that of the ruleset: any change adds to it.
func generation(t *testing.T) uint32 {
	t.Helper()
	g, err := readGeneration(connect(t))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// listing is the ruleset as nft(8) lists it, without counts.
func listing(t *testing.T) string {
	t.Helper()
	return lab.Command(t, "nft", "--stateless", "list", "ruleset")
}

// sorted is the listing without the order in which things were made.
func sorted(listing string) []string { return slices.Sorted(strings.SplitSeq(listing, "\n")) }

// tester is the instance whose plans these are.
var tester = Owner{ID: "0123456789abcdef", Path: "/var/lib/network-metrics-exporter"}

const ownListing = `table inet network_metrics {
	comment "network-metrics-exporter"
	set client_tx {
		type ipv4_addr
		size 2048
		flags dynamic
		elements = { 192.168.10.100 counter }
	}

	set client_rx {
		type ipv4_addr
		size 2048
		flags dynamic
		elements = { 192.168.10.100 counter }
	}

	set client_tx6 {
		type ipv6_addr
		size 2048
		flags dynamic
		elements = { fd00:10::100 counter }
	}

	set client_rx6 {
		type ipv6_addr
		size 2048
		flags dynamic
		elements = { fd00:10::100 counter }
	}

	chain sent {
		comment "network-metrics-exporter"
		ip saddr 192.168.10.0/24 add @client_tx { ip saddr counter } return comment "network-metrics-exporter tx ip 192.168.10.0/24"
		ip6 saddr fd00:10::/64 add @client_tx6 { ip6 saddr counter } return comment "network-metrics-exporter tx ip6 fd00:10::/64"
		ip saddr 192.168.10.0/24 counter comment "network-metrics-exporter other tx ip 192.168.10.0/24"
		ip6 saddr fd00:10::/64 counter comment "network-metrics-exporter other tx ip6 fd00:10::/64"
	}

	chain received {
		comment "network-metrics-exporter"
		ip daddr 192.168.10.0/24 ip daddr != @client_tx counter return comment "network-metrics-exporter silent rx ip 192.168.10.0/24"
		ip daddr 192.168.10.0/24 add @client_rx { ip daddr counter } return comment "network-metrics-exporter rx ip 192.168.10.0/24"
		ip6 daddr fd00:10::/64 ip6 daddr != @client_tx6 counter return comment "network-metrics-exporter silent rx ip6 fd00:10::/64"
		ip6 daddr fd00:10::/64 add @client_rx6 { ip6 daddr counter } return comment "network-metrics-exporter rx ip6 fd00:10::/64"
		ip daddr 192.168.10.0/24 counter comment "network-metrics-exporter other rx ip 192.168.10.0/24"
		ip6 daddr fd00:10::/64 counter comment "network-metrics-exporter other rx ip6 fd00:10::/64"
	}

	chain CLIENT_TRAFFIC {
		comment "network-metrics-exporter"
		type filter hook forward priority 300; policy accept;
		iifname "br-lan" jump sent comment "network-metrics-exporter 0123456789abcdef tx br-lan /var/lib/network-metrics-exporter"
		oifname "br-lan" jump received comment "network-metrics-exporter 0123456789abcdef rx br-lan /var/lib/network-metrics-exporter"
	}
}
`

// flowsListing is ownListing, but for what conntrack counts.
var flowsListing = strings.Replace(ownListing, "policy accept;\n", `policy accept;
		meta l4proto { tcp, udp } ct state established,related,new return comment "network-metrics-exporter 0123456789abcdef tracked /var/lib/network-metrics-exporter"
`, 1)

const filterListing = `table inet filter {
	comment "network-metrics-exporter"
	chain CLIENT_TRAFFIC {
		comment "network-metrics-exporter"
		ip saddr 192.168.10.100 counter comment "tx_192.168.10.100"
		ip daddr 192.168.10.100 counter comment "rx_192.168.10.100"
		ip6 saddr fd00:10::100 counter comment "tx_fd00:10::100"
		ip6 daddr fd00:10::100 counter comment "rx_fd00:10::100"
	}

	chain forward {
		comment "network-metrics-exporter"
		type filter hook forward priority filter; policy accept;
		jump CLIENT_TRAFFIC comment "network-metrics-exporter 0123456789abcdef /var/lib/network-metrics-exporter"
	}
}
`

// What is made looks as if a person had written it, is made at once, and a
// second run finds nothing to do. What nft(8) saved of it and loads again is still
// ours.
func TestAccountListing(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		for layout, want := range map[state.Layout]string{state.Sets: ownListing, state.Flows: flowsListing, state.Rules: filterListing} {
			t.Run(string(layout), func(t *testing.T) {
				p := plan(layout)
				p.Clients = p.Clients[:2]
				lab.Nft(t, "flush ruleset")
				before := generation(t)
				a := mustAccount(t, p)
				if after := generation(t); after != before+1 {
					t.Errorf("%d transactions, want 1", after-before)
				}
				if a.Layout != layout || a.Full || a.Flowtable != state.NoFlowtable {
					t.Errorf("got %+v", a)
				}
				if diff := gocmp.Diff(want, listing(t)); diff != "" {
					t.Errorf("ruleset (-want +got):\n%s", diff)
				}
				still(t, p)
				lab.Nft(t, "flush ruleset\n"+lab.Command(t, "nft", "list", "ruleset"))
				still(t, p)
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

// still checks that a run changes nothing.
func still(t *testing.T, p Plan) {
	t.Helper()
	before := generation(t)
	mustAccount(t, p)
	if after := generation(t); after != before {
		t.Errorf("%d transactions with nothing to do", after-before)
	}
}

// Whatever single thing is taken away, the next run puts it back, and the one
// after that finds nothing to do.
func TestAccountHeals(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		for _, layout := range []state.Layout{state.Sets, state.Flows, state.Rules} {
			lab.Nft(t, "flush ruleset")
			mustAccount(t, plan(layout))
			for name, damage := range damages(t, layout) {
				t.Run(string(layout)+" "+name, func(t *testing.T) {
					lab.Nft(t, "flush ruleset")
					mustAccount(t, plan(layout))
					want := listing(t)
					lab.Nft(t, damage)
					if listing(t) == want {
						t.Fatal("nothing is missing")
					}
					mustAccount(t, plan(layout))
					if diff := gocmp.Diff(sorted(want), sorted(listing(t))); diff != "" {
						t.Errorf("after %s (-before +healed):\n%s", damage, diff)
					}
					still(t, plan(layout))
				})
			}
		}
	})
}

// damages gives commands that take away one thing each of the ruleset that is
// there, a fresh one's handles being always the same.
func damages(t *testing.T, layout state.Layout) map[string]string {
	list := map[string]string{"ruleset": "flush ruleset"}
	table, free := ownTable, ""
	for _, name := range []string{trafficChain, sentChain, receivedChain} {
		free += "flush chain inet network_metrics " + name + "\n"
	}
	if layout == state.Rules {
		table, free = filterTable, "flush chain inet filter forward\n"
	}
	list["table"] = "delete table inet " + table
	if layout != state.Rules {
		list["table at work"] = "add table inet " + table + " { flags dormant; }"
	}
	chain := ""
	for line := range strings.SplitSeq(lab.Command(t, "nft", "--handle", "list", "table", "inet", table), "\n") {
		handle := regexp.MustCompile(`# handle (\d+)$`).FindStringSubmatch(line)
		words := strings.Fields(line)
		switch {
		case handle == nil || words[0] == "table":
		case words[0] == "set":
			list["set "+words[1]] = free + "delete set inet " + table + " " + words[1]
		case words[0] == "chain":
			chain = words[1]
			list["chain "+chain] = free + "delete chain inet " + table + " " + chain
			list["rules of chain "+chain] = "flush chain inet " + table + " " + chain
		default:
			list["rule "+chain+" "+line] = "delete rule inet " + table + " " + chain + " handle " + handle[1]
		}
	}
	if want := map[state.Layout]int{state.Sets: 3 + 4 + 2*3 + 12, state.Flows: 3 + 4 + 2*3 + 13, state.Rules: 2 + 2*2 + 12 + 1}[layout]; len(list) != want {
		t.Fatalf("%d things to take away, want %d: %v", len(list), want, list)
	}
	return list
}

const (
	firewall = `table inet filter {
	set admins {
		type ipv4_addr
		elements = { 192.168.10.2 }
	}

	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		iifname "br-lan" accept
	}
}
`
	byHand = `table inet filter {
	chain CLIENT_TRAFFIC {
		ip saddr 192.168.10.100 counter comment "tx_192.168.10.100"
		ip daddr 192.168.10.9 counter comment "rx_192.168.10.9"
	}

	chain forward {
		type filter hook forward priority filter; policy drop;
		jump CLIENT_TRAFFIC
		iifname "br-lan" accept
	}
}
`
	chainByHand = `table inet filter {
	chain CLIENT_TRAFFIC {
		ip saddr 192.168.10.100 counter comment "tx_192.168.10.100"
	}

	chain forward {
		type filter hook forward priority filter; policy drop;
		iifname "br-lan" accept
	}
}
`
	foreignTable = `table inet network_metrics {
	set client_tx {
		type ipv4_addr . inet_service
		size 65535
		flags dynamic
	}

	chain other {
	}
}
`
	others = `table ip filter {
	chain CLIENT_TRAFFIC {
		counter comment "tx_192.168.10.100"
	}
}
table ip6 network_metrics {
	chain CLIENT_TRAFFIC {
	}
}
`
)

// After teardown the ruleset is as it was before the first run.
func TestTeardown(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		for name, ruleset := range map[string]string{
			"nothing":                        "",
			"empty filter table":             "table inet filter {\n}\n",
			"firewall":                       firewall,
			"chain, jump and rules by hand":  byHand,
			"chain and rule by hand":         chainByHand,
			"tables of other families":       others,
			"firewall and others":            firewall + others,
			"somebody else's table, for off": foreignTable,
		} {
			for _, layouts := range [][]state.Layout{{state.Sets}, {state.Rules}, {state.Sets, state.Rules}, {state.Rules, state.Sets}, {state.Off}, {}} {
				if ruleset == foreignTable && slices.Contains(layouts, state.Sets) {
					continue // refused
				}
				t.Run(fmt.Sprint(name, layouts), func(t *testing.T) {
					load(t, ruleset)
					before := listing(t)
					if before != ruleset {
						t.Fatalf("loaded as:\n%s", before)
					}
					for _, layout := range layouts {
						a, err := Account(plan(layout))
						if layout == state.Off {
							continue
						}
						if err != nil {
							t.Fatal(err)
						}
						if a.Layout != layout {
							t.Errorf("layout %s, want %s", a.Layout, layout)
						}
						if listing(t) == before {
							t.Error("nothing was made")
						}
						still(t, plan(layout))
					}
					if err := Teardown(); err != nil {
						t.Fatal(err)
					}
					if diff := gocmp.Diff(before, listing(t)); diff != "" {
						t.Errorf("ruleset (-before +after teardown):\n%s", diff)
					}
					g := generation(t)
					if err := Teardown(); err != nil || generation(t) != g {
						t.Errorf("once more: %v, %d transactions", err, generation(t)-g)
					}
				})
			}
		}
	})
}

// Teardown also takes away what is left of what was made.
func TestTeardownOfParts(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		for _, layout := range []state.Layout{state.Sets, state.Flows, state.Rules} {
			lab.Nft(t, "flush ruleset")
			mustAccount(t, plan(layout))
			for name, damage := range damages(t, layout) {
				t.Run(string(layout)+" without "+name, func(t *testing.T) {
					lab.Nft(t, "flush ruleset")
					mustAccount(t, plan(layout))
					lab.Nft(t, damage)
					if err := Teardown(); err != nil {
						t.Error(err)
					}
					if got := listing(t); got != "" {
						t.Errorf("left:\n%s", got)
					}
				})
			}
		}
	})
}

// Off reads the rules, else the sets, whoever made them, and writes nothing.
func TestOff(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		mustAccount(t, plan(state.Sets))
		fill(t, "client_rx", 0, 3)
		check := func(layout state.Layout, want []state.Counter) {
			t.Helper()
			g := generation(t)
			a := mustAccount(t, plan(state.Off))
			if a.Layout != layout {
				t.Errorf("layout %s, want %s", a.Layout, layout)
			}
			got := slices.DeleteFunc(a.Counters, func(c state.Counter) bool { return layout == state.Sets && c.Packets+c.Bytes == 0 })
			if diff := gocmp.Diff(want, got, alike); diff != "" {
				t.Errorf("counters (-want +got):\n%s", diff)
			}
			if generation(t) != g {
				t.Error("the ruleset was changed")
			}
		}
		inSets := []state.Counter{rx("10.9.0.0", 0, 1000), rx("10.9.0.1", 1, 1001), rx("10.9.0.2", 2, 1002)}
		check(state.Sets, inSets)
		lab.Nft(t, "flush chain inet network_metrics CLIENT_TRAFFIC\nflush chain inet network_metrics sent\n"+
			"flush chain inet network_metrics received\ndelete set inet network_metrics client_tx")
		check(state.Sets, inSets)
		lab.Nft(t, byHand)
		check(state.Rules, []state.Counter{tx("192.168.10.100", 0, 0), rx("192.168.10.9", 0, 0)})
		load(t, foreignTable)
		if a, err := Account(plan(state.Off)); !errors.Is(err, errNoChain) || a != nil {
			t.Errorf("got %+v, %v, want %v", a, err, errNoChain)
		}
	})
}
