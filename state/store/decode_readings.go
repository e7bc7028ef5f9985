package store

import (
	"math"
	"net/netip"
	"slices"

	"network-metrics-exporter/state"
)

func (d *ledgerDecoder) readings(message []byte) {
	a := &d.LastReadings
	for f := range d.fields(message) {
		switch f.num {
		case readingsLayout:
			a.Layout = state.Layout(d.string(f))
		case readingsObjects:
			for packed := d.bytes(f); len(packed) > 0; {
				a.Objects = append(a.Objects, state.CounterID{Table: d.number(&packed), Object: d.number(&packed)})
			}
			if !slices.IsSortedFunc(a.Objects, state.CounterID.Compare) {
				d.bad = true
			}
		case readingsFull:
			a.Full = d.bool(f)
		case readingsFlowtable:
			a.Flowtable = state.FlowtableUse(d.uint(f, math.MaxUint8))
		case readingsLocalKnown:
			a.LocalKnown = d.bool(f)
		}
	}
	if a.LocalKnown {
		a.Local = make([]state.Counter, 0, cap(a.Counters))
	}
}

// counters reads those of an address.
func (d *ledgerDecoder) counters(message []byte) {
	var addr netip.Addr
	var all, local []byte
	for f := range d.fields(message) {
		switch f.num {
		case countersClient:
			if at := d.uint(f, uint64(len(d.Clients))); at > 0 {
				addr = d.Clients[at-1].Addr
			}
		case countersAddr:
			addr = d.addr(d.bytes(f))
		case countersAll:
			all = d.bytes(f)
		case countersLocal:
			local = d.bytes(f)
		}
	}
	a := &d.LastReadings
	a.Counters = d.countersOf(a.Counters, addr, all)
	a.Local = d.countersOf(a.Local, addr, local)
}

// countersOf appends the counters of an address to those before.
func (d *ledgerDecoder) countersOf(counters []state.Counter, addr netip.Addr, packed []byte) []state.Counter {
	before := len(counters)
	if before > 0 && !counters[before-1].Addr.Less(addr) && len(packed) > 0 {
		d.bad = true
	}
	for len(packed) > 0 {
		object := d.number(&packed)
		c := state.Counter{Addr: addr, Direction: state.Direction(object & 1)}
		switch at := object >> 1; {
		case at == 0:
			c.ID = state.CounterID{Table: d.number(&packed), Object: d.number(&packed)}
		case at <= uint64(len(d.LastReadings.Objects)):
			c.ID = d.LastReadings.Objects[at-1]
		default:
			d.bad = true
		}
		c.Traffic = state.Traffic{Bytes: d.number(&packed), Packets: d.number(&packed)}
		if n := len(counters); n > before && (counters[n-1].Direction > c.Direction ||
			counters[n-1].Direction == c.Direction && counters[n-1].ID.Compare(c.ID) > 0) {
			d.bad = true
		}
		counters = append(counters, c)
	}
	return counters
}

func (d *ledgerDecoder) flows(message []byte) {
	flows := &state.TrackedFlows{Active: make(map[netip.Addr]state.Connections)}
	for f := range d.fields(message) {
		switch f.num {
		case flowsUptime:
			flows.Uptime = d.duration(f)
		case flowsCost:
			flows.Cost = d.duration(f)
		case flowsActive:
			d.active(flows, d.bytes(f))
		}
	}
	d.Flows = flows
}

// active reads the last counts of flows of one address.
func (d *ledgerDecoder) active(flows *state.TrackedFlows, message []byte) {
	var addr netip.Addr
	var connections state.Connections
	for f := range d.fields(message) {
		switch f.num {
		case activeAddr:
			addr = d.addr(d.bytes(f))
		case activeCounts:
			var counts [len(connections)]uint64
			d.numbers(d.bytes(f), counts[:])
			for i, n := range counts {
				if n > math.MaxUint32 {
					d.bad = true
				}
				connections[i] = uint32(n)
			}
		}
	}
	if _, twice := flows.Active[addr]; twice {
		d.bad = true
	}
	flows.Active[addr] = connections
}
