package dhcp

import (
	"strconv"
	"strings"

	"network-metrics-exporter/state"
)

// ARP hardware types whose addresses are EUI-48 (linux/if_arp.h).
const (
	etherType   = 1 // ARPHRD_ETHER
	ieee802Type = 6 // ARPHRD_IEEE802
)

// parseMAC reads octets of one or two hexadecimal digits, colons between them. It
// reports whether that is what they are: the MAC is zero if there are not six.
func parseMAC(s string) (mac state.MAC, ok bool) {
	n := 0
	for octet := range strings.SplitSeq(s, ":") {
		value, err := strconv.ParseUint(octet, 16, 8)
		if err != nil || len(octet) > 2 {
			return state.MAC{}, false
		}
		if n < len(mac) {
			mac[n] = byte(value)
		}
		n++
	}
	if n != len(mac) {
		return state.MAC{}, true
	}
	return mac, true
}

// parseTypedMAC reads a link-layer address as dnsmasq writes it: before the octets
// stand, unless it is Ethernet, the ARP hardware type in hexadecimal digits and a
// hyphen. The MAC is zero if there is no address or none that is an EUI-48.
func parseTypedMAC(s string) (mac state.MAC, ok bool) {
	digits, octets, found := strings.Cut(s, "-")
	if !found {
		return parseMAC(s)
	}
	hardwareType, err := strconv.ParseUint(digits, 16, 16)
	if err != nil {
		return mac, false
	}
	if octets == "" {
		return mac, true
	}
	mac, ok = parseMAC(octets)
	if hardwareType != etherType && hardwareType != ieee802Type {
		mac = state.MAC{}
	}
	return mac, ok
}
