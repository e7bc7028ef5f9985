package netlink_test

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/sources/netlink/netlinktest"
	"network-metrics-exporter/testdata/lab"
)

// Types of a question and its answer, as good as any.
const question, answer = 0x101, 0x100

// object encodes a message of the answer to the first question of a connection.
func object(body ...byte) []byte {
	return netlinktest.Message(answer, unix.NLM_F_MULTI, 1, body)
}

func connect(tb testing.TB, sockets ...*netlinktest.Socket) *netlink.Conn {
	tb.Helper()
	conn, err := netlink.NewConn(netlinktest.Open(sockets...))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}

// dump lists the bodies of a dump.
func dump(conn *netlink.Conn) (bodies [][]byte, err error) {
	err = conn.Dump(netlink.Message{Type: question}, answer, func(body []byte) error {
		bodies = append(bodies, slices.Clone(body))
		return nil
	})
	return bodies, err
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDump(t *testing.T) {
	message, code := netlinktest.Message, netlinktest.Code
	type datagrams = []netlinktest.Datagram
	for _, tc := range []struct {
		name    string
		socket  netlinktest.Socket
		want    [][]byte
		err     string
		wrapped error
	}{
		{
			name:   "empty",
			socket: netlinktest.Socket{Answer: datagrams{{Bytes: netlinktest.Done(1)}}},
		}, {
			name: "several datagrams, several messages, padding, NLMSG_NOOP",
			socket: netlinktest.Socket{Answer: datagrams{
				{Bytes: slices.Concat(object('a'), message(unix.NLMSG_NOOP, 0, 1), object('b', 'c'))},
				{Bytes: object()},
				{Bytes: netlinktest.Done(1)},
			}},
			want: [][]byte{[]byte("a"), []byte("bc"), {}},
		}, {
			name:   "end within a datagram",
			socket: netlinktest.Socket{Answer: datagrams{{Bytes: slices.Concat(object('a'), netlinktest.Done(1))}}},
			want:   [][]byte{[]byte("a")},
		}, {
			name:   "interrupted by a signal",
			socket: netlinktest.Socket{Answer: datagrams{{Err: unix.EINTR}, {Bytes: object('a')}, {Err: unix.EINTR}, {Bytes: netlinktest.Done(1)}}},
			want:   [][]byte{[]byte("a")},
		}, {
			name:    "send fails",
			socket:  netlinktest.Socket{SendErr: unix.ENOBUFS},
			err:     "send: no buffer space available",
			wrapped: unix.ENOBUFS,
		}, {
			name:    "messages lost",
			socket:  netlinktest.Socket{Answer: datagrams{{Bytes: object('a')}, {Err: unix.ENOBUFS}}},
			want:    [][]byte{[]byte("a")},
			err:     "receive: no buffer space available",
			wrapped: unix.ENOBUFS,
		}, {
			name:    "NLMSG_ERROR",
			socket:  netlinktest.Socket{Answer: datagrams{{Bytes: netlinktest.Error(1, unix.EPERM)}}},
			err:     "receive: operation not permitted",
			wrapped: unix.EPERM,
		}, {
			name:   "NLMSG_ERROR without an error",
			socket: netlinktest.Socket{Answer: datagrams{{Bytes: netlinktest.Error(1, 0)}}},
			err:    "receive: acknowledgement in place of an answer",
		}, {
			name:   "NLMSG_ERROR cut short",
			socket: netlinktest.Socket{Answer: datagrams{{Bytes: message(unix.NLMSG_ERROR, 0, 1, []byte{0xff})}}},
			err:    "receive: truncated message",
		}, {
			name:    "NLMSG_DONE with an error",
			socket:  netlinktest.Socket{Answer: datagrams{{Bytes: slices.Concat(object('a'), message(unix.NLMSG_DONE, 0, 1, code(unix.ENOMEM)))}}},
			want:    [][]byte{[]byte("a")},
			err:     "receive: cannot allocate memory",
			wrapped: unix.ENOMEM,
		}, {
			name:   "NLMSG_DONE cut short",
			socket: netlinktest.Socket{Answer: datagrams{{Bytes: message(unix.NLMSG_DONE, 0, 1)}}},
			err:    "receive: truncated message",
		}, {
			name:    "NLMSG_OVERRUN",
			socket:  netlinktest.Socket{Answer: datagrams{{Bytes: message(unix.NLMSG_OVERRUN, 0, 1)}}},
			err:     "receive: NLMSG_OVERRUN: no buffer space available",
			wrapped: unix.ENOBUFS,
		}, {
			name:    "torn, told by an object",
			socket:  netlinktest.Socket{Answer: datagrams{{Bytes: message(answer, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, 1)}}},
			err:     "receive: dump torn by a concurrent change (NLM_F_DUMP_INTR)",
			wrapped: netlink.ErrTorn,
		}, {
			name:    "torn, told by the end",
			socket:  netlinktest.Socket{Answer: datagrams{{Bytes: object('a')}, {Bytes: message(unix.NLMSG_DONE, unix.NLM_F_DUMP_INTR, 1, code(0))}}},
			want:    [][]byte{[]byte("a")},
			err:     "receive: dump torn by a concurrent change (NLM_F_DUMP_INTR)",
			wrapped: netlink.ErrTorn,
		}, {
			name:   "another sequence number",
			socket: netlinktest.Socket{Answer: datagrams{{Bytes: message(answer, 0, 7)}}},
			err:    "receive: message with sequence number 7, want 1",
		}, {
			name:   "another type",
			socket: netlinktest.Socket{Answer: datagrams{{Bytes: message(0xb00, 0, 1)}}},
			err:    "receive: message of type 0xb00, want 0x100",
		}, {
			name:   "another sender",
			socket: netlinktest.Socket{Answer: datagrams{{Bytes: netlinktest.Done(1), Port: 42}}},
			err:    "receive: message from port 42, not from the kernel",
		}, {
			name:   "empty datagram",
			socket: netlinktest.Socket{Answer: datagrams{{}}},
			err:    "receive: truncated message",
		}, {
			name:   "datagram larger than the buffer",
			socket: netlinktest.Socket{Answer: datagrams{{Bytes: make([]byte, 32<<10+1)}}},
			err:    "receive: truncated message",
		}, {
			name:   "message shorter than its header",
			socket: netlinktest.Socket{Answer: datagrams{{Bytes: make([]byte, 16)}}},
			err:    "receive: truncated message",
		}, {
			name:   "message longer than the datagram",
			socket: netlinktest.Socket{Answer: datagrams{{Bytes: append(code(1), make([]byte, 12)...)}}},
			err:    "receive: truncated message",
		}, {
			name:   "ends without NLMSG_DONE",
			socket: netlinktest.Socket{Answer: datagrams{{Bytes: object('a')}}},
			want:   [][]byte{[]byte("a")},
			err:    "receive: EOF", wrapped: io.EOF,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := dump(connect(t, &tc.socket))
			if diff := cmp.Diff(tc.err, errorText(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if tc.wrapped != nil && !errors.Is(err, tc.wrapped) {
				t.Errorf("error %v does not wrap %v", err, tc.wrapped)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			// What is left of a failed answer is never read.
			if closed := tc.socket.Closed == 1; closed != (err != nil) {
				t.Errorf("closed %d times", tc.socket.Closed)
			}
		})
	}
}

// A datagram cut short anywhere but between two messages is an error.
func TestDumpCut(t *testing.T) {
	first := object('a', 'b', 'c', 'd')
	whole := slices.Concat(first, netlinktest.Done(1))
	for n := range whole {
		_, err := dump(connect(t, &netlinktest.Socket{Answer: []netlinktest.Datagram{{Bytes: whole[:n]}}}))
		switch {
		case n == len(first) && !errors.Is(err, io.EOF):
			t.Errorf("%d of %d bytes: %v, want %v", n, len(whole), err, io.EOF)
		case n != len(first) && errorText(err) != "receive: truncated message":
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

// What was sent, byte by byte.
func TestQuestions(t *testing.T) {
	socket := &netlinktest.Socket{Answer: []netlinktest.Datagram{
		{Bytes: netlinktest.Done(1)},
		{Bytes: netlinktest.Message(answer, 0, 2)},
		{Bytes: netlinktest.Error(4, 0)},
	}}
	conn := connect(t, socket)
	m := netlink.Message{Type: question, Flags: unix.NLM_F_ECHO, Body: []byte{1, 2, 3}}
	if err := conn.Dump(m, answer, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Get(m, answer); err != nil {
		t.Fatal(err)
	}
	if err := conn.Commit(unix.NFNL_SUBSYS_NFTABLES, 9, []netlink.Message{m}); err != nil {
		t.Fatal(err)
	}
	sent := func(typ, flags uint16, sequence uint32, body ...byte) []byte {
		b := netlinktest.Message(typ, flags, sequence, body)
		copy(b[12:], make([]byte, 4)) // port 0: the kernel fills it in
		return b
	}
	want := [][]byte{
		sent(question, unix.NLM_F_REQUEST|unix.NLM_F_DUMP|unix.NLM_F_ECHO, 1, 1, 2, 3),
		sent(question, unix.NLM_F_REQUEST|unix.NLM_F_ECHO, 2, 1, 2, 3),
		slices.Concat(
			sent(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, 3, slices.Concat([]byte{0, 0, 0, 10}, netlinktest.Attribute(unix.NFNL_BATCH_GENID, []byte{0, 0, 0, 9}))...),
			sent(question, unix.NLM_F_REQUEST|unix.NLM_F_ECHO|unix.NLM_F_ACK, 4, 1, 2, 3),
			sent(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, 5, 0, 0, 0, 10)),
	}
	if diff := cmp.Diff(want, socket.Sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestGet(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer []byte
		want   string
		err    string
	}{
		{"object", netlinktest.Message(answer, 0, 1, []byte("abcd")), "abcd", ""},
		{"there is none", netlinktest.Error(1, unix.ENOENT), "", "receive: no such file or directory"},
		{"acknowledgement", netlinktest.Error(1, 0), "", "receive: acknowledgement in place of an answer"},
		{"end of a dump", netlinktest.Done(1), "", "receive: message of type 0x3, want 0x100"},
		{"of another question", netlinktest.Message(answer, 0, 2), "", "receive: message with sequence number 2, want 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn := connect(t, &netlinktest.Socket{Answer: []netlinktest.Datagram{{Bytes: tc.answer}}})
			body, err := conn.Get(netlink.Message{Type: question}, answer)
			if string(body) != tc.want || errorText(err) != tc.err {
				t.Errorf("%q, error %v, want %q, error %s", body, err, tc.want, tc.err)
			}
		})
	}
}

func TestDumpStops(t *testing.T) {
	stop := errors.New("stop")
	torn := &netlinktest.Socket{Answer: []netlinktest.Datagram{{Bytes: slices.Concat(object(), object(), netlinktest.Done(1))}}}
	next := &netlinktest.Socket{Answer: []netlinktest.Datagram{{Bytes: netlinktest.Done(2)}}}
	conn := connect(t, torn, next)
	calls := 0
	err := conn.Dump(netlink.Message{Type: question}, answer, func([]byte) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 || torn.Closed != 1 {
		t.Errorf("error %v after %d calls, closed %d times", err, calls, torn.Closed)
	}
	// The next question finds nothing of the old answer.
	if _, err := dump(conn); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil || next.Closed != 1 {
		t.Errorf("close: %v, closed %d times", err, next.Closed)
	}
	if _, err := dump(conn); errorText(err) != "open netlink socket: EOF" {
		t.Errorf("error %v without a socket", err)
	}
	if _, err := netlink.NewConn(netlinktest.Open()); errorText(err) != "open netlink socket: EOF" {
		t.Errorf("error %v without a socket", err)
	}
}

func TestCommit(t *testing.T) {
	refused := func(change int, errno unix.Errno) error { return &netlink.RefusedError{Change: change, Err: errno} }
	// The boundaries have the sequence numbers 1 and 5.
	for _, tc := range []struct {
		name    string
		answer  []netlinktest.Datagram
		refused error
		err     string
	}{
		{"done", []netlinktest.Datagram{{Bytes: netlinktest.Error(4, 0)}}, nil, ""},
		{"of an old generation", []netlinktest.Datagram{{Bytes: netlinktest.Error(1, unix.ERESTART)}},
			refused(-1, unix.ERESTART), "receive: interrupted system call should be restarted"},
		{"first change refused", []netlinktest.Datagram{{Bytes: netlinktest.Error(2, unix.ENOENT)}, {Bytes: netlinktest.Error(4, 0)}},
			refused(0, unix.ENOENT), "receive: no such file or directory"},
		{"last change refused", []netlinktest.Datagram{{Bytes: netlinktest.Error(4, unix.EBUSY)}},
			refused(2, unix.EBUSY), "receive: device or resource busy"},
		{"end refused", []netlinktest.Datagram{{Bytes: netlinktest.Error(5, unix.ENOMEM)}},
			refused(-1, unix.ENOMEM), "receive: cannot allocate memory"},
		{"more errors than there was room for", []netlinktest.Datagram{{Err: unix.ENOBUFS}, {Bytes: netlinktest.Error(3, unix.EEXIST)}},
			refused(1, unix.EEXIST), "receive: file exists"},
		{"another change acknowledged", []netlinktest.Datagram{{Bytes: netlinktest.Error(2, 0)}},
			nil, "receive: acknowledgement of message 2, want 4"},
		{"of another transaction", []netlinktest.Datagram{{Bytes: netlinktest.Error(6, unix.EPERM)}},
			nil, "receive: message with sequence number 6, want 5"},
		{"no acknowledgement", []netlinktest.Datagram{{Bytes: netlinktest.Done(4)}},
			nil, "receive: message of type 0x3, want 0x2"},
		{"cut short", []netlinktest.Datagram{{Bytes: netlinktest.Message(unix.NLMSG_ERROR, 0, 4)}},
			nil, "receive: truncated message"},
		{"nothing", nil, nil, "receive: EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn := connect(t, &netlinktest.Socket{Answer: tc.answer})
			err := conn.Commit(unix.NFNL_SUBSYS_NFTABLES, 0, make([]netlink.Message, 3))
			if diff := cmp.Diff(tc.err, errorText(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			var got *netlink.RefusedError
			if errors.As(err, &got) != (tc.refused != nil) || got != nil && *got != *tc.refused.(*netlink.RefusedError) {
				t.Errorf("refused: %+v, want %+v", got, tc.refused)
			}
		})
	}
	socket := &netlinktest.Socket{}
	if err := connect(t, socket).Commit(unix.NFNL_SUBSYS_NFTABLES, 1, nil); err != nil || socket.Sent != nil {
		t.Errorf("no changes: %v, sent %d datagrams", err, len(socket.Sent))
	}
}

func TestRetry(t *testing.T) {
	other := errors.New("other")
	torn := netlink.ErrTorn
	for _, tc := range []struct {
		name  string
		tries []error
		err   string
	}{
		{"whole at once", []error{nil}, ""},
		{"torn, then whole", []error{torn, nil}, ""},
		{"messages lost, torn, then whole", []error{unix.ENOBUFS, torn, nil}, ""},
		{"torn, then another error", []error{torn, other}, "other"},
		{"always torn", []error{torn, unix.ENOBUFS, torn, torn, torn, torn}, torn.Error() + ", 6 times in a row"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := 0
			err := netlink.Retry(func() error { n++; return tc.tries[n-1] })
			if got := errorText(err); got != tc.err {
				t.Errorf("error %q, want %q", got, tc.err)
			}
			if n != len(tc.tries) {
				t.Errorf("%d tries, want %d", n, len(tc.tries))
			}
		})
	}
}

// Never a panic nor an endless loop, whatever arrives.
func FuzzAnswer(f *testing.F) {
	f.Add(slices.Concat(object('a'), netlinktest.Message(unix.NLMSG_NOOP, 0, 1), netlinktest.Done(1)))
	f.Add(netlinktest.Error(1, unix.EPERM))
	f.Add(netlinktest.Error(2, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		socket := func() *netlinktest.Socket { return &netlinktest.Socket{Answer: []netlinktest.Datagram{{Bytes: b}}} }
		bodies, dumpErr := dump(connect(t, socket()))
		if total := len(slices.Concat(bodies...)); total > len(b) {
			t.Errorf("%d bytes of bodies out of %d", total, len(b))
		}
		_, getErr := connect(t, socket()).Get(netlink.Message{Type: question}, answer)
		commitErr := connect(t, socket()).Commit(unix.NFNL_SUBSYS_NFTABLES, 1, make([]netlink.Message, 1))
		for _, err := range []error{dumpErr, getErr, commitErr} {
			if err != nil && !strings.HasPrefix(err.Error(), "receive: ") {
				t.Errorf("error %v", err)
			}
		}
	})
}

// table is a change that makes a table.
func table(t *testing.T, name string) netlink.Message {
	t.Helper()
	e := netlink.NewNfEncoder(unix.NFPROTO_INET)
	e.Text(unix.NFTA_TABLE_NAME, name)
	e.Uint32(unix.NFTA_TABLE_FLAGS, 0)
	body, err := e.Body()
	if err != nil {
		t.Fatal(err)
	}
	return netlink.Message{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWTABLE, Flags: unix.NLM_F_CREATE | unix.NLM_F_EXCL, Body: body}
}

// generation asks for the number of the ruleset's state.
func generation(t *testing.T, conn *netlink.Conn) (id uint32) {
	t.Helper()
	body, err := conn.Get(netlink.Message{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN, Body: []byte{0, 0, 0, 0}},
		unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN)
	if err != nil {
		t.Fatal(err)
	}
	for typ, value := range netlink.Attributes(body[netlink.SizeofNfgenmsg:], &err) {
		if typ == unix.NFTA_GEN_ID {
			id = value.Uint32()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// The real kernel, and its own refusals.
func TestKernel(t *testing.T) {
	lab.Namespace(t, func(t *testing.T) {
		conn, err := netlink.Open(unix.NETLINK_NETFILTER)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()

		old := generation(t, conn)
		if err := conn.Commit(unix.NFNL_SUBSYS_NFTABLES, old, []netlink.Message{table(t, "a"), table(t, "b")}); err != nil {
			t.Fatal(err)
		}
		if now := generation(t, conn); now == old {
			t.Errorf("generation %d before and after a change", old)
		}

		var refused *netlink.RefusedError
		err = conn.Commit(unix.NFNL_SUBSYS_NFTABLES, old, []netlink.Message{table(t, "c")})
		if !errors.As(err, &refused) || *refused != (netlink.RefusedError{Change: -1, Err: unix.ERESTART}) {
			t.Errorf("change of an old generation: %v", err)
		}
		var changes []netlink.Message
		for range 2000 { // more errors than the socket has room for
			changes = append(changes, table(t, "a"))
		}
		err = conn.Commit(unix.NFNL_SUBSYS_NFTABLES, 0, append([]netlink.Message{table(t, "c")}, changes...))
		if !errors.As(err, &refused) || *refused != (netlink.RefusedError{Change: 1, Err: unix.EEXIST}) {
			t.Errorf("change that was made already: %v", err)
		}

		var names []string
		err = conn.Dump(netlink.Message{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE, Body: []byte{unix.NFPROTO_INET, 0, 0, 0}},
			unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWTABLE, func(body []byte) error {
				var err error
				for typ, value := range netlink.Attributes(body[netlink.SizeofNfgenmsg:], &err) {
					if typ == unix.NFTA_TABLE_NAME {
						names = append(names, value.Text())
					}
				}
				return err
			})
		if diff := cmp.Diff([]string{"a", "b"}, names); diff != "" || err != nil {
			t.Errorf("tables, %v (-want +got):\n%s", err, diff)
		}

		// No module will ever be there for this subsystem.
		err = conn.Dump(netlink.Message{Type: 0xfe<<8 | 1, Body: []byte{0, 0, 0, 0}}, 0xfe<<8, nil)
		if !errors.Is(err, unix.EINVAL) {
			t.Errorf("dump of a subsystem that is not there: %v, want EINVAL", err)
		}
		if _, err := netlink.Open(31); errorText(err) != "open netlink socket: protocol not supported" {
			t.Errorf("open a protocol that is not there: %v", err)
		}

		// Capabilities belong to the thread. This one ends with the test.
		runtime.LockOSThread()
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Fatal(err)
		}
		err = conn.Commit(unix.NFNL_SUBSYS_NFTABLES, 0, changes[:1])
		if !errors.As(err, &refused) || *refused != (netlink.RefusedError{Change: -1, Err: unix.EPERM}) {
			t.Errorf("change without capabilities: %v", err)
		}
	})
}
