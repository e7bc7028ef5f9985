package state

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

var benchmarkedClients = []int{50, 1000, 10_000, 65_000}

// lanOf gives what two runs see of a LAN of n clients, all of which are named,
// move bytes and have flows.
func lanOf(n int) (before, now *Sample, scope Scope) {
	network := netip.MustParsePrefix("10.0.0.0/8")
	before = step{lan: []NeighborEntry{}, flows: map[netip.Addr]Connections{}}.sample()
	now = step{at: 2, lan: []NeighborEntry{}, flows: map[netip.Addr]Connections{}}.sample()
	addr := network.Addr()
	for i := range n {
		addr = addr.Next()
		mac := MAC{0, 0, 0x5e, byte(i >> 16), byte(i >> 8), byte(i)}
		before.LAN.Neighbors = append(before.LAN.Neighbors, NeighborEntry{Addr: addr, MAC: mac, Interface: "br-lan", State: Reachable})
		before.Names = append(before.Names, Assignment{Addr: addr, MAC: mac, Name: fmt.Sprintf("client-%d", i), Source: FromDHCP})
		before.Conntrack.Active[addr] = Connections{TCP: 10, UDP: 5}
		before.Accounting.Counters = append(before.Accounting.Counters, rx(addr, 1, 1, 100_000), tx(addr, 1, 2, 100_000))
		now.Accounting.Counters = append(now.Accounting.Counters, rx(addr, 1, 1, 200_000), tx(addr, 1, 2, 300_000))
	}
	before.Accounting.Layout, now.Accounting.Layout = Sets, Sets
	now.LAN, now.Names, now.Conntrack = before.LAN, slices.Clone(before.Names), before.Conntrack
	return before, now, NewScope([]netip.Prefix{network}, nil, before.LAN, nil)
}

func BenchmarkCompare(b *testing.B) {
	for _, n := range benchmarkedClients {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			before, now, scope := lanOf(n)
			cfg := config
			cfg.MaxClients = n
			last, _ := Compare(&Ledger{}, before, scope, cfg)
			b.ReportAllocs()
			for b.Loop() {
				Compare(last, now, scope, cfg)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/client")
		})
	}
}

func BenchmarkContains(b *testing.B) {
	_, _, scope := lanOf(1)
	for name, addr := range map[string]string{"client": "10.0.1.2", "server": "203.0.113.5"} {
		b.Run(name, func(b *testing.B) {
			a := netip.MustParseAddr(addr)
			b.ReportAllocs()
			for b.Loop() {
				scope.Contains(a)
			}
		})
	}
}
