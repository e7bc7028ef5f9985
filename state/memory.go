package state

import (
	"bytes"
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// MaxNames is how many names are remembered: one for each address of an IPv4
// network as large as private ones get in practice, a /16.
const MaxNames = 1 << 16

// Bearer is who has a name that is remembered.
type Bearer struct {
	Addr netip.Addr
	MAC  MAC // zero: whatever device has the address, until one has
}

// Compare orders bearers by address: IPv4 comes before IPv6.
func (b Bearer) Compare(other Bearer) int {
	return cmp.Or(b.Addr.Compare(other.Addr), bytes.Compare(b.MAC[:], other.MAC[:]))
}

// isTransient tells the addresses that a device may have for a day only (RFC
// 8981) from those that are worth remembering.
func (b Bearer) isTransient() bool { return b.Addr.Is6() && !b.MAC.IsZero() }

// Name is a name that is remembered.
type Name struct {
	Text   string     // clean
	Source NameSource // who told it; FromCache: that is not known any more
}

// memory finds names that are remembered. The indices, which it takes a look at
// all of them to make, are made when they are first needed.
type memory struct {
	names  map[Bearer]Name
	byMAC  map[MAC]Bearer        // for each device the first of its bearers
	byAddr map[netip.Addr]Bearer // for each address likewise
}

// find gives the name of the device mac at an address.
func (m *memory) find(addr netip.Addr, mac MAC) (Name, bool) {
	if name, ok := m.names[Bearer{addr, mac}]; ok {
		return name, true
	}
	if !mac.IsZero() {
		name := m.ofDevice(mac)
		return name, name != Name{}
	}
	m.index()
	b, ok := m.byAddr[addr]
	return m.names[b], ok
}

// ofDevice gives the name of a device wherever it is, the zero Name if there is
// none.
func (m *memory) ofDevice(mac MAC) Name {
	m.index()
	return m.names[m.byMAC[mac]]
}

func (m *memory) index() {
	if m.byMAC != nil {
		return
	}
	m.byMAC, m.byAddr = make(map[MAC]Bearer), make(map[netip.Addr]Bearer)
	for b := range m.names {
		if first, ok := m.byMAC[b.MAC]; !ok || b.Compare(first) < 0 {
			m.byMAC[b.MAC] = b
		}
		if first, ok := m.byAddr[b.Addr]; !ok || b.Compare(first) < 0 {
			m.byAddr[b.Addr] = b
		}
	}
}

// claim gives the names of mere addresses to the devices that have them: from
// then on they stay with the device.
func (l *Ledger) claim() {
	var claimed []Bearer
	for b := range l.Names {
		if b.MAC.IsZero() && !l.Clients[b.Addr].MAC.IsZero() {
			claimed = append(claimed, b)
		}
	}
	if len(claimed) == 0 {
		return
	}
	l.Names, l.Renamed = maps.Clone(l.Names), true
	for _, b := range claimed {
		l.Names[Bearer{b.Addr, l.Clients[b.Addr].MAC}] = l.Names[b]
		delete(l.Names, b)
	}
}

// remember takes in names that were given in this run, and drops what they put out
// of date. shown are the clients that were named.
func (l *Ledger) remember(news map[Bearer]Name, shown []ClientReport) {
	if len(news) == 0 {
		return
	}
	names := maps.Clone(l.Names)
	if names == nil {
		names = make(map[Bearer]Name, len(news))
	}
	maps.Copy(names, news)
	devices := make(map[MAC]Name) // those of whom there is news, by their first bearer
	for _, b := range slices.SortedFunc(maps.Keys(news), Bearer.Compare) {
		if _, ok := devices[b.MAC]; !ok && !b.MAC.IsZero() {
			devices[b.MAC] = news[b]
		}
	}
	present := make(map[Bearer]bool, len(shown))
	for _, c := range shown {
		present[Bearer{c.Addr, c.MAC}] = true
	}
	for b, name := range names {
		device, ok := devices[b.MAC]
		if _, isNew := news[b]; !ok || isNew || present[b] {
			continue
		}
		if name.Text != device.Text || l.Clients[b.Addr].MAC != b.MAC {
			delete(names, b) // what it was called before, or where it was
		}
	}
	m := memory{names: names}
	for b, name := range names {
		if _, ok := devices[b.MAC]; ok && b.isTransient() && m.ofDevice(b.MAC).Text == name.Text && m.byMAC[b.MAC] != b {
			delete(names, b)
		}
	}
	l.limit(names)
	l.Names, l.Renamed = names, true
}

// limit drops names beyond MaxNames: first those of devices that have not their
// address any more, then those of who was away for longest.
func (l *Ledger) limit(names map[Bearer]Name) {
	if len(names) <= MaxNames {
		return
	}
	bearers := slices.SortedFunc(maps.Keys(names), func(a, b Bearer) int {
		met := func(b Bearer) time.Time {
			if c, ok := l.Clients[b.Addr]; ok && c.MAC == b.MAC {
				return c.lastMet()
			}
			return time.Time{}
		}
		return cmp.Or(met(a).Compare(met(b)), a.Compare(b))
	})
	for _, b := range bearers[:len(bearers)-MaxNames] {
		delete(names, b)
	}
}
