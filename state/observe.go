package state

import (
	"net/netip"
	"slices"
)

// cursor goes through values that are sorted by address.
type cursor[T any] struct {
	rest []T
	addr func(*T) netip.Addr
}

// least returns the lower one of an address and that of the next value. ok tells
// whether there is one at all.
func (c *cursor[T]) least(addr netip.Addr, ok bool) (netip.Addr, bool) {
	if len(c.rest) == 0 {
		return addr, ok
	}
	if next := c.addr(&c.rest[0]); !ok || next.Less(addr) {
		return next, true
	}
	return addr, ok
}

// pass passes over the values of addresses that are lower than that.
func (c *cursor[T]) pass(addr netip.Addr) {
	for len(c.rest) > 0 && c.addr(&c.rest[0]).Less(addr) {
		c.rest = c.rest[1:]
	}
}

// take returns the next values if they are of that address.
func (c *cursor[T]) take(addr netip.Addr) []T {
	n := 0
	for n < len(c.rest) && c.addr(&c.rest[n]) == addr {
		n++
	}
	taken := c.rest[:n:n]
	c.rest = c.rest[n:]
	return taken
}

// sources are all values of a comparison, sorted by address.
type sources struct {
	clients             cursor[Client]
	before, counters    cursor[Counter]
	localBefore, locals cursor[Counter]
	flows               cursor[FlowTraffic]
	neighbors           cursor[NeighborEntry]
	peers               cursor[Peer]
	names               cursor[NameRecord]
}

func clientAddr(c *Client) netip.Addr          { return c.Addr }
func counterAddr(c *Counter) netip.Addr        { return c.Addr }
func neighborAddr(n *NeighborEntry) netip.Addr { return n.Addr }
func trafficAddr(f *FlowTraffic) netip.Addr    { return f.Addr }
func recordAddr(r *NameRecord) netip.Addr      { return r.Addr }

func (c *comparison) newSources() *sources {
	s := &sources{
		clients:     cursor[Client]{c.last.Clients, clientAddr},
		before:      cursor[Counter]{addr: counterAddr},
		counters:    cursor[Counter]{addr: counterAddr},
		localBefore: cursor[Counter]{addr: counterAddr},
		locals:      cursor[Counter]{addr: counterAddr},
		flows:       cursor[FlowTraffic]{addr: trafficAddr},
		neighbors:   cursor[NeighborEntry]{addr: neighborAddr},
		peers:       cursor[Peer]{addr: func(p *Peer) netip.Addr { return p.Addr }},
		names:       cursor[NameRecord]{c.directory.records, recordAddr},
	}
	if a := c.now.Accounting; a != nil {
		s.before.rest, s.localBefore.rest = c.before.Counters, c.before.Local
		s.counters.rest, s.locals.rest = a.Counters, a.Local
		if len(a.ReplacedCounters) > 0 {
			s.counters.rest = slices.SortedFunc(slices.Values(slices.Concat(a.ReplacedCounters, a.Counters)), Counter.Compare)
		}
		if c.now.Conntrack != nil {
			s.flows.rest = c.now.Conntrack.Traffic
		}
	}
	if lan := c.now.LAN; lan != nil {
		s.neighbors.rest, s.peers.rest = lan.Neighbors, lan.Peers
	}
	return s
}

// next returns the lowest address that any of the values has which make or keep a
// client, or that a counter counts.
func (s *sources) next() (addr netip.Addr, ok bool) {
	addr, ok = s.clients.least(addr, ok)
	addr, ok = s.before.least(addr, ok)
	addr, ok = s.counters.least(addr, ok)
	addr, ok = s.localBefore.least(addr, ok)
	addr, ok = s.locals.least(addr, ok)
	addr, ok = s.flows.least(addr, ok)
	addr, ok = s.neighbors.least(addr, ok)
	return s.peers.least(addr, ok)
}

// observe goes through all addresses once, in their order, and finds out what each
// has moved, whose it is and whether it is there.
func (c *comparison) observe() {
	s := c.newSources()
	c.observations = make([]observation, 0, len(c.last.Clients)+8)
	for addr, ok := s.next(); ok; addr, ok = s.next() {
		c.observeAddress(s, addr)
	}
	if c.anyReset && !c.replaced {
		c.next.Resets++
	}
}

// observeAddress finds out about one address.
func (c *comparison) observeAddress(s *sources, addr netip.Addr) {
	client, known := &c.newClient, false
	if last := s.clients.take(addr); len(last) > 0 {
		client, known = &last[0], true
	}
	s.names.pass(addr)
	before, counters := s.before.take(addr), s.counters.take(addr)
	haveBase := known || !addr.IsValid() && c.last.Run > 0
	o := observation{records: s.names.take(addr), delta: c.growth(before, counters, haveBase)}
	local := c.growth(s.localBefore.take(addr), s.locals.take(addr), haveBase)
	for _, f := range s.flows.take(addr) {
		o.delta, local = sum(o.delta, f.All), sum(local, f.Local)
	}
	entry := mostAlive(s.neighbors.take(addr))
	peers := s.peers.take(addr)

	if !known && c.scope.Contains(addr) {
		hasRule := c.counted && c.now.Accounting.Layout == Rules && len(counters) > 0 && len(before) == 0
		isPeer := len(peers) > 0 && peers[0].isConnected()
		hasSent := o.delta[Tx].Packets > 0 && c.keptSuspects < 2*c.cfg.MaxClients
		if !entry.MAC.IsZero() && entry.isCurrent(c.cfg.ForgetAfter) || hasRule || isPeer || hasSent {
			known, *client = true, Client{Addr: addr, Since: c.next.Steady}
		}
	}
	if known {
		c.updatePresence(client, &o, entry, peers)
		known = !c.isStale(client, &o)
	}
	if known {
		c.identify(client, &o, local, entry)
		if client.isSuspect() {
			c.keptSuspects++
		}
		c.keepClient(client, s.clients.rest)
		c.observations = append(c.observations, o)
	} else if !addr.IsValid() || c.scope.Contains(addr) {
		c.other = sum(c.other, o.delta)
		c.otherDevice.add(o.delta, local)
	}
}

// keepClient puts a client behind those of the next ledger. They take the places of
// those of the last one that have been read; once more have come than gone, they move
// to places of their own. rest are those of the last ledger that are still to be read.
func (c *comparison) keepClient(client *Client, rest []Client) {
	n := len(c.next.Clients)
	if clients := c.next.Clients; len(rest) > 0 && n < cap(clients) && &clients[:n+1][n] == &rest[0] {
		c.next.Clients = append(make([]Client, 0, n+len(rest)+8), clients...)
	}
	c.next.Clients = slices.Grow(c.next.Clients, 1)[:n+1]
	if place := &c.next.Clients[n]; place != client {
		*place = *client
	}
}

// growth returns what counters of one address, which are sorted by direction and
// ID, show beyond their last readings. A counter that is seen for the first time
// counts from zero, unless somebody else may have loaded it, with what it counted
// long ago, for an address that already has a total.
func (c *comparison) growth(before, now []Counter, haveBase bool) (delta [2]Traffic) {
	for i := range now {
		r := &now[i]
		for len(before) > 0 && before[0].Compare(*r) < 0 {
			before, c.anyReset = before[1:], true
		}
		var base Traffic
		switch {
		case len(before) > 0 && before[0].Direction == r.Direction && before[0].ID == r.ID:
			base, before = before[0].Traffic, before[1:]
			if r.Bytes < base.Bytes || r.Packets < base.Packets {
				// Somebody zeroed it: what it shows has come since.
				base, c.anyReset = Traffic{}, true
			}
		case haveBase && c.isLoaded(r.ID):
			base = r.Traffic
		}
		delta[r.Direction] = delta[r.Direction].plus(r.Traffic.minus(base))
	}
	if len(before) > 0 {
		c.anyReset = true
	}
	return delta
}

// isLoaded reports whether somebody else may have put an object there, with
// counters that are not zero: neither this run made it nor did the last one read it,
// which knows of sets beside rules and reads the rules. Where the last ledger is
// lost, the run of that one most likely made it.
func (c *comparison) isLoaded(id CounterID) bool {
	if c.last.Recovered || c.cfg.Accounting == Off && !c.replaced || c.now.Accounting.IsMade(id) {
		return false
	}
	_, known := slices.BinarySearchFunc(c.before.Objects, id, CounterID.Compare)
	return !known || c.before.Layout == Rules
}

// updatePresence takes note of signs of life.
func (c *comparison) updatePresence(client *Client, o *observation, entry *NeighborEntry, peers []Peer) {
	now := c.next.Steady
	if !entry.MAC.IsZero() {
		client.MAC = entry.MAC
	}
	if entry.Interface != "" {
		client.Interface = entry.Interface
	}
	if ago, ok := entry.alive(); ok && !entry.MAC.IsZero() {
		client.see(now-ago, c.next)
	}
	if c.before.Layout != "" { // else it is not known when it was moved
		for d := range o.delta {
			if o.delta[d] != (Traffic{}) {
				client.LastActive[d] = now
			}
		}
		if client.LastActive[Tx] == now {
			client.see(now, c.next)
		}
	}
	client.Confirmed = client.Confirmed || o.delta[Rx].Packets > 0 || len(peers) > 0
	o.online = client.isOnline(entry, now, c.cfg.OnlineWindow)
	for i := range peers {
		client.Interface = peers[i].Interface
		if peers[i].Handshake >= 0 {
			client.see(now-peers[i].Handshake, c.next)
		}
		o.online = o.online || peers[i].isConnected()
	}
	client.correct(c.next, c.clockSet)
}

// mostAlive returns the neighbour entry of an address: of several, which are on as
// many interfaces, the one where it is most alive; of none, the zero entry.
func mostAlive(entries []NeighborEntry) *NeighborEntry {
	if len(entries) == 0 {
		return &NeighborEntry{}
	}
	best := &entries[0]
	for i := range entries[1:] {
		if n := &entries[1+i]; compareLiveness(n, best) > 0 {
			best = n
		}
	}
	return best
}
