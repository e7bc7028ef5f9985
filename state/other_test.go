package state

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// element makes a counter of the layout of sets, whose elements share the set's
// ID.
func element(addr netip.Addr, d Direction, bytes uint64) Counter {
	return Counter{addr, d, CounterID{7, uint64(d) + 1}, Traffic{bytes, bytes / 100}}
}

// published gives the bytes of the series of each address, those of the others
// under the zero address.
func published(r *Report) map[netip.Addr][2]uint64 {
	bytes := make(map[netip.Addr][2]uint64)
	for _, c := range r.Clients {
		bytes[c.Addr] = [2]uint64{c.Total[Rx].Bytes, c.Total[Tx].Bytes}
	}
	if r.Other != nil {
		bytes[netip.Addr{}] = [2]uint64{r.Other.Total[Rx].Bytes, r.Other.Total[Tx].Bytes}
	}
	return bytes
}

func TestOther(t *testing.T) {
	other := netip.Addr{}
	both := []NeighborEntry{{Addr: laptop, MAC: laptopMAC, State: Reachable}, {Addr: phone, MAC: phoneMAC, State: Reachable}}
	for _, test := range []struct {
		name  string
		max   int
		steps []step
		want  map[netip.Addr][2]uint64
	}{
		{"nothing has gone to it", 9, []step{
			{layout: Sets, counters: []Counter{element(laptop, Tx, 100)}},
		}, map[netip.Addr][2]uint64{laptop: {0, 100}}},
		{"only sent to", 9, []step{
			{layout: Sets, counters: []Counter{element(phone, Rx, 300), element(laptop, Tx, 100)}},
		}, map[netip.Addr][2]uint64{laptop: {0, 100}, other: {300, 0}}},
		{"it answers in the same interval", 9, []step{
			{layout: Sets, counters: []Counter{element(phone, Rx, 300), element(phone, Tx, 200)}},
		}, map[netip.Addr][2]uint64{phone: {300, 200}}},
		{"it answers later", 9, []step{
			{layout: Sets, counters: []Counter{element(phone, Rx, 300)}},
			{at: 2, layout: Sets, counters: []Counter{element(phone, Rx, 400), element(phone, Tx, 100)}},
		}, map[netip.Addr][2]uint64{phone: {100, 100}, other: {300, 0}}},
		{"only sent to, but a neighbour", 9, []step{
			{layout: Sets, counters: []Counter{element(phone, Rx, 300)},
				lan: []NeighborEntry{{Addr: phone, MAC: phoneMAC, State: Stale}}},
		}, map[netip.Addr][2]uint64{phone: {300, 0}}},
		{"only sent to, but ruled", 9, []step{
			{counters: []Counter{rx(phone, 1, 1, 300)}},
		}, map[netip.Addr][2]uint64{phone: {300, 0}}},
		{"the router itself and strangers", 9, []step{
			{layout: Sets, counters: []Counter{
				element(netip.MustParseAddr("192.168.10.255"), Rx, 300), element(netip.MustParseAddr("10.0.0.1"), Tx, 300)}},
		}, map[netip.Addr][2]uint64{}},
		{"the smallest beyond the limit", 1, []step{
			{layout: Sets, counters: []Counter{element(laptop, Tx, 100), element(phone, Tx, 200)}},
		}, map[netip.Addr][2]uint64{phone: {0, 200}, other: {0, 100}}},
		{"the smallest grows and has its own series", 1, []step{
			{layout: Sets, counters: []Counter{element(laptop, Tx, 100), element(phone, Tx, 200)}},
			{at: 2, layout: Sets, counters: []Counter{element(laptop, Tx, 1100), element(phone, Tx, 300)}},
		}, map[netip.Addr][2]uint64{laptop: {0, 1000}, other: {0, 200}}},
		{"what went to the others is not forgotten in the order", 1, []step{
			{layout: Sets, lan: both, counters: []Counter{element(laptop, Tx, 100), element(phone, Tx, 200)}},
			{at: 2, layout: Sets, lan: both, counters: []Counter{element(laptop, Tx, 190), element(phone, Tx, 200)}},
			{at: 4, layout: Sets, lan: both, counters: []Counter{element(laptop, Tx, 230), element(phone, Tx, 200)}},
		}, map[netip.Addr][2]uint64{laptop: {0, 40}, other: {0, 190}}},
		{"who has a series keeps it unless another one moved a tenth more", 1, []step{
			{layout: Sets, lan: both, counters: []Counter{element(laptop, Tx, 100), element(phone, Tx, 200)}},
			{at: 2, layout: Sets, lan: both, counters: []Counter{element(laptop, Tx, 219), element(phone, Tx, 200)}},
		}, map[netip.Addr][2]uint64{phone: {0, 200}, other: {0, 219}}},
		{"who is present before who moved more", 1, []step{
			{layout: Sets, counters: []Counter{element(laptop, Tx, 100), element(phone, Tx, 200)},
				lan: []NeighborEntry{{Addr: laptop, MAC: laptopMAC, State: Reachable}}},
		}, map[netip.Addr][2]uint64{laptop: {0, 100}, other: {0, 200}}},
		{"long gone, but still sent to", 9, []step{
			{layout: Sets, counters: []Counter{element(phone, Tx, 200)}},
			{at: 200 * 3600, layout: Sets, counters: []Counter{element(phone, Tx, 200), element(phone, Rx, 100)}},
		}, map[netip.Addr][2]uint64{other: {100, 0}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config
			cfg.MaxClients = test.max
			ledger, report := &Ledger{}, (*Report)(nil)
			for _, s := range test.steps {
				now := s.sample()
				ledger, report = Compare(ledger, now, NewScope(lan, now.LAN, ledger.Networks), noNames(), cfg)
			}
			if diff := cmp.Diff(test.want, published(report), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("bytes by address, rx and tx (-want +got):\n%s", diff)
			}
		})
	}
}

// Whoever comes and goes beyond the limit, no series falls, and all together
// rise by what was moved.
func TestOtherSumsStayRight(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	cfg := config
	ledger, report := &Ledger{}, (*Report)(nil)
	shown := make(map[netip.Addr][2]uint64) // the last value of every series there ever was
	kernel := make(map[netip.Addr][2]uint64)
	for n := range 2000 {
		cfg.MaxClients = 1 + random.IntN(6)
		var counters []Counter
		var moved [2]uint64
		for i := range 9 {
			addr := netip.AddrFrom4([4]byte{192, 168, 10, byte(100 + i)})
			k := kernel[addr]
			for d := range k {
				if random.IntN(3) == 0 {
					bytes := random.Uint64N(1 << random.IntN(20))
					k[d] += bytes
					moved[d] += bytes
				}
				if k[d] > 0 {
					counters = append(counters, Counter{addr, Direction(d), CounterID{7, uint64(d)}, Traffic{k[d], 1 + k[d]/100}})
				}
			}
			kernel[addr] = k
		}
		now := step{at: 2 * float64(n), layout: Sets, counters: counters}.sample()
		ledger, report = Compare(ledger, now, NewScope(lan, now.LAN, nil), noNames(), cfg)
		if len(report.Clients) > cfg.MaxClients {
			t.Fatalf("run %d: %d clients have series, at most %d may", n, len(report.Clients), cfg.MaxClients)
		}
		var rose [2]uint64
		for addr, bytes := range published(report) {
			for d := range bytes {
				if bytes[d] < shown[addr][d] {
					t.Fatalf("run %d: the series of %v fell from %d to %d", n, addr, shown[addr][d], bytes[d])
				}
				rose[d] += bytes[d] - shown[addr][d]
			}
			shown[addr] = bytes
		}
		if rose != moved {
			t.Fatalf("run %d: the series rose by %v, %v was moved", n, rose, moved)
		}
	}
}

// A layout that counted all along counted the same packets.
func TestLayoutChanges(t *testing.T) {
	for _, test := range []struct {
		name    string
		retired []Counter
		want    uint64 // bytes of the laptop
		want2   uint64 // bytes of the phone
	}{
		{"the old counters are gone", nil, 1100, 200},
		{"the old counters are read a last time", []Counter{tx(laptop, 1, 1, 1500), tx(phone, 1, 2, 300)}, 1600, 500},
	} {
		t.Run(test.name, func(t *testing.T) {
			ledger, _ := play(t, step{counters: []Counter{tx(laptop, 1, 1, 1000)}})
			now := step{at: 2, layout: Sets, loaded: true, counters: []Counter{element(laptop, Tx, 5000)}}.sample()
			now.Accounting.ReplacedCounters = test.retired
			ledger, _ = Compare(ledger, now, NewScope(lan, now.LAN, nil), noNames(), config)
			now = step{at: 4, layout: Sets, loaded: true, counters: []Counter{element(laptop, Tx, 5100), element(phone, Tx, 200)}}.sample()
			_, report := Compare(ledger, now, NewScope(lan, now.LAN, nil), noNames(), config)
			if got := client(t, report, laptop).Total[Tx].Bytes; got != test.want {
				t.Errorf("the total is %d, want %d", got, test.want)
			}
			if got := client(t, report, phone).Total[Tx].Bytes; got != test.want2 {
				t.Errorf("the total of who came later is %d, want %d", got, test.want2)
			}
			if report.Resets != 0 {
				t.Errorf("%d resets, want none: nothing was lost", report.Resets)
			}
		})
	}
}

// Sets that are made anew, as for another limit of clients, go on from where the old
// ones were read for the last time.
func TestCountersMadeAnew(t *testing.T) {
	ledger, _ := play(t, step{layout: Sets, counters: []Counter{element(laptop, Tx, 1000), tx(netip.Addr{}, 7, 9, 50)}})
	now := step{at: 2, layout: Sets, counters: []Counter{tx(laptop, 8, 1, 0), tx(netip.Addr{}, 8, 9, 0)}}.sample()
	now.Accounting.ReplacedCounters = []Counter{tx(netip.Addr{}, 7, 9, 80), element(laptop, Tx, 1500)}
	ledger, _ = Compare(ledger, now, NewScope(lan, now.LAN, nil), noNames(), config)
	now = step{at: 4, layout: Sets, loaded: true, counters: []Counter{tx(laptop, 8, 1, 200), tx(netip.Addr{}, 8, 9, 7)}}.sample()
	_, report := Compare(ledger, now, NewScope(lan, now.LAN, nil), noNames(), config)
	want := map[netip.Addr][2]uint64{laptop: {Tx: 1700}, {}: {Tx: 87}}
	if diff := cmp.Diff(want, published(report), cmpopts.EquateComparable(netip.Addr{})); diff != "" || report.Resets != 0 {
		t.Errorf("%d resets, bytes (-want +got):\n%s", report.Resets, diff)
	}
}

// Who has no place is counted with all others, or not at all; and flows that end
// between two runs need these to be close.
func TestGapsOfLayouts(t *testing.T) {
	for _, test := range []struct {
		accounting Accounting
		interval   time.Duration
		want       string // empty: nothing goes uncounted
	}{
		{Accounting{Layout: Sets, Full: true}, time.Hour, `as client="other"`},
		{Accounting{Layout: Rules, Full: true}, time.Hour, "not counted"},
		{Accounting{Layout: Flows}, maxFlowsAge, ""},
		{Accounting{Layout: Flows}, maxFlowsAge + time.Second, "--interval=9 is too long"},
		{Accounting{Layout: Sets}, maxFlowsAge + time.Second, ""},
	} {
		err := test.accounting.gaps(test.interval)
		if (err == nil) != (test.want == "") || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%v every %v: %v, want %q", test.accounting.Layout, test.interval, err, test.want)
		}
	}
}

// What goes uncounted is told once, and its end.
func TestGaps(t *testing.T) {
	ledger := &Ledger{}
	for n, test := range []struct {
		full, flowtable, failed bool
		want                    string
	}{
		{false, false, false, ""},
		{true, false, false, "no room"},
		{true, false, false, ""},
		{false, false, true, "broken"}, // nobody knows
		{true, false, false, "works"},  // the source, that is
		{true, true, false, "flowtable"},
		{false, false, false, "works"},
	} {
		s := step{at: 2 * float64(n)}
		if test.failed {
			s.failed = []Source{NFTables}
		}
		now := s.sample()
		if now.Accounting != nil {
			now.Accounting.Full = test.full
			if test.flowtable {
				now.Accounting.Flowtable = UncountedFlowtable
			}
		}
		next, report := Compare(ledger, now, NewScope(lan, now.LAN, nil), noNames(), config)
		ledger = next
		var said []string
		for _, c := range report.Changes {
			if c.Err == nil {
				said = append(said, "works")
			} else {
				said = append(said, c.Err.Error())
			}
		}
		if len(said) != min(1, len(test.want)) || !strings.Contains(strings.Join(said, ""), test.want) {
			t.Errorf("run %d says %q, want %q", n, said, test.want)
		}
	}
}
