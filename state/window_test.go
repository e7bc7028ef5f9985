package state

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// every gives runs two seconds apart, the first one at the time from, with the
// bytes that the laptop has sent by each.
func every(from float64, bytes ...uint64) []step {
	var steps []step
	for i, b := range bytes {
		steps = append(steps, step{at: from + 2*float64(i), counters: []Counter{tx(laptop, 1, 2, b)}})
	}
	return steps
}

// steady gives n runs in each of which the laptop has sent as much as in the one
// before.
func steady(from float64, n int, first, each uint64) []step {
	bytes := make([]uint64, n)
	for i := range bytes {
		bytes[i] = first + uint64(i)*each
	}
	return every(from, bytes...)
}

func TestWindow(t *testing.T) {
	join := func(parts ...[]step) (all []step) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	none := math.NaN()
	for _, test := range []struct {
		name          string
		steps         []step
		peak, average float64 // bits per second from the laptop, none if there are no rates
	}{
		{"the first sample of a boot", every(0, 1000), none, none},
		{"one interval", every(0, 1000, 2000), 4000, 4000},
		{"a window that is not a minute old", every(0, 0, 1000, 1000, 1000, 5000), 16000, 5000},
		{"a burst between two scrapes", join(every(0, 0, 6000), steady(4, 6, 6000, 0)), 24000, 48000.0 / 14},
		{"nothing moved", steady(0, 60, 1000, 0), 0, 0},
		{"a steady stream", steady(0, 100, 1000, 500), 2000, 2000},
		// A burst of 6,000 bytes at 2 s; the window moves on by 10 s at a time.
		{"a burst of 58 s ago", join(every(0, 0, 6000), steady(4, 28, 6000, 0)), 24000, 48000.0 / 58},
		{"a burst of more than a minute ago", join(every(0, 0, 6000), steady(4, 36, 6000, 0)), 0, 0},
		{"a second burst", join(every(0, 0, 6000), steady(4, 3, 6000, 0), every(10, 18000, 18000)), 48000, 144000.0 / 12},
		{"a rate that is no whole number", every(0, 0, 0, 1, 1, 1, 1, 1), 4, 8.0 / 12},
		{"a reboot", join(every(0, 0, 1000), []step{{boot: "b", at: 4}}), none, none},
		{"a reboot and another sample", join(every(0, 0, 50000), []step{
			{boot: "b", counters: []Counter{tx(laptop, 1, 2, 500)}},
			{boot: "b", at: 2, counters: []Counter{tx(laptop, 1, 2, 1500)}},
		}), 4000, 4000},
		{"the source fails", join(every(0, 0, 1000), []step{{at: 4, failed: []Source{NFTables}}}), none, none},
		{"the source failed in between", join(every(0, 0, 1000), []step{{at: 4, failed: []Source{NFTables}}}, every(6, 3000)), 4000, 4000},
		{"the source failed for two minutes", join(every(0, 0, 6000), []step{{at: 4, failed: []Source{NFTables}}}, every(122, 36000)), 2000, 2000},
		{"an interval of ten minutes", []step{
			{counters: []Counter{tx(laptop, 1, 2, 0)}}, {at: 600, counters: []Counter{tx(laptop, 1, 2, 75000)}},
		}, 1000, 1000},
		{"a client that is new", append(every(0, 0), step{at: 2, counters: []Counter{tx(laptop, 1, 2, 0), tx(phone, 1, 3, 0)}}), 0, 0},
		// 100 bytes within 0.1 s are 8,000 bit/s; over the timer's interval they are 400.
		{"a run by hand just before the timer's", []step{
			{counters: []Counter{tx(laptop, 1, 2, 0)}},
			{at: 1.9, counters: []Counter{tx(laptop, 1, 2, 0)}},
			{at: 2, counters: []Counter{tx(laptop, 1, 2, 100)}},
		}, 400, 400},
		// At 2 s the rate is that since 1 s, though nothing has moved since 1.5 s.
		{"a rate that rises while nothing moves", []step{
			{counters: []Counter{tx(laptop, 1, 2, 0)}},
			{at: 1, counters: []Counter{tx(laptop, 1, 2, 0)}},
			{at: 1.5, counters: []Counter{tx(laptop, 1, 2, 300)}},
			{at: 2, counters: []Counter{tx(laptop, 1, 2, 300)}},
		}, 2400, 1200},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, report := play(t, test.steps...)
			got := [2]float64{none, none}
			if report.Rates {
				c := client(t, report, laptop)
				got = [2]float64{c.Peak[Tx], c.Average[Tx]}
				if c.Peak[Rx] != 0 || c.Average[Rx] != 0 {
					t.Errorf("what it did not receive has peak %v, average %v", c.Peak[Rx], c.Average[Rx])
				}
			}
			want := [2]float64{test.peak, test.average}
			if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-12, 0)); diff != "" {
				t.Errorf("peak and average (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWindowAgainstHistory holds every run's peak and average to all rates and
// totals of the minute before it, for bursts that come and go.
func TestWindowAgainstHistory(t *testing.T) {
	var history []struct {
		at    time.Duration
		total uint64
		rate  float64
	}
	ledger, total := &Ledger{}, uint64(0)
	for i := range 500 {
		if i%37 < 5 {
			total += uint64(i*i) * 1000
		}
		now := step{at: 2 * float64(i), counters: []Counter{tx(laptop, 1, 2, total)}}.sample()
		var report *Report
		ledger, report = Compare(ledger, now, NewScope(lan, now.LAN, nil), noNames(), config)
		c := client(t, report, laptop)
		history = append(history, struct {
			at    time.Duration
			total uint64
			rate  float64
		}{now.Uptime, total, c.Rate[Tx]})
		if i == 0 {
			continue
		}
		began := ledger.Slots[0]
		if length := now.Uptime - began; length > window || length < window-slotLength-config.Interval && began != history[0].at {
			t.Fatalf("run %d: a window of %v", i, length)
		}
		var peak, average float64
		for _, h := range history {
			if h.at == began {
				average = float64(total-h.total) * 8 / (now.Uptime - began).Seconds()
			}
			if h.at > began {
				peak = max(peak, h.rate)
			}
		}
		if math.Ceil(peak) != c.Peak[Tx] || math.Abs(average-c.Average[Tx]) > average*1e-12 {
			t.Fatalf("run %d: peak %v, average %v, want %v and %v", i, c.Peak[Tx], c.Average[Tx], peak, average)
		}
	}
}

// TestWindowStaysSmall runs at intervals that fit no slot.
func TestWindowStaysSmall(t *testing.T) {
	for _, interval := range []float64{0.1, 0.3, 2, 7, 10, 11, 59, 61, 3600} {
		ledger := &Ledger{}
		for i := range 1000 {
			now := step{at: interval * float64(i), counters: []Counter{tx(laptop, 1, 2, uint64(i)*100)}}.sample()
			ledger, _ = Compare(ledger, now, NewScope(lan, now.LAN, nil), noNames(), config)
			if slots := len(ledger.Clients[0].Slots); slots > 7 || len(ledger.Slots) > 7 || slots > len(ledger.Slots) {
				t.Fatalf("every %v s, run %d: %d slots, %d of the client", interval, i, len(ledger.Slots), slots)
			}
		}
	}
}

// TestWindowSharesNothing runs twice from one ledger, as happens when a run
// cannot save.
func TestWindowSharesNothing(t *testing.T) {
	for n := 2; n < 12; n++ {
		last, _ := play(t, steady(0, n, 0, 1000)...)
		again := fmt.Sprintf("%+v", *last)
		next := step{at: 2 * float64(n), counters: []Counter{tx(laptop, 1, 2, 1<<30)}}.sample()
		_, first := Compare(copyOf(last), next, NewScope(lan, next.LAN, nil), noNames(), config)
		_, second := Compare(copyOf(last), next, NewScope(lan, next.LAN, nil), noNames(), config)
		if diff := cmp.Diff(client(t, first, laptop), client(t, second, laptop), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("after %d runs, the second of two differs (-first +second):\n%s", n, diff)
		}
		if after := fmt.Sprintf("%+v", *last); after != again {
			t.Errorf("after %d runs, the ledger was changed:\n%s\n%s", n, again, after)
		}
	}
}
