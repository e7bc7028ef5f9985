// Package netlinktest plays the kernel in tests of what asks it by netlink: the
// real one cannot be made to tear a dump, to lose messages or to send nonsense on
// demand.
package netlinktest

import (
	"bytes"
	"encoding/binary"
	"io"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
)

// Datagram is what one Receive of a Socket returns.
type Datagram struct {
	Bytes []byte
	Port  uint32 // that it comes from; 0: the kernel
	Err   error
}

// Socket is a netlink.Socket that gives prepared answers.
type Socket struct {
	SendErr error
	Answer  []Datagram // one for each Receive, then io.EOF
	Sent    [][]byte   // every datagram sent
	Closed  int        // how often it was closed
}

// Send keeps the datagram.
func (s *Socket) Send(datagram []byte) error {
	s.Sent = append(s.Sent, bytes.Clone(datagram))
	return s.SendErr
}

// Receive returns the next datagram of the answer.
func (s *Socket) Receive(b []byte) (n int, port uint32, err error) {
	if len(s.Answer) == 0 {
		return 0, 0, io.EOF
	}
	d := s.Answer[0]
	s.Answer = s.Answer[1:]
	copy(b, d.Bytes)
	return len(d.Bytes), d.Port, d.Err
}

// Close counts.
func (s *Socket) Close() error {
	s.Closed++
	return nil
}

// Open returns a function for netlink.NewConn that returns the sockets in turn,
// and io.EOF after the last one.
func Open(sockets ...*Socket) func() (netlink.Socket, error) {
	return func() (netlink.Socket, error) {
		if len(sockets) == 0 {
			return nil, io.EOF
		}
		s := sockets[0]
		sockets = sockets[1:]
		return s, nil
	}
}

// Attribute encodes an attribute whose value is the parts in a row.
func Attribute(typ uint16, parts ...[]byte) []byte {
	value := bytes.Join(parts, nil)
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	return pad(append(b, value...))
}

// Nested encodes an attribute of attributes.
func Nested(typ uint16, attributes ...[]byte) []byte {
	return Attribute(typ|unix.NLA_F_NESTED, attributes...)
}

// Message encodes a message whose body is the parts in a row.
func Message(typ, flags uint16, sequence uint32, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = binary.NativeEndian.AppendUint32(b, 4711) // the asker's port
	return pad(append(b, body...))
}

// Done encodes the end of a dump.
func Done(sequence uint32) []byte {
	return Message(unix.NLMSG_DONE, unix.NLM_F_MULTI, sequence, Code(0))
}

// Error encodes the refusal of a message, or its acknowledgement if errno is 0,
// as sockets with NETLINK_CAP_ACK get it.
func Error(sequence uint32, errno unix.Errno) []byte {
	return Message(unix.NLMSG_ERROR, unix.NLM_F_CAPPED, sequence, Code(errno), make([]byte, unix.SizeofNlMsghdr))
}

// Code encodes the int with which the bodies of NLMSG_DONE and NLMSG_ERROR begin.
func Code(errno unix.Errno) []byte {
	return binary.NativeEndian.AppendUint32(nil, -uint32(errno))
}

// pad appends what is missing to a multiple of 4 bytes.
func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }
