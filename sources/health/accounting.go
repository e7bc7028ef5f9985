package health

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"network-metrics-exporter/sources/nftables"
	"network-metrics-exporter/state"
)

// Where what counts is, by layout.
var (
	setsTable  = nftables.Table{Family: "inet", Name: "network_metrics"}
	rulesTable = nftables.Table{Family: "inet", Name: "filter"}
)

const (
	trafficChain = "CLIENT_TRAFFIC"
	rulesChain   = "inet filter " + trafficChain // as nft(8) calls it
	setsPriority = 300                           // of the chain of that name in setsTable: after every firewall's
)

// accounting looks at what counts the clients' traffic.
func (m Machine) accounting() []Finding {
	const name = "accounting"
	r := m.Ruleset
	if r == nil {
		return []Finding{unknown(name, m.result(state.NFTables))}
	}
	lacking := m.lacking()
	switch {
	case len(lacking) > 0:
		return []Finding{fail(name, m.host.runNow(), "what counts is missing, which a run puts in place: %s", strings.Join(lacking, ", "))}
	case r.Fault != nil:
		return []Finding{fail(name, m.faultCure(), "%v", r.Fault)}
	case r.Accounting == nil:
		return []Finding{fail(name, m.host.setting("accounting", "sets"), "nothing counts the clients' traffic")}
	}
	table := setsTable
	if r.Accounting.Layout == state.Rules {
		table = rulesTable
	}
	if slices.Contains(r.Dormant, table) {
		return []Finding{fail(name, "nft add table "+table.String(), "table %v is dormant: it counts nothing", table)}
	}
	findings := m.laterChains()
	switch r.Accounting.Layout {
	case state.Rules:
		counting := slices.DeleteFunc(slices.Clone(r.Rules), func(u nftables.RuleUse) bool { return m.countsInVain(u) != "" })
		return orOK(findings, name, "%d rules in chain %s count", len(counting), rulesChain)
	case state.Flows:
		return orOK(findings, name, "conntrack counts TCP and UDP, the sets of table %v the rest", setsTable)
	}
	return orOK(findings, name, "the sets of table %v count", setsTable)
}

// lacking returns what is missing of what counts, but for rules of clients that have
// just come.
func (m Machine) lacking() []string {
	return slices.DeleteFunc(slices.Clone(m.Ruleset.Missing), func(object string) bool { return strings.HasPrefix(object, "rule ") })
}

// faultCure says what to do about what keeps a run from counting.
func (m Machine) faultCure() string {
	for _, o := range m.Ruleset.Owners {
		if o.Path != m.StateDir {
			return "network-metrics-exporter teardown --state-dir=" + o.Path + ", or stop this one"
		}
	}
	if m.Config.Accounting == state.Off {
		return m.host.setting("accounting", "sets") + ", or rules in chain " + rulesChain
	}
	return "rename or delete the object named, or " + m.host.setting("accounting", "off")
}

// laterChains looks for firewalls that come after the sets: what they drop was
// counted.
func (m Machine) laterChains() (findings []Finding) {
	if m.Ruleset.Accounting.Layout == state.Rules {
		return nil // which count before any firewall
	}
	for _, c := range m.Ruleset.BaseChains {
		if c.Priority > setsPriority && !slices.Contains(m.Ruleset.Dormant, c.Table) {
			findings = append(findings, warn("accounting", fmt.Sprintf("give chain %v %s a priority below %d", c.Table, c.Name, setsPriority),
				"chain %v %s, of priority %d, comes after what counts: what it drops was counted", c.Table, c.Name, c.Priority))
		}
	}
	return findings
}

// jump looks for the rule that sends packets to the chain of the rules: those that
// were accepted before they came to it go uncounted, and those that come by two are
// counted twice.
func (m Machine) jump() []Finding {
	const name = "jump"
	r := m.Ruleset
	if r == nil || r.Accounting == nil || r.Accounting.Layout != state.Rules {
		return nil
	}
	if slices.ContainsFunc(r.BaseChains, func(c nftables.BaseChain) bool { return c.Table == rulesTable && c.Name == trafficChain }) {
		return []Finding{ok(name, "chain %s is where the kernel sends packets by itself", rulesChain)}
	}
	const insert = "nft insert rule inet filter forward jump " + trafficChain
	var chains, late []string
	for _, j := range r.Jumps {
		chains = append(chains, j.Chain)
		if j.Late {
			late = append(late, j.Chain)
		}
	}
	switch {
	case len(chains) == 0:
		return []Finding{fail(name, insert, "no rule jumps to %s: it counts nothing", trafficChain)}
	case len(chains) > 1:
		return []Finding{warn(name, "delete all but one of them: nft -a list table inet filter",
			"%d rules jump to %s, in chain %s: packets that come by two of them are counted twice", len(chains), trafficChain, strings.Join(chains, ", "))}
	case len(late) > 0:
		return []Finding{warn(name, insert+", and delete the other jump",
			"the jump to %s stands too late, in chain %s: what was accepted before it goes uncounted", trafficChain, late[0])}
	}
	return []Finding{ok(name, "chain %s jumps to %s before it accepts anything", chains[0], trafficChain)}
}

// countsInVain says why a rule that looks as if it should count does not, nothing if
// it does.
func (m Machine) countsInVain(u nftables.RuleUse) string {
	inPlace := u.Table == rulesTable && u.Chain == trafficChain
	switch {
	case !inPlace:
		return fmt.Sprintf("in chain %v %s instead of %s", u.Table, u.Chain, rulesChain)
	case !u.Named:
		return fmt.Sprintf("with the comment %q", u.Comment)
	case !u.Counts:
		return "without a counter"
	case m.usesSets():
		return fmt.Sprintf("not read with --accounting=%s, in chain %s", m.Config.Accounting, rulesChain)
	}
	return ""
}

// usesSets reports whether the layout is one in which sets count.
func (m Machine) usesSets() bool {
	return m.Config.Accounting == state.Sets || m.Config.Accounting == state.Flows
}

// rules looks for rules that were written to be counted by, and are not.
func (m Machine) rules() []Finding {
	const name = "rules"
	if m.Ruleset == nil {
		return nil // as the examination accounting says
	}
	why := make(map[string]int)
	for _, u := range m.Ruleset.Rules {
		if text := m.countsInVain(u); text != "" {
			why[text]++
		}
	}
	if len(why) == 0 {
		return []Finding{ok(name, "every rule that was written to count a client is read")}
	}
	var texts []string
	for text, n := range why {
		texts = append(texts, fmt.Sprintf("%d %s", n, text))
	}
	slices.Sort(texts)
	cure := `write them as: nft add rule inet filter CLIENT_TRAFFIC ip saddr ADDRESS counter comment "tx_ADDRESS"`
	if m.usesSets() {
		cure = m.host.setting("accounting", "rules") + ", or delete them"
	}
	return []Finding{warn(name, cure, "rules that count no client: %s", strings.Join(texts, "; "))}
}

// longestGap is the time between two runs in which no TCP connection can end and be
// forgotten: an entry in the state CLOSE lives for ten seconds
// (nf_conntrack_tcp_timeout_close).
const longestGap = 8 * time.Second

// flowtables looks for those that forwarded packets can take, past the counters, and
// for what the layout flows needs.
func (m Machine) flowtables() []Finding {
	const name = "flowtable"
	if m.Ruleset == nil {
		return nil // as the examination accounting says
	}
	const acct = "net.netfilter.nf_conntrack_acct"
	flows := m.Config.Accounting == state.Flows
	var findings []Finding
	for _, f := range m.Ruleset.Flowtables {
		switch {
		case !f.Passes || flows && f.Counts:
		case flows:
			findings = append(findings, fail(name, "add the line \"counter\" to the flowtable, where your ruleset declares it",
				"flowtable %s of table %v lets packets pass uncounted: it lacks the flag counter", f.Name, f.Table))
		default:
			findings = append(findings, fail(name,
				fmt.Sprintf("%s; %s; and add the line \"counter\" to the flowtable, where your ruleset declares it", m.host.setting("accounting", "flows"), m.host.sysctl(1, acct)),
				"flowtable %s of table %v (offload) lets packets pass uncounted", f.Name, f.Table))
		}
	}
	if flows && sysctlIs("net/netfilter/nf_conntrack_acct", "0") {
		findings = append(findings, fail(name, m.host.sysctl(1, acct), "conntrack counts no bytes (%s is 0), as --accounting=flows needs", acct))
	}
	if flows && m.Interval > longestGap {
		findings = append(findings, warn(name, m.host.setting("interval", "2"),
			"runs are %v apart, more than %v: connections that end in between are not counted whole", m.Interval, longestGap))
	}
	return orOK(findings, name, "no flowtable lets packets pass uncounted")
}
