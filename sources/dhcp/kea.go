package dhcp

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"network-metrics-exporter/state"
)

// What Kea writes.
const (
	keaHeader = "address," // begins a lease file of Kea, for DHCPv4 and DHCPv6 alike
	wantKea   = `"ADDRESS,HWADDR" or "ADDRESS,DUID" and all columns of the first line`
)

// keaBeside are the ends of the names of the files that lie beside Kea's lease file
// while and after kea-lfc tidies it up, those of later rows first: Kea renames its
// file to .1; kea-lfc makes one .completed of .2 and .1, whose place it then takes
// as .2. What kea-lfc is still writing (.output) says nothing new.
var keaBeside = []string{".1", ".completed", ".2"}

// parseKea reads leases of Kea, for DHCPv4 or DHCPv6: a line that names the
// columns, and a row for each change of a lease. kea-lfc tidies the file up now and
// then.
func parseKea(t *leaseTable, text string, _ state.Instant) error {
	var columns []string
	return eachLine(text, wantKea, true, func(line string) bool {
		switch {
		case columns == nil:
			columns = strings.Split(line, ",")
			return slices.Contains(columns, "address") && slices.Contains(columns, "hostname")
		case line == "":
			return true
		default:
			return keaLease(t, columns, line)
		}
	})
}

// keaFields are those of a row that matter. Versions of Kea differ in what else
// there is, and so in where they stand.
type keaFields struct {
	address, duid, hwaddr, hwtype, hwaddrSource, leaseType, lifetime, hostname, state, other string
}

// column gives the field of a column.
func (f *keaFields) column(name string) *string {
	switch name {
	case "address":
		return &f.address
	case "duid":
		return &f.duid
	case "hwaddr":
		return &f.hwaddr
	case "hwtype":
		return &f.hwtype
	case "hwaddr_source":
		return &f.hwaddrSource
	case "lease_type":
		return &f.leaseType
	case "valid_lifetime":
		return &f.lifetime
	case "hostname":
		return &f.hostname
	case "state":
		return &f.state
	default:
		return &f.other
	}
}

// Values of fields (lease.h and hwaddr.h in Kea).
const (
	keaStateDefault  = "0" // neither declined nor expired and reclaimed
	keaTypePD        = "2" // a prefix, which is no client's address
	keaSourceUnknown = "0" // HWADDR_SOURCE_UNKNOWN
	keaSourceDUID    = "2" // HWADDR_SOURCE_DUID
	keaDeleted       = "0" // a lifetime: the lease was given back
)

// keaLease reads a row.
func keaLease(t *leaseTable, columns []string, line string) bool {
	f := keaFields{state: keaStateDefault}
	n := 0
	for field := range strings.SplitSeq(line, ",") {
		if n == len(columns) {
			return false
		}
		*f.column(columns[n]) = field
		n++
	}
	addr, err := netip.ParseAddr(f.address)
	mac, ok := f.mac()
	if n != len(columns) || err != nil || addr.Zone() != "" || !ok {
		return false
	}
	addr = addr.Unmap()
	switch {
	case f.leaseType == keaTypePD:
	case f.state != keaStateDefault, f.lifetime == keaDeleted:
		t.end(addr)
	default:
		name := strings.TrimSuffix(keaUnescape(f.hostname), ".")
		t.put(state.NameRecord{Addr: addr, MAC: mac, Name: name, Source: state.FromDHCP})
	}
	return true
}

// mac returns the client's address on the link. That in a file of DHCPv6 may be out
// of a DUID, and so that of another interface or another device: it counts if Kea
// says that it is not.
func (f *keaFields) mac() (state.MAC, bool) {
	if f.hwaddr == "" {
		return state.MAC{}, true
	}
	mac, ok := parseMAC(f.hwaddr)
	isEUI48 := f.hwtype == "" || f.hwtype == strconv.Itoa(etherType) || f.hwtype == strconv.Itoa(ieee802Type)
	ofLink := f.duid == "" || f.hwaddrSource != "" && f.hwaddrSource != keaSourceUnknown && f.hwaddrSource != keaSourceDUID
	if !isEUI48 || !ofLink {
		mac = state.MAC{}
	}
	return mac, ok
}

// keaUnescape undoes what Kea does to commas, to & and to what is not printable
// ASCII: &#x and two hexadecimal digits (csv_file.cc in Kea).
func keaUnescape(s string) string {
	const tag = "&#x"
	if !strings.Contains(s, tag) {
		return s
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, tag)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if len(after) >= 2 {
			if n, err := strconv.ParseUint(after[:2], 16, 8); err == nil {
				b.WriteByte(byte(n))
				s = after[2:]
				continue
			}
		}
		b.WriteString(tag)
		s = after
	}
}

// isKea tells a file of Kea by its first line, which may be cut.
func isKea(start string) bool {
	line, _, whole := strings.Cut(start, "\n")
	return strings.HasPrefix(line, keaHeader) || !whole && strings.HasPrefix(keaHeader, line)
}
