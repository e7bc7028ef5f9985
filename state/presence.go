package state

import (
	"cmp"
	"time"
)

// confirmed are the states in which the kernel itself holds a neighbour to be
// reachable, or is about to find out that it is not.
const confirmed = Reachable | Delay | Probing | Permanent

// online tells whether a client is there. entry is its neighbour entry, zero if
// it has none.
func (c Client) online(entry NeighborEntry, now, window time.Duration) bool {
	recently := func(moved time.Duration) bool { return moved != 0 && now-moved <= window }
	switch {
	case entry.State&confirmed != 0:
		return true
	case entry.State&Stale != 0:
		// Entries stay STALE for as long as the table has room (gc_thresh1).
		return entry.Confirmed <= window || recently(c.Moved[Rx]) || recently(c.Moved[Tx])
	case entry.State == 0:
		// Behind another router or a VPN. What is only sent to it proves nothing.
		return recently(c.Moved[Tx])
	default:
		return false
	}
}

// seen is when the entry's device last gave a sign of life.
func (n NeighborEntry) seen(now time.Time) time.Time {
	if n.State&Permanent != 0 {
		return now // nobody ever asks it
	}
	return now.Add(-n.Confirmed)
}

// compareLiveness says which of two entries tells more of a device's presence.
func compareLiveness(a, b NeighborEntry) int {
	rank := func(n NeighborEntry) int {
		switch {
		case n.State&confirmed != 0:
			return 2
		case n.State&Stale != 0:
			return 1
		default:
			return 0
		}
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Confirmed, a.Confirmed))
}
