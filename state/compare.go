package state

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Config is what of the flags bears on what is true.
type Config struct {
	Interval     time.Duration // planned between two runs
	OnlineWindow time.Duration // how recent a sign of life has to be
	ForgetAfter  time.Duration // how long an absent client stays in the metrics
	ReverseDNS   bool          // whether DNS is asked for names that nobody else knows
}

// Compare works out what is true now, and what the next run has to know, from
// what the last one left and what this one saw. It changes neither.
func Compare(last *Ledger, now *Sample, scope Scope, cfg Config) (*Ledger, *Report) {
	next := last.open(now.Instant)
	next.Networks = scope.Networks

	var base *Mark
	if now.Accounting != nil {
		base = youngest(next.Marks, now.Uptime-cfg.Interval/2)
		next.count(now.Accounting.Counters)
		next.mark(base)
	}
	entries := next.meet(now.LAN, scope)
	report := &Report{
		Instant:    now.Instant,
		Rates:      base != nil,
		Presence:   now.LAN != nil,
		Accounting: now.Accounting,
		Conntrack:  now.Conntrack,
		Resets:     next.Resets,
		Probes:     now.Probes,
		Changes:    next.blame(now.Probes),
	}
	next.claim()
	next.noteAsked(now.Asked)
	names := newNamer(next, now.Names, cfg)
	for addr, c := range next.Clients {
		if !cfg.shows(addr, c, scope, now.Wall) {
			continue
		}
		r := ClientReport{
			Addr:      addr,
			MAC:       c.MAC,
			Interface: c.Interface,
			Total:     c.Total,
			Online:    c.online(entries[addr], now.Uptime, cfg.OnlineWindow),
			Seen:      c.Seen,
		}
		r.Name, r.NameSource = names.name(addr, c.MAC)
		if base != nil {
			r.Rate = base.rate(addr, c.Total, now.Uptime)
		}
		if now.Conntrack != nil {
			r.Active = now.Conntrack.Active[addr]
		}
		report.Clients = append(report.Clients, r)
	}
	slices.SortFunc(report.Clients, func(a, b ClientReport) int { return a.Addr.Compare(b.Addr) })
	next.remember(names.news, report.Clients)
	return next, report
}

// shows tells whether a client is in the metrics.
func (cfg Config) shows(addr netip.Addr, c Client, scope Scope, now time.Time) bool {
	return scope.Contains(addr) && now.Sub(c.lastMet()) <= cfg.ForgetAfter
}

// open starts the next ledger with what of the last one still holds. Counters
// and the clock start anew with a boot; in another time namespace it is the
// clock alone.
func (l *Ledger) open(now Instant) *Ledger {
	next := &Ledger{
		Instant: now,
		Clients: maps.Clone(l.Clients),
		Marks:   l.Marks,
		Resets:  l.Resets,
		Faults:  l.Faults,
		Names:   l.Names,
		Asked:   l.Asked,
	}
	if next.Clients == nil {
		next.Clients = make(map[netip.Addr]Client)
	}
	if l.Boot == now.Boot && l.Uptime <= now.Uptime {
		return next
	}
	next.Marks, next.Asked = nil, nil
	for addr, c := range next.Clients {
		c.Moved = [2]time.Duration{}
		if l.Boot != now.Boot {
			c.Counted = [2][]Reading{}
		}
		next.Clients[addr] = c
	}
	return next
}

// count takes all counters of a sample into the clients' totals.
func (l *Ledger) count(counters []Counter) {
	type key struct {
		addr netip.Addr
		dir  Direction
	}
	byClient := make(map[key][]Reading, len(counters))
	for _, c := range counters {
		k := key{c.Addr, c.Direction}
		byClient[k] = append(byClient[k], c.Reading)
		if _, met := l.Clients[c.Addr]; !met {
			l.Clients[c.Addr] = Client{Since: l.Wall}
		}
	}
	var anyReset bool
	for addr, c := range l.Clients {
		for _, d := range [...]Direction{Rx, Tx} {
			readings := byClient[key{addr, d}]
			slices.SortFunc(readings, func(a, b Reading) int { return compareIDs(a.ID, b.ID) })
			moved, reset := c.count(d, readings)
			anyReset = anyReset || reset
			if moved && len(l.Marks) > 0 {
				// Without an earlier sample it is unknown when it moved.
				c.Moved[d] = l.Uptime
			}
		}
		if c.Moved[Tx] == l.Uptime {
			c.Seen = l.Wall
		}
		l.Clients[addr] = c
	}
	if anyReset {
		l.Resets++
	}
}

// meet enters the neighbours who are clients, and gives each address's entry.
func (l *Ledger) meet(lan *Neighborhood, scope Scope) map[netip.Addr]NeighborEntry {
	if lan == nil {
		return nil
	}
	entries := make(map[netip.Addr]NeighborEntry, len(lan.Neighbors))
	for _, n := range lan.Neighbors {
		// An address that several interfaces know is where it is most alive.
		if other, ok := entries[n.Addr]; !ok || compareLiveness(n, other) > 0 {
			entries[n.Addr] = n
		}
	}
	for addr, n := range entries {
		if n.MAC.IsZero() || !scope.Contains(addr) {
			continue
		}
		c, met := l.Clients[addr]
		if !met {
			c.Since = l.Wall
		}
		c.MAC, c.Interface = n.MAC, n.Interface
		if seen := n.seen(l.Wall); seen.After(c.Seen) || c.Seen.After(l.Wall) {
			c.Seen = seen
		}
		l.Clients[addr] = c
	}
	return entries
}

// blame remembers which sources fail, and gives the probes that are news.
func (l *Ledger) blame(probes []Probe) []Probe {
	var news []Probe
	faults := make(map[Source]string)
	for _, p := range probes {
		if p.Err != nil {
			faults[p.Source] = p.Err.Error()
		}
		if faults[p.Source] != l.Faults[p.Source] {
			news = append(news, p)
		}
	}
	l.Faults = faults
	return news
}

// lastMet is the last sign of life, or of having been configured.
func (c Client) lastMet() time.Time {
	if c.Seen.After(c.Since) {
		return c.Seen
	}
	return c.Since
}

func compareIDs(a, b CounterID) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Object, b.Object))
}
