package conntrack

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	library "github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
)

func TestFlow(t *testing.T) {
	const (
		client = "192.168.10.100"
		server = "203.0.113.2"
		router = "203.0.113.1"
	)
	addr := netip.MustParseAddr
	replied := status(ipsSeenReply)
	tcpTuples := slices.Concat(replied, tupleAttr(ctaTupleOrig, unix.IPPROTO_TCP, client, server), tupleAttr(ctaTupleReply, unix.IPPROTO_TCP, server, client))
	for _, tc := range []struct {
		name  string
		attrs []byte
		want  flow
		alive bool
		err   string
	}{
		{
			name:  "UDP",
			attrs: slices.Concat(replied, tupleAttr(ctaTupleOrig, unix.IPPROTO_UDP, client, server), tupleAttr(ctaTupleReply, unix.IPPROTO_UDP, server, client)),
			want:  flow{protocol: unix.IPPROTO_UDP, initiator: addr(client), responder: addr(server), status: ipsSeenReply},
			alive: true,
		}, {
			name:  "ICMPv6",
			attrs: slices.Concat(replied, tupleAttr(ctaTupleOrig, unix.IPPROTO_ICMPV6, "fd00::1", "2001:db8::2"), tupleAttr(ctaTupleReply, unix.IPPROTO_ICMPV6, "2001:db8::2", "fd00::1")),
			want:  flow{protocol: unix.IPPROTO_ICMPV6, initiator: addr("fd00::1"), responder: addr("2001:db8::2"), status: ipsSeenReply},
			alive: true,
		}, {
			name:  "SNAT leaves both sources alone",
			attrs: slices.Concat(replied, tupleAttr(ctaTupleOrig, unix.IPPROTO_TCP, client, server), tupleAttr(ctaTupleReply, unix.IPPROTO_TCP, server, router), tcpInfo(3)),
			want:  flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server), tcpState: 3, status: ipsSeenReply},
			alive: true,
		}, {
			name:  "DNAT shows in the source of the reply",
			attrs: slices.Concat(replied, tupleAttr(ctaTupleOrig, unix.IPPROTO_TCP, server, router), tupleAttr(ctaTupleReply, unix.IPPROTO_TCP, client, server), tcpInfo(3)),
			want:  flow{protocol: unix.IPPROTO_TCP, initiator: addr(server), responder: addr(client), tcpState: 3, status: ipsSeenReply},
			alive: true,
		}, {
			name:  "IPv4-mapped",
			attrs: slices.Concat(replied, tupleAttr(ctaTupleOrig, unix.IPPROTO_TCP, "::ffff:"+client, "2001:db8::2"), tupleAttr(ctaTupleReply, unix.IPPROTO_TCP, "2001:db8::2", "::ffff:"+client)),
			want:  flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr("2001:db8::2"), status: ipsSeenReply},
			alive: true,
		}, {
			name:  "TIME_WAIT",
			attrs: slices.Concat(tcpTuples, tcpInfo(tcpTimeWait)),
			want:  flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server), tcpState: tcpTimeWait, status: ipsSeenReply},
		}, {
			name:  "CLOSE",
			attrs: slices.Concat(tcpTuples, tcpInfo(tcpClose)),
			want:  flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server), tcpState: tcpClose, status: ipsSeenReply},
		}, {
			name:  "CLOSE_WAIT",
			attrs: slices.Concat(tcpTuples, tcpInfo(5)),
			want:  flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server), tcpState: 5, status: ipsSeenReply},
			alive: true,
		}, {
			name:  "TCP in a flowtable", // IPS_OFFLOAD: no timeout, no CTA_PROTOINFO
			attrs: slices.Concat(tcpTuples, status(0x418e)),
			want:  flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server), status: 0x418e},
			alive: true,
		}, {
			name:  "state 8 of SCTP is not TCP's", // CTA_PROTOINFO_SCTP_STATE
			attrs: slices.Concat(tcpTuples, nested(ctaProtoInfo, nested(3, attr(1, []byte{8})))),
			want:  flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server), status: ipsSeenReply},
			alive: true,
		}, {
			name:  "unknown attributes at every level, in another order",
			attrs: slices.Concat(replied, attr(99, []byte("?")), tcpInfo(3), nested(ctaTupleReply, attr(99), nested(ctaTupleIP, attr(99), attr(ctaIPv4Src|unix.NLA_F_NET_BYTEORDER, []byte{10, 0, 0, 2}))), nested(ctaTupleOrig, nested(ctaTupleIP, attr(ctaIPv4Src, []byte{10, 0, 0, 1})), attr(99))),
			want:  flow{initiator: addr("10.0.0.1"), responder: addr("10.0.0.2"), tcpState: 3, status: ipsSeenReply},
			alive: true,
		}, {
			name:  "without NLA_F_NESTED",
			attrs: slices.Concat(replied, attr(ctaTupleOrig, attr(ctaTupleIP, attr(ctaIPv4Src, []byte{10, 0, 0, 1}))), attr(ctaTupleReply, attr(ctaTupleIP, attr(ctaIPv4Src, []byte{10, 0, 0, 2})))),
			want:  flow{initiator: addr("10.0.0.1"), responder: addr("10.0.0.2"), status: ipsSeenReply},
			alive: true,
		},
		{
			name:  "no reply yet",
			attrs: slices.Concat(tcpTuples, tcpInfo(1), status(8)),
			want:  flow{protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server), tcpState: 1, status: 8},
		}, {
			name:  "no status",
			attrs: slices.Concat(tupleAttr(ctaTupleOrig, unix.IPPROTO_UDP, client, server), tupleAttr(ctaTupleReply, unix.IPPROTO_UDP, server, client)),
			want:  flow{protocol: unix.IPPROTO_UDP, initiator: addr(client), responder: addr(server)},
		}, {
			name:  "counters",
			attrs: slices.Concat(tcpTuples, tcpInfo(3), counters(ctaCountersOrig, 2, 120), counters(ctaCountersReply, 1<<40, 1<<50)),
			want: flow{
				protocol: unix.IPPROTO_TCP, initiator: addr(client), responder: addr(server), tcpState: 3, status: ipsSeenReply,
				hasCounters: true, traffic: [2]state.Traffic{{Packets: 2, Bytes: 120}, {Packets: 1 << 40, Bytes: 1 << 50}},
			},
			alive: true,
		},
		{name: "nothing", err: "flow: no CTA_TUPLE_ORIG"},
		{name: "no reply", attrs: tupleAttr(ctaTupleOrig, unix.IPPROTO_UDP, client, server), err: "flow: no CTA_TUPLE_REPLY"},
		{name: "tuple without addresses", attrs: nested(ctaTupleOrig), err: "flow: tuple without a source address"},
		{name: "IPv4 address of 3 bytes", attrs: nested(ctaTupleOrig, nested(ctaTupleIP, attr(ctaIPv4Src, []byte{1, 2, 3}))), err: "flow: source address of 3 bytes"},
		{name: "IPv6 address of 4 bytes", attrs: nested(ctaTupleOrig, nested(ctaTupleIP, attr(ctaIPv6Src, []byte{1, 2, 3, 4}))), err: "flow: source address of 4 bytes"},
		{name: "TCP without a state", attrs: slices.Concat(tcpTuples, nested(ctaProtoInfo, nested(ctaProtoInfoTCP))), err: "flow: TCP without a state"},
		{name: "TCP state of 2 bytes", attrs: slices.Concat(tcpTuples, nested(ctaProtoInfo, nested(ctaProtoInfoTCP, attr(ctaProtoInfoTCPState, []byte{3, 0})))), err: "flow: attribute of 2 bytes, want 1"},
		{name: "protocol number of 2 bytes", attrs: nested(ctaTupleOrig, nested(ctaTupleIP, attr(ctaIPv4Src, []byte{10, 0, 0, 1})), nested(ctaTupleProto, attr(ctaProtoNum, []byte{6, 0}))), err: "flow: attribute of 2 bytes, want 1"},
		{name: "status of 2 bytes", attrs: slices.Concat(tcpTuples, attr(ctaStatus, []byte{0, 2})), err: "flow: attribute of 2 bytes, want 4"},
		{name: "counter of 4 bytes", attrs: slices.Concat(tcpTuples, nested(ctaCountersOrig, attr(ctaCountersBytes, make([]byte, 4)))), err: "flow: attribute of 4 bytes, want 8"},
		{name: "attribute shorter than its header", attrs: []byte{3, 0, 1, 0}, err: "flow: malformed attribute"},
		{name: "attribute of length 0", attrs: []byte{0, 0, 0, 0}, err: "flow: malformed attribute"},
		{name: "attribute longer than the message", attrs: []byte{0xff, 0xff, 1, 0}, err: "flow: malformed attribute"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// What is left of the previous flow must not show.
			got := flow{
				initiator: addr("10.9.9.9"), responder: addr("10.9.9.9"), protocol: 99, tcpState: tcpClose, status: ipsOffload, key: 1,
				hasCounters: true, traffic: [2]state.Traffic{{Bytes: 1, Packets: 1}, {Bytes: 1, Packets: 1}},
			}
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
			if got.key == 0 || got.key == 1 {
				t.Errorf("key %d", got.key)
			}
			if diff := diffFlows(tc.want, got); diff != "" {
				t.Errorf("flow (-want +got):\n%s", diff)
			}
			if got.alive() != tc.alive {
				t.Errorf("alive: %v, want %v", got.alive(), tc.alive)
			}
		})
	}
}

// A flow cut short is an error, but where the cut leaves whole attributes, the
// needed ones among them.
func TestFlowCut(t *testing.T) {
	tuples := slices.Concat(
		tupleAttr(ctaTupleOrig, unix.IPPROTO_TCP, "fd00::1", "2001:db8::2"),
		tupleAttr(ctaTupleReply, unix.IPPROTO_TCP, "2001:db8::2", "fd00::1"))
	state := slices.Concat(tuples, tcpInfo(3))
	whole := slices.Concat(state, counters(ctaCountersOrig, 1, 2))
	var f flow
	for n := range whole {
		if err := f.unmarshal(whole[:n]); (err == nil) != (n == len(tuples) || n == len(state)) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestFlowAllocatesNothing(t *testing.T) {
	attrs := slices.Concat(
		tupleAttr(ctaTupleOrig, unix.IPPROTO_TCP, "fd00::1", "2001:db8::2"),
		tupleAttr(ctaTupleReply, unix.IPPROTO_TCP, "2001:db8::2", "fd00::1"),
		tcpInfo(3), status(ipsSeenReply), counters(ctaCountersOrig, 1, 2), counters(ctaCountersReply, 3, 4),
		attr(ctaID, []byte{1, 2, 3, 4}), nested(ctaTimestamp, attr(ctaTimestampStart, make([]byte, 8))))
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
	err := e.Unmarshal(library.Message{
		Header: library.Header{Type: ctNew},
		Data:   append([]byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	return e.Flow, err
}

// fromOracle returns what the library knows of a flow as this package would. Where
// counters are, and the key, it does not tell.
func fromOracle(oracle *conntrack.Flow) flow {
	f := flow{
		initiator: oracle.TupleOrig.IP.SourceAddress.Unmap(),
		responder: oracle.TupleReply.IP.SourceAddress.Unmap(),
		protocol:  oracle.TupleOrig.Proto.Protocol,
		status:    uint32(oracle.Status),
		traffic: [2]state.Traffic{
			{Bytes: oracle.CountersOrig.Bytes, Packets: oracle.CountersOrig.Packets},
			{Bytes: oracle.CountersReply.Bytes, Packets: oracle.CountersReply.Packets},
		},
	}
	if oracle.ProtoInfo.TCP != nil {
		f.tcpState = oracle.ProtoInfo.TCP.State
	}
	return f
}

// diffFlows compares all but the keys.
func diffFlows(want, got flow) string {
	want.key, got.key = 0, 0
	return cmp.Diff(want, got, cmp.AllowUnexported(flow{}), cmpopts.EquateComparable(netip.Addr{}))
}

// diffOracle compares a flow with what the library's decoder made of it.
func diffOracle(got flow, oracle *conntrack.Flow) string {
	got.hasCounters = false
	return diffFlows(fromOracle(oracle), got)
}

// The key stays for the life of a flow, and tells it from others.
func TestFlowKey(t *testing.T) {
	const tcp, udp = unix.IPPROTO_TCP, unix.IPPROTO_UDP
	reply := tupleAttr(ctaTupleReply, tcp, "203.0.113.2", "203.0.113.1")
	key := func(orig []byte, attrs ...[]byte) uint64 {
		var f flow
		if err := f.unmarshal(slices.Concat(orig, reply, slices.Concat(attrs...))); err != nil {
			t.Fatal(err)
		}
		return f.key
	}
	orig, id := tupleAttr(ctaTupleOrig, tcp, "192.168.10.100", "203.0.113.2"), attr(ctaID, []byte{1, 2, 3, 4})
	start := func(at byte, rest ...[]byte) []byte {
		return nested(ctaTimestamp, append([][]byte{attr(ctaTimestampStart, []byte{0, 0, 0, 0, 0, 0, 0, at})}, rest...)...)
	}
	first := key(orig, id, start(1))
	for name, same := range map[string]uint64{
		"counters and state":       key(orig, counters(ctaCountersOrig, 1, 2), tcpInfo(3), id, start(1)),
		"status, and the end time": key(orig, status(ipsOffload), id, start(1, attr(2, make([]byte, 8)))),
	} {
		if same != first {
			t.Errorf("%s change the key", name)
		}
	}
	different := map[uint64]string{first: "the flow"}
	for name, other := range map[string]uint64{
		"another ID":        key(orig, attr(ctaID, []byte{1, 2, 3, 5}), start(1)),
		"no ID":             key(orig, start(1)),
		"another start":     key(orig, id, start(2)),
		"no start":          key(orig, id),
		"another address":   key(tupleAttr(ctaTupleOrig, tcp, "192.168.10.101", "203.0.113.2"), id, start(1)),
		"another protocol":  key(tupleAttr(ctaTupleOrig, udp, "192.168.10.100", "203.0.113.2"), id, start(1)),
		"another direction": key(tupleAttr(ctaTupleOrig, tcp, "203.0.113.2", "192.168.10.100"), id, start(1)),
	} {
		if twin, ok := different[other]; ok {
			t.Errorf("%s has the key of %s", name, twin)
		}
		different[other] = name
	}
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
		if !got.hasCounters {
			t.Errorf("no counters: %x", attrs)
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
	var err error
	for typ, value := range netlink.Attributes(attrs, &err) {
		wide = wide || typ > 0xff || hasWideType(value.Bytes)
	}
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
