package state

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Ledger is what one run leaves to the next. Its zero value is what the first
// run finds.
type Ledger struct {
	Instant               // of the sample that it was made from
	Run     uint64        // counts the runs, across boots
	Steady  time.Duration // see steadyTime
	Trusted bool          // whether Wall was not before the program was built
	// FirstUptime is the CLOCK_BOOTTIME of the first sample of this boot.
	FirstUptime time.Duration
	Settings    []string       // the flags that are remembered, as --name=value
	Networks    []netip.Prefix // those that the clients were last found in

	// Clients are those in the metrics, sorted by address.
	Clients []Client
	// Devices are those in the metrics, and up to maxDevices that left it, sorted
	// by ID.
	Devices []Device
	// Other adds up what was moved by addresses without a client's series at the
	// time, and OtherDevice likewise for devices.
	Other       CounterState
	OtherDevice Usage

	// Baselines are the CLOCK_BOOTTIME of the samples that CounterState.Baselines
	// are of: oldest first, at most maxBaselines, all of this boot. The last one is
	// when the counters were last read.
	Baselines []time.Duration
	// Slots are the CLOCK_BOOTTIME of the samples that the slots of the last
	// minute begin with, oldest first.
	Slots []time.Duration

	// LastReadings are what the counters last showed; their Layout is empty if none
	// was read yet in this boot.
	LastReadings Accounting

	// PeriodStarts are when the current period began, and the one before, by the
	// wall clock; zero: not known yet.
	PeriodStarts [2]time.Time // by Period

	Resets  uint64 // runs that found counters gone or fallen without a reboot
	Repairs uint64 // runs that had to put something of the accounting back
	Losses  uint64 // runs that had to go on from less than the last ledger

	Faults map[Source]string // the error of each source that failed, already reported
	// Flows are the last counts of flows, without Entries, Limit and Traffic; nil
	// if the next run makes new ones whenever it comes.
	Flows *TrackedFlows
	// FlowFile names the file with the counters of single flows that belongs to
	// this ledger; 0: there is none.
	FlowFile uint64

	// Checkpoint is the CLOCK_BOOTTIME of the last ledger that was written to the
	// disk, if ledgers in between are kept in memory; see Reserve.
	Checkpoint time.Duration
	// Twice tells that the ledger has to be on the disk twice, as what the one
	// before it has does not do if this one is damaged: it is a checkpoint, or the
	// run did more than to add what counters show.
	Twice bool
	// Recovered tells that this is not the last run's ledger but an older one, or
	// the first after a loss of all.
	Recovered bool
}

// Client is what is remembered of an address in the metrics. Times are on the
// steady clock; zero is never.
type Client struct {
	Addr netip.Addr
	CounterState
	OtherBytes uint64 // bytes of both directions that went to Ledger.Other
	// Predecessor is the part of Total that a device moved which had the address
	// before, and whose series goes on as the name is the same.
	Predecessor [2]Traffic

	Device    DeviceID
	Evidence  Evidence // what Device rests on
	MAC       MAC      // of the neighbour entry last found
	Interface string   // where the neighbour entry was last found
	Name      string   // as last published
	Source    NameSource

	Since      time.Duration    // when the address became a client
	LastActive [2]time.Duration // the last sample that saw its counters rise
	Presence                    // signs of life
	Confirmed  bool             // it ever received anything, or is a WireGuard peer: nobody made it up
	HasSeries  bool
	// DeviceHint is the index that Device most likely has in Ledger.Devices: there are
	// many clients, and to look for the device of each takes time.
	DeviceHint uint32
	Asked      time.Duration // when DNS was last asked about the address
}

// Presence is when somebody gave signs of life.
type Presence struct {
	LastSeen time.Duration // on the steady clock; zero: never
	// Seen is the same by the wall clock, or the one before while that is not set; zero:
	// never, or the wall clock was not set.
	Seen time.Time
}

// Device is what is remembered of a device. Times are on the steady clock.
type Device struct {
	ID DeviceID
	Usage
	OtherBytes uint64 // bytes of both directions that went to Ledger.OtherDevice
	Name       string // as last published
	Source     NameSource
	Addr       netip.Addr // where it was last found: its IPv4 address with the latest sign of life, else an IPv6 one
	Since      time.Duration
	FirstSeen  time.Time // Since by the wall clock; zero: before this was kept, or the wall clock was not set in that boot
	Presence
	HasSeries bool
}

// Usage is what a device moved.
type Usage struct {
	CounterState
	Local         [2]uint64 // the bytes of Total whose other end is an address of the networks, by Direction
	LocalReserved [2]uint64 // as CounterState.Reserved
	// PeriodBase is what the totals were when the current period began, and
	// Previous what was moved in the one before.
	PeriodBase, Previous [2]PeriodBytes // by LocalOnly
}

// DeviceID tells devices apart: by their MAC, else by their address.
type DeviceID struct {
	MAC  MAC
	Addr netip.Addr // zero if MAC is known
}

// Compare orders devices without a MAC first, by address, then the others.
func (id DeviceID) Compare(other DeviceID) int {
	return cmp.Or(slices.Compare(id.MAC[:], other.MAC[:]), id.Addr.Compare(other.Addr))
}

// String returns the value of the label device.
func (id DeviceID) String() string {
	if id.MAC.IsZero() {
		return id.Addr.String()
	}
	return id.MAC.String()
}

// lastMet is the last sign of life, or when the address became a client.
func (c *Client) lastMet() time.Duration { return max(c.Since, c.LastSeen) }

// lastMet is the last sign of life, or when the device was first met.
func (d *Device) lastMet() time.Duration { return max(d.Since, d.LastSeen) }

// DeviceOf returns the index of a client's device in Devices, false if it is not there.
func (l *Ledger) DeviceOf(c *Client) (i int, ok bool) {
	if l.isAt(c.Device, c.DeviceHint) {
		return int(c.DeviceHint), true
	}
	return slices.BinarySearchFunc(l.Devices, c.Device, compareIDs)
}

// isAt reports whether a hint is right.
func (l *Ledger) isAt(id DeviceID, hint uint32) bool {
	return uint64(hint) < uint64(len(l.Devices)) && l.Devices[hint].ID == id
}

// compareIDs orders a device against an ID, for binary searches.
func compareIDs(d Device, id DeviceID) int { return d.ID.Compare(id) }

// Fault returns the error that a source had when it was last asked, nil if it had
// none.
func (l *Ledger) Fault(source Source) error {
	if text, ok := l.Faults[source]; ok {
		return fault(text)
	}
	return nil
}

// fault is an error of an earlier run.
type fault string

func (f fault) Error() string { return string(f) }

// IsRecent reports whether the ledger is a base for the rates of a moment.
func (l *Ledger) IsRecent(now Instant, cfg Config) bool {
	return l.continues(now) && len(l.Baselines) > 0 && now.Uptime-l.Uptime <= cfg.Overdue()
}

// ReadingsOf returns what the counters last showed in the boot of a moment, nil if
// they were not read in it.
func (l *Ledger) ReadingsOf(now Instant) *Accounting {
	if l.Boot != now.Boot || l.LastReadings.Layout == "" {
		return nil
	}
	return &l.LastReadings
}
