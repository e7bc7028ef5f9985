package store

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"network-metrics-exporter/state"
)

// ledgerOf returns the ledger of a LAN of n addresses, as many runs leave it. Every
// third one is in use; the others were within the week.
func ledgerOf(n int) *state.Ledger {
	const boot, uptime = "0123456789abcdef0123456789abcdef", 200 * time.Hour
	wall := time.Unix(1767225600, 123456789)
	steady := time.Duration(wall.UnixNano()) - 3*time.Millisecond
	l := &state.Ledger{
		Instant:   state.Instant{Boot: boot, Uptime: uptime, Wall: wall},
		Run:       1800,
		Steady:    steady,
		Trusted:   true,
		Networks:  []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/64")},
		Baselines: []time.Duration{uptime - 4*time.Second, uptime - 2*time.Second, uptime},
		LastReadings: state.Accounting{
			Layout:     state.Sets,
			Objects:    []state.CounterID{{Table: 3, Object: 4}, {Table: 3, Object: 5}, {Table: 3, Object: 6}, {Table: 3, Object: 7}},
			LocalKnown: true,
		},
		PeriodStarts: [2]time.Time{state.Current: time.Unix(1767222000, 0), state.Previous: time.Unix(1764543600, 0)},
	}
	for before := time.Minute; before > 0; before -= 10 * time.Second {
		l.Slots = append(l.Slots, uptime-before)
	}
	for i := range n {
		l.Clients = append(l.Clients, usedClient(l, i))
	}
	slices.SortFunc(l.Clients, func(a, b state.Client) int { return a.Addr.Compare(b.Addr) })
	for i := range l.Clients {
		c := &l.Clients[i]
		for _, d := range []state.Direction{state.Rx, state.Tx} {
			all, local := l.LastReadings.Objects[d], l.LastReadings.Objects[2+d]
			l.LastReadings.Counters = append(l.LastReadings.Counters, state.Counter{Addr: c.Addr, Direction: d, ID: all, Traffic: c.Total[d]})
			l.LastReadings.Local = append(l.LastReadings.Local, state.Counter{Addr: c.Addr, Direction: d, ID: local, Traffic: state.Traffic{Bytes: 99_999, Packets: 999}})
		}
	}
	return l
}

// usedClient returns the client of that number, the first of whose device also
// makes that.
func usedClient(l *state.Ledger, i int) state.Client {
	ago, since := time.Duration(i%1009)*10*time.Minute+123456789, time.Duration(i%1013)*11*time.Minute+987654321
	rx := state.Traffic{Bytes: 1<<32 + uint64(i)*1500, Packets: 1<<22 + uint64(i)}
	tx := state.Traffic{Bytes: 1<<28 + uint64(i)*60, Packets: 1<<21 + uint64(i)}
	s := state.CounterState{Total: [2]state.Traffic{rx, tx}}
	for b := range l.Baselines {
		s.Baselines[b] = [2]uint64{rx.Bytes, tx.Bytes}
	}
	if i%3 == 0 {
		ago = 0
		s.Baselines[0] = [2]uint64{rx.Bytes - 150_000, tx.Bytes - 6_000}
		s.Baselines[1] = [2]uint64{rx.Bytes - 70_000, tx.Bytes - 3_000}
		for _, start := range l.Slots {
			s.Slots = append(s.Slots, state.WindowSlot{
				Start: start, Delta: [2]state.Traffic{{Bytes: 750_000, Packets: 500}, {Bytes: 30_000, Packets: 500}}, Peak: [2]uint64{2_400_000, 96_000},
			})
		}
	}
	presence := state.Presence{LastSeen: l.Steady - ago, Seen: l.Wall.Add(-ago - 54321*time.Nanosecond)}
	mac := state.MAC{0, 0, 0x5e, 0, byte(i / 3 >> 8), byte(i / 3)}
	c := state.Client{
		Addr: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), CounterState: s,
		Device: state.DeviceID{MAC: mac}, Evidence: state.FromServer, MAC: mac, Interface: "br-lan",
		Name: fmt.Sprint("device-", i/3), Source: state.FromDHCP,
		Since: l.Steady - since, LastActive: [2]time.Duration{l.Steady - ago, l.Steady - ago},
		Presence: presence, Confirmed: true, HasSeries: true,
	}
	if i%3 == 0 {
		l.Devices = append(l.Devices, state.Device{
			ID: c.Device, Name: c.Name, Source: c.Source, Addr: c.Addr, Since: c.Since, FirstSeen: l.Wall.Add(-since), Presence: presence, HasSeries: true,
			Usage: state.Usage{CounterState: s, Local: [2]uint64{1 << 30, 1 << 20}, PeriodBase: [2]state.PeriodBytes{{1 << 31, 1 << 27}, {1 << 29, 1 << 19}}},
		})
	} else {
		c.Addr = netip.AddrFrom16([16]byte{0: 0xfd, 8: 0x5e, 9: byte(i), 10: 0x17, 13: 0xab, 14: byte(i >> 8), 15: byte(i)})
	}
	return c
}

// TestSize holds the bound on a year of twenty devices with two prefixes and a new
// temporary address in each every day, a week of which is in the ledger.
func TestSize(t *testing.T) {
	l := ledgerOf(20 * (1 + 2*(1+8)))
	file := encode(l)
	t.Logf("%d clients, %d devices: %d bytes", len(l.Clients), len(l.Devices), len(file))
	if len(file) > 100_000 {
		t.Errorf("%d bytes, want no more than 100,000", len(file))
	}
	l.Checkpoint = l.Uptime
	for i := range l.Clients {
		l.Clients[i].Reserved = l.Clients[i].Total
		l.Clients[i].Reserved[state.Rx].Bytes += 1 << 24
	}
	if file := encode(l); len(file) > 100_000 {
		t.Errorf("with a reserve %d bytes, want no more than 100,000", len(file))
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{50, 1000, 10_000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			l := ledgerOf(n)
			var file []byte
			b.ReportAllocs()
			for b.Loop() {
				file = encode(l)
			}
			b.ReportMetric(float64(len(file))/float64(n), "bytes/client")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/client")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{50, 1000, 10_000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			file := encode(ledgerOf(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decodeFile(file); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/client")
		})
	}
}
