package state

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Unknown is the name of a client that nobody named, and OtherName that of all who
// have no series of their own. No device may call itself so.
const (
	Unknown   = "unknown"
	OtherName = "other"
)

// maxName is the length at which a name is cut, in bytes: a domain name is not
// longer (RFC 1035, 2.3.4).
const maxName = 255

// CleanName makes a name fit to be published, whatever a device calls itself:
// characters that cannot be seen or that turn the writing direction, what is not
// UTF-8, and the delimiters of the files that it goes through (", \ and |) become
// an underscore; what is too long is cut; Unknown and OtherName get an underscore.
// A clean name comes out as it went in, and the empty one means that there is none.
func CleanName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r == '"' || r == '\\' || r == '|' || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, strings.TrimSpace(name))
	for len(clean) > maxName {
		_, size := utf8.DecodeLastRuneInString(clean)
		clean = clean[:len(clean)-size]
	}
	clean = strings.TrimSpace(clean)
	if clean == Unknown || clean == OtherName {
		clean += "_"
	}
	return clean
}

// directory finds names, and whose an address is, in what lease files, hosts files
// and DNS say. Of two records that fit the first one counts.
type directory struct {
	all     []NameRecord        // in the order given
	records []NameRecord        // those of addresses, sorted by address; of one address in the order given
	byMAC   map[MAC]deviceNames // made when a name is first looked for by MAC
}

// deviceNames are the names of a device wherever it is.
type deviceNames struct {
	static   NameRecord // a static entry without an address
	anywhere NameRecord // any entry or lease, static ones before leases
}

func newDirectory(records []NameRecord) *directory {
	d := &directory{all: records, records: make([]NameRecord, 0, len(records))}
	for _, r := range records {
		if r.Addr.IsValid() {
			d.records = append(d.records, r)
		}
	}
	SortByAddr(d.records, recordAddr)
	return d
}

// namesOf returns the names of a device wherever it is.
func (d *directory) namesOf(mac MAC) deviceNames {
	if d.byMAC != nil {
		return d.byMAC[mac]
	}
	d.byMAC = make(map[MAC]deviceNames, len(d.all))
	for _, r := range d.all {
		if r.MAC.IsZero() || r.Name == "" {
			continue
		}
		names := d.byMAC[r.MAC]
		if !r.Addr.IsValid() && names.static.Name == "" && r.Source == FromHosts {
			names.static = r
		}
		if names.anywhere.Name == "" || names.anywhere.Source == FromDHCP && r.Source == FromHosts {
			names.anywhere = r
		}
		d.byMAC[r.MAC] = names
	}
	return d.byMAC[mac]
}

// owner returns the device that the records of one address give it to: what a
// server has leased before what is configured. A zero MAC means that none does.
func owner(records []NameRecord) MAC {
	var configured MAC
	for _, r := range records {
		switch {
		case r.MAC.IsZero():
		case r.Source == FromDHCP:
			return r.MAC
		case configured.IsZero():
			configured = r.MAC
		}
	}
	return configured
}

// name returns the name of a device at an address that has these records, and
// where it comes from: FromNone if nobody names it.
func (d *directory) name(addr netip.Addr, records []NameRecord, device MAC) (string, NameSource) {
	of := func(source NameSource) string {
		for _, r := range records {
			// What names another device is out of date.
			if r.Source == source && (r.MAC.IsZero() || r.MAC == device) {
				if name := CleanName(r.Name); name != "" {
					return name
				}
			}
		}
		return ""
	}
	for _, source := range []NameSource{FromHosts, FromDHCP} {
		if name := of(source); name != "" {
			return name, source
		}
	}
	if !device.IsZero() {
		names := d.namesOf(device)
		record := names.static
		if addr.Is6() && record.Name == "" {
			record = names.anywhere
		}
		if name := CleanName(record.Name); name != "" {
			return name, record.Source
		}
	}
	if name := of(FromDNS); name != "" {
		return name, FromDNS
	}
	return Unknown, FromNone
}
