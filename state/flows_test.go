package state

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Ends of flows.
var (
	guest     = netip.MustParseAddr("192.168.20.7")
	webserver = netip.MustParseAddr("203.0.113.2")
	router    = netip.MustParseAddr("192.168.10.1")
	routerWAN = netip.MustParseAddr("203.0.113.1")
)

// flowScope has two networks, and knows the router's addresses.
func flowScope() Scope {
	own := func(name, cidr string) InterfaceAddr {
		p := netip.MustParsePrefix(cidr)
		return InterfaceAddr{name, p.Addr(), p.Masked()}
	}
	return NewScope(nil, &LAN{
		Interfaces: []string{"br-lan", "br-guest"},
		Addrs: []InterfaceAddr{
			own("br-lan", "192.168.10.1/24"), own("br-lan", "fd00:10::1/64"), own("br-guest", "192.168.20.1/24"), own("wan", "203.0.113.1/24"),
		},
	}, nil)
}

// A flow of the laptop to the Internet that has moved so much; packets are a
// hundredth of the bytes.
func reading(key uint64, sent, received uint64) FlowReading {
	return FlowReading{
		Key: key, Initiator: laptop, Responder: webserver, HasCounters: true,
		Traffic: [2]Traffic{{Bytes: sent, Packets: sent / 100}, {Bytes: received, Packets: received / 100}},
	}
}

// between returns a flow between others.
func between(initiator, responder netip.Addr, f FlowReading) FlowReading {
	f.Initiator, f.Responder = initiator, responder
	return f
}

func offloaded(f FlowReading) FlowReading {
	f.Offloaded = true
	return f
}

func uncounted(f FlowReading) FlowReading {
	f.HasCounters, f.Traffic = false, [2]Traffic{}
	return f
}

// trafficOf is what a client received and sent, with packets as in reading.
func trafficOf(addr netip.Addr, received, sent uint64) FlowTraffic {
	return FlowTraffic{Addr: addr, All: [2]Traffic{Rx: {received, received / 100}, Tx: {sent, sent / 100}}}
}

// localTraffic is what a client exchanged with another one.
func localTraffic(addr netip.Addr, received, sent uint64) FlowTraffic {
	t := trafficOf(addr, received, sent)
	t.Local = t.All
	return t
}

// dumpOf is a dump and what it should tell.
type dumpOf struct {
	flows   []FlowReading
	want    []FlowTraffic
	stalled []uint64 // keys
}

// observe makes a dump.
func (d dumpOf) observe(c *FlowCounter) (stalled []uint64) {
	c.Begin()
	for i := range d.flows {
		if c.Observe(&d.flows[i]) {
			stalled = append(stalled, d.flows[i].Key)
		}
	}
	return stalled
}

func TestFlowCounter(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before *FlowMemory
		anew   bool
		dumps  []dumpOf
	}{
		{
			name: "at first a flow is a base",
			dumps: []dumpOf{
				{flows: []FlowReading{reading(1, 1000, 5000)}},
				{flows: []FlowReading{reading(1, 1200, 9000)}, want: []FlowTraffic{trafficOf(laptop, 4000, 200)}},
				{flows: []FlowReading{reading(1, 1200, 9000)}},
			},
		}, {
			name: "where no run can have counted, all counts",
			anew: true,
			dumps: []dumpOf{
				{flows: []FlowReading{reading(1, 1000, 5000)}, want: []FlowTraffic{trafficOf(laptop, 5000, 1000)}},
				{flows: []FlowReading{reading(1, 1200, 9000)}, want: []FlowTraffic{trafficOf(laptop, 4000, 200)}},
			},
		}, {
			name: "what the last dump did not show began since",
			dumps: []dumpOf{
				{flows: nil},
				{flows: []FlowReading{reading(1, 1000, 5000)}, want: []FlowTraffic{trafficOf(laptop, 5000, 1000)}},
			},
		}, {
			name: "several flows of a client add up",
			dumps: []dumpOf{
				{flows: nil},
				{
					flows: []FlowReading{reading(1, 100, 200), between(webserver, laptop, reading(2, 3000, 4000)), between(laptop6, webserver, reading(3, 500, 600))},
					want:  []FlowTraffic{trafficOf(laptop, 3200, 4100), trafficOf(laptop6, 600, 500)},
				},
			},
		}, {
			name: "a flow listed twice counts once",
			dumps: []dumpOf{
				{flows: nil},
				{flows: []FlowReading{reading(1, 100, 200), reading(1, 100, 300)}, want: []FlowTraffic{trafficOf(laptop, 300, 100)}},
				{flows: []FlowReading{reading(1, 200, 300), reading(1, 200, 300)}, want: []FlowTraffic{trafficOf(laptop, 0, 100)}},
			},
		}, {
			name: "a counter that fell is of a new flow",
			dumps: []dumpOf{
				{flows: []FlowReading{reading(1, 1000, 5000)}},
				{flows: []FlowReading{reading(1, 900, 6000)}, want: []FlowTraffic{trafficOf(laptop, 6000, 900)}},
			},
		}, {
			name: "a flow that two dumps miss goes on, one that three miss is new",
			dumps: []dumpOf{
				{flows: []FlowReading{reading(1, 1000, 5000), reading(2, 1000, 5000)}},
				{flows: nil},
				{flows: nil},
				{flows: []FlowReading{reading(1, 1100, 5000)}, want: []FlowTraffic{trafficOf(laptop, 0, 100)}},
				{flows: []FlowReading{reading(2, 1100, 5000)}, want: []FlowTraffic{trafficOf(laptop, 5000, 1100)}},
			},
		}, {
			name: "between clients both ends count, all of it local",
			dumps: []dumpOf{
				{flows: nil},
				{
					flows: []FlowReading{between(laptop, guest, reading(1, 100, 200)), between(phone, phone, reading(2, 1000, 2000)), between(phone, webserver, reading(3, 500, 0))},
					want: []FlowTraffic{
						localTraffic(laptop, 200, 100),
						{
							Addr:  phone, // its own server by the router's public address, and the Internet
							All:   [2]Traffic{Rx: {3000, 30}, Tx: {3500, 35}},
							Local: [2]Traffic{Rx: {3000, 30}, Tx: {3000, 30}},
						},
						localTraffic(guest, 100, 200),
					},
				},
			},
		}, {
			name: "what is not forwarded counts nothing",
			dumps: []dumpOf{
				{flows: nil},
				{flows: []FlowReading{
					between(laptop, router, reading(1, 100, 200)),
					between(router, laptop, reading(2, 100, 200)),
					between(webserver, routerWAN, reading(3, 100, 200)),
					between(laptop, netip.MustParseAddr("224.0.0.251"), reading(4, 100, 0)),
					between(laptop, netip.MustParseAddr("192.168.10.255"), reading(5, 100, 0)),
					between(netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("255.255.255.255"), reading(6, 100, 0)),
					between(netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2"), reading(7, 100, 0)),
				}},
				{flows: []FlowReading{between(laptop, router, reading(1, 900, 800))}},
			},
		}, {
			name: "whether a flow is the router's own stays as at first sight",
			dumps: []dumpOf{
				{flows: []FlowReading{between(laptop, router, reading(1, 100, 200)), reading(2, 100, 200)}},
				{
					// As if the router had given up the one address and got the other.
					flows: []FlowReading{reading(1, 300, 400), between(laptop, router, reading(2, 300, 400))},
					want:  []FlowTraffic{trafficOf(laptop, 200, 200)},
				},
			},
		}, {
			name: "between others nothing counts",
			dumps: []dumpOf{
				{flows: nil},
				{flows: []FlowReading{between(netip.MustParseAddr("10.0.0.1"), webserver, reading(1, 100, 200))}},
			},
		}, {
			name: "without counters nothing counts",
			anew: true,
			dumps: []dumpOf{
				{flows: []FlowReading{uncounted(reading(1, 100, 200)), reading(2, 100, 200)}, want: []FlowTraffic{trafficOf(laptop, 200, 100)}},
				{flows: []FlowReading{uncounted(reading(1, 100, 200))}},
			},
		}, {
			name: "a flow that left a flowtable is stalled for as long as it moves nothing",
			dumps: []dumpOf{
				{flows: []FlowReading{offloaded(reading(1, 100, 200)), offloaded(reading(2, 100, 200)), reading(3, 100, 200)}},
				// In the table without moving anything, as a flow that is idle; not
				// there any more, but what it moved it may have moved there.
				{flows: []FlowReading{offloaded(reading(1, 100, 200)), reading(2, 100, 300), reading(3, 100, 200)}, want: []FlowTraffic{trafficOf(laptop, 100, 0)}},
				{flows: []FlowReading{reading(1, 100, 200), reading(2, 100, 300), reading(3, 100, 200)}, stalled: []uint64{1, 2}},
				{flows: []FlowReading{reading(1, 100, 200), reading(2, 200, 300)}, stalled: []uint64{1}, want: []FlowTraffic{trafficOf(laptop, 0, 100)}},
				// An ordinary flow again, which may pause.
				{flows: []FlowReading{offloaded(reading(1, 200, 200)), reading(2, 200, 300)}, want: []FlowTraffic{trafficOf(laptop, 0, 100)}},
			},
		}, {
			name:   "of another layout's memory nothing counts but what began since",
			before: &FlowMemory{Records: []FlowRecord{{Key: 1, Offloaded: true}, {Key: 2, Offloaded: true, Traffic: reading(2, 500, 500).Traffic}}},
			dumps: []dumpOf{
				{flows: []FlowReading{offloaded(reading(1, 100, 200)), reading(2, 100, 100), reading(3, 100, 200)}},
				{
					flows: []FlowReading{offloaded(reading(1, 200, 200)), reading(2, 200, 100), reading(3, 200, 200), reading(4, 200, 200)},
					want:  []FlowTraffic{trafficOf(laptop, 200, 500)},
				},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			memory := tc.before
			for i, d := range tc.dumps {
				c := NewFlowCounter(flowScope(), memory, true, tc.anew)
				// A torn dump leaves nothing behind.
				torn := dumpOf{flows: []FlowReading{reading(1, 7777, 7777), reading(99, 8888, 8888), uncounted(reading(98, 0, 0))}}
				torn.observe(c)
				stalled := d.observe(c)
				traffic, next := c.Finish()
				if diff := cmp.Diff(d.want, traffic, comparable, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("dump %d: traffic (-want +got):\n%s", i, diff)
				}
				if diff := cmp.Diff(d.stalled, stalled, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("dump %d: stalled flows (-want +got):\n%s", i, diff)
				}
				if !next.Counting {
					t.Errorf("dump %d: the memory does not say that flows counted", i)
				}
				memory = next
			}
		})
	}
}

// In other layouts only flows in flowtables are remembered, and none counts but in
// the first dump after the layout Flows.
func TestFlowCounterOfOtherLayouts(t *testing.T) {
	memories := []*FlowMemory{nil, {Counting: true, Records: []FlowRecord{{Key: 1}, {Key: 2, Traffic: reading(2, 60, 100).Traffic}, {Key: 3, Offloaded: true}}}}
	for _, before := range memories {
		c := NewFlowCounter(flowScope(), before, false, true)
		first := dumpOf{flows: []FlowReading{reading(1, 100, 200), offloaded(reading(2, 100, 200)), uncounted(reading(4, 0, 0))}}
		if stalled := first.observe(c); stalled != nil {
			t.Errorf("stalled: %v", stalled)
		}
		traffic, memory := c.Finish()
		var moved uint64
		for _, f := range traffic {
			moved += f.All[Rx].Bytes + f.All[Tx].Bytes
		}
		if last := before != nil; memory.Counting || moved > 0 != last || last && moved != (100+200)+(40+100) {
			t.Errorf("%d bytes of traffic, counting %t", moved, memory.Counting)
		}
		if some, all := c.MissingCounters(); some || all {
			t.Errorf("missing counters: %t, %t", some, all)
		}
		var keys []uint64
		for _, r := range memory.Records {
			keys = append(keys, r.Key)
		}
		want := []uint64{2}
		if before != nil {
			want = []uint64{2, 3} // missed once
		}
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Errorf("remembered (-want +got):\n%s", diff)
		}
		c = NewFlowCounter(flowScope(), memory, false, false)
		second := dumpOf{flows: []FlowReading{reading(1, 100, 200), reading(2, 100, 200)}}
		if diff := cmp.Diff([]uint64{2}, second.observe(c)); diff != "" {
			t.Errorf("stalled (-want +got):\n%s", diff)
		}
	}
}

func TestMissingCounters(t *testing.T) {
	own := between(laptop, router, reading(9, 100, 200))
	for _, tc := range []struct {
		name      string
		flows     []FlowReading
		some, all bool
	}{
		{name: "no flows"},
		{name: "all have them", flows: []FlowReading{reading(1, 100, 200)}},
		{name: "some have none", flows: []FlowReading{reading(1, 100, 200), uncounted(reading(2, 0, 0))}, some: true},
		{name: "none has any, but for the router's own", flows: []FlowReading{own, uncounted(reading(2, 0, 0))}, some: true, all: true},
		{name: "but for the router's own all have them", flows: []FlowReading{reading(1, 100, 200), uncounted(own)}},
		{name: "but for those of others all have them", flows: []FlowReading{reading(1, 100, 200), uncounted(between(webserver, netip.MustParseAddr("198.51.100.1"), own))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := NewFlowCounter(flowScope(), nil, true, false)
			dumpOf{flows: tc.flows}.observe(c)
			if some, all := c.MissingCounters(); some != tc.some || all != tc.all {
				t.Errorf("some %t, all %t, want %t, %t", some, all, tc.some, tc.all)
			}
		})
	}
}

// A dump is looked at for traffic only where that is needed and can be told; and it is
// a base where nothing in it can be.
func TestFlowCounterIsNeeded(t *testing.T) {
	now := Instant{Boot: "b"}
	last := func(boot string, a Accounting) Ledger { return Ledger{LastReadings: a, Instant: Instant{Boot: boot}} }
	noRouter := NewScope(nil, nil, flowScope().Networks)
	for _, test := range []struct {
		name         string
		layout       Layout
		last         Ledger
		scope        Scope
		before       *FlowMemory
		needed, base bool
	}{
		{"sets", Sets, Ledger{}, flowScope(), nil, false, false},
		{"flows", Flows, Ledger{}, flowScope(), nil, true, false},
		{"a flowtable", Sets, Ledger{LastReadings: Accounting{Flowtable: CountedFlowtable}}, flowScope(), nil, true, false},
		{"flows before", Sets, last("b", Accounting{Layout: Flows}), flowScope(), &FlowMemory{Counting: true}, true, false},
		{"the router's addresses are not known", Flows, Ledger{}, noRouter, &FlowMemory{Counting: true}, false, false},
		{"flows again", Flows, last("b", Accounting{Layout: Flows}), flowScope(), &FlowMemory{Counting: true}, true, false},
		{"flows, their memory lost", Flows, last("b", Accounting{Layout: Flows}), flowScope(), nil, true, true},
		{"flows after sets", Flows, last("b", Accounting{Layout: Sets}), flowScope(), nil, true, true},
		{"flows after sets, with a flowtable", Flows, last("b", Accounting{Layout: Sets}), flowScope(), &FlowMemory{}, true, true},
		{"flows after rules, beside flows of long ago", Flows, last("b", Accounting{Layout: Rules}), flowScope(), &FlowMemory{Counting: true}, true, true},
		{"flows after sets and a reboot", Flows, last("a", Accounting{Layout: Sets}), flowScope(), nil, true, false},
	} {
		got := test.last.FlowCounter(now, test.scope, test.before, Config{Accounting: test.layout})
		if (got != nil) != test.needed || got.IsBase() != test.base {
			t.Errorf("%s: a counter: %t, of a base: %t, want %t, %t", test.name, got != nil, got.IsBase(), test.needed, test.base)
		}
	}
}

// Whatever flows do, what counts is what they moved, to the byte, up to when a dump
// last showed them.
func TestFlowCounterExact(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		scope := flowScope()
		ends := []netip.Addr{laptop, phone, laptop6, guest, webserver, router}
		flows := make(map[uint64]*FlowReading)
		shown := make(map[uint64][2]Traffic)
		missed := make(map[uint64]int)
		want, got := make(map[netip.Addr]FlowTraffic), make(map[netip.Addr]FlowTraffic)
		var memory *FlowMemory
		for range 40 {
			for range random.IntN(4) {
				f := between(ends[random.IntN(len(ends))], ends[random.IntN(len(ends))], reading(random.Uint64(), 0, 0))
				flows[f.Key] = &f
			}
			c := NewFlowCounter(scope, memory, true, memory == nil)
			c.Begin()
			for _, key := range slices.Sorted(maps.Keys(flows)) {
				f := flows[key]
				for d := range f.Traffic {
					f.Traffic[d].Bytes += random.Uint64N(1000)
					f.Traffic[d].Packets += random.Uint64N(10)
				}
				f.Offloaded = random.IntN(2) == 0
				switch random.IntN(10) {
				case 0: // ends unseen
					delete(flows, key)
					continue
				case 1, 2: // is missed, but not for ever
					if missed[key]++; missed[key] <= maxMissed {
						continue
					}
				case 3: // is shown twice
					c.Observe(f)
				}
				missed[key] = 0
				c.Observe(f)
				expect(want, f, shown[key])
				shown[key] = f.Traffic
			}
			var traffic []FlowTraffic
			traffic, memory = c.Finish()
			for _, f := range traffic {
				sum := got[f.Addr]
				sum.Addr = f.Addr
				for d := range f.All {
					sum.add(Direction(d), f.All[d], false)
					sum.Local[d] = sum.Local[d].plus(f.Local[d])
				}
				got[f.Addr] = sum
			}
		}
		if diff := cmp.Diff(want, got, comparable); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
	}
}

// expect adds what a flow moved since it was last shown.
func expect(want map[netip.Addr]FlowTraffic, f *FlowReading, before [2]Traffic) {
	if f.Initiator == router || f.Responder == router || f.Traffic == before {
		return
	}
	local := f.Initiator != webserver && f.Responder != webserver
	for i, end := range []netip.Addr{f.Initiator, f.Responder} {
		if end == webserver {
			continue
		}
		t := want[end]
		t.Addr = end
		for j, d := range []Direction{Tx, Rx} {
			from := (i + j) % 2 // what this end sent, then what the other one sent
			delta := Traffic{f.Traffic[from].Bytes - before[from].Bytes, f.Traffic[from].Packets - before[from].Packets}
			t.All[d] = t.All[d].plus(delta)
			if local {
				t.Local[d] = t.Local[d].plus(delta)
			}
		}
		want[end] = t
	}
}

func BenchmarkFlowCounter(b *testing.B) {
	for _, n := range []int{1000, 100000} {
		b.Run(fmt.Sprintf("flows=%d", n), func(b *testing.B) {
			flows := make([]FlowReading, n)
			random := rand.New(rand.NewPCG(1, 2))
			for i := range flows {
				flows[i] = reading(random.Uint64(), 1000, 2000)
				flows[i].Initiator = netip.AddrFrom4([4]byte{192, 168, 10, byte(2 + i%250)})
			}
			scope := flowScope()
			var memory *FlowMemory
			b.ReportAllocs()
			for b.Loop() {
				c := NewFlowCounter(scope, memory, true, false)
				c.Begin()
				for i := range flows {
					flows[i].Traffic[0].Bytes += 100
					c.Observe(&flows[i])
				}
				_, memory = c.Finish()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/flow")
		})
	}
}
