package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"
)

// typeFlags are the bits of an attribute's type that are not its number.
const typeFlags = unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER

var errAttribute = errors.New("malformed attribute")

// Value is that of an attribute: a part of what is walked over, which holds as long
// as that does. Where it is not of the size that a method asks for, the walk ends with
// an error, and the method returns zero.
type Value struct {
	Bytes []byte
	err   *error
}

// Attributes walks over the attributes in b (struct nlattr in linux/netlink.h)
// without copying anything:
//
//	var err error
//	for typ, value := range netlink.Attributes(body[netlink.SizeofNfgenmsg:], &err) {
//		switch typ {
//		case unix.NFTA_CHAIN_NAME:
//			name = value.Text()
//		case unix.NFTA_CHAIN_HOOK:
//			for typ, value := range value.Nested() {
//				...
//			}
//		}
//	}
//	return name, err
//
// A type comes without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER, which not
// every kernel sets. The first error, also one out of a nested walk, ends all walks
// that share err. Nothing but that variable is allocated: where many messages are
// decoded, one serves for all.
func Attributes(b []byte, err *error) iter.Seq2[uint16, Value] {
	return func(yield func(uint16, Value) bool) {
		for rest := b; len(rest) > 0 && *err == nil; {
			if len(rest) < unix.SizeofNlAttr {
				*err = errAttribute
				return
			}
			size := int(binary.NativeEndian.Uint16(rest))
			if size < unix.SizeofNlAttr || size > len(rest) {
				*err = errAttribute
				return
			}
			typ := binary.NativeEndian.Uint16(rest[2:]) &^ typeFlags
			if !yield(typ, Value{rest[unix.SizeofNlAttr:size], err}) {
				return
			}
			// What comes last may lack the padding.
			rest = rest[min(align(size), len(rest)):]
		}
	}
}

// Nested walks over the attributes that the value consists of.
func (v Value) Nested() iter.Seq2[uint16, Value] { return Attributes(v.Bytes, v.err) }

// Fail ends the walk with an error about the value.
func (v Value) Fail(err error) {
	if *v.err == nil {
		*v.err = err
	}
}

// sized returns the value, or zeros if it has not that many bytes.
func (v Value) sized(size int) []byte {
	if len(v.Bytes) != size {
		v.Fail(fmt.Errorf("attribute of %d bytes, want %d", len(v.Bytes), size))
		return zeros[:size]
	}
	return v.Bytes
}

var zeros [8]byte

// Uint8 decodes a number of one byte (NLA_U8).
func (v Value) Uint8() uint8 { return v.sized(1)[0] }

// Uint16 decodes a number in network byte order (NLA_BE16), as the subsystems of
// nfnetlink have them.
func (v Value) Uint16() uint16 { return binary.BigEndian.Uint16(v.sized(2)) }

// Uint32 decodes a number in network byte order (NLA_BE32).
func (v Value) Uint32() uint32 { return binary.BigEndian.Uint32(v.sized(4)) }

// Uint64 decodes a number in network byte order (NLA_BE64).
func (v Value) Uint64() uint64 { return binary.BigEndian.Uint64(v.sized(8)) }

// NativeUint32 decodes a number in the host's byte order (NLA_U32), as rtnetlink
// has them.
func (v Value) NativeUint32() uint32 { return binary.NativeEndian.Uint32(v.sized(4)) }

// Text decodes a string that may end with a NUL (NLA_NUL_STRING, NLA_STRING).
func (v Value) Text() string { return unix.ByteSliceToString(v.Bytes) }

// Addr decodes an address of 4 or 16 bytes, an IPv4-mapped one as IPv4.
func (v Value) Addr() netip.Addr {
	addr, ok := netip.AddrFromSlice(v.Bytes)
	if !ok {
		v.Fail(fmt.Errorf("address of %d bytes", len(v.Bytes)))
	}
	return addr.Unmap()
}
