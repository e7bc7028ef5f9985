package nftables

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// guestPlan counts both LANs, the other one by a wildcard.
func guestPlan(layout state.Layout) Plan {
	p := plan(layout)
	p.Clients = nil
	p.Interfaces = append(p.Interfaces, "ppp*", "ppp7", "pppoe*")
	p.Networks = append(p.Networks, netip.MustParsePrefix("192.168.20.0/24"), netip.MustParsePrefix("fd00:20::/64"))
	return p
}

// mirrored returns what the other end counts of the same packets: what one sends
// the other one receives.
func mirrored(counters []state.Counter, client, peer *lab.Host) []state.Counter {
	var list []state.Counter
	for _, c := range counters {
		if c.Addr != client.IPv4 && c.Addr != client.IPv6 {
			continue
		}
		c.Direction = state.Rx + state.Tx - c.Direction
		if c.Addr.Is4() {
			c.Addr = peer.IPv4
		} else {
			c.Addr = peer.IPv6
		}
		list = append(list, c)
	}
	return list
}

// nonzero leaves out the counters that count nothing.
func nonzero(counters []state.Counter) []state.Counter {
	return counted(&state.Accounting{Counters: counters})
}

// What the networks exchange with each other counts for both ends, and once more
// as local traffic; nothing else does. An interface that several patterns match
// counts once.
func TestLocalTraffic(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		guest := r.AddGuest(t, "ppp7")
		p := guestPlan(state.Sets)
		if a := mustAccount(t, p); !a.LocalKnown {
			t.Error("local traffic is not known")
		}
		still(t, p)
		remote := converse(t, r.Server, r.Laptop, guest)
		local := converse(t, guest, r.Laptop, r.Phone)
		for _, h := range []*lab.Host{r.Laptop, r.Phone} {
			local = append(local, mirrored(local, h, guest)...)
		}
		a := mustAccount(t, p)
		if diff := gocmp.Diff(total(remote, local), counted(a), alike); diff != "" {
			t.Errorf("counters (-want +got):\n%s", diff)
		}
		if diff := gocmp.Diff(total(local), nonzero(a.Local), alike); diff != "" {
			t.Errorf("local (-want +got):\n%s", diff)
		}
		if !slices.IsSortedFunc(a.Counters, state.Counter.Compare) || !slices.IsSortedFunc(a.Local, state.Counter.Compare) {
			t.Error("not sorted")
		}

		// With them go the counters of local traffic.
		deleted, err := Forget(counted(a), a)
		if err != nil || len(deleted) != len(counted(a)) {
			t.Errorf("%d deleted, %v, want %d", len(deleted), err, len(counted(a)))
		}
		if a := mustAccount(t, p); len(counted(a))+len(nonzero(a.Local)) != 0 {
			t.Errorf("left: %+v", a)
		}
	})
}

// Where there is no place, local traffic is that of others; who never sent anything
// is counted among them.
func TestLocalTrafficOfOthers(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		guest := r.AddGuest(t, "ppp7")
		p := guestPlan(state.Sets)
		p.MaxClients = 1
		mustAccount(t, p)
		converse(t, r.Server, r.Laptop, r.Phone) // takes the two places
		before := mustAccount(t, p)
		local := converse(t, guest, r.Printer)
		want := moved(append(local, mirrored(local, r.Printer, guest)...))
		a := mustAccount(t, p)
		if diff := gocmp.Diff(counted(before), counted(a), alike); diff != "" {
			t.Errorf("counters (-before +after):\n%s", diff)
		}
		if got := otherTraffic(a.Counters); got != want {
			t.Errorf("others moved %+v, want %+v", got, want)
		}
		// Of the sets of local traffic there is room for who sent first.
		if got := moved(a.Local); got[state.Tx] != want[state.Tx] || got[state.Rx] != want[state.Rx] {
			t.Errorf("local traffic %+v, want %+v", got, want)
		}
		if !a.Full {
			t.Error("not full")
		}
	})
}

// A lone network on one interface has no rule for local traffic, two have; each
// family has its own.
func TestLocalRules(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			interfaces, networks string
			ipv4, ipv6           bool
		}{
			"one of each":        {"br-lan", "10.0.0.0/8 fd00::/64", false, false},
			"two interfaces":     {"br-lan lan2", "10.0.0.0/8 fd00::/64", true, true},
			"a wildcard":         {"br-*", "10.0.0.0/8 fd00::/64", true, true},
			"two IPv6 networks":  {"br-lan", "10.0.0.0/8 fd00::/64 2001:db8::/64", false, true},
			"two IPv4 networks":  {"br-lan", "10.0.0.0/8 192.168.0.0/16 fd00::/64", true, false},
			"one within another": {"br-lan", "10.0.0.0/8 10.1.0.0/16 fd00::/64", false, false},
			"the same, twice":    {"br-lan br-lan", "10.0.0.0/8 10.0.0.0/8 fd00::/64", false, false},
			"no IPv6":            {"br-lan lan2", "10.0.0.0/8", true, false},
		} {
			t.Run(name, func(t *testing.T) {
				lab.Nft(t, "flush ruleset")
				p := plan(state.Sets)
				p.Interfaces, p.Networks = strings.Fields(tt.interfaces), prefixes(tt.networks)
				mustAccount(t, p)
				still(t, p)
				got := listing(t)
				for set, want := range map[string]bool{"@local_tx ": tt.ipv4, "@local_rx ": tt.ipv4, "@local_tx6 ": tt.ipv6, "@local_rx6 ": tt.ipv6} {
					if strings.Contains(got, "add "+set) != want {
						t.Errorf("%s: want %t in\n%s", set, want, got)
					}
				}
				if err := Teardown(); err != nil || listing(t) != "" {
					t.Errorf("after teardown, %v:\n%s", err, listing(t))
				}
			})
		}
	})
}

// Networks that come and go take neither elements nor what others moved away.
func TestNetworksComeAndGo(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		one, two := plan(state.Sets), plan(state.Sets)
		one.Clients, one.MaxClients = nil, 1
		two.Clients, two.MaxClients = nil, 1
		two.Networks = append(two.Networks, netip.MustParsePrefix("192.168.30.0/24"), netip.MustParsePrefix("fd00:30::/64"))
		mustAccount(t, one)
		var want, got [2]state.Traffic
		for _, p := range []Plan{one, two, one} {
			for d, sum := range moved(converse(t, r.Server, r.Clients()...)) {
				want[d].Bytes += sum.Bytes
				want[d].Packets += sum.Packets
			}
			before := mustAccount(t, p)
			for d, sum := range otherTraffic(before.ReplacedCounters) {
				got[d].Bytes += sum.Bytes
				got[d].Packets += sum.Packets
			}
			still(t, p)
		}
		for d, sum := range moved(mustAccount(t, one).Counters) {
			got[d].Bytes += sum.Bytes
			got[d].Packets += sum.Packets
		}
		if got != want {
			t.Errorf("counted %+v, want %+v", got, want)
		}
	})
}
