package neighbor

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
)

// userHZ is the unit of the times in struct nda_cacheinfo (linux/neighbour.h):
// USER_HZ, a hundredth of a second on every architecture that Go has.
const userHZ = time.Second / 100

var errTruncated = errors.New("truncated message")

// link is an interface.
type link struct {
	index        uint32
	name         string
	kind         string // of a virtual one, such as bridge
	up           bool
	pointToPoint bool   // has one peer, or several that are told apart by routes alone
	master       uint32 // index of the bridge or bond that it is a port of; 0: none
	lower        uint32 // of some kinds, index of the interface that it lies on
}

// parseLink decodes RTM_NEWLINK (rtnetlink(7)): struct ifinfomsg, attributes.
func parseLink(body []byte) (l link, err error) {
	if len(body) < unix.SizeofIfInfomsg {
		return l, errTruncated
	}
	l.index = binary.NativeEndian.Uint32(body[4:])
	flags := binary.NativeEndian.Uint32(body[8:])
	l.up, l.pointToPoint = flags&unix.IFF_UP != 0, flags&unix.IFF_POINTOPOINT != 0
	for typ, value := range netlink.Attributes(body[unix.SizeofIfInfomsg:], &err) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.name = value.Text()
		case unix.IFLA_MASTER:
			l.master = value.NativeUint32()
		case unix.IFLA_LINK:
			l.lower = value.NativeUint32()
		case unix.IFLA_LINKINFO:
			for typ, info := range value.Nested() {
				if typ == unix.IFLA_INFO_KIND {
					l.kind = info.Text()
				}
			}
		}
	}
	return l, err
}

// parseAddr decodes RTM_NEWADDR (rtnetlink(7)): struct ifaddrmsg, attributes. What
// is no address of IPv4 or IPv6 has a zero Network.
func parseAddr(body []byte) (index uint32, a state.InterfaceAddr, err error) {
	if len(body) < unix.SizeofIfAddrmsg {
		return 0, a, errTruncated
	}
	length := int(body[1])
	index = binary.NativeEndian.Uint32(body[4:])
	if body[0] != unix.AF_INET && body[0] != unix.AF_INET6 {
		return index, a, nil
	}
	// IFA_ADDRESS is the peer on a point-to-point link, left out if that is
	// 0.0.0.0, and else the same as IFA_LOCAL, which IPv6 leaves out.
	var own, peer netip.Addr
	for typ, value := range netlink.Attributes(body[unix.SizeofIfAddrmsg:], &err) {
		switch typ {
		case unix.IFA_ADDRESS:
			peer = value.Addr()
		case unix.IFA_LOCAL:
			own = value.Addr()
		}
	}
	if !own.IsValid() {
		own = peer
	}
	if !peer.IsValid() {
		peer = own
	}
	a.Addr = own
	a.Network, _ = peer.Prefix(length) // zero without an address, or if it is too long
	return index, a, err
}

// parseNeighbor decodes RTM_NEWNEIGH (rtnetlink(7)): struct ndmsg, attributes. What
// is no entry of ARP or IPv6, such as one of a bridge's forwarding table, has a zero
// Addr.
func parseNeighbor(body []byte) (index uint32, n state.NeighborEntry, err error) {
	if len(body) < unix.SizeofNdMsg {
		return 0, n, errTruncated
	}
	index = binary.NativeEndian.Uint32(body[4:])
	if body[0] != unix.AF_INET && body[0] != unix.AF_INET6 {
		return index, n, nil
	}
	n.State = state.NUD(binary.NativeEndian.Uint16(body[8:]))
	for typ, value := range netlink.Attributes(body[unix.SizeofNdMsg:], &err) {
		switch typ {
		case unix.NDA_DST:
			n.Addr = value.Addr()
		case unix.NDA_LLADDR:
			if len(value.Bytes) == len(n.MAC) {
				n.MAC = state.MAC(value.Bytes)
			}
		case unix.NDA_CACHEINFO: // struct nda_cacheinfo begins with ndm_confirmed
			if len(value.Bytes) < 4 {
				value.Fail(errTruncated)
				break
			}
			n.Confirmed = time.Duration(binary.NativeEndian.Uint32(value.Bytes)) * userHZ
		}
	}
	return index, n, err
}

// route is one of the routing tables.
type route struct {
	network  netip.Prefix // zero: all addresses
	output   uint32       // index of the interface; 0: none, or several
	gateway  bool         // by way of another router
	protocol uint8        // RTPROT_*: who made it
	kind     uint8        // RTN_*
	cached   bool         // is a copy of another one
}

// parseRoute decodes RTM_NEWROUTE (rtnetlink(7)): struct rtmsg, attributes.
func parseRoute(body []byte) (r route, err error) {
	if len(body) < unix.SizeofRtMsg {
		return r, errTruncated
	}
	length := int(body[1])
	r.protocol, r.kind = body[5], body[7]
	r.cached = binary.NativeEndian.Uint32(body[8:])&unix.RTM_F_CLONED != 0
	for typ, value := range netlink.Attributes(body[unix.SizeofRtMsg:], &err) {
		switch typ {
		case unix.RTA_DST:
			r.network, _ = value.Addr().Prefix(length)
		case unix.RTA_OIF:
			r.output = value.NativeUint32()
		case unix.RTA_GATEWAY, unix.RTA_VIA:
			r.gateway = true
		}
	}
	return r, err
}

// isDefault reports whether a route is for all that no other one is for.
func (r route) isDefault() bool {
	return r.kind == unix.RTN_UNICAST && !r.cached && (!r.network.IsValid() || r.network.Bits() == 0)
}

// minPrefix is the length of the shortest prefix that is a network. Shorter ones are
// default routes, whole or in pieces (0.0.0.0/1, 2000::/3).
const minPrefix = 8

// isNetworkBehind reports whether a route tells of a network behind an interface
// that its addresses do not tell of. What is behind another router is not, unless
// the only one there can be is the peer.
func (r route) isNetworkBehind(l link) bool {
	return r.output == l.index && r.kind == unix.RTN_UNICAST && r.protocol != unix.RTPROT_KERNEL && !r.cached &&
		(!r.gateway || l.pointToPoint) && r.network.IsValid() && r.network.Bits() >= minPrefix
}
