package nftables

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// address gives one of 65,536 of 10.9.0.0/16.
func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}) }

// fill puts elements into a set as the kernel does with a client's first packet,
// with a counter each.
func fill(tb testing.TB, set string, from, to int) {
	tb.Helper()
	k, err := dial()
	if err != nil {
		tb.Fatal(err)
	}
	defer k.Close()
	g, err := readGeneration(k)
	if err != nil {
		tb.Fatal(err)
	}
	var b batch
	for start := from; start < to; start += 500 {
		b.add(unix.NFT_MSG_NEWSETELEM, create, func(e encoder) {
			e.String(unix.NFTA_SET_ELEM_LIST_TABLE, ownTable)
			e.String(unix.NFTA_SET_ELEM_LIST_SET, set)
			e.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(e encoder) {
				for i := start; i < min(to, start+500); i++ {
					e.nest(unix.NFTA_LIST_ELEM, func(e encoder) {
						e.nest(unix.NFTA_SET_ELEM_KEY, func(e encoder) { e.Bytes(unix.NFTA_DATA_VALUE, address(i).AsSlice()) })
						e.Do(unix.NFTA_SET_ELEM_EXPR|netlink.Nested, func() ([]byte, error) {
							return expr.Marshal(unix.NFPROTO_INET, &expr.Counter{Bytes: uint64(1000 + i), Packets: uint64(i)})
						})
					})
				}
			})
		})
	}
	if err := b.commit(k, g); err != nil {
		tb.Fatal(err)
	}
}

// A set takes as many clients as it was made for. When it has no room left that is
// told, a new client goes uncounted while the others go on, and what is forgotten
// makes room.
func TestSetFull(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		p := plan(state.Sets)
		mustAccount(t, p)
		early := converse(t, r.Server, r.Laptop)
		fill(t, "client_tx", 0, setSize-2)
		if a := mustAccount(t, p); a.Full || len(a.Counters) != setSize+2 {
			t.Errorf("with one place left: %d counters, full: %t", len(a.Counters), a.Full)
		}
		fill(t, "client_tx", setSize-2, setSize-1)
		a := mustAccount(t, p)
		if !a.Full || len(a.Counters) != setSize+3 {
			t.Errorf("without a place left: %d counters, full: %t", len(a.Counters), a.Full)
		}

		again := converse(t, r.Server, r.Laptop)
		late := converse(t, r.Server, r.Phone)
		var want, got []state.Counter
		for _, c := range total(early, again, late) {
			if c.Addr != r.Phone.IPv4 || c.Direction != state.Tx {
				want = append(want, c)
			}
		}
		made := netip.MustParsePrefix("10.9.0.0/16")
		for _, c := range mustAccount(t, p).Counters {
			if !made.Contains(c.Addr) {
				got = append(got, c)
			}
		}
		if diff := cmp.Diff(want, got, alike); diff != "" {
			t.Errorf("counters of the full set (-want +got):\n%s", diff)
		}

		idle := slices.DeleteFunc(a.Counters, func(c state.Counter) bool { return !made.Contains(c.Addr) })
		deleted, err := Forget(idle, state.Sets)
		if err != nil || len(deleted) != setSize-1 {
			t.Errorf("%d forgotten, %v, want %d", len(deleted), err, setSize-1)
		}
		if a := mustAccount(t, p); a.Full || len(a.Counters) != len(want) {
			t.Errorf("after that: %d counters, full: %t", len(a.Counters), a.Full)
		}
		converse(t, r.Server, r.Phone)
		if a := mustAccount(t, p); len(a.Counters) != len(want)+1 {
			t.Errorf("with room again: %d counters, want %d", len(a.Counters), len(want)+1)
		}
	})
}

// What has counted since it was read, is gone or is not ours is not forgotten.
func TestForget(t *testing.T) {
	t.Parallel()
	for _, layout := range []state.Layout{state.Sets, state.Rules} {
		t.Run(string(layout), func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				p := plan(layout)
				mustAccount(t, p)
				converse(t, r.Server, r.Clients()...)
				before := mustAccount(t, p).Counters
				flow := lab.UDP(t, "udp4", r.Phone, r.Server)
				flow.Send(t, 1, 0)

				deleted, err := Forget(before, layout)
				if err != nil {
					t.Fatal(err)
				}
				left := slices.DeleteFunc(before, func(c state.Counter) bool { return slices.Contains(deleted, c) })
				if len(left) != 1 || left[0].Addr != r.Phone.IPv4 || left[0].Direction != state.Tx || len(deleted) != 11 {
					t.Errorf("%d forgotten but for %+v, want all 12 but for what the phone sends over IPv4", len(deleted), left)
				}
				g := generation(t)
				if again, err := Forget(deleted, layout); err != nil || again != nil || generation(t) != g {
					t.Errorf("forgotten twice: %+v, %v", again, err)
				}
				p.Clients = nil
				now := mustAccount(t, p).Counters
				if len(now) != 1 || now[0].ID != left[0].ID || now[0].Packets != left[0].Packets+1 {
					t.Errorf("counters %+v, want %+v and a packet", now, left)
				}
			})
		})
	}
	t.Run("rules of others", func(t *testing.T) {
		t.Parallel()
		lab.Namespace(t, func(t *testing.T) {
			load(t, byHand)
			deleted, err := Forget(mustAccount(t, plan(state.Rules)).Counters, state.Rules)
			if err != nil || len(deleted) != 11 {
				t.Errorf("%d forgotten, %v, want 11", len(deleted), err)
			}
			if got := listing(t); got != byHand {
				t.Errorf("ruleset (-want +got):\n%s", cmp.Diff(byHand, got))
			}
		})
	})
}

// The rules of 10,000 clients pass an unprivileged socket, into a chain of ours
// as into one that somebody else made, and out again.
func TestManyClients(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		p := plan(state.Rules)
		p.Clients = nil
		for i := range 10_000 {
			p.Clients = append(p.Clients, address(i))
		}
		for name, ruleset := range map[string]string{"own chain": firewall, "chain by hand": chainByHand} {
			t.Run(name, func(t *testing.T) {
				load(t, ruleset)
				a := mustAccount(t, p)
				if want := 20_000 + strings.Count(ruleset, "tx_"); len(a.Counters) != want || len(slices.Compact(ids(a.Counters))) != want {
					t.Errorf("%d counters, want %d", len(a.Counters), want)
				}
				still(t, p)
				if err := Teardown(); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(ruleset, listing(t)); diff != "" {
					t.Errorf("ruleset (-before +after):\n%s", diff)
				}
			})
		}
	})
}

// As many networks and interfaces as nobody has are still one transaction.
func TestManyNetworks(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		p := plan(state.Sets)
		for i := range 1500 {
			p.Interfaces = append(p.Interfaces, fmt.Sprint("lan", i%200))
			p.Networks = append(p.Networks, netip.PrefixFrom(address(2*i<<4), 28))
		}
		before := generation(t)
		mustAccount(t, p)
		if after := generation(t); after != before+1 {
			t.Errorf("%d transactions, want 1", after-before)
		}
		still(t, p)
	})
}

// A fake stands in for the kernel, which tears a dump only by chance: each answer
// to the question for elements that it is told of is changed.
type tearing struct {
	kernel
	answers []func(netlink.Message) netlink.Message
	asked   int
}

func (k *tearing) ask(request netlink.Message, each func(netlink.Message) error) error {
	if request.Header.Type&0xff == unix.NFT_MSG_GETSETELEM {
		if k.asked++; k.asked <= len(k.answers) {
			whole, change := each, k.answers[k.asked-1]
			each = func(reply netlink.Message) error { return whole(change(reply)) }
		}
	}
	return k.kernel.ask(request, each)
}

func TestTornElements(t *testing.T) {
	t.Parallel()
	interrupted := func(m netlink.Message) netlink.Message {
		m.Header.Flags |= netlink.DumpInterrupted
		return m
	}
	empty := func(m netlink.Message) netlink.Message {
		m.Data = m.Data[:sizeofNfgenmsg]
		return m
	}
	lab.Namespace(t, func(t *testing.T) {
		mustAccount(t, plan(state.Sets))
		fill(t, "client_tx", 0, 2000)
		want := mustAccount(t, plan(state.Sets)).Counters
		if len(want) != 2000 {
			t.Fatalf("%d counters, want 2000", len(want))
		}
		if own, _, err := survey(open(t)); err != nil || own.sets["client_tx"].count != 2000 {
			lab.Unavailable(t, "the kernel tells of %d elements, %v (since Linux 6.17)", own.sets["client_tx"].count, err)
		}
		for name, tear := range map[string]func(netlink.Message) netlink.Message{"interrupted": interrupted, "elements skipped": empty} {
			k := &tearing{kernel: open(t), answers: []func(netlink.Message) netlink.Message{tear, tear}}
			a, err := account(k, plan(state.Sets))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want, a.Counters, alike); diff != "" {
				t.Errorf("%s: counters (-want +got):\n%s", name, diff)
			}
			k = &tearing{kernel: open(t), answers: slices.Repeat(k.answers[:1], 100)}
			if a, err := account(k, plan(state.Sets)); a != nil || err == nil || k.asked != maxAttempts {
				t.Errorf("%s always: got %+v, %v after %d attempts", name, a, err, k.asked)
			}
		}
	})
}

// Somebody else's change between what was read and what is written makes that be
// worked out again: it is never written over.
func TestConcurrentChange(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		k := &overtaken{kernel: open(t), change: func() { lab.Nft(t, byHand) }}
		a, err := account(k, plan(state.Rules))
		if err != nil || len(a.Counters) != 13 {
			t.Fatalf("got %+v, %v, want 13 counters", a, err)
		}
		if got := strings.Count(listing(t), "jump CLIENT_TRAFFIC"); got != 1 {
			t.Errorf("%d jumps, want 1", got)
		}
		if k.refused != 1 {
			t.Errorf("%d commits refused, want 1", k.refused)
		}
		still(t, plan(state.Rules))
	})
}

// overtaken is the kernel, to which somebody else makes a change before the first
// that it is told.
type overtaken struct {
	kernel
	change  func()
	refused int
}

func (k *overtaken) commit(generation uint32, changes []netlink.Message) error {
	if k.change != nil {
		k.change()
		k.change = nil
	}
	err := k.kernel.commit(generation, changes)
	if errors.Is(err, unix.ERESTART) {
		k.refused++
	}
	return err
}

// A fake says that the module is missing, which would take another kernel.
type without struct{ error }

func (k without) ask(netlink.Message, func(netlink.Message) error) error { return k.error }
func (k without) commit(uint32, []netlink.Message) error                 { return k.error }

func TestNoModule(t *testing.T) {
	for _, missing := range []error{unix.EINVAL, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT} {
		_, err := account(without{missing}, plan(state.Sets))
		if !errors.Is(err, missing) || !strings.HasSuffix(err.Error(), "(the kernel has no nftables: modprobe nf_tables)") {
			t.Errorf("got error %v", err)
		}
	}
	if _, err := account(without{unix.EPERM}, plan(state.Sets)); !errors.Is(err, unix.EPERM) || strings.Contains(err.Error(), "modprobe") {
		t.Errorf("got error %v", err)
	}
}
