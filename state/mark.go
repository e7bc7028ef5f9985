package state

import (
	"net/netip"
	"time"
)

// Mark is an earlier sample, kept as the base of a rate.
type Mark struct {
	Uptime time.Duration // CLOCK_BOOTTIME
	// Bytes are the totals then, by Direction. Who is missing had none.
	Bytes map[netip.Addr][2]uint64
}

// youngest gives the youngest mark that is not younger than limit, nil if there
// is none. A younger base would make the packets of a moment look like a rate.
func youngest(marks []Mark, limit time.Duration) *Mark {
	for i := len(marks) - 1; i >= 0; i-- {
		if marks[i].Uptime <= limit {
			return &marks[i]
		}
	}
	return nil
}

// mark adds the ledger as it stands to its marks and drops those that no later
// run will need: base is what this run's rates were taken from. The oldest mark
// kept is always old enough, the second one takes its place once it is, so that
// neither many runs in a row nor an interval longer than the timer's let the
// base grow old.
func (l *Ledger) mark(base *Mark) {
	kept := make([]Mark, 0, 3)
	for i := range l.Marks {
		if (base == nil || l.Marks[i].Uptime >= base.Uptime) && len(kept) < 2 {
			kept = append(kept, l.Marks[i])
		}
	}
	m := Mark{Uptime: l.Uptime, Bytes: make(map[netip.Addr][2]uint64, len(l.Clients))}
	for addr, c := range l.Clients {
		m.Bytes[addr] = [2]uint64{Rx: c.Total[Rx].Bytes, Tx: c.Total[Tx].Bytes}
	}
	l.Marks = append(kept, m)
}

// rate gives the bits per second, by direction, that took a client from its
// totals at the mark to total.
func (m *Mark) rate(addr netip.Addr, total [2]Traffic, now time.Duration) [2]float64 {
	var bps [2]float64
	before := m.Bytes[addr]
	for d := range bps {
		if total[d].Bytes > before[d] {
			bps[d] = float64(total[d].Bytes-before[d]) * 8 / (now - m.Uptime).Seconds()
		}
	}
	return bps
}
