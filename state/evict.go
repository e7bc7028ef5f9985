package state

import (
	"cmp"
	"net/netip"
	"slices"
)

// The kernel's sets take twice Config.MaxClients addresses of each family. So that
// there is always room for a new client, counters are deleted beyond half of that.
//
// A host that spoofs addresses, or a scan, makes thousands of clients that nobody
// ever answers. These suspects are forgotten long before ForgetAfter: beyond
// maxSuspects once they are idle for OnlineWindow, beyond MaxClients at once.
const maxSuspects = 64

// isSuspect reports whether a client may be an address that somebody made up.
func (c *Client) isSuspect() bool { return c.Device.MAC.IsZero() && !c.Confirmed }

// isSuspect reports whether a device may be an address that somebody made up.
func (d *Device) isSuspect() bool { return d.ID.MAC.IsZero() && d.Total[Rx].Packets == 0 }

// suspects counts the clients that may be made-up addresses.
func (l *Ledger) suspects() (n int) {
	for i := range l.Clients {
		if l.Clients[i].isSuspect() {
			n++
		}
	}
	return n
}

// isStale reports whether a client is to be forgotten.
func (c *comparison) isStale(client *Client, o *observation) bool {
	idle := c.next.Steady - client.lastMet()
	switch {
	case !client.isSuspect() || c.suspects <= maxSuspects:
		return c.next.Trusted && idle > c.cfg.ForgetAfter
	case c.suspects <= c.cfg.MaxClients:
		return idle > c.cfg.OnlineWindow
	default:
		return o.delta == [2]Traffic{}
	}
}

// evict returns the counters that may be deleted, sorted: those of addresses that
// are no clients any more, and where there are too many, those of suspects, then
// those of who was idle for longest. Nobody else's counters go who moved anything
// in this run, or has a series.
func (c *comparison) evict() (evicted []Counter) {
	if !c.counted || c.cfg.Accounting == Off {
		return nil
	}
	var idle [2][]evictee // IPv4 and IPv6
	var addresses [2]int
	i := 0
	for addr, counters := range byAddress(c.next.LastReadings.Counters) {
		if !addr.IsValid() {
			continue
		}
		family := addr.BitLen() / 128
		addresses[family]++
		for i < len(c.next.Clients) && c.next.Clients[i].Addr.Less(addr) {
			i++
		}
		if i == len(c.next.Clients) || c.next.Clients[i].Addr != addr {
			if c.areIdle(counters) {
				evicted = append(evicted, counters...)
				addresses[family]--
			}
		} else if client := &c.next.Clients[i]; !client.HasSeries && c.observations[i].delta == ([2]Traffic{}) {
			idle[family] = append(idle[family], evictee{client, counters})
		}
	}
	for family, candidates := range idle {
		excess := addresses[family] - c.cfg.MaxClients
		if excess <= 0 {
			continue
		}
		slices.SortFunc(candidates, func(a, b evictee) int {
			return cmp.Or(compareBool(b.client.isSuspect(), a.client.isSuspect()),
				cmp.Compare(max(a.client.LastActive[Rx], a.client.LastActive[Tx]), max(b.client.LastActive[Rx], b.client.LastActive[Tx])))
		})
		for _, e := range candidates[:min(excess, len(candidates))] {
			evicted = append(evicted, e.counters...)
		}
	}
	slices.SortFunc(evicted, Counter.Compare)
	return evicted
}

// areIdle reports whether counters show what they did in the last run. If this
// run's ledger is lost, what they counted is in the one before.
func (c *comparison) areIdle(counters []Counter) bool {
	for _, now := range counters {
		i, found := slices.BinarySearchFunc(c.before.Counters, now, Counter.Compare)
		if !found || c.before.Counters[i].Traffic != now.Traffic {
			return false
		}
	}
	return true
}

// evictee is a client whose counters may be deleted.
type evictee struct {
	client   *Client
	counters []Counter
}

// byAddress goes through counters that are sorted, address by address.
func byAddress(counters []Counter) func(yield func(netip.Addr, []Counter) bool) {
	return func(yield func(netip.Addr, []Counter) bool) {
		for len(counters) > 0 {
			n := 1
			for n < len(counters) && counters[n].Addr == counters[0].Addr {
				n++
			}
			if !yield(counters[0].Addr, counters[:n:n]) {
				return
			}
			counters = counters[n:]
		}
	}
}

// ForgetReadings takes note that counters were deleted, so that nobody misses
// them, nor those of local traffic, which went with them.
func (l *Ledger) ForgetReadings(deleted []Counter) {
	if len(deleted) == 0 {
		return
	}
	isDeleted := func(c Counter) bool {
		_, found := slices.BinarySearchFunc(deleted, c, Counter.Compare)
		return found
	}
	isGone := func(c Counter) bool {
		i, _ := slices.BinarySearchFunc(deleted, c.Addr, func(d Counter, addr netip.Addr) int { return d.Addr.Compare(addr) })
		return i < len(deleted) && deleted[i].Addr == c.Addr
	}
	l.LastReadings.Counters = slices.DeleteFunc(slices.Clone(l.LastReadings.Counters), isDeleted)
	l.LastReadings.Local = slices.DeleteFunc(slices.Clone(l.LastReadings.Local), isGone)
}
