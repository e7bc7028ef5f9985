package state

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// remembered compares names.
var remembered = cmpopts.EquateComparable(Bearer{}, Name{})

// TestMemory plays runs with names and without, from names that were there
// before to those that are there after, and looks at the last report.
func TestMemory(t *testing.T) {
	at := func(addr netip.Addr, mac MAC) NeighborEntry {
		return NeighborEntry{Addr: addr, MAC: mac, Interface: "br-lan", State: Reachable}
	}
	lease := func(addr netip.Addr, mac MAC, name string) Assignment {
		return Assignment{Addr: addr, MAC: mac, Name: name, Source: FromDHCP}
	}
	host := func(addr netip.Addr, name string) Assignment {
		return Assignment{Addr: addr, Name: name, Source: FromHosts}
	}
	answer := func(addr netip.Addr, name string) Assignment {
		return Assignment{Addr: addr, Name: name, Source: FromDNS}
	}
	type names = map[Bearer]Name
	type told struct {
		name   string
		source NameSource
	}
	var (
		elsewhere = netip.MustParseAddr("192.168.10.150")
		other6    = netip.MustParseAddr("fd00:10::1:100")
		lea       = names{{laptop, laptopMAC}: {"lea", FromDHCP}}
	)
	for _, test := range []struct {
		name   string
		before names
		steps  []step
		want   map[netip.Addr]told
		after  names
		kept   bool // the last run has nothing to write
	}{
		{
			name:   "a name outlives its lease",
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}, names: []Assignment{lease(laptop, laptopMAC, "lea")}}, {at: 2, lan: []NeighborEntry{at(laptop, laptopMAC)}}},
			want:   map[netip.Addr]told{laptop: {"lea", FromCache}},
			after:  lea,
			kept:   true,
			before: nil,
		},
		{
			name:   "known from the first run on",
			before: lea,
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}}},
			want:   map[netip.Addr]told{laptop: {"lea", FromCache}},
			after:  lea,
			kept:   true,
		},
		{
			name:   "a lease that says the same",
			before: lea,
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}, names: []Assignment{lease(laptop, laptopMAC, "lea")}}},
			want:   map[netip.Addr]told{laptop: {"lea", FromDHCP}},
			after:  lea,
			kept:   true,
		},
		{
			name:   "a lease that says otherwise",
			before: lea,
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}, names: []Assignment{lease(laptop, laptopMAC, "leo")}}},
			want:   map[netip.Addr]told{laptop: {"leo", FromDHCP}},
			after:  names{{laptop, laptopMAC}: {"leo", FromDHCP}},
		},
		{
			name:   "a hosts file that says otherwise",
			before: lea,
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}, names: []Assignment{lease(laptop, laptopMAC, "lea"), host(laptop, "hana")}}},
			want:   map[netip.Addr]told{laptop: {"hana", FromHosts}},
			after:  names{{laptop, laptopMAC}: {"hana", FromHosts}},
		},
		{
			name:   "an address that passes to another device",
			before: lea,
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}}, {at: 2, lan: []NeighborEntry{at(laptop, phoneMAC)}}},
			want:   map[netip.Addr]told{laptop: {Unknown, FromNone}},
			after:  lea,
			kept:   true,
		},
		{
			name:   "and back",
			before: lea,
			steps: []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}}, {at: 2, lan: []NeighborEntry{at(laptop, phoneMAC)}},
				{at: 4, lan: []NeighborEntry{at(laptop, laptopMAC)}}},
			want:  map[netip.Addr]told{laptop: {"lea", FromCache}},
			after: lea,
			kept:  true,
		},
		{
			name:   "to one with a name",
			before: lea,
			steps:  []step{{lan: []NeighborEntry{at(laptop, phoneMAC)}, names: []Assignment{lease(laptop, phoneMAC, "pho")}}},
			want:   map[netip.Addr]told{laptop: {"pho", FromDHCP}},
			after:  names{{laptop, laptopMAC}: {"lea", FromDHCP}, {laptop, phoneMAC}: {"pho", FromDHCP}},
		},
		{
			name:   "a device that moves to another address",
			before: lea,
			steps:  []step{{lan: []NeighborEntry{at(laptop, phoneMAC), at(elsewhere, laptopMAC)}}},
			want:   map[netip.Addr]told{laptop: {Unknown, FromNone}, elsewhere: {"lea", FromCache}},
			after:  names{{elsewhere, laptopMAC}: {"lea", FromDHCP}},
		},
		{
			name:   "a device with two addresses",
			before: lea,
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC), at(elsewhere, laptopMAC)}}},
			want:   map[netip.Addr]told{laptop: {"lea", FromCache}, elsewhere: {"lea", FromCache}},
			after:  names{{laptop, laptopMAC}: {"lea", FromDHCP}, {elsewhere, laptopMAC}: {"lea", FromDHCP}},
		},
		{
			name:   "a device that gets a name at another address",
			before: names{{laptop, laptopMAC}: {"lea", FromDHCP}, {other6, laptopMAC}: {"lei", FromDHCP}},
			steps:  []step{{lan: []NeighborEntry{at(elsewhere, laptopMAC)}, names: []Assignment{lease(elsewhere, laptopMAC, "leo")}}},
			want:   map[netip.Addr]told{elsewhere: {"leo", FromDHCP}},
			after:  names{{elsewhere, laptopMAC}: {"leo", FromDHCP}},
		},
		{
			name:   "IPv6 addresses come and go",
			before: lea,
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC), at(laptop6, laptopMAC)}}, {at: 2, lan: []NeighborEntry{at(other6, laptopMAC)}}},
			want:   map[netip.Addr]told{laptop6: {"lea", FromCache}, other6: {"lea", FromCache}},
			after:  lea,
			kept:   true,
		},
		{
			name:  "IPv6 only",
			steps: []step{{lan: []NeighborEntry{at(laptop6, laptopMAC), at(other6, laptopMAC)}, names: []Assignment{lease(other6, laptopMAC, "lea")}}},
			want:  map[netip.Addr]told{laptop6: {"lea", FromDHCP}, other6: {"lea", FromDHCP}},
			after: names{{laptop6, laptopMAC}: {"lea", FromDHCP}},
		},
		{
			name:  "IPv4 and IPv6 in the first run",
			steps: []step{{lan: []NeighborEntry{at(laptop6, laptopMAC), at(laptop, laptopMAC)}, names: []Assignment{lease(laptop, laptopMAC, "lea")}}},
			want:  map[netip.Addr]told{laptop6: {"lea", FromDHCP}, laptop: {"lea", FromDHCP}},
			after: lea,
		},
		{
			name: "a name for each address",
			steps: []step{{lan: []NeighborEntry{at(laptop6, laptopMAC), at(laptop, laptopMAC)}, names: []Assignment{host(laptop, "four"), host(laptop6, "six")}},
				{at: 2, lan: []NeighborEntry{at(laptop6, laptopMAC), at(laptop, laptopMAC)}}},
			want:  map[netip.Addr]told{laptop6: {"six", FromCache}, laptop: {"four", FromCache}},
			after: names{{laptop, laptopMAC}: {"four", FromHosts}, {laptop6, laptopMAC}: {"six", FromHosts}},
			kept:  true,
		},
		{
			name: "a name for each address, and an address more",
			steps: []step{{lan: []NeighborEntry{at(laptop6, laptopMAC), at(laptop, laptopMAC)}, names: []Assignment{host(laptop, "four"), host(laptop6, "six")}},
				{at: 2, lan: []NeighborEntry{at(laptop6, laptopMAC), at(laptop, laptopMAC), at(elsewhere, laptopMAC)}, names: []Assignment{host(laptop, "four"), host(laptop6, "six")}}},
			want: map[netip.Addr]told{laptop6: {"six", FromHosts}, laptop: {"four", FromHosts}, elsewhere: {"four", FromHosts}},
			after: names{{laptop, laptopMAC}: {"four", FromHosts}, {elsewhere, laptopMAC}: {"four", FromHosts},
				{laptop6, laptopMAC}: {"six", FromHosts}},
		},
		{
			name:   "all addresses of a device are renamed",
			before: names{{laptop, laptopMAC}: {"four", FromHosts}, {laptop6, laptopMAC}: {"six", FromHosts}},
			steps:  []step{{lan: []NeighborEntry{at(laptop6, laptopMAC), at(laptop, laptopMAC)}, names: []Assignment{lease(laptop, laptopMAC, "lea")}}},
			want:   map[netip.Addr]told{laptop6: {"lea", FromDHCP}, laptop: {"lea", FromDHCP}},
			after:  lea,
		},
		{
			name:   "a name without a MAC goes to the device that is met there",
			before: names{{laptop, MAC{}}: {"old", FromCache}},
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}}},
			want:   map[netip.Addr]told{laptop: {"old", FromCache}},
			after:  names{{laptop, laptopMAC}: {"old", FromCache}},
		},
		{
			name:   "and not to the next one",
			before: names{{laptop, MAC{}}: {"old", FromCache}},
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}}, {at: 2, lan: []NeighborEntry{at(laptop, phoneMAC)}}},
			want:   map[netip.Addr]told{laptop: {Unknown, FromNone}},
			after:  names{{laptop, laptopMAC}: {"old", FromCache}},
			kept:   true,
		},
		{
			name:   "a lease puts a name without a MAC out of the file",
			before: names{{laptop, MAC{}}: {"old", FromCache}},
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}, names: []Assignment{lease(laptop, laptopMAC, "lea")}}},
			want:   map[netip.Addr]told{laptop: {"lea", FromDHCP}},
			after:  lea,
		},
		{
			name:   "a name that a user wrote for an address",
			before: names{{laptop, MAC{}}: {"mine", FromCache}, {laptop, laptopMAC}: {"lea", FromDHCP}},
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}}},
			want:   map[netip.Addr]told{laptop: {"mine", FromCache}},
			after:  names{{laptop, laptopMAC}: {"mine", FromCache}},
		},
		{
			name:   "an address that no MAC was ever seen of",
			before: names{{laptop, MAC{}}: {"old", FromCache}, {phone, phoneMAC}: {"pho", FromDHCP}},
			steps:  []step{{counters: []Counter{tx(laptop, 1, 1, 1), tx(phone, 1, 2, 1)}}},
			want:   map[netip.Addr]told{laptop: {"old", FromCache}, phone: {"pho", FromCache}},
			after:  names{{laptop, MAC{}}: {"old", FromCache}, {phone, phoneMAC}: {"pho", FromDHCP}},
			kept:   true,
		},
		{
			name: "a lease's MAC, until the address shows another one",
			steps: []step{{counters: []Counter{tx(laptop, 1, 1, 1)}, names: []Assignment{lease(laptop, laptopMAC, "lea")}},
				{at: 2, counters: []Counter{tx(laptop, 1, 1, 1)}, lan: []NeighborEntry{at(laptop, phoneMAC)}, names: []Assignment{lease(laptop, laptopMAC, "lea")}}},
			want:  map[netip.Addr]told{laptop: {Unknown, FromNone}},
			after: lea,
			kept:  true,
		},
		{
			name: "a DUID of another card",
			steps: []step{{lan: []NeighborEntry{at(laptop6, laptopMAC), at(laptop, laptopMAC)},
				names: []Assignment{{Addr: laptop6, MAC: phoneMAC, DUID: true, Name: "lea", Source: FromDHCP}}}},
			want:  map[netip.Addr]told{laptop6: {"lea", FromDHCP}, laptop: {"lea", FromDHCP}},
			after: lea,
		},
		{
			name: "a DUID of a card that another device has",
			steps: []step{{lan: []NeighborEntry{at(laptop6, laptopMAC), at(phone, phoneMAC)},
				names: []Assignment{{Addr: laptop6, MAC: phoneMAC, DUID: true, Name: "lea", Source: FromDHCP}}}},
			want:  map[netip.Addr]told{laptop6: {"lea", FromDHCP}, phone: {Unknown, FromNone}},
			after: names{{laptop6, laptopMAC}: {"lea", FromDHCP}},
		},
		{
			name: "a DUID that is gone, and a lease",
			steps: []step{{lan: []NeighborEntry{at(phone, phoneMAC)},
				names: []Assignment{{Addr: laptop6, MAC: phoneMAC, DUID: true, Name: "lea", Source: FromDHCP}, lease(elsewhere, phoneMAC, "pho")}}},
			want:  map[netip.Addr]told{phone: {"pho", FromDHCP}},
			after: names{{phone, phoneMAC}: {"pho", FromDHCP}},
		},
		{
			name: "a DUID of another card, and a lease of this one",
			steps: []step{{lan: []NeighborEntry{at(laptop6, laptopMAC), at(laptop, laptopMAC)},
				names: []Assignment{lease(laptop, laptopMAC, "four"), {Addr: laptop6, MAC: phoneMAC, DUID: true, Name: "six", Source: FromDHCP}}}},
			want:  map[netip.Addr]told{laptop6: {"six", FromDHCP}, laptop: {"four", FromDHCP}},
			after: names{{laptop, laptopMAC}: {"four", FromDHCP}, {laptop6, laptopMAC}: {"six", FromDHCP}},
		},
		{
			name: "a DUID of this card",
			steps: []step{{lan: []NeighborEntry{at(laptop, laptopMAC)},
				names: []Assignment{{Addr: laptop6, MAC: laptopMAC, DUID: true, Name: "lea", Source: FromDHCP}}}},
			want:  map[netip.Addr]told{laptop: {"lea", FromDHCP}},
			after: lea,
		},
		{
			name:   "a name that DNS gave is DNS's",
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}, names: []Assignment{answer(laptop, "lea.lan")}}, {at: 2, lan: []NeighborEntry{at(laptop, laptopMAC), at(laptop6, laptopMAC)}}},
			want:   map[netip.Addr]told{laptop: {"lea.lan", FromDNS}, laptop6: {"lea.lan", FromDNS}},
			after:  names{{laptop, laptopMAC}: {"lea.lan", FromDNS}},
			kept:   true,
			before: nil,
		},
		{
			name:   "DNS changes its mind",
			before: names{{laptop, laptopMAC}: {"lea.lan", FromDNS}},
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}, names: []Assignment{answer(laptop, "leo.lan")}}},
			want:   map[netip.Addr]told{laptop: {"leo.lan", FromDNS}},
			after:  names{{laptop, laptopMAC}: {"leo.lan", FromDNS}},
		},
		{
			name:   "a lease is better than DNS",
			before: names{{laptop, laptopMAC}: {"lea.lan", FromDNS}},
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}, names: []Assignment{lease(laptop, laptopMAC, "lea"), answer(laptop, "lea.lan")}}},
			want:   map[netip.Addr]told{laptop: {"lea", FromDHCP}},
			after:  lea,
		},
		{
			name:   "a week of absence",
			before: lea,
			steps:  []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}}, {at: 169 * 3600}, {at: 170 * 3600, lan: []NeighborEntry{at(laptop, laptopMAC)}}},
			want:   map[netip.Addr]told{laptop: {"lea", FromCache}},
			after:  lea,
			kept:   true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			ledger, report := &Ledger{Names: test.before}, (*Report)(nil)
			config := config
			config.ReverseDNS = true
			for _, s := range test.steps {
				now := s.sample()
				ledger, report = Compare(ledger, now, NewScope(lan, nil, now.LAN, ledger.Networks), config)
			}
			for addr, want := range test.want {
				c := client(t, report, addr)
				if got := (told{c.Name, c.NameSource}); got != want {
					t.Errorf("%v is %v, want %v", addr, got, want)
				}
			}
			if diff := cmp.Diff(test.after, ledger.Names, remembered); diff != "" {
				t.Errorf("names afterwards (-want +got):\n%s", diff)
			}
			if ledger.Renamed == test.kept {
				t.Errorf("names have to be written: %v", ledger.Renamed)
			}
		})
	}
}

// Without --reverse-dns a name of DNS is what only the cache knows.
func TestDNSIsOff(t *testing.T) {
	now := step{lan: []NeighborEntry{{Addr: laptop, MAC: laptopMAC, State: Reachable}}}.sample()
	_, report := Compare(&Ledger{Names: map[Bearer]Name{{laptop, laptopMAC}: {"lea.lan", FromDNS}}}, now, NewScope(lan, nil, now.LAN, nil), config)
	if got := client(t, report, laptop).NameSource; got != FromCache {
		t.Errorf("source %q, want %q", got, FromCache)
	}
}

// TestMaxNames fills the memory: the first to go are those who have not their
// address any more, then those who were away for longest.
func TestMaxNames(t *testing.T) {
	moved := Bearer{netip.MustParseAddr("192.168.10.200"), MAC{2, 1}}
	names := map[Bearer]Name{
		{laptop, laptopMAC}: {"lea", FromDHCP},
		moved:               {"moved", FromDHCP},
	}
	addr := netip.MustParseAddr("10.0.0.0")
	for len(names) < MaxNames {
		names[Bearer{Addr: addr}] = Name{"old", FromCache}
		addr = addr.Next()
	}
	oldest, kept := Bearer{Addr: netip.MustParseAddr("10.0.0.0")}, Bearer{Addr: netip.MustParseAddr("10.0.0.2")}
	last := &Ledger{Names: names, Clients: map[netip.Addr]Client{
		oldest.Addr: {Seen: noon.Add(-2 * time.Hour)},
		kept.Addr:   {Seen: noon.Add(-time.Hour)},
		moved.Addr:  {MAC: laptopMAC, Seen: noon},
	}}
	for a := netip.MustParseAddr("10.0.0.1"); a != addr; a = a.Next() {
		if a != kept.Addr {
			last.Clients[a] = Client{Seen: noon.Add(-time.Hour)}
		}
	}
	now := step{
		lan:   []NeighborEntry{{Addr: laptop, MAC: laptopMAC, State: Reachable}, {Addr: phone, MAC: phoneMAC, State: Reachable}, {Addr: laptop6, MAC: MAC{2, 2}, State: Reachable}},
		names: []Assignment{{Addr: phone, MAC: phoneMAC, Name: "pho", Source: FromDHCP}, {Addr: laptop6, Name: "six", Source: FromHosts}},
	}.sample()
	next, _ := Compare(last, now, NewScope(lan, nil, now.LAN, nil), config)
	if len(next.Names) != MaxNames {
		t.Errorf("%d names, want %d", len(next.Names), MaxNames)
	}
	for b, want := range map[Bearer]bool{
		moved: false, oldest: false, kept: true, {laptop, laptopMAC}: true, {phone, phoneMAC}: true, {laptop6, MAC{2, 2}}: true,
	} {
		if _, ok := next.Names[b]; ok != want {
			t.Errorf("%v is remembered: %v", b, ok)
		}
	}
}

// BenchmarkNames names clients as every run does: half of them by leases.
func BenchmarkNames(b *testing.B) {
	for _, n := range []int{100, 65000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := &Ledger{Names: make(map[Bearer]Name), Clients: make(map[netip.Addr]Client)}
			var told []Assignment
			var shown []ClientReport
			addr := netip.MustParseAddr("10.0.0.0")
			for i := range n {
				mac := MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}
				name := fmt.Sprint("client-", i)
				l.Clients[addr] = Client{MAC: mac}
				l.Names[Bearer{addr, mac}] = Name{name, FromDHCP}
				shown = append(shown, ClientReport{Addr: addr, MAC: mac})
				if i%2 == 0 {
					told = append(told, Assignment{Addr: addr, MAC: mac, Name: name, Source: FromDHCP})
				}
				addr = addr.Next()
			}
			b.ReportAllocs()
			for b.Loop() {
				l.claim()
				names := newNamer(l, told, config)
				for _, c := range shown {
					names.name(c.Addr, c.MAC)
				}
				l.remember(names.news, shown)
			}
			if l.Renamed {
				b.Error("something was news")
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/client")
		})
	}
}
