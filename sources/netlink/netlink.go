// Package netlink is the one transport of all sources that ask the kernel by
// netlink: it sends questions, receives answers and knows when one is not whole.
//
//	conn, err := netlink.Open(unix.NETLINK_NETFILTER)
//	...
//	defer conn.Close()
//	err = netlink.Retry(func() error {
//		rules = rules[:0]
//		return conn.Dump(question, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWRULE, func(body []byte) error {
//			r, err := parseRule(body)
//			rules = append(rules, r)
//			return err
//		})
//	})
//
// [Conn.Dump] asks for all objects of a kind, [Conn.Get] for one, [Conn.Commit]
// changes several in one transaction of nfnetlink. Bodies of messages are written
// with an [Encoder] and read with [Attributes], in place. Package netlinktest has what
// tests need to play the kernel.
//
// Errors of the kernel are a [unix.Errno] underneath: EPERM where CAP_NET_ADMIN
// is missing in the user namespace that owns the network; EINVAL or EOPNOTSUPP
// from nfnetlink for a subsystem that is neither there nor can be loaded;
// EPROTONOSUPPORT from [Open] where the kernel lacks the protocol.
package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// bufferSize is as much as the kernel ever puts into one datagram of a
	// dump (netlink_recvmsg in af_netlink.c), if offered that much room. With
	// less, a dump of a large nftables set costs the kernel several times as
	// much: each datagram begins by walking over all that went before.
	bufferSize = 32 << 10

	// answerTimeout bounds the time from a question to the end of its answer.
	// A dump of a million flows takes the kernel about 3 s.
	answerTimeout = 10 * time.Second
)

var (
	// ErrTorn means that the objects changed while they were listed: some may
	// be missing in the dump, or be there twice. Retry helps.
	ErrTorn = errors.New("dump torn by a concurrent change (NLM_F_DUMP_INTR)")

	errTruncated = errors.New("truncated message")
)

// Message is a netlink message that is to be sent.
type Message struct {
	Type  uint16 // RTM_* of rtnetlink, or NFNL_SUBSYS_*<<8 | the message of the subsystem
	Flags uint16 // NLM_F_*, beside those that the methods of Conn add
	Body  []byte // the header of the protocol (struct nfgenmsg, ndmsg, ...), then attributes
}

// append appends the encoded message: struct nlmsghdr of linux/netlink.h, the
// body, padding. The kernel fills in the port that it comes from.
func (m Message) append(b []byte, flags uint16, sequence uint32) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.SizeofNlMsghdr+len(m.Body)))
	b = binary.NativeEndian.AppendUint16(b, m.Type)
	b = binary.NativeEndian.AppendUint16(b, m.Flags|flags|unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, m.Body...)
	return append(b, make([]byte, align(len(m.Body))-len(m.Body))...)
}

// Conn asks the kernel one question at a time. It is not safe for concurrent use.
//
// After a failure nothing of an old answer is ever taken for a new one: the
// socket is replaced with the next question.
type Conn struct {
	open     func() (Socket, error)
	socket   Socket // nil: the next question opens one
	sequence uint32 // of the latest message sent
	timeout  time.Duration
	buffer   []byte
}

// Open connects to a protocol of netlink, such as unix.NETLINK_ROUTE, in the
// network namespace of the calling thread.
func Open(protocol int) (*Conn, error) {
	return NewConn(func() (Socket, error) { return openSocket(protocol) })
}

// NewConn connects by what open returns. It is for tests, which play the kernel.
func NewConn(open func() (Socket, error)) (*Conn, error) {
	c := &Conn{open: open, timeout: answerTimeout, buffer: make([]byte, bufferSize)}
	return c, c.connect()
}

// Close closes the connection.
func (c *Conn) Close() error {
	if c.socket == nil {
		return nil
	}
	err := c.socket.Close()
	c.socket = nil
	return err
}

func (c *Conn) connect() (err error) {
	if c.socket, err = c.open(); err != nil {
		c.socket = nil
		return fmt.Errorf("open netlink socket: %w", err)
	}
	return nil
}

// Dump asks for all objects that fit the question (NLM_F_DUMP) and calls each
// with the body of every message of the answer, until one returns an error. A
// body holds until each returns. Messages of other types than answer are an
// error.
//
// What each was called with before an error is no part of a whole dump: see
// Retry. The error is ErrTorn underneath if any message says so, also the last.
func (c *Conn) Dump(question Message, answer uint16, each func(body []byte) error) error {
	sequence := c.next()
	return c.exchange(request{
		datagram: question.append(nil, unix.NLM_F_DUMP, sequence),
		first:    sequence,
		each: func(m received) (done bool, err error) {
			switch {
			case m.flags&unix.NLM_F_DUMP_INTR != 0:
				return false, ErrTorn
			case m.kind == answer:
				return false, each(m.body)
			case m.kind == unix.NLMSG_DONE:
				return true, errorCode(m.body)
			}
			return false, m.unexpected(answer)
		},
	})
}

// Get asks for one object and returns the body of the answer, which holds until
// the next question. A message of another type than answer is an error.
func (c *Conn) Get(question Message, answer uint16) (body []byte, err error) {
	sequence := c.next()
	err = c.exchange(request{
		datagram: question.append(nil, 0, sequence),
		first:    sequence,
		each: func(m received) (done bool, err error) {
			if m.kind != answer {
				return false, m.unexpected(answer)
			}
			body = m.body
			return true, nil
		},
	})
	return body, err
}

// next returns the sequence number of a new message.
func (c *Conn) next() uint32 {
	c.sequence++
	return c.sequence
}

// request is a datagram that the kernel answers.
type request struct {
	datagram []byte
	first    uint32 // sequence number of its first message; c.sequence is that of its last
	// each is called with every message of the answer, until it reports the end
	// or returns an error.
	each func(received) (done bool, err error)
	// mayLose: what the kernel had no room for after the first message of the
	// answer is not needed.
	mayLose bool
}

// exchange sends a request and receives the answer.
func (c *Conn) exchange(r request) error {
	if c.socket == nil {
		if err := c.connect(); err != nil {
			return err
		}
	}
	err := c.socket.Send(r.datagram)
	if err != nil {
		err = fmt.Errorf("send: %w", err)
	} else if err = c.receive(r); err != nil {
		err = fmt.Errorf("receive: %w", err)
	}
	if err != nil {
		c.Close()
	}
	return err
}

func (c *Conn) receive(r request) error {
	for deadline := time.Now().Add(c.timeout); ; {
		n, port, err := c.socket.Receive(c.buffer)
		switch {
		case errors.Is(err, unix.EINTR), r.mayLose && errors.Is(err, unix.ENOBUFS):
			// A socket with a timeout is not restarted after a signal, whatever
			// SA_RESTART says (signal(7)), and the runtime lives by signals. The
			// kernel reports an overrun before what it had room for.
		case err != nil:
			return err
		case port != 0:
			return fmt.Errorf("message from port %d, not from the kernel", port)
		case n == 0 || n > len(c.buffer):
			return errTruncated
		default:
			if done, err := c.eachMessage(c.buffer[:n], r); done || err != nil {
				return err
			}
		}
		if !time.Now().Before(deadline) {
			return fmt.Errorf("answer not complete within %v: %w", c.timeout, unix.ETIMEDOUT)
		}
	}
}

// eachMessage passes every message of a datagram to r.each, until that reports
// the end or returns an error.
func (c *Conn) eachMessage(b []byte, r request) (done bool, err error) {
	for len(b) > 0 {
		m, rest, err := split(b)
		switch {
		case err != nil:
			return false, err
		case m.sequence < r.first || m.sequence > c.sequence:
			return false, fmt.Errorf("message with sequence number %d, want %d", m.sequence, c.sequence)
		case m.kind == unix.NLMSG_NOOP:
		default:
			if done, err := r.each(m); done || err != nil {
				return done, err
			}
		}
		b = rest
	}
	return false, nil
}
