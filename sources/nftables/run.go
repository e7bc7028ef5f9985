package nftables

import (
	"slices"

	"network-metrics-exporter/state"
)

// run is one Account: it is tried until nothing of the ruleset is missing and
// nothing changed while it was read.
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
	b, replaced, full, err := changes(r.k, s, r.plan)
	if err != nil {
		return err
	}
	if len(b.changes) > 0 {
		return r.change(s, b, replaced)
	}
	return r.read(s, full)
}

// change makes changes, after which everything is looked at again.
func (r *run) change(s *ruleset, b *batch, replaced []state.Counter) error {
	next, err := b.commit(r.k, s.generation)
	if err != nil {
		return err
	}
	r.changed, r.next = s, next
	r.replaced = append(r.replaced, replaced...)
	r.repaired = r.repaired || r.plan.lacks(s.objects())
	return nil
}

// lacks reports whether anything that earlier runs left is not there.
func (p Plan) lacks(objects []state.CounterID) bool {
	return slices.ContainsFunc(p.Last.Objects, func(id state.CounterID) bool {
		_, there := slices.BinarySearchFunc(objects, id, state.CounterID.Compare)
		return !there
	})
}

// changes works out what of a plan is missing, and reads the counters that are
// taken away. Full: not every client gets a rule.
func changes(k kernel, s *ruleset, p Plan) (b *batch, replaced []state.Counter, full bool, err error) {
	b = &batch{}
	if p.Layout == state.Off {
		return b, nil, false, nil
	}
	if err := s.checkOwner(p); err != nil {
		return nil, nil, false, err
	}
	if p.Layout == state.Rules {
		replaced, full, err = b.changeToRules(k, s, p)
	} else {
		replaced, err = b.changeToSets(k, s, p)
	}
	return b, replaced, full, err
}

func (b *batch) changeToRules(k kernel, s *ruleset, p Plan) (replaced []state.Counter, full bool, err error) {
	repair, err := planRules(k, s.filter, p)
	if err != nil {
		return nil, false, err
	}
	err = b.change(s.filter, func() { b.repairRules(s.filter, repair, p.Owner) })
	if err != nil {
		return nil, false, err
	}
	before := len(b.changes)
	if err := b.change(s.own, func() { b.removeSets(s.own) }); err != nil {
		return nil, false, err
	}
	if len(b.changes) > before {
		var a *state.Accounting
		if a, _, err = readSets(k, s.own, p.Last, nil); err == nil {
			replaced = a.Counters
		}
	}
	return replaced, repair.full, err
}

func (b *batch) changeToSets(k kernel, s *ruleset, p Plan) (replaced []state.Counter, err error) {
	if err := checkSets(s.own); err != nil {
		return nil, err
	}
	repair := planSets(s.own, p)
	if err := b.change(s.own, func() { b.repairSets(s.own, repair, p.Clients) }); err != nil {
		return nil, err
	}
	if len(b.changes) > 0 {
		if replaced, err = repair.replaced(k, s.own, p.Last); err != nil {
			return nil, err
		}
	}
	if err := b.change(s.filter, func() { b.removeRules(s.filter) }); err != nil {
		return nil, err
	}
	return merge(replaced, s.filter.ruleCounters(s.filter.ownRules())), nil
}

// read reads the counters of a ruleset in which nothing is missing.
func (r *run) read(s *ruleset, full bool) error {
	if r.sets == nil {
		r.sets = make(map[state.CounterID]setCounters)
	}
	a, sets, err := readCounters(r.k, s, r.plan, r.sets)
	if err != nil {
		return err
	}
	slices.SortFunc(r.made, state.CounterID.Compare)
	a.Made, a.Repaired, a.Full = r.made, r.repaired, a.Full || full
	a.ReplacedCounters = r.replaced
	r.accounting, r.generation, r.counted = a, s.generation, sets
	return nil
}
