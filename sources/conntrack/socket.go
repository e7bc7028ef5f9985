package conntrack

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// recvTimeout bounds the wait for one datagram. The kernel fills the next one
// before recv gives the previous one, so in health there is nothing to wait for.
const recvTimeout = time.Second

// A conn is a datagram socket to nfnetlink: the kernel's, or a test's.
type conn interface {
	send(b []byte) error
	// recv gives the length of the next datagram, even if it is more than b
	// had room for, and the netlink port that sent it: 0 is the kernel.
	recv(b []byte) (n int, from uint32, err error)
	close() error
}

// A socket is the file descriptor of a conn to the kernel. It blocks, and
// bypasses the runtime's poller: the kernel does the work of a dump inside send
// and recv, so that there is nothing to poll for.
type socket int

func dial() (conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	timeout := unix.NsecToTimeval(recvTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set SO_RCVTIMEO: %w", err)
	}
	return socket(fd), nil
}

func (s socket) send(b []byte) error {
	return unix.Sendto(int(s), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func (s socket) recv(b []byte) (int, uint32, error) {
	for {
		n, addr, err := unix.Recvfrom(int(s), b, unix.MSG_TRUNC)
		switch err {
		case nil:
		case unix.EINTR:
			// A socket with a timeout is not restarted after a signal, whatever
			// SA_RESTART says (signal(7)), and the runtime lives by signals.
			continue
		case unix.EAGAIN:
			return 0, 0, fmt.Errorf("no answer within %v: %w", recvTimeout, err)
		default:
			return 0, 0, err
		}
		from, ok := addr.(*unix.SockaddrNetlink)
		if !ok {
			return 0, 0, fmt.Errorf("sender is no netlink address: %T", addr)
		}
		return n, from.Pid, nil
	}
}

func (s socket) close() error { return unix.Close(int(s)) }
