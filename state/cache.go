package state

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// MaxNames is how many names are remembered: as many as devices are, and as many
// lines that a user or the original program wrote for mere addresses.
const MaxNames = 2 * maxDevices

// CachedName is a name that is remembered: a line of client-names.cache.
type CachedName struct {
	Addr   netip.Addr // the address that the device last had
	MAC    MAC        // zero: the name is whoever's has the address
	Name   string     // clean
	Source NameSource // who told it; FromCache: that is not known any more
}

// device returns whose the name is.
func (c CachedName) device() DeviceID {
	if c.MAC.IsZero() {
		return DeviceID{Addr: c.Addr}
	}
	return DeviceID{MAC: c.MAC}
}

// NameCache holds the names that outlive what gave them. They are read when a name
// is first needed that nobody gives.
type NameCache struct {
	load    func() []CachedName
	names   map[DeviceID]CachedName
	changed bool
}

// NewNameCache returns a cache of the names that load returns, of which at most
// MaxNames are kept.
func NewNameCache(load func() []CachedName) *NameCache { return &NameCache{load: load} }

func (c *NameCache) all() map[DeviceID]CachedName {
	if c.names == nil {
		loaded := c.load()
		c.names = make(map[DeviceID]CachedName, len(loaded))
		for _, n := range loaded {
			c.names[n.device()] = n
		}
	}
	return c.names
}

// find returns the name that is remembered for a device at an address: its own,
// or else the one that belongs to the address. elsewhere tells that the device is
// present at another IPv4 address: then no IPv4 address has it but the one where it
// was last, and that only while it is away.
func (c *NameCache) find(id DeviceID, addr netip.Addr, present, elsewhere bool) (CachedName, bool) {
	if n, ok := c.all()[id]; ok && (!elsewhere || addr.Is6() || n.Addr == addr && !present) {
		return n, true
	}
	n, ok := c.all()[DeviceID{Addr: addr}]
	return n, ok
}

// remember takes in a name.
func (c *NameCache) remember(n CachedName) {
	if c.all()[n.device()] == n {
		return
	}
	if !n.MAC.IsZero() {
		// What belonged to the address is out of date.
		delete(c.names, DeviceID{Addr: n.Addr})
	}
	c.names[n.device()], c.changed = n, true
}

// Changed reports whether the names are not those that were loaded.
func (c *NameCache) Changed() bool { return c.changed }

// Names returns the names, sorted by address: at most MaxNames, those first of
// devices that the ledger remembers.
func (c *NameCache) Names(l *Ledger) []CachedName {
	names := slices.Collect(maps.Values(c.all()))
	if len(names) > MaxNames {
		isKnown := func(n CachedName) bool {
			_, known := slices.BinarySearchFunc(l.Devices, n.device(), compareIDs)
			return known
		}
		slices.SortFunc(names, func(a, b CachedName) int {
			return cmp.Or(compareBool(isKnown(b), isKnown(a)), a.Addr.Compare(b.Addr), a.device().Compare(b.device()))
		})
		names = names[:MaxNames]
	}
	slices.SortFunc(names, func(a, b CachedName) int {
		return cmp.Or(a.Addr.Compare(b.Addr), a.device().Compare(b.device()))
	})
	return names
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
