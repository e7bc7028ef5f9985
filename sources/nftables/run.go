package nftables

import (
	"slices"

	"network-metrics-exporter/state"
)

// run is one Account: it is tried until nothing of the ruleset is missing and
// nothing changed while it was looked at.
type run struct {
	k    kernel
	plan Plan

	changed  *ruleset // what the latest change of ours was made to
	next     uint32   // the generation that it made
	made     []state.CounterID
	repaired bool
	replaced []state.Counter
	sets     map[state.CounterID]setCounters // read as a whole

	accounting *state.Accounting
	generation uint32 // that it was read from
	counted    []countedSet
}

func (r *run) try(generation uint32) error {
	s, err := survey(r.k, generation)
	if err != nil {
		return err
	}
	if r.changed != nil && r.next == generation {
		// Nobody else changed anything: what is new is ours.
		before := r.changed.objects()
		for _, id := range s.objects() {
			if _, there := slices.BinarySearchFunc(before, id, state.CounterID.Compare); !there {
				r.made = append(r.made, id)
			}
		}
	}
	r.changed = nil
	c, err := changes(r.k, s, r.plan)
	if err != nil {
		return err
	}
	if len(c.changes) == 0 {
		return r.read(s, c.full)
	}
	next, err := c.commit(r.k, generation)
	if err != nil {
		return err
	}
	if r.next == 0 { // else it was this run
		r.made = append(r.made, c.made...)
	}
	r.changed, r.next = s, next
	r.replaced = merge(r.replaced, c.replaced)
	r.repaired = r.repaired || c.restored || r.plan.lacks(s.fixedObjects())
	return nil // to be looked at again
}

// lacks reports whether anything that the last run left is not there, and is to be.
func (p Plan) lacks(objects []state.CounterID) bool {
	if (p.Last.Layout == state.Rules) != (p.Layout == state.Rules) {
		return false
	}
	return slices.ContainsFunc(p.Last.Objects, func(id state.CounterID) bool {
		_, there := slices.BinarySearchFunc(objects, id, state.CounterID.Compare)
		return !there
	})
}

// read reads the counters of a ruleset in which nothing is missing.
func (r *run) read(s *ruleset, full bool) error {
	a, sets, err := readCounters(r.k, s, r.plan, r.sets)
	if err != nil {
		return err
	}
	slices.SortFunc(r.made, state.CounterID.Compare)
	a.Made, a.Repaired, a.Full = slices.Compact(r.made), r.repaired, a.Full || full
	a.ReplacedCounters = r.replaced
	r.accounting, r.generation, r.counted = a, s.generation, sets
	return nil
}

// change is what has to be done to a ruleset, and what that means.
type change struct {
	batch
	replaced []state.Counter   // those that are taken away, sorted
	made     []state.CounterID // what a run made that ended before it took the former layout away
	restored bool              // a client's rule was there in the last run
	full     bool              // not every client gets a rule
}

// changes works out what of a plan is missing, and reads the counters that are to
// be taken away.
//
// One layout takes over from the other in one transaction: no packet that comes
// before or after it is counted by both, or by neither. It leaves the counters of the
// former one, which are read when they count no more; the next transaction takes them
// away. If the run ends between the two, the next one goes on from there.
func changes(k kernel, s *ruleset, p Plan) (*change, error) {
	c := &change{}
	if p.Layout == state.Off {
		return c, nil
	}
	if err := s.checkOwner(p); err != nil {
		return nil, err
	}
	if p.Layout == state.Rules {
		return c, c.toRules(k, s, p)
	}
	return c, c.toSets(k, s, p)
}

func (c *change) toRules(k kernel, s *ruleset, p Plan) error {
	repair, err := planRules(k, s.filter, p)
	if err != nil {
		return err
	}
	c.full, c.restored = repair.full, repair.restored
	c.repairRules(s.filter, repair, p.Owner)
	if err := c.checkOwned(s.filter); err != nil {
		return err
	}
	if c.stopSets(s.own) {
		return nil
	}
	before := len(c.changes)
	c.removeSets(s.own)
	if len(c.changes) == before {
		return nil
	}
	a, _, err := readSets(k, s.own, p.Last, nil)
	if err != nil {
		return err
	}
	c.replaces(a.Counters, s, p)
	return nil
}

// replaces takes down the counters of the former layout. If the last run read them,
// what is there of the new one has been made since.
func (c *change) replaces(counters []state.Counter, s *ruleset, p Plan) {
	c.replaced = merge(c.replaced, counters)
	if slices.ContainsFunc(counters, func(former state.Counter) bool {
		_, read := slices.BinarySearchFunc(p.Last.Counters, former, state.Counter.Compare)
		return read
	}) {
		c.made = s.ownObjects()
	}
}

func (c *change) toSets(k kernel, s *ruleset, p Plan) error {
	if err := checkSets(s.own); err != nil {
		return err
	}
	repair := planSets(s.own, p)
	c.repairSets(s.own, repair, p.Clients)
	if err := c.checkOwned(s.own); err != nil {
		return err
	}
	stopped, err := c.stopRules(k, s.filter)
	if err != nil {
		return err
	}
	if !stopped {
		c.removeRules(s.filter)
	}
	if len(c.changes) == 0 {
		return nil
	}
	if c.replaced, err = repair.replaced(k, s.own, p.Last); err != nil || stopped {
		return err
	}
	c.replaces(s.filter.ruleCounters(s.filter.ownRules()), s, p)
	return nil
}
