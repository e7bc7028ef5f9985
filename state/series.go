package state

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// selectSeries decides which clients and which devices have series of their own:
// all of them, or Config.MaxClients of each. Who is present comes before who is
// away, then who moved most; who has a series keeps it unless another one moved
// a tenth more. A run that has to go on from less than the last ledger changes
// nothing of that, as what the last run added is about to be added again.
func (c *comparison) selectSeries() {
	frozen := c.last.Recovered && slices.ContainsFunc(c.last.Clients, func(c Client) bool { return !c.HasSeries })
	clients := make([]candidate, len(c.next.Clients))
	for i := range clients {
		client, o := &c.next.Clients[i], &c.observations[i]
		clients[i] = newCandidate(&client.HasSeries, o.online, client.OtherBytes, &client.CounterState, o.delta)
	}
	changed := selectCandidates(clients, c.cfg.MaxClients, frozen)

	devices := make([]candidate, 0, len(c.next.Devices))
	for i := range c.next.Devices {
		device, d := &c.next.Devices[i], &c.devices[i]
		if device.ID == (DeviceID{}) || c.next.isForgotten(device, c.cfg) {
			device.HasSeries = false
			continue
		}
		devices = append(devices, newCandidate(&device.HasSeries, d.online, device.OtherBytes, &device.CounterState, d.delta))
	}
	c.reselected = selectCandidates(devices, c.cfg.MaxClients, frozen) || changed
}

// isForgotten reports whether a device has left the metrics.
func (l *Ledger) isForgotten(d *Device, cfg Config) bool {
	return l.Trusted && l.Steady-d.lastMet() > cfg.ForgetAfter
}

// candidate is who may have a series.
type candidate struct {
	hasSeries *bool
	online    bool
	moved     uint64 // bytes of both directions, ever; a tenth more for who has a series
}

func newCandidate(hasSeries *bool, online bool, other uint64, s *CounterState, delta [2]Traffic) candidate {
	moved := other
	for d := range delta {
		moved = plus(moved, plus(s.Total[d].Bytes, delta[d].Bytes))
	}
	if *hasSeries {
		moved = plus(moved, moved/10)
	}
	return candidate{hasSeries, online, moved}
}

// selectCandidates gives series to the first most, in the order of their rank, or
// to nobody but those who have one. It reports whether anybody got or lost one.
func selectCandidates(all []candidate, most int, frozen bool) (changed bool) {
	if len(all) > most {
		slices.SortStableFunc(all, func(a, b candidate) int {
			return cmp.Or(compareBool(b.online, a.online), cmp.Compare(b.moved, a.moved))
		})
	}
	for i, c := range all {
		selected := i < most && !frozen || *c.hasSeries && frozen
		changed = changed || *c.hasSeries != selected
		*c.hasSeries = selected
	}
	return changed
}

// ClientsToCount returns whom a run is to have counters of their own for, the most
// important first, at most Config.MaxClients: neighbours with a sign of life, the ends of flows, and
// who had a series in the last run and is no suspect. Who had a series comes
// first, then who is certainly there. lan and flows may be nil.
func (l *Ledger) ClientsToCount(lan *LAN, flows *TrackedFlows, scope Scope, cfg Config) []netip.Addr {
	const isEnd, isNeighbor, isConfirmed, hadSeries = 1, 2, 4, 8
	rank := make(map[netip.Addr]int)
	if lan != nil {
		for i := range lan.Neighbors {
			n := &lan.Neighbors[i]
			if n.MAC.IsZero() || !n.isCurrent(cfg.ForgetAfter) || n.State&(confirmed|Stale) == 0 || !scope.Contains(n.Addr) {
				continue
			}
			rank[n.Addr] |= isNeighbor
			if n.State&confirmed != 0 {
				rank[n.Addr] |= isConfirmed
			}
		}
	}
	if flows != nil {
		for addr := range flows.Active {
			rank[addr] |= isEnd
		}
	}
	for i := range l.Clients {
		if c := &l.Clients[i]; c.HasSeries && !c.isSuspect() {
			rank[c.Addr] |= hadSeries
		}
	}
	addrs := slices.SortedFunc(maps.Keys(rank), func(a, b netip.Addr) int {
		return cmp.Or(cmp.Compare(rank[b], rank[a]), a.Compare(b))
	})
	return addrs[:min(len(addrs), cfg.MaxClients)]
}
