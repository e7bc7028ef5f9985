package nftables

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// address gives one of 65,536 of 10.9.0.0/16.
func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}) }

// fill puts elements into a set as the kernel does with a client's first packet,
// with a counter each.
func fill(tb testing.TB, set string, from, to int) {
	tb.Helper()
	k, err := open()
	if err != nil {
		tb.Fatal(err)
	}
	defer k.Close()
	var b batch
	for start := from; start < to; start += 500 {
		b.add(unix.NFT_MSG_NEWSETELEM, create, func(e *netlink.Encoder) {
			e.Text(unix.NFTA_SET_ELEM_LIST_TABLE, ownTable)
			e.Text(unix.NFTA_SET_ELEM_LIST_SET, set)
			e.Nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
				for i := start; i < min(to, start+500); i++ {
					e.Nested(unix.NFTA_LIST_ELEM, func() {
						e.Nested(unix.NFTA_SET_ELEM_KEY, func() { e.Bytes(unix.NFTA_DATA_VALUE, address(i).AsSlice()) })
						counter, err := expr.Marshal(unix.NFPROTO_INET, &expr.Counter{Bytes: uint64(1000 + i), Packets: uint64(i)})
						if err != nil {
							tb.Fatal(err)
						}
						e.Bytes(unix.NFTA_SET_ELEM_EXPR|unix.NLA_F_NESTED, counter)
					})
				}
			})
		})
	}
	err = steadily(k, func(generation uint32) error {
		_, err := b.commit(k, generation)
		b.changes = nil
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// A set takes as many clients as it was made for. When it has no room left that is
// told; a new client counts among the others, while those who are known go on, and
// what is forgotten makes room for the next packet.
func TestSetFull(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		p := plan(state.Sets)
		p.Clients, p.MaxClients = nil, 8
		mustAccount(t, p)
		early := converse(t, r.Server, r.Laptop)
		fill(t, "client_tx", 0, 14)
		if a := mustAccount(t, p); a.Full || len(counted(a)) != 4+14 {
			t.Errorf("with one place left: %d counters, full: %t", len(counted(a)), a.Full)
		}
		fill(t, "client_tx", 14, 15)
		a := mustAccount(t, p)
		if !a.Full || len(counted(a)) != 4+15 {
			t.Errorf("without a place left: %d counters, full: %t", len(counted(a)), a.Full)
		}

		again := converse(t, r.Server, r.Laptop)
		late := converse(t, r.Server, r.Phone)
		var want []state.Counter
		var lost [2]state.Traffic
		for _, c := range total(early, again, late) {
			if c.Addr == r.Phone.IPv4 {
				lost[c.Direction] = c.Traffic
			} else {
				want = append(want, c)
			}
		}
		made := netip.MustParsePrefix("10.9.0.0/16")
		full := mustAccount(t, p)
		known := slices.DeleteFunc(counted(full), func(c state.Counter) bool { return made.Contains(c.Addr) })
		if diff := cmp.Diff(want, known, alike); diff != "" {
			t.Errorf("counters of the full set (-want +got):\n%s", diff)
		}
		if got := otherTraffic(full.Counters); got != lost {
			t.Errorf("others moved %+v, want %+v", got, lost)
		}

		idle := slices.DeleteFunc(counted(a), func(c state.Counter) bool { return !made.Contains(c.Addr) })
		deleted, err := Forget(idle, full)
		if err != nil || len(deleted) != 15 {
			t.Errorf("%d forgotten, %v, want 15", len(deleted), err)
		}
		if a := mustAccount(t, p); a.Full || len(counted(a)) != len(want) {
			t.Errorf("after that: %d counters, full: %t", len(counted(a)), a.Full)
		}
		want = append(want, converse(t, r.Server, r.Phone)...)
		if diff := cmp.Diff(total(want), counted(mustAccount(t, p)), alike); diff != "" {
			t.Errorf("counters with room again (-want +got):\n%s", diff)
		}
		if got := otherTraffic(mustAccount(t, p).Counters); got != lost {
			t.Errorf("then others moved %+v, want %+v", got, lost)
		}
	})
}

// counted returns the counters of addresses that count anything.
func counted(a *state.Accounting) []state.Counter {
	return slices.DeleteFunc(slices.Clone(a.Counters), func(c state.Counter) bool { return !c.Addr.IsValid() || c.Traffic == (state.Traffic{}) })
}

// otherTraffic returns what the counters of no address add up to, by direction.
func otherTraffic(counters []state.Counter) (sum [2]state.Traffic) {
	for _, c := range counters {
		if !c.Addr.IsValid() {
			sum[c.Direction].Bytes += c.Bytes
			sum[c.Direction].Packets += c.Packets
		}
	}
	return sum
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
				a := mustAccount(t, p)
				flow := lab.UDP(t, "udp4", r.Phone, r.Server)
				flow.Send(t, 1, 0)

				// What the phone sends over IPv4 keeps what it receives by it.
				deleted, err := Forget(counted(a), a)
				if err != nil {
					t.Fatal(err)
				}
				left := slices.DeleteFunc(counted(a), func(c state.Counter) bool { return slices.Contains(deleted, c) })
				if len(left) != 2 || left[0].Addr != r.Phone.IPv4 || left[1].Addr != r.Phone.IPv4 || len(deleted) != 10 {
					t.Errorf("%d forgotten but for %+v, want all 12 but for the phone's of IPv4", len(deleted), left)
				}
				g := generation(t)
				if again, err := Forget(deleted, a); err != nil || again != nil || generation(t) != g {
					t.Errorf("forgotten twice: %+v, %v", again, err)
				}
				p.Clients = nil
				now := counted(mustAccount(t, p))
				left[1].Packets++ // of rx and tx
				left[1].Bytes += 28
				if diff := cmp.Diff(left, now, equal); diff != "" {
					t.Errorf("counters (-want +got):\n%s", diff)
				}
			})
		})
	}
	t.Run("rules of others", func(t *testing.T) {
		t.Parallel()
		lab.Namespace(t, func(t *testing.T) {
			load(t, byHand)
			a := mustAccount(t, plan(state.Rules))
			deleted, err := Forget(a.Counters, a)
			if err != nil || len(deleted) != 11 {
				t.Errorf("%d forgotten, %v, want 11", len(deleted), err)
			}
			if got := listing(t); got != byHand {
				t.Errorf("ruleset (-want +got):\n%s", cmp.Diff(byHand, got))
			}
			foreign := slices.DeleteFunc(a.Counters, func(c state.Counter) bool { return slices.Contains(deleted, c) })
			if again, err := Forget(foreign, a); err != nil || again != nil {
				t.Errorf("of others: %+v, %v forgotten", again, err)
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
		p.Clients, p.MaxClients = nil, 10_001 // one is there by hand
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

// tearing is the kernel, and tears dumps of elements: a real one does so only by
// chance.
type tearing struct {
	kernel
	times int // how many dumps are torn
	tear  func(dump func(each func([]byte) error) error, each func([]byte) error) error
	dumps int
}

func (k *tearing) Dump(question netlink.Message, answer uint16, each func([]byte) error) error {
	dump := func(each func([]byte) error) error { return k.kernel.Dump(question, answer, each) }
	if answer != messageType(unix.NFT_MSG_NEWSETELEM) {
		return dump(each)
	}
	if k.dumps++; k.dumps > k.times {
		return dump(each)
	}
	return k.tear(dump, each)
}

// uncounted is the kernel, and tells no number of elements, as before Linux 6.17.
type uncounted struct{ kernel }

func (k uncounted) Dump(question netlink.Message, answer uint16, each func([]byte) error) error {
	return k.kernel.Dump(question, answer, func(body []byte) error {
		if answer == messageType(unix.NFT_MSG_NEWSET) {
			body = bytes.Clone(body)
			for at := netlink.SizeofNfgenmsg; at+4 <= len(body); {
				typ := body[at+2:]
				if binary.NativeEndian.Uint16(typ) == nftaSetCount {
					binary.NativeEndian.PutUint16(typ, 0)
				}
				at += (int(binary.NativeEndian.Uint16(body[at:])) + 3) &^ 3
			}
		}
		return each(body)
	})
}

// interrupted tells of a change that came between (NLM_F_DUMP_INTR).
func interrupted(dump func(func([]byte) error) error, each func([]byte) error) error {
	return errors.Join(dump(func([]byte) error { return nil }), netlink.ErrTorn)
}

// skipping leaves out the first message with elements and tells nothing, as when
// the hash table is resized meanwhile.
func skipping(dump func(func([]byte) error) error, each func([]byte) error) error {
	first := true
	return dump(func(body []byte) error {
		if first {
			first = false
			return nil
		}
		return each(body)
	})
}

// doubling is skipping, but as many elements come twice.
func doubling(dump func(func([]byte) error) error, each func([]byte) error) error {
	var messages [][]byte
	if err := dump(func(body []byte) error {
		messages = append(messages, bytes.Clone(body))
		return nil
	}); err != nil || len(messages) == 0 {
		return err
	}
	for _, body := range append(messages[1:], messages[len(messages)-1]) {
		if err := each(body); err != nil {
			return err
		}
	}
	return nil
}

// Every element that the last run knew and that is still there is read, whatever
// becomes of the dump and on every kernel, also if somebody else changed the
// ruleset since; one that is gone is not.
func TestTornElements(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		p := plan(state.Sets)
		p.Clients = nil
		mustAccount(t, p)
		fill(t, "client_tx", 0, 2000)
		fill(t, "client_rx", 0, 1000)
		p.Last = mustAccount(t, p)
		if n := len(counted(p.Last)); n != 3000 {
			t.Fatalf("%d counters, want 3000", n)
		}
		lab.Nft(t, "delete element inet network_metrics client_tx { 10.9.0.7 }\nadd table ip other")
		want := slices.DeleteFunc(counted(p.Last), func(c state.Counter) bool {
			return c.Addr == address(7) && c.Direction == state.Tx
		})
		for name, tear := range map[string]func(func(func([]byte) error) error, func([]byte) error) error{
			"interrupted": interrupted, "skipping": skipping, "doubling": doubling,
		} {
			for _, k := range []*tearing{
				{kernel: connect(t), times: 1, tear: tear},
				{kernel: connect(t), times: 4, tear: tear},
				{kernel: uncounted{connect(t)}, times: 4, tear: tear},
			} {
				a, err := account(k, p)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if diff := cmp.Diff(want, counted(a), equal); diff != "" {
					t.Errorf("%s %d times: counters (-want +got):\n%s", name, k.times, diff)
				}
			}
		}
		// Where nothing was known before, the number of elements tells, if there is one.
		first := p
		first.Last = nil
		a, err := account(&tearing{kernel: connect(t), times: 1, tear: skipping}, first)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := survey(connect(t), 0); err != nil || r.own.sets["client_tx"].count == 0 {
			t.Logf("NOT TESTED: the kernel tells no number of elements (since Linux 6.17), %v", err)
		} else if diff := cmp.Diff(want, counted(a), equal); diff != "" {
			t.Errorf("first run: counters (-want +got):\n%s", diff)
		}
		k := &tearing{kernel: connect(t), times: 1000, tear: interrupted}
		if a, err := account(k, p); a != nil || !errors.Is(err, netlink.ErrTorn) && !strings.Contains(err.Error(), "changed 6 times") {
			t.Errorf("always interrupted: got %+v, %v after %d dumps", a, err, k.dumps)
		}
	})
}

// The real kernel resizes the hash tables of sets while they are read: elements of
// which nobody takes any away are there in every run, and have not counted twice.
func TestResizedSets(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		p := plan(state.Sets)
		p.Clients, p.MaxClients = nil, 4096
		mustAccount(t, p)
		fill(t, "client_tx", 0, 3000)
		p.Last = mustAccount(t, p)
		want := counted(p.Last)
		const comeAndGo = 1200 // beyond those that stay
		stop, done := make(chan struct{}), make(chan error)
		go func() { done <- comeAndGoUntil(stop, 3000, 3000+comeAndGo) }()
		read := 0
		for range 40 {
			a, err := Account(p)
			if err != nil {
				continue // the ruleset does not come to rest
			}
			read++
			kept := slices.DeleteFunc(counted(a), func(c state.Counter) bool { return c.Packets >= 3000 })
			if diff := cmp.Diff(want, kept, equal); diff != "" {
				t.Errorf("counters of run %d (-want +got):\n%s", read, diff)
				break
			}
			p.Last = a
		}
		close(stop)
		if err := <-done; err != nil || read == 0 {
			t.Fatalf("%d runs read counters, %v", read, err)
		}
	})
}

// comeAndGoUntil adds elements and deletes them, over and over.
func comeAndGoUntil(stop chan struct{}, from, to int) error {
	k, err := open()
	if err != nil {
		return err
	}
	defer k.Close()
	var elements []element
	for i := from; i < to; i++ {
		elements = append(elements, element{key: address(i).AsSlice(), counts: true})
	}
	for {
		for _, message := range []uint16{unix.NFT_MSG_NEWSETELEM, unix.NFT_MSG_DELSETELEM} {
			var b batch
			b.elements(message, ownTable, "client_tx", 0, elements)
			if _, err := b.commit(k, 0); err != nil {
				return err
			}
			select {
			case <-stop:
				return nil
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// Somebody else's change between what was read and what is written makes that be
// worked out again: it is never written over.
func TestConcurrentChange(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		k := &overtaken{kernel: connect(t), change: func() { lab.Nft(t, byHand) }}
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

func (k *overtaken) Commit(subsystem uint8, generation uint32, changes []netlink.Message) error {
	if k.change != nil {
		k.change()
		k.change = nil
	}
	err := k.kernel.Commit(subsystem, generation, changes)
	if errors.Is(err, unix.ERESTART) {
		k.refused++
	}
	return err
}

// A fake says that the module is missing, which would take another kernel.
type without struct{ error }

func (k without) Dump(netlink.Message, uint16, func([]byte) error) error { return k.error }
func (k without) Get(netlink.Message, uint16) ([]byte, error)            { return nil, k.error }
func (k without) Commit(uint8, uint32, []netlink.Message) error          { return k.error }

func TestNoModule(t *testing.T) {
	for _, missing := range []error{unix.EINVAL, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT} {
		_, err := account(without{missing}, plan(state.Sets))
		if !errors.Is(err, missing) || !strings.HasSuffix(err.Error(), "(the kernel has no nftables: modprobe nf_tables)") {
			t.Errorf("got error %v", err)
		}
	}
	old := refusing{kernel: without{nil}, err: unix.EOPNOTSUPP}
	if _, err := (&batch{changes: make([]netlink.Message, 1)}).commit(old, 1); !errors.Is(err, unix.EOPNOTSUPP) || !strings.Contains(err.Error(), "Linux 5.4") {
		t.Errorf("lookups in sets refused: %v", err)
	}
	if _, err := account(without{unix.EPERM}, plan(state.Sets)); !errors.Is(err, unix.EPERM) || strings.Contains(err.Error(), "modprobe") {
		t.Errorf("got error %v", err)
	}
}

// refusing is a kernel that refuses every change.
type refusing struct {
	kernel
	err error
}

func (k refusing) Commit(uint8, uint32, []netlink.Message) error { return k.err }
