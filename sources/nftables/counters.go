package nftables

import (
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// readCounters reads the counters of the layout that a plan wants or, if it wants
// none, of the one that is there.
func readCounters(k kernel, s *ruleset, p Plan, done map[state.CounterID]setCounters) (*state.Accounting, []countedSet, error) {
	var a *state.Accounting
	var sets []countedSet
	_, hasRules := s.filter.chains[trafficChain]
	switch {
	case p.Layout == state.Rules, p.Layout == state.Off && hasRules:
		a = &state.Accounting{Layout: state.Rules, Counters: s.filter.ruleCounters(s.filter.rules[trafficChain])}
		if p.Layout == state.Rules {
			a.Foreign = s.filter.foreignCounters()
		}
	case p.Layout == state.Off && !s.own.hasClientSet():
		return nil, nil, errNoChain
	default:
		var err error
		if a, sets, err = readSets(k, s.own, p.Last, done); err != nil {
			return nil, nil, err
		}
	}
	a.Objects = s.fixedObjects()
	a.Flowtable = s.flowtableUse()
	return a, sets, nil
}

// foreignCounters returns the rules that count a client and are not ours, sorted.
func (c contents) foreignCounters() []state.CounterID {
	ours := make(map[uint64]bool)
	for _, r := range c.ownRules() {
		ours[r.handle] = true
	}
	var ids []state.CounterID
	for _, counter := range c.ruleCounters(c.rules[trafficChain]) {
		if !ours[counter.ID.Object] {
			ids = append(ids, counter.ID)
		}
	}
	slices.SortFunc(ids, state.CounterID.Compare)
	return ids
}

// readSets reads the client sets and the counters beside them. Done has the sets
// that were read already, and gets the others: because the ruleset changed after a
// set was read as a whole, it need not be read again. So the ruleset has to be
// quiet for no longer than it takes to read one set, or to look at what there is.
func readSets(k kernel, own contents, last *state.Accounting, done map[state.CounterID]setCounters) (*state.Accounting, []countedSet, error) {
	var sets []countedSet
	var full bool
	var all, local [][]state.Counter
	for _, c := range clientSets() {
		s, ok := own.sets[c.name]
		if !ok || !c.fits(s) {
			continue
		}
		id := own.id(s.handle)
		read, isRead := done[id]
		if !isRead {
			var err error
			if read, err = own.readSet(k, c, last); err != nil {
				return nil, nil, err
			}
			if done != nil {
				done[id] = read
			}
		}
		sets = append(sets, countedSet{c, read, id, int(s.size)})
		full = full || s.size > 0 && read.elements() >= int(s.size)
		if c.local {
			local = append(local, read.counters)
		} else {
			all = append(all, read.counters)
		}
	}
	for _, name := range setChains() {
		if others, isLocal := own.otherCounters(name); isLocal {
			local = append(local, others)
		} else {
			all = append(all, others)
		}
	}
	return &state.Accounting{
		Layout: own.layout(), LocalKnown: true, Full: full, Counters: merge(all...), Local: merge(local...),
	}, sets, nil
}

// layout tells the two layouts with sets apart.
func (c contents) layout() state.Layout {
	if slices.ContainsFunc(c.ourRules(trafficChain), func(r rule) bool { return r.conntrack }) {
		return state.Flows
	}
	return state.Sets
}

// merge returns the counters of lists that are sorted, sorted.
func merge(lists ...[]state.Counter) []state.Counter {
	n := 0
	for _, l := range lists {
		n += len(l)
	}
	lists = slices.DeleteFunc(lists, func(l []state.Counter) bool { return len(l) == 0 })
	merged := make([]state.Counter, 0, n)
	for len(lists) > 0 {
		least := 0
		for i := range lists[1:] {
			if lists[1+i][0].Compare(lists[least][0]) < 0 {
				least = 1 + i
			}
		}
		merged = append(merged, lists[least][0])
		if lists[least] = lists[least][1:]; len(lists[least]) == 0 {
			lists = slices.Delete(lists, least, least+1)
		}
	}
	return merged
}

// readSet reads the counters of one client set.
func (c contents) readSet(k kernel, of clientSet, last *state.Accounting) (setCounters, error) {
	s := c.sets[of.name]
	template := state.Counter{Direction: of.direction, ID: c.id(s.handle)}
	known := last.Counters
	if of.local {
		known = last.Local
	}
	return readSet(k, ownTable, template, s, known)
}

// otherCounters returns what the rules of a chain count, sorted, and whether they
// count only what the networks exchange with each other.
func (c contents) otherCounters(chain string) (counters []state.Counter, local bool) {
	direction := state.Tx
	switch chain {
	case receivedChain, localReceivedChain:
		direction = state.Rx
	}
	for _, r := range c.ourRules(chain) {
		if r.counts {
			counters = append(counters, state.Counter{Direction: direction, ID: c.id(r.handle), Traffic: r.traffic})
		}
	}
	return counters, chain == localSentChain || chain == localReceivedChain
}

// countedSet is a client set that was read.
type countedSet struct {
	clientSet
	setCounters
	id   state.CounterID
	size int // 0: it takes any number of elements
}

// addToSets adds elements for clients that have none, as far as there is room. It
// is no error if somebody else took it meanwhile: the next run tries again.
func addToSets(k kernel, generation uint32, sets []countedSet, clients []netip.Addr) error {
	var b batch
	for _, s := range sets {
		lacking := s.lacking(clients, s.family)
		b.addClients(s.clientSet, 0, lacking[:min(len(lacking), max(0, s.size-s.elements()))])
	}
	_, err := b.commit(k, generation)
	if errors.Is(err, errOvertaken) || errors.Is(err, unix.ENFILE) {
		return nil
	}
	return err
}
