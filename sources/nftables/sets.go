package nftables

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// The sets layout, and what the flows layout leaves to sets: a table of our own,
// whose base chain comes after every firewall's.
const (
	ownTable    = "network_metrics"
	ownPriority = 300
)

// setsError tells of what stands in the way of the layout.
func setsError(odd string) error {
	return fmt.Errorf("table inet %s is not as this program makes it: %s; rename or delete it, or choose another --accounting", ownTable, odd)
}

// checkSets refuses a table that is not ours to fill.
func checkSets(own contents) error {
	if odd := own.malformed(); odd != "" {
		return setsError(odd)
	}
	if own.table != nil && !own.ours {
		if odd := own.foreign(); odd != "" {
			return setsError(odd + " in it, and no comment " + programName)
		}
	}
	return nil
}

// malformed tells of an object that has the name of one of ours and another form.
func (c contents) malformed() string {
	for _, name := range setChains() {
		found, ok := c.chains[name]
		switch {
		case !ok:
		case name == trafficChain && !(found.forwards() && found.priority == ownPriority):
			return fmt.Sprintf("chain %s is not of type filter, hook forward, priority %d", name, ownPriority)
		case name != trafficChain && found.kind != "":
			return fmt.Sprintf("chain %s is a base chain", name)
		}
	}
	for _, want := range clientSets() {
		if found, ok := c.sets[want.name]; ok && !want.fits(found) {
			return fmt.Sprintf("set %s is not of type %s with only the flag dynamic", want.name, want.family.keyName)
		}
	}
	for _, f := range []family{ipv4, ipv6} {
		if found, ok := c.sets[f.networksName()]; ok && (found.keyType != f.keyType || found.flags != unix.NFT_SET_INTERVAL) {
			return fmt.Sprintf("set %s is not of type %s with only the flag interval", f.networksName(), f.keyName)
		}
	}
	return ""
}

// foreign tells of an object in our table that is none of ours: of several always
// the same one, as a message that changes is told again.
func (c contents) foreign() string {
	for _, name := range slices.Sorted(maps.Keys(c.chains)) {
		if !slices.Contains(setChains(), name) {
			return "chain " + name
		}
	}
	for _, name := range setChains() {
		for _, r := range c.rules[name] {
			if !isOurs(r.comment) {
				return fmt.Sprintf("a rule with handle %d", r.handle)
			}
		}
	}
	names := setNames()
	for _, name := range slices.Sorted(maps.Keys(c.sets)) {
		if !slices.Contains(names, name) && c.sets[name].flags&unix.NFT_SET_ANONYMOUS == 0 {
			return "set " + name
		}
	}
	if int(c.use) > len(c.chains)+len(c.sets) {
		return "an object that is neither chain nor set"
	}
	return ""
}

// hasClientSet reports whether there is a set to read.
func (c contents) hasClientSet() bool {
	return slices.ContainsFunc(clientSets(), func(want clientSet) bool { return want.fits(c.sets[want.name]) })
}

// ourRules returns the rules of a chain that are ours.
func (c contents) ourRules(chain string) []rule {
	return slices.DeleteFunc(slices.Clone(c.rules[chain]), func(r rule) bool { return !isOurs(r.comment) })
}

// setRepair is what of the layout has to be made.
type setRepair struct {
	layout  setsLayout
	rules   map[string][]setRule // wanted, by chain
	changed []string             // chains whose rules are made anew
	resized []clientSet          // sets of another size
	renewed []family             // those whose set of networks is made anew
}

// planSets finds out what of the layout is missing or another plan's.
func planSets(own contents, p Plan) setRepair {
	r := setRepair{layout: newSetsLayout(p), rules: make(map[string][]setRule)}
	for _, u := range r.layout.rules() {
		r.rules[u.chain] = append(r.rules[u.chain], u)
	}
	for _, c := range clientSets() {
		if s, ok := own.sets[c.name]; ok && r.layout.wants(c) && s.size != r.layout.size {
			r.resized = append(r.resized, c)
		}
	}
	same := func(chain string) bool {
		return slices.EqualFunc(own.ourRules(chain), r.rules[chain], func(there rule, wanted setRule) bool { return there.comment == wanted.comment })
	}
	stale := len(r.resized) > 0 || !same(sentChain) || !same(receivedChain)
	for _, f := range r.layout.families() {
		_, there := own.sets[f.networksName()]
		if several := len(r.layout.networks(f)) > 1; several && (stale || !there) || there && !several {
			r.renewed = append(r.renewed, f)
		}
	}
	// A set can only be replaced together with the rules that use it.
	all := len(r.resized)+len(r.renewed) > 0
	for _, name := range setChains() {
		if all || !same(name) {
			r.changed = append(r.changed, name)
		}
	}
	return r
}

// replaced reads the counters that the repair takes away.
func (r setRepair) replaced(k kernel, own contents, last *state.Accounting) ([]state.Counter, error) {
	var list []state.Counter
	for _, name := range r.changed {
		if others, local := own.otherCounters(name); !local {
			list = append(list, others...)
		}
	}
	for _, c := range r.resized {
		if c.local {
			continue
		}
		s, err := own.readSet(k, c, last)
		if err != nil {
			return nil, err
		}
		list = append(list, s.counters...)
	}
	slices.SortFunc(list, state.Counter.Compare)
	return list, nil
}

// repairSets makes what is missing.
func (b *batch) repairSets(own contents, r setRepair, clients []netip.Addr) {
	switch {
	case own.table == nil:
		b.note("table inet %s", ownTable)
		b.addTable(ownTable)
	case own.flags&tableDormant != 0:
		b.note("table inet %s without flags dormant", ownTable)
		b.addTable(ownTable)
	}
	for _, name := range slices.Backward(r.changed) { // who jumps before who is jumped to
		for _, u := range own.ourRules(name) {
			b.deleteRule(ownTable, u)
		}
	}
	for _, c := range r.resized {
		b.note("set %s of size %d", c.name, r.layout.size)
		b.deleteSet(ownTable, c.name)
	}
	for _, f := range r.renewed {
		if _, there := own.sets[f.networksName()]; there {
			b.deleteSet(ownTable, f.networksName())
		}
		if networks := r.layout.networks(f); len(networks) > 1 {
			b.note("set %s", f.networksName())
			b.addNetworks(ownTable, f, networks)
		}
	}
	for _, c := range clientSets() {
		_, there := own.sets[c.name]
		if !r.layout.wants(c) || there && !slices.Contains(r.resized, c) {
			continue
		}
		if !there {
			b.note("set %s", c.name)
		}
		id := b.newSet(ownTable, c.name, unix.NFT_SET_EVAL, c.family.keyType, c.family.length, bigEndian, r.layout.size)
		b.addClients(c, id, clients)
	}
	for _, name := range setChains() {
		if _, there := own.chains[name]; !there && (name == trafficChain || len(r.rules[name]) > 0) {
			b.note("chain %s", name)
			b.addOwnChain(name)
		}
	}
	for _, name := range r.changed {
		b.note("rules of chain %s", name)
		for _, u := range r.rules[name] {
			b.addRule(ownTable, name, atEnd, commentData(u.comment), u.expressions(b)...)
		}
	}
}

func (b *batch) addOwnChain(name string) {
	if name == trafficChain {
		b.addForwardChain(ownTable, name, ownPriority)
	} else {
		b.addChain(ownTable, name)
	}
}

// addClients adds elements for those clients that a set can have.
func (b *batch) addClients(c clientSet, id uint32, clients []netip.Addr) {
	var elements []element
	for _, addr := range clients {
		if familyOf(addr) == c.family {
			elements = append(elements, element{key: addr.AsSlice(), counts: true})
		}
	}
	b.elements(unix.NFT_MSG_NEWSETELEM, ownTable, c.name, id, elements)
}

// isRemovable reports whether anything of a table is ours to delete.
func (c contents) isRemovable() bool {
	return c.table != nil && !c.isOwned() && (checkSets(c) == nil || c.ours)
}

// stopSets has the sets count no more, and reports whether it did. It does not if
// they count no more already, or might go on by what others have put there.
func (b *batch) stopSets(own contents) bool {
	leading := own.ourRules(trafficChain)
	if len(leading) == 0 || !own.isRemovable() || own.foreign() != "" {
		return false
	}
	for _, r := range leading {
		b.deleteRule(ownTable, r)
	}
	return true
}

// removeSets takes away what of the layout is there and ours.
func (b *batch) removeSets(own contents) {
	switch {
	case !own.isRemovable():
		return
	case own.foreign() == "":
		b.deleteTable(ownTable)
		return
	}
	deleted := make(map[string]int) // jumps, by target
	for _, name := range slices.Backward(setChains()) {
		ours := own.ourRules(name)
		for _, u := range ours {
			b.deleteRule(ownTable, u)
			deleted[u.jump]++
		}
		if c, ok := own.chains[name]; ok && int(c.use) == len(ours)+deleted[name] {
			b.deleteChain(c)
		}
	}
	for _, name := range setNames() {
		if _, ok := own.sets[name]; ok {
			b.deleteSet(ownTable, name)
		}
	}
}
