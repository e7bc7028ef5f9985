package nftables

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
)

// contents is a table and what is in it, as far as it concerns us.
type contents struct {
	*table // nil: there is none
	chains map[string]chain
	sets   map[string]set
	rules  map[string][]rule // of the chains that ours are or should be in
}

// ruleset is what a run has to know of all that nftables has.
type ruleset struct {
	generation  uint32
	tables      []table // of every family
	own, filter contents
	flowtables  []flowtable
}

// survey reads the ruleset. It is of that generation only if the generation is
// the same afterwards.
func survey(k kernel, generation uint32) (*ruleset, error) {
	r := &ruleset{generation: generation}
	var err error
	r.tables, err = dump(k, unix.NFPROTO_UNSPEC, unix.NFT_MSG_GETTABLE, unix.NFT_MSG_NEWTABLE, everything, parseTable)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	chains, err := dump(k, unix.NFPROTO_INET, unix.NFT_MSG_GETCHAIN, unix.NFT_MSG_NEWCHAIN, everything, parseChain)
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	r.own, r.filter = r.contents(ownTable, chains), r.contents(filterTable, chains)
	if r.own.table != nil {
		if err := r.own.readSets(k); err != nil {
			return nil, err
		}
		if err := r.own.readRules(k, ""); err != nil {
			return nil, err
		}
	}
	// Without the chain that counts, none of ours is in another one.
	if _, ok := r.filter.chains[trafficChain]; ok {
		for _, name := range []string{trafficChain, forwardChain} {
			if _, ok := r.filter.chains[name]; ok {
				if err := r.filter.readRules(k, name); err != nil {
					return nil, err
				}
			}
		}
	}
	r.flowtables, err = dump(k, unix.NFPROTO_UNSPEC, unix.NFT_MSG_GETFLOWTABLE, unix.NFT_MSG_NEWFLOWTABLE, everything, parseFlowtable)
	if err != nil {
		return nil, fmt.Errorf("list flowtables: %w", err)
	}
	return r, nil
}

// contents begins those of a table of the family inet.
func (r *ruleset) contents(name string, chains []chain) contents {
	c := contents{chains: make(map[string]chain), sets: make(map[string]set), rules: make(map[string][]rule)}
	for i, t := range r.tables {
		if t.family == unix.NFPROTO_INET && t.name == name {
			c.table = &r.tables[i]
		}
	}
	for _, x := range chains {
		if c.table != nil && x.table == name {
			c.chains[x.name] = x
		}
	}
	return c
}

// id is that of the counters of an object.
func (c contents) id(handle uint64) state.CounterID {
	return state.CounterID{Table: c.handle, Object: handle}
}

func (c *contents) readSets(k kernel) error {
	sets, err := dump(k, unix.NFPROTO_INET, unix.NFT_MSG_GETSET, unix.NFT_MSG_NEWSET, func(e *netlink.Encoder) {
		e.Text(unix.NFTA_SET_TABLE, c.name)
	}, parseSet)
	if err != nil {
		return fmt.Errorf("list sets of table inet %s: %w", c.name, err)
	}
	for _, s := range sets {
		c.sets[s.name] = s
	}
	return nil
}

// readRules reads those of one chain, or if that is "" of all.
func (c *contents) readRules(k kernel, chain string) error {
	rules, err := dump(k, unix.NFPROTO_INET, unix.NFT_MSG_GETRULE, unix.NFT_MSG_NEWRULE, func(e *netlink.Encoder) {
		e.Text(unix.NFTA_RULE_TABLE, c.name)
		if chain != "" {
			e.Text(unix.NFTA_RULE_CHAIN, chain)
		}
	}, new(ruleParser).parse)
	if err != nil {
		return fmt.Errorf("list rules of table inet %s: %w", c.name, err)
	}
	for len(rules) > 0 {
		end := slices.IndexFunc(rules, func(r rule) bool { return r.chain != rules[0].chain })
		if end < 0 {
			end = len(rules)
		}
		c.rules[rules[0].chain] = rules[:end:end]
		rules = rules[end:]
	}
	return nil
}

// objects returns the sets and rules that are ours or count, sorted.
func (r *ruleset) objects() []state.CounterID {
	ids := r.fixedObjects()
	for _, u := range r.filter.rules[trafficChain] {
		ids = append(ids, r.filter.id(u.handle))
	}
	slices.SortFunc(ids, state.CounterID.Compare)
	return ids
}

// ownObjects returns the sets and rules that are ours, but for rules that somebody
// has loaded: those say it no more.
func (r *ruleset) ownObjects() []state.CounterID {
	ids := r.fixedObjects()
	for _, u := range r.filter.rules[trafficChain] {
		if isOurs(u.hidden) {
			ids = append(ids, r.filter.id(u.handle))
		}
	}
	return ids
}

// fixedObjects returns those of them that are there whoever the clients are,
// sorted.
func (r *ruleset) fixedObjects() []state.CounterID {
	var ids []state.CounterID
	for _, c := range clientSets() {
		if s, ok := r.own.sets[c.name]; ok {
			ids = append(ids, r.own.id(s.handle))
		}
	}
	for _, name := range setChains() {
		for _, u := range r.own.ourRules(name) {
			ids = append(ids, r.own.id(u.handle))
		}
	}
	for _, u := range ourJumps(r.filter.rules[forwardChain]) {
		ids = append(ids, r.filter.id(u.handle))
	}
	slices.SortFunc(ids, state.CounterID.Compare)
	return ids
}
