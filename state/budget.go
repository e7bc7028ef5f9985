package state

import (
	"slices"
	"time"
)

// maxFlowsAge is the longest time between two dumps of the layout flows: an entry
// in the state CLOSE lives for ten seconds (nf_conntrack_tcp_timeout_close).
const maxFlowsAge = 8 * time.Second

// HeldFlows returns the counts of flows that this run is to publish again, nil if
// it is to count anew. A dump whose cost fits in the budget of one interval is
// made at every run; a dearer one is spread out, so that over the time since the
// last one its cost stays within the budget; in the layout flows no further than
// maxFlowsAge.
//
// What one run counted holds for the next ones of the same boot, whoever starts
// them, for as long as clients are looked for in the same networks. A change of
// the budget, the interval or the layout takes effect at once. A source that failed
// left no counts: it is asked again.
func (l *Ledger) HeldFlows(now Instant, scope Scope, cfg Config) *TrackedFlows {
	f := l.Flows
	if (l.LastReadings.Layout == Flows) != (cfg.Accounting == Flows) {
		return nil // what flows moved counts for the last time, or from now on
	}
	if f == nil || l.Boot != now.Boot || now.Uptime < f.Uptime || !slices.Equal(l.Networks, scope.Networks) {
		return nil
	}
	age := now.Uptime - f.Uptime
	if cfg.affords(f.Cost, max(cfg.Interval, age)) || cfg.Accounting == Flows && age+cfg.Interval > maxFlowsAge {
		return nil
	}
	return f
}

// holdFlows keeps the counts of flows if the next run may need them.
func (l *Ledger) holdFlows(f *TrackedFlows, cfg Config) {
	l.Flows = nil
	if f != nil && !cfg.affords(f.Cost, cfg.Interval) {
		l.Flows = &TrackedFlows{Active: f.Active, Uptime: f.Uptime, Cost: f.Cost}
	}
}

// affords reports whether one count of flows may cost that much CPU time in that
// much time.
func (c Config) affords(cost, in time.Duration) bool {
	return cost.Seconds()*100 <= in.Seconds()*c.ConntrackBudget
}
