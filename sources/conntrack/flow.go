package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
)

// Attributes of a flow and of what is nested in them, from
// linux/netfilter/nfnetlink_conntrack.h. All numbers are in network byte order.
const (
	ctaTupleOrig     = 1
	ctaTupleReply    = 2
	ctaStatus        = 3
	ctaProtoInfo     = 4
	ctaCountersOrig  = 9
	ctaCountersReply = 10
	ctaID            = 12
	ctaTimestamp     = 20

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaProtoNum = 1

	ctaIPv4Src = 1
	ctaIPv6Src = 3

	ctaProtoInfoTCP = 1

	ctaProtoInfoTCPState = 1

	ctaCountersPackets = 1
	ctaCountersBytes   = 2

	ctaTimestampStart = 1
)

// Bits of CTA_STATUS, enum ip_conntrack_status in
// linux/netfilter/nf_conntrack_common.h.
const (
	ipsSeenReply = 1 << 1  // both ends sent something
	ipsOffload   = 1 << 14 // a flowtable forwards the flow
)

// States of a TCP flow, enum tcp_conntrack in
// linux/netfilter/nf_conntrack_tcp.h.
const (
	tcpNone        = 0
	tcpEstablished = 3
	tcpTimeWait    = 7
	tcpClose       = 8
)

// A flow is what counting needs to know of a tracked flow. Its zone is not
// read: two flows that differ in nothing but the zone are two entries of the
// table, with an ID each, and count as two.
type flow struct {
	// The ends. NAT rewrites destinations and the source of the reply, but
	// never these two: who sent the first packet, before SNAT, and who answers
	// it, after DNAT.
	initiator netip.Addr // source of CTA_TUPLE_ORIG
	responder netip.Addr // source of CTA_TUPLE_REPLY

	protocol uint8 // IPPROTO_*, of CTA_TUPLE_ORIG

	// tcpState is tcpNone where CTA_PROTOINFO_TCP is missing: in flows of
	// other protocols, and since Linux 4.16 in those that a flowtable forwards
	// (ctnetlink_dump_info in nf_conntrack_netlink.c), which are all alive.
	tcpState uint8

	status uint32 // ips*

	// key is a hash of the ID, the original tuple and, with
	// nf_conntrack_timestamp=1, the start of the flow. ID and tuple stay for the
	// life of a flow, and may both come again for another one.
	key uint64

	// What the initiator and the responder sent, as counted before NAT. Only
	// flows that began with nf_conntrack_acct=1 have counters.
	hasCounters bool
	traffic     [2]state.Traffic

	// err is that of unmarshal. A variable of its own would be an allocation for
	// each flow.
	err error
}

// unmarshal decodes the attributes of an IPCTNL_MSG_CT_NEW message. It keeps
// nothing of b and allocates nothing.
func (f *flow) unmarshal(b []byte) error {
	*f = flow{}
	for typ, value := range netlink.Attributes(b, &f.err) {
		switch typ {
		case ctaTupleOrig:
			f.hash(value.Bytes)
			f.initiator, f.protocol = parseTuple(value)
		case ctaTupleReply:
			f.responder, _ = parseTuple(value)
		case ctaStatus:
			f.status = value.Uint32()
		case ctaProtoInfo:
			f.tcpState = parseTCPState(value)
		case ctaCountersOrig:
			f.traffic[0], f.hasCounters = parseCounters(value), true
		case ctaCountersReply:
			f.traffic[1] = parseCounters(value)
		case ctaID:
			f.hash(value.Bytes)
		case ctaTimestamp:
			f.hashStart(value)
		}
	}
	switch {
	case f.err != nil:
		return fmt.Errorf("flow: %w", f.err)
	case !f.initiator.IsValid():
		return errors.New("flow: no CTA_TUPLE_ORIG")
	case !f.responder.IsValid():
		return errors.New("flow: no CTA_TUPLE_REPLY")
	}
	return nil
}

// alive reports whether the flow may still carry data: one that is in TIME_WAIT or
// CLOSE only waits to be forgotten, and one that never saw a reply may be a scan.
func (f *flow) alive() bool {
	return f.status&ipsSeenReply != 0 && f.tcpState != tcpTimeWait && f.tcpState != tcpClose
}

// kind returns the class that the flow is counted in.
func (f *flow) kind() state.Protocol {
	switch f.protocol {
	case unix.IPPROTO_TCP:
		return state.TCP
	case unix.IPPROTO_UDP:
		return state.UDP
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		return state.ICMP
	default:
		return state.OtherProtocol
	}
}

// reading returns what a state.FlowCounter needs of the flow.
func (f *flow) reading() state.FlowReading {
	return state.FlowReading{
		Key: f.key, Initiator: f.initiator, Responder: f.responder,
		Offloaded: f.status&ipsOffload != 0, HasCounters: f.hasCounters, Traffic: f.traffic,
	}
}

// hash mixes bytes into the key, eight at a time. It has to spread well, and need
// not withstand those who choose the bytes: the kernel makes the ID with a secret.
func (f *flow) hash(b []byte) {
	const odd = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	for ; len(b) >= 8; b = b[8:] {
		f.key = (f.key ^ binary.NativeEndian.Uint64(b)) * odd
		f.key ^= f.key >> 32
	}
	var rest uint64
	for _, c := range b {
		rest = rest<<8 | uint64(c)
	}
	f.key = (f.key ^ rest ^ uint64(len(b))<<56) * odd
	f.key ^= f.key >> 32
}

// hashStart mixes the start of the flow into the key. Its end, which may be there
// too, changes.
func (f *flow) hashStart(timestamp netlink.Value) {
	for typ, value := range timestamp.Nested() {
		if typ == ctaTimestampStart {
			f.hash(value.Bytes)
		}
	}
}

// parseTuple returns the source address of a tuple, an IPv4-mapped one as IPv4, and
// the number of its protocol, 0 (IPPROTO_IP, which no flow has) if there is none.
func parseTuple(tuple netlink.Value) (source netip.Addr, protocol uint8) {
	for typ, value := range tuple.Nested() {
		switch typ {
		case ctaTupleIP:
			source = parseSource(value)
		case ctaTupleProto:
			for typ, value := range value.Nested() {
				if typ == ctaProtoNum {
					protocol = value.Uint8()
				}
			}
		}
	}
	if !source.IsValid() {
		tuple.Fail(errors.New("tuple without a source address"))
	}
	return source, protocol
}

// parseSource returns the source address in CTA_TUPLE_IP.
func parseSource(ip netlink.Value) (source netip.Addr) {
	for typ, value := range ip.Nested() {
		switch {
		case typ == ctaIPv4Src && len(value.Bytes) == 4, typ == ctaIPv6Src && len(value.Bytes) == 16:
			source = value.Addr()
		case typ == ctaIPv4Src, typ == ctaIPv6Src:
			value.Fail(fmt.Errorf("source address of %d bytes", len(value.Bytes)))
		}
	}
	return source
}

// parseTCPState returns the state in CTA_PROTOINFO, tcpNone if it is about another
// protocol.
func parseTCPState(protoInfo netlink.Value) (state uint8) {
	for typ, value := range protoInfo.Nested() {
		if typ != ctaProtoInfoTCP {
			continue
		}
		for typ, value := range value.Nested() {
			if typ == ctaProtoInfoTCPState {
				state = value.Uint8()
			}
		}
		if state == tcpNone {
			value.Fail(errors.New("TCP without a state"))
		}
	}
	return state
}

// parseCounters returns what CTA_COUNTERS_ORIG or CTA_COUNTERS_REPLY says.
func parseCounters(counters netlink.Value) (t state.Traffic) {
	for typ, value := range counters.Nested() {
		switch typ {
		case ctaCountersPackets:
			t.Packets = value.Uint64()
		case ctaCountersBytes:
			t.Bytes = value.Uint64()
		}
	}
	return t
}
