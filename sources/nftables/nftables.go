// Package nftables counts the clients' traffic in the kernel: it puts in place
// what counts, reads it, and takes it away again.
package nftables

import (
	"errors"
	"net/netip"

	"network-metrics-exporter/state"
)

// Plan says what is to be counted, and how.
type Plan struct {
	// Layout is what to count with. state.Off: whichever of the two is there,
	// whoever made it; nothing is written.
	Layout     state.Layout
	Interfaces []string       // of the LAN
	Networks   []netip.Prefix // the clients'
	// Clients are those that need rules, for state.Rules. All are inside Networks.
	Clients []netip.Addr
}

// errNoChain tells that nothing is there that would count.
var errNoChain = errors.New("nothing counts the clients' traffic: there is neither " + place +
	" nor a set in table inet " + ownTable + "; choose another --accounting, which makes them")

// Account puts what counts in place where anything of it is missing, takes away
// what it made for another layout, and reads the counters: in the run that
// changes the layout also those that it took away, for the last time.
//
// A ruleset in which nothing is missing is not written to. Objects of anyone else
// are never touched; what of them stands in the way is an error. If there is an
// Accounting beside an error, its counters are whole.
//
// It needs CAP_NET_ADMIN and Linux 4.16; before 5.10 tables and chains cannot be
// marked as ours.
func Account(p Plan) (*state.Accounting, error) {
	k, err := dial()
	if err != nil {
		return nil, err
	}
	defer k.Close()
	return account(k, p)
}

func account(k kernel, p Plan) (*state.Accounting, error) {
	var a *state.Accounting
	var retired []state.Counter
	err := steadily(k, func(generation uint32) error {
		own, filter, err := survey(k)
		if err != nil {
			return err
		}
		var b batch
		switch p.Layout {
		case state.Sets:
			if err := checkSets(own); err != nil {
				return err
			}
			b.repairSets(own, p)
			b.removeRules(filter)
			if own := ownRules(filter); len(own) > 0 {
				retired = ruleCounters(filter, own)
			}
		case state.Rules:
			b.repairRules(filter, p.Clients)
			if b.removeSets(own) {
				if retired, _, err = setCounters(k, own); err != nil {
					return err
				}
			}
		}
		if len(b.changes) > 0 {
			return b.commit(k, generation)
		}
		a, err = readAccounting(k, p.Layout, own, filter)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.Retired = retired
	a.Flowtable, err = hasFlowtable(k)
	return a, err
}

// readAccounting reads the counters of a layout that is in place.
func readAccounting(k kernel, layout state.Layout, own, filter contents) (*state.Accounting, error) {
	_, hasRules := filter.chains[trafficChain]
	switch {
	case layout == state.Rules, layout == state.Off && hasRules:
		return &state.Accounting{Layout: state.Rules, Counters: ruleCounters(filter, filter.rules[trafficChain])}, nil
	case layout == state.Off && !own.hasClientSet():
		return nil, errNoChain
	}
	counters, full, err := setCounters(k, own)
	return &state.Accounting{Layout: state.Sets, Counters: counters, Full: full}, err
}

// Look reads the counters of a layout, or of the other one if it is not in place,
// and writes nothing.
func Look(layout state.Layout) (*state.Accounting, error) {
	k, err := dial()
	if err != nil {
		return nil, err
	}
	defer k.Close()
	var a *state.Accounting
	err = steadily(k, func(uint32) error {
		own, filter, err := survey(k)
		if err != nil {
			return err
		}
		if layout != state.Sets || !own.hasClientSet() {
			layout = state.Off
		}
		a, err = readAccounting(k, layout, own, filter)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.Flowtable, err = hasFlowtable(k)
	return a, err
}

// Forget deletes counters that Account gave, elements or rules, and gives those
// that it deleted. It leaves one that has counted anything since then, is gone
// already, or is a rule that somebody else made. An element that comes back has
// the same ID and counts from zero: the caller has to drop its reading.
func Forget(counters []state.Counter, layout state.Layout) (deleted []state.Counter, err error) {
	k, err := dial()
	if err != nil {
		return nil, err
	}
	defer k.Close()
	err = steadily(k, func(generation uint32) error {
		if deleted != nil {
			return nil
		}
		own, filter, err := survey(k)
		if err != nil {
			return err
		}
		var b batch
		var gone []state.Counter
		if layout == state.Rules {
			gone = b.forgetRules(filter, counters)
		} else if gone, err = b.forgetElements(k, own, counters); err != nil {
			return err
		}
		if err := b.commit(k, generation); err != nil {
			return err
		}
		deleted = gone
		return nil
	})
	return deleted, err
}

// Teardown takes away what this program made, in either layout, and nothing else.
// It is no error if nothing is there.
func Teardown() error {
	k, err := dial()
	if err != nil {
		return err
	}
	defer k.Close()
	return steadily(k, func(generation uint32) error {
		own, filter, err := survey(k)
		if err != nil {
			return err
		}
		var b batch
		b.removeSets(own)
		b.removeRules(filter)
		return b.commit(k, generation)
	})
}
