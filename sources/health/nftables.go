package health

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// Where what counts is, by layout.
var (
	setsChain  = place{unix.NFPROTO_INET, "network_metrics", "CLIENT_TRAFFIC"}
	rulesChain = place{unix.NFPROTO_INET, "filter", "CLIENT_TRAFFIC"}
)

// setsPriority is that of setsChain: after every firewall's.
const setsPriority = 300

// nftables looks at what counts the clients' traffic, and at what keeps it from
// counting all.
func (m Machine) nftables() []Finding {
	r, err := readRuleset()
	if err != nil {
		return []Finding{unknown("accounting", err)}
	}
	findings := []Finding{r.accounting(m.Accounting)}
	if m.Accounting != state.Sets {
		findings = append(findings, r.jump()...)
	}
	return append(findings, r.ignored(m.Accounting), r.flowtable())
}

// accounting looks for the objects of the layout.
func (r ruleset) accounting(layout state.Layout) Finding {
	const name = "accounting"
	_, hasRules := r.chains[rulesChain]
	var lacking []string
	chain, there := r.chains[setsChain]
	if !there || !chain.forward || chain.priority != setsPriority {
		lacking = append(lacking, fmt.Sprintf("chain %s with hook forward and priority %d", setsChain.chain, setsPriority))
	}
	for _, set := range []string{"client_tx", "client_rx", "client_tx6", "client_rx6"} {
		if !r.sets[named{place{setsChain.family, setsChain.table, ""}, set}] {
			lacking = append(lacking, "set "+set)
		}
	}
	const run = "run the program once as root, which sets it up"
	switch {
	case layout == state.Rules && !hasRules:
		return fail(name, run, "chain %v is missing", rulesChain)
	case layout == state.Sets && len(lacking) > 0:
		return fail(name, run, "table %v lacks: %s", place{setsChain.family, setsChain.table, ""}, strings.Join(lacking, ", "))
	case layout == state.Off && !hasRules && len(lacking) > 0:
		return fail(name, "--accounting=sets, or rules in chain "+rulesChain.String(), "nothing counts the clients' traffic")
	case layout == state.Sets || !hasRules:
		return ok(name, "the sets of table %v count", place{setsChain.family, setsChain.table, ""})
	}
	counting := 0
	for _, u := range r.rules {
		if u.place == rulesChain && u.counter && counts(u.comment) {
			counting++
		}
	}
	return ok(name, "%d rules in chain %v count", counting, rulesChain)
}

// jump looks for the rule that sends packets to the chain of the rules: those that
// were accepted before they came to it go uncounted.
func (r ruleset) jump() []Finding {
	const name = "jump"
	chain, there := r.chains[rulesChain]
	if !there || chain.forward {
		return nil
	}
	cure := fmt.Sprintf("nft insert rule inet %s forward jump %s, and delete the other jump", rulesChain.table, rulesChain.chain)
	passed := make(map[place]bool) // chains of which a packet may have left already
	late := ""
	for _, u := range r.rules {
		if u.family != rulesChain.family || u.table != rulesChain.table {
			continue
		}
		if u.jump == rulesChain.chain {
			if r.chains[u.place].forward && !passed[u.place] {
				return []Finding{ok(name, "chain %v jumps to %s before it accepts anything", u.place, rulesChain.chain)}
			}
			late = u.chain
		}
		passed[u.place] = passed[u.place] || u.passes
	}
	if late != "" {
		return []Finding{warn(name, cure, "the jump to %s stands too late, in chain %s: what was accepted before it goes uncounted", rulesChain.chain, late)}
	}
	return []Finding{fail(name, strings.TrimSuffix(cure, ", and delete the other jump"), "no rule jumps to %s: it counts nothing", rulesChain.chain)}
}

// ignored looks for rules that were written to be counted by, and are not.
func (r ruleset) ignored(layout state.Layout) Finding {
	const name = "rules"
	why := make(map[string]int)
	for _, u := range r.rules {
		meant := counts(u.comment)
		switch {
		case u.place == rulesChain && layout == state.Sets && meant:
			why["not read with --accounting=sets, in chain "+u.place.String()]++
		case u.place != rulesChain && meant:
			why["in chain "+u.place.String()+" instead of "+rulesChain.String()]++
		case u.place == rulesChain && meant && !u.counter:
			why["without a counter"]++
		case u.place == rulesChain && !meant && u.counter:
			why[fmt.Sprintf("with the comment %q", u.comment)]++
		}
	}
	if len(why) == 0 {
		return ok(name, "none is passed over")
	}
	var texts []string
	for text, n := range why {
		texts = append(texts, fmt.Sprintf("%d %s", n, text))
	}
	cure := `write them as: nft add rule inet filter CLIENT_TRAFFIC ip saddr ADDRESS counter comment "tx_ADDRESS"`
	if layout == state.Sets {
		cure = "--accounting=rules, or delete them"
	}
	return warn(name, cure, "passed over: %s", strings.Join(slices.Sorted(slices.Values(texts)), "; "))
}

// flowtable looks for those that forwarded packets can take, past every counter.
func (r ruleset) flowtable() Finding {
	const name = "flowtable"
	for _, f := range r.flowtables {
		switch f.family {
		case unix.NFPROTO_INET, unix.NFPROTO_IPV4, unix.NFPROTO_IPV6:
			return fail(name, fmt.Sprintf("delete the rules with flow add @%s, then nft delete flowtable %v %s", f.name, f.place, f.name),
				"flowtable %s of table %v lets packets pass uncounted", f.name, f.place)
		}
	}
	return ok(name, "none lets packets pass uncounted")
}
