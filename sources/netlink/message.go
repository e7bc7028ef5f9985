package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// received is a message out of a datagram. Its body is a part of that.
type received struct {
	kind, flags uint16
	sequence    uint32
	body        []byte
}

// split returns the first message of a datagram, and what comes after it.
func split(b []byte) (m received, rest []byte, err error) {
	if len(b) < unix.SizeofNlMsghdr {
		return m, nil, errTruncated
	}
	size := binary.NativeEndian.Uint32(b)
	if size < unix.SizeofNlMsghdr || uint64(size) > uint64(len(b)) {
		return m, nil, errTruncated
	}
	m = received{
		kind:     binary.NativeEndian.Uint16(b[4:]),
		flags:    binary.NativeEndian.Uint16(b[6:]),
		sequence: binary.NativeEndian.Uint32(b[8:]),
		body:     b[unix.SizeofNlMsghdr:size],
	}
	return m, b[min(align(int(size)), len(b)):], nil
}

// unexpected returns the error that a message other than the answer stands for.
func (m received) unexpected(answer uint16) error {
	switch m.kind {
	case unix.NLMSG_ERROR:
		if err := errorCode(m.body); err != nil {
			return err
		}
		return errors.New("acknowledgement in place of an answer")
	case unix.NLMSG_OVERRUN:
		return fmt.Errorf("NLMSG_OVERRUN: %w", unix.ENOBUFS)
	}
	return fmt.Errorf("message of type %#x, want %#x", m.kind, answer)
}

// errorCode decodes the int with which the bodies of NLMSG_DONE and NLMSG_ERROR
// begin: a negative error number, or 0 for none.
func errorCode(body []byte) error {
	if len(body) < 4 {
		return errTruncated
	}
	code := int32(binary.NativeEndian.Uint32(body))
	if code == 0 {
		return nil
	}
	return unix.Errno(-int64(code))
}

// align rounds a length up to where the next message (NLMSG_ALIGNTO) or
// attribute (NLA_ALIGNTO) begins: to 4 bytes on every architecture.
func align(n int) int {
	return (n + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1)
}
