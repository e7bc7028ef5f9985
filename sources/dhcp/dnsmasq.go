package dhcp

import (
	"net/netip"
	"strconv"
	"strings"

	"network-metrics-exporter/state"
)

// parseDnsmasq reads leases of dnsmasq, which also Pi-hole and NetworkManager's
// shared connections are. dnsmasq truncates the file and writes it anew whenever a
// lease changes, so it may be seen cut short.
func parseDnsmasq(t *leaseTable, text string, _ state.Instant) error {
	t.makeRoom(strings.Count(text, "\n"))
	return eachLine(text, `"EXPIRY MAC IP NAME CLIENTID"`, true, func(line string) bool {
		return dnsmasqLease(t, line)
	})
}

// dnsmasqLease reads a line that lease_update_file in dnsmasq's lease.c writes,
// one of these:
//
//	EXPIRY [TYPE-]MAC IPV4 NAME CLIENTID
//	EXPIRY [T]IAID IPV6 NAME DUID
//	duid DUID
//	vendorclass IP HEX
//	agent-info IP HEX
//
// EXPIRY is 0 if the lease does not end. NAME, CLIENTID and DUID are * if there
// is none. A T marks a temporary address; "duid" is the server's own and stands
// before the IPv6 leases; the last two are of versions later than 2.90.
func dnsmasqLease(t *leaseTable, line string) bool {
	var f [5]string
	n := 0
	for field := range strings.FieldsSeq(line) {
		if n == len(f) {
			return false
		}
		f[n] = field
		n++
	}
	switch {
	case n == 0, n == 2 && f[0] == "duid", n == 3 && (f[0] == "vendorclass" || f[0] == "agent-info"):
		return true
	case n != len(f) || !isDigits(f[0]):
		return false
	}

	addr, err := netip.ParseAddr(f[2])
	if err != nil || addr.Zone() != "" {
		return false
	}
	r := state.NameRecord{Addr: addr.Unmap(), Name: f[3], Source: state.FromDHCP}
	if r.Name == "*" {
		r.Name = ""
	}
	if addr.Is4() {
		mac, ok := parseTypedMAC(f[1])
		if !ok {
			return false
		}
		r.MAC = mac
	} else if _, err := strconv.ParseUint(strings.TrimPrefix(f[1], "T"), 10, 32); err != nil {
		return false
	}
	t.put(r)
	return true
}

// isDnsmasq tells a file of dnsmasq by its first lines, of which the last one may
// be cut.
func isDnsmasq(start string) bool {
	for line := range strings.Lines(start) {
		first, _, more := strings.Cut(strings.TrimSpace(line), " ")
		if isDigits(first) || first == "duid" && more || !strings.HasSuffix(line, "\n") && strings.HasPrefix("duid", first) {
			return true
		}
	}
	return false
}

// isDigits reports whether a text is a decimal number.
func isDigits(s string) bool {
	isNone := func(r rune) bool { return r < '0' || r > '9' }
	return s != "" && strings.IndexFunc(s, isNone) < 0
}
