package conntrack

import "io"

// A datagram is what one recv of a fakeConn gives.
type datagram struct {
	b    []byte
	from uint32
	err  error
}

// A fakeConn stands in for the kernel, which cannot be made to tear a dump, to
// lose messages or to send nonsense on demand.
type fakeConn struct {
	sent    []byte
	sendErr error
	answer  []datagram // one for each recv, then io.EOF
	closed  int
}

func (c *fakeConn) send(b []byte) error {
	c.sent = append(c.sent, b...)
	return c.sendErr
}

func (c *fakeConn) recv(b []byte) (n int, from uint32, err error) {
	if len(c.answer) == 0 {
		return 0, 0, io.EOF
	}
	d := c.answer[0]
	c.answer = c.answer[1:]
	copy(b, d.b)
	return len(d.b), d.from, d.err
}

func (c *fakeConn) close() error {
	c.closed++
	return nil
}

// dialFakes gives the connections in turn and io.EOF after the last one.
func dialFakes(conns ...*fakeConn) func() (conn, error) {
	return func() (conn, error) {
		if len(conns) == 0 {
			return nil, io.EOF
		}
		c := conns[0]
		conns = conns[1:]
		return c, nil
	}
}
