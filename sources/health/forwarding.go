package health

import (
	"net/netip"
	"slices"
	"strings"

	"network-metrics-exporter/state"
)

// forwarding looks whether the kernel passes on what the clients send.
func (m Machine) forwarding() []Finding {
	const name = "forwarding"
	lan := m.Sample.LAN
	if lan == nil {
		return []Finding{unknown(name, m.result(state.Neighbor))}
	}
	var findings []Finding
	for _, i := range lan.Interfaces {
		// Of IPv4 each interface has its own switch, which net.ipv4.ip_forward sets
		// for all of them.
		if sysctlIs("net/ipv4/conf/"+i+"/forwarding", "0") && hasAddr(lan, i, netip.Addr.Is4) {
			findings = append(findings, fail(name, m.host.sysctl(1, "net.ipv4.ip_forward"),
				"IPv4 of %s is not forwarded (net.ipv4.conf.%[1]s.forwarding is 0)", i))
		}
		if sysctlIs("net/ipv6/conf/all/forwarding", "0") && hasAddr(lan, i, isInternet6) {
			findings = append(findings, warn(name, m.host.sysctl(1, "net.ipv6.conf.all.forwarding"),
				"IPv6 is not forwarded (net.ipv6.conf.all.forwarding is 0), and %s has a global address", i))
		}
	}
	return orOK(findings, name, "the kernel forwards what the LAN interfaces receive")
}

// hasAddr reports whether an interface has a global address of a kind.
func hasAddr(lan *state.LAN, name string, is func(netip.Addr) bool) bool {
	return slices.ContainsFunc(lan.AddrsOn([]string{name}), func(a state.InterfaceAddr) bool { return is(a.Addr) })
}

// isInternet6 reports whether an address is one of the internet's, and not only a
// site's (RFC 4193).
func isInternet6(a netip.Addr) bool { return a.Is6() && !a.IsPrivate() }

// bridges looks whether what a bridge passes from port to port goes through the
// firewall, as if it were forwarded (br_netfilter; dockerd switches that on).
func (m Machine) bridges() []Finding {
	const name = "bridge"
	if m.linksErr != nil || m.Sample.LAN == nil {
		return nil // as the examination interface says
	}
	var findings []Finding
	for _, i := range m.Sample.LAN.Interfaces {
		if m.link(i).Kind != "bridge" || m.ports(i) < 2 {
			continue
		}
		if calls := bridgeCalls(); len(calls) > 0 {
			findings = append(findings, warn(name, m.host.sysctl(0, calls...),
				"what devices of %s send each other is counted too: the firewall sees it (%s is 1, as Docker sets it)", i, strings.Join(calls, " and ")))
		}
	}
	return orOK(findings, name, "only what is forwarded is counted")
}

// bridgeCalls returns the kernel parameters that put what is bridged through the
// firewall.
func bridgeCalls() (on []string) {
	for _, call := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"} {
		if sysctlIs("net/bridge/"+call, "1") {
			on = append(on, "net.bridge."+call)
		}
	}
	return on
}

// ports returns how many ports a bridge has.
func (m Machine) ports(bridge string) (n int) {
	for _, l := range m.links {
		if l.Master == bridge {
			n++
		}
	}
	return n
}
