package state

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Unknown is the name of a client that nobody named.
const Unknown = "unknown"

// maxName is the length at which a name is cut, in bytes: a domain name is not
// longer (RFC 1035, 2.3.4).
const maxName = 255

// CleanName makes a name fit to be published, whatever a device calls itself:
// characters that cannot be seen or that turn the writing direction, what is not
// UTF-8, and the delimiters of the files that it goes through (", \ and |) become
// an underscore; what is too long is cut. A clean name comes out as it went in.
func CleanName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r == '"' || r == '\\' || r == '|' || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, name)
	for len(clean) > maxName {
		_, size := utf8.DecodeLastRuneInString(clean)
		clean = clean[:len(clean)-size]
	}
	return strings.TrimSpace(clean)
}

// directory finds names by address and by device. Of two assignments that fit
// the first one put in counts.
type directory struct {
	byAddr map[netip.Addr]Assignment
	byMAC  map[MAC]Assignment
}

// newDirectory takes in the assignments that come from source.
func newDirectory(names []Assignment, source NameSource) directory {
	d := directory{make(map[netip.Addr]Assignment), make(map[MAC]Assignment)}
	for _, a := range names {
		a.Name = CleanName(a.Name)
		if a.Source != source || a.Name == "" {
			continue
		}
		if _, taken := d.byAddr[a.Addr]; a.Addr.IsValid() && !taken {
			d.byAddr[a.Addr] = a
		}
		if !a.MAC.IsZero() {
			d.nameDevice(a.MAC, a)
		}
	}
	return d
}

func (d directory) nameDevice(mac MAC, a Assignment) {
	if _, taken := d.byMAC[mac]; !taken {
		d.byMAC[mac] = a
	}
}

// find gives the name of the device mac at an address. A name that belongs to
// another device is not taken from an address that has changed hands.
func (d directory) find(addr netip.Addr, mac MAC) (Assignment, bool) {
	if a, ok := d.byAddr[addr]; ok && (a.MAC == mac || a.MAC.IsZero() || mac.IsZero()) {
		return a, true
	}
	a, ok := d.byMAC[mac]
	return a, ok
}

// namer names clients: what a user wrote comes before what a device says of
// itself.
type namer [2]directory

func newNamer(names []Assignment, clients map[netip.Addr]Client) namer {
	hosts := newDirectory(names, FromHosts)
	for _, a := range names {
		// A device that is named at one address has the name at all of them.
		named, ok := hosts.byAddr[a.Addr]
		if mac := clients[a.Addr].MAC; ok && named.MAC.IsZero() && !mac.IsZero() {
			hosts.nameDevice(mac, named)
		}
	}
	return namer{hosts, newDirectory(names, FromDHCP)}
}

func (n namer) name(addr netip.Addr, mac MAC) (string, NameSource) {
	for _, d := range n {
		if a, ok := d.find(addr, mac); ok {
			return a.Name, a.Source
		}
	}
	return Unknown, FromNone
}
