package state

import (
	"slices"
	"time"
)

// maxBaselines is how many earlier samples are kept to take rates from.
const maxBaselines = 3

// CounterState is a total and what is needed to tell rates of it.
type CounterState struct {
	Total     [2]Traffic              // ever, by Direction
	Baselines [maxBaselines][2]uint64 // the bytes of Total at each of Ledger.Baselines
	Slots     []WindowSlot            // the last minute, oldest first; a slot without traffic is left out
	// Reserved is the most of Total that may be published before the next
	// checkpoint, by Direction. Zero: nothing yet.
	Reserved [2]Traffic
}

// add puts what has come since the last run on the total.
func (s *CounterState) add(delta [2]Traffic) {
	s.Total = sum(s.Total, delta)
}

// absorb puts another total on this one. It changes no rate: what came within the
// last minute came to the other one.
func (s *CounterState) absorb(other *CounterState) {
	s.add(other.Total)
	s.Reserved = sum(s.Reserved, other.Reserved)
	for i := range s.Baselines {
		for d := range s.Baselines[i] {
			s.Baselines[i][d] = plus(s.Baselines[i][d], other.Baselines[i][d])
		}
	}
}

// forget takes away what a predecessor moved.
func (s *CounterState) forget(part [2]Traffic) {
	for d := range s.Total {
		s.Total[d] = s.Total[d].minus(part[d])
		s.Reserved[d] = s.Reserved[d].minus(part[d])
		for i := range s.Baselines {
			s.Baselines[i][d] -= min(s.Baselines[i][d], part[d].Bytes)
		}
	}
}

// rate returns bits per second, by direction, over a time that began with the
// baseline of that index.
func (s *CounterState) rate(base int, over time.Duration) (bps [2]float64) {
	for d, before := range s.Baselines[base] {
		if s.Total[d].Bytes > before {
			bps[d] = float64(s.Total[d].Bytes-before) * 8 / over.Seconds()
		}
	}
	return bps
}

// setBaselines keeps n of the baselines, from the index first on, and adds the
// total as it is now.
func (s *CounterState) setBaselines(first, n int) {
	var baselines [maxBaselines][2]uint64
	copy(baselines[:], s.Baselines[first:first+n])
	baselines[n] = [2]uint64{Rx: s.Total[Rx].Bytes, Tx: s.Total[Tx].Bytes}
	s.Baselines = baselines
}

// rateBase is what the rates of a run are taken from.
type rateBase struct {
	index int           // of Ledger.Baselines; -1: there are no rates
	over  time.Duration // from that baseline to when the counters were read
}

// newestBaseline returns the youngest baseline that is at least half an interval
// older than the counters. A younger one would make the packets of a moment look
// like a rate.
func (l *Ledger) newestBaseline(read time.Duration, cfg Config) rateBase {
	for i, at := range slices.Backward(l.Baselines) {
		if at <= read-cfg.Interval/2 {
			return rateBase{i, read - at}
		}
	}
	return rateBase{index: -1}
}

// keptBaselines returns which of the baselines the next run may need, as the
// index of the first and their number: the one that this run's rates were taken
// from is old enough for the next one too, and the second one takes its place
// once it is old enough. So neither many runs in a row nor an interval longer than
// the timer's let the base grow old.
func (l *Ledger) keptBaselines(base rateBase) (first, n int) {
	first = max(base.index, 0)
	return first, min(len(l.Baselines)-first, maxBaselines-1)
}
