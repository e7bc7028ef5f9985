package dhcp

import (
	"net/netip"
	"slices"
	"strings"

	"network-metrics-exporter/state"
)

// dhcpHost reads a line of a --dhcp-hostsfile, told apart field by field as
// one_opt in dnsmasq's option.c does:
//
//	[[TYPE-]MAC][,id:ID][,set:TAG][,tag:TAG][,IPV4][,'['IPV6']'][,NAME][,TIME][,ignore]
//
// in any order and number; of several NAMEs or IPV4s the last one counts. Quotes,
// which dnsmasq knows, are not understood.
//
// The name goes to every address, together with the MAC if there is but one, and
// else to each MAC too. What stands for many devices or addresses is left out: a MAC
// with wildcards, an IPv6 address with a prefix length or without its network part.
// With ignore, dnsmasq gives nobody the address.
func dhcpHost(records []state.NameRecord, line string) ([]state.NameRecord, bool) {
	line = withoutComment(line)
	if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "dhcp-host" {
		line = value
	}
	var h host
	for field := range strings.SplitSeq(line, ",") {
		if !h.add(strings.TrimSpace(field)) {
			return records, false
		}
	}
	return h.appendTo(records), true
}

// withoutComment cuts a comment off, which a # begins at the start of a line and
// after white space.
func withoutComment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

// A host is what a line says.
type host struct {
	name   string
	addr4  netip.Addr
	addr6  []netip.Addr
	macs   []state.MAC
	ignore bool
}

// add reads a field. It reports false if dnsmasq would refuse it.
func (h *host) add(field string) bool {
	switch {
	case isTagOrID(field), isLeaseTime(field):
		return true
	case field == "ignore":
		h.ignore = true
		return true
	case strings.HasPrefix(field, "["):
		return h.addIPv6(field)
	case strings.Contains(field, ":"):
		return h.addMAC(field)
	}
	if addr, err := netip.ParseAddr(field); err == nil {
		h.addr4 = addr
		return true
	}
	h.name = field
	return isHostname(field)
}

func (h *host) addIPv6(field string) bool {
	field, ok := strings.CutSuffix(field[1:], "]")
	if !ok {
		return false
	}
	if strings.Contains(field, "/") {
		prefix, err := netip.ParsePrefix(field)
		return err == nil && prefix.Addr().Is6()
	}
	addr, err := netip.ParseAddr(field)
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return false
	}
	if !hostPart.Contains(addr) && mayBeClient(addr) {
		h.addr6 = append(h.addr6, addr)
	}
	return true
}

// hostPart holds the addresses whose network part dnsmasq fills in.
var hostPart = netip.MustParsePrefix("::/64")

func (h *host) addMAC(field string) bool {
	// With two digits in place of each asterisk, only a whole octet of
	// asterisk remains an octet.
	mac, ok := parseTypedMAC(strings.ReplaceAll(field, "*", "00"))
	if !mac.IsZero() && !strings.Contains(field, "*") {
		h.macs = append(h.macs, mac)
	}
	return ok
}

// appendTo appends what the line says.
func (h *host) appendTo(records []state.NameRecord) []state.NameRecord {
	r := state.NameRecord{Name: h.name, Source: state.FromHosts}
	addrs := h.addr6
	if mayBeClient(h.addr4) && h.addr4.IsValid() {
		addrs = slices.Insert(addrs, 0, h.addr4)
	}
	if h.ignore {
		addrs = nil
	}
	if len(h.macs) == 1 {
		r.MAC = h.macs[0]
	}
	if r.Name == "" && r.MAC.IsZero() {
		return records
	}
	for _, r.Addr = range addrs {
		records = append(records, r)
	}
	if r.Name == "" || len(addrs) > 0 && len(h.macs) == 1 {
		return records
	}
	r.Addr = netip.Addr{}
	for _, r.MAC = range h.macs {
		records = append(records, r)
	}
	return records
}

// isTagOrID reports whether a field is a tag or a client identifier. A client
// identifier is the client's own choice and so tells no MAC.
func isTagOrID(field string) bool {
	kind, _, ok := strings.Cut(field, ":")
	return ok && (kind == "set" || kind == "net" || kind == "tag" || strings.EqualFold(kind, "id"))
}

// isLeaseTime reports whether a field is a number with or without a unit, or is
// empty, as dnsmasq allows.
func isLeaseTime(field string) bool {
	if field == "infinite" {
		return true
	}
	if n := len(field) - 1; n > 0 && strings.IndexByte("sSmMhHdDwW", field[n]) >= 0 {
		field = field[:n]
	}
	return strings.Trim(field, "0123456789") == ""
}

// isHostname does what legal_hostname in dnsmasq's util.c does, but leaves in
// peace what dnsmasq encodes for DNS.
func isHostname(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		switch {
		case '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
			return false
		default:
			return r < 0x80 && r != '-' && r != '_' && r != '.'
		}
	})
}
