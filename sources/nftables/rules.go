package nftables

import (
	"cmp"
	"net/netip"
	"slices"

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

// rulesChain is for errors.
const rulesChain = "chain " + trafficChain + " in table inet " + filterTable

// client is whom a rule counts.
type client struct {
	addr      netip.Addr
	direction state.Direction
}

// ruleRepair is what of the layout has to be made.
type ruleRepair struct {
	clients  []client // who have no rule yet
	full     bool     // there are more than may have one
	restored bool     // some of the clients had a rule in the last run
	needJump bool     // nobody else's leads to the chain
}

// planRules finds out what of the layout is missing.
func planRules(k kernel, filter contents, p Plan) (ruleRepair, error) {
	var r ruleRepair
	led, err := filter.ledByOthers(k)
	r.needJump = !led
	if err != nil {
		return r, err
	}
	counted := make(map[client]bool)
	addrs := make(map[netip.Addr]bool)
	for _, u := range filter.rules[trafficChain] {
		if u.countsClient() {
			counted[u.client] = true
			addrs[u.client.addr] = true
		}
	}
	for _, addr := range p.Clients {
		if !addrs[addr] && len(addrs) >= p.MaxClients {
			r.full = true
			continue
		}
		addrs[addr] = true
		for _, d := range []state.Direction{state.Tx, state.Rx} {
			if c := (client{addr, d}); !counted[c] {
				counted[c] = true
				r.clients = append(r.clients, c)
				r.restored = r.restored || p.hadRule(c)
			}
		}
	}
	return r, nil
}

// hadRule reports whether a rule counted the client in the last run.
func (p Plan) hadRule(c client) bool {
	_, had := slices.BinarySearchFunc(p.Last.Counters, c, func(last state.Counter, c client) int {
		return cmp.Or(last.Addr.Compare(c.addr), cmp.Compare(last.Direction, c.direction))
	})
	return had && p.Last.Layout == state.Rules
}

// repairRules makes what is missing.
func (b *batch) repairRules(filter contents, r ruleRepair, owner Owner) {
	if filter.table == nil {
		b.note("table inet %s", filterTable)
		b.addTable(filterTable)
	}
	if _, ok := filter.chains[trafficChain]; !ok {
		b.note("chain %s", trafficChain)
		b.addChain(filterTable, trafficChain)
	}
	if _, ok := filter.chains[forwardChain]; !ok {
		b.note("chain %s", forwardChain)
		b.addForwardChain(filterTable, forwardChain, filterPriority)
	}
	hidden := programName
	if !r.needJump {
		hidden = owner.comment("") // no comment of a jump says it
	}
	for _, c := range r.clients {
		comment := clientComment(c.addr, c.direction)
		b.note("rule %s", comment)
		b.addRule(filterTable, trafficChain, atEnd, markedData(comment, hidden),
			append(familyOf(c.addr).is(c.addr, c.direction), &expr.Counter{})...)
	}
	b.repairJump(filter.rules[forwardChain], r.needJump, owner)
}

// repairJump sees to it that one rule leads to our chain: somebody else's where it
// stands, or else ours as the first.
func (b *batch) repairJump(rules []rule, need bool, owner Owner) {
	ours, wanted := ourJumps(rules), owner.comment("")
	if need && len(ours) == 1 && rules[0].handle == ours[0].handle && ours[0].comment == wanted {
		return
	}
	for _, r := range ours {
		b.deleteRule(filterTable, r)
	}
	if need {
		b.note("jump as the first rule of chain %s", forwardChain)
		b.addRule(filterTable, forwardChain, create, commentData(wanted), jumpTo(trafficChain))
	}
}

// ourJumps returns those rules that lead to our chain and are ours.
func ourJumps(rules []rule) []rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return !r.isOurJump() })
}

func (r *rule) isOurJump() bool { return r.jump == trafficChain && isOurs(r.comment) }

// ownRules returns the rules of the traffic chain that are ours: those that say so,
// and in a chain of ours all that count a client, as a ruleset that nft(8) saved
// and loaded has lost what they said.
func (c contents) ownRules() []rule {
	var own []rule
	for _, r := range c.rules[trafficChain] {
		if r.countsClient() && (isOurs(r.hidden) || c.chains[trafficChain].ours) {
			own = append(own, r)
		}
	}
	return own
}

// stopRules has the rules count no more, and reports whether it did. It does not if
// they count no more already, or would go on as others lead to them.
func (b *batch) stopRules(k kernel, filter contents) (bool, error) {
	jumps := ourJumps(filter.rules[forwardChain])
	if len(jumps) == 0 || filter.isOwned() {
		return false, nil
	}
	if led, err := filter.ledByOthers(k); led || err != nil {
		return false, err
	}
	for _, r := range jumps {
		b.deleteRule(filterTable, r)
	}
	return true, nil
}

// removeRules takes away what of the layout is there and ours.
func (b *batch) removeRules(filter contents) {
	if filter.isOwned() {
		return
	}
	deleted := 0 // chains
	jumping := ourJumps(filter.rules[forwardChain])
	for _, r := range jumping {
		b.deleteRule(filterTable, r)
	}
	own := filter.ownRules()
	if c := filter.chains[trafficChain]; c.ours && int(c.use) == len(own)+len(jumping) {
		b.deleteChain(c)
		deleted++
	} else {
		for _, r := range own {
			b.deleteRule(filterTable, r)
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

// ruleCounters returns what rules count, whoever made them, sorted.
func (c contents) ruleCounters(rules []rule) []state.Counter {
	var counters []state.Counter
	for _, r := range rules {
		if r.countsClient() {
			counters = append(counters, state.Counter{Addr: r.client.addr, Direction: r.client.direction, ID: c.id(r.handle), Traffic: r.traffic})
		}
	}
	slices.SortFunc(counters, state.Counter.Compare)
	return counters
}
