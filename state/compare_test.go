package state

import (
	"errors"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	laptop  = netip.MustParseAddr("192.168.10.100")
	phone   = netip.MustParseAddr("192.168.10.101")
	laptop6 = netip.MustParseAddr("fd00:10::100")

	laptopMAC = MAC{0x00, 0x1b, 0x63, 0, 0, 1}
	phoneMAC  = MAC{0x02, 0, 0, 0, 0, 2}

	noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

	built  = noon.Add(-24 * time.Hour)
	config = Config{Interval: 2 * time.Second, OnlineWindow: 5 * time.Minute, ForgetAfter: 168 * time.Hour, MaxClients: 1024, Accounting: Rules, PeriodStart: 1, Built: built}
	lan    = []netip.Prefix{netip.MustParsePrefix("192.168.10.0/24"), netip.MustParsePrefix("fd00:10::/64")}
)

// step is a run, told by what matters to a test.
type step struct {
	boot      string // "a" if empty
	at        float64
	wall      time.Duration // the wall clock's step against noon + at
	layout    Layout        // Rules if empty
	counters  []Counter
	lan       []NeighborEntry
	flows     map[netip.Addr]Connections
	names     []NameRecord
	peers     []Peer
	asked     []netip.Addr
	scope     []netip.Prefix // lan if empty
	loaded    bool           // the counters are in objects that somebody else may have made
	recovered bool           // the ledger to go on from is not the last one
	failed    []Source
}

// notSet is the step of a wall clock that says 1970.
const notSet = -56 * 365 * 24 * time.Hour

// sample makes the step's sample: 12:00:00 is 1000 s after boot.
func (s step) sample() *Sample {
	boot := s.boot
	if boot == "" {
		boot = "a"
	}
	uptime := time.Duration(s.at * float64(time.Second))
	now := &Sample{
		Instant: Instant{Boot: boot, Uptime: 1000*time.Second + uptime, Wall: noon.Add(uptime + s.wall)},
		LAN: &LAN{
			Neighbors: slices.SortedStableFunc(slices.Values(s.lan), func(a, b NeighborEntry) int { return a.Addr.Compare(b.Addr) }),
			Peers:     s.peers,
		},
		Accounting: &Accounting{Layout: Rules, Counters: slices.SortedFunc(slices.Values(s.counters), Counter.Compare)},
		Conntrack:  &TrackedFlows{Active: s.flows, Uptime: 1000*time.Second + uptime},
		Names:      s.names,
		Asked:      s.asked,
	}
	if s.layout != "" {
		now.Accounting.Layout = s.layout
	}
	// As if all were made in this run: what they show has come since.
	for _, c := range s.counters {
		now.Accounting.Objects = append(now.Accounting.Objects, c.ID)
	}
	slices.SortFunc(now.Accounting.Objects, CounterID.Compare)
	now.Accounting.Objects = slices.Compact(now.Accounting.Objects)
	if !s.loaded {
		now.Accounting.Made = now.Accounting.Objects
	}
	for _, source := range []Source{Neighbor, NFTables, Conntrack, DHCP} {
		now.Results = append(now.Results, SourceResult{Source: source})
	}
	for _, source := range s.failed {
		switch source {
		case Neighbor:
			now.LAN, now.Results[0].Err = nil, errors.New("broken")
		case NFTables:
			now.Accounting, now.Results[1].Err = nil, errors.New("broken")
		case Conntrack:
			now.Conntrack, now.Results[2].Err = nil, errors.New("broken")
		case DHCP:
			now.Names, now.Results[3].Err = nil, errors.New("broken")
		}
	}
	return now
}

// noNames is a cache in which nothing is remembered.
func noNames() *NameCache { return NewNameCache(func() []CachedName { return nil }) }

// play runs the steps one after the other and gives the last run's results.
func play(t *testing.T, steps ...step) (*Ledger, *Report) {
	t.Helper()
	ledger, report := &Ledger{}, (*Report)(nil)
	for _, s := range steps {
		now := s.sample()
		networks := s.scope
		if networks == nil {
			networks = lan
		}
		scope := NewScope(networks, now.LAN, ledger.Networks)
		ledger, report = Compare(ledger, now, scope, noNames(), config)
	}
	return ledger, report
}

func tx(addr netip.Addr, table, rule, bytes uint64) Counter {
	return Counter{addr, Tx, CounterID{table, rule}, Traffic{bytes, bytes / 100}}
}

func rx(addr netip.Addr, table, rule, bytes uint64) Counter {
	return Counter{addr, Rx, CounterID{table, rule}, Traffic{bytes, bytes / 100}}
}

// client gives what a report says of an address.
func client(t *testing.T, r *Report, addr netip.Addr) ClientReport {
	t.Helper()
	for _, c := range r.Clients {
		if c.Addr == addr {
			return c
		}
	}
	t.Fatalf("%v is not among the %d clients", addr, len(r.Clients))
	return ClientReport{}
}

// device returns what a report says of a device.
func device(t *testing.T, r *Report, id DeviceID) DeviceReport {
	t.Helper()
	for _, d := range r.Devices {
		if d.ID == id {
			return d
		}
	}
	t.Fatalf("%v is not among the %d devices", id, len(r.Devices))
	return DeviceReport{}
}

func TestTotals(t *testing.T) {
	for _, test := range []struct {
		name   string
		steps  []step
		want   [2]Traffic
		resets uint64
	}{{
		name:  "the first run takes what the counter has",
		steps: []step{{counters: []Counter{rx(laptop, 1, 1, 500), tx(laptop, 1, 2, 300)}}},
		want:  [2]Traffic{Rx: {500, 5}, Tx: {300, 3}},
	}, {
		name: "a counter that goes on",
		steps: []step{
			{counters: []Counter{tx(laptop, 1, 2, 300)}},
			{at: 2, counters: []Counter{tx(laptop, 1, 2, 1000)}},
		},
		want: [2]Traffic{Tx: {1000, 10}},
	}, {
		name: "a counter that falls was zeroed",
		steps: []step{
			{counters: []Counter{tx(laptop, 1, 2, 300)}},
			{at: 2, counters: []Counter{tx(laptop, 1, 2, 200)}},
		},
		want:   [2]Traffic{Tx: {500, 5}},
		resets: 1,
	}, {
		name: "a new rule of the same table that has counted more",
		steps: []step{
			{counters: []Counter{tx(laptop, 1, 2, 300)}},
			{at: 2, counters: []Counter{tx(laptop, 1, 9, 400)}},
		},
		want:   [2]Traffic{Tx: {700, 7}},
		resets: 1,
	}, {
		name: "a new table with the same rule that has counted more",
		steps: []step{
			{counters: []Counter{tx(laptop, 1, 2, 300)}},
			{at: 2, counters: []Counter{tx(laptop, 7, 2, 400)}},
		},
		want:   [2]Traffic{Tx: {700, 7}},
		resets: 1,
	}, {
		name: "a flush, nothing for a while, and new rules",
		steps: []step{
			{counters: []Counter{tx(laptop, 1, 2, 300)}},
			{at: 2, failed: []Source{NFTables}},
			{at: 4, counters: []Counter{tx(laptop, 7, 2, 100)}},
			{at: 6, counters: []Counter{tx(laptop, 7, 2, 150)}},
		},
		want:   [2]Traffic{Tx: {450, 4}},
		resets: 1,
	}, {
		name: "many counters lost at once are one reset",
		steps: []step{
			{counters: []Counter{tx(laptop, 1, 2, 300), rx(laptop, 1, 3, 300), tx(phone, 1, 4, 300)}},
			{at: 2},
			{at: 4},
		},
		want:   [2]Traffic{Rx: {300, 3}, Tx: {300, 3}},
		resets: 1,
	}, {
		name: "a reboot with smaller counters",
		steps: []step{
			{counters: []Counter{tx(laptop, 1, 2, 300)}},
			{boot: "b", counters: []Counter{tx(laptop, 1, 2, 100)}},
		},
		want: [2]Traffic{Tx: {400, 4}},
	}, {
		name: "a reboot with larger counters",
		steps: []step{
			{counters: []Counter{tx(laptop, 1, 2, 300)}},
			{boot: "b", counters: []Counter{tx(laptop, 1, 2, 1000)}},
		},
		want: [2]Traffic{Tx: {1300, 13}},
	}, {
		name: "two rules with one comment add up, and go on apart",
		steps: []step{
			{counters: []Counter{tx(laptop, 1, 9, 300), tx(laptop, 1, 2, 100)}},
			{at: 2, counters: []Counter{tx(laptop, 1, 2, 200), tx(laptop, 1, 9, 400)}},
		},
		want: [2]Traffic{Tx: {600, 6}},
	}, {
		name: "one of two rules is gone",
		steps: []step{
			{counters: []Counter{tx(laptop, 1, 2, 100), tx(laptop, 1, 9, 300)}},
			{at: 2, counters: []Counter{tx(laptop, 1, 9, 400)}},
		},
		want:   [2]Traffic{Tx: {500, 5}},
		resets: 1,
	}, {
		name: "another time namespace",
		steps: []step{
			{at: 100, counters: []Counter{tx(laptop, 1, 2, 300)}},
			{at: 2, counters: []Counter{tx(laptop, 1, 2, 400)}},
		},
		want: [2]Traffic{Tx: {400, 4}},
	}, {
		name: "beyond what a float counts singly",
		steps: []step{
			{counters: []Counter{tx(laptop, 1, 2, 1<<53)}},
			{at: 2, counters: []Counter{tx(laptop, 1, 2, 1<<53+1)}},
		},
		want: [2]Traffic{Tx: {1<<53 + 1, (1<<53 + 1) / 100}},
	}, {
		name: "a total that is full stays full",
		steps: []step{
			{counters: []Counter{tx(laptop, 1, 2, math.MaxUint64-10)}},
			{boot: "b", counters: []Counter{tx(laptop, 1, 2, 1000)}},
		},
		want: [2]Traffic{Tx: {math.MaxUint64, (math.MaxUint64-10)/100 + 10}},
	}} {
		t.Run(test.name, func(t *testing.T) {
			_, report := play(t, test.steps...)
			if diff := cmp.Diff(test.want, client(t, report, laptop).Total); diff != "" {
				t.Errorf("totals (-want +got):\n%s", diff)
			}
			if report.Resets != test.resets {
				t.Errorf("%d resets, want %d", report.Resets, test.resets)
			}
		})
	}
}

func TestRates(t *testing.T) {
	count := func(at float64, bytes uint64) step {
		return step{at: at, counters: []Counter{tx(laptop, 1, 2, bytes)}}
	}
	none := math.NaN()
	for _, test := range []struct {
		name  string
		steps []step
		want  float64 // bits per second from the laptop, none if there are no rates
	}{
		{"the first sample", []step{count(0, 1000)}, none},
		{"two samples", []step{count(0, 1000), count(2, 2000)}, 4000},
		{"nothing moved", []step{count(0, 1000), count(2, 1000)}, 0},
		{"ten minutes", []step{count(0, 1000), count(600, 76000)}, 1000},
		{"half an interval", []step{count(0, 1000), count(1, 2000)}, 8000},
		{"less than half an interval", []step{count(0, 1000), count(0.9, 2000)}, none},
		{"the timer after a run by hand just before", []step{count(0, 0), count(1.9, 1900), count(2, 2000)}, 8000},
		{"the timer after a run by hand a while before", []step{count(0, 0), count(0.5, 500), count(2, 5000)}, 24000},
		{"a run by hand just after the timer", []step{count(0, 0), count(2, 2000), count(2.1, 2100)}, 8000},
		{"many runs by hand", []step{count(0, 0), count(2, 2000), count(2.1, 2100), count(2.2, 2200), count(2.3, 2300), count(4, 4000)}, 8000},
		{"a reboot", []step{count(0, 1000), {boot: "b", at: 2, counters: []Counter{tx(laptop, 1, 2, 9000)}}}, none},
		{"the clock of another time namespace", []step{count(100, 1000), count(2, 2000)}, none},
		{"the wall clock stepped forwards", []step{count(0, 1000), {at: 2, wall: 5 * time.Hour, counters: []Counter{tx(laptop, 1, 2, 2000)}}}, 4000},
		{"the wall clock stepped backwards", []step{count(0, 1000), {at: 2, wall: -5 * time.Hour, counters: []Counter{tx(laptop, 1, 2, 2000)}}}, 4000},
		{"a counter was zeroed", []step{count(0, 1000), count(2, 500)}, 2000},
		{"the source failed", []step{count(0, 1000), {at: 2, failed: []Source{NFTables}}}, none},
		{"the source failed in between", []step{count(0, 1000), {at: 2, failed: []Source{NFTables}}, count(4, 3000)}, 4000},
		{"a client that is new", []step{{}, count(2, 1000)}, 4000},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, report := play(t, test.steps...)
			got := none
			if report.Rates {
				got = client(t, report, laptop).Rate[Tx]
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("rate (-want +got):\n%s", diff)
			}
		})
	}
}

// An interval longer than the timer's must not let the base grow old.
func TestBaseStaysYoung(t *testing.T) {
	ledger := &Ledger{}
	for i := range 1000 {
		now := step{at: 0.3 * float64(i), counters: []Counter{tx(laptop, 1, 2, 100)}}.sample()
		base := ledger.newestBaseline(now.Uptime, config)
		if i > 10 && (base.index < 0 || base.over > config.Interval) {
			t.Fatalf("run %d: no base younger than %v", i, config.Interval)
		}
		ledger, _ = Compare(ledger, now, NewScope(lan, now.LAN, nil), noNames(), config)
	}
}

func TestPresence(t *testing.T) {
	entry := func(s NUD, confirmed time.Duration) []NeighborEntry {
		return []NeighborEntry{{Addr: laptop, MAC: laptopMAC, Interface: "br-lan", State: s, Confirmed: confirmed}}
	}
	gone := []NeighborEntry{{Addr: laptop, Interface: "br-lan", State: Failed}}
	for _, test := range []struct {
		name   string
		steps  []step
		online bool
		seen   time.Time
	}{
		{"reachable", []step{{lan: entry(Reachable, 10*time.Second)}}, true, noon.Add(-10 * time.Second)},
		{"delay", []step{{lan: entry(Delay, time.Hour)}}, true, noon.Add(-time.Hour)},
		{"probe", []step{{lan: entry(Probing, time.Hour)}}, true, noon.Add(-time.Hour)},
		{"permanent", []step{{lan: entry(Permanent, time.Hour)}}, true, noon},
		{"stale, confirmed just now", []step{{lan: entry(Stale, 5*time.Minute)}}, true, noon.Add(-5 * time.Minute)},
		{"stale since yesterday", []step{{lan: entry(Stale, 24*time.Hour)}}, false, noon.Add(-24 * time.Hour)},
		{"stale since yesterday, but sending", []step{
			{lan: entry(Stale, 24*time.Hour), counters: []Counter{tx(laptop, 1, 1, 10)}},
			{at: 2, lan: entry(Stale, 24*time.Hour), counters: []Counter{tx(laptop, 1, 1, 20)}},
		}, true, noon.Add(2 * time.Second)},
		{"stale since yesterday, but receiving", []step{
			{lan: entry(Stale, 24*time.Hour), counters: []Counter{rx(laptop, 1, 1, 10)}},
			{at: 2, lan: entry(Stale, 24*time.Hour), counters: []Counter{rx(laptop, 1, 1, 20)}},
		}, true, noon.Add(-24*time.Hour + 2*time.Second)},
		{"failed", []step{{lan: entry(Reachable, 0)}, {at: 2, lan: gone}}, false, noon},
		{"failed and sending", []step{
			{lan: entry(Reachable, 0), counters: []Counter{tx(laptop, 1, 1, 10)}},
			{at: 2, lan: gone, counters: []Counter{tx(laptop, 1, 1, 20)}},
		}, false, noon.Add(2 * time.Second)},
		{"no entry, sending", []step{
			{counters: []Counter{tx(laptop, 1, 1, 10)}},
			{at: 2, counters: []Counter{tx(laptop, 1, 1, 20)}},
			{at: 301, counters: []Counter{tx(laptop, 1, 1, 20)}},
		}, true, noon.Add(2 * time.Second)},
		{"no entry, has sent six minutes ago", []step{
			{counters: []Counter{tx(laptop, 1, 1, 10)}},
			{at: 2, counters: []Counter{tx(laptop, 1, 1, 20)}},
			{at: 362, counters: []Counter{tx(laptop, 1, 1, 20)}},
		}, false, noon.Add(2 * time.Second)},
		{"no entry, only sent to", []step{
			{counters: []Counter{rx(laptop, 1, 1, 10)}},
			{at: 2, counters: []Counter{rx(laptop, 1, 1, 20)}},
		}, false, time.Time{}},
		{"no entry, sent before the first sample", []step{{counters: []Counter{tx(laptop, 1, 1, 10)}}}, false, time.Time{}},
		{"no entry after a reboot", []step{
			{counters: []Counter{tx(laptop, 1, 1, 10)}},
			{at: 2, counters: []Counter{tx(laptop, 1, 1, 20)}},
			{boot: "b", at: 4, counters: []Counter{tx(laptop, 1, 1, 20)}},
		}, false, noon.Add(2 * time.Second)},
		{"on two interfaces", []step{{lan: []NeighborEntry{
			{Addr: laptop, MAC: laptopMAC, Interface: "br-lan", State: Reachable},
			{Addr: laptop, Interface: "br-guest", State: Failed},
		}}}, true, noon},
		{"seen while the wall clock was not set", []step{
			{lan: entry(Reachable, 0)},
			{at: 100, wall: notSet, lan: entry(Reachable, 0)},
			{at: 110, lan: gone},
		}, false, noon.Add(100 * time.Second)},
		{"seen after a reboot, while the wall clock was not set", []step{
			{lan: entry(Reachable, 0)},
			{boot: "b", at: 100, wall: notSet, lan: entry(Reachable, 0)},
			{boot: "b", at: 110, lan: gone},
			{boot: "b", at: 120, wall: time.Second, lan: gone},
		}, false, noon.Add(100 * time.Second)},
		{"not seen while the wall clock was not set", []step{
			{lan: entry(Reachable, 0)},
			{boot: "b", at: 100, wall: notSet, lan: gone},
			{boot: "b", at: 110, lan: gone},
		}, false, noon},
		{"the wall clock went back", []step{
			{wall: 5 * time.Hour, lan: entry(Reachable, 0)},
			{at: 2, lan: entry(Reachable, 0)},
		}, true, noon.Add(2 * time.Second)},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, report := play(t, test.steps...)
			got := client(t, report, laptop)
			if got.Online != test.online {
				t.Errorf("online: %v, want %v", got.Online, test.online)
			}
			if !got.Seen.Equal(test.seen) {
				t.Errorf("last seen %v, want %v", got.Seen, test.seen)
			}
		})
	}
}

func TestWhoIsAClient(t *testing.T) {
	entry := func(addr string) NeighborEntry {
		return NeighborEntry{Addr: netip.MustParseAddr(addr), MAC: phoneMAC, Interface: "br-lan", State: Reachable}
	}
	for _, test := range []struct {
		name  string
		steps []step
		want  []string
	}{
		{"a neighbour", []step{{lan: []NeighborEntry{entry("192.168.10.7")}}}, []string{"192.168.10.7"}},
		{"an entry without MAC", []step{{lan: []NeighborEntry{{Addr: phone, State: Incomplete}}}}, nil},
		{"an address with a rule", []step{{counters: []Counter{rx(phone, 1, 1, 0)}}}, []string{"192.168.10.101"}},
		{"sorted by address", []step{{lan: []NeighborEntry{entry("fd00:10::9"), entry("192.168.10.100"), entry("192.168.10.9")}}},
			[]string{"192.168.10.9", "192.168.10.100", "fd00:10::9"}},
		{"none of these", []step{{lan: []NeighborEntry{
			entry("192.168.11.7"), entry("192.168.10.0"), entry("192.168.10.255"), entry("224.0.0.251"), entry("fd00:10::"),
			entry("fe80::1"), entry("ff02::1"), entry("2001:db8::7"),
		}}}, nil},
		{"away for a week", []step{{lan: []NeighborEntry{entry("192.168.10.7")}}, {at: 168 * 3600}}, []string{"192.168.10.7"}},
		{"away for longer", []step{{lan: []NeighborEntry{entry("192.168.10.7")}}, {at: 168*3600 + 1}}, nil},
		{"away for longer and back", []step{
			{lan: []NeighborEntry{entry("192.168.10.7")}}, {at: 168*3600 + 1},
			{at: 168*3600 + 3, lan: []NeighborEntry{entry("192.168.10.7")}},
		}, []string{"192.168.10.7"}},
		{"sources that fail for a moment", []step{
			{lan: []NeighborEntry{entry("192.168.10.7")}},
			{at: 2, failed: []Source{Neighbor, NFTables, Conntrack, DHCP}},
		}, []string{"192.168.10.7"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, report := play(t, test.steps...)
			var got []string
			for _, c := range report.Clients {
				got = append(got, c.Addr.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("clients (-want +got):\n%s", diff)
			}
		})
	}
}

// A client that was forgotten begins anew; its device goes on.
func TestTotalsOutliveAbsence(t *testing.T) {
	there := []NeighborEntry{{Addr: laptop, MAC: laptopMAC, State: Reachable}}
	_, report := play(t,
		step{lan: there, counters: []Counter{tx(laptop, 1, 1, 100)}},
		step{at: 170 * 3600, counters: []Counter{tx(laptop, 1, 1, 100)}},
		step{at: 170*3600 + 2, lan: there, counters: []Counter{tx(laptop, 1, 1, 150)}},
	)
	if got := client(t, report, laptop).Total[Tx].Bytes; got != 50 {
		t.Errorf("the total of who came back is %d, want 50", got)
	}
	if got := device(t, report, DeviceID{MAC: laptopMAC}).Total[Tx]; got != 150 {
		t.Errorf("the total of its device is %d, want 150", got)
	}
}

func TestConnections(t *testing.T) {
	_, report := play(t, step{
		counters: []Counter{rx(laptop, 1, 1, 0), rx(phone, 1, 2, 0)},
		flows:    map[netip.Addr]Connections{laptop: {TCP: 3, OtherProtocol: 1}},
	})
	for addr, want := range map[netip.Addr]Connections{laptop: {TCP: 3, OtherProtocol: 1}, phone: {}} {
		if got := client(t, report, addr).Active; got != want {
			t.Errorf("%v has flows %v, want %v", addr, got, want)
		}
	}
}

// What a source did not give is unknown, and what the others gave is there.
func TestFailedSources(t *testing.T) {
	good := step{
		counters: []Counter{tx(laptop, 1, 1, 100)},
		lan:      []NeighborEntry{{Addr: laptop, MAC: laptopMAC, Interface: "br-lan", State: Reachable}},
		flows:    map[netip.Addr]Connections{laptop: {TCP: 3}},
		names:    []NameRecord{{Addr: laptop, Name: "laptop", Source: FromDHCP}},
	}
	for _, source := range []Source{Neighbor, NFTables, Conntrack, DHCP} {
		t.Run(string(source), func(t *testing.T) {
			bad := good
			bad.at, bad.failed = 2, []Source{source}
			_, report := play(t, good, bad)
			for _, field := range []struct {
				of    Source
				known bool
			}{
				{Neighbor, report.Presence},
				{NFTables, report.Rates},
				{NFTables, report.Accounting != nil},
				{Conntrack, report.Conntrack != nil},
				{DHCP, client(t, report, laptop).Source == FromDHCP},
			} {
				if field.known == (field.of == source) {
					t.Errorf("what %s gives is known: %v", field.of, field.known)
				}
			}
			if got := client(t, report, laptop).Total[Tx].Bytes; got != 100 {
				t.Errorf("the total is %d, want 100", got)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	broken := step{failed: []Source{Conntrack}}
	for _, test := range []struct {
		name  string
		steps []step
		want  []Source
	}{
		{"all is well", []step{{}}, nil},
		{"a source begins to fail", []step{{}, broken}, []Source{Conntrack}},
		{"it goes on failing", []step{{}, broken, broken}, nil},
		{"it recovers", []step{broken, {}}, []Source{Conntrack}},
		{"it stays well", []step{broken, {}, {}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, report := play(t, test.steps...)
			var got []Source
			for _, p := range report.Changes {
				got = append(got, p.Source)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

// copyOf returns a ledger that Compare may take over while another one like it is
// still looked at.
func copyOf(l *Ledger) *Ledger {
	c := *l
	c.Clients, c.Devices = slices.Clone(l.Clients), slices.Clone(l.Devices)
	return &c
}

// TestCompareLeavesTheSample runs once more with what was read for another run.
func TestCompareLeavesTheSample(t *testing.T) {
	last, _ := play(t, step{
		counters: []Counter{tx(laptop, 1, 1, 100), rx(laptop6, 1, 2, 50)},
		lan:      []NeighborEntry{{Addr: laptop, MAC: laptopMAC, Interface: "br-lan", State: Reachable}},
		failed:   []Source{DHCP},
	})
	read := func() *Sample {
		return step{at: 2, boot: "b", counters: []Counter{tx(laptop, 3, 1, 700), rx(phone, 3, 2, 50)}}.sample()
	}
	now := read()
	Compare(last, now, NewScope(lan, now.LAN, last.Networks), noNames(), config)
	if diff := cmp.Diff(read(), now, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("the sample was changed (-before +after):\n%s", diff)
	}
}

// TestClientsInTheirPlaces has clients come before, between and after those of the
// last run, and leave, in all ways in which that can happen to a few: each keeps what
// is its own.
func TestClientsInTheirPlaces(t *testing.T) {
	const most = 6
	type own struct {
		Addr  netip.Addr
		Since time.Duration
		Sent  uint64
	}
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 10, byte(2 + i)}) }
	there := func(at float64, who int) (s step) {
		s.at = at
		for i := range most {
			if who>>i&1 == 1 {
				s.lan = append(s.lan, NeighborEntry{Addr: addr(i), MAC: MAC{0x02, 5: byte(i)}, Interface: "br-lan", State: Reachable})
				s.counters = append(s.counters, tx(addr(i), 1, 1, uint64(1+i)*1000+uint64(at)))
			}
		}
		return s
	}
	later := 2 * config.ForgetAfter
	for before := range 1 << most {
		for now := range 1 << most {
			ledger, _ := play(t, there(0, before), there(later.Seconds(), now))
			var want, got []own
			for i := range most {
				since := ledger.Steady
				if before>>i&1 == 1 {
					since -= later
				}
				if now>>i&1 == 1 {
					want = append(want, own{addr(i), since, uint64(1+i)*1000 + uint64(later.Seconds())})
				}
			}
			for _, c := range ledger.Clients {
				got = append(got, own{c.Addr, c.Since, c.Total[Tx].Bytes})
			}
			if !slices.Equal(want, got) {
				t.Fatalf("from %06b to %06b: clients %v, want %v", before, now, got, want)
			}
		}
	}
}
