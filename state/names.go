package state

import (
	"net/netip"
	"slices"
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
	byAddr map[netip.Addr]*Assignment
	byMAC  map[MAC]*Assignment
}

// newDirectory takes in the assignments that come from source. clients tell whose
// an address is that was named without its device.
func newDirectory(names []Assignment, source NameSource, clients map[netip.Addr]Client) directory {
	own := slices.DeleteFunc(slices.Clone(names), func(a Assignment) bool { return a.Source != source })
	d := directory{make(map[netip.Addr]*Assignment, len(own)), make(map[MAC]*Assignment, len(own))}
	var unsure []*Assignment // which device they name
	for i := range own {
		a := &own[i]
		if a.Name = CleanName(a.Name); a.Name == "" {
			continue
		}
		if _, taken := d.byAddr[a.Addr]; a.Addr.IsValid() && !taken {
			d.byAddr[a.Addr] = a
		}
		if a.MAC.IsZero() || a.DUID {
			unsure = append(unsure, a)
		} else {
			d.nameDevice(a.MAC, a)
		}
	}
	for _, a := range unsure {
		// A device that is named at one address has the name at all of them.
		if mac := clients[a.Addr].MAC; !mac.IsZero() {
			d.nameDevice(mac, a)
		} else {
			d.nameDevice(a.MAC, a)
		}
	}
	return d
}

func (d directory) nameDevice(mac MAC, a *Assignment) {
	if _, taken := d.byMAC[mac]; !taken && !mac.IsZero() {
		d.byMAC[mac] = a
	}
}

// find gives the name of the device mac at an address. A name that belongs to
// another device is not taken from an address that has changed hands.
func (d directory) find(addr netip.Addr, mac MAC) (*Assignment, bool) {
	if a, ok := d.byAddr[addr]; ok && (a.MAC == mac || a.MAC.IsZero() || mac.IsZero() || a.DUID) {
		return a, true
	}
	a, ok := d.byMAC[mac]
	return a, ok
}

// namer names clients: what a user wrote comes before what a device says of
// itself, that before what DNS says, and all of it before what is remembered.
type namer struct {
	told   []directory // by hosts files, leases and DNS, in this order
	memory memory
	dns    bool            // DNS is asked for names
	news   map[Bearer]Name // names given that are not remembered
}

func newNamer(l *Ledger, told []Assignment, cfg Config) *namer {
	n := &namer{memory: memory{names: l.Names}, dns: cfg.ReverseDNS, news: make(map[Bearer]Name)}
	for _, source := range [...]NameSource{FromHosts, FromDHCP, FromDNS} {
		n.told = append(n.told, newDirectory(told, source, l.Clients))
	}
	return n
}

// name names the device mac at an address.
func (n *namer) name(addr netip.Addr, mac MAC) (string, NameSource) {
	for _, d := range n.told {
		if a, ok := d.find(addr, mac); ok {
			if mac.IsZero() && !a.DUID {
				mac = a.MAC
			}
			n.learn(Bearer{addr, mac}, Name{a.Name, a.Source})
			return a.Name, a.Source
		}
	}
	name, ok := n.memory.find(addr, mac)
	switch {
	case !ok:
		return Unknown, FromNone
	case !mac.IsZero():
		n.learn(Bearer{addr, mac}, name) // it may have been at another address
	}
	if name.Source == FromDNS && n.dns {
		return name.Text, FromDNS // which is not asked every time
	}
	return name.Text, FromCache
}

// learn notes a name that is not remembered. An IPv6 address of a device that is
// remembered by this name is nothing new: devices make up another one every day.
func (n *namer) learn(b Bearer, name Name) {
	if n.memory.names[b] != name && !(b.isTransient() && n.memory.ofDevice(b.MAC).Text == name.Text) {
		n.news[b] = name
	}
}
