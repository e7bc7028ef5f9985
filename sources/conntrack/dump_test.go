package conntrack

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestRequest(t *testing.T) {
	attrs := attr(25, []byte{1, 2, 3})
	got := request{get: ctGet, family: unix.AF_INET6, attrs: attrs}.marshal()
	want := message(0x101, 0x301, sequence, []byte{unix.AF_INET6, 0, 0, 0}, attrs)
	copy(want[12:], make([]byte, 4)) // port 0: the kernel fills it in
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestDump(t *testing.T) {
	var (
		a, b, c = attr(1, []byte("a")), attr(1, []byte("b")), attr(1, []byte("c"))
		flows   = request{get: ctGet, answer: ctNew}
	)
	for _, tc := range []struct {
		name    string
		conn    fakeConn
		want    [][]byte
		err     string
		wrapped error
	}{
		{
			name: "empty",
			conn: fakeConn{answer: []datagram{{b: done()}}},
		}, {
			name: "several datagrams, several messages, padding, NLMSG_NOOP",
			conn: fakeConn{answer: []datagram{
				{b: slices.Concat(newFlow(a), message(unix.NLMSG_NOOP, 0, sequence), newFlow(b, []byte{4, 0, 9}))},
				{b: newFlow(c)},
				{b: done()},
			}},
			want: [][]byte{a, append(slices.Clone(b), 4, 0, 9), c},
		}, {
			name: "end within a datagram",
			conn: fakeConn{answer: []datagram{{b: slices.Concat(newFlow(a), done())}}},
			want: [][]byte{a},
		}, {
			name:    "send fails",
			conn:    fakeConn{sendErr: unix.ENOBUFS},
			err:     "send: no buffer space available",
			wrapped: unix.ENOBUFS,
		}, {
			name:    "receive fails",
			conn:    fakeConn{answer: []datagram{{b: newFlow(a)}, {err: unix.ENOBUFS}}},
			want:    [][]byte{a},
			err:     "receive: no buffer space available",
			wrapped: unix.ENOBUFS,
		}, {
			name:    "NLMSG_ERROR",
			conn:    fakeConn{answer: []datagram{{b: message(unix.NLMSG_ERROR, 0, sequence, code(-int32(unix.EPERM)), make([]byte, 16))}}},
			err:     "receive: operation not permitted",
			wrapped: unix.EPERM,
		}, {
			name: "NLMSG_ERROR without an error",
			conn: fakeConn{answer: []datagram{{b: message(unix.NLMSG_ERROR, 0, sequence, code(0), make([]byte, 16))}}},
			err:  "receive: acknowledgement in place of a dump",
		}, {
			name: "NLMSG_ERROR cut short",
			conn: fakeConn{answer: []datagram{{b: message(unix.NLMSG_ERROR, 0, sequence, []byte{0xff})}}},
			err:  "receive: truncated message",
		}, {
			name:    "NLMSG_DONE with an error",
			conn:    fakeConn{answer: []datagram{{b: slices.Concat(newFlow(a), message(unix.NLMSG_DONE, 0, sequence, code(-int32(unix.ENOMEM))))}}},
			want:    [][]byte{a},
			err:     "receive: cannot allocate memory",
			wrapped: unix.ENOMEM,
		}, {
			name: "NLMSG_DONE cut short",
			conn: fakeConn{answer: []datagram{{b: message(unix.NLMSG_DONE, 0, sequence)}}},
			err:  "receive: truncated message",
		}, {
			name:    "NLMSG_OVERRUN",
			conn:    fakeConn{answer: []datagram{{b: message(unix.NLMSG_OVERRUN, 0, sequence)}}},
			err:     "receive: NLMSG_OVERRUN: no buffer space available",
			wrapped: unix.ENOBUFS,
		}, {
			name:    "torn, told by a flow",
			conn:    fakeConn{answer: []datagram{{b: message(ctNew, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, sequence, make([]byte, 4))}}},
			err:     "receive: dump torn by a concurrent change (NLM_F_DUMP_INTR)",
			wrapped: errTorn,
		}, {
			name:    "torn, told by the end",
			conn:    fakeConn{answer: []datagram{{b: newFlow(a)}, {b: message(unix.NLMSG_DONE, unix.NLM_F_DUMP_INTR, sequence, code(0))}}},
			want:    [][]byte{a},
			err:     "receive: dump torn by a concurrent change (NLM_F_DUMP_INTR)",
			wrapped: errTorn,
		}, {
			name: "another sequence number",
			conn: fakeConn{answer: []datagram{{b: message(ctNew, 0, 7, make([]byte, 4))}}},
			err:  "receive: message with sequence number 7, want 1",
		}, {
			name: "another type",
			conn: fakeConn{answer: []datagram{{b: message(ctNew|0xa00, 0, sequence, make([]byte, 4))}}},
			err:  "receive: message of type 0xb00, want 0x100",
		}, {
			name: "another sender",
			conn: fakeConn{answer: []datagram{{b: done(), from: 42}}},
			err:  "receive: message from port 42, not from the kernel",
		}, {
			name: "empty datagram",
			conn: fakeConn{answer: []datagram{{}}},
			err:  "receive: truncated message",
		}, {
			name: "datagram larger than the buffer",
			conn: fakeConn{answer: []datagram{{b: make([]byte, bufferSize+1)}}},
			err:  "receive: truncated message",
		}, {
			name: "message shorter than its header",
			conn: fakeConn{answer: []datagram{{b: append(code(15), make([]byte, 12)...)}}},
			err:  "receive: truncated message",
		}, {
			name: "message longer than the datagram",
			conn: fakeConn{answer: []datagram{{b: append(code(-1), make([]byte, 12)...)}}},
			err:  "receive: truncated message",
		}, {
			name: "no struct nfgenmsg",
			conn: fakeConn{answer: []datagram{{b: message(ctNew, 0, sequence, []byte{unix.AF_INET})}}},
			err:  "receive: truncated message",
		}, {
			name: "ends without NLMSG_DONE",
			conn: fakeConn{answer: []datagram{{b: newFlow(a)}}},
			want: [][]byte{a},
			err:  "receive: EOF", wrapped: io.EOF,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got [][]byte
			err := dump(dialFakes(&tc.conn), flows, func(attrs []byte) error {
				got = append(got, slices.Clone(attrs))
				return nil
			})
			switch {
			case tc.err == "" && err != nil:
				t.Error(err)
			case tc.err != "" && (err == nil || err.Error() != tc.err):
				t.Errorf("error: %v\nwant:  %s", err, tc.err)
			case tc.wrapped != nil && !errors.Is(err, tc.wrapped):
				t.Errorf("error %v does not wrap %v", err, tc.wrapped)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			if tc.conn.closed != 1 {
				t.Errorf("closed %d times", tc.conn.closed)
			}
		})
	}
}

func TestDumpStops(t *testing.T) {
	stop := errors.New("stop")
	c := &fakeConn{answer: []datagram{{b: slices.Concat(newFlow(), newFlow(), done())}}}
	calls := 0
	err := dump(dialFakes(c), request{answer: ctNew}, func([]byte) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 || c.closed != 1 {
		t.Errorf("error %v after %d calls, closed %d times", err, calls, c.closed)
	}
	if err := dump(dialFakes(), request{}, nil); err == nil || err.Error() != "open netlink socket: EOF" {
		t.Errorf("error %v without a socket", err)
	}
}

// A datagram cut short anywhere but between two messages is an error.
func TestDumpCut(t *testing.T) {
	flow := newFlow(attr(1, []byte("a")))
	whole := slices.Concat(flow, done())
	for n := range whole {
		c := &fakeConn{answer: []datagram{{b: whole[:n]}}}
		err := dump(dialFakes(c), request{answer: ctNew}, func([]byte) error { return nil })
		want := errTruncated
		if n == len(flow) {
			want = io.EOF
		}
		if !errors.Is(err, want) {
			t.Errorf("%d of %d bytes: %v, want %v", n, len(whole), err, want)
		}
	}
}

func TestUntorn(t *testing.T) {
	other := errors.New("other")
	for _, tc := range []struct {
		name  string
		tries []error
		err   string
	}{
		{"whole at once", []error{nil}, ""},
		{"torn, then whole", []error{errTorn, nil}, ""},
		{"messages lost, torn, then whole", []error{unix.ENOBUFS, errTorn, nil}, ""},
		{"torn, then another error", []error{errTorn, other}, "other"},
		{"always torn", []error{errTorn, unix.ENOBUFS, errTorn}, errTorn.Error() + ", 3 times in a row"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := 0
			err := untorn(func() error { n++; return tc.tries[n-1] })
			if got := errorText(err); got != tc.err {
				t.Errorf("error %q, want %q", got, tc.err)
			}
			if n != len(tc.tries) {
				t.Errorf("%d tries, want %d", n, len(tc.tries))
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Never a panic nor an endless loop, whatever arrives.
func FuzzDump(f *testing.F) {
	f.Add(captured(f))
	f.Add(slices.Concat(newFlow(attr(1)), message(unix.NLMSG_NOOP, 0, sequence), done()))
	f.Add(message(unix.NLMSG_ERROR, 0, sequence, code(-1), make([]byte, 16)))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &fakeConn{answer: []datagram{{b: b}}}
		total := 0
		err := dump(dialFakes(c), request{answer: ctNew}, func(attrs []byte) error {
			total += len(attrs)
			return nil
		})
		if total > len(b) {
			t.Errorf("%d bytes of attributes out of %d", total, len(b))
		}
		if err != nil && !strings.HasPrefix(err.Error(), "receive: ") {
			t.Errorf("error %v", err)
		}
	})
}
