package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// sequence may be a constant, as a socket carries a single request.
	sequence = 1

	// bufferSize is as much as the kernel ever puts into one datagram of a
	// dump (netlink_recvmsg in af_netlink.c), if offered that much room.
	bufferSize = 32 << 10

	// maxTries is how often a dump is made until one is whole.
	maxTries = 3

	sizeofNfgenmsg = 4 // struct nfgenmsg in linux/netfilter/nfnetlink.h
)

var (
	// errTorn: the table changed in such a way that the kernel cannot vouch
	// for the dump; entries may be missing or be there twice.
	errTorn = errors.New("dump torn by a concurrent change (NLM_F_DUMP_INTR)")

	errTruncated = errors.New("truncated message")
)

// A request asks nfnetlink to list the objects of a table.
type request struct {
	get    uint16 // type of the question: NFNL_SUBSYS_*<<8 | *_GET*
	answer uint16 // type of each message of the answer
	family uint8  // AF_*, or NFPROTO_* of linux/netfilter.h; AF_UNSPEC: all
	attrs  []byte // of the question, padded; none: everything
}

// marshal gives the message: struct nlmsghdr in the host's byte order, struct
// nfgenmsg, the attributes.
func (r request) marshal() []byte {
	b := make([]byte, 0, unix.SizeofNlMsghdr+sizeofNfgenmsg+len(r.attrs))
	b = binary.NativeEndian.AppendUint32(b, uint32(cap(b)))
	b = binary.NativeEndian.AppendUint16(b, r.get)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = binary.NativeEndian.AppendUint32(b, 0) // from: the kernel fills it in
	b = append(b, r.family, unix.NFNETLINK_V0, 0, 0)
	return append(b, r.attrs...)
}

// dump asks r on a socket of its own and calls each with the attributes of
// every object, until one gives an error. They hold until each returns. A table
// of any size is read through the same buffer.
//
// What was called before an error is no part of a whole dump. Where another try
// may help, untorn makes it. Errors of the kernel are a unix.Errno underneath:
// EPERM without CAP_NET_ADMIN in the user namespace that owns the network, or
// EINVAL where it does not know the subsystem or the question.
func dump(dial func() (conn, error), r request, each func(attrs []byte) error) error {
	c, err := dial()
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	defer c.close()
	if err := c.send(r.marshal()); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	buf := make([]byte, bufferSize)
	for done := false; !done; {
		n, from, err := c.recv(buf)
		switch {
		case err != nil:
		case from != 0:
			err = fmt.Errorf("message from port %d, not from the kernel", from)
		case n == 0 || n > len(buf):
			err = errTruncated
		default:
			done, err = r.messages(buf[:n], each)
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
	}
	return nil
}

// messages walks one datagram and reports whether the dump ended with it.
func (r request) messages(b []byte, each func(attrs []byte) error) (done bool, err error) {
	for len(b) > 0 {
		if len(b) < unix.SizeofNlMsghdr {
			return false, errTruncated
		}
		var (
			size  = binary.NativeEndian.Uint32(b)
			typ   = binary.NativeEndian.Uint16(b[4:])
			flags = binary.NativeEndian.Uint16(b[6:])
			seq   = binary.NativeEndian.Uint32(b[8:])
		)
		if size < unix.SizeofNlMsghdr || uint64(size) > uint64(len(b)) {
			return false, errTruncated
		}
		body := b[unix.SizeofNlMsghdr:size]
		b = b[min(align(int(size)), len(b)):]

		if seq != sequence {
			return false, fmt.Errorf("message with sequence number %d, want %d", seq, sequence)
		}
		// Any message may tell, even the one that ends the dump.
		if flags&unix.NLM_F_DUMP_INTR != 0 {
			return false, errTorn
		}
		switch typ {
		case r.answer:
			if len(body) < sizeofNfgenmsg {
				return false, errTruncated
			}
			if err := each(body[sizeofNfgenmsg:]); err != nil {
				return false, err
			}
		case unix.NLMSG_DONE:
			return true, errorCode(body)
		case unix.NLMSG_ERROR:
			if err := errorCode(body); err != nil {
				return false, err
			}
			return false, errors.New("acknowledgement in place of a dump")
		case unix.NLMSG_OVERRUN:
			return false, fmt.Errorf("NLMSG_OVERRUN: %w", unix.ENOBUFS)
		case unix.NLMSG_NOOP:
		default:
			return false, fmt.Errorf("message of type %#x, want %#x", typ, r.answer)
		}
	}
	return false, nil
}

// errorCode reads the int with which NLMSG_DONE and struct nlmsgerr begin: a
// negative error number, or 0 for none.
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

// untorn calls try, which makes a dump from nothing, until it was not torn and
// no message was lost, at most maxTries times. It does not wait in between: it
// was bad luck if the table changed in these few milliseconds, and a table that
// always does is better reported than waited for.
func untorn(try func() error) error {
	for n := 1; ; n++ {
		err := try()
		if !errors.Is(err, errTorn) && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		if n == maxTries {
			return fmt.Errorf("%w, %d times in a row", err, n)
		}
	}
}
