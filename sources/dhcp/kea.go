package dhcp

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"network-metrics-exporter/state"
)

const (
	keaHeader = "address," // begins a lease file of Kea, for DHCPv4 and DHCPv6 alike
	wantKea   = `"ADDRESS,HWADDR" or "ADDRESS,DUID" and all columns of the first line`
)

// keaAside are the ends of the names of the files that lie beside Kea's lease
// file while and after kea-lfc tidies it up, those of later rows first: Kea puts
// its file aside as .1; kea-lfc makes one .completed of .2 and .1, whose place it
// then takes as .2. What kea-lfc is still writing (.output) says nothing new.
var keaAside = [...]string{".1", ".completed", ".2"}

// keaLeases are those of one or more files.
type keaLeases struct {
	rows map[netip.Addr]keaRow
	read int // rows read
}

// keaRow is the last that is known of an address.
type keaRow struct {
	state.Assignment     // without a name: it names nobody
	number           int // its place in the order in which they were written
}

// addAside adds the leases of the files beside the one at path, where it was
// read already: what it says of an address is later. Files that do not exist
// are passed over.
func (k *keaLeases) addAside(path string) error {
	var errs []error
	before := 0 // rows of the files beside it
	for _, suffix := range keaAside {
		older := keaLeases{}
		_, err := readFile("lease file", path+suffix, older.parse)
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		before += older.read
		for addr, row := range older.rows {
			if _, known := k.rows[addr]; !known {
				row.number -= before
				k.put(addr, row)
			}
		}
	}
	return errors.Join(errs...)
}

func (k *keaLeases) put(addr netip.Addr, row keaRow) {
	if k.rows == nil {
		k.rows = make(map[netip.Addr]keaRow)
	}
	k.rows[addr] = row
}

// names gives the assignments, the latest first.
func (k *keaLeases) names() []state.Assignment {
	rows := make([]keaRow, 0, len(k.rows))
	for _, row := range k.rows {
		if row.Name != "" {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b keaRow) int { return b.number - a.number })
	names := make([]state.Assignment, len(rows))
	for i, row := range rows {
		names[i] = row.Assignment
	}
	return names
}

// parse reads a file: a line that names the columns, and a row for each change
// of a lease. It gives no names, for a later row may take them back.
func (k *keaLeases) parse(r io.Reader) ([]state.Assignment, error) {
	var columns []string
	return syntax{
		want:       wantKea,
		wholeLines: true,
		line: func(names []state.Assignment, line string) ([]state.Assignment, bool) {
			if columns == nil {
				columns = strings.Split(line, ",")
				return names, slices.Contains(columns, "address") && slices.Contains(columns, "hostname")
			}
			a, ok := keaLease(columns, line)
			if ok && a.Addr.IsValid() {
				k.read++
				k.put(a.Addr, keaRow{a, k.read})
			}
			return names, ok
		},
	}.parse(r)
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
	keaStateDefault = "0" // neither declined nor expired and reclaimed
	keaTypePD       = "2" // a prefix, which is no client's address
	keaSourceDUID   = "2" // HWADDR_SOURCE_DUID
	keaDeleted      = "0" // a lifetime: the lease was given back
)

// keaLease reads a row. Its address is none if the row is of no account.
//
// A lease is not judged by when it ends, as one of dnsmasq is not: Kea itself
// writes another row for it then.
func keaLease(columns []string, line string) (a state.Assignment, ok bool) {
	if line == "" {
		return a, true
	}
	f := keaFields{state: keaStateDefault}
	n := 0
	for field := range strings.SplitSeq(line, ",") {
		if n == len(columns) {
			return a, false
		}
		*f.column(columns[n]) = field
		n++
	}
	addr, err := netip.ParseAddr(f.address)
	if n != len(columns) || err != nil || addr.Zone() != "" {
		return a, false
	}
	if f.leaseType == keaTypePD {
		return a, true
	}
	a.Addr, a.Source = addr.Unmap(), state.FromDHCP
	if f.hwaddr != "" {
		if a.MAC, ok = parseHardware(keaHardwareType(f.hwtype) + f.hwaddr); !ok {
			return state.Assignment{}, false
		}
		a.DUID = f.hwaddrSource == keaSourceDUID
	}
	if a.MAC.IsZero() {
		a.MAC = macOfDUID(f.duid)
		a.DUID = !a.MAC.IsZero()
	}
	if f.state == keaStateDefault && f.lifetime != keaDeleted {
		a.Name = strings.TrimSuffix(keaUnescape(f.hostname), ".")
	}
	return a, true
}

// keaHardwareType puts an ARP hardware type, a decimal number, in front of an
// address as parseHardware reads it.
func keaHardwareType(text string) string {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return ""
	}
	return strconv.FormatUint(n, 16) + "-"
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

// isKea tells a file of Kea by how it begins.
func isKea(b *bufio.Reader) bool {
	head, _ := b.Peek(len(keaHeader))
	return string(head) == keaHeader
}
