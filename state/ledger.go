package state

import (
	"math"
	"net/netip"
	"time"
)

// Ledger is what one run leaves to the next. Its zero value is what the first
// run finds.
type Ledger struct {
	Instant // of the sample that it was made from
	Clients map[netip.Addr]Client
	Marks   []Mark // bases for rates: oldest first, at most three, all of this boot
	// Networks are those that the clients were last found in.
	Networks []netip.Prefix
	// Resets is how many runs found counters that they knew gone or fallen,
	// without a reboot that would explain it.
	Resets uint64
	Faults map[Source]string // the error of each source that failed, already reported
	// Names are those that outlive what gave them, at most MaxNames. They are a
	// file of their own, which users read and write.
	Names   map[Bearer]Name
	Renamed bool // Names are not those of the last run
	// Asked is the CLOCK_BOOTTIME of the last question to DNS about an address.
	Asked map[netip.Addr]time.Duration
}

// Client is what is remembered of an address. It outlives the address's
// presence in the metrics: who comes back has the totals of before.
type Client struct {
	Total   [2]Traffic   // ever, by Direction
	Counted [2][]Reading // the kernel counters that Total contains, since this boot
	// Moved is the CLOCK_BOOTTIME of the last sample that saw Total rise.
	// Zero: not since the first sample of this boot.
	Moved     [2]time.Duration
	MAC       MAC
	Interface string
	Since     time.Time // when the address was first met, by the wall clock
	Seen      time.Time // the last sign of life; zero: none ever
}

// count takes the counters of one direction into the total and reports whether
// that moved it, and whether a counter that was known is gone or fell. Both now
// and what was counted before are sorted by ID.
func (c *Client) count(d Direction, now []Reading) (moved, reset bool) {
	known := c.Counted[d]
	before := c.Total[d]
	for _, r := range now {
		for len(known) > 0 && compareIDs(known[0].ID, r.ID) < 0 {
			known, reset = known[1:], true
		}
		had := Traffic{}
		if len(known) > 0 && known[0].ID == r.ID {
			had, known = known[0].Traffic, known[1:]
		}
		if r.Bytes < had.Bytes || r.Packets < had.Packets {
			// Somebody zeroed it: what it shows has come since.
			had, reset = Traffic{}, true
		}
		c.Total[d].Bytes = add(c.Total[d].Bytes, r.Bytes-had.Bytes)
		c.Total[d].Packets = add(c.Total[d].Packets, r.Packets-had.Packets)
	}
	c.Counted[d] = now
	return c.Total[d] != before, reset || len(known) > 0
}

// add stops at the largest total that there is: one that wrapped would fall.
func add(a, b uint64) uint64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return math.MaxUint64
}
