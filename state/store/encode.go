package store

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"network-metrics-exporter/state"
)

// ledgerEncoder writes one ledger.
type ledgerEncoder struct {
	encoder
	*state.Ledger
	wall       int64    // Wall in nanoseconds since 1970
	interfaces []string // sorted
	values     []uint64 // room for packed numbers
}

// encode returns a ledger's file. One ledger has one encoding. Recovered and what
// is only of this run in LastReadings are not in it, nor are baselines and slots
// of a total that the ledger has none for: nobody looks at them.
func encode(l *state.Ledger) []byte {
	e := ledgerEncoder{Ledger: l, wall: l.Wall.UnixNano()}
	// A client takes about 150 bytes: the buffer seldom has to grow.
	e.b = make([]byte, 0, 4<<10+256*(len(l.Clients)+len(l.Devices)))
	e.b = append(e.b, magic+strconv.Itoa(version)+"\n"...)
	e.times()
	e.settings()
	e.readings()
	start := e.begin(ledgerOther)
	e.total(&l.Other)
	e.end(start)
	start = e.begin(ledgerOtherDevice)
	e.usage(&l.OtherDevice)
	e.end(start)
	for i := range l.Devices {
		start := e.begin(ledgerDevice)
		e.device(&l.Devices[i])
		e.end(start)
	}
	for i := range l.Clients {
		start := e.begin(ledgerClient)
		e.client(&l.Clients[i])
		e.end(start)
	}
	e.counters()
	e.flows()
	return binary.BigEndian.AppendUint32(e.b, checksum(e.b))
}

// times writes the head, and whatever else is a number of the ledger itself.
func (e *ledgerEncoder) times() {
	e.uint(ledgerRun, e.Run)
	e.string(ledgerBoot, e.Boot)
	e.uint(ledgerUptime, uint64(e.Uptime))
	e.uint(ledgerCheckpoint, uint64(e.Checkpoint))
	e.time(ledgerWall, e.Wall, 0)
	if e.Steady != 0 {
		e.present(ledgerSteady, int64(e.Steady))
	}
	e.bool(ledgerTrusted, e.Trusted)
	e.uint(ledgerFirstUptime, uint64(e.FirstUptime))
	e.uint(ledgerResets, e.Resets)
	e.uint(ledgerRepairs, e.Repairs)
	e.uint(ledgerLosses, e.Losses)
	e.uint(ledgerFlowFile, e.FlowFile)
	e.time(ledgerCurrentPeriod, e.PeriodStarts[state.Current], e.wall)
	e.time(ledgerPreviousPeriod, e.PeriodStarts[state.Previous], e.wall)
}

// settings writes the lists of the ledger itself.
func (e *ledgerEncoder) settings() {
	for _, s := range e.Settings {
		e.item(ledgerSetting, s)
	}
	for _, p := range e.Networks {
		e.item(ledgerNetwork, string(append(p.Addr().AsSlice(), byte(p.Bits()))))
	}
	for _, source := range slices.Sorted(maps.Keys(e.Faults)) {
		start := e.begin(ledgerFault)
		e.string(faultSource, string(source))
		e.string(faultText, e.Faults[source])
		e.end(start)
	}
	e.beforeUptime(ledgerBaselines, e.Baselines)
	e.beforeUptime(ledgerSlots, e.Slots)
	for i := range e.Clients {
		if name := e.Clients[i].Interface; name != "" {
			if at, found := slices.BinarySearch(e.interfaces, name); !found {
				e.interfaces = slices.Insert(e.interfaces, at, name)
			}
		}
	}
	for _, name := range e.interfaces {
		e.item(ledgerInterface, name)
	}
}

func (e *ledgerEncoder) beforeUptime(num protowire.Number, times []time.Duration) {
	e.values = e.values[:0]
	for _, t := range times {
		e.values = append(e.values, uint64(e.Uptime-t))
	}
	e.packed(num, e.values)
}

// steady writes a time on the steady clock, unless it is never.
func (e *ledgerEncoder) steady(num protowire.Number, t time.Duration) {
	if t != 0 {
		e.present(num, int64(e.Steady-t))
	}
}

// wallAt returns what the wall clock, as it is set now, was at a time on the
// steady clock, in nanoseconds since 1970.
func (e *ledgerEncoder) wallAt(t time.Duration) int64 { return e.wall - int64(e.Steady-t) }

func (e *ledgerEncoder) readings() {
	a := &e.LastReadings
	start := e.begin(ledgerReadings)
	e.string(readingsLayout, string(a.Layout))
	e.values = e.values[:0]
	for _, id := range a.Objects {
		e.values = append(e.values, id.Table, id.Object)
	}
	e.packed(readingsObjects, e.values)
	e.bool(readingsFull, a.Full)
	e.uint(readingsFlowtable, uint64(a.Flowtable))
	e.bool(readingsLocalKnown, a.LocalKnown)
	e.end(start)
}

func (e *ledgerEncoder) total(s *state.CounterState) {
	rx, tx := s.Total[state.Rx], s.Total[state.Tx]
	e.numbers(totalTraffic, rx.Bytes, rx.Packets, tx.Bytes, tx.Packets)
	var since [2 * len(s.Baselines)]uint64
	for i := range e.Baselines {
		since[2*i], since[2*i+1] = rx.Bytes-s.Baselines[i][state.Rx], tx.Bytes-s.Baselines[i][state.Tx]
	}
	e.numbers(totalBaselines, since[:2*len(e.Baselines)]...)
	e.values = e.values[:0]
	for i := range s.Slots {
		slot := &s.Slots[i]
		if at, found := slices.BinarySearch(e.Slots, slot.Start); found {
			rx, tx := slot.Delta[state.Rx], slot.Delta[state.Tx]
			e.values = append(e.values, uint64(at), rx.Bytes, rx.Packets, tx.Bytes, tx.Packets, slot.Peak[state.Rx], slot.Peak[state.Tx])
		}
	}
	e.packed(totalSlots, e.values)
	if s.Reserved != ([2]state.Traffic{}) {
		above := func(d state.Direction) (bytes, packets uint64) {
			return s.Reserved[d].Bytes - s.Total[d].Bytes, s.Reserved[d].Packets - s.Total[d].Packets
		}
		rxBytes, rxPackets := above(state.Rx)
		txBytes, txPackets := above(state.Tx)
		e.packed(totalReserved, []uint64{rxBytes, rxPackets, txBytes, txPackets})
	}
}

func (e *ledgerEncoder) usage(u *state.Usage) {
	e.total(&u.CounterState)
	e.numbers(usageLocal, u.Local[:]...)
	if u.LocalReserved != ([2]uint64{}) {
		e.packed(usageLocalReserved, []uint64{u.LocalReserved[state.Rx] - u.Local[state.Rx], u.LocalReserved[state.Tx] - u.Local[state.Tx]})
	}
	periods := func(p [2]state.PeriodBytes) []uint64 {
		return []uint64{p[state.All][state.Rx], p[state.All][state.Tx], p[state.Local][state.Rx], p[state.Local][state.Tx]}
	}
	e.numbers(usagePeriodBase, periods(u.PeriodBase)...)
	e.numbers(usagePrevious, periods(u.Previous)...)
}

func (e *ledgerEncoder) device(d *state.Device) {
	e.usage(&d.Usage)
	e.mac(deviceMAC, d.ID.MAC)
	e.addr(deviceIDAddr, d.ID.Addr)
	e.string(deviceName, d.Name)
	e.string(deviceSource, string(d.Source))
	e.addr(deviceAddr, d.Addr)
	e.steady(deviceSince, d.Since)
	e.bool(deviceHasSeries, d.HasSeries)
	e.steady(deviceLastSeen, d.LastSeen)
	e.time(deviceSeen, d.Seen, e.wallAt(d.LastSeen))
	e.time(deviceFirstSeen, d.FirstSeen, e.wallAt(d.Since))
	e.uint(deviceOtherBytes, d.OtherBytes)
}

func (e *ledgerEncoder) client(c *state.Client) {
	e.total(&c.CounterState)
	e.addr(clientAddr, c.Addr)
	device := new(state.Device)
	if i, ok := e.DeviceOf(c); ok {
		device = &e.Devices[i]
		e.uint(clientDevice, uint64(i)+1)
	}
	e.uint(clientEvidence, uint64(c.Evidence))
	if i, found := slices.BinarySearch(e.interfaces, c.Interface); found {
		e.uint(clientInterface, uint64(i)+1)
	}
	e.steady(clientSince, c.Since)
	e.steady(clientRx, c.LastActive[state.Rx])
	e.steady(clientTx, c.LastActive[state.Tx])
	e.steady(clientLastSeen, c.LastSeen)
	e.time(clientSeen, c.Seen, e.wallAt(c.LastSeen))
	e.bool(clientConfirmed, c.Confirmed)
	e.bool(clientHasSeries, c.HasSeries)
	e.steady(clientAsked, c.Asked)
	if c.MAC != device.ID.MAC {
		e.item(clientMAC, string(c.MAC[:]))
	}
	if c.Name != device.Name {
		e.item(clientName, c.Name)
	}
	if c.Source != device.Source {
		e.item(clientSource, string(c.Source))
	}
	e.uint(clientOtherBytes, c.OtherBytes)
	rx, tx := c.Predecessor[state.Rx], c.Predecessor[state.Tx]
	e.numbers(clientPredecessor, rx.Bytes, rx.Packets, tx.Bytes, tx.Packets)
}

// counters writes what each counter last showed, address by address.
func (e *ledgerEncoder) counters() {
	all, local := e.LastReadings.Counters, e.LastReadings.Local
	for at := 0; len(all) > 0 || len(local) > 0; {
		var addr netip.Addr
		if len(local) == 0 || len(all) > 0 && !local[0].Addr.Less(all[0].Addr) {
			addr = all[0].Addr
		} else {
			addr = local[0].Addr
		}
		for at < len(e.Clients) && e.Clients[at].Addr.Less(addr) {
			at++
		}
		start := e.begin(ledgerCounters)
		if at < len(e.Clients) && e.Clients[at].Addr == addr {
			e.uint(countersClient, uint64(at)+1)
		} else {
			e.addr(countersAddr, addr)
		}
		all = e.countersOf(countersAll, addr, all)
		local = e.countersOf(countersLocal, addr, local)
		e.end(start)
	}
}

// countersOf writes the counters of an address, which come first, and returns the
// others.
func (e *ledgerEncoder) countersOf(num protowire.Number, addr netip.Addr, counters []state.Counter) []state.Counter {
	e.values = e.values[:0]
	for len(counters) > 0 && counters[0].Addr == addr {
		c := &counters[0]
		if i, found := slices.BinarySearchFunc(e.LastReadings.Objects, c.ID, state.CounterID.Compare); found {
			e.values = append(e.values, uint64(i+1)<<1|uint64(c.Direction))
		} else {
			e.values = append(e.values, uint64(c.Direction), c.ID.Table, c.ID.Object)
		}
		e.values = append(e.values, c.Bytes, c.Packets)
		counters = counters[1:]
	}
	e.packed(num, e.values)
	return counters
}

func (e *ledgerEncoder) flows() {
	f := e.Flows
	if f == nil {
		return
	}
	start := e.begin(ledgerFlows)
	e.uint(flowsUptime, uint64(f.Uptime))
	e.uint(flowsCost, uint64(f.Cost))
	for _, addr := range slices.SortedFunc(maps.Keys(f.Active), netip.Addr.Compare) {
		start := e.begin(flowsActive)
		e.addr(activeAddr, addr)
		e.values = e.values[:0]
		for _, n := range f.Active[addr] {
			e.values = append(e.values, uint64(n))
		}
		e.numbers(activeCounts, e.values...)
		e.end(start)
	}
	e.end(start)
}
