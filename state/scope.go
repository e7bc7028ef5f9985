package state

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Scope tells which addresses can be clients.
type Scope struct {
	Networks []netip.Prefix
	never    map[netip.Addr]bool // addresses in Networks that no client can have
}

// NewScope works out the clients' networks: for each family those given, else
// those that the LAN interfaces have now, else those that they last had, so
// that an interface that is away for a moment takes nobody with it. lan may be
// nil.
func NewScope(given []netip.Prefix, interfaces []string, lan *Neighborhood, last []netip.Prefix) Scope {
	if lan == nil {
		lan = &Neighborhood{}
	}
	var configured []netip.Prefix
	for _, a := range lan.AddrsOn(interfaces) {
		configured = append(configured, a.Network)
	}
	s := Scope{never: make(map[netip.Addr]bool)}
	for _, is4 := range []bool{true, false} {
		for _, candidates := range [][]netip.Prefix{given, configured, last} {
			family := slices.DeleteFunc(slices.Clone(candidates), func(p netip.Prefix) bool { return p.Addr().Is4() != is4 })
			if len(family) > 0 {
				s.Networks = append(s.Networks, family...)
				break
			}
		}
	}
	slices.SortFunc(s.Networks, netip.Prefix.Compare)
	s.Networks = slices.Compact(s.Networks)

	for _, p := range s.Networks {
		s.exclude(p)
	}
	for _, a := range lan.Addrs {
		s.exclude(a.Network)
		s.never[a.Addr] = true
	}
	return s
}

// AddrsOn gives the router's addresses on the named interfaces whose networks can
// be those of clients: loopback, link-local and multicast addresses are not global.
func (n *Neighborhood) AddrsOn(interfaces []string) []InterfaceAddr {
	var addrs []InterfaceAddr
	for _, a := range n.Addrs {
		if slices.Contains(interfaces, a.Interface) && a.Addr.IsGlobalUnicast() {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// exclude takes out the addresses of a network that stand for no host: its own
// and, in IPv4, the broadcast address (RFC 1122, 3.2.1.3). In IPv6 the network's
// own is the routers' anycast address (RFC 4291, 2.6.1). Links of two hosts have
// neither (RFC 3021, RFC 6164).
func (s *Scope) exclude(p netip.Prefix) {
	if p.Addr().BitLen()-p.Bits() < 2 {
		return
	}
	s.never[p.Addr()] = true
	if p.Addr().Is4() {
		b := p.Addr().As4()
		for i := range b {
			b[i] |= byte(0xff >> min(8, max(0, p.Bits()-8*i)))
		}
		s.never[netip.AddrFrom4(b)] = true
	}
}

// Contains reports whether an address can be a client's.
func (s Scope) Contains(a netip.Addr) bool {
	for _, p := range s.Networks {
		if p.Contains(a) {
			return !a.IsMulticast() && !a.IsLoopback() && !s.never[a]
		}
	}
	return false
}

// Present gives the clients that the kernel knows of: the neighbours with a sign
// of life within the last while, and the ends of the flows. Either may be nil.
func (s Scope) Present(lan *Neighborhood, flows *Flows, within time.Duration) []netip.Addr {
	present := make(map[netip.Addr]bool)
	if lan != nil {
		for _, n := range lan.Neighbors {
			// A STALE entry may stay long after its device has gone.
			alive := n.State&confirmed != 0 || n.State&Stale != 0 && n.Confirmed <= within
			if alive && !n.MAC.IsZero() && s.Contains(n.Addr) {
				present[n.Addr] = true
			}
		}
	}
	if flows != nil {
		for addr := range flows.Active {
			present[addr] = true
		}
	}
	return slices.SortedFunc(maps.Keys(present), netip.Addr.Compare)
}
