package conntrack

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"
)

func TestFlow(t *testing.T) {
	const (
		client = "192.168.10.100"
		server = "203.0.113.2"
		router = "203.0.113.1"
	)
	addr := netip.MustParseAddr
	tcpTuples := slices.Concat(tuple(ctaTupleOrig, unix.IPPROTO_TCP, client, server), tuple(ctaTupleReply, unix.IPPROTO_TCP, server, client))
	for _, tc := range []struct {
		name   string
		attrs  []byte
		want   flow
		active bool
		err    string
	}{
		{
			name:   "UDP",
			attrs:  slices.Concat(tuple(ctaTupleOrig, unix.IPPROTO_UDP, client, server), tuple(ctaTupleReply, unix.IPPROTO_UDP, server, client)),
			want:   flow{protocol: unix.IPPROTO_UDP, initiator: addr(client), responder: addr(server)},
			active: true,
		}, {
			name:   "ICMPv6",
			attrs:  slices.Concat(tuple(ctaTupleOrig, unix.IPPROTO_ICMPV6, "fd00::1", "2001:db8::2"), tuple(ctaTupleReply, unix.IPPROTO_ICMPV6, "2001:db8::2", "fd00::1")),
			want:   flow{protocol: unix.IPPROTO_ICMPV6, initiator: addr("fd00::1"), responder: addr("2001:db8::2")},
			active: true,
		}, {
			name:   "SNAT leaves both sources alone",
			attrs:  slices.Concat(tuple(ctaTupleOrig, unix.IPPROTO_TCP, client, server), tuple(ctaTupleReply, unix.IPPROTO_TCP, server, router), tcpInfo(3)),
			want:   flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server), tcpState: 3},
			active: true,
		}, {
			name:   "DNAT shows in the source of the reply",
			attrs:  slices.Concat(tuple(ctaTupleOrig, unix.IPPROTO_TCP, server, router), tuple(ctaTupleReply, unix.IPPROTO_TCP, client, server), tcpInfo(3)),
			want:   flow{protocol: unix.IPPROTO_TCP, initiator: addr(server), responder: addr(client), tcpState: 3},
			active: true,
		}, {
			name:   "IPv4-mapped",
			attrs:  slices.Concat(tuple(ctaTupleOrig, unix.IPPROTO_TCP, "::ffff:"+client, "2001:db8::2"), tuple(ctaTupleReply, unix.IPPROTO_TCP, "2001:db8::2", "::ffff:"+client)),
			want:   flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr("2001:db8::2")},
			active: true,
		}, {
			name:  "TIME_WAIT",
			attrs: slices.Concat(tcpTuples, tcpInfo(tcpTimeWait)),
			want:  flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server), tcpState: tcpTimeWait},
		}, {
			name:  "CLOSE",
			attrs: slices.Concat(tcpTuples, tcpInfo(tcpClose)),
			want:  flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server), tcpState: tcpClose},
		}, {
			name:   "CLOSE_WAIT",
			attrs:  slices.Concat(tcpTuples, tcpInfo(5)),
			want:   flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server), tcpState: 5},
			active: true,
		}, {
			name:   "TCP in a flowtable", // IPS_OFFLOAD: no timeout, no CTA_PROTOINFO
			attrs:  slices.Concat(tcpTuples, attr(3, []byte{0, 0, 0x41, 0x8e})),
			want:   flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server)},
			active: true,
		}, {
			name:   "state 8 of SCTP is not TCP's", // CTA_PROTOINFO_SCTP_STATE
			attrs:  slices.Concat(tcpTuples, nested(ctaProtoInfo, nested(3, attr(1, []byte{8})))),
			want:   flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server)},
			active: true,
		}, {
			name:   "unknown attributes at every level, in another order",
			attrs:  slices.Concat(attr(99, []byte("?")), tcpInfo(3), nested(ctaTupleReply, attr(99), nested(ctaTupleIP, attr(99), attr(ctaIPv4Src|unix.NLA_F_NET_BYTEORDER, []byte{10, 0, 0, 2}))), nested(ctaTupleOrig, nested(ctaTupleIP, attr(ctaIPv4Src, []byte{10, 0, 0, 1})), attr(99))),
			want:   flow{initiator: addr("10.0.0.1"), responder: addr("10.0.0.2"), tcpState: 3},
			active: true,
		}, {
			name:   "without NLA_F_NESTED",
			attrs:  slices.Concat(attr(ctaTupleOrig, attr(ctaTupleIP, attr(ctaIPv4Src, []byte{10, 0, 0, 1}))), attr(ctaTupleReply, attr(ctaTupleIP, attr(ctaIPv4Src, []byte{10, 0, 0, 2})))),
			want:   flow{initiator: addr("10.0.0.1"), responder: addr("10.0.0.2")},
			active: true,
		},
		{name: "nothing", err: "flow: no CTA_TUPLE_ORIG"},
		{name: "no reply", attrs: tuple(ctaTupleOrig, unix.IPPROTO_UDP, client, server), err: "flow: no CTA_TUPLE_REPLY"},
		{name: "tuple without addresses", attrs: nested(ctaTupleOrig), err: "flow: tuple without a source address"},
		{name: "IPv4 address of 3 bytes", attrs: nested(ctaTupleOrig, nested(ctaTupleIP, attr(ctaIPv4Src, []byte{1, 2, 3}))), err: "flow: source address of 3 bytes"},
		{name: "IPv6 address of 4 bytes", attrs: nested(ctaTupleOrig, nested(ctaTupleIP, attr(ctaIPv6Src, []byte{1, 2, 3, 4}))), err: "flow: source address of 4 bytes"},
		{name: "TCP without a state", attrs: slices.Concat(tcpTuples, nested(ctaProtoInfo, nested(ctaProtoInfoTCP))), err: "flow: TCP state of 0 bytes"},
		{name: "TCP state of 2 bytes", attrs: slices.Concat(tcpTuples, nested(ctaProtoInfo, nested(ctaProtoInfoTCP, attr(ctaProtoInfoTCPState, []byte{3, 0})))), err: "flow: TCP state of 2 bytes"},
		{name: "protocol number of 2 bytes", attrs: nested(ctaTupleOrig, nested(ctaTupleIP, attr(ctaIPv4Src, []byte{10, 0, 0, 1})), nested(ctaTupleProto, attr(ctaProtoNum, []byte{6, 0}))), err: "flow: protocol number of 2 bytes"},
		{name: "attribute shorter than its header", attrs: []byte{3, 0, 1, 0}, err: "flow: malformed attribute"},
		{name: "attribute of length 0", attrs: []byte{0, 0, 0, 0}, err: "flow: malformed attribute"},
		{name: "attribute longer than the message", attrs: []byte{0xff, 0xff, 1, 0}, err: "flow: malformed attribute"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// What is left of the previous flow must not show.
			got := flow{initiator: addr("10.9.9.9"), responder: addr("10.9.9.9"), protocol: 99, tcpState: tcpClose}
			err := got.unmarshal(tc.attrs)
			if tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Fatalf("unmarshal: %v, want %s", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(flow{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("flow (-want +got):\n%s", diff)
			}
			if got.active() != tc.active {
				t.Errorf("active: %v, want %v", got.active(), tc.active)
			}
		})
	}
}

// A flow cut short is an error, but where the cut leaves whole attributes, the
// needed ones among them.
func TestFlowCut(t *testing.T) {
	tuples := slices.Concat(
		tuple(ctaTupleOrig, unix.IPPROTO_TCP, "fd00::1", "2001:db8::2"),
		tuple(ctaTupleReply, unix.IPPROTO_TCP, "2001:db8::2", "fd00::1"))
	whole := slices.Concat(tuples, tcpInfo(3))
	var f flow
	for n := range whole {
		if err := f.unmarshal(whole[:n]); (err == nil) != (n == len(tuples)) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestFlowAllocatesNothing(t *testing.T) {
	attrs := slices.Concat(
		tuple(ctaTupleOrig, unix.IPPROTO_TCP, "fd00::1", "2001:db8::2"),
		tuple(ctaTupleReply, unix.IPPROTO_TCP, "2001:db8::2", "fd00::1"),
		tcpInfo(3))
	var f flow
	if n := testing.AllocsPerRun(100, func() {
		if err := f.unmarshal(attrs); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a flow", n)
	}
}

// decodeOracle decodes a flow with the library's decoder.
func decodeOracle(attrs []byte) (*conntrack.Flow, error) {
	var e conntrack.Event
	err := e.Unmarshal(netlink.Message{
		Header: netlink.Header{Type: ctNew},
		Data:   append([]byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	return e.Flow, err
}

// fromOracle gives what the library knows of a flow as this package would.
func fromOracle(oracle *conntrack.Flow) flow {
	f := flow{
		initiator: oracle.TupleOrig.IP.SourceAddress.Unmap(),
		responder: oracle.TupleReply.IP.SourceAddress.Unmap(),
		protocol:  oracle.TupleOrig.Proto.Protocol,
	}
	if oracle.ProtoInfo.TCP != nil {
		f.tcpState = oracle.ProtoInfo.TCP.State
	}
	return f
}

// diffOracle compares a flow with what the library's decoder made of it.
func diffOracle(got flow, oracle *conntrack.Flow) string {
	return cmp.Diff(fromOracle(oracle), got, cmp.AllowUnexported(flow{}), cmpopts.EquateComparable(netip.Addr{}))
}

func TestFlowCaptured(t *testing.T) {
	for _, attrs := range capturedFlows(t) {
		var got flow
		if err := got.unmarshal(attrs); err != nil {
			t.Errorf("unmarshal %x: %v", attrs, err)
			continue
		}
		oracle, err := decodeOracle(attrs)
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffOracle(got, oracle); diff != "" {
			t.Errorf("flow (-oracle +got):\n%s", diff)
		}
		// A state without TCP, or TCP without one, would be another
		// protocol's.
		if isTCP := oracle.TupleOrig.Proto.Protocol == unix.IPPROTO_TCP; isTCP != (got.tcpState != tcpNone) {
			t.Errorf("protocol %d in TCP state %d", oracle.TupleOrig.Proto.Protocol, got.tcpState)
		}
	}
}

// hasWideType reports whether an attribute, however deeply nested, has a type
// that the library's decoder misreads: it keeps 8 of the 14 bits. The kernel
// has no such type.
func hasWideType(attrs []byte) (wide bool) {
	walkAttrs(attrs, func(typ uint16, value []byte) error {
		wide = wide || typ > 0xff || hasWideType(value)
		return nil
	})
	return wide
}

// Never a panic; where the library accepts a flow as well, they agree.
func FuzzFlow(f *testing.F) {
	for _, attrs := range capturedFlows(f) {
		f.Add(attrs)
	}
	f.Fuzz(func(t *testing.T, attrs []byte) {
		before := bytes.Clone(attrs)
		var got flow
		err := got.unmarshal(attrs)
		if !bytes.Equal(before, attrs) {
			t.Fatal("input changed")
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "flow: ") {
				t.Errorf("error does not name the flow: %v", err)
			}
			return
		}
		oracle, err := decodeOracle(attrs)
		if err != nil || hasWideType(attrs) {
			return
		}
		if diff := diffOracle(got, oracle); diff != "" {
			t.Errorf("flow (-oracle +got):\n%s", diff)
		}
	})
}

func BenchmarkFlow(b *testing.B) {
	flows := capturedFlows(b)
	b.ReportAllocs()
	var f flow
	for i := 0; b.Loop(); i++ {
		if err := f.unmarshal(flows[i%len(flows)]); err != nil {
			b.Fatal(err)
		}
	}
}
