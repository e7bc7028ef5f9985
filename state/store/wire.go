package store

import (
	"iter"
	"math"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"network-metrics-exporter/state"
)

// encoder appends fields of the protobuf wire format to b. A field that is zero is
// left out, but for those of the methods that say otherwise.
type encoder struct{ b []byte }

// uint writes a number.
func (e *encoder) uint(num protowire.Number, v uint64) {
	if v != 0 {
		e.b = protowire.AppendTag(e.b, num, protowire.VarintType)
		e.b = protowire.AppendVarint(e.b, v)
	}
}

// bool writes a truth value.
func (e *encoder) bool(num protowire.Number, v bool) { e.uint(num, protowire.EncodeBool(v)) }

// present writes a number that may be negative, also if it is zero.
func (e *encoder) present(num protowire.Number, v int64) {
	e.b = protowire.AppendTag(e.b, num, protowire.VarintType)
	e.b = protowire.AppendVarint(e.b, protowire.EncodeZigZag(v))
}

// time writes the nanoseconds since a moment, unless there is no time.
func (e *encoder) time(num protowire.Number, t time.Time, since int64) {
	if !t.IsZero() {
		e.present(num, t.UnixNano()-since)
	}
}

// string writes a text.
func (e *encoder) string(num protowire.Number, s string) {
	if s != "" {
		e.item(num, s)
	}
}

// item writes a text, also if it is empty.
func (e *encoder) item(num protowire.Number, s string) {
	e.b = protowire.AppendTag(e.b, num, protowire.BytesType)
	e.b = protowire.AppendString(e.b, s)
}

// mac writes a MAC.
func (e *encoder) mac(num protowire.Number, m state.MAC) {
	if !m.IsZero() {
		e.b = protowire.AppendTag(e.b, num, protowire.BytesType)
		e.b = protowire.AppendBytes(e.b, m[:])
	}
}

// addr writes the 4 or 16 bytes of an address.
func (e *encoder) addr(num protowire.Number, a netip.Addr) {
	switch {
	case a.Is4():
		b := a.As4()
		e.b = protowire.AppendTag(e.b, num, protowire.BytesType)
		e.b = protowire.AppendBytes(e.b, b[:])
	case a.IsValid():
		b := a.As16()
		e.b = protowire.AppendTag(e.b, num, protowire.BytesType)
		e.b = protowire.AppendBytes(e.b, b[:])
	}
}

// numbers writes as many numbers as the field always has.
func (e *encoder) numbers(num protowire.Number, values ...uint64) {
	for _, v := range values {
		if v != 0 {
			e.packed(num, values)
			return
		}
	}
}

// packed writes numbers, unless there are none.
func (e *encoder) packed(num protowire.Number, values []uint64) {
	if len(values) == 0 {
		return
	}
	start := e.begin(num)
	for _, v := range values {
		e.b = protowire.AppendVarint(e.b, v)
	}
	e.end(start)
}

// begin begins a message within the message; end, which gets what begin returned,
// ends it.
func (e *encoder) begin(num protowire.Number) (start int) {
	e.b = protowire.AppendTag(e.b, num, protowire.BytesType)
	e.b = append(e.b, 0) // the length of most
	return len(e.b)
}

func (e *encoder) end(start int) {
	length := len(e.b) - start
	if more := protowire.SizeVarint(uint64(length)) - 1; more > 0 {
		e.b = slices.Grow(e.b, more)[:len(e.b)+more]
		copy(e.b[start+more:], e.b[start:start+length])
	}
	protowire.AppendVarint(e.b[:start-1], uint64(length))
}

// field is one field of a message.
type field struct {
	num   protowire.Number
	kind  protowire.Type
	value uint64 // of a varint
	bytes []byte // of text or of a message
}

// decoder reads what encoder writes. Whatever encoder would not write makes it bad;
// fields that it does not know are for its caller to pass over.
type decoder struct{ bad bool }

// next takes the next field from the front of a message, false if there is none.
func (d *decoder) next(message *[]byte) (f field, ok bool) {
	b := *message
	if d.bad || len(b) == 0 {
		return field{}, false
	}
	num, kind, n := protowire.ConsumeTag(b)
	if n < 0 {
		d.bad = true
		return field{}, false
	}
	b = b[n:]
	f = field{num: num, kind: kind}
	switch kind {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(num, kind, b)
	}
	if n < 0 {
		d.bad = true
		return field{}, false
	}
	*message = b[n:]
	return f, true
}

// fields yields the fields of a message, as far as it is good.
func (d *decoder) fields(message []byte) iter.Seq[field] {
	return func(yield func(field) bool) {
		for {
			f, ok := d.next(&message)
			if !ok || !yield(f) {
				return
			}
		}
	}
}

// uint returns a number of no more than most.
func (d *decoder) uint(f field, most uint64) uint64 {
	if f.kind != protowire.VarintType || f.value > most {
		d.bad = true
		return 0
	}
	return f.value
}

func (d *decoder) bool(f field) bool { return d.uint(f, 1) == 1 }

func (d *decoder) int(f field) int64 { return protowire.DecodeZigZag(d.uint(f, math.MaxUint64)) }

func (d *decoder) duration(f field) time.Duration { return time.Duration(d.uint(f, math.MaxInt64)) }

func (d *decoder) time(f field, since int64) time.Time { return time.Unix(0, since+d.int(f)) }

// bytes returns what a field of text or a message holds.
func (d *decoder) bytes(f field) []byte {
	if f.kind != protowire.BytesType {
		d.bad = true
	}
	return f.bytes
}

func (d *decoder) string(f field) string { return string(d.bytes(f)) }

func (d *decoder) mac(f field) (m state.MAC) {
	if copy(m[:], d.bytes(f)) != len(f.bytes) || len(f.bytes) != len(m) {
		d.bad = true
	}
	return m
}

func (d *decoder) addr(b []byte) netip.Addr {
	a, ok := netip.AddrFromSlice(b)
	if !ok || a.Is4In6() {
		d.bad = true
	}
	return a
}

// number takes a number from the front of packed ones.
func (d *decoder) number(packed *[]byte) uint64 {
	v, n := protowire.ConsumeVarint(*packed)
	if n < 0 {
		d.bad, *packed = true, nil
		return 0
	}
	*packed = (*packed)[n:]
	return v
}

// numbers fills values with a field that always has as many; a field that was left
// out has zeros.
func (d *decoder) numbers(packed []byte, values []uint64) {
	if len(packed) == 0 {
		return
	}
	for i := range values {
		values[i] = d.number(&packed)
	}
	if len(packed) > 0 {
		d.bad = true
	}
}
