package state

import "time"

// maxMarks is how many marks a ledger has at most.
const maxMarks = 3

// mark adds the ledger as it stands to its marks and drops those that no later
// run will need. It reports whether there is a base for this run's rates, which
// is then the first mark: the youngest one that is at most as young as limit. A
// younger base would make the packets of a moment look like a rate.
//
// The oldest mark kept is always old enough, the second one takes its place once
// it is, so that neither many runs in a row nor an interval longer than the
// timer's let the base grow old.
func (l *Ledger) mark(limit time.Duration) (based bool) {
	first := len(l.Marks) - 1
	for first > 0 && l.Marks[first] > limit {
		first--
	}
	based = first >= 0 && l.Marks[first] <= limit
	first = max(first, 0)
	last := min(len(l.Marks), first+maxMarks-1)

	marks := make([]time.Duration, 0, maxMarks)
	l.Marks = append(append(marks, l.Marks[first:last]...), l.Uptime)
	for addr, c := range l.Clients {
		copy(c.Marked[:], c.Marked[first:last])
		c.Marked[last-first] = [2]uint64{Rx: c.Total[Rx].Bytes, Tx: c.Total[Tx].Bytes}
		l.Clients[addr] = c
	}
	return based
}

// rate gives the bits per second, by direction, since the first mark.
func (l *Ledger) rate(c Client) [2]float64 {
	var bps [2]float64
	for d, before := range c.Marked[0] {
		if c.Total[d].Bytes > before {
			bps[d] = float64(c.Total[d].Bytes-before) * 8 / (l.Uptime - l.Marks[0]).Seconds()
		}
	}
	return bps
}
