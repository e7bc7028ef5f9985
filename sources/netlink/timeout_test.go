package netlink

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// endless is a kernel whose answers never end.
type endless struct{ err error }

func (endless) Send([]byte) error { return nil }

func (e endless) Receive(b []byte) (int, uint32, error) {
	return len(Message{Type: unix.NLMSG_NOOP}.append(b[:0], 0, 1)), 0, e.err
}

func (endless) Close() error { return nil }

func TestTimeout(t *testing.T) {
	for _, err := range []error{nil, unix.EINTR} {
		c, err := NewConn(func() (Socket, error) { return endless{err}, nil })
		if err != nil {
			t.Fatal(err)
		}
		c.timeout = 0
		err = c.Dump(Message{}, 0x100, nil)
		if !errors.Is(err, unix.ETIMEDOUT) || err.Error() != "receive: answer not complete within 0s: connection timed out" {
			t.Errorf("error %v", err)
		}
	}
}
