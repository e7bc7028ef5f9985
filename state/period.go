package state

import "time"

// Period indexes what is told of a calendar period.
type Period uint8

// The periods.
const (
	Current  Period = iota // since the last Config.PeriodStart
	Previous               // between the two before
)

// String returns the value of the label period.
func (p Period) String() string {
	if p == Previous {
		return "previous"
	}
	return "current"
}

// Part indexes what is told of all traffic and of a part of it.
type Part uint8

// The parts.
const (
	All   Part = iota
	Local      // whose other end is an address of the networks too
)

// String returns the value of the label scope.
func (p Part) String() string {
	if p == Local {
		return "local"
	}
	return "all"
}

// periodStart returns the beginning of the calendar period that a moment is in:
// midnight of the given day of a month, or of its last day where it is shorter.
func periodStart(t time.Time, day int) time.Time {
	start := startOfDay(t.Year(), t.Month(), day, t.Location())
	if t.Before(start) {
		start = startOfDay(t.Year(), t.Month()-1, day, t.Location())
	}
	return start
}

// startOfDay returns the first moment of a day of a month. Where clocks go forward
// at midnight that is an hour later.
func startOfDay(year int, month time.Month, day int, in *time.Location) time.Time {
	day = min(day, time.Date(year, month+1, 0, 12, 0, 0, 0, in).Day())
	noon := time.Date(year, month, day, 12, 0, 0, 0, in)
	start := time.Date(year, month, day, 0, 0, 0, 0, in)
	for start.Day() != noon.Day() {
		start = start.Add(time.Hour)
	}
	return start
}

// previousPeriodStart returns the beginning of the period before the one that
// begins at a moment.
func previousPeriodStart(start time.Time, day int) time.Time {
	return periodStart(start.Add(-12*time.Hour), day)
}

// advancePeriod begins a new period where the calendar says so, and takes one back
// that began while the wall clock ran ahead. It returns what that does to each
// Usage, nil for nothing. What was counted before the clock was first set belongs
// to the period in which it was set.
func (l *Ledger) advancePeriod(day int) func(*Usage) {
	start := periodStart(l.Wall, day)
	last := l.PeriodStarts
	l.PeriodStarts[Current] = start
	switch {
	case last[Current].IsZero(), last[Current].Equal(start):
		return nil
	case last[Current].Before(start):
		l.PeriodStarts[Previous] = last[Current]
		return (*Usage).beginPeriod
	case last[Previous].Before(start):
		return nil
	default:
		l.PeriodStarts[Previous] = time.Time{}
		return (*Usage).mergePeriods
	}
}

// PeriodBytes are the bytes of a period, by Direction.
type PeriodBytes [2]uint64

// totals returns the totals that periods are reckoned from, by Part.
func (u *Usage) totals() [2]PeriodBytes {
	return [2]PeriodBytes{
		All:   {Rx: u.Total[Rx].Bytes, Tx: u.Total[Tx].Bytes},
		Local: u.Local,
	}
}

// current returns what was moved in the current period, by Part.
func (u *Usage) current() [2]PeriodBytes {
	now := u.totals()
	for p := range now {
		for d := range now[p] {
			now[p][d] -= min(now[p][d], u.PeriodBase[p][d])
		}
	}
	return now
}

// beginPeriod makes the current period the previous one.
func (u *Usage) beginPeriod() {
	u.Previous, u.PeriodBase = u.current(), u.totals()
}

// mergePeriods makes the previous period a part of the current one.
func (u *Usage) mergePeriods() {
	for p := range u.PeriodBase {
		for d := range u.PeriodBase[p] {
			u.PeriodBase[p][d] -= min(u.PeriodBase[p][d], u.Previous[p][d])
		}
	}
	u.Previous = [2]PeriodBytes{}
}

// absorb puts what another device moved on what this one did.
func (u *Usage) absorb(other *Usage) {
	u.CounterState.absorb(&other.CounterState)
	for d := range u.Local {
		u.Local[d] = plus(u.Local[d], other.Local[d])
		u.LocalReserved[d] = plus(u.LocalReserved[d], other.LocalReserved[d])
	}
	for p := range u.PeriodBase {
		for d := range u.PeriodBase[p] {
			u.PeriodBase[p][d] = plus(u.PeriodBase[p][d], other.PeriodBase[p][d])
			u.Previous[p][d] = plus(u.Previous[p][d], other.Previous[p][d])
		}
	}
}
