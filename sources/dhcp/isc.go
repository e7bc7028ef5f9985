package dhcp

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"network-metrics-exporter/state"
)

// parseISC reads leases of ISC dhcpd, dhcpd.leases(5), for DHCPv4 or DHCPv6. dhcpd
// appends a lease whenever it changes and now and then writes the file anew, with
// all that it knows, so what it puts aside (dhcpd.leases~) says nothing more. A
// lease without its closing brace and newline is still being written.
//
// Of DHCPv6 there is neither a MAC nor, unless dhcpd updates DNS, a name.
func parseISC(t *leaseTable, text string, now state.Instant) error {
	bad := badEntries{what: "line", want: `"lease ADDRESS {" or "hardware ethernet MAC;"`}
	l := &iscLease{} // that the line is in
	for line := range strings.Lines(text) {
		bad.read++
		if !strings.HasSuffix(line, "\n") {
			break
		}
		statement := strings.TrimSpace(line)
		if addr, ok := iscBegin(line, statement); ok {
			l = &iscLease{addr: addr, depth: 1, active: true}
			if !addr.IsValid() {
				bad.add()
			}
			continue
		}
		if l.depth == 0 {
			continue
		}
		if !l.add(statement) {
			bad.add()
		}
		if l.depth == 0 && l.addr.IsValid() {
			l.putInto(t, now)
		}
	}
	return bad.err()
}

// iscLease is the declaration of a lease. It ends when all braces are closed.
type iscLease struct {
	addr    netip.Addr // zero: it makes no sense
	depth   int        // braces that are open
	active  bool
	ends    time.Time // zero: never
	mac     state.MAC
	name    string // what the client calls itself
	dnsName string // what dhcpd called it in DNS
}

// iscBegin reports whether a lease begins at a line, which holds a statement, and of
// which address. An address that makes no sense is zero.
func iscBegin(line, statement string) (addr netip.Addr, ok bool) {
	text, ok := strings.CutPrefix(line, "lease ") // wherever the last one broke off
	if !ok {
		text, ok = strings.CutPrefix(statement, "iaaddr ")
	}
	if !ok {
		return addr, false
	}
	text, ok = strings.CutSuffix(strings.TrimSpace(text), " {")
	if !ok {
		return addr, false
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, true
	}
	return addr.Unmap(), true
}

// add reads a statement. It reports false if that makes no sense. What stands in
// braces of its own is to be executed when the lease ends.
func (l *iscLease) add(statement string) bool {
	if strings.HasPrefix(statement, "}") {
		l.depth--
	}
	if strings.HasSuffix(statement, "{") {
		l.depth++
	}
	if l.depth != 1 {
		return true
	}
	word, value, _ := strings.Cut(strings.TrimSuffix(statement, ";"), " ")
	switch word {
	case "binding":
		l.active = value == "state active"
	case "ends":
		l.ends = iscTime(value)
	case "hardware":
		kind, octets, _ := strings.Cut(value, " ")
		mac, ok := parseMAC(octets)
		if kind == "ethernet" || kind == "token-ring" {
			l.mac = mac
		}
		return ok || kind == "infiniband" || strings.HasPrefix(kind, "unknown-")
	case "client-hostname":
		l.name = iscString(value)
	case "set":
		if name, ok := strings.CutPrefix(value, "ddns-fwd-name = "); ok {
			l.dnsName = iscString(name)
		}
	}
	return true
}

// putInto puts the lease into the table if it is a current one.
func (l *iscLease) putInto(t *leaseTable, now state.Instant) {
	ended := !l.ends.IsZero() && !now.Wall.IsZero() && l.ends.Before(now.Wall)
	if !l.active || ended {
		t.end(l.addr)
		return
	}
	t.put(state.NameRecord{Addr: l.addr, MAC: l.mac, Name: cmp.Or(l.name, l.dnsName), Source: state.FromDHCP})
}

// iscTime reads a date in UTC, "6 2026/11/28 01:21:29", or, with db-time-format
// local, "epoch 1795828889; # Sat Nov 28 01:21:29 2026". It is zero for "never".
func iscTime(s string) time.Time {
	s, _, _ = strings.Cut(s, ";")
	if seconds, ok := strings.CutPrefix(s, "epoch "); ok {
		n, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil {
			return time.Time{}
		}
		return time.Unix(n, 0)
	}
	_, s, _ = strings.Cut(s, " ") // the day of the week
	t, err := time.Parse("2006/01/02 15:04:05", s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// iscString reads a quoted string, in which a backslash stands before three octal
// digits or before what is to be taken literally (quotify_buf in dhcpd).
func iscString(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`)
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if i+4 <= len(s) {
				if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
					b.WriteByte(byte(n))
					i += 3
					continue
				}
			}
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isISC tells a file of dhcpd by its first line, which dhcpd writes into a new file,
// or by its first statement.
func isISC(start, word string) bool {
	const comment = "# The format of this file is documented in the dhcpd.leases(5)"
	statements := []string{"authoring-byte-order", "server-duid", "lease", "ia-na", "ia-ta", "ia-pd", "failover"}
	return strings.HasPrefix(start, comment) || slices.Contains(statements, word) && !isDHCPClient(start)
}

// isDHCPClient tells a file of dhclient, dhclient.leases(5), whose leases have no
// address to begin with.
func isDHCPClient(start string) bool {
	return strings.HasPrefix(start, "lease {") || strings.Contains(start, "\nlease {")
}
