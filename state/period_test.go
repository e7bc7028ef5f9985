package state

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustLocation(t *testing.T, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func TestPeriodStart(t *testing.T) {
	berlin, santiago := mustLocation(t, "Europe/Berlin"), mustLocation(t, "America/Santiago")
	const form = "2006-01-02 15:04:05 -0700"
	for _, test := range []struct {
		name             string
		now              time.Time
		day              int
		current, earlier string
	}{
		{"in the middle of a month", time.Date(2026, 11, 22, 12, 0, 0, 0, berlin), 1, "2026-11-01 00:00:00 +0100", "2026-10-01 00:00:00 +0200"},
		{"at midnight", time.Date(2026, 11, 1, 0, 0, 0, 0, berlin), 1, "2026-11-01 00:00:00 +0100", "2026-10-01 00:00:00 +0200"},
		{"just before", time.Date(2026, 10, 31, 23, 59, 59, 0, berlin), 1, "2026-10-01 00:00:00 +0200", "2026-09-01 00:00:00 +0200"},
		{"before the day", time.Date(2026, 11, 14, 12, 0, 0, 0, berlin), 15, "2026-10-15 00:00:00 +0200", "2026-09-15 00:00:00 +0200"},
		{"over new year", time.Date(2027, 1, 3, 12, 0, 0, 0, berlin), 15, "2026-12-15 00:00:00 +0100", "2026-11-15 00:00:00 +0100"},
		{"the 31st of a month of 30 days", time.Date(2026, 11, 30, 0, 0, 0, 0, berlin), 31, "2026-11-30 00:00:00 +0100", "2026-10-31 00:00:00 +0100"},
		{"the 30th in February", time.Date(2026, 2, 28, 1, 0, 0, 0, berlin), 30, "2026-02-28 00:00:00 +0100", "2026-01-30 00:00:00 +0100"},
		{"the 29th in a leap year", time.Date(2028, 3, 1, 1, 0, 0, 0, berlin), 29, "2028-02-29 00:00:00 +0100", "2028-01-29 00:00:00 +0100"},
		// Clocks go from 24:00 on September 5th to 1:00 on the 6th.
		{"where there is no midnight", time.Date(2026, 9, 6, 1, 30, 0, 0, santiago), 6, "2026-09-06 01:00:00 -0300", "2026-08-06 00:00:00 -0400"},
		{"just before, where there is none", time.Date(2026, 9, 5, 23, 59, 59, 0, santiago), 6, "2026-08-06 00:00:00 -0400", "2026-07-06 00:00:00 -0400"},
	} {
		start := periodStart(test.now, test.day)
		got := [2]string{start.Format(form), previousPeriodStart(start, test.day).Format(form)}
		if want := [2]string{test.current, test.earlier}; got != want {
			t.Errorf("%s: %v, want %v", test.name, got, want)
		}
	}
}

// TestPeriods looks at what the laptop has sent in the current and in the previous
// period after the last of several runs.
func TestPeriods(t *testing.T) {
	const day = 24 * 3600.0
	there := []NeighborEntry{at(laptop, laptopMAC)}
	// Noon is that of November 22nd.
	run := func(days float64, bytes uint64) step {
		return step{at: days * day, lan: there, counters: []Counter{tx(laptop, 1, 1, bytes)}}
	}
	wrong := func(s step, by time.Duration) step {
		s.wall = by
		return s
	}
	for _, test := range []struct {
		name  string
		steps []step
		want  [2]uint64 // by Period
	}{
		{"the first run", []step{run(0, 100)}, [2]uint64{100, 0}},
		{"within a month", []step{run(0, 100), run(5, 400)}, [2]uint64{400, 0}},
		{"a new month", []step{run(0, 100), run(8, 400), run(9, 1000)}, [2]uint64{600, 400}},
		{"two new months", []step{run(0, 100), run(8, 400), run(20, 1000), run(41, 1500)}, [2]uint64{500, 600}},
		{"off in all of a month", []step{run(0, 100), run(8, 400), run(80, 1000), run(81, 1500)}, [2]uint64{1100, 0}},
		{"a reboot between two months", []step{run(0, 100), func() step { s := run(10, 50); s.boot = "b"; return s }()}, [2]uint64{50, 100}},
		{"a clock that is not set begins no period", []step{run(0, 100), wrong(run(0.1, 300), -30*365*24*time.Hour), run(0.2, 400)}, [2]uint64{400, 0}},
		{"a clock that ran ahead for a while", []step{run(0, 100), wrong(run(0.1, 300), 60*24*time.Hour), run(0.2, 400)}, [2]uint64{400, 0}},
		{"a clock that ran ahead into the next month", []step{run(0, 100), wrong(run(0.1, 300), 10*24*time.Hour), run(0.2, 400), run(9, 1000)}, [2]uint64{600, 400}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, report := play(t, test.steps...)
			d := device(t, report, laptopID)
			if got := [2]uint64{d.Current[All][Tx], d.Previous[All][Tx]}; got != test.want {
				t.Errorf("current and previous are %v, want %v", got, test.want)
			}
		})
	}
}

// TestPeriodStarts looks at when periods began.
func TestPeriodStarts(t *testing.T) {
	utc := func(year int, month time.Month, day int) time.Time {
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	}
	_, report := play(t, step{})
	if diff := cmp.Diff([2]time.Time{utc(2026, 11, 1), utc(2026, 10, 1)}, report.PeriodStarts); diff != "" {
		t.Errorf("starts (-want +got):\n%s", diff)
	}
	_, report = play(t, step{wall: -30 * 365 * 24 * time.Hour})
	if report.PeriodStarts != ([2]time.Time{}) {
		t.Errorf("a clock that was never set has %v", report.PeriodStarts)
	}
}
