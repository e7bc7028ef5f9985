package state

import (
	"cmp"
	"errors"
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
	MaxClients   int           // how many clients have series of their own; the smallest beyond it share one
	ReverseDNS   bool          // whether DNS is asked for names that nobody else knows
	// ConntrackBudget is what counting flows may cost, in percent of one core.
	ConntrackBudget float64
	Accounting      Layout
	PeriodStart     int // day of the month, from 1 to 31
	// CheckpointInterval is the time between two ledgers that reach the disk; 0:
	// every one does.
	CheckpointInterval time.Duration
}

// Overdue is the age beyond which the last sample is too old to tell of now: ten
// intervals.
func (c Config) Overdue() time.Duration { return 10 * c.Interval }

// Compare works out what is true now, and what the next run has to know, from
// what the last one left and what this one saw. It changes neither.
func Compare(last *Ledger, now *Sample, scope Scope, cfg Config) (*Ledger, *Report) {
	next := last.open(now.Instant)
	next.Networks = scope.Networks
	next.hold(now.Conntrack, cfg)

	var moved map[netip.Addr][2]Traffic
	if now.Accounting != nil {
		moved = next.count(now.Accounting)
	}
	entries := next.meet(now.LAN, scope)
	shown := next.shown(moved, scope, cfg)
	next.book(moved, shown, scope)
	if last.Ceilings {
		next.settle(last, now.Accounting != nil, shown)
	}
	next.bound(maxClients, shown)
	base := -1
	if now.Accounting != nil {
		base = next.youngest(now.Uptime - cfg.Interval/2)
		next.slide(base)
	}

	report := &Report{
		Instant:    now.Instant,
		Rates:      base >= 0,
		Presence:   now.LAN != nil,
		Accounting: now.Accounting,
		Conntrack:  now.Conntrack,
		Resets:     next.Resets,
		Losses:     next.Losses,
		Probes:     now.Probes,
		Changes:    next.blame(now),
		Clients:    make([]ClientReport, 0, len(shown)),
	}
	rate := func(t *Tally) (bps [2]float64) {
		if base >= 0 {
			bps = t.rate(base, now.Uptime-next.Marks[base])
		}
		return bps
	}
	next.claim()
	next.noteAsked(now.Asked)
	names := newNamer(next, now.Names, cfg)
	for _, addr := range shown {
		c := next.Clients[addr]
		r := ClientReport{
			Addr:      addr,
			MAC:       c.MAC,
			Interface: c.Interface,
			Total:     c.Published(),
			Rate:      rate(&c.Tally),
			Online:    c.online(entries[addr], now.Uptime, cfg.OnlineWindow),
			Seen:      c.Seen,
		}
		r.Peak, r.Average = next.overWindow(c)
		r.Name, r.NameSource = names.name(addr, c.MAC)
		if now.Conntrack != nil {
			r.Active = now.Conntrack.Active[addr]
		}
		report.Clients = append(report.Clients, r)
	}
	next.remember(names.news, report.Clients)
	if total := next.Other.Published(); total != ([2]Traffic{}) {
		report.Other = &OtherReport{Total: total, Rate: rate(&next.Other)}
	}
	if now.Accounting != nil {
		report.Idle = next.idle(now.Accounting, cfg.ForgetAfter)
		next.mark(base)
	}
	return next, report
}

// open starts the next ledger with what of the last one still holds. Counters
// and the clock start anew with a boot; in another time namespace it is the
// clock alone.
func (l *Ledger) open(now Instant) *Ledger {
	next := *l
	next.Run++
	next.Instant, next.Renamed = now, false
	next.Clients = maps.Clone(l.Clients)
	if next.Clients == nil {
		next.Clients = make(map[netip.Addr]Client)
	}
	if l.Boot == now.Boot && l.Uptime <= now.Uptime {
		return &next
	}
	next.Opened, next.Marks, next.Buckets, next.Asked = now.Uptime, nil, nil, nil
	for addr, c := range next.Clients {
		c.Moved = [2]time.Duration{}
		c.Bursts = nil
		if l.Boot != now.Boot {
			c.Counted = [2][]Reading{}
		}
		next.Clients[addr] = c
	}
	return &next
}

// count takes in all counters of a sample and gives what each address has moved
// since the last one.
func (l *Ledger) count(accounting *Accounting) map[netip.Addr][2]Traffic {
	counters, replaced := accounting.Counters, l.Layout != "" && l.Layout != accounting.Layout
	if replaced {
		counters = accounting.Retired
	}
	moved := make(map[netip.Addr][2]Traffic, len(l.Clients))
	var anyReset bool
	for addr, now := range l.readings(counters) {
		c := l.Clients[addr]
		var m [2]Traffic
		for d := range now {
			var reset bool
			m[d], reset = c.count(Direction(d), now[d])
			anyReset = anyReset || reset
			if m[d] != (Traffic{}) && len(l.Marks) > 0 {
				// Without an earlier sample it is unknown when it moved.
				c.Moved[d] = l.Uptime
			}
		}
		if c.Moved[Tx] == l.Uptime {
			c.Seen = l.Wall
		}
		if m != ([2]Traffic{}) {
			moved[addr] = m
		}
		l.Clients[addr] = c
	}
	if replaced {
		// Those of the new layout may have counted the same packets all along:
		// only what comes from now on is new. None was lost with the old ones.
		anyReset = false
		for addr, now := range l.readings(accounting.Counters) {
			c := l.Clients[addr]
			c.Counted = now
			l.Clients[addr] = c
		}
	}
	l.Layout = accounting.Layout
	for addr, c := range l.Clients {
		ruled := l.Layout == Rules && len(c.Counted[Rx])+len(c.Counted[Tx]) > 0
		sent := moved[addr][Tx].Packets > 0 || slices.ContainsFunc(c.Counted[Tx], func(r Reading) bool { return r.Packets > 0 })
		if c.Since.IsZero() && (ruled || sent) {
			c.Since = l.Wall
			l.Clients[addr] = c
		}
	}
	if anyReset {
		l.Resets++
	}
	return moved
}

// readings sorts counters by address and direction, and by ID. Every client of
// the ledger has readings, if only none, and whoever has a counter is entered
// there.
func (l *Ledger) readings(counters []Counter) map[netip.Addr][2][]Reading {
	readings := make(map[netip.Addr][2][]Reading, len(l.Clients))
	for addr := range l.Clients {
		readings[addr] = [2][]Reading{}
	}
	for _, c := range counters {
		if _, known := readings[c.Addr]; !known {
			l.Clients[c.Addr] = Client{}
		}
		r := readings[c.Addr]
		r[c.Direction] = append(r[c.Direction], c.Reading)
		readings[c.Addr] = r
	}
	for _, r := range readings {
		for d := range r {
			slices.SortFunc(r[d], func(a, b Reading) int { return compareIDs(a.ID, b.ID) })
		}
	}
	return readings
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
		c := l.Clients[addr]
		if c.Since.IsZero() {
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

// shown gives the clients that have series of their own, in the order of their
// addresses: those that moved most, ever, if they are more than may have.
func (l *Ledger) shown(moved map[netip.Addr][2]Traffic, scope Scope, cfg Config) []netip.Addr {
	shown := make([]netip.Addr, 0, len(l.Clients))
	for addr, c := range l.Clients {
		if !c.Since.IsZero() && l.Wall.Sub(c.lastMet()) <= cfg.ForgetAfter && scope.Contains(addr) {
			shown = append(shown, addr)
		}
	}
	if len(shown) > cfg.MaxClients {
		size := make(map[netip.Addr]uint64, len(shown))
		for _, addr := range shown {
			c := l.Clients[addr]
			all := Traffic{Bytes: c.Folded}
			for d := range c.Total {
				all = all.plus(c.Total[d]).plus(moved[addr][d])
			}
			size[addr] = all.Bytes
		}
		slices.SortFunc(shown, func(a, b netip.Addr) int {
			return cmp.Or(cmp.Compare(size[b], size[a]), a.Compare(b))
		})
		shown = shown[:cfg.MaxClients]
	}
	slices.SortFunc(shown, netip.Addr.Compare)
	return shown
}

// book puts what was moved on the totals: on a client's own if that is in the
// metrics, else on the one of all others, so that no byte is in two series.
// Addresses that can be no client's have a total that nobody sees.
func (l *Ledger) book(moved map[netip.Addr][2]Traffic, shown []netip.Addr, scope Scope) {
	for addr, m := range moved {
		c := l.Clients[addr]
		_, own := slices.BinarySearchFunc(shown, addr, netip.Addr.Compare)
		if own || !scope.Contains(addr) {
			c.add(m)
		} else {
			l.Other.add(m)
			c.Folded = Traffic{Bytes: c.Folded}.plus(m[Rx]).plus(m[Tx]).Bytes
		}
		l.Clients[addr] = c
	}
}

// idle gives the counters that have counted nothing for longer than after:
// rules only once their client is gone as well, as it would have them again.
func (l *Ledger) idle(accounting *Accounting, after time.Duration) []Counter {
	var idle []Counter
	for _, counter := range accounting.Counters {
		c := l.Clients[counter.Addr]
		moved := c.Moved[counter.Direction]
		if accounting.Layout == Rules {
			moved = max(c.Moved[Rx], c.Moved[Tx])
			if l.Wall.Sub(c.lastMet()) <= after {
				continue
			}
		}
		if l.Uptime-max(moved, l.Opened) > after {
			idle = append(idle, counter)
		}
	}
	return idle
}

// Forget takes note that counters were deleted, so that nobody misses them.
func (l *Ledger) Forget(counters []Counter) {
	for _, counter := range counters {
		c := l.Clients[counter.Addr]
		c.Counted[counter.Direction] = slices.DeleteFunc(slices.Clone(c.Counted[counter.Direction]),
			func(r Reading) bool { return r.ID == counter.ID })
		if c.Since.IsZero() && len(c.Counted[Rx])+len(c.Counted[Tx]) == 0 {
			delete(l.Clients, counter.Addr) // it never was a client
		} else {
			l.Clients[counter.Addr] = c
		}
	}
}

// blame remembers what fails, and gives the probes that are news.
func (l *Ledger) blame(now *Sample) []Probe {
	probes := now.Probes
	if now.Accounting != nil {
		probes = append(slices.Clone(probes), Probe{Source: coverage, Err: now.Accounting.gaps()})
	}
	var news []Probe
	faults := maps.Clone(l.Faults)
	if faults == nil {
		faults = make(map[Source]string)
	}
	for _, p := range probes {
		delete(faults, p.Source)
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

// coverage stands among the sources for the accounting as a whole: it fails
// where counters that can be read do not count everything.
const coverage Source = "accounting"

// gaps tells what goes uncounted, nil if nothing does.
func (a *Accounting) gaps() error {
	switch {
	case a.Flowtable && a.Full:
		return errors.New("a flowtable lets packets pass uncounted, and a set has no room for new clients")
	case a.Flowtable:
		return errors.New("a flowtable lets packets pass uncounted: take it out of the ruleset, or the devices out of it")
	case a.Full:
		return errors.New("a set has no room for new clients, which go uncounted: somebody scans or spoofs addresses")
	default:
		return nil
	}
}

func compareIDs(a, b CounterID) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Object, b.Object))
}
