package nftables

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// together returns those of the wanted counters that are there and show the same,
// but for those of an address of which any counter is not wanted.
func together(there, wanted []state.Counter) []state.Counter {
	want := make(map[state.Counter]bool, len(wanted))
	for _, c := range wanted {
		want[c] = true
	}
	spared := make(map[netip.Addr]bool)
	for _, c := range there {
		if !want[c] {
			spared[c.Addr] = true
		}
	}
	var found []state.Counter
	for _, c := range there {
		if !spared[c.Addr] {
			found = append(found, c)
		}
	}
	return found
}

// forgetElements deletes elements that show exactly what these counters do, and
// with them what the same addresses have in the sets of local traffic.
func (b *batch) forgetElements(k kernel, own contents, counters []state.Counter, last *state.Accounting) ([]state.Counter, error) {
	a, sets, err := readSets(k, own, last, nil)
	if err != nil {
		return nil, err
	}
	deleted := together(a.Counters, counters)
	gone := make(map[netip.Addr]bool, len(deleted))
	for _, c := range deleted {
		gone[c.Addr] = true
	}
	for _, s := range sets {
		var elements []element
		for _, c := range s.counters {
			if gone[c.Addr] {
				elements = append(elements, element{key: c.Addr.AsSlice()})
			}
		}
		b.elements(unix.NFT_MSG_DELSETELEM, ownTable, s.name, 0, elements)
	}
	return deleted, nil
}

// forgetRules deletes rules of ours that show exactly what these counters do.
func (b *batch) forgetRules(filter contents, counters []state.Counter) []state.Counter {
	own := filter.ownRules()
	deleted := together(filter.ruleCounters(own), counters)
	gone := make(map[state.CounterID]bool, len(deleted))
	for _, c := range deleted {
		gone[c.ID] = true
	}
	for _, r := range own {
		if gone[filter.id(r.handle)] {
			b.deleteRule(filterTable, r)
		}
	}
	return deleted
}
