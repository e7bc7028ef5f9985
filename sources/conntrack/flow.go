package conntrack

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// Attributes of a flow and of what is nested in them, from
// linux/netfilter/nfnetlink_conntrack.h.
const (
	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaProtoInfo  = 4

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaProtoNum = 1

	ctaIPv4Src = 1
	ctaIPv6Src = 3

	ctaProtoInfoTCP = 1

	ctaProtoInfoTCPState = 1
)

// States of a TCP flow, enum tcp_conntrack in
// linux/netfilter/nf_conntrack_tcp.h.
const (
	tcpNone     = 0
	tcpTimeWait = 7
	tcpClose    = 8
)

// A flow is what counting needs to know of a tracked flow. Its zone is not
// read: two flows that differ in nothing but the zone are two entries of the
// table and count as two.
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
}

// unmarshal decodes the attributes of an IPCTNL_MSG_CT_NEW message. It keeps
// nothing of b and allocates nothing.
func (f *flow) unmarshal(b []byte) error {
	*f = flow{}
	err := walkAttrs(b, func(typ uint16, b []byte) (err error) {
		switch typ {
		case ctaTupleOrig:
			if f.initiator, err = source(b); err == nil {
				f.protocol, err = protocol(b)
			}
		case ctaTupleReply:
			f.responder, err = source(b)
		case ctaProtoInfo:
			f.tcpState, err = tcpState(b)
		}
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("flow: %w", err)
	case !f.initiator.IsValid():
		return errors.New("flow: no CTA_TUPLE_ORIG")
	case !f.responder.IsValid():
		return errors.New("flow: no CTA_TUPLE_REPLY")
	}
	return nil
}

// active reports whether the flow may still carry data. One that is in
// TIME_WAIT or CLOSE only waits to be forgotten.
func (f *flow) active() bool {
	return f.tcpState != tcpTimeWait && f.tcpState != tcpClose
}

// kind gives the class that the flow is counted in.
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

// protocol gives the protocol number of a tuple, 0 (IPPROTO_IP, which no flow
// has) if there is none.
func protocol(tuple []byte) (uint8, error) {
	proto, err := findAttr(tuple, ctaTupleProto)
	if proto == nil || err != nil {
		return 0, err
	}
	number, err := findAttr(proto, ctaProtoNum)
	if number == nil || err != nil {
		return 0, err
	}
	if len(number) != 1 {
		return 0, fmt.Errorf("protocol number of %d bytes", len(number))
	}
	return number[0], nil
}

// source gives the source address of a tuple, that of an IPv4-mapped one as
// IPv4.
func source(tuple []byte) (src netip.Addr, err error) {
	ip, err := findAttr(tuple, ctaTupleIP)
	if err != nil {
		return src, err
	}
	err = walkAttrs(ip, func(typ uint16, b []byte) error {
		switch {
		case typ == ctaIPv4Src && len(b) == 4:
			src = netip.AddrFrom4([4]byte(b))
		case typ == ctaIPv6Src && len(b) == 16:
			src = netip.AddrFrom16([16]byte(b)).Unmap()
		case typ == ctaIPv4Src, typ == ctaIPv6Src:
			return fmt.Errorf("source address of %d bytes", len(b))
		}
		return nil
	})
	if err == nil && !src.IsValid() {
		err = errors.New("tuple without a source address")
	}
	return src, err
}

// tcpState gives the state in CTA_PROTOINFO, tcpNone if it is about another
// protocol.
func tcpState(protoInfo []byte) (uint8, error) {
	tcp, err := findAttr(protoInfo, ctaProtoInfoTCP)
	if tcp == nil || err != nil {
		return tcpNone, err
	}
	state, err := findAttr(tcp, ctaProtoInfoTCPState)
	if err != nil {
		return tcpNone, err
	}
	if len(state) != 1 {
		return tcpNone, fmt.Errorf("TCP state of %d bytes", len(state))
	}
	return state[0], nil
}
