package conntrack

import (
	gocmp "cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/sources/netlink/netlinktest"
	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

var lan, lan6 = netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fd00::/8")

// isLAN accepts the clients of these tests.
func isLAN(a netip.Addr) bool { return lan.Contains(a) || lan6.Contains(a) }

// anyone counts every end.
func anyone(netip.Addr) bool { return true }

func diffActive(want map[string]state.Connections, got map[netip.Addr]state.Connections) string {
	printed := make(map[string]state.Connections)
	for addr, n := range got {
		printed[addr.String()] = n
	}
	return cmp.Diff(want, printed, cmpopts.EquateEmpty())
}

func TestCountCaptured(t *testing.T) {
	got, err := count(connect(t, netlinktest.Datagram{Bytes: captured(t)}), isLAN, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Counted by hand in testdata/flows.txt, without TIME_WAIT, CLOSE and UNREPLIED.
	want := map[string]state.Connections{
		"192.168.10.100": {state.ICMP: 1, state.TCP: 4}, // one of TCP, to port 8080, as the responder
		"fd00:10::100":   {state.ICMP: 1, state.TCP: 3},
	}
	if diff := diffActive(want, got); diff != "" {
		t.Errorf("active flows (-want +got):\n%s", diff)
	}
}

// What a torn dump counted must not add to what the next one does.
func TestCountStartsAfresh(t *testing.T) {
	flow := func(sequence uint32) []byte {
		return netlinktest.Message(ctNew, unix.NLM_F_MULTI, sequence, make([]byte, 4), status(ipsSeenReply),
			tupleAttr(ctaTupleOrig, unix.IPPROTO_UDP, "192.168.10.100", "203.0.113.2"),
			tupleAttr(ctaTupleReply, unix.IPPROTO_UDP, "203.0.113.2", "203.0.113.1"),
			counters(ctaCountersOrig, 2, 100), counters(ctaCountersReply, 1, 50))
	}
	type datagrams = []netlinktest.Datagram
	torn := &netlinktest.Socket{Answer: datagrams{
		{Bytes: slices.Concat(flow(1), flow(1))},
		{Bytes: netlinktest.Message(unix.NLMSG_DONE, unix.NLM_F_DUMP_INTR, 1, netlinktest.Code(0))},
	}}
	lost := &netlinktest.Socket{Answer: datagrams{{Bytes: flow(2)}, {Err: unix.ENOBUFS}}}
	whole := &netlinktest.Socket{Answer: datagrams{{Bytes: flow(3)}, {Bytes: netlinktest.Done(3)}}}
	conn, err := netlink.NewConn(netlinktest.Open(torn, lost, whole))
	if err != nil {
		t.Fatal(err)
	}
	counter := state.NewFlowCounter(state.NewScope([]netip.Prefix{lan}, nil, nil), nil, true, true)
	got, err := count(conn, isLAN, counter)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffActive(map[string]state.Connections{"192.168.10.100": {state.UDP: 1}}, got); diff != "" {
		t.Errorf("active flows (-want +got):\n%s", diff)
	}
	want := []state.FlowTraffic{{
		Addr: netip.MustParseAddr("192.168.10.100"),
		All:  [2]state.Traffic{state.Tx: {Bytes: 100, Packets: 2}, state.Rx: {Bytes: 50, Packets: 1}},
	}}
	traffic, _ := counter.Finish()
	if diff := cmp.Diff(want, traffic, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("traffic (-want +got):\n%s", diff)
	}
}

func TestCountMalformedFlow(t *testing.T) {
	for want, message := range map[string][]byte{
		"receive: flow: malformed attribute":         newFlow([]byte{1, 0, 0, 0}),
		"receive: flow: no struct nfgenmsg":          netlinktest.Message(ctNew, unix.NLM_F_MULTI, 1, []byte{unix.AF_INET}),
		"receive: flow: no CTA_TUPLE_ORIG":           newFlow(),
		"receive: message of type 0x200, want 0x100": netlinktest.Message(0x200, unix.NLM_F_MULTI, 1),
	} {
		conn := connect(t, netlinktest.Datagram{Bytes: slices.Concat(message, netlinktest.Done(1))})
		if _, err := count(conn, isLAN, nil); errorText(err) != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestMissingCounters(t *testing.T) {
	flow := func(client string, attrs ...[]byte) []byte {
		return newFlow(tupleAttr(ctaTupleOrig, unix.IPPROTO_UDP, client, "203.0.113.2"), tupleAttr(ctaTupleReply, unix.IPPROTO_UDP, "203.0.113.2", client), slices.Concat(attrs...))
	}
	counted, uncounted := flow("192.168.10.100", counters(ctaCountersOrig, 1, 50), counters(ctaCountersReply, 0, 0)), flow("192.168.10.101")
	for _, tc := range []struct {
		name  string
		flows []byte
		err   string
	}{
		{"counted", counted, ""},
		{"some uncounted", slices.Concat(counted, uncounted), "connections that began before sysctl net.netfilter.nf_conntrack_acct was 1 have no byte counters: they are not counted"},
		{"all uncounted", uncounted, "connections have no byte counters: set sysctl net.netfilter.nf_conntrack_acct=1 (connections that begin afterwards are counted)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			counter := state.NewFlowCounter(state.NewScope([]netip.Prefix{lan}, nil, nil), nil, true, false)
			if _, err := count(connect(t, netlinktest.Datagram{Bytes: slices.Concat(tc.flows, netlinktest.Done(1))}), isLAN, counter); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.err, errorText(missingCounters(counter))); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
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

func TestWithCure(t *testing.T) {
	for errno, want := range map[unix.Errno]string{
		unix.EPERM:           "receive: operation not permitted",
		unix.EINVAL:          "receive: invalid argument (the kernel does not list connections: modprobe nf_conntrack_netlink)",
		unix.EOPNOTSUPP:      "receive: operation not supported (the kernel does not list connections: modprobe nf_conntrack_netlink)",
		unix.EPROTONOSUPPORT: "receive: protocol not supported (the kernel does not list connections: modprobe nf_conntrack_netlink)",
		unix.ENOMEM:          "receive: cannot allocate memory",
	} {
		err := withCure(fmt.Errorf("receive: %w", errno))
		if errorText(err) != want {
			t.Errorf("error %q, want %q", err, want)
		}
		if !errors.Is(err, errno) {
			t.Errorf("%q does not wrap %v", err, errno)
		}
	}
}

// A spec describes a flow to insert.
type spec struct {
	name      string
	protocol  uint8
	orig      [2]string // source and destination
	reply     [2]string // none: orig swapped
	port      uint16    // source port of orig
	tcpState  uint8
	zone      uint16
	unreplied bool
}

// insert puts flows into the kernel's table.
func insert(tb testing.TB, c *conntrack.Conn, specs ...spec) {
	tb.Helper()
	for _, s := range specs {
		status := conntrack.StatusConfirmed | conntrack.StatusSeenReply | conntrack.StatusAssured
		if s.unreplied {
			status = conntrack.StatusConfirmed
		}
		f := conntrack.NewFlow(s.protocol, status, netip.MustParseAddr(s.orig[0]), netip.MustParseAddr(s.orig[1]), 1024+s.port, 443, 3600, 0)
		if s.reply[0] != "" {
			f.TupleReply.IP.SourceAddress = netip.MustParseAddr(s.reply[0])
			f.TupleReply.IP.DestinationAddress = netip.MustParseAddr(s.reply[1])
		}
		f.Zone = s.zone
		switch s.protocol {
		case unix.IPPROTO_TCP:
			f.ProtoInfo.TCP = &conntrack.ProtoInfoTCP{State: s.tcpState}
		case unix.IPPROTO_ICMP:
			f.TupleOrig.Proto.ICMPType, f.TupleOrig.Proto.ICMPID = 8, s.port
			f.TupleReply.Proto.ICMPType, f.TupleReply.Proto.ICMPID = 0, s.port
		case unix.IPPROTO_ICMPV6:
			f.TupleOrig.Proto.ICMPType, f.TupleOrig.Proto.ICMPID = 128, s.port
			f.TupleReply.Proto.ICMPType, f.TupleReply.Proto.ICMPID = 129, s.port
		}
		if err := c.Create(f); err != nil {
			tb.Fatalf("insert %+v: %v", s, err)
		}
	}
}

func dialLibrary(tb testing.TB) *conntrack.Conn {
	tb.Helper()
	c, err := conntrack.Dial(nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

func TestRead(t *testing.T) {
	lab.Namespace(t, func(t *testing.T) {
		const (
			client, other, server, router = "192.168.10.100", "192.168.10.101", "203.0.113.2", "203.0.113.1"
			client6, server6              = "fd00:10::100", "2001:db8::2"

			tcp, udp     = unix.IPPROTO_TCP, unix.IPPROTO_UDP
			established  = 3
			tcpCloseWait = 5
		)
		c := dialLibrary(t)

		got, err := Read(isLAN, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Active) != 0 || got.Entries != 0 || got.Limit == 0 {
			t.Errorf("empty table: %+v", got)
		}

		insert(t, c,
			spec{name: "plain", protocol: tcp, tcpState: established, orig: [2]string{client, server}, port: 1},
			spec{name: "masqueraded", protocol: tcp, tcpState: established, orig: [2]string{client, server}, reply: [2]string{server, router}, port: 2},
			spec{name: "half open", protocol: tcp, tcpState: 1, orig: [2]string{client, server}, port: 3},
			spec{name: "half closed", protocol: tcp, tcpState: tcpCloseWait, orig: [2]string{client, server}, port: 4},
			spec{name: "over", protocol: tcp, tcpState: tcpTimeWait, orig: [2]string{client, server}, port: 5},
			spec{name: "reset", protocol: tcp, tcpState: tcpClose, orig: [2]string{client, server}, port: 6},
			spec{name: "forwarded port", protocol: tcp, tcpState: established, orig: [2]string{server, router}, reply: [2]string{client, server}, port: 7},
			spec{name: "forwarded port, over", protocol: tcp, tcpState: tcpTimeWait, orig: [2]string{server, router}, reply: [2]string{client, server}, port: 8},
			spec{name: "hairpin", protocol: tcp, tcpState: established, orig: [2]string{client, router}, reply: [2]string{other, "192.168.10.1"}, port: 9},
			spec{name: "hairpin to itself", protocol: tcp, tcpState: established, orig: [2]string{client, router}, reply: [2]string{client, "192.168.10.1"}, port: 10},
			spec{name: "UDP", protocol: udp, orig: [2]string{other, server}, reply: [2]string{server, router}, port: 11},
			spec{name: "ICMP", protocol: unix.IPPROTO_ICMP, orig: [2]string{other, server}, port: 12},
			spec{name: "ICMPv6", protocol: unix.IPPROTO_ICMPV6, orig: [2]string{client6, server6}, port: 13},
			spec{name: "IPv6", protocol: tcp, tcpState: established, orig: [2]string{client6, server6}, port: 14},
			spec{name: "IPv6, over", protocol: tcp, tcpState: tcpTimeWait, orig: [2]string{client6, server6}, port: 15},
			spec{name: "between clients", protocol: udp, orig: [2]string{other, client}, port: 16},
			spec{name: "the router's own", protocol: udp, orig: [2]string{router, server}, port: 17},
			spec{name: "in another zone", protocol: udp, orig: [2]string{other, server}, reply: [2]string{server, router}, port: 11, zone: 5},
			spec{name: "scan", protocol: tcp, tcpState: 1, orig: [2]string{client, server}, port: 19, unreplied: true},
			spec{name: "UDP without a reply", protocol: udp, orig: [2]string{other, server}, port: 20, unreplied: true},
			spec{name: "UDP-Lite", protocol: unix.IPPROTO_UDPLITE, orig: [2]string{other, server}, port: 18},
		)
		got, err = Read(isLAN, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]state.Connections{
			client:  {state.TCP: 7, state.UDP: 1},
			other:   {state.ICMP: 1, state.TCP: 1, state.UDP: 3, state.OtherProtocol: 1},
			client6: {state.ICMP: 1, state.TCP: 1},
		}
		if diff := diffActive(want, got.Active); diff != "" {
			t.Errorf("active flows (-want +got):\n%s", diff)
		}
		if got.Entries != 21 {
			t.Errorf("entries: %d, want 21", got.Entries)
		}
		if got.Cost <= 0 {
			t.Errorf("cost: %v", got.Cost)
		}
		if diff := diffActive(countWithLibrary(t, c, isLAN), got.Active); diff != "" {
			t.Errorf("active flows (-library +got):\n%s", diff)
		}

		// Several thousand of all kinds, over many datagrams.
		insert(t, c, manySpecs(6000)...)
		held := got
		got, err = Read(anyone, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Entries != 6021 {
			t.Errorf("entries: %d, want 6021", got.Entries)
		}
		if diff := diffActive(countWithLibrary(t, c, anyone), got.Active); diff != "" {
			t.Errorf("active flows (-library +got):\n%s", diff)
		}
		if diff := cmp.Diff(dumpWithLibrary(t, c), dumpAll(t), cmp.AllowUnexported(flow{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("flows (-library +got):\n%s", diff)
		}

		// With counts that are held, only the two numbers are new.
		got, err = Read(anyone, held, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Entries != 6021 || held.Entries != 21 {
			t.Errorf("entries: %d, want 6021; before %d, want 21", got.Entries, held.Entries)
		}
		if diff := diffActive(want, got.Active); diff != "" || got.Cost != held.Cost {
			t.Errorf("held flows, which cost %v, want %v (-want +got):\n%s", got.Cost, held.Cost, diff)
		}
	})
}

// manySpecs makes n different flows of 502 clients, of every kind in turn.
func manySpecs(n int) (specs []spec) {
	for i := range n {
		s := spec{protocol: unix.IPPROTO_TCP, tcpState: 1 + uint8(i/4%8), port: uint16(i)}
		client, server := fmt.Sprintf("192.168.20.%d", i%251), fmt.Sprintf("198.51.100.%d", i%13)
		switch i % 4 {
		case 0: // masqueraded
			s.orig, s.reply = [2]string{client, server}, [2]string{server, "203.0.113.1"}
		case 1: // forwarded port
			s.orig, s.reply = [2]string{server, "203.0.113.1"}, [2]string{client, server}
		case 2:
			s.orig = [2]string{fmt.Sprintf("fd00:20::%x", i%251), "2001:db8::2"}
		case 3:
			s.protocol, s.orig = unix.IPPROTO_UDP, [2]string{client, server}
		}
		specs = append(specs, s)
	}
	return specs
}

// dumpAll returns every flow as this package decodes it, in order and without its
// key.
func dumpAll(t *testing.T) (flows []flow) {
	t.Helper()
	conn, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = eachFlow(conn, func(f *flow) {
		flows = append(flows, *f)
		flows[len(flows)-1].key = 0
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(flows, compareFlows)
	return flows
}

// dumpWithLibrary does the same with the library's dump.
func dumpWithLibrary(t *testing.T, c *conntrack.Conn) (flows []flow) {
	t.Helper()
	dumped, err := c.Dump(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range dumped {
		flows = append(flows, fromOracle(&f))
	}
	slices.SortFunc(flows, compareFlows)
	return flows
}

func compareFlows(a, b flow) int {
	return gocmp.Or(a.initiator.Compare(b.initiator), a.responder.Compare(b.responder),
		gocmp.Compare(a.protocol, b.protocol), gocmp.Compare(a.tcpState, b.tcpState), gocmp.Compare(a.status, b.status))
}

// countWithLibrary counts as Read should, in the library's dump of the table.
func countWithLibrary(t *testing.T, c *conntrack.Conn, isClient func(netip.Addr) bool) map[string]state.Connections {
	t.Helper()
	flows, err := c.Dump(nil)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[uint8]state.Protocol{6: state.TCP, 17: state.UDP, 1: state.ICMP, 58: state.ICMP, 136: state.OtherProtocol}
	active := make(map[string]state.Connections)
	for _, f := range flows {
		if tcp := f.ProtoInfo.TCP; f.Status&conntrack.StatusSeenReply == 0 || tcp != nil && (tcp.State == 7 || tcp.State == 8) {
			continue
		}
		ends := []netip.Addr{f.TupleOrig.IP.SourceAddress, f.TupleReply.IP.SourceAddress}
		for _, addr := range slices.Compact(ends) {
			if isClient(addr) {
				n := active[addr.String()]
				n[kinds[f.TupleOrig.Proto.Protocol]]++
				active[addr.String()] = n
			}
		}
	}
	return active
}

// The kernel's own refusals.
func TestReadErrors(t *testing.T) {
	lab.Namespace(t, func(t *testing.T) {
		// Capabilities belong to the thread. This one ends with the test.
		runtime.LockOSThread()
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Fatal(err)
		}
		got, err := Read(isLAN, nil, nil)
		if got != nil || !errors.Is(err, unix.EPERM) {
			t.Errorf("Read without capabilities: %v, %v, want EPERM", got, err)
		}
		const want = "dump conntrack table: receive: operation not permitted"
		if errorText(err) != want {
			t.Errorf("error %q\nwant  %q", err, want)
		}
	})
}

// BenchmarkRead reports, beside the time of Read, how it compares with the
// kernel's own share: a dump whose datagrams are received and not looked at.
// The kernel walks every bucket of its hash table, whatever the number of flows.
// Some 0.2 ms of Read are the benchmark's own: a goroutine that may not leave
// its thread waits longer for the runtime's poller, which the library uses.
//
// With traffic, every flow is remembered and looked up, as in the layout flows.
func BenchmarkRead(b *testing.B) {
	for _, n := range []int{0, 1000, 5000, 20000, 60000} {
		b.Run(fmt.Sprintf("flows=%d", n), func(b *testing.B) { benchmarkRead(b, n, false) })
	}
	b.Run("flows=100000/traffic", func(b *testing.B) { benchmarkRead(b, 100000, true) })
}

func benchmarkRead(b *testing.B, n int, traffic bool) {
	// Only the thread changes namespace. It ends with the benchmark.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		b.Skipf("make a network namespace: %v; try unshare -rn go test -bench Read", err)
	}
	account(b)
	insert(b, dialLibrary(b), manySpecs(n)...)

	var kernel time.Duration
	var memory *state.FlowMemory
	scope := state.NewScope([]netip.Prefix{lan, lan6}, nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		start := time.Now()
		receiveOnly(b)
		kernel += time.Since(start)
		b.StartTimer()
		var counter *state.FlowCounter
		if traffic {
			counter = state.NewFlowCounter(scope, memory, true, false)
		}
		if _, err := Read(scope.Contains, nil, counter); err != nil {
			b.Fatal(err)
		}
		if traffic {
			_, memory = counter.Finish()
		}
	}
	b.ReportMetric(float64(kernel.Nanoseconds())/float64(b.N), "kernel-ns/op")
	b.ReportMetric(float64(b.Elapsed())/float64(kernel), "x-kernel")
}

// account has the kernel of this namespace count what flows move.
func account(tb testing.TB) {
	tb.Helper()
	// /proc/sys/net is that of the namespace of the thread that opens it.
	if err := os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_acct", []byte("1"), 0); err != nil {
		tb.Fatal(err)
	}
}

// receiveOnly makes the kernel do all of a dump and us next to nothing.
func receiveOnly(b *testing.B) {
	conn, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	question := netlink.Message{Type: ctGet, Body: make([]byte, netlink.SizeofNfgenmsg)}
	if err := conn.Dump(question, ctNew, func([]byte) error { return nil }); err != nil {
		b.Fatal(err)
	}
}
