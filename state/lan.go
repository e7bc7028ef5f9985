package state

import (
	"net/netip"
	"slices"
	"time"
)

// NUD is a neighbour entry's state, one bit of NUD_* in linux/neighbour.h.
type NUD uint16

// The states of an entry: neighbour unreachability detection, RFC 4861, 7.3.2.
const (
	Incomplete NUD = 0x01
	Reachable  NUD = 0x02
	Stale      NUD = 0x04
	Delay      NUD = 0x08
	Probing    NUD = 0x10
	Failed     NUD = 0x20
	NoARP      NUD = 0x40
	Permanent  NUD = 0x80
)

// NeighborEntry is one entry of the neighbour table.
type NeighborEntry struct {
	Addr      netip.Addr
	MAC       MAC // zero: the entry has none, or one that is no EUI-48
	Interface string
	State     NUD
	// Confirmed is how long ago the neighbour was last known to be reachable.
	// A new entry is born with twice base_reachable_time (60 s) on it.
	Confirmed time.Duration
}

// InterfaceAddr is an address that the router itself has.
type InterfaceAddr struct {
	Interface string
	Addr      netip.Addr
	// Network is the prefix on the link, masked. On a point-to-point link it
	// is the peer's.
	Network netip.Prefix
}

// Route is a network that the routing table finds behind an interface.
type Route struct {
	Interface string
	Network   netip.Prefix
}

// Peer is an inner address of a WireGuard peer.
type Peer struct {
	Addr      netip.Addr
	Interface string
	Handshake time.Duration // how long ago the latest handshake was; negative: there was none
}

// LAN is the local network as the router knows it.
type LAN struct {
	Interfaces []string        // the LAN interfaces that exist
	Neighbors  []NeighborEntry // those of the LAN interfaces, sorted by address
	Addrs      []InterfaceAddr // those of every interface
	Routes     []Route         // those by way of LAN interfaces, default routes left out
	Peers      []Peer          // those of the LAN interfaces, sorted by address
}

// AddrsOn returns the router's addresses on the named interfaces whose networks
// can be those of clients: loopback, link-local and multicast addresses are not
// global.
func (l *LAN) AddrsOn(interfaces []string) []InterfaceAddr {
	var addrs []InterfaceAddr
	for _, a := range l.Addrs {
		if slices.Contains(interfaces, a.Interface) && a.Addr.IsGlobalUnicast() {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// Scope tells which addresses can be clients.
type Scope struct {
	Networks []netip.Prefix // sorted; none lies inside another one
	never    []netip.Addr   // addresses that no client can have, sorted
	// knowsRouter: never has the router's addresses.
	knowsRouter bool
}

// NewScope returns the clients' networks: for each family those given, else those
// that the LAN interfaces have now, else those that they last had, so that an
// interface that is away for a moment takes nobody with it. lan may be nil.
func NewScope(given []netip.Prefix, lan *LAN, last []netip.Prefix) Scope {
	knowsRouter := lan != nil
	if !knowsRouter {
		lan = &LAN{}
	}
	var configured []netip.Prefix
	for _, a := range lan.AddrsOn(lan.Interfaces) {
		configured = append(configured, a.Network)
	}
	for _, r := range lan.Routes {
		if r.Network.Addr().IsGlobalUnicast() {
			configured = append(configured, r.Network)
		}
	}
	var networks []netip.Prefix
	for _, is4 := range []bool{true, false} {
		for _, candidates := range [][]netip.Prefix{given, configured, last} {
			family := slices.DeleteFunc(slices.Clone(candidates), func(p netip.Prefix) bool { return p.Addr().Is4() != is4 })
			if len(family) > 0 {
				networks = append(networks, family...)
				break
			}
		}
	}
	s := Scope{Networks: Outermost(networks), knowsRouter: knowsRouter}
	for _, p := range networks {
		s.exclude(p)
	}
	for _, a := range lan.Addrs {
		s.exclude(a.Network)
		s.never = append(s.never, a.Addr)
	}
	slices.SortFunc(s.never, netip.Addr.Compare)
	return s
}

// Outermost returns prefixes sorted and without those that lie inside another
// one.
func Outermost(prefixes []netip.Prefix) []netip.Prefix {
	var outermost []netip.Prefix
	for _, p := range slices.SortedFunc(slices.Values(prefixes), netip.Prefix.Compare) {
		if n := len(outermost); n == 0 || !outermost[n-1].Overlaps(p) {
			outermost = append(outermost, p)
		}
	}
	return outermost
}

// exclude takes out the addresses of a network that stand for no host: its own
// and, in IPv4, the broadcast address (RFC 1122, 3.2.1.3). In IPv6 the network's
// own is the routers' anycast address (RFC 4291, 2.6.1). Links of two hosts have
// neither (RFC 3021, RFC 6164).
func (s *Scope) exclude(p netip.Prefix) {
	if p.Addr().BitLen()-p.Bits() < 2 {
		return
	}
	s.never = append(s.never, p.Addr())
	if p.Addr().Is4() {
		b := p.Addr().As4()
		for i := range b {
			b[i] |= byte(0xff >> min(8, max(0, p.Bits()-8*i)))
		}
		s.never = append(s.never, netip.AddrFrom4(b))
	}
}

// Contains reports whether an address can be a client's.
func (s Scope) Contains(a netip.Addr) bool {
	// As no network lies inside another one, only the last that begins at a or
	// before can have it.
	i, found := slices.BinarySearchFunc(s.Networks, a, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	if !found {
		i--
	}
	if i < 0 || !s.Networks[i].Contains(a) || a.IsMulticast() || a.IsLoopback() {
		return false
	}
	_, never := slices.BinarySearchFunc(s.never, a, netip.Addr.Compare)
	return !never
}
