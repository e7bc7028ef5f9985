package store

import (
	"math"

	"network-metrics-exporter/state"
)

// slotsAtOnce is how many slots room is made for at once.
const slotsAtOnce = 512

// usageFields are the fields of usage as they were found, by number. The first of
// them are those of a total.
type usageFields [usageEnd][]byte

// collect keeps a field if it is one of a total or of usage.
func (d *ledgerDecoder) collect(fields *usageFields, f field) {
	if int(f.num) < len(fields) {
		fields[f.num] = d.bytes(f)
	}
}

// total reads the fields of a total.
func (d *ledgerDecoder) total(fields *usageFields, s *state.CounterState) {
	s.Total = d.traffic(fields[totalTraffic])
	var since [2 * len(s.Baselines)]uint64
	d.numbers(fields[totalBaselines], since[:2*len(d.Baselines)])
	for i := range d.Baselines {
		for dir := range s.Total {
			s.Baselines[i][dir] = s.Total[dir].Bytes - since[2*i+dir]
		}
	}
	s.Slots = d.slotsOf(fields[totalSlots])
	if len(fields[totalReserved]) > 0 {
		above := d.traffic(fields[totalReserved])
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

// usage reads the fields of usage.
func (d *ledgerDecoder) usage(fields *usageFields, u *state.Usage) {
	d.total(fields, &u.CounterState)
	d.numbers(fields[usageLocal], u.Local[:])
	if len(fields[usageLocalReserved]) > 0 {
		var above [2]uint64
		d.numbers(fields[usageLocalReserved], above[:])
		for dir, local := range u.Local {
			u.LocalReserved[dir] = local + above[dir]
		}
	}
	u.PeriodBase = d.periods(fields[usagePeriodBase])
	u.Previous = d.periods(fields[usagePrevious])
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
	fields := d.usageOnly(message)
	d.total(&fields, &d.Other)
}

// otherDevice reads a message that is usage and no more.
func (d *ledgerDecoder) otherDevice(message []byte) {
	fields := d.usageOnly(message)
	d.usage(&fields, &d.OtherDevice)
}

// usageOnly collects the fields of a message that has no others.
func (d *ledgerDecoder) usageOnly(message []byte) (fields usageFields) {
	for {
		f, ok := d.next(&message)
		if !ok {
			return fields
		}
		d.collect(&fields, f)
	}
}

func (d *ledgerDecoder) device(message []byte) {
	n := len(d.Devices)
	d.Devices = d.Devices[:n+1]
	device := &d.Devices[n]
	var fields usageFields
	var seen, firstSeen field
	for {
		f, ok := d.next(&message)
		if !ok {
			break
		}
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
			seen = f
		case deviceFirstSeen:
			firstSeen = f
		case deviceOtherBytes:
			device.OtherBytes = d.uint(f, math.MaxUint64)
		default:
			d.collect(&fields, f)
		}
	}
	d.usage(&fields, &device.Usage)
	if seen.num != 0 {
		device.Seen = d.time(seen, d.wallAt(device.LastSeen))
	}
	if firstSeen.num != 0 {
		device.FirstSeen = d.time(firstSeen, d.wallAt(device.Since))
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
	var fields usageFields
	var mac, name, source, seen field
	n := len(d.Clients)
	d.Clients = d.Clients[:n+1]
	c, device := &d.Clients[n], &d.noDevice
	for {
		f, ok := d.next(&message)
		if !ok {
			break
		}
		switch f.num {
		case clientAddr:
			c.Addr = d.addr(d.bytes(f))
		case clientDevice:
			if at := d.uint(f, uint64(len(d.Devices))); at > 0 {
				device = &d.Devices[at-1]
			}
		case clientMAC:
			mac = f
		case clientName:
			name = f
		case clientSource:
			source = f
		case clientSeen:
			seen = f
		case clientPredecessor:
			c.Predecessor = d.traffic(d.bytes(f))
		case totalTraffic, totalBaselines, totalSlots, totalReserved:
			d.collect(&fields, f)
		default:
			d.clientField(c, f)
		}
	}
	d.total(&fields, &c.CounterState)
	c.Device, c.MAC, c.Name, c.Source = device.ID, device.ID.MAC, device.Name, device.Source
	if mac.num != 0 {
		c.MAC = d.mac(mac)
	}
	if name.num != 0 {
		c.Name = d.string(name)
	}
	if source.num != 0 {
		c.Source = d.source(source)
	}
	if seen.num != 0 {
		c.Seen = d.time(seen, d.wallAt(c.LastSeen))
	}
	if !c.Addr.IsValid() || n > 0 && !d.Clients[n-1].Addr.Less(c.Addr) {
		d.bad = true
	}
}

// clientField reads the fields of a client that need no other.
func (d *ledgerDecoder) clientField(c *state.Client, f field) {
	switch f.num {
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
	case clientConfirmed:
		c.Confirmed = d.bool(f)
	case clientHasSeries:
		c.HasSeries = d.bool(f)
	case clientAsked:
		c.Asked = d.steady(f)
	case clientOtherBytes:
		c.OtherBytes = d.uint(f, math.MaxUint64)
	}
}
