package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"network-metrics-exporter/state"
)

// A ledger on disk is a line that names format and version, the fields in the
// order of encode, and the CRC-32C of all that, big-endian. Numbers are varints
// as in encoding/binary, strings and lists are preceded by their length.
//
// Version 2 added the fields that version 1 skips in decode.
const (
	magic   = "network-metrics-exporter ledger "
	version = 2
)

var (
	errDamaged = errors.New("file is damaged")
	errNewer   = errors.New("file is of a newer version of this program")
	errForm    = fmt.Errorf("%w: it does not hold what its version should", errDamaged)
)

// checksum is CRC-32C: processors compute it, so that it costs nothing here.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// encode gives a ledger's file. One ledger has one encoding.
func encode(l *state.Ledger) []byte {
	// A client takes about 200 bytes: the buffer seldom has to grow.
	e := encoder{make([]byte, 0, 4<<10+256*len(l.Clients))}
	e.b = append(e.b, magic+strconv.Itoa(version)+"\n"...)
	e.string(l.Boot)
	e.uint(uint64(l.Uptime))
	e.uint(uint64(l.Opened))
	e.uint(l.Run)
	e.uint(l.Losses)
	e.bool(l.Ceilings)
	e.time(l.Wall)
	e.uint(l.Resets)
	e.string(string(l.Layout))
	e.uint(uint64(len(l.Settings)))
	for _, s := range l.Settings {
		e.string(s)
	}
	e.uint(uint64(len(l.Networks)))
	for _, p := range l.Networks {
		e.addr(p.Addr())
		e.uint(uint64(p.Bits()))
	}
	e.uint(uint64(len(l.Faults)))
	for _, source := range slices.Sorted(maps.Keys(l.Faults)) {
		e.string(string(source))
		e.string(l.Faults[source])
	}
	e.uint(uint64(len(l.Marks)))
	for _, m := range l.Marks {
		e.uint(uint64(m))
	}
	for d := range l.Other.Total {
		e.total(&l.Other, d)
		e.marks(&l.Other, d, len(l.Marks))
		e.bounds(&l.Other, d, l.Ceilings)
	}
	e.uint(uint64(len(l.Buckets)))
	for _, b := range l.Buckets {
		e.uint(uint64(b))
	}
	e.uint(uint64(len(l.Clients)))
	for _, addr := range sorted(l.Clients) {
		e.addr(addr)
		e.client(l.Clients[addr], l)
	}
	e.flows(l.Flows)
	e.uint(uint64(len(l.Asked)))
	for _, addr := range sorted(l.Asked) {
		e.addr(addr)
		e.uint(uint64(l.Asked[addr]))
	}
	return binary.BigEndian.AppendUint32(e.b, checksum(e.b))
}

// client writes one of the ledger l.
func (e *encoder) client(c state.Client, l *state.Ledger) {
	for d := range c.Total {
		e.total(&c.Tally, d)
		e.uint(uint64(c.Moved[d]))
		e.uint(uint64(len(c.Counted[d])))
		for _, r := range c.Counted[d] {
			e.uint(r.ID.Table)
			e.uint(r.ID.Object)
			e.uint(r.Bytes)
			e.uint(r.Packets)
		}
		e.marks(&c.Tally, d, len(l.Marks))
		e.bounds(&c.Tally, d, l.Ceilings)
	}
	e.uint(c.Folded)
	e.b = append(e.b, c.MAC[:]...)
	e.string(c.Interface)
	e.time(c.Since)
	e.time(c.Seen)
	e.uint(uint64(len(c.Bursts)))
	for _, b := range c.Bursts {
		e.uint(uint64(slices.Index(l.Buckets, b.Bucket)))
		for d := range b.Bytes {
			e.uint(b.Bytes[d])
			e.uint(b.Peak[d])
		}
	}
}

// sorted gives the addresses of a map in their order.
func sorted[V any](m map[netip.Addr]V) []netip.Addr {
	addrs := slices.AppendSeq(make([]netip.Addr, 0, len(m)), maps.Keys(m))
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}

// flows writes a list of one, or none.
func (e *encoder) flows(f *state.Flows) {
	if f == nil {
		e.uint(0)
		return
	}
	e.uint(1)
	e.uint(uint64(f.Uptime))
	e.uint(uint64(f.Cost))
	e.uint(uint64(len(f.Active)))
	for _, addr := range sorted(f.Active) {
		e.addr(addr)
		for _, n := range f.Active[addr] {
			e.uint(uint64(n))
		}
	}
}

// total writes one direction of a tally, but for its marks.
func (e *encoder) total(t *state.Tally, d int) {
	e.uint(t.Total[d].Bytes)
	e.uint(t.Total[d].Packets)
}

// marks writes those of one direction of a tally.
func (e *encoder) marks(t *state.Tally, d, n int) {
	for _, m := range t.Marks[:n] {
		// What has come since the mark is a smaller number than its total.
		e.uint(t.Total[d].Bytes - m[d])
	}
}

// bounds writes those of one direction of a tally: how far they are above the
// total, which is a smaller number, and 0 for a floor that the total has passed.
func (e *encoder) bounds(t *state.Tally, d int, ceilings bool) {
	above := func(bound state.Traffic) {
		e.uint(max(bound.Bytes, t.Total[d].Bytes) - t.Total[d].Bytes)
		e.uint(max(bound.Packets, t.Total[d].Packets) - t.Total[d].Packets)
	}
	above(t.Floor[d])
	if ceilings {
		above(t.Ceiling[d])
	}
}

// decode reads a ledger's file. Its errors are errDamaged or errNewer, with what
// was found.
func decode(b []byte) (*state.Ledger, error) {
	d, err := newDecoder(b)
	if err != nil {
		return nil, err
	}
	l := d.ledger()
	if d.bad || len(d.b) > 0 {
		return nil, errForm
	}
	return l, nil
}

// decodeHead reads of a ledger's file only what tells when it was made, up to
// Ceilings.
func decodeHead(b []byte) (*state.Ledger, error) {
	d, err := newDecoder(b)
	if err != nil {
		return nil, err
	}
	l := d.head()
	if d.bad {
		return nil, errForm
	}
	return l, nil
}

// newDecoder opens a ledger's file.
func newDecoder(b []byte) (*decoder, error) {
	head, _, found := bytes.Cut(b, []byte("\n"))
	number, ours := bytes.CutPrefix(head, []byte(magic))
	if !found || !ours || len(b) < 4 {
		return nil, fmt.Errorf("%w: it does not begin with %q", errDamaged, magic)
	}
	body := b[:len(b)-4]
	if checksum(body) != binary.BigEndian.Uint32(b[len(body):]) {
		return nil, fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	v, err := strconv.Atoi(string(number))
	if err != nil || v < 1 || strconv.Itoa(v) != string(number) {
		return nil, fmt.Errorf("%w: %q is no version", errDamaged, number)
	} else if v > version {
		return nil, fmt.Errorf("%w: version %d, this one knows %d", errNewer, v, version)
	}
	return &decoder{b: body[len(head)+1:], version: v}, nil
}

func (d *decoder) head() *state.Ledger {
	l := &state.Ledger{Faults: make(map[state.Source]string)}
	l.Boot = d.string()
	l.Uptime = d.duration()
	l.Opened = l.Uptime
	if d.version >= 2 {
		l.Opened = d.duration()
		l.Run = d.uint()
		l.Losses = d.uint()
		l.Ceilings = d.bool()
	}
	return l
}

func (d *decoder) ledger() *state.Ledger {
	l := d.head()
	l.Wall = d.time()
	l.Resets = d.uint()
	l.Layout = state.Rules
	if d.version >= 2 {
		l.Layout = state.Layout(d.string())
		for range d.items {
			l.Settings = append(l.Settings, d.string())
		}
	}
	for range d.items {
		l.Networks = append(l.Networks, d.prefix())
	}
	var lastSource state.Source
	for range d.items {
		source := state.Source(d.string())
		if len(l.Faults) > 0 && source <= lastSource {
			d.bad = true
		}
		l.Faults[source] = d.string()
		lastSource = source
	}
	for range d.items {
		l.Marks = append(l.Marks, d.duration())
	}
	if len(l.Marks) > len(l.Other.Marks) {
		d.bad = true
		return nil
	}
	if d.version >= 2 {
		for dir := range l.Other.Total {
			d.total(&l.Other, dir)
			d.marks(&l.Other, dir, len(l.Marks))
			d.bounds(&l.Other, dir, l.Ceilings)
		}
		for range d.items {
			b := d.duration()
			if n := len(l.Buckets); n > 0 && b <= l.Buckets[n-1] {
				d.bad = true
			}
			l.Buckets = append(l.Buckets, b)
		}
	}
	var lastAddr netip.Addr
	for left := range d.items {
		if l.Clients == nil {
			l.Clients = make(map[netip.Addr]state.Client, min(left, len(d.b)/16)) // none takes less
		}
		addr := d.addr()
		if !lastAddr.Less(addr) {
			d.bad = true
		}
		l.Clients[addr] = d.client(l)
		lastAddr = addr
	}
	if d.version >= 2 {
		for range d.items {
			d.bad = d.bad || l.Flows != nil
			l.Flows = d.flows()
		}
		l.Asked = d.asked()
	}
	return l
}

func (d *decoder) flows() *state.Flows {
	f := &state.Flows{Uptime: d.duration(), Cost: d.duration()}
	var last netip.Addr
	for left := range d.items {
		if f.Active == nil {
			f.Active = make(map[netip.Addr]state.Connections, left)
		}
		addr := d.addr()
		if !last.Less(addr) {
			d.bad = true
		}
		var c state.Connections
		for i := range c {
			n := d.uint()
			if n > math.MaxUint32 {
				d.bad = true
			}
			c[i] = uint32(n)
		}
		f.Active[addr] = c
		last = addr
	}
	return f
}

// client reads one of the ledger l.
func (d *decoder) client(l *state.Ledger) state.Client {
	var c state.Client
	for dir := range c.Total {
		d.total(&c.Tally, dir)
		c.Moved[dir] = d.duration()
		for range d.items {
			c.Counted[dir] = append(c.Counted[dir], state.Reading{
				ID:      state.CounterID{Table: d.uint(), Object: d.uint()},
				Traffic: state.Traffic{Bytes: d.uint(), Packets: d.uint()},
			})
		}
		d.marks(&c.Tally, dir, len(l.Marks))
		if d.version >= 2 {
			d.bounds(&c.Tally, dir, l.Ceilings)
		}
	}
	if d.version >= 2 {
		c.Folded = d.uint()
	}
	copy(c.MAC[:], d.bytes(len(c.MAC)))
	c.Interface = d.string()
	c.Since = d.time()
	c.Seen = d.time()
	if d.version >= 2 {
		c.Bursts = d.bursts(l.Buckets)
	}
	return c
}

func (d *decoder) asked() map[netip.Addr]time.Duration {
	asked := make(map[netip.Addr]time.Duration)
	var last netip.Addr
	for range d.items {
		addr := d.addr()
		if !last.Less(addr) {
			d.bad = true
		}
		asked[addr] = d.duration()
		last = addr
	}
	return asked
}

func (d *decoder) bursts(buckets []time.Duration) []state.Burst {
	var bursts []state.Burst
	for left := range d.items {
		if bursts == nil {
			bursts = make([]state.Burst, 0, min(left, len(buckets)))
		}
		n := d.uint()
		if n >= uint64(len(buckets)) || len(bursts) > 0 && buckets[n] <= bursts[len(bursts)-1].Bucket {
			d.bad = true
			break
		}
		b := state.Burst{Bucket: buckets[n]}
		for dir := range b.Bytes {
			b.Bytes[dir], b.Peak[dir] = d.uint(), d.uint()
		}
		bursts = append(bursts, b)
	}
	return bursts
}

// total, marks and bounds read what encoder's write.
func (d *decoder) total(t *state.Tally, dir int) {
	t.Total[dir] = state.Traffic{Bytes: d.uint(), Packets: d.uint()}
}

func (d *decoder) marks(t *state.Tally, dir, n int) {
	for i := range n {
		since := d.uint()
		if since > t.Total[dir].Bytes {
			d.bad = true
			return
		}
		t.Marks[i][dir] = t.Total[dir].Bytes - since
	}
}

func (d *decoder) bounds(t *state.Tally, dir int, ceilings bool) {
	above := func(total uint64) uint64 {
		more := d.uint()
		if more > math.MaxUint64-total {
			d.bad = true
			return 0
		}
		return total + more
	}
	bound := func() state.Traffic {
		return state.Traffic{Bytes: above(t.Total[dir].Bytes), Packets: above(t.Total[dir].Packets)}
	}
	if floor := bound(); floor != t.Total[dir] {
		t.Floor[dir] = floor
	}
	if ceilings {
		t.Ceiling[dir] = bound()
	}
}

// encoder appends fields to b.
type encoder struct{ b []byte }

func (e *encoder) uint(v uint64)     { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) string(s string)   { e.uint(uint64(len(s))); e.b = append(e.b, s...) }
func (e *encoder) addr(a netip.Addr) { e.string(string(a.AsSlice())) }

func (e *encoder) bool(v bool) {
	if v {
		e.uint(1)
	} else {
		e.uint(0)
	}
}

// time writes the nanoseconds since 1970, 0 for the zero time.
func (e *encoder) time(t time.Time) {
	var ns int64
	if !t.IsZero() {
		ns = t.UnixNano()
	}
	e.b = binary.AppendVarint(e.b, ns)
}

// decoder takes fields from the front of b. The first that is not there, or is
// nothing that encoder writes, makes it bad: all that follow are zero.
type decoder struct {
	b       []byte
	version int
	bad     bool
}

func (d *decoder) bytes(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	field := d.b[:n]
	d.b = d.b[n:]
	return field
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 { // cut short, too large, or padded
		d.bad, n = true, 0
	}
	d.bytes(n)
	return v
}

// len reads the length of a list or string. Each item takes a byte at least, so
// that a length that lies cannot ask for more memory than the file has.
func (d *decoder) len() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

// items goes round once for each item of a list, and no more once d is bad. It
// says how many are left, this one included.
func (d *decoder) items(yield func(left int) bool) {
	for n := d.len(); n > 0 && !d.bad && yield(n); n-- {
	}
}

func (d *decoder) bool() bool {
	v := d.uint()
	if v > 1 {
		d.bad = true
	}
	return v == 1
}

func (d *decoder) string() string { return string(d.bytes(d.len())) }

func (d *decoder) duration() time.Duration {
	v := d.uint()
	if v > math.MaxInt64 {
		d.bad = true
		return 0
	}
	return time.Duration(v)
}

func (d *decoder) time() time.Time {
	v, n := binary.Varint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.bad, n = true, 0
	}
	d.bytes(n)
	if v == 0 {
		return time.Time{}
	}
	return time.Unix(0, v)
}

func (d *decoder) addr() netip.Addr {
	a, ok := netip.AddrFromSlice(d.bytes(d.len()))
	if !ok || a.Is4In6() {
		d.bad = true
	}
	return a
}

func (d *decoder) prefix() netip.Prefix {
	addr, bits := d.addr(), d.uint()
	p := netip.PrefixFrom(addr, int(min(bits, math.MaxUint8)))
	if !p.IsValid() {
		d.bad = true
	}
	return p
}
