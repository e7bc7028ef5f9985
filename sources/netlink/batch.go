package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// MaxBatch is how many bytes the messages of one Commit may have, headers of 16
// bytes included: less than the default of net.core.wmem_max, up to which anyone
// may have a socket send at once.
const MaxBatch = 192 << 10

// RefusedError tells that the kernel refused a transaction, and so all of it.
type RefusedError struct {
	Change int   // index of the change that was refused first; -1: the transaction as a whole
	Err    error // a unix.Errno
}

// Error returns the text of the kernel's error.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns the kernel's error.
func (e *RefusedError) Unwrap() error { return e.Err }

// Size returns how many bytes the message takes of MaxBatch.
func (m Message) Size() int { return unix.SizeofNlMsghdr + align(len(m.Body)) }

// Commit makes changes in one transaction (NFNL_MSG_BATCH_BEGIN and _END in
// linux/netfilter/nfnetlink.h): all of them or none. Subsystem is NFNL_SUBSYS_*.
// Unless generation is 0, the kernel refuses them with unix.ERESTART if its objects
// are not of that generation any more (NFNL_BATCH_GENID, Linux 4.12).
//
// What the kernel refuses is a *RefusedError underneath. After any other error it
// is unknown whether the changes were made.
func (c *Conn) Commit(subsystem uint8, generation uint32, changes []Message) error {
	if len(changes) == 0 {
		return nil
	}
	begin := c.next()
	datagram := boundary(unix.NFNL_MSG_BATCH_BEGIN, subsystem, generation).append(nil, 0, begin)
	for i, change := range changes {
		var flags uint16
		if i == len(changes)-1 {
			flags = unix.NLM_F_ACK
		}
		datagram = change.append(datagram, flags, c.next())
	}
	acknowledged := c.sequence
	datagram = boundary(unix.NFNL_MSG_BATCH_END, subsystem, 0).append(datagram, 0, c.next())
	return c.exchange(request{
		datagram: datagram,
		first:    begin,
		// The errors come in the order of the changes and before the
		// acknowledgement (nfnetlink_rcv_batch), so that the first message tells
		// all.
		mayLose: true,
		each: func(m received) (done bool, err error) {
			if m.kind != unix.NLMSG_ERROR {
				return false, m.unexpected(unix.NLMSG_ERROR)
			}
			switch err := errorCode(m.body); {
			case errors.Is(err, errTruncated):
				return false, err
			case err != nil:
				return false, &RefusedError{Change: changeOf(m.sequence, begin, len(changes)), Err: err}
			case m.sequence != acknowledged:
				return false, fmt.Errorf("acknowledgement of message %d, want %d", m.sequence, acknowledged)
			}
			return true, nil
		},
	})
}

// changeOf returns the index of the change with that sequence number, or -1 if it
// is that of one of the boundaries.
func changeOf(sequence, begin uint32, changes int) int {
	if sequence == begin || sequence-begin > uint32(changes) {
		return -1
	}
	return int(sequence - begin - 1)
}

// boundary returns the message before, or after, the changes of a transaction.
func boundary(kind uint16, subsystem uint8, generation uint32) Message {
	e := NewEncoder(binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}, uint16(subsystem))...)
	if generation != 0 {
		e.Uint32(unix.NFNL_BATCH_GENID, generation)
	}
	body, _ := e.Body() // no long attribute
	return Message{Type: kind, Body: body}
}
