package netlink

import (
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// SizeofNfgenmsg is that of struct nfgenmsg (linux/netfilter/nfnetlink.h), with
// which the body of every message of nfnetlink begins: family, version, and the
// resource in network byte order.
const SizeofNfgenmsg = 4

// Encoder writes the body of a message.
type Encoder struct {
	b   []byte
	err error
}

// NewEncoder begins a body with the header of the protocol, padded to 4 bytes.
func NewEncoder(header ...byte) *Encoder {
	e := &Encoder{}
	e.append(header)
	return e
}

// NewNfEncoder begins a body with struct nfgenmsg. Family is NFPROTO_*.
func NewNfEncoder(family uint8) *Encoder {
	return NewEncoder(family, unix.NFNETLINK_V0, 0, 0)
}

// Body returns what was written. The error is about an attribute that is longer
// than 65,535 bytes, header included.
func (e *Encoder) Body() ([]byte, error) { return e.b, e.err }

// Len returns how many bytes were written.
func (e *Encoder) Len() int { return len(e.b) }

// append appends bytes and the padding that follows them.
func (e *Encoder) append(b []byte) {
	e.b = append(e.b, b...)
	e.b = append(e.b, zeros[:align(len(e.b))-len(e.b)]...)
}

// attribute writes an attribute whose value is what write appends.
func (e *Encoder) attribute(typ uint16, write func()) {
	start := len(e.b)
	e.b = binary.NativeEndian.AppendUint32(e.b, 0)
	write()
	size := len(e.b) - start
	if size > math.MaxUint16 && e.err == nil {
		e.err = fmt.Errorf("encode attribute %d: %d bytes are more than %d", typ&^typeFlags, size, math.MaxUint16)
	}
	binary.NativeEndian.PutUint16(e.b[start:], uint16(size))
	binary.NativeEndian.PutUint16(e.b[start+2:], typ)
	e.append(nil)
}

// Bytes writes an attribute with that value.
func (e *Encoder) Bytes(typ uint16, value []byte) {
	e.attribute(typ, func() { e.b = append(e.b, value...) })
}

// Nested writes an attribute that consists of those that write writes.
func (e *Encoder) Nested(typ uint16, write func()) {
	e.attribute(typ|unix.NLA_F_NESTED, write)
}

// Text writes a string and the NUL that ends it (NLA_NUL_STRING).
func (e *Encoder) Text(typ uint16, value string) {
	e.attribute(typ, func() { e.b = append(append(e.b, value...), 0) })
}

// Uint8 writes a number of one byte (NLA_U8).
func (e *Encoder) Uint8(typ uint16, value uint8) { e.Bytes(typ, []byte{value}) }

// Uint16 writes a number in network byte order (NLA_BE16), as the subsystems of
// nfnetlink have them.
func (e *Encoder) Uint16(typ uint16, value uint16) {
	e.Bytes(typ, binary.BigEndian.AppendUint16(nil, value))
}

// Uint32 writes a number in network byte order (NLA_BE32).
func (e *Encoder) Uint32(typ uint16, value uint32) {
	e.Bytes(typ, binary.BigEndian.AppendUint32(nil, value))
}

// Uint64 writes a number in network byte order (NLA_BE64).
func (e *Encoder) Uint64(typ uint16, value uint64) {
	e.Bytes(typ, binary.BigEndian.AppendUint64(nil, value))
}

// NativeUint32 writes a number in the host's byte order (NLA_U32), as rtnetlink
// has them.
func (e *Encoder) NativeUint32(typ uint16, value uint32) {
	e.Bytes(typ, binary.NativeEndian.AppendUint32(nil, value))
}
