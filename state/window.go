package state

import (
	"math"
	"time"
)

// The window is what peaks and averages are taken over: a minute, which moves on
// by a slot at a time. A single interval that is longer is a window of its own.
const (
	window     = time.Minute
	slotLength = 10 * time.Second
)

// WindowSlot is what was moved in one slot of the window.
type WindowSlot struct {
	Start time.Duration // one of Ledger.Slots
	Delta [2]Traffic    // by Direction
	Peak  [2]uint64     // highest rate that was published, bits per second rounded up
}

// advanceWindow lets the window end with counters that were read at a time, and
// the last time before. It is called once a run, before any slot is appended.
func (l *Ledger) advanceWindow(last, read time.Duration) {
	slots := l.Slots
	if len(slots) == 0 || last/slotLength != read/slotLength {
		slots = append(slots[:len(slots):len(slots)], last)
	}
	for len(slots) > 1 && read-slots[0] > window {
		slots = slots[1:]
	}
	l.Slots = slots
}

// slotArena is the memory that the slots of a run are in: one piece for all.
type slotArena []WindowSlot

// appendSlot returns the slots that are still within the window, with what came
// since the last run in the last of them.
func (a *slotArena) appendSlot(old []WindowSlot, starts []time.Duration, delta [2]Traffic, rate [2]float64) []WindowSlot {
	for len(old) > 0 && old[0].Start < starts[0] {
		old = old[1:]
	}
	slot := WindowSlot{Start: starts[len(starts)-1], Delta: delta}
	for d, bps := range rate {
		slot.Peak[d] = uint64(math.Ceil(min(bps, math.MaxInt64)))
	}
	if slot == (WindowSlot{Start: slot.Start}) {
		return old
	}
	from := len(*a)
	*a = append(*a, old...)
	if n := len(*a) - 1; n >= from && (*a)[n].Start == slot.Start {
		same := &(*a)[n]
		same.Delta = sum(same.Delta, slot.Delta)
		for d := range slot.Peak {
			same.Peak[d] = max(same.Peak[d], slot.Peak[d])
		}
	} else {
		*a = append(*a, slot)
	}
	return (*a)[from:len(*a):len(*a)]
}

// overWindow returns the highest and the average rate over a window that began
// that long ago, in bits per second by direction.
func (s *CounterState) overWindow(length time.Duration) (peak, average [2]float64) {
	for i := range s.Slots {
		for d := range peak {
			peak[d] = max(peak[d], float64(s.Slots[i].Peak[d]))
			average[d] += float64(s.Slots[i].Delta[d].Bytes) * 8 / length.Seconds()
		}
	}
	return peak, average
}

// inWindow returns what was moved within the window.
func (s *CounterState) inWindow() (delta [2]Traffic) {
	for i := range s.Slots {
		delta = sum(delta, s.Slots[i].Delta)
	}
	return delta
}
