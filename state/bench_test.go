package state

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// BenchmarkCompare compares two samples of clients, three to a device, half of
// which have moved something.
func BenchmarkCompare(b *testing.B) {
	for _, n := range []int{50, 1000, 10000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			cfg := config
			cfg.Accounting, cfg.MaxClients = Sets, n
			sample := func(at float64, bytes uint64) *Sample {
				s := step{at: at, layout: Sets, loaded: true, flows: make(map[netip.Addr]Connections)}
				for i := range n {
					addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
					mac := MAC{2, 0, 0, byte(i / 3 >> 16), byte(i / 3 >> 8), byte(i / 3)}
					s.lan = append(s.lan, NeighborEntry{Addr: addr, MAC: mac, Interface: "br-lan", State: Reachable})
					s.names = append(s.names, lease(addr, mac, fmt.Sprint("client-", i)))
					s.flows[addr] = Connections{TCP: uint32(i % 7)}
					moved := bytes * uint64(i%2)
					s.counters = append(s.counters, rx(addr, 1, 1, 1000+moved), tx(addr, 1, 2, 1000+moved))
				}
				return s.sample()
			}
			scope := NewScope([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil, nil)
			ledger := &Ledger{}
			for i := range 5 {
				ledger, _ = Compare(ledger, sample(float64(2*i), uint64(i)*1000), scope, noNames(), cfg)
			}
			now := sample(10, 5000)
			b.ReportAllocs()
			for b.Loop() {
				Compare(ledger, now, scope, noNames(), cfg)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(time.Microsecond)/float64(b.N*n), "us/client")
		})
	}
}
