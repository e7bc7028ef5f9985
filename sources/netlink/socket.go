package netlink

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// receiveTimeout bounds the wait for one datagram. The kernel fills the next one
// before recv returns the previous one, so in health there is nothing to wait for.
const receiveTimeout = time.Second

// Socket carries datagrams to and from the kernel, or a test that plays it.
type Socket interface {
	Send(datagram []byte) error
	// Receive reads the next datagram into b. It returns its length, even if
	// that is more than b has room for, and the netlink port that sent it: 0 is
	// the kernel. It may return unix.EINTR.
	Receive(b []byte) (n int, port uint32, err error)
	Close() error
}

// socket is a file descriptor. It blocks, and bypasses the runtime's poller: the
// kernel does the work of an answer inside send and recv, so that there is
// nothing to poll for.
type socket int

func openSocket(protocol int) (Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, err
	}
	if err := setOptions(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return socket(fd), nil
}

func setOptions(fd int) error {
	timeout := unix.NsecToTimeval(receiveTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return fmt.Errorf("set SO_RCVTIMEO: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, MaxBatch); err != nil {
		return fmt.Errorf("set SO_SNDBUF: %w", err)
	}
	// A refused message is reported without the whole of it (Linux 4.2).
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		return fmt.Errorf("set NETLINK_CAP_ACK: %w", err)
	}
	// rtnetlink lists only what the question names. Before Linux 4.20 it lists
	// more, so that whoever asks has to look as well.
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil && err != unix.ENOPROTOOPT {
		return fmt.Errorf("set NETLINK_GET_STRICT_CHK: %w", err)
	}
	return nil
}

func (s socket) Send(datagram []byte) error {
	return unix.Sendto(int(s), datagram, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func (s socket) Receive(b []byte) (n int, port uint32, err error) {
	n, addr, err := unix.Recvfrom(int(s), b, unix.MSG_TRUNC)
	switch {
	case err == unix.EAGAIN:
		return 0, 0, fmt.Errorf("no answer within %v: %w", receiveTimeout, err)
	case err != nil:
		return 0, 0, err
	}
	from, ok := addr.(*unix.SockaddrNetlink)
	if !ok {
		return 0, 0, fmt.Errorf("sender is no netlink address: %T", addr)
	}
	return n, from.Pid, nil
}

func (s socket) Close() error { return unix.Close(int(s)) }
