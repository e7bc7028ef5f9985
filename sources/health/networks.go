package health

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"network-metrics-exporter/state"
)

// networks looks for what keeps devices of the LAN from being clients.
func (m Machine) networks() []Finding {
	lan := m.Sample.LAN
	if lan == nil {
		return []Finding{unknown("network", m.result(state.Neighbor))}
	}
	scope := state.NewScope(m.Networks, lan, nil)
	findings := slices.Concat(m.missedNetworks(lan, scope), m.strayNetworks(lan), m.bareInterfaces(lan), m.missedNeighbors(lan, scope))
	return orOK(findings, "network", "clients are those in %s", list(scope.Networks))
}

// missedNetworks looks for networks of the LAN interfaces that --network leaves out.
func (m Machine) missedNetworks(lan *state.LAN, scope state.Scope) (findings []Finding) {
	for _, a := range lan.AddrsOn(lan.Interfaces) {
		missed := !slices.ContainsFunc(scope.Networks, func(n netip.Prefix) bool { return within(a.Network, n) })
		if missed {
			findings = append(findings, warn("network", m.withNetwork(a.Network),
				"%v of %s is in none of the clients' networks, %s", a.Network, a.Interface, list(scope.Networks)))
		}
	}
	return findings
}

// strayNetworks looks for given networks that are those of interfaces which are not.
func (m Machine) strayNetworks(lan *state.LAN) (findings []Finding) {
	for _, n := range m.Networks {
		overlaps := func(a state.InterfaceAddr) bool { return a.Addr.IsGlobalUnicast() && a.Network.Overlaps(n) }
		if slices.ContainsFunc(lan.AddrsOn(lan.Interfaces), overlaps) ||
			slices.ContainsFunc(lan.Routes, func(r state.Route) bool { return r.Network.Overlaps(n) }) {
			continue
		}
		if i := slices.IndexFunc(lan.Addrs, overlaps); i >= 0 {
			other := lan.Addrs[i].Interface
			findings = append(findings, warn("network", m.besides(other),
				"%v is the network of %s, which is not among the LAN interfaces: of its devices neither MAC nor presence is known", n, other))
		}
	}
	return findings
}

// bareInterfaces looks for LAN interfaces of which nothing tells what lies behind
// them.
func (m Machine) bareInterfaces(lan *state.LAN) (findings []Finding) {
	for _, name := range lan.Interfaces {
		own := lan.AddrsOn([]string{name})
		routed := slices.ContainsFunc(lan.Routes, func(r state.Route) bool { return r.Interface == name })
		// Of a link to a single peer the network is the peer's.
		several := slices.ContainsFunc(own, func(a state.InterfaceAddr) bool { return !a.Network.IsSingleIP() || !a.Network.Contains(a.Addr) })
		switch vlan := m.vlanOn(name, lan); {
		case routed || several || m.link(name).Master != "":
		case vlan != "":
			findings = append(findings, warn("network", m.instead(name, vlan),
				"no clients: %s has no address, but %s, a VLAN on it, has one", name, vlan))
		case len(own) == 0 && len(m.Networks) == 0:
			findings = append(findings, warn("network", m.host.setting("network", "CIDR"), "no clients: %s has no address", name))
		case len(own) > 0 && !m.givenBehind(own[0].Network):
			findings = append(findings, warn("network",
				"ip route add CIDR dev "+name+", or "+m.host.setting("network", "CIDR"),
				"no clients behind %s: its address %v is alone in its network, and no route tells what lies behind it", name, own[0].Addr))
		}
	}
	return findings
}

// vlanOn returns a VLAN on an interface that has an address and is not among the LAN
// interfaces.
func (m Machine) vlanOn(name string, lan *state.LAN) string {
	for _, l := range m.links {
		if l.Lower == name && !slices.Contains(lan.Interfaces, l.Name) && len(lan.AddrsOn([]string{l.Name})) > 0 {
			return l.Name
		}
	}
	return ""
}

// givenBehind reports whether a network is given that has more than the own address
// of an interface.
func (m Machine) givenBehind(own netip.Prefix) bool {
	return slices.ContainsFunc(m.Networks, func(n netip.Prefix) bool { return n.Bits() < own.Bits() && n.Contains(own.Addr()) })
}

// missedNeighbors looks for neighbours with an IPv6 address that is in no network: of
// a prefix that the provider relays, say, without an address of the router's in it.
func (m Machine) missedNeighbors(lan *state.LAN, scope state.Scope) (findings []Finding) {
	seen := make(map[netip.Prefix]bool)
	known := slices.Clone(scope.Networks) // and those that --network leaves out on purpose
	for _, a := range lan.AddrsOn(lan.Interfaces) {
		known = append(known, a.Network)
	}
	for _, n := range lan.Neighbors {
		alive := n.State&(state.Reachable|state.Delay|state.Probing|state.Permanent) != 0
		if !n.Addr.Is6() || !n.Addr.IsGlobalUnicast() || !alive || n.MAC.IsZero() || inNetworks(n.Addr, known) {
			continue
		}
		prefix, _ := n.Addr.Prefix(64) // of any IPv6 address
		if !seen[prefix] {
			seen[prefix] = true
			findings = append(findings, warn("network", m.withNetwork(prefix),
				"%v is a neighbour on %s, which has no address in its network: it is no client", n.Addr, n.Interface))
		}
	}
	return findings
}

func inNetworks(a netip.Addr, networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// within reports whether a network lies inside another one, or is the same.
func within(inner, outer netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// withNetwork says how to give a network besides what counts now: what is given
// replaces what the interfaces have in its family.
func (m Machine) withNetwork(network netip.Prefix) string {
	networks := append(slices.Clone(m.Networks), network)
	for _, n := range state.NewScope(m.Networks, m.Sample.LAN, nil).Networks {
		if n.Addr().Is4() == network.Addr().Is4() {
			networks = append(networks, n)
		}
	}
	return m.host.setting("network", strings.Fields(list(state.Outermost(networks)))...)
}

// list prints networks with spaces between.
func list(networks []netip.Prefix) string { return strings.Trim(fmt.Sprint(networks), "[]") }
