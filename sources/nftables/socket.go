package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A kernel is asked for the ruleset and told to change it: the real one, or a
// test's.
type kernel interface {
	// ask sends a request and calls each with every reply to it, until that gives
	// an error. What a reply holds is good until each returns.
	ask(request netlink.Message, each func(reply netlink.Message) error) error
	// commit makes changes, all of them or none. They are refused with
	// unix.ERESTART unless the ruleset is still of that generation.
	commit(generation uint32, changes []netlink.Message) error
}

// socket is a connection to nfnetlink.
type socket struct{ *netlink.Conn }

func dial() (socket, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return socket{}, fmt.Errorf("open nftables: %w", withCure(err))
	}
	// A refused change is reported without the whole of it.
	err = conn.SetOption(netlink.CapAcknowledge, true)
	if err == nil {
		err = conn.SetWriteBuffer(maxBatch)
	}
	if err != nil {
		conn.Close()
		return socket{}, fmt.Errorf("open nftables: %w", err)
	}
	return socket{conn}, nil
}

// maxDatagram is as much as the kernel ever puts into one datagram of a dump
// (netlink_recvmsg in af_netlink.c), if offered that much room. The library
// offers a page: then a dump of a set of 65,000 elements costs the kernel six
// times as much, as each datagram begins by walking over all that went before.
const maxDatagram = 32 << 10

func (s socket) ask(request netlink.Message, each func(netlink.Message) error) error {
	sent, err := s.Send(request)
	if err != nil {
		return err
	}
	// What is not received to its end would answer the next question.
	var eachErr error
	buffer := make([]byte, maxDatagram)
	for done := false; !done; {
		datagram, err := s.receive(buffer)
		if err == nil {
			done, err = replies(datagram, sent.Header.Sequence, func(reply netlink.Message) {
				if eachErr == nil {
					eachErr = each(reply)
				}
			})
		}
		if err != nil {
			return err
		}
	}
	return eachErr
}

// receive waits for a datagram.
func (s socket) receive(buffer []byte) ([]byte, error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	var n int
	var recvErr error
	err = raw.Read(func(fd uintptr) (done bool) {
		for recvErr = unix.EINTR; recvErr == unix.EINTR; {
			n, _, recvErr = unix.Recvfrom(int(fd), buffer, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		}
		return recvErr != unix.EAGAIN
	})
	switch {
	case err != nil:
	case recvErr != nil:
		err = os.NewSyscallError("recvfrom", recvErr)
	case n > len(buffer):
		err = errTruncated
	default:
		return buffer[:n], nil
	}
	return nil, err
}

// replies calls each with every message of a datagram, and reports whether the
// answer ended with it.
func replies(datagram []byte, sequence uint32, each func(netlink.Message)) (done bool, err error) {
	for len(datagram) > 0 {
		if len(datagram) < unix.SizeofNlMsghdr {
			return false, errTruncated
		}
		header := netlink.Header{
			Length:   binary.NativeEndian.Uint32(datagram),
			Type:     netlink.HeaderType(binary.NativeEndian.Uint16(datagram[4:])),
			Flags:    netlink.HeaderFlags(binary.NativeEndian.Uint16(datagram[6:])),
			Sequence: binary.NativeEndian.Uint32(datagram[8:]),
		}
		if header.Length < unix.SizeofNlMsghdr || uint64(header.Length) > uint64(len(datagram)) {
			return false, errTruncated
		}
		data := datagram[unix.SizeofNlMsghdr:header.Length]
		datagram = datagram[min(align(int(header.Length)), len(datagram)):]
		if header.Sequence != sequence {
			continue // more errors of a change that was refused
		}
		switch header.Type {
		case netlink.Done, netlink.Error:
			return true, errorCode(data)
		}
		each(netlink.Message{Header: header, Data: data})
		if header.Flags&netlink.Multi == 0 {
			return true, nil
		}
	}
	return false, nil
}

// errorCode reads the int with which NLMSG_DONE and struct nlmsgerr begin: a
// negative error number, or 0 for none.
func errorCode(data []byte) error {
	if len(data) < 4 {
		return errTruncated
	}
	if code := int32(binary.NativeEndian.Uint32(data)); code != 0 {
		return unix.Errno(-int64(code))
	}
	return nil
}

func (s socket) commit(generation uint32, changes []netlink.Message) error {
	frame := func(kind netlink.HeaderType, attrs ...byte) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: kind, Flags: netlink.Request},
			Data:   append([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}, attrs...),
		}
	}
	genID, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFNL_BATCH_GENID, Data: binary.BigEndian.AppendUint32(nil, generation)},
	})
	if err != nil {
		return err
	}
	batch := append([]netlink.Message{frame(unix.NFNL_MSG_BATCH_BEGIN, genID...)}, changes...)
	// Errors come unasked, and before what was asked for: so one answer tells all.
	batch[len(batch)-1].Header.Flags |= netlink.Acknowledge
	if _, err := s.SendMessages(append(batch, frame(unix.NFNL_MSG_BATCH_END))); err != nil {
		return err
	}
	_, err = s.Receive()
	return err
}

// withCure adds to an error of the kernel what the user can do about it.
func withCure(err error) error {
	// nfnetlink answers EINVAL or EOPNOTSUPP for a subsystem that is neither there
	// nor can be loaded; without nfnetlink itself there is not even a socket.
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return fmt.Errorf("%w (the kernel has no nftables: modprobe nf_tables)", err)
	}
	return err
}
