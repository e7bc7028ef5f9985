package state

import (
	"cmp"
	"net/netip"
	"slices"
)

// selectSeries decides which clients and which devices have series of their own:
// all of them, or Config.MaxClients of each. Who is present comes before who is
// away, suspects last of either, then who moved most; who has a series keeps it
// unless another one moved a tenth more. A run that has to go on from less than the last ledger changes
// nothing of that, as what the last run added is about to be added again.
func (c *comparison) selectSeries() {
	clients := make([]candidate, len(c.next.Clients))
	for i := range clients {
		client, o := &c.next.Clients[i], &c.observations[i]
		clients[i] = newCandidate(&client.HasSeries, o.online, client.isSuspect(), client.OtherBytes, &client.CounterState, o.delta)
	}
	changed := selectCandidates(clients, c.cfg.MaxClients, c.frozen)

	devices := make([]candidate, 0, len(c.next.Devices))
	for i := range c.next.Devices {
		device, d := &c.next.Devices[i], &c.devices[i]
		if device.ID == (DeviceID{}) || c.next.isForgotten(device, c.cfg) {
			device.HasSeries = false
			continue
		}
		devices = append(devices, newCandidate(&device.HasSeries, d.online, device.isSuspect(), device.OtherBytes, &device.CounterState, d.delta))
	}
	c.reselected = selectCandidates(devices, c.cfg.MaxClients, c.frozen) || changed
}

// isForgotten reports whether a device has left the metrics.
func (l *Ledger) isForgotten(d *Device, cfg Config) bool {
	return l.Trusted && l.Steady-d.lastMet() > cfg.ForgetAfter
}

// candidate is who may have a series.
type candidate struct {
	hasSeries *bool
	online    bool
	suspect   bool
	moved     uint64 // bytes of both directions, ever; a tenth more for who has a series
}

func newCandidate(hasSeries *bool, online, suspect bool, other uint64, s *CounterState, delta [2]Traffic) candidate {
	moved := other
	for d := range delta {
		moved = plus(moved, plus(s.Total[d].Bytes, delta[d].Bytes))
	}
	if *hasSeries {
		moved = plus(moved, moved/10)
	}
	return candidate{hasSeries, online, suspect, moved}
}

// selectCandidates gives series to the first most, in the order of their rank, or
// to nobody but those who have one. It reports whether anybody got or lost one.
func selectCandidates(all []candidate, most int, frozen bool) (changed bool) {
	if len(all) > most {
		slices.SortStableFunc(all, func(a, b candidate) int {
			return cmp.Or(compareBool(b.online, a.online), compareBool(a.suspect, b.suspect), cmp.Compare(b.moved, a.moved))
		})
	}
	for i, c := range all {
		selected := i < most && !frozen || *c.hasSeries && frozen
		changed = changed || *c.hasSeries != selected
		*c.hasSeries = selected
	}
	return changed
}

// How much a reason to count somebody weighs.
const (
	isEnd = 1 << iota
	isNeighbor
	isConfirmed
	hadSeries
)

// rankedAddr is an address with all reasons to count it.
type rankedAddr struct {
	addr netip.Addr
	rank int
}

// ClientsToCount returns whom a run is to have counters of their own for, at most
// Config.MaxClients: neighbours with a sign of life, the ends of flows, and who had
// a series in the last run and is no suspect. Of more, those come first who had a
// series, then those who are certainly there. lan and flows may be nil.
func (l *Ledger) ClientsToCount(lan *LAN, flows *TrackedFlows, scope Scope, cfg Config) []netip.Addr {
	if lan == nil {
		lan = &LAN{}
	}
	clients := cursor[Client]{l.Clients, clientAddr}
	neighbors := cursor[NeighborEntry]{lan.Neighbors, neighborAddr}
	ranked := make([]rankedAddr, 0, max(len(l.Clients), len(lan.Neighbors)))
	next := func() (netip.Addr, bool) {
		addr, ok := clients.least(netip.Addr{}, false)
		return neighbors.least(addr, ok)
	}
	for addr, ok := next(); ok; addr, ok = next() {
		rank := 0
		for _, c := range clients.take(addr) {
			if c.HasSeries && !c.isSuspect() {
				rank |= hadSeries
			}
		}
		if entry := mostAlive(neighbors.take(addr)); !entry.MAC.IsZero() && entry.isCurrent(cfg.ForgetAfter) && scope.Contains(addr) {
			rank |= entry.rank()
		}
		if rank != 0 {
			ranked = append(ranked, rankedAddr{addr, rank})
		}
	}
	if flows != nil {
		ranked = addEnds(ranked, flows)
	}
	if len(ranked) > cfg.MaxClients {
		slices.SortFunc(ranked, func(a, b rankedAddr) int {
			return cmp.Or(cmp.Compare(b.rank, a.rank), a.addr.Compare(b.addr))
		})
		ranked = ranked[:cfg.MaxClients]
	}
	addrs := make([]netip.Addr, len(ranked))
	for i, r := range ranked {
		addrs[i] = r.addr
	}
	return addrs
}

// rank returns what a neighbour entry weighs.
func (n *NeighborEntry) rank() int {
	switch {
	case n.State&confirmed != 0:
		return isConfirmed | isNeighbor
	case n.State&Stale != 0:
		return isNeighbor
	default:
		return 0
	}
}

// addEnds adds the ends of flows to addresses that are sorted.
func addEnds(ranked []rankedAddr, flows *TrackedFlows) []rankedAddr {
	known := len(ranked)
	for addr := range flows.Active {
		i, found := slices.BinarySearchFunc(ranked[:known], addr, func(r rankedAddr, a netip.Addr) int { return r.addr.Compare(a) })
		if found {
			ranked[i].rank |= isEnd
		} else {
			ranked = append(ranked, rankedAddr{addr, isEnd})
		}
	}
	return ranked
}
