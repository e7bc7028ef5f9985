package state

import (
	"net/netip"
	"time"
)

// Ledger is what one run leaves to the next. Its zero value is what the first
// run finds.
type Ledger struct {
	Instant                // of the sample that it was made from
	Run      uint64        // counts the runs, across boots
	Ceilings bool          // whether it is a checkpoint
	Opened   time.Duration // CLOCK_BOOTTIME of the first sample of this boot
	Settings []string      // the flags of the run, as --name=value, for the commands that have none of their own
	Clients  map[netip.Addr]Client
	// Other adds up what was moved by addresses that were not in the metrics
	// at the time: the smallest clients beyond Config.MaxClients, and whoever
	// was only sent to.
	Other Tally
	// Marks are the CLOCK_BOOTTIME of the samples that are kept as bases for
	// rates: oldest first, at most three, all of this boot.
	Marks []time.Duration
	// Buckets divide the minute that Client.Bursts is of. They are the
	// CLOCK_BOOTTIME of the sample that each begins with, oldest first.
	Buckets []time.Duration
	// Layout is where the counters that Clients know were found.
	Layout Layout
	// Networks are those that the clients were last found in.
	Networks []netip.Prefix
	// Resets is how many runs found counters that they knew gone or fallen,
	// without a reboot that would explain it.
	Resets uint64
	// Losses is how many times runs had to go on from less than the last ledger.
	Losses uint64
	Faults map[Source]string // the error of each source that failed, already reported
	// Flows are the last counts of flows, without Entries and Limit; nil if the
	// next run makes new ones whenever it comes.
	Flows *Flows
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
	Tally
	Folded  uint64       // bytes of both directions that went to Ledger.Other
	Counted [2][]Reading // the kernel counters that are accounted for, since this boot
	// Moved is the CLOCK_BOOTTIME of the last sample that saw the counters
	// rise. Zero: not since the first sample of this boot.
	Moved     [2]time.Duration
	MAC       MAC
	Interface string
	Since     time.Time // when the address became a client, by the wall clock; zero: it was only ever sent to
	Seen      time.Time // the last sign of life; zero: none ever
	Bursts    []Burst   // of the last minute, oldest first; a bucket without bytes has none
}

// count takes in the counters of one direction. It gives what has come since
// they were last read, and whether a counter that was known is gone or fell.
// Both now and what was counted before are sorted by ID.
func (c *Client) count(d Direction, now []Reading) (moved Traffic, reset bool) {
	known := c.Counted[d]
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
		moved = moved.plus(Traffic{r.Bytes - had.Bytes, r.Packets - had.Packets})
	}
	c.Counted[d] = now
	return moved, reset || len(known) > 0
}

// lastMet is the last sign of life, or of having been configured.
func (c *Client) lastMet() time.Time {
	if c.Seen.After(c.Since) {
		return c.Seen
	}
	return c.Since
}
