package state

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// TestFirstReadings looks at what the laptop has sent if a counter is there that
// was not in the last run.
func TestFirstReadings(t *testing.T) {
	element := func(set, bytes uint64) []Counter { return []Counter{tx(laptop, 1, set, bytes)} }
	known := step{layout: Sets, loaded: true, counters: append(element(1, 100), tx(phone, 1, 1, 7))}
	for _, test := range []struct {
		name       string
		accounting Layout
		last       []step
		now        step
		want       uint64
	}{
		{"no state at all", Sets, nil, step{layout: Sets, loaded: true, counters: element(9, 5000)}, 5000},
		{"a set that this run made", Sets, []step{known}, step{layout: Sets, counters: element(9, 500)}, 600},
		{"a set that somebody loaded", Sets, []step{known}, step{layout: Sets, loaded: true, counters: element(9, 5000)}, 100},
		{"and that goes on", Sets, []step{known, {at: 2, layout: Sets, loaded: true, counters: element(9, 5000)}},
			step{layout: Sets, loaded: true, counters: element(9, 5070)}, 170},
		{"a loaded set after a reboot", Sets, []step{known}, step{boot: "b", layout: Sets, loaded: true, counters: element(1, 5000)}, 100},
		{"a new element of a set that is known", Sets, []step{{layout: Sets, loaded: true, counters: []Counter{tx(phone, 1, 1, 7)}, lan: []NeighborEntry{at(laptop, laptopMAC)}}},
			step{layout: Sets, loaded: true, counters: append(element(1, 500), tx(phone, 1, 1, 7))}, 500},
		{"and of one that the next layout goes on with", Flows, []step{{layout: Sets, loaded: true, counters: []Counter{tx(phone, 1, 1, 7)}, lan: []NeighborEntry{at(laptop, laptopMAC)}}},
			step{layout: Flows, loaded: true, counters: append(element(1, 500), tx(phone, 1, 1, 7))}, 500},
		{"and of one that was there beside the rules", Sets, []step{{loaded: true, counters: []Counter{tx(laptop, 1, 2, 100), tx(phone, 1, 1, 7)}}},
			step{layout: Sets, loaded: true, counters: append(element(1, 100), tx(phone, 1, 1, 7))}, 100},
		{"an address that nobody knows, in a set that somebody loaded", Sets, []step{{layout: Sets, loaded: true, counters: []Counter{tx(phone, 1, 1, 7)}}},
			step{layout: Sets, loaded: true, counters: element(9, 500)}, 500},
		{"a rule that this run made", Rules, []step{{counters: element(1, 100)}}, step{counters: element(2, 500)}, 600},
		{"a rule that somebody loaded", Rules, []step{{counters: element(1, 100)}}, step{loaded: true, counters: element(2, 5000)}, 100},
		{"a rule made by hand, and again after a flush, with off", Off, []step{{loaded: true, counters: element(1, 100)}, {at: 1, loaded: true}},
			step{loaded: true, counters: element(2, 500)}, 600},
		{"the last ledger is lost", Sets, []step{known}, step{recovered: true, layout: Sets, loaded: true, counters: element(9, 500)}, 600},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config
			cfg.Accounting = test.accounting
			ledger := &Ledger{}
			for _, s := range test.last {
				now := s.sample()
				ledger, _ = Compare(ledger, now, NewScope(lan, nil, nil), noNames(), cfg)
			}
			ledger.Recovered = test.now.recovered
			test.now.at = 4
			now := test.now.sample()
			_, report := Compare(ledger, now, NewScope(lan, nil, nil), noNames(), cfg)
			if got := client(t, report, laptop).Total[Tx].Bytes; got != test.want {
				t.Errorf("the total is %d, want %d", got, test.want)
			}
		})
	}
}

// What plain counters show belongs to nobody.
func TestPlainCounters(t *testing.T) {
	plain := func(bytes uint64) []Counter { return []Counter{tx(laptop, 1, 1, 100), rx(netip.Addr{}, 1, 5, bytes)} }
	_, report := play(t,
		step{layout: Sets, loaded: true, counters: plain(50)},
		step{at: 2, layout: Sets, loaded: true, counters: plain(80)},
	)
	if report.Other == nil || report.Other.Total[Rx].Bytes != 80 || report.Other.Rate[Rx] != 120 {
		t.Errorf("other is %+v, want 80 bytes at 120 bit/s", report.Other)
	}
	if report.OtherDevice == nil || report.OtherDevice.Total[Rx] != 80 {
		t.Errorf("device \"\" is %+v, want 80 bytes", report.OtherDevice)
	}
	if len(report.Clients) != 1 {
		t.Errorf("%d clients, want the laptop alone", len(report.Clients))
	}
}

// flood is a step in which a number of made-up addresses sent a packet each, beside
// a laptop that everybody knows.
func flood(at float64, from, to int, laptopBytes uint64) step {
	s := step{at: at, layout: Sets, loaded: true, lan: []NeighborEntry{{Addr: laptop, MAC: laptopMAC, State: Reachable}}}
	s.counters = []Counter{tx(laptop, 1, 1, laptopBytes), rx(laptop, 1, 2, laptopBytes)}
	for i := from; i < to; i++ {
		s.counters = append(s.counters, tx(spoofed(i), 1, 1, 60))
	}
	return s
}

func spoofed(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, 168, byte(20 + i>>8), byte(i)})
}

// TestFlood floods the sets with made-up addresses, evicts as the report says, and
// looks at who is left.
func TestFlood(t *testing.T) {
	cfg := config
	cfg.Accounting, cfg.MaxClients = Sets, 100
	scope := NewScope([]netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}, nil, nil)
	ledger, report := &Ledger{}, (*Report)(nil)
	gone := make(map[netip.Addr]bool)
	next := 0
	for run := range 20 {
		if run < 10 {
			next += 150 // the sets are full with 200
		}
		s := flood(float64(2*run), 0, 0, uint64(run)*1000)
		for i, free := next-1, 2*cfg.MaxClients-1; i >= 0 && free > 0; i-- {
			if a := spoofed(i); !gone[a] {
				s.counters = append(s.counters, tx(a, 1, 1, 60))
				free--
			} else {
				free = min(free, 0)
			}
		}
		now := s.sample()
		ledger, report = Compare(ledger, now, scope, noNames(), cfg)
		for _, c := range report.Evict {
			if c.Addr == laptop {
				t.Fatalf("run %d evicts the laptop", run)
			}
			gone[c.Addr] = true
		}
		ledger.ForgetReadings(report.Evict)
		if got := client(t, report, laptop).Total[Tx].Bytes; got != uint64(run)*1000 {
			t.Fatalf("run %d: the laptop has sent %d", run, got)
		}
		if len(ledger.Clients) > 2*cfg.MaxClients+1 || len(ledger.Devices) > 2*cfg.MaxClients+1 {
			t.Fatalf("run %d: %d clients and %d devices", run, len(ledger.Clients), len(ledger.Devices))
		}
		if left := len(ledger.LastReadings.Counters); run >= 2 && left > 2*cfg.MaxClients {
			t.Fatalf("run %d: %d counters", run, left)
		}
	}
	// Some may be kept for the online window, as they are not many.
	now := flood(400, 0, 0, 20000).sample()
	now.Accounting.Counters = append(now.Accounting.Counters, ledger.LastReadings.Counters[2:]...)
	ledger, report = Compare(ledger, now, scope, noNames(), cfg)
	ledger.ForgetReadings(report.Evict)
	if clients, devices := len(ledger.Clients), len(ledger.Devices); clients > 1+maxSuspects || devices > 1+maxSuspects {
		t.Errorf("six minutes later there are %d clients and %d devices", clients, devices)
	}
}

// TestEvict looks at whose counters may go where there are more than half of what
// the sets take.
func TestEvict(t *testing.T) {
	cfg := config
	cfg.Accounting, cfg.MaxClients = Sets, 2
	others := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 10, byte(10 + i)}) }
	var neighbors []NeighborEntry
	var counters []Counter
	for i := range 4 {
		neighbors = append(neighbors, NeighborEntry{Addr: others(i), MAC: MAC{2, 5: byte(i)}, State: Stale, Confirmed: time.Hour})
		counters = append(counters, tx(others(i), 1, 1, uint64(1000-100*i)))
	}
	ledger := &Ledger{}
	run := func(at float64, grows ...int) *Report {
		for _, i := range grows {
			counters[i].Bytes += 10
		}
		now := step{at: at, layout: Sets, loaded: true, lan: neighbors, counters: counters}.sample()
		next, report := Compare(ledger, now, NewScope(lan, nil, nil), noNames(), cfg)
		ledger = next
		return report
	}
	run(0)
	run(2, 0, 1, 2, 3)
	run(4, 0, 1, 2)
	// 0 and 1 have series; of the others 3 was idle for longer, and is one too many.
	report := run(6, 0, 1)
	if want := []Counter{counters[2], counters[3]}; len(report.Evict) != 2 || report.Evict[0] != want[0] || report.Evict[1] != want[1] {
		t.Errorf("evicts %v, want %v", report.Evict, want)
	}
	ledger.ForgetReadings(report.Evict)
	counters = counters[:2]
	if report = run(8, 0); len(report.Evict) > 0 || report.Resets > 0 {
		t.Errorf("evicts %v, with %d resets, want none", report.Evict, report.Resets)
	}
	if len(ledger.Clients) != 4 {
		t.Errorf("%d clients, want 4: those without counters are still there", len(ledger.Clients))
	}
}

// TestBusyLineAndCheckpoints has clients come and go all day, and counts the
// checkpoints that are beyond the planned ones.
func TestBusyLineAndCheckpoints(t *testing.T) {
	cfg := config
	cfg.CheckpointInterval = time.Minute
	random := rand.New(rand.NewPCG(1, 2))
	const devices, runs = 10, 3 * 3600 / 2
	var rate, total [devices]uint64
	var there []NeighborEntry
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 10, byte(10 + i)}) }
	for i := range devices {
		there = append(there, at(addr(i), MAC{2, 5: byte(i)}))
	}
	ledger, checkpoints := &Ledger{}, 0
	for n := range runs {
		s := step{at: float64(2 * n), lan: there}
		for i := range devices {
			switch random.IntN(60) {
			case 0: // a download begins
				rate[i] = random.Uint64N(100e6 / 8 * 2)
			case 1, 2, 3: // or ends
				rate[i] = random.Uint64N(5000)
			}
			total[i] += rate[i]/2 + random.Uint64N(1+rate[i])
			s.counters = append(s.counters, rx(addr(i), 1, uint64(i), total[i]))
		}
		now := s.sample()
		ledger, _ = Compare(ledger, now, NewScope(lan, nil, nil), noNames(), cfg)
		if ledger.IsCheckpoint() {
			checkpoints++
		}
	}
	if most := runs * 2 / int(leastCheckpoint.Seconds()); checkpoints > most {
		t.Errorf("%d checkpoints in %d runs, want at most %d: one every %v", checkpoints, runs, most, leastCheckpoint)
	}
	t.Logf("a checkpoint every %.1f s", float64(2*runs)/float64(checkpoints))
}

// TestPowerCutLongAfterADownload looks at what is published from the checkpoint,
// ten minutes after a download of 40 GB ended.
func TestPowerCutLongAfterADownload(t *testing.T) {
	cfg := config
	cfg.CheckpointInterval = time.Minute
	there := []NeighborEntry{at(laptop, laptopMAC)}
	var checkpoint *Ledger
	ledger, total := &Ledger{}, uint64(0)
	for n := range 600 {
		if n < 300 {
			total += 40_000_000_000 / 300
		}
		now := step{at: float64(2 * n), lan: there, counters: []Counter{rx(laptop, 1, 1, total)}}.sample()
		ledger, _ = Compare(ledger, now, NewScope(lan, nil, nil), noNames(), cfg)
		if ledger.IsCheckpoint() {
			checkpoint = ledger
		}
	}
	lost := *checkpoint
	lost.Recovered = true
	now := step{boot: "b", lan: there}.sample()
	_, report := Compare(&lost, now, NewScope(lan, nil, nil), noNames(), cfg)
	for name, got := range map[string]uint64{
		"client": client(t, report, laptop).Total[Rx].Bytes,
		"device": device(t, report, laptopID).Total[Rx],
	} {
		if got < total || got > total+leastReserveBytes {
			t.Errorf("the total of the %s is %d, want %d or up to 1 MiB more", name, got, total)
		}
	}
}
