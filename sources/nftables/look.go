package nftables

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
)

// Ruleset is what nftables has that bears on the counting. It is found by what a
// run does its work by, so that the two cannot disagree.
type Ruleset struct {
	// Accounting is what a run would read now: of the plan's layout or, if that is
	// not in place, of the other one. nil: nothing counts.
	Accounting *state.Accounting
	// Missing names what the next run with this plan makes, such as "set
	// client_tx". Empty: everything is in place.
	Missing []string
	// Fault is what keeps that run from it: another instance's objects, somebody
	// else's of the same name. nil: nothing does.
	Fault  error
	Owners []Owner // of what counts, each once
	Sets   []SetUse
	// Jumps lead to CLIENT_TRAFFIC in table inet filter. Packets that come by two
	// of them count twice.
	Jumps      []Jump
	Rules      []RuleUse   // those that count a client, or look as if they should
	BaseChains []BaseChain // of the forward hook, in the order in which packets meet them
	Dormant    []Table     // those of which no chain sees a packet
	Flowtables []Flowtable
	Conntrack  bool // whether any rule makes the kernel track connections
}

// SetUse is a set of the accounting, and how full it is.
type SetUse struct {
	Name           string
	Elements, Size int // Size 0: any number
}

// Table is where objects are.
type Table struct{ Family, Name string }

// String returns what nft(8) calls the table.
func (t Table) String() string { return t.Family + " " + t.Name }

// RuleUse is a rule that counts a client, or looks as if it should.
type RuleUse struct {
	Table   Table
	Chain   string
	Comment string
	Named   bool // the comment says whom the rule counts, as tx_192.168.10.100 does
	Counts  bool // has a counter
}

// BaseChain is where packets come from a hook.
type BaseChain struct {
	Table    Table
	Name     string
	Priority int32
}

// Flowtable is one that forwarded packets could take.
type Flowtable struct {
	Table  Table
	Name   string
	Passes bool // packets can take it: rules add flows, it has devices, its table is awake
	Counts bool // conntrack counts what passes (flag counter)
}

// Look examines the ruleset by what a run with this plan needs of it, and writes
// nothing.
func Look(p Plan) (*Ruleset, error) {
	k, err := open()
	if err != nil {
		return nil, err
	}
	defer k.Close()
	return look(k, p)
}

func look(k kernel, p Plan) (found *Ruleset, err error) {
	p = p.bounded()
	sets := make(map[state.CounterID]setCounters)
	err = steadily(k, func(generation uint32) error {
		s, err := survey(k, generation)
		if err == nil {
			found, err = s.examine(k, p, sets)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// examine finds out all that a Ruleset tells.
func (r *ruleset) examine(k kernel, p Plan, sets map[state.CounterID]setCounters) (*Ruleset, error) {
	found := &Ruleset{}
	c, err := changes(k, r, p)
	switch {
	case errors.Is(err, netlink.ErrTorn):
		return nil, err
	case err != nil:
		found.Fault = err
	default:
		found.Missing = c.missing
	}
	if !r.inPlace(p.Layout) {
		p.Layout = state.Off
	}
	a, counted, err := readCounters(k, r, p, sets)
	switch {
	case errors.Is(err, errNoChain):
		found.Fault = cmp.Or[error](found.Fault, err)
	case err != nil:
		return nil, err
	default:
		found.Accounting = a
	}
	for _, s := range counted {
		found.Sets = append(found.Sets, SetUse{s.name, s.elements(), s.size})
	}
	for _, o := range r.owners() {
		if !slices.Contains(found.Owners, o) {
			found.Owners = append(found.Owners, o)
		}
	}
	for _, t := range r.tables {
		if t.flags&tableDormant != 0 {
			found.Dormant = append(found.Dormant, newTable(t.family, t.name))
		}
	}
	for _, f := range r.flowtables {
		found.Flowtables = append(found.Flowtables, Flowtable{newTable(f.family, f.table), f.name, r.passes(f), f.counts})
	}
	if r.filter.table != nil {
		g, err := r.filter.readGraph(k)
		if err != nil {
			return nil, err
		}
		found.Jumps = g.jumps()
	}
	return found, found.addAll(k)
}

// inPlace reports whether a layout's counters can be read.
func (r *ruleset) inPlace(l state.Layout) bool {
	_, hasRules := r.filter.chains[trafficChain]
	return l == state.Rules && hasRules || l != state.Rules && r.own.hasClientSet()
}

// addAll adds what is in all tables of all families.
func (found *Ruleset) addAll(k kernel) error {
	chains, err := dump(k, unix.NFPROTO_UNSPEC, unix.NFT_MSG_GETCHAIN, unix.NFT_MSG_NEWCHAIN, everything, parseChain)
	if err != nil {
		return fmt.Errorf("list chains: %w", err)
	}
	for _, c := range chains {
		if c.forwards() && isRouted(c.family) {
			found.BaseChains = append(found.BaseChains, BaseChain{newTable(c.family, c.table), c.name, c.priority})
		}
	}
	slices.SortStableFunc(found.BaseChains, func(a, b BaseChain) int { return cmp.Compare(a.Priority, b.Priority) })
	rules, err := dump(k, unix.NFPROTO_UNSPEC, unix.NFT_MSG_GETRULE, unix.NFT_MSG_NEWRULE, everything, new(ruleParser).parse)
	if err != nil {
		return fmt.Errorf("list rules: %w", err)
	}
	for _, r := range rules {
		found.Conntrack = found.Conntrack || r.conntrack
		read := r.family == unix.NFPROTO_INET && r.table == filterTable && r.chain == trafficChain
		if r.named || read && r.counts {
			found.Rules = append(found.Rules, RuleUse{newTable(r.family, r.table), r.chain, r.comment, r.named, r.counts})
		}
	}
	return nil
}

// newTable names a table as nft(8) does.
func newTable(family uint8, name string) Table {
	switch family {
	case unix.NFPROTO_INET:
		return Table{"inet", name}
	case unix.NFPROTO_IPV4:
		return Table{"ip", name}
	case unix.NFPROTO_IPV6:
		return Table{"ip6", name}
	case unix.NFPROTO_ARP:
		return Table{"arp", name}
	case unix.NFPROTO_BRIDGE:
		return Table{"bridge", name}
	}
	return Table{"netdev", name}
}
