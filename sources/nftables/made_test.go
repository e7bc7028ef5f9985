package nftables

import (
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// inObjects reports which of the counters are in objects with these IDs.
func inObjects(counters []state.Counter, objects []state.CounterID) (found int) {
	for _, c := range counters {
		if _, ok := slices.BinarySearchFunc(objects, c.ID, state.CounterID.Compare); ok {
			found++
		}
	}
	return found
}

// A run tells what it made, what has come since, from what somebody loaded, such as
// a ruleset that was saved with its counters; and that it had to put something back.
func TestMadeAndLoaded(t *testing.T) {
	t.Parallel()
	for _, layout := range []state.Layout{state.Sets, state.Flows, state.Rules} {
		t.Run(string(layout), func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				p := plan(layout)
				empty := lab.Command(t, "nft", "list", "ruleset")
				check := func(what string, made, repaired bool) *state.Accounting {
					t.Helper()
					a := mustAccount(t, p)
					if n := inObjects(a.Counters, a.Made); made && n != len(a.Counters) || !made && len(a.Made) > 0 {
						t.Errorf("%s: made %v, %d of %d counters", what, a.Made, n, len(a.Counters))
					}
					if a.Repaired != repaired {
						t.Errorf("%s: repaired %t, want %t", what, a.Repaired, repaired)
					}
					if !slices.IsSortedFunc(a.Objects, state.CounterID.Compare) || !slices.IsSortedFunc(a.Made, state.CounterID.Compare) {
						t.Errorf("%s: not sorted: %+v", what, a)
					}
					return a
				}
				check("first run of all", true, false)
				converse(t, r.Server, r.Laptop)
				p.Last = check("first of this state", false, false)
				p.Last = check("nothing to do", false, false)
				saved := lab.Command(t, "nft", "list", "ruleset")

				for range 2 {
					lab.Nft(t, "flush ruleset\n"+saved)
					a := check("saved and loaded", false, false)
					if layout != state.Flows && len(counted(a)) != 4 {
						t.Errorf("%d counters have what was saved, want 4", len(counted(a)))
					}
					if n := inObjects(a.Counters, p.Last.Objects); n > 0 || slices.ContainsFunc(a.Counters, func(c state.Counter) bool {
						return slices.ContainsFunc(p.Last.Counters, func(last state.Counter) bool { return last.ID == c.ID })
					}) {
						t.Errorf("counters that were loaded pass for those of before: %+v", a.Counters)
					}
					p.Last = a
				}
				lab.Nft(t, "flush ruleset\n"+empty)
				p.Last = check("flushed", true, true)
				p.Last = check("after that", false, false)

				table := map[state.Layout]string{state.Rules: filterTable}[layout]
				if table == "" {
					table = ownTable
				}
				lab.Nft(t, "flush chain inet "+table+" CLIENT_TRAFFIC")
				a := mustAccount(t, p)
				if !a.Repaired {
					t.Error("chain flushed: not repaired")
				}
				p.Last = a
				p.Networks = append(slices.Clone(p.Networks), prefixes("192.168.30.0/24")...)
				if a := mustAccount(t, p); a.Repaired {
					t.Error("another network: repaired")
				}
			})
		})
	}
}

// What somebody else changed in the moment after ours makes it unknown what was
// ours: nothing passes for made.
func TestMadeUnknown(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		k := &followed{kernel: connect(t), change: func() { lab.Nft(t, "add table ip other") }}
		a, err := account(k, plan(state.Sets))
		if err != nil || len(a.Made) > 0 || len(a.Objects) == 0 {
			t.Errorf("got %+v, %v", a, err)
		}
	})
}

// followed is the kernel, to which somebody else makes a change after the first
// that it is told.
type followed struct {
	kernel
	change func()
}

func (k *followed) Commit(subsystem uint8, generation uint32, changes []netlink.Message) error {
	err := k.kernel.Commit(subsystem, generation, changes)
	if k.change != nil {
		k.change()
		k.change = nil
	}
	return err
}

// In the rules layout a client whose rule was taken away is a repair, a new one is
// none, and one that was forgotten neither.
func TestRepairedRules(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		p := plan(state.Rules)
		all := p.Clients
		p.Clients = all[:4]
		p.Last = mustAccount(t, p)
		p.Clients = all
		a := mustAccount(t, p)
		if a.Repaired || len(a.Made) != 4 {
			t.Errorf("new clients: repaired %t, %d made, want 4", a.Repaired, len(a.Made))
		}
		p.Last = a
		lab.Nft(t, fmt.Sprintf("delete rule inet filter CLIENT_TRAFFIC handle %d", a.Counters[0].ID.Object))
		a = mustAccount(t, p)
		if !a.Repaired || len(a.Made) != 1 {
			t.Errorf("rule deleted: repaired %t, %d made, want 1", a.Repaired, len(a.Made))
		}
		deleted, err := Forget(a.Counters[:2], a)
		if err != nil || len(deleted) != 2 {
			t.Fatalf("%d deleted, %v, want 2", len(deleted), err)
		}
		a.Counters = a.Counters[2:]
		p.Last, p.Clients = a, append(slices.Clone(all), address(1))
		if a := mustAccount(t, p); a.Repaired || len(a.Made) != 4 {
			t.Errorf("forgotten and back: repaired %t, %d made, want 4", a.Repaired, len(a.Made))
		}
	})
}

// A set of another size is made anew, with what it counted handed out.
func TestResize(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		p := plan(state.Sets)
		mustAccount(t, p)
		want := converse(t, r.Server, r.Clients()...)
		p.MaxClients = 10
		a := mustAccount(t, p)
		if diff := gocmp.Diff(want, nonzero(a.ReplacedCounters), alike); diff != "" {
			t.Errorf("replaced (-want +got):\n%s", diff)
		}
		if n := inObjects(a.Counters, a.Made); n != len(a.Counters) || len(counted(a)) > 0 {
			t.Errorf("%d of %d counters made, %d count", n, len(a.Counters), len(counted(a)))
		}
		still(t, p)
	})
}
