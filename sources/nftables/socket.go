package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A kernel is asked for the ruleset and told to change it: the real one, or a
// test's.
type kernel interface {
	// ask sends a request and gives all replies to it.
	ask(request netlink.Message) ([]netlink.Message, error)
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
	if err := conn.SetOption(netlink.CapAcknowledge, true); err != nil {
		conn.Close()
		return socket{}, fmt.Errorf("open nftables: %w", err)
	}
	return socket{conn}, nil
}

// maxDatagram is as much as the kernel ever puts into one datagram of a dump
// (netlink_recvmsg in af_netlink.c), if offered that much room.
const maxDatagram = 32 << 10

func (s socket) ask(request netlink.Message) ([]netlink.Message, error) {
	if _, err := s.Send(request); err != nil {
		return nil, err
	}
	if request.Header.Flags&netlink.Dump == netlink.Dump {
		if err := s.offerRoom(); err != nil {
			return nil, err
		}
	}
	return s.Receive()
}

// offerRoom makes the kernel send datagrams of maxDatagram. It goes by the
// largest buffer that it was ever offered, and the library offers a page: with
// that a dump of a set of 65,000 elements costs the kernel six times as much, as
// each datagram begins by walking over all that went before.
func (s socket) offerRoom() error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var buffer [maxDatagram]byte
	return raw.Read(func(fd uintptr) (done bool) {
		_, _, err := unix.Recvfrom(int(fd), buffer[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err != unix.EAGAIN && err != unix.EINTR // other errors are Receive's
	})
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
