package state

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNames looks at what clients are called in the last of several runs, and what
// is remembered afterwards.
func TestNames(t *testing.T) {
	type told struct {
		name   string
		source NameSource
	}
	repeater := MAC{0, 0x11, 0x22, 0, 0, 9}
	elsewhere, other6 := netip.MustParseAddr("192.168.10.150"), netip.MustParseAddr("fd00:10::dead")
	nobody := told{Unknown, FromNone}
	lea := CachedName{laptop, laptopMAC, "lea", FromDHCP}
	there := []NeighborEntry{at(laptop, laptopMAC), at(phone, phoneMAC), at(laptop6, laptopMAC)}
	answer := func(addr netip.Addr, name string) NameRecord {
		return NameRecord{Addr: addr, Name: name, Source: FromDNS}
	}
	one := func(lan []NeighborEntry, names ...NameRecord) []step { return []step{{lan: lan, names: names}} }
	for _, test := range []struct {
		name   string
		before []CachedName
		steps  []step
		want   map[netip.Addr]told
		after  []CachedName // nil: as before, and not to be written
	}{
		{name: "nobody names them", steps: one(there), want: map[netip.Addr]told{laptop: nobody, laptop6: nobody, phone: nobody}},
		{name: "a lease for the address", steps: one(there, lease(laptop, laptopMAC, "lea")),
			want: map[netip.Addr]told{laptop: {"lea", FromDHCP}, laptop6: {"lea", FromDHCP}, phone: nobody}, after: []CachedName{lea}},
		{name: "a static entry for the address before its lease", steps: one(there, lease(laptop, laptopMAC, "lea"), host(laptop, MAC{}, "hana")),
			want: map[netip.Addr]told{laptop: {"hana", FromHosts}}, after: []CachedName{{laptop, laptopMAC, "hana", FromHosts}}},
		{name: "a lease for the address before a static entry for its device", steps: one(there, host(netip.Addr{}, laptopMAC, "hana"), lease(laptop, laptopMAC, "lea")),
			want: map[netip.Addr]told{laptop: {"lea", FromDHCP}, laptop6: {"hana", FromHosts}}, after: []CachedName{lea}},
		{name: "a static entry for the device", steps: one(there, host(netip.Addr{}, laptopMAC, "hana")),
			want: map[netip.Addr]told{laptop: {"hana", FromHosts}, laptop6: {"hana", FromHosts}, phone: nobody}, after: []CachedName{{laptop, laptopMAC, "hana", FromHosts}}},
		{name: "a static entry for another address of the device names IPv6 only", steps: one(there, host(elsewhere, laptopMAC, "hana")),
			want: map[netip.Addr]told{laptop: nobody, laptop6: {"hana", FromHosts}}, after: []CachedName{{laptop6, laptopMAC, "hana", FromHosts}}},
		{name: "a lease of the device for another address names IPv6 only", steps: one(there, lease(elsewhere, laptopMAC, "lea")),
			want: map[netip.Addr]told{laptop: nobody, laptop6: {"lea", FromDHCP}}, after: []CachedName{{laptop6, laptopMAC, "lea", FromDHCP}}},
		{name: "a static entry for the address of a device that is leased to another one", steps: one(there, host(laptop, phoneMAC, "pho"), lease(laptop, laptopMAC, "lea")),
			want: map[netip.Addr]told{laptop: {"lea", FromDHCP}}, after: []CachedName{lea}},
		{name: "the first of two", steps: one(there, lease(laptop, laptopMAC, "one"), lease(laptop, laptopMAC, "two")),
			want: map[netip.Addr]told{laptop: {"one", FromDHCP}}, after: []CachedName{{laptop, laptopMAC, "one", FromDHCP}}},
		{name: "a lease without a name leaves the device's", steps: one(there, lease(laptop, laptopMAC, ""), host(netip.Addr{}, laptopMAC, "hana")),
			want: map[netip.Addr]told{laptop: {"hana", FromHosts}}, after: []CachedName{{laptop, laptopMAC, "hana", FromHosts}}},
		{name: "behind a repeater each has the name of its own lease", steps: one(
			[]NeighborEntry{at(laptop, repeater), at(phone, repeater), at(elsewhere, repeater)},
			lease(laptop, laptopMAC, "television"), lease(elsewhere, repeater, "repeater")),
			want:  map[netip.Addr]told{laptop: {"television", FromDHCP}, phone: nobody, elsewhere: {"repeater", FromDHCP}},
			after: []CachedName{{laptop, laptopMAC, "television", FromDHCP}, {elsewhere, repeater, "repeater", FromDHCP}}},
		{name: "a hosts line names its address alone", steps: one(
			[]NeighborEntry{at(laptop, repeater), at(phone, repeater)}, host(laptop, MAC{}, "television")),
			want: map[netip.Addr]told{laptop: {"television", FromHosts}, phone: nobody}, after: []CachedName{{laptop, repeater, "television", FromHosts}}},
		{name: "remembered", before: []CachedName{lea}, steps: one(there),
			want: map[netip.Addr]told{laptop: {"lea", FromCache}, laptop6: {"lea", FromCache}, phone: nobody}},
		{name: "remembered, and the lease says the same", before: []CachedName{lea}, steps: one(there, lease(laptop, laptopMAC, "lea")),
			want: map[netip.Addr]told{laptop: {"lea", FromDHCP}}},
		{name: "a lease that says otherwise", before: []CachedName{lea}, steps: one(there, lease(laptop, laptopMAC, "leo")),
			want: map[netip.Addr]told{laptop: {"leo", FromDHCP}}, after: []CachedName{{laptop, laptopMAC, "leo", FromDHCP}}},
		{name: "a device at another address", before: []CachedName{lea}, steps: one([]NeighborEntry{at(elsewhere, laptopMAC), at(laptop, phoneMAC)}),
			want: map[netip.Addr]told{elsewhere: {"lea", FromCache}, laptop: nobody}},
		{name: "a device at two IPv4 addresses", before: []CachedName{lea}, steps: one([]NeighborEntry{at(elsewhere, laptopMAC), at(laptop, laptopMAC), at(laptop6, laptopMAC)}),
			want: map[netip.Addr]told{elsewhere: nobody, laptop: nobody, laptop6: {"lea", FromCache}}},
		{name: "a device that moves", before: []CachedName{lea}, steps: []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}}, {at: 2, lan: []NeighborEntry{at(elsewhere, laptopMAC)}}, {at: 1000, lan: []NeighborEntry{at(elsewhere, laptopMAC)}}},
			want: map[netip.Addr]told{elsewhere: {"lea", FromCache}, laptop: {"lea", FromCache}}},
		{name: "an address that passes to another device", before: []CachedName{lea},
			steps: []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}}, {at: 2, lan: []NeighborEntry{at(laptop, phoneMAC)}}},
			want:  map[netip.Addr]told{laptop: nobody}},
		{name: "and back", before: []CachedName{lea},
			steps: []step{{lan: []NeighborEntry{at(laptop, laptopMAC)}}, {at: 2, lan: []NeighborEntry{at(laptop, phoneMAC)}}, {at: 4, lan: []NeighborEntry{at(laptop, laptopMAC)}}},
			want:  map[netip.Addr]told{laptop: {"lea", FromCache}}},
		{name: "IPv6 only", steps: one([]NeighborEntry{at(laptop6, laptopMAC), at(other6, laptopMAC)}, lease(other6, laptopMAC, "lea")),
			want: map[netip.Addr]told{laptop6: {"lea", FromDHCP}, other6: {"lea", FromDHCP}}, after: []CachedName{{laptop6, laptopMAC, "lea", FromDHCP}}},
		{name: "a DHCPv6 lease whose DUID gives no MAC", steps: one(there, lease(laptop6, MAC{}, "six")),
			want: map[netip.Addr]told{laptop6: {"six", FromDHCP}, laptop: nobody}, after: []CachedName{{laptop6, laptopMAC, "six", FromDHCP}}},
		{name: "a line that belongs to the address", before: []CachedName{{laptop, MAC{}, "old", FromCache}}, steps: one(there),
			want: map[netip.Addr]told{laptop: {"old", FromCache}, laptop6: nobody}},
		{name: "whoever has it", before: []CachedName{{laptop, MAC{}, "old", FromCache}},
			steps: []step{{lan: there}, {at: 2, lan: []NeighborEntry{at(laptop, phoneMAC)}}},
			want:  map[netip.Addr]told{laptop: {"old", FromCache}}},
		{name: "until a server says otherwise", before: []CachedName{{laptop, MAC{}, "old", FromCache}}, steps: one(there, lease(laptop, laptopMAC, "lea")),
			want: map[netip.Addr]told{laptop: {"lea", FromDHCP}}, after: []CachedName{lea}},
		{name: "a line of an address does not go to who had it long ago", before: []CachedName{{laptop, MAC{}, "mine", FromCache}, {laptop, laptopMAC, "lea", FromDHCP}},
			steps: one([]NeighborEntry{at(laptop, phoneMAC), at(elsewhere, laptopMAC)}),
			want:  map[netip.Addr]told{laptop: {"mine", FromCache}, elsewhere: {"lea", FromCache}}},
		{name: "an address that no MAC was ever seen of", before: []CachedName{{laptop, MAC{}, "old", FromCache}},
			steps: []step{{counters: []Counter{tx(laptop, 1, 1, 1)}}}, want: map[netip.Addr]told{laptop: {"old", FromCache}}},
		{name: "DNS", steps: one(there, answer(laptop, "lea.lan")),
			want: map[netip.Addr]told{laptop: {"lea.lan", FromDNS}}, after: []CachedName{{laptop, laptopMAC, "lea.lan", FromDNS}}},
		{name: "DNS is not asked every time", steps: []step{{lan: there, names: []NameRecord{answer(laptop, "lea.lan")}}, {at: 2, lan: there}},
			want: map[netip.Addr]told{laptop: {"lea.lan", FromDNS}}, after: []CachedName{{laptop, laptopMAC, "lea.lan", FromDNS}}},
		{name: "a lease before DNS", before: []CachedName{{laptop, laptopMAC, "lea.lan", FromDNS}}, steps: one(there, answer(laptop, "lea.lan"), lease(laptop, laptopMAC, "lea")),
			want: map[netip.Addr]told{laptop: {"lea", FromDHCP}}, after: []CachedName{lea}},
		{name: "DNS before what is remembered", before: []CachedName{lea}, steps: one(there, answer(laptop, "lea.lan")),
			want: map[netip.Addr]told{laptop: {"lea.lan", FromDNS}}, after: []CachedName{{laptop, laptopMAC, "lea.lan", FromDNS}}},
		{name: "a week of absence", before: []CachedName{lea},
			steps: []step{{lan: there[:1]}, {at: 169 * 3600}, {at: 170 * 3600, lan: there[:1]}},
			want:  map[netip.Addr]told{laptop: {"lea", FromCache}}},
		{name: "a device that calls itself unknown", steps: one(there, lease(laptop, laptopMAC, "unknown")),
			want: map[netip.Addr]told{laptop: {"unknown_", FromDHCP}}, after: []CachedName{{laptop, laptopMAC, "unknown_", FromDHCP}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config
			cfg.ReverseDNS = true
			ledger, report := &Ledger{}, (*Report)(nil)
			names, written := test.before, false
			for _, s := range test.steps {
				now := s.sample()
				cache := NewNameCache(func() []CachedName { return names })
				ledger, report = Compare(ledger, now, NewScope(lan, now.LAN, ledger.Networks), cache, cfg)
				if cache.Changed() {
					names, written = cache.Names(ledger), true
				}
			}
			for addr, want := range test.want {
				c := client(t, report, addr)
				if got := (told{c.Name, c.Source}); got != want {
					t.Errorf("%v is %v, want %v", addr, got, want)
				}
			}
			if written != (test.after != nil) {
				t.Errorf("names have to be written: %v", written)
			}
			if diff := cmp.Diff(test.after, names, comparable); written && diff != "" {
				t.Errorf("names afterwards (-want +got):\n%s", diff)
			}
		})
	}
}

// Without --reverse-dns a name of DNS is what only the cache has.
func TestDNSIsOff(t *testing.T) {
	now := step{lan: []NeighborEntry{at(laptop, laptopMAC)}}.sample()
	cache := NewNameCache(func() []CachedName { return []CachedName{{laptop, laptopMAC, "lea.lan", FromDNS}} })
	_, report := Compare(&Ledger{}, now, NewScope(lan, now.LAN, nil), cache, config)
	if got := client(t, report, laptop).Source; got != FromCache {
		t.Errorf("source %q, want %q", got, FromCache)
	}
}

// The file of names is read only if a name is needed that nobody gives, or a new
// one is to be remembered.
func TestNamesAreReadIfNeeded(t *testing.T) {
	named := step{lan: []NeighborEntry{at(laptop, laptopMAC)}, names: []NameRecord{lease(laptop, laptopMAC, "lea")}}
	ledger, _ := play(t, named)
	for _, test := range []struct {
		name string
		step step
		want bool
	}{
		{"everybody has the name of before", named, false},
		{"a new name", step{lan: named.lan, names: []NameRecord{lease(laptop, laptopMAC, "leo")}}, true},
		{"a name that is gone", step{lan: named.lan}, true},
	} {
		test.step.at = 2
		now := test.step.sample()
		read := false
		cache := NewNameCache(func() []CachedName {
			read = true
			return []CachedName{{laptop, laptopMAC, "lea", FromDHCP}}
		})
		Compare(ledger, now, NewScope(lan, now.LAN, nil), cache, config)
		if read != test.want {
			t.Errorf("%s: the names were read: %v", test.name, read)
		}
	}
}

// TestMaxNames fills the cache: the first to go are those of nobody who is
// remembered.
func TestMaxNames(t *testing.T) {
	names := []CachedName{{laptop, laptopMAC, "lea", FromDHCP}}
	addr := netip.MustParseAddr("10.0.0.0")
	for len(names) < MaxNames {
		names = append(names, CachedName{Addr: addr, Name: "old", Source: FromCache})
		addr = addr.Next()
	}
	now := step{
		lan:   []NeighborEntry{at(laptop, laptopMAC), at(phone, phoneMAC)},
		names: []NameRecord{lease(phone, phoneMAC, "pho")},
	}.sample()
	cache := NewNameCache(func() []CachedName { return names })
	ledger, _ := Compare(&Ledger{}, now, NewScope(lan, now.LAN, nil), cache, config)
	got := cache.Names(ledger)
	if len(got) != MaxNames {
		t.Errorf("%d names, want %d", len(got), MaxNames)
	}
	for _, want := range []CachedName{names[0], {phone, phoneMAC, "pho", FromDHCP}} {
		if !slices.Contains(got, want) {
			t.Errorf("%v is not remembered", want)
		}
	}
}
