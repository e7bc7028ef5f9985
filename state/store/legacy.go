package store

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"network-metrics-exporter/state"
)

// Versions 1 and 2 kept a ledger of addresses, without devices. Its fields are in a
// fixed order: numbers are varints as in encoding/binary, texts and lists are
// preceded by their length. Version 2 added those that version 1 skips below, and
// two files: a checkpoint beside the ledger, which is a ledger with limits above
// its totals, and in the runtime directory a ledger that is named after the state
// directory.

// legacyCheckpoint returns the path of version 2's checkpoint.
func (p Paths) legacyCheckpoint() string { return filepath.Join(p.Dir, "checkpoint") }

// legacyVolatile returns the path that version 2 gave a ledger in the runtime
// directory.
func (p Paths) legacyVolatile() string {
	dir := p.Dir
	// Where these fail, so does whatever is done with the directory.
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	digest := fnv.New64a()
	digest.Write([]byte(dir))
	return filepath.Join(p.Runtime, fmt.Sprintf("%s-%016x", ledgerName, digest.Sum64()))
}

// legacyDecoder takes fields from the front of b. The first that is not there makes
// it bad: all that follow are zero.
type legacyDecoder struct {
	*state.Ledger
	b          []byte
	version    int
	bad        bool
	checkpoint bool
	baselines  int // how many each total has
}

// decodeLegacy reads a ledger of version 1 or 2: its clients, whose totals also go
// to a device for each MAC, or for each address without one. What only made rates,
// and questions that were asked or are about to be, it leaves alone.
func decodeLegacy(body []byte, format int) (*state.Ledger, bool) {
	d := legacyDecoder{Ledger: &state.Ledger{}, b: body, version: format}
	d.head()
	if d.version >= 2 {
		for dir := range d.Other.Total {
			d.traffic(&d.Other, dir)
			d.limits(&d.Other, dir)
		}
		for range d.items { // the slots of the last minute
			d.duration()
		}
	}
	var last netip.Addr
	for range d.items {
		addr := d.addr()
		if !last.Less(addr) {
			d.bad = true
		}
		d.client(addr)
		last = addr
	}
	if d.bad {
		return nil, false
	}
	slices.SortFunc(d.LastReadings.Objects, state.CounterID.Compare)
	d.LastReadings.Objects = slices.Compact(d.LastReadings.Objects)
	d.seedDevices()
	return d.Ledger, true
}

// head reads what comes before the clients, but for the total of all others.
func (d *legacyDecoder) head() {
	d.Boot = d.string()
	d.Uptime = d.duration()
	d.FirstUptime = d.Uptime
	if d.version >= 2 {
		d.FirstUptime = d.duration()
		d.Run = d.uint()
		d.Losses = d.uint()
		d.checkpoint = d.uint() != 0
	}
	if d.checkpoint {
		d.Checkpoint = max(d.Uptime, 1)
	}
	// The steady clock begins as the wall clock is. That is not set if it says that
	// this program is yet to be written.
	d.Wall = d.time()
	d.Steady = d.steady(d.Wall)
	d.Trusted = d.Wall.Year() >= 2026
	d.Resets = d.uint()
	d.LastReadings.Layout = state.Rules
	if d.version >= 2 {
		d.LastReadings.Layout = state.Layout(d.string())
		for range d.items {
			d.Settings = append(d.Settings, d.string())
		}
	}
	for range d.items {
		p := netip.PrefixFrom(d.addr(), int(min(d.uint(), math.MaxUint8)))
		d.bad = d.bad || !p.IsValid()
		d.Networks = append(d.Networks, p)
	}
	d.Faults = make(map[state.Source]string)
	for range d.items {
		source := state.Source(d.string())
		d.Faults[source] = d.string()
	}
	for range d.items {
		d.duration()
		d.baselines++
	}
}

// client reads one address.
func (d *legacyDecoder) client(addr netip.Addr) {
	c := state.Client{Addr: addr, HasSeries: true}
	for dir := range c.Total {
		d.direction(&c, dir)
	}
	if d.version >= 2 {
		c.OtherBytes = d.uint()
	}
	copy(c.MAC[:], d.bytes(len(c.MAC)))
	c.Interface = d.string()
	since := d.time()
	c.Since = d.steady(since)
	c.Seen = d.time()
	c.LastSeen = d.steady(c.Seen)
	c.Confirmed = c.Total[state.Rx].Packets > 0
	c.Device = state.DeviceID{Addr: addr}
	if !c.MAC.IsZero() {
		c.Device, c.Evidence = state.DeviceID{MAC: c.MAC}, state.FromNeighbor
	}
	if d.version >= 2 {
		for range d.items { // slots of the last minute
			for range 5 {
				d.uint()
			}
		}
	}
	if !since.IsZero() { // else it was only ever sent to
		d.Clients = append(d.Clients, c)
	}
}

// direction reads what is there twice of an address.
func (d *legacyDecoder) direction(c *state.Client, dir int) {
	d.traffic(&c.CounterState, dir)
	if active := d.duration(); active != 0 {
		c.LastActive[dir] = d.Steady - (d.Uptime - active)
	}
	for range d.items {
		id := state.CounterID{Table: d.uint(), Object: d.uint()}
		r := &d.LastReadings
		r.Objects = append(r.Objects, id)
		r.Counters = append(r.Counters, state.Counter{
			Addr: c.Addr, Direction: state.Direction(dir), ID: id,
			Traffic: state.Traffic{Bytes: d.uint(), Packets: d.uint()},
		})
	}
	d.limits(&c.CounterState, dir)
}

// traffic reads one direction of a total.
func (d *legacyDecoder) traffic(s *state.CounterState, dir int) {
	s.Total[dir] = state.Traffic{Bytes: d.uint(), Packets: d.uint()}
}

// limits passes over the baselines of one direction of a total, raises it to the
// least that may be published, and reads, in a checkpoint, what is the most.
func (d *legacyDecoder) limits(s *state.CounterState, dir int) {
	for range d.baselines {
		d.uint()
	}
	if d.version < 2 {
		return
	}
	total := s.Total[dir]
	above := func() state.Traffic {
		return state.Traffic{Bytes: total.Bytes + d.uint(), Packets: total.Packets + d.uint()}
	}
	s.Total[dir] = above()
	if d.checkpoint {
		s.Reserved[dir] = above()
	}
}

// seedDevices gives each device the totals of its clients. What they have so far
// is of no period.
func (d *legacyDecoder) seedDevices() {
	places := make(map[state.DeviceID]int)
	for i := range d.Clients {
		c := &d.Clients[i]
		at, found := places[c.Device]
		if !found {
			at = len(d.Devices)
			places[c.Device] = at
			d.Devices = append(d.Devices, state.Device{ID: c.Device, Since: c.Since, HasSeries: true})
		}
		device := &d.Devices[at]
		device.Since = min(device.Since, c.Since)
		if c.LastSeen > device.LastSeen {
			device.Presence = c.Presence
		}
		device.OtherBytes += c.OtherBytes
		for dir, total := range c.Total {
			add(&device.Total[dir], total)
			add(&device.Reserved[dir], c.Reserved[dir])
			device.PeriodBase[state.All][dir] = device.Total[dir].Bytes
		}
	}
	slices.SortFunc(d.Devices, func(a, b state.Device) int { return a.ID.Compare(b.ID) })
}

// add adds to a sum, which stays at the largest number that there is.
func add(sum *state.Traffic, t state.Traffic) {
	sum.Bytes = sum.Bytes + min(t.Bytes, math.MaxUint64-sum.Bytes)
	sum.Packets = sum.Packets + min(t.Packets, math.MaxUint64-sum.Packets)
}

// steady returns what the steady clock says at a time of the wall clock: as that
// clock was set then, but no later than the ledger.
func (d *legacyDecoder) steady(t time.Time) time.Duration {
	switch {
	case t.IsZero():
		return 0
	case t.After(d.Wall):
		t = d.Wall
	}
	return time.Duration(t.UnixNano())
}

func (d *legacyDecoder) bytes(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	field := d.b[:n]
	d.b = d.b[n:]
	return field
}

func (d *legacyDecoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, n = true, 0
	}
	d.bytes(n)
	return v
}

// len reads the length of a text or list. Each item takes a byte at least, so that
// a length that lies cannot ask for more memory than the file has.
func (d *legacyDecoder) len() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

// items goes round once for each item of a list, and no more once d is bad.
func (d *legacyDecoder) items(yield func(int) bool) {
	for n := d.len(); n > 0 && !d.bad && yield(n); n-- {
	}
}

func (d *legacyDecoder) string() string { return string(d.bytes(d.len())) }

func (d *legacyDecoder) duration() time.Duration {
	v := d.uint()
	d.bad = d.bad || v > math.MaxInt64
	return time.Duration(v)
}

// time reads the nanoseconds since 1970, 0 for no time.
func (d *legacyDecoder) time() time.Time {
	v := d.uint() // in the zigzag encoding
	if v == 0 {
		return time.Time{}
	}
	return time.Unix(0, protowire.DecodeZigZag(v))
}

func (d *legacyDecoder) addr() netip.Addr {
	a, ok := netip.AddrFromSlice(d.bytes(d.len()))
	d.bad = d.bad || !ok || a.Is4In6()
	return a
}
