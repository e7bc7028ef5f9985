package nftables

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
)

// Jump is a rule of table inet filter that leads to its chain CLIENT_TRAFFIC, and
// that packets which are forwarded come to.
type Jump struct {
	Chain string // that it is in
	Map   string // the verdict map that leads there; empty: the rule itself does
	Ours  bool
	Late  bool // rules before it may accept packets, which then go uncounted

	handle uint64
}

// ledByOthers reports whether forwarded packets come to the traffic chain by other
// rules than ours. How many rules lead to a chain the kernel counts: mostly none
// has to be looked for.
func (c contents) ledByOthers(k kernel) (bool, error) {
	traffic, there := c.chains[trafficChain]
	if !there {
		return false, nil
	}
	if traffic.kind != "" {
		return true, nil // of the hook itself
	}
	if int(traffic.use) == len(c.rules[trafficChain])+len(ourJumps(c.rules[forwardChain])) {
		return false, nil
	}
	g, err := c.readGraph(k)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(g.jumps(), func(j Jump) bool { return !j.Ours }), nil
}

// graph is which chain of a table leads to which.
type graph struct {
	chains map[string]chain
	rules  map[string][]rule
	maps   map[string][]string // the chains in a verdict map
}

func (c contents) readGraph(k kernel) (graph, error) {
	all := contents{table: c.table, chains: c.chains, rules: make(map[string][]rule)}
	g := graph{chains: c.chains, rules: all.rules, maps: make(map[string][]string)}
	if err := all.readRules(k, ""); err != nil {
		return g, err
	}
	for _, rules := range all.rules {
		for _, r := range rules {
			for _, name := range r.maps {
				if _, known := g.maps[name]; known {
					continue
				}
				var err error
				if g.maps[name], err = readVerdicts(k, c.name, name); err != nil {
					return g, err
				}
			}
		}
	}
	return g, nil
}

// readVerdicts returns the chains that a verdict map leads to.
func readVerdicts(k kernel, table, name string) ([]string, error) {
	elements, err := dump(k, unix.NFPROTO_INET, unix.NFT_MSG_GETSETELEM, unix.NFT_MSG_NEWSETELEM, func(e *netlink.Encoder) {
		e.Text(unix.NFTA_SET_ELEM_LIST_TABLE, table)
		e.Text(unix.NFTA_SET_ELEM_LIST_SET, name)
	}, parseVerdicts)
	if err != nil {
		return nil, fmt.Errorf("list elements of map %s in table inet %s: %w", name, table, err)
	}
	return slices.Concat(elements...), nil
}

// parseVerdicts decodes the attributes of NFT_MSG_NEWSETELEM of a verdict map.
func parseVerdicts(_ uint8, attrs []byte) ([]string, error) {
	var targets []string
	var err error
	for typ, value := range netlink.Attributes(attrs, &err) {
		if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			continue
		}
		for _, element := range value.Nested() {
			for typ, value := range element.Nested() {
				if typ != unix.NFTA_SET_ELEM_DATA {
					continue
				}
				if _, target, ok := parseVerdict(value); ok && target != "" {
					targets = append(targets, target)
				}
			}
		}
	}
	return targets, err
}

// jumps returns the rules by which forwarded packets come to the traffic chain.
func (g graph) jumps() []Jump {
	var w walk
	for _, name := range slices.Sorted(maps.Keys(g.chains)) {
		if g.chains[name].forwards() {
			w.visit(g, name, false)
		}
	}
	return w.jumps
}

// walk follows the way of packets.
type walk struct {
	jumps []Jump
	seen  []visit
}

type visit struct {
	chain string
	late  bool
}

// visit follows the rules of a chain. Late: packets may have been accepted before
// they come to it.
func (w *walk) visit(g graph, name string, late bool) {
	here := visit{name, late}
	if slices.Contains(w.seen, here) {
		return
	}
	w.seen = append(w.seen, here)
	for _, r := range g.rules[name] {
		w.follow(g, r.jump, Jump{Chain: name, Ours: r.isOurJump(), Late: late, handle: r.handle})
		for _, m := range r.maps {
			for _, target := range g.maps[m] {
				w.follow(g, target, Jump{Chain: name, Map: m, Late: late, handle: r.handle})
			}
		}
		late = late || r.accepts
	}
}

// follow goes where a rule leads.
func (w *walk) follow(g graph, target string, j Jump) {
	switch target {
	case "":
	case trafficChain:
		i := slices.IndexFunc(w.jumps, func(known Jump) bool { return known.handle == j.handle && known.Map == j.Map })
		if i < 0 {
			w.jumps = append(w.jumps, j)
		} else {
			w.jumps[i].Late = w.jumps[i].Late || j.Late
		}
	default:
		w.visit(g, target, j.Late)
	}
}
