package nftables

import (
	"net/netip"

	"github.com/google/nftables/expr"

	"network-metrics-exporter/state"
)

// The rules layout: a chain in the table that most firewalls are in, and a jump
// to it in front of theirs.
const (
	filterTable    = "filter"
	forwardChain   = "forward"
	trafficChain   = "CLIENT_TRAFFIC" // of the sets layout too
	filterPriority = 0
)

// place is for errors.
const place = "chain " + trafficChain + " in table inet " + filterTable

// client is whom a rule counts.
type client struct {
	addr      netip.Addr
	direction state.Direction
}

// repairRules puts in place what of the layout is missing.
func (b *batch) repairRules(filter contents, clients []netip.Addr) {
	if filter.table == nil {
		b.addTable(filterTable)
	}
	if _, ok := filter.chains[trafficChain]; !ok {
		b.addChain(filterTable, trafficChain)
	}
	if _, ok := filter.chains[forwardChain]; !ok {
		b.addForwardChain(filterTable, forwardChain, filterPriority)
	}
	b.repairJump(filter.rules[forwardChain])

	counted := make(map[client]bool)
	for _, r := range filter.rules[trafficChain] {
		if addr, d, ok := r.client(); ok {
			counted[client{addr, d}] = true
		}
	}
	for _, addr := range clients {
		for _, d := range []state.Direction{state.Tx, state.Rx} {
			c := client{addr, d}
			if counted[c] {
				continue
			}
			counted[c] = true
			b.addRule(filterTable, trafficChain, atEnd, markedData(clientComment(addr, d)),
				append(familyOf(addr).is(addr, d), &expr.Counter{})...)
		}
	}
}

// repairJump sees to it that one rule jumps to our chain: somebody else's where
// it stands, or else ours as the first.
func (b *batch) repairJump(rules []rule) {
	ours, theirs := jumps(rules)
	if len(theirs) == 0 && len(ours) == 1 && rules[0].handle == ours[0].handle {
		return
	}
	for _, r := range ours {
		b.deleteRule(filterTable, forwardChain, r)
	}
	if len(theirs) == 0 {
		b.addRule(filterTable, forwardChain, create, commentData(mark), &expr.Verdict{Kind: expr.VerdictJump, Chain: trafficChain})
	}
}

// jumps gives the rules that lead to our chain.
func jumps(rules []rule) (ours, theirs []rule) {
	for _, r := range rules {
		switch {
		case r.jump != trafficChain:
		case r.comment == mark:
			ours = append(ours, r)
		default:
			theirs = append(theirs, r)
		}
	}
	return ours, theirs
}

// ownRules gives the rules of the traffic chain that are ours: those that say so,
// and in a chain of ours all that count a client, as a ruleset that nft(8) saved
// and loaded has lost what they said.
func ownRules(filter contents) []rule {
	var own []rule
	for _, r := range filter.rules[trafficChain] {
		if _, _, ok := r.client(); ok && (r.marked || filter.chains[trafficChain].ours) {
			own = append(own, r)
		}
	}
	return own
}

// removeRules takes away what of the layout is there and ours.
func (b *batch) removeRules(filter contents) {
	deleted := 0 // chains
	jumping, _ := jumps(filter.rules[forwardChain])
	for _, r := range jumping {
		b.deleteRule(filterTable, forwardChain, r)
	}
	own := ownRules(filter)
	if c := filter.chains[trafficChain]; c.ours && int(c.use) == len(own)+len(jumping) {
		b.deleteChain(c)
		deleted++
	} else {
		for _, r := range own {
			b.deleteRule(filterTable, trafficChain, r)
		}
	}
	if c := filter.chains[forwardChain]; c.ours && int(c.use) == len(jumping) {
		b.deleteChain(c)
		deleted++
	}
	if filter.table != nil && filter.ours && int(filter.use) == deleted {
		b.deleteTable(filterTable)
	}
}

// ruleCounters gives what rules count, whoever made them.
func ruleCounters(filter contents, rules []rule) []state.Counter {
	var counters []state.Counter
	for _, r := range rules {
		if addr, d, ok := r.client(); ok {
			counters = append(counters, state.Counter{
				Addr:      addr,
				Direction: d,
				Reading:   state.Reading{ID: state.CounterID{Table: filter.handle, Object: r.handle}, Traffic: r.traffic},
			})
		}
	}
	return counters
}

// forgetRules deletes rules of ours that show exactly what these counters do.
func (b *batch) forgetRules(filter contents, counters []state.Counter) (deleted []state.Counter) {
	there := make(map[state.Counter]rule)
	for _, r := range ownRules(filter) {
		there[ruleCounters(filter, []rule{r})[0]] = r
	}
	for _, c := range counters {
		if r, ok := there[c]; ok {
			b.deleteRule(filterTable, trafficChain, r)
			deleted = append(deleted, c)
		}
	}
	return deleted
}
