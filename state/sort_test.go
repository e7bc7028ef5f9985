package state

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// TestSortByAddr sorts as the library does, which has no radix sort.
func TestSortByAddr(t *testing.T) {
	type value struct {
		Addr netip.Addr
		N    int // tells those of one address apart
	}
	kinds := map[string]func(r *rand.Rand) netip.Addr{
		"no address": func(*rand.Rand) netip.Addr { return netip.Addr{} },
		"a /24":      func(r *rand.Rand) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 10, byte(r.Uint32())}) },
		"a /8": func(r *rand.Rand) netip.Addr {
			return netip.AddrFrom4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
		},
		"a /64": func(r *rand.Rand) netip.Addr {
			a := netip.MustParseAddr("2001:db8::").As16()
			for i := 8; i < len(a); i++ {
				a[i] = byte(r.Uint32())
			}
			return netip.AddrFrom16(a)
		},
		"IPv6 below every IPv4": func(r *rand.Rand) netip.Addr { return netip.AddrFrom16([16]byte{15: byte(r.Uint32())}) },
	}
	names := []string{"no address", "a /24", "a /8", "a /64", "IPv6 below every IPv4"}
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		var got []value
		for i := range n {
			// Of one kind, then of more and more.
			got = append(got, value{kinds[names[r.IntN(1+n%len(names))]](r), i})
		}
		r.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		want := slices.Clone(got)
		slices.SortStableFunc(want, func(a, b value) int { return a.Addr.Compare(b.Addr) })
		SortByAddr(got, func(v *value) netip.Addr { return v.Addr })
		if !slices.Equal(want, got) {
			t.Fatalf("%d values: %v, want %v", n, got, want)
		}
	}
}

// TestMostAlive finds the entry that tells most, whatever the order.
func TestMostAlive(t *testing.T) {
	entries := []NeighborEntry{ // from the one that tells most
		{Interface: "c", State: Reachable, Confirmed: 1},
		{Interface: "b", State: Reachable, Confirmed: 2},
		{Interface: "d", State: Reachable, Confirmed: 2},
		{Interface: "a", State: Stale, Confirmed: 2},
		{Interface: "a", State: Failed, Confirmed: 0},
	}
	for from := range entries {
		rest := slices.Clone(entries[from:])
		for range rest {
			rest = append(rest[1:], rest[0])
			if got := *mostAlive(rest); got != entries[from] {
				t.Errorf("of %v: %v, want %v", rest, got, entries[from])
			}
		}
	}
	if got := *mostAlive(nil); got != (NeighborEntry{}) {
		t.Errorf("of none: %v", got)
	}
}

func BenchmarkSortByAddr(b *testing.B) {
	var counters []Counter
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(10_000) {
		counters = append(counters, Counter{Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})})
	}
	values := make([]Counter, len(counters))
	for name, sort := range map[string]func(){
		"radix":   func() { SortByAddr(values, counterAddr) },
		"library": func() { slices.SortStableFunc(values, func(a, b Counter) int { return a.Addr.Compare(b.Addr) }) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				copy(values, counters)
				sort()
			}
		})
	}
}
