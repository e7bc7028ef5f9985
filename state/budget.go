package state

import (
	"slices"
	"time"
)

// HeldFlows gives the counts of flows that this run is to publish again, nil if
// it is to count anew. A count whose cost fits in the budget of one interval is
// made at every run; a dearer one is spread out, so that over the time since the
// last one its cost stays within the budget.
//
// What one run counted holds for the next ones of the same boot, whoever starts
// them, for as long as clients are looked for in the same networks. A change of
// the budget or the interval takes effect at once. A source that failed left no
// counts: it is asked again.
func (l *Ledger) HeldFlows(now Instant, scope Scope, cfg Config) *Flows {
	switch f := l.Flows; {
	case f == nil, l.Boot != now.Boot, now.Uptime < f.Uptime:
	case !slices.Equal(l.Networks, scope.Networks):
		// Who was no client then was not counted.
	case cfg.affords(f.Cost, max(cfg.Interval, now.Uptime-f.Uptime)):
	default:
		return f
	}
	return nil
}

// hold keeps the counts of flows if the next run may need them.
func (l *Ledger) hold(f *Flows, cfg Config) {
	l.Flows = nil
	if f != nil && !cfg.affords(f.Cost, cfg.Interval) {
		l.Flows = &Flows{Active: f.Active, Uptime: f.Uptime, Cost: f.Cost}
	}
}

// affords reports whether one count of flows may cost that much CPU time in that
// much time.
func (c Config) affords(cost, in time.Duration) bool {
	return cost.Seconds()*100 <= in.Seconds()*c.ConntrackBudget
}
