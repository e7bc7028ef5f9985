package state

import (
	"math"
	"time"
)

// maxMarks is how many earlier samples are kept as bases of rates.
const maxMarks = 3

// Tally is a total, what it was at the ledger's marks, and the bounds within which
// it is published.
type Tally struct {
	Total [2]Traffic          // ever, by Direction
	Marks [maxMarks][2]uint64 // the bytes of Total at each of Ledger.Marks
	// Floor is what is published as long as Total is lower: it may have been
	// published before state was lost.
	Floor [2]Traffic
	// Ceiling, in a checkpoint, is the most that is published before the next one.
	Ceiling [2]Traffic
}

// add puts what has come since the last run on the total.
func (t *Tally) add(moved [2]Traffic) {
	for d := range t.Total {
		t.Total[d] = t.Total[d].plus(moved[d])
	}
}

// rate gives the bits per second, by direction, since a mark, which was taken
// elapsed ago.
func (t *Tally) rate(mark int, elapsed time.Duration) [2]float64 {
	var bps [2]float64
	for d, before := range t.Marks[mark] {
		if t.Total[d].Bytes > before {
			bps[d] = float64(t.Total[d].Bytes-before) * 8 / elapsed.Seconds()
		}
	}
	return bps
}

// mark keeps the marks that are named and adds the total as it is now.
func (t *Tally) mark(kept []int) {
	var marks [maxMarks][2]uint64
	for to, from := range kept {
		marks[to] = t.Marks[from]
	}
	marks[len(kept)] = [2]uint64{Rx: t.Total[Rx].Bytes, Tx: t.Total[Tx].Bytes}
	t.Marks = marks
}

// youngest gives the index of the youngest mark that is not younger than limit,
// -1 if there is none. A younger base would make the packets of a moment look
// like a rate.
func (l *Ledger) youngest(limit time.Duration) int {
	for i := len(l.Marks) - 1; i >= 0; i-- {
		if l.Marks[i] <= limit {
			return i
		}
	}
	return -1
}

// mark adds the ledger as it stands to its marks and drops those that no later
// run will need: base is the index of what this run's rates were taken from, -1
// if there was none. The oldest mark kept is always old enough, the second one
// takes its place once it is, so that neither many runs in a row nor an interval
// longer than the timer's let the base grow old.
func (l *Ledger) mark(base int) {
	var kept []int
	var marks []time.Duration
	for i := max(base, 0); i < len(l.Marks) && len(kept) < maxMarks-1; i++ {
		kept, marks = append(kept, i), append(marks, l.Marks[i])
	}
	l.Marks = append(marks, l.Uptime)
	for addr, c := range l.Clients {
		c.mark(kept)
		l.Clients[addr] = c
	}
	l.Other.mark(kept)
}

// plus adds up. It stops at the largest number that there is: a total that
// wrapped would fall.
func (t Traffic) plus(u Traffic) Traffic {
	return Traffic{plus(t.Bytes, u.Bytes), plus(t.Packets, u.Packets)}
}

func plus(a, b uint64) uint64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return math.MaxUint64
}
