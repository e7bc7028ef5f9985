package nftables

import (
	"errors"
	"runtime"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// busy is the kernel, which forwards packets before it hears each question and each
// transaction, and does not hear so many of them any more once it is told to die.
type busy struct {
	kernel
	forward func()
	calls   int // that are heard yet; negative: all
	commits int // that were made
}

var errKilled = errors.New("killed")

func (k *busy) hears() bool {
	k.forward()
	k.calls--
	return k.calls != -1
}

func (k *busy) Dump(question netlink.Message, answer uint16, each func([]byte) error) error {
	if !k.hears() {
		return errKilled
	}
	return k.kernel.Dump(question, answer, each)
}

func (k *busy) Commit(subsystem uint8, generation uint32, changes []netlink.Message) error {
	if !k.hears() {
		return errKilled
	}
	k.commits++
	return k.kernel.Commit(subsystem, generation, changes)
}

// A change of the layout under traffic counts each packet once, in two transactions,
// also if the run ends before the second one and another one goes on; and it is no
// repair.
func TestSwitchUnderTraffic(t *testing.T) {
	t.Parallel()
	for _, change := range []struct{ from, to state.Layout }{{state.Sets, state.Rules}, {state.Rules, state.Sets}} {
		t.Run(string(change.from), func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				const all = -1
				ended := 0
				for commits := 0; commits < 2; ended++ {
					s := newSwitch(t, r, change.from, change.to)
					k := &busy{kernel: connect(t), forward: s.forward, calls: ended}
					if _, err := account(k, s.plan); !errors.Is(err, errKilled) {
						t.Fatalf("to end at call %d: %v", ended, err)
					}
					if commits = k.commits; commits == 2 {
						// What it took away it tells nobody: that is lost, and what has come
						// since does not pass for it.
						if a := mustAccount(t, s.plan); len(a.ReplacedCounters)+len(a.Made) > 0 || a.Repaired {
							t.Errorf("after the end: %+v", a)
						}
						break
					}
					if commits == 1 {
						s.halfway(t)
					}
					s.check(t, &busy{kernel: connect(t), forward: s.forward, calls: all})
				}
				s := newSwitch(t, r, change.from, change.to)
				k := &busy{kernel: connect(t), forward: s.forward, calls: all}
				if s.check(t, k); k.commits != 2 {
					t.Errorf("%d transactions, want 2", k.commits)
				}
				// Somebody else's change is to be made before the second one.
				s = newSwitch(t, r, change.from, change.to)
				o := &overtaken{kernel: connect(t)}
				k = &busy{kernel: o, calls: all}
				k.forward = func() {
					if s.forward(); k.commits == 1 {
						o.change = func() { lab.Nft(t, "add table ip other") }
					}
				}
				if s.check(t, k); o.refused != 1 {
					t.Errorf("%d commits refused, want 1", o.refused)
				}
				if ended < 12 {
					t.Errorf("ended at %d calls only", ended)
				}
			})
		})
	}
}

// layoutSwitch is a change of the layout, before which something has been counted.
type layoutSwitch struct {
	plan    Plan
	flow    *lab.Flow
	forward func()
	sum     [2]state.Traffic // forwarded, of the laptop
}

func newSwitch(t *testing.T, r *lab.Router, from, to state.Layout) *layoutSwitch {
	t.Helper()
	lab.Nft(t, "flush ruleset\n"+firewall)
	s := &layoutSwitch{plan: plan(to), flow: lab.UDP(t, "udp4", r.Laptop, r.Server)}
	s.forward = func() {
		for d, bytes := range map[state.Direction]uint64{state.Tx: s.flow.Send(t, 1, 1000), state.Rx: s.flow.Reply(t, 1, 500)} {
			s.sum[d].Bytes += bytes
			s.sum[d].Packets++
		}
	}
	mustAccount(t, plan(from))
	s.forward()
	s.plan.Last = mustAccount(t, plan(from))
	s.forward()
	return s
}

// halfway checks what others make of the ruleset if a run ended.
func (s *layoutSwitch) halfway(t *testing.T) {
	t.Helper()
	if found := mustLook(t, s.plan); len(found.Missing) > 0 || found.Fault != nil || found.Accounting.Layout != s.plan.Layout {
		t.Errorf("looks like %+v", found)
	}
	theirs := s.plan
	theirs.Owner, theirs.OwnerAlive = stranger, func(Owner) bool { return true }
	if a, err := Account(theirs); err == nil {
		t.Errorf("another instance takes over: %+v", a)
	}
}

// check ends the change, and checks what it counted.
func (s *layoutSwitch) check(t *testing.T, k kernel) {
	t.Helper()
	a, err := account(k, s.plan)
	if err != nil {
		t.Fatal(err)
	}
	if a.Repaired {
		t.Error("repaired")
	}
	if n := inObjects(a.Counters, a.Made); n != len(a.Counters) {
		t.Errorf("%d of %d counters made since", n, len(a.Counters))
	}
	if !slices.IsSortedFunc(a.ReplacedCounters, state.Counter.Compare) || !slices.IsSortedFunc(a.Made, state.CounterID.Compare) {
		t.Errorf("not sorted: %+v", a)
	}
	former := a.ReplacedCounters
	s.plan.Last = a
	if a = mustAccount(t, s.plan); a.Repaired || len(a.ReplacedCounters)+len(a.Made) > 0 {
		t.Errorf("after that: %+v", a)
	}
	want := []state.Counter{tx("192.168.10.100", s.sum[state.Tx].Packets, s.sum[state.Tx].Bytes), rx("192.168.10.100", s.sum[state.Rx].Packets, s.sum[state.Rx].Bytes)}
	if diff := gocmp.Diff(want, total(nonzero(former), counted(a)), alike); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

// While packets come, the layouts take over from each other many times, and each packet
// is counted once. All is done on one processor: what another one forwards at that
// moment may have passed the place of the one layout and not yet that of the other.
func TestSwitchBackAndForth(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		flow.Send(t, 1, 1) // answers pass
		layouts := []state.Layout{state.Sets, state.Rules}
		a := mustAccount(t, plan(layouts[0]))
		var counters []state.Counter
		changed := make(chan error)
		go func() {
			err := onOneProcessor()
			for n := 1; n <= 20 && err == nil; n++ {
				p := plan(layouts[n%2])
				p.Last = a
				if a, err = Account(p); err == nil {
					counters = append(counters, a.ReplacedCounters...)
				}
			}
			changed <- err
		}()
		if err := onOneProcessor(); err != nil {
			t.Fatal(err)
		}
		var want [2]state.Traffic
		for done := false; !done; {
			select {
			case err := <-changed:
				if done = true; err != nil {
					t.Fatal(err)
				}
			default:
			}
			want[state.Tx].Bytes += flow.Send(t, 16, 100)
			want[state.Rx].Bytes += flow.Reply(t, 16, 200)
			want[state.Tx].Packets += 16
			want[state.Rx].Packets += 16
		}
		if want[state.Tx].Packets < 100 {
			t.Errorf("%d packets came meanwhile", want[state.Tx].Packets)
		}
		got := moved(append(counters, mustAccount(t, plan(layouts[0])).Counters...))
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("counted (-want +got):\n%s", diff)
		}
	})
}

// onOneProcessor binds a goroutine to its thread, and that to the first processor.
func onOneProcessor() error {
	runtime.LockOSThread()
	var allowed, first unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return err
	}
	for n := 0; first.Count() == 0; n++ {
		if allowed.IsSet(n) {
			first.Set(n)
		}
	}
	return unix.SchedSetaffinity(0, &first)
}
