package state

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// A checkpoint is a ledger that outlasts the ledgers after it. It gives each
// total a ceiling, above which nothing is published until the next checkpoint.
// When the ledgers since are lost, runs go on from the checkpoint and publish
// the ceiling for as long as the total that they know of is lower: for a while
// more than was counted, and never less than before.

// A ceiling leaves a total room for twice what it moved since the checkpoint
// before. A steady stream so meets the next one that is planned first; a sudden
// stream forces some, each twice as far away as the one before. Streams come in
// bursts, so room that was given once is given again, less a 32nd part for
// each interval. leastBytes and leastPackets are for those that hardly
// move; a total that is smaller has no more room than it is itself.
const (
	leastBytes   = 1 << 20
	leastPackets = 1 << 14
	fading       = 32 // intervals
)

// Published is what the world is told of a total.
func (t *Tally) Published() [2]Traffic {
	return [2]Traffic{Rx: t.Total[Rx].atLeast(t.Floor[Rx]), Tx: t.Total[Tx].atLeast(t.Floor[Tx])}
}

// Checkpoint gives the checkpoint of a ledger. last is the one before, nil if
// there is none, and interval the time that is planned between two.
func (l *Ledger) Checkpoint(last *Ledger, interval time.Duration) *Ledger {
	if last == nil {
		last = l // nothing is known of what moves
	}
	lost := 1.0 // of the room that was given
	if elapsed := l.Uptime - last.Uptime; l.Boot == last.Boot && elapsed >= 0 {
		lost = min(1, elapsed.Seconds()/(fading*interval.Seconds()))
	}
	c := *l
	c.Ceilings, c.Marks = true, nil
	c.Clients = maps.Clone(l.Clients)
	for addr, client := range c.Clients {
		before := last.Clients[addr]
		client.raise(&before.Tally, lost)
		c.Clients[addr] = client
	}
	c.Other.raise(&last.Other, lost)
	return &c
}

// raise sets a tally's ceilings. before is what the last checkpoint had, lost the
// share of the room it gave that is not given again.
func (t *Tally) raise(before *Tally, lost float64) {
	t.Marks = [maxMarks][2]uint64{}
	for d, floor := range t.Floor {
		now, then, last := t.Total[d], before.Total[d], before.Ceiling[d]
		t.Ceiling[d] = Traffic{
			Bytes:   ceiling(now.Bytes, floor.Bytes, then.Bytes, last.Bytes, leastBytes, lost),
			Packets: ceiling(now.Packets, floor.Packets, then.Packets, last.Packets, leastPackets, lost),
		}
	}
}

// ceiling gives that of a total which the last checkpoint knew as then, and gave
// the ceiling last.
func ceiling(now, floor, then, last, least uint64, lost float64) uint64 {
	room := min(now, least)
	if now > then {
		room = max(room, plus(now-then, now-then))
	}
	if last > max(then, floor) {
		given := last - then
		room = max(room, given-min(given, uint64(float64(given)*lost)))
	}
	return max(floor, plus(now, room))
}

// Covers reports whether a checkpoint still does for a later ledger: if that was
// lost, nothing published from it would be published lower. That takes every
// counter to be known that a client's total contains, so that it can be told
// whether they went on since.
func (l *Ledger) Covers(later *Ledger) bool {
	if l.Resets != later.Resets || l.Losses != later.Losses || !l.Other.covers(&later.Other) {
		return false
	}
	for addr, client := range later.Clients {
		known := l.Clients[addr]
		if !known.covers(&client.Tally) {
			return false
		}
		for d := range client.Counted {
			if !client.Since.IsZero() && !knows(known.Counted[d], client.Counted[d]) {
				return false
			}
		}
	}
	return true
}

func (t *Tally) covers(u *Tally) bool {
	for d, published := range u.Published() {
		if t.Ceiling[d].atLeast(published) != t.Ceiling[d] {
			return false
		}
	}
	return true
}

// knows reports whether no counter that has counted is new.
func knows(known, now []Reading) bool {
	for _, r := range now {
		_, found := slices.BinarySearchFunc(known, r.ID, func(k Reading, id CounterID) int { return compareIDs(k.ID, id) })
		if !found && r.Traffic != (Traffic{}) {
			return false
		}
	}
	return true
}

// settle makes a ledger of what began as the checkpoint last: the ledgers between
// are lost. A client's total is exact if its counters went on in the meantime
// and all that they show is the client's own; any other may have been published
// higher, and is held at its ceiling.
func (l *Ledger) settle(last *Ledger, counted bool, shown []netip.Addr) {
	l.Ceilings = false
	l.Losses++
	same := counted && l.Boot == last.Boot && l.Layout == last.Layout
	for addr, c := range l.Clients {
		_, own := slices.BinarySearchFunc(shown, addr, netip.Addr.Compare)
		before := last.Clients[addr]
		for d := range c.Ceiling {
			if same && own && wentOn(before.Counted[d], c.Counted[d]) {
				c.Ceiling[d] = Traffic{}
			}
		}
		c.hold()
		l.Clients[addr] = c
	}
	l.Other.hold()
}

// hold makes floors of a tally's ceilings.
func (t *Tally) hold() {
	for d := range t.Floor {
		t.Floor[d] = t.Floor[d].atLeast(t.Ceiling[d])
	}
	t.Ceiling = [2]Traffic{}
}

// wentOn reports whether all counters are still there and none has fallen.
func wentOn(before, now []Reading) bool {
	for _, r := range before {
		i, found := slices.BinarySearchFunc(now, r.ID, func(n Reading, id CounterID) int { return compareIDs(n.ID, id) })
		if !found || now[i].atLeast(r.Traffic) != now[i].Traffic {
			return false
		}
	}
	return true
}

// atLeast raises what of t is lower than floor.
func (t Traffic) atLeast(floor Traffic) Traffic {
	return Traffic{max(t.Bytes, floor.Bytes), max(t.Packets, floor.Packets)}
}
