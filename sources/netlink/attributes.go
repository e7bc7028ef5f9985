package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// typeFlags are the bits of an attribute's type that are not its number.
const typeFlags = unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER

var errAttribute = errors.New("malformed attribute")

// Attributes walks over attributes (struct nlattr in linux/netlink.h) without
// copying or allocating anything:
//
//	var err error
//	for a := netlink.Walk(body[netlink.SizeofNfgenmsg:], &err); a.Next(); {
//		switch a.Type {
//		case unix.NFTA_CHAIN_NAME:
//			name = a.Text()
//		case unix.NFTA_CHAIN_HOOK:
//			for hook := a.Nested(); hook.Next(); {
//				...
//			}
//		}
//	}
//	return name, err
//
// The first error, also one out of a nested walk, ends all walks that share the
// error variable.
type Attributes struct {
	// Type is that of the current attribute, without the flags NLA_F_NESTED and
	// NLA_F_NET_BYTEORDER, which not every kernel sets.
	Type uint16
	// Value is a part of what is walked over, and holds as long as that does.
	Value []byte

	rest []byte
	err  *error
}

// Walk begins a walk over the attributes in b, which sets *err, nil until then,
// if it meets one that is malformed.
func Walk(b []byte, err *error) Attributes { return Attributes{rest: b, err: err} }

// Next goes to the next attribute and reports whether there is one.
func (a *Attributes) Next() bool {
	if len(a.rest) == 0 || *a.err != nil {
		return false
	}
	if len(a.rest) < unix.SizeofNlAttr {
		*a.err = errAttribute
		return false
	}
	size := int(binary.NativeEndian.Uint16(a.rest))
	if size < unix.SizeofNlAttr || size > len(a.rest) {
		*a.err = errAttribute
		return false
	}
	a.Type = binary.NativeEndian.Uint16(a.rest[2:]) &^ typeFlags
	a.Value = a.rest[unix.SizeofNlAttr:size]
	// What comes last may lack the padding.
	a.rest = a.rest[min(align(size), len(a.rest)):]
	return true
}

// Nested begins a walk over the attributes that the current one consists of.
func (a *Attributes) Nested() Attributes { return Walk(a.Value, a.err) }

// Fail ends the walk with an error about the current attribute.
func (a *Attributes) Fail(err error) {
	if *a.err == nil {
		*a.err = err
	}
}

// sized returns the value if it has that many bytes. If it has not, the walk fails,
// and zeros stand for it.
func (a *Attributes) sized(size int) []byte {
	if len(a.Value) != size {
		a.Fail(fmt.Errorf("attribute %d of %d bytes, want %d", a.Type, len(a.Value), size))
		return zeros[:size]
	}
	return a.Value
}

var zeros [8]byte

// Uint8 decodes a number of one byte (NLA_U8).
func (a *Attributes) Uint8() uint8 { return a.sized(1)[0] }

// Uint16 decodes a number in network byte order (NLA_BE16), as the subsystems of
// nfnetlink have them.
func (a *Attributes) Uint16() uint16 { return binary.BigEndian.Uint16(a.sized(2)) }

// Uint32 decodes a number in network byte order (NLA_BE32).
func (a *Attributes) Uint32() uint32 { return binary.BigEndian.Uint32(a.sized(4)) }

// Uint64 decodes a number in network byte order (NLA_BE64).
func (a *Attributes) Uint64() uint64 { return binary.BigEndian.Uint64(a.sized(8)) }

// NativeUint32 decodes a number in the host's byte order (NLA_U32), as rtnetlink
// has them.
func (a *Attributes) NativeUint32() uint32 { return binary.NativeEndian.Uint32(a.sized(4)) }

// Text decodes a string that may end with a NUL (NLA_NUL_STRING, NLA_STRING).
func (a *Attributes) Text() string { return unix.ByteSliceToString(a.Value) }

// Addr decodes an address of 4 or 16 bytes, an IPv4-mapped one as IPv4.
func (a *Attributes) Addr() netip.Addr {
	addr, ok := netip.AddrFromSlice(a.Value)
	if !ok {
		a.Fail(fmt.Errorf("address of %d bytes", len(a.Value)))
	}
	return addr.Unmap()
}
