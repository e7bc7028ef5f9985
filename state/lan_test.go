package state

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func prefixes(texts ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, text := range texts {
		ps = append(ps, netip.MustParsePrefix(text))
	}
	return ps
}

func interfaceAddr(name, cidr string) InterfaceAddr {
	p := netip.MustParsePrefix(cidr)
	return InterfaceAddr{name, p.Addr(), p.Masked()}
}

func TestScopeNetworks(t *testing.T) {
	router := &LAN{Addrs: []InterfaceAddr{
		interfaceAddr("lo", "127.0.0.1/8"),
		interfaceAddr("br-lan", "192.168.10.1/24"),
		interfaceAddr("br-lan", "169.254.1.1/16"),
		interfaceAddr("br-lan", "fd00:10::1/64"),
		interfaceAddr("br-lan", "2001:db8:1::1/64"),
		interfaceAddr("br-lan", "fe80::1/64"),
		interfaceAddr("br-guest", "192.168.20.1/24"),
		interfaceAddr("wan", "203.0.113.1/24"),
		interfaceAddr("docker0", "172.17.0.1/16"),
	}}
	for _, test := range []struct {
		name       string
		given      []netip.Prefix
		interfaces []string
		lan        *LAN
		last       []netip.Prefix
		want       []netip.Prefix
	}{
		{"configured", nil, []string{"br-lan"}, router, nil,
			prefixes("192.168.10.0/24", "2001:db8:1::/64", "fd00:10::/64")},
		{"two interfaces", nil, []string{"br-lan", "br-guest"}, router, nil,
			prefixes("192.168.10.0/24", "192.168.20.0/24", "2001:db8:1::/64", "fd00:10::/64")},
		{"given in their own family only", prefixes("10.0.0.0/8"), []string{"br-lan"}, router, prefixes("192.168.10.0/24"),
			prefixes("10.0.0.0/8", "2001:db8:1::/64", "fd00:10::/64")},
		{"given in both", prefixes("10.0.0.0/8", "fd00::/8"), []string{"br-lan"}, router, nil,
			prefixes("10.0.0.0/8", "fd00::/8")},
		{"given twice", prefixes("10.0.0.0/8", "10.0.0.0/8"), nil, nil, nil, prefixes("10.0.0.0/8")},
		{"the interface is away", nil, []string{"br-new"}, router, prefixes("192.168.10.0/24", "fd00:10::/64"),
			prefixes("192.168.10.0/24", "fd00:10::/64")},
		{"the kernel did not answer", nil, []string{"br-lan"}, nil, prefixes("192.168.10.0/24"), prefixes("192.168.10.0/24")},
		{"a new prefix takes the place of the last one", nil, []string{"br-lan"}, router, prefixes("192.168.9.0/24", "fd00:9::/64"),
			prefixes("192.168.10.0/24", "2001:db8:1::/64", "fd00:10::/64")},
		{"nothing known", nil, []string{"br-lan"}, nil, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.lan != nil {
				test.lan.Interfaces = test.interfaces
			}
			got := NewScope(test.given, test.lan, test.last).Networks
			if diff := cmp.Diff(test.want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Errorf("networks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScopeContains(t *testing.T) {
	router := &LAN{Addrs: []InterfaceAddr{
		interfaceAddr("br-lan", "10.1.2.1/24"),
		interfaceAddr("br-lan", "10.1.3.1/23"),
		interfaceAddr("wan", "10.9.9.9/31"),
		interfaceAddr("br-lan", "fd00:10::1/64"),
	}}
	scope := NewScope(prefixes("10.0.0.0/8", "10.7.7.6/31", "10.8.8.8/32", "2001:db8::/127"), router, prefixes("fd00:10::/64"))
	for addr, want := range map[string]bool{
		"10.1.2.7":        true,
		"10.1.2.1":        false, // the router's own
		"10.9.9.9":        false,
		"10.1.2.0":        false, // network and broadcast address of each prefix
		"10.1.2.255":      false,
		"10.1.3.255":      false,
		"10.0.0.0":        false,
		"10.255.255.255":  false,
		"10.1.4.0":        true,
		"10.7.7.6":        true, // links of two have neither
		"10.7.7.7":        true,
		"10.8.8.8":        true,
		"10.9.9.8":        true,
		"11.0.0.1":        false,
		"224.0.0.1":       false,
		"255.255.255.255": false,
		"0.0.0.0":         false,
		"127.0.0.1":       false,
		"2001:db8::":      true,
		"2001:db8::1":     true,
		"fd00:10::7":      false, // a family that networks are given for
		"fe80::1":         false,
		"ff02::1":         false,
	} {
		if got := scope.Contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	for network, addrs := range map[string][]string{
		"0.0.0.0/0": {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"},
		"::/0":      {"::", "::1", "ff02::1"},
	} {
		everything := NewScope(prefixes(network), nil, nil)
		for _, addr := range addrs {
			if everything.Contains(netip.MustParseAddr(addr)) {
				t.Errorf("%s is taken for a client of %s", addr, network)
			}
		}
	}
	last := NewScope(nil, nil, prefixes("fd00:10::/64"))
	for addr, want := range map[string]bool{
		"fd00:10::":                    false, // the routers' anycast address
		"fd00:10::7":                   true,
		"fd00:10::ffff:ffff:ffff:ffff": true, // IPv6 has no broadcast
		"fd00:11::7":                   false,
	} {
		if got := last.Contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
}
