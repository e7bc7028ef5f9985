package store

import (
	"math"

	"network-metrics-exporter/state"
)

// slotsAtOnce is how many slots room is made for at once.
const slotsAtOnce = 512

// totalField reads one of the fields of a total. Reserved and Baselines are told by
// what was moved, which comes before them.
func (d *ledgerDecoder) totalField(f field, s *state.CounterState) {
	switch f.num {
	case totalTraffic:
		s.Total = d.traffic(d.bytes(f))
		for i := range d.Baselines {
			s.Baselines[i] = [2]uint64{state.Rx: s.Total[state.Rx].Bytes, state.Tx: s.Total[state.Tx].Bytes}
		}
	case totalBaselines:
		var since [2 * len(s.Baselines)]uint64
		d.numbers(d.bytes(f), since[:2*len(d.Baselines)])
		for i := range d.Baselines {
			for dir := range s.Total {
				s.Baselines[i][dir] = s.Total[dir].Bytes - since[2*i+dir]
			}
		}
	case totalSlots:
		s.Slots = d.slotsOf(d.bytes(f))
	case totalReserved:
		above := d.traffic(d.bytes(f))
		for dir, total := range s.Total {
			s.Reserved[dir] = state.Traffic{Bytes: total.Bytes + above[dir].Bytes, Packets: total.Packets + above[dir].Packets}
		}
	}
}

func (d *ledgerDecoder) traffic(packed []byte) [2]state.Traffic {
	var v [4]uint64
	d.numbers(packed, v[:])
	return [2]state.Traffic{state.Rx: {Bytes: v[0], Packets: v[1]}, state.Tx: {Bytes: v[2], Packets: v[3]}}
}

// slotsOf reads the slots of a total.
func (d *ledgerDecoder) slotsOf(packed []byte) []state.WindowSlot {
	from := len(d.slots)
	for next := 0; len(packed) > 0; {
		at := d.number(&packed)
		if at < uint64(next) || at >= uint64(len(d.Slots)) {
			d.bad = true
			return nil
		}
		next = int(at) + 1
		var v [6]uint64
		for i := range v {
			v[i] = d.number(&packed)
		}
		if len(d.slots) == cap(d.slots) {
			d.slots = append(make([]state.WindowSlot, 0, slotsAtOnce+len(d.Slots)), d.slots[from:]...)
			from = 0
		}
		d.slots = append(d.slots, state.WindowSlot{
			Start: d.Slots[at],
			Delta: [2]state.Traffic{state.Rx: {Bytes: v[0], Packets: v[1]}, state.Tx: {Bytes: v[2], Packets: v[3]}},
			Peak:  [2]uint64{state.Rx: v[4], state.Tx: v[5]},
		})
	}
	return d.slots[from:len(d.slots):len(d.slots)]
}

// usageField reads one of the fields of usage, those of a total among them.
func (d *ledgerDecoder) usageField(f field, u *state.Usage) {
	switch f.num {
	case usageLocal:
		d.numbers(d.bytes(f), u.Local[:])
	case usageLocalReserved:
		var above [2]uint64
		d.numbers(d.bytes(f), above[:])
		for dir, local := range u.Local {
			u.LocalReserved[dir] = local + above[dir]
		}
	case usagePeriodBase:
		u.PeriodBase = d.periods(d.bytes(f))
	case usagePrevious:
		u.Previous = d.periods(d.bytes(f))
	default:
		d.totalField(f, &u.CounterState)
	}
}

func (d *ledgerDecoder) periods(packed []byte) [2]state.PeriodBytes {
	var v [4]uint64
	d.numbers(packed, v[:])
	return [2]state.PeriodBytes{
		state.All:   {state.Rx: v[0], state.Tx: v[1]},
		state.Local: {state.Rx: v[2], state.Tx: v[3]},
	}
}

// other reads a message that is a total and no more.
func (d *ledgerDecoder) other(message []byte) {
	for f := range d.fields(message) {
		d.totalField(f, &d.Other)
	}
}

// otherDevice reads a message that is usage and no more.
func (d *ledgerDecoder) otherDevice(message []byte) {
	for f := range d.fields(message) {
		d.usageField(f, &d.OtherDevice)
	}
}

func (d *ledgerDecoder) device(message []byte) {
	n := len(d.Devices)
	d.Devices = d.Devices[:n+1]
	device := &d.Devices[n]
	for f := range d.fields(message) {
		switch f.num {
		case deviceMAC:
			device.ID.MAC = d.mac(f)
		case deviceIDAddr:
			device.ID.Addr = d.addr(d.bytes(f))
		case deviceName:
			device.Name = d.string(f)
		case deviceSource:
			device.Source = d.source(f)
		case deviceAddr:
			device.Addr = d.addr(d.bytes(f))
		case deviceSince:
			device.Since = d.steady(f)
		case deviceHasSeries:
			device.HasSeries = d.bool(f)
		case deviceLastSeen:
			device.LastSeen = d.steady(f)
		case deviceSeen:
			device.Seen = d.time(f, d.wallAt(device.LastSeen))
		case deviceFirstSeen:
			device.FirstSeen = d.time(f, d.wallAt(device.Since))
		case deviceOtherBytes:
			device.OtherBytes = d.uint(f, math.MaxUint64)
		default:
			d.usageField(f, &device.Usage)
		}
	}
	if device.ID.MAC.IsZero() != device.ID.Addr.IsValid() || n > 0 && d.Devices[n-1].ID.Compare(device.ID) >= 0 {
		d.bad = true
	}
}

// source reads where a name came from. As there are few answers, it seldom takes
// memory.
func (d *ledgerDecoder) source(f field) state.NameSource {
	text := d.bytes(f)
	for _, s := range []state.NameSource{state.FromHosts, state.FromDHCP, state.FromDNS, state.FromCache, state.FromNone} {
		if string(text) == string(s) {
			return s
		}
	}
	return state.NameSource(text)
}

func (d *ledgerDecoder) client(message []byte) {
	n := len(d.Clients)
	d.Clients = d.Clients[:n+1]
	c := &d.Clients[n]
	for f := range d.fields(message) {
		d.clientField(f, c)
	}
	if !c.Addr.IsValid() || n > 0 && !d.Clients[n-1].Addr.Less(c.Addr) {
		d.bad = true
	}
}

func (d *ledgerDecoder) clientField(f field, c *state.Client) {
	switch f.num {
	case clientAddr:
		c.Addr = d.addr(d.bytes(f))
	case clientDevice:
		if at := d.uint(f, uint64(len(d.Devices))); at > 0 {
			device := &d.Devices[at-1]
			c.DeviceHint = uint32(at - 1)
			c.Device, c.MAC, c.Name, c.Source = device.ID, device.ID.MAC, device.Name, device.Source
		}
	case clientEvidence:
		c.Evidence = state.Evidence(d.uint(f, math.MaxUint8))
	case clientInterface:
		if at := d.uint(f, uint64(len(d.interfaces))); at > 0 {
			c.Interface = d.interfaces[at-1]
		}
	case clientSince:
		c.Since = d.steady(f)
	case clientRx:
		c.LastActive[state.Rx] = d.steady(f)
	case clientTx:
		c.LastActive[state.Tx] = d.steady(f)
	case clientLastSeen:
		c.LastSeen = d.steady(f)
	case clientSeen:
		c.Seen = d.time(f, d.wallAt(c.LastSeen))
	case clientConfirmed:
		c.Confirmed = d.bool(f)
	case clientHasSeries:
		c.HasSeries = d.bool(f)
	case clientAsked:
		c.Asked = d.steady(f)
	case clientMAC:
		c.MAC = d.mac(f)
	case clientName:
		c.Name = d.string(f)
	case clientSource:
		c.Source = d.source(f)
	case clientOtherBytes:
		c.OtherBytes = d.uint(f, math.MaxUint64)
	case clientPredecessor:
		c.Predecessor = d.traffic(d.bytes(f))
	default:
		d.totalField(f, &c.CounterState)
	}
}
