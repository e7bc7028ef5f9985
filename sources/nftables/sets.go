package nftables

import (
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// The sets layout: a table of our own, whose chain comes after every firewall's.
const (
	ownTable    = "network_metrics"
	ownPriority = 300

	// setSize bounds the kernel's memory if somebody sends from made-up addresses.
	// The kernel makes the hash table for as many at once, and each dump walks all
	// of it: a quarter of a millisecond for each set.
	setSize = 65535
)

// clientSet is a set that has an element for each client.
type clientSet struct {
	name      string
	direction state.Direction
	family    family
}

func clientSets() []clientSet {
	return []clientSet{
		{"client_tx", state.Tx, ipv4},
		{"client_rx", state.Rx, ipv4},
		{"client_tx6", state.Tx, ipv6},
		{"client_rx6", state.Rx, ipv6},
	}
}

// holds reports whether the set is of the form that a client set has.
func (c clientSet) holds(s set) bool {
	return s.keyType == c.family.keyType && s.flags == unix.NFT_SET_EVAL
}

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
			return setsError(odd + " in it, and no comment " + mark)
		}
	}
	return nil
}

// malformed tells of an object that has the name of one of ours and another form.
func (c contents) malformed() string {
	if found, ok := c.chains[trafficChain]; ok && !found.forwards(ownPriority) {
		return fmt.Sprintf("chain %s is not of type filter, hook forward, priority %d", trafficChain, ownPriority)
	}
	for _, want := range clientSets() {
		if found, ok := c.sets[want.name]; ok && !want.holds(found) {
			return fmt.Sprintf("set %s is not of type %s with only the flag dynamic", want.name, want.family.keyName)
		}
	}
	return ""
}

// foreign tells of an object in our table that is none of ours: of several always
// the same one, as a message that changes is told again.
func (c contents) foreign() string {
	for _, name := range slices.Sorted(maps.Keys(c.chains)) {
		if name != trafficChain {
			return "chain " + name
		}
	}
	for _, r := range c.rules[trafficChain] {
		if !isOurs(r) {
			return fmt.Sprintf("a rule with handle %d", r.handle)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.sets)) {
		ours := slices.ContainsFunc(clientSets(), func(c clientSet) bool { return c.name == name })
		if !ours && c.sets[name].flags&unix.NFT_SET_ANONYMOUS == 0 {
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
	return slices.ContainsFunc(clientSets(), func(want clientSet) bool { return want.holds(c.sets[want.name]) })
}

// isOurs reports whether a rule in our table is ours.
func isOurs(r rule) bool { return strings.HasPrefix(r.comment, mark+" ") }

// repairSets puts in place what of the layout is missing.
func (b *batch) repairSets(own contents, p Plan) {
	if own.table == nil {
		b.addTable(ownTable)
	}
	for _, c := range clientSets() {
		if _, ok := own.sets[c.name]; !ok {
			b.newSet(ownTable, c.name, unix.NFT_SET_EVAL, c.family.keyType, c.family.length, bigEndian, setSize)
		}
	}
	if _, ok := own.chains[trafficChain]; !ok {
		b.addForwardChain(ownTable, trafficChain, ownPriority)
	}

	var there, wanted []string
	var old []rule
	for _, r := range own.rules[trafficChain] {
		if isOurs(r) {
			old = append(old, r)
			there = append(there, r.comment)
		}
	}
	rules := setRules(p)
	for _, r := range rules {
		wanted = append(wanted, r.comment())
	}
	if slices.Equal(there, wanted) {
		return
	}
	for _, r := range old {
		b.deleteRule(ownTable, trafficChain, r)
	}
	for _, r := range rules {
		b.addRule(ownTable, trafficChain, atEnd, commentData(r.comment()), r.expressions(b)...)
	}
}

// removeSets takes away what of the layout is there and ours, and tells whether
// there was anything.
func (b *batch) removeSets(own contents) (removed bool) {
	before := len(b.changes)
	b.removeOwnSets(own)
	return len(b.changes) > before
}

func (b *batch) removeOwnSets(own contents) {
	switch {
	case own.table == nil, checkSets(own) != nil && !own.ours:
		return
	case own.foreign() == "":
		b.deleteTable(ownTable)
		return
	}
	ours := 0
	for _, r := range own.rules[trafficChain] {
		if isOurs(r) {
			ours++
			b.deleteRule(ownTable, trafficChain, r)
		}
	}
	if c, ok := own.chains[trafficChain]; ok && int(c.use) == ours {
		b.deleteChain(c)
	}
	for _, c := range clientSets() {
		if _, ok := own.sets[c.name]; ok {
			b.deleteSet(ownTable, c.name)
		}
	}
}

// setCounters reads the elements of all client sets.
func setCounters(k kernel, own contents) (counters []state.Counter, full bool, err error) {
	for _, c := range clientSets() {
		s, ok := own.sets[c.name]
		if !ok || !c.holds(s) {
			continue
		}
		traffic, elements, err := readTraffic(k, ownTable, s)
		if err != nil {
			return nil, false, err
		}
		counters = slices.Grow(counters, len(traffic))
		for addr, t := range traffic {
			counters = append(counters, state.Counter{
				Addr:      addr,
				Direction: c.direction,
				Reading:   state.Reading{ID: state.CounterID{Table: own.handle, Object: s.handle}, Traffic: t},
			})
		}
		full = full || s.size > 0 && elements >= int(s.size)
	}
	return counters, full, nil
}

// setRule is the rule that fills a set.
type setRule struct {
	set        clientSet
	interfaces []string       // sorted
	networks   []netip.Prefix // outermost
}

// setRules gives the rules for a plan: as many for a thousand clients as for one.
func setRules(p Plan) []setRule {
	interfaces := slices.Compact(slices.Sorted(slices.Values(p.Interfaces)))
	var rules []setRule
	for _, c := range clientSets() {
		networks := c.family.outermost(p.Networks)
		if len(interfaces) > 0 && len(networks) > 0 {
			rules = append(rules, setRule{c, interfaces, networks})
		}
	}
	return rules
}

// comment says what the rule is for, so that the next run can tell by it whether
// it is still what is wanted.
func (r setRule) comment() string {
	words := []string{mark, r.set.direction.String(), r.set.family.name}
	what := append([]string(nil), r.interfaces...)
	for _, n := range r.networks {
		what = append(what, n.String())
	}
	long := strings.Join(append(words, what...), " ")
	if len(long) <= maxComment {
		return long
	}
	digest := fnv.New64a()
	digest.Write([]byte(long))
	return fmt.Sprintf("%s %d interfaces %d networks %016x", strings.Join(words, " "), len(r.interfaces), len(r.networks), digest.Sum64())
}

// expressions makes the rule, and the anonymous sets that it needs.
//
//	iifname "br-lan" ip saddr 192.168.10.0/24 add @client_tx { ip saddr counter }
func (r setRule) expressions(b *batch) []expr.Any {
	f, d := r.set.family, r.set.direction
	device := expr.MetaKeyIIFNAME
	if d == state.Rx {
		device = expr.MetaKeyOIFNAME
	}
	list := []expr.Any{&expr.Meta{Key: device, Register: 1}}
	if len(r.interfaces) == 1 {
		list = append(list, equals(interfaceKey(r.interfaces[0])))
	} else {
		list = append(list, among(b.addNames(ownTable, r.interfaces)))
	}
	if len(r.networks) == 1 {
		list = append(list, f.within(r.networks[0], d)...)
	} else {
		list = append(list, f.protocol()...)
		list = append(list, f.address(d, f.length), among(b.addIntervals(ownTable, f, intervals(r.networks))))
	}
	return append(list, f.address(d, f.length), &expr.Dynset{
		SrcRegKey: 1,
		SetName:   r.set.name,
		Operation: unix.NFT_DYNSET_OP_ADD,
		Exprs:     []expr.Any{&expr.Counter{}},
	})
}

// among matches what is in an anonymous set.
func among(id uint32) expr.Any { return &expr.Lookup{SourceRegister: 1, SetName: anonymous, SetID: id} }

// forgetElements deletes elements that show exactly what these counters do.
func (b *batch) forgetElements(k kernel, own contents, counters []state.Counter) (deleted []state.Counter, err error) {
	there, _, err := setCounters(k, own)
	if err != nil {
		return nil, err
	}
	idle := make(map[state.Counter]bool)
	for _, c := range counters {
		idle[c] = true
	}
	elements := make(map[uint64][]element) // by handle of the set
	for _, c := range there {
		if idle[c] {
			elements[c.ID.Object] = append(elements[c.ID.Object], element{key: c.Addr.AsSlice()})
			deleted = append(deleted, c)
		}
	}
	for _, s := range own.sets {
		b.deleteElements(ownTable, s.name, elements[s.handle])
	}
	return deleted, nil
}
