package nftables

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// Chains of the table inet network_metrics. A packet passes CLIENT_TRAFFIC, the
// base chain, and from there one or both of sent and received: a return in these
// ends nothing else.
const (
	sentChain          = "sent"
	receivedChain      = "received"
	localSentChain     = "local_sent"
	localReceivedChain = "local_received"
)

// setChains are the chains of the layout, those that are jumped to first.
func setChains() []string {
	return []string{localSentChain, localReceivedChain, sentChain, receivedChain, trafficChain}
}

// clientSet is a set that has an element for each client.
type clientSet struct {
	name      string
	direction state.Direction
	family    family
	local     bool // counts only what the networks exchange with each other
}

func newClientSet(d state.Direction, f family, local bool) clientSet {
	name := "client_"
	if local {
		name = "local_"
	}
	return clientSet{name + d.String() + f.suffix, d, f, local}
}

// clientSets are client_tx, client_rx, client_tx6, client_rx6, local_tx and so on.
func clientSets() []clientSet {
	var sets []clientSet
	for _, local := range []bool{false, true} {
		for _, f := range []family{ipv4, ipv6} {
			sets = append(sets, newClientSet(state.Tx, f, local), newClientSet(state.Rx, f, local))
		}
	}
	return sets
}

// setNames are the names of all sets of the layout.
func setNames() []string {
	names := []string{ipv4.networksName(), ipv6.networksName()}
	for _, c := range clientSets() {
		names = append(names, c.name)
	}
	return names
}

// fits reports whether the set is of the form that a client set has.
func (c clientSet) fits(s set) bool {
	return s.keyType == c.family.keyType && s.flags == unix.NFT_SET_EVAL
}

// setsLayout is what a plan asks for in the table of the sets.
type setsLayout struct {
	tracked    bool // what conntrack counts is left to it
	interfaces []interfaces
	ipv4, ipv6 []netip.Prefix // outermost
	owner      Owner
	size       uint32 // of the sets
}

func newSetsLayout(p Plan) setsLayout {
	return setsLayout{
		tracked:    p.Layout == state.Flows,
		interfaces: groupInterfaces(p.Interfaces),
		ipv4:       ipv4.outermost(p.Networks),
		ipv6:       ipv6.outermost(p.Networks),
		owner:      p.Owner,
		size:       p.setSize(),
	}
}

// families returns those that there are networks of.
func (l setsLayout) families() []family {
	var list []family
	for _, f := range []family{ipv4, ipv6} {
		if len(l.networks(f)) > 0 && len(l.interfaces) > 0 {
			list = append(list, f)
		}
	}
	return list
}

func (l setsLayout) networks(f family) []netip.Prefix {
	if f == ipv4 {
		return l.ipv4
	}
	return l.ipv6
}

// hasLocal reports whether the router may forward packets from one address of the
// networks to another one: it takes two interfaces, or two networks.
func (l setsLayout) hasLocal(f family) bool {
	several := len(l.interfaces) > 1 || len(l.networks(f)) > 1
	for _, i := range l.interfaces {
		several = several || len(i.names) != 1
	}
	return several && slices.Contains(l.families(), f)
}

// wants reports whether the plan needs the set.
func (l setsLayout) wants(c clientSet) bool { return !c.local || l.hasLocal(c.family) }

// interfaces are some that one rule can match: several names, or all that begin
// with a prefix.
type interfaces struct {
	names  []string // nil: those with the prefix
	prefix string
}

// groupInterfaces sorts patterns into as few rules as can be, so that no interface
// is in two of them.
func groupInterfaces(patterns []string) []interfaces {
	var prefixes, names []string
	for _, p := range patterns {
		if prefix, ok := strings.CutSuffix(p, "*"); ok {
			prefixes = append(prefixes, prefix)
		} else {
			names = append(names, p)
		}
	}
	var groups []interfaces
	covered := func(name string) bool {
		return slices.ContainsFunc(groups, func(i interfaces) bool { return strings.HasPrefix(name, i.prefix) })
	}
	slices.Sort(prefixes) // each before those that it covers
	for _, prefix := range prefixes {
		if !covered(prefix) {
			groups = append(groups, interfaces{prefix: prefix})
		}
	}
	slices.Sort(names)
	if names = slices.DeleteFunc(slices.Compact(names), covered); len(names) > 0 {
		groups = append(groups, interfaces{names: names})
	}
	return groups
}

// words are for a comment.
func (i interfaces) words() []string {
	if i.names == nil {
		return []string{i.prefix + "*"}
	}
	return i.names
}

// match matches packets that came in, or go out, by one of the interfaces.
func (i interfaces) match(b *batch, key expr.MetaKey) []expr.Any {
	load := &expr.Meta{Key: key, Register: 1}
	switch {
	case len(i.names) == 1:
		return []expr.Any{load, equals(interfaceKey(i.names[0]))}
	case i.names != nil:
		return []expr.Any{load, &expr.Lookup{SourceRegister: 1, SetName: anonymous, SetID: b.addNames(ownTable, i.names)}}
	case i.prefix != "":
		return []expr.Any{load, equals([]byte(i.prefix))}
	}
	return nil
}

// setRule is a rule of the layout.
type setRule struct {
	chain, comment string
	// expressions makes the rule, and the anonymous sets that it needs.
	expressions func(*batch) []expr.Any
}

// rules returns the rules of the layout: as many for a thousand clients as for
// one. Each byte comes to one counter in either direction: an add that finds no
// place for a new element ends its rule, and the next one that fits counts. A
// lookup of an element counts too (Linux 5.7), but for one with !=.
func (l setsLayout) rules() []setRule {
	var rules []setRule
	if len(l.families()) == 0 {
		return nil
	}
	if l.tracked {
		rules = append(rules, setRule{trafficChain, l.owner.comment("tracked"), passTracked})
	}
	for _, group := range l.interfaces {
		for _, way := range []struct {
			words, chain string
			key          expr.MetaKey
		}{{"tx", sentChain, expr.MetaKeyIIFNAME}, {"rx", receivedChain, expr.MetaKeyOIFNAME}} {
			rules = append(rules, setRule{trafficChain, l.owner.comment(way.words, group.words()...), func(b *batch) []expr.Any {
				return append(group.match(b, way.key), jumpTo(way.chain))
			}})
		}
	}
	rules = append(rules, l.sent()...)
	rules = append(rules, l.received()...)
	return append(rules, l.local()...)
}

// passTracked returns from the chain with what the flows layout counts by the
// counters of conntrack.
//
//	meta l4proto { tcp, udp } ct state established,related,new return
func passTracked(b *batch) []expr.Any {
	protocols := b.addAnonymous(ownTable, 0, protocolType, 1, bigEndian, []element{{key: []byte{unix.IPPROTO_TCP}}, {key: []byte{unix.IPPROTO_UDP}}})
	states := expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED | expr.CtStateBitNEW
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: anonymous, SetID: protocols},
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: nativeUint32(states), Xor: nativeUint32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: nativeUint32(0)},
		returns(),
	}
}

// networkRule makes a rule whose comment names the networks. The match is of the
// family, and of the client's end within the networks.
func (l setsLayout) networkRule(chain, words string, f family, e end, then ...expr.Any) setRule {
	var decided []string
	for _, n := range l.networks(f) {
		decided = append(decided, n.String())
	}
	comment := ruleComment(maxComment, programName+" "+words+" "+f.name, decided)
	expressions := append(append(f.protocol(), f.within(l.networks(f), e)...), then...)
	return setRule{chain, comment, func(*batch) []expr.Any { return expressions }}
}

// sent returns the rules for what clients send.
//
//	ip saddr NETWORKS ip daddr NETWORKS jump local_sent
//	ip saddr NETWORKS add @client_tx { ip saddr counter } return
//	ip saddr NETWORKS counter
func (l setsLayout) sent() []setRule {
	var first, last []setRule
	for _, f := range l.families() {
		if l.hasLocal(f) {
			first = append(first, l.networkRule(sentChain, "local tx", f, source,
				append(f.within(l.networks(f), destination), jumpTo(localSentChain))...))
		}
		first = append(first, l.networkRule(sentChain, "tx", f, source, addTo(newClientSet(state.Tx, f, false))...))
		last = append(last, l.networkRule(sentChain, "other tx", f, source, counts()))
	}
	return append(first, last...)
}

// received returns the rules for what clients receive. Who never sent anything
// gets no element: else anybody outside could make one for each address of an IPv6
// network.
//
//	ip daddr NETWORKS ip saddr NETWORKS jump local_received
//	ip daddr NETWORKS ip daddr != @client_tx counter return
//	ip daddr NETWORKS add @client_rx { ip daddr counter } return
//	ip daddr NETWORKS counter
func (l setsLayout) received() []setRule {
	var first, last []setRule
	for _, f := range l.families() {
		if l.hasLocal(f) {
			first = append(first, l.networkRule(receivedChain, "local rx", f, destination,
				append(f.within(l.networks(f), source), jumpTo(localReceivedChain))...))
		}
		first = append(first,
			l.networkRule(receivedChain, "silent rx", f, destination, countSilent(f)...),
			l.networkRule(receivedChain, "rx", f, destination, addTo(newClientSet(state.Rx, f, false))...))
		last = append(last, l.networkRule(receivedChain, "other rx", f, destination, counts()))
	}
	return append(first, last...)
}

// local returns the rules for what clients send to each other.
//
//	add @local_tx { ip saddr counter } return
//	counter
//
//	ip daddr != @client_tx counter return
//	add @local_rx { ip daddr counter } return
//	counter
func (l setsLayout) local() []setRule {
	var rules []setRule
	add := func(chain, words string, expressions ...expr.Any) {
		rules = append(rules, setRule{chain, programName + " " + words, func(*batch) []expr.Any { return expressions }})
	}
	for _, f := range l.families() {
		if l.hasLocal(f) {
			add(localSentChain, "tx "+f.name, append(f.protocol(), addTo(newClientSet(state.Tx, f, true))...)...)
			add(localReceivedChain, "silent rx "+f.name, append(f.protocol(), countSilent(f)...)...)
			add(localReceivedChain, "rx "+f.name, append(f.protocol(), addTo(newClientSet(state.Rx, f, true))...)...)
		}
	}
	if len(rules) > 0 {
		add(localSentChain, "other tx", counts())
		add(localReceivedChain, "other rx", counts())
	}
	return rules
}
