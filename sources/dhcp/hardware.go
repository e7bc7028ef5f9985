package dhcp

import (
	"encoding/binary"
	"strconv"
	"strings"

	"network-metrics-exporter/state"
)

// isEUI48 reports whether the addresses of an ARP hardware type are EUI-48: those
// of Ethernet (ARPHRD_ETHER) and of IEEE 802 networks (ARPHRD_IEEE802) are.
func isEUI48(hardwareType uint16) bool { return hardwareType == 1 || hardwareType == 6 }

// parseHardware reads a link-layer address as dnsmasq writes it into a lease,
// colons between its octets and before them, unless it is Ethernet, the ARP
// hardware type and a hyphen, all in hexadecimal digits. The MAC is zero if
// there is no address or none that is an EUI-48.
func parseHardware(s string) (mac state.MAC, ok bool) {
	hardwareType := uint16(1)
	if t, rest, found := strings.Cut(s, "-"); found {
		n, err := strconv.ParseUint(t, 16, 16)
		if err != nil {
			return mac, false
		}
		if rest == "" {
			return mac, true
		}
		hardwareType, s = uint16(n), rest
	}
	var buf [len(mac)]byte
	b, ok := appendHex(buf[:0], s)
	if ok && isEUI48(hardwareType) && len(b) == len(mac) {
		mac = state.MAC(b)
	}
	return mac, ok
}

// macOfDUID gives the link-layer address in a DHCP unique identifier, if it has
// one and that is an EUI-48: RFC 8415, 11.2 (DUID-LLT) and 11.4 (DUID-LL). It is
// that of one of the device's interfaces, which need not be the one in use.
func macOfDUID(s string) (mac state.MAC) {
	const (
		llt = 1 // type, hardware type, time (4 octets), address
		ll  = 3 // type, hardware type, address
	)
	var buf [14]byte
	b, ok := appendHex(buf[:0], s)
	if !ok || len(b) < 4 || !isEUI48(binary.BigEndian.Uint16(b[2:])) {
		return mac
	}
	switch duidType := binary.BigEndian.Uint16(b); {
	case duidType == llt && len(b) == 8+len(mac):
		mac = state.MAC(b[8:])
	case duidType == ll && len(b) == 4+len(mac):
		mac = state.MAC(b[4:])
	}
	return mac
}

// appendHex appends octets of one or two hexadecimal digits, colons between
// them, to b.
func appendHex(b []byte, s string) ([]byte, bool) {
	for octet := range strings.SplitSeq(s, ":") {
		n, err := strconv.ParseUint(octet, 16, 8)
		if err != nil || len(octet) > 2 {
			return b, false
		}
		b = append(b, byte(n))
	}
	return b, true
}
