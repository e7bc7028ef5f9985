// Package nftables counts the clients' traffic in the kernel: it puts in place
// what counts, reads it, and takes it away again.
package nftables

import (
	"errors"
	"net/netip"
	"slices"

	"network-metrics-exporter/state"
)

// Plan says what is to be counted, and how.
type Plan struct {
	// Layout is what to count with. state.Off: whatever is there, whoever made it;
	// nothing is written.
	Layout     state.Layout
	Interfaces []string       // of the LAN; a trailing * stands for all that begin so
	Networks   []netip.Prefix // the clients'
	// Clients are those to be counted by themselves from the start, the most
	// important first; all are inside Networks. Of more than MaxClients, the rest
	// gets nothing made.
	Clients    []netip.Addr
	MaxClients int // at least 1
	// Owner is this instance.
	Owner Owner
	// OwnerAlive reports whether an instance that made what is there still exists:
	// whether its state directory has its ID. nil: none does.
	OwnerAlive func(Owner) bool
	// Last is what the last run of this boot left, without the counters that Forget
	// deleted. nil: there was none.
	Last *state.Accounting
}

// setSize is how many elements each set takes. It bounds the kernel's memory and
// the time to read them if somebody sends from made-up addresses. State deletes the
// idle ones when a set is more than half full.
func (p Plan) setSize() uint32 { return 2 * uint32(p.MaxClients) }

// errNoChain tells that nothing is there that would count.
var errNoChain = errors.New("nothing counts the clients' traffic: there is neither " + rulesChain +
	" nor a set in table inet " + ownTable + "; choose another --accounting, which makes them")

// Account puts what counts in place where anything of it is missing, takes away
// what it made for another layout, and reads the counters: in the run that changes
// the layout also those that it took away, for the last time.
//
// A ruleset in which nothing is missing is not written to. Objects of anyone else
// are never touched; what of them stands in the way is an error, as is another
// instance of this program. If there is an Accounting beside an error, its counters
// are whole.
//
// It needs CAP_NET_ADMIN and Linux 5.4, for lookups in sets with counters; before
// 5.10 tables and chains cannot be marked as ours.
func Account(p Plan) (*state.Accounting, error) {
	k, err := open()
	if err != nil {
		return nil, err
	}
	defer k.Close()
	return account(k, p)
}

func account(k kernel, p Plan) (*state.Accounting, error) {
	p = p.bounded()
	r := run{k: k, plan: p, sets: make(map[state.CounterID]setCounters)}
	if err := steadily(k, r.try); err != nil {
		return nil, err
	}
	if p.Layout == state.Off {
		return r.accounting, nil
	}
	return r.accounting, addToSets(k, r.generation, r.counted, p.Clients)
}

// bounded fills in what may be left out.
func (p Plan) bounded() Plan {
	p.MaxClients = max(1, p.MaxClients)
	if p.OwnerAlive == nil {
		p.OwnerAlive = func(Owner) bool { return false }
	}
	if p.Last == nil {
		p.Last = &state.Accounting{}
	}
	if p.Layout != state.Rules {
		p.Clients = p.Clients[:min(len(p.Clients), p.MaxClients)]
	}
	return p
}

// Forget deletes counters that Account gave, elements or rules, and returns those
// that it deleted: those of an address together or none of them. It leaves one that
// has counted anything since, is gone already, or is a rule that somebody else
// made. An element that comes back has the same ID and counts from zero: the caller
// has to drop its reading.
func Forget(counters []state.Counter, a *state.Accounting) (deleted []state.Counter, err error) {
	counters = slices.DeleteFunc(slices.Clone(counters), func(c state.Counter) bool {
		_, foreign := slices.BinarySearchFunc(a.Foreign, c.ID, state.CounterID.Compare)
		return foreign
	})
	if len(counters) == 0 {
		return nil, nil
	}
	k, err := open()
	if err != nil {
		return nil, err
	}
	defer k.Close()
	return forget(k, counters, a)
}

func forget(k kernel, counters []state.Counter, a *state.Accounting) (deleted []state.Counter, err error) {
	err = steadily(k, func(generation uint32) error {
		if deleted != nil {
			return nil
		}
		r, err := survey(k, generation)
		if err != nil {
			return err
		}
		var b batch
		var gone []state.Counter
		if a.Layout == state.Rules {
			gone = b.forgetRules(r.filter, counters)
		} else if gone, err = b.forgetElements(k, r.own, counters, a); err != nil {
			return err
		}
		if _, err := b.commit(k, generation); err != nil {
			return err
		}
		deleted = gone
		return nil
	})
	return deleted, err
}

// Teardown takes away what this program made, whichever instance of it, in any
// layout, and nothing else. It is no error if nothing is there.
func Teardown() error {
	k, err := open()
	if err != nil {
		return err
	}
	defer k.Close()
	return steadily(k, func(generation uint32) error {
		r, err := survey(k, generation)
		if err != nil {
			return err
		}
		var b batch
		b.removeSets(r.own)
		b.removeRules(r.filter)
		_, err = b.commit(k, generation)
		return err
	})
}
