package conntrack

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

var errAttr = errors.New("malformed attribute")

// walkAttrs calls each with the type and the value of every attribute of b
// (struct nlattr in linux/netlink.h), in order, until one gives an error. The
// flags NLA_F_NESTED and NLA_F_NET_BYTEORDER are masked out of the type: not
// every kernel sets them. A value is a part of b and holds as long as b does.
func walkAttrs(b []byte, each func(typ uint16, value []byte) error) error {
	for len(b) > 0 {
		if len(b) < unix.SizeofNlAttr {
			return errAttr
		}
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			return errAttr
		}
		typ := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if err := each(typ, b[unix.SizeofNlAttr:size]); err != nil {
			return err
		}
		b = b[min(align(size), len(b)):]
	}
	return nil
}

// findAttr gives the value of the attribute of that type, the last one's if there
// are several, as in the kernel; nil if there is none.
func findAttr(b []byte, want uint16) (value []byte, err error) {
	err = walkAttrs(b, func(typ uint16, v []byte) error {
		if typ == want {
			value = v
		}
		return nil
	})
	return value, err
}

// align rounds a length up to where the next message (NLMSG_ALIGNTO) or
// attribute (NLA_ALIGNTO) begins: to 4 bytes on every architecture. What comes
// last may lack the padding.
func align(n int) int {
	return (n + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1)
}
