package state

import (
	"net/netip"
	"time"
)

// Report is what is true of the clients now. What could not be known, because
// its source gave nothing, is nil, or Rates or Presence say so.
type Report struct {
	Instant
	Clients      []ClientReport // sorted by address
	Other        *OtherReport   // nil: nothing was ever moved by anybody else
	Devices      []DeviceReport // sorted by ID
	OtherDevice  *UsageReport   // nil: nothing was ever moved by any other device
	Rates        bool           // whether rates are known
	Presence     bool           // whether it is known who is online
	Local        bool           // whether local traffic is counted
	PeriodStarts [2]time.Time   // by Period; zero: the wall clock was never set
	Accounting   *Accounting    // as last read, without its counters
	Conntrack    *TrackedFlows
	Resets       uint64 // Ledger.Resets
	Repairs      uint64 // Ledger.Repairs
	Losses       uint64 // Ledger.Losses
	Results      []SourceResult
	// Changes are the results that the people who watch the log have not seen:
	// sources that began to fail, fail for another reason, or recovered.
	Changes []SourceResult
	// Evict are the counters that may be deleted to make room, sorted;
	// Ledger.ForgetReadings has to be told which were.
	Evict []Counter
}

// ClientReport is one client's share of a Report: what is remembered of it, and what
// is true now.
type ClientReport struct {
	*Client
	Rate        [2]float64 // bits per second, by Direction
	Peak        [2]float64 // highest Rate of the last minute
	Average     [2]float64 // mean Rate of the last minute
	Active      Connections
	ActiveKnown bool // whether Active was counted since the client appeared
	Online      bool
}

// OtherReport is the share of all who have no ClientReport.
type OtherReport struct {
	Total [2]Traffic // by Direction
	Rate  [2]float64 // bits per second, by Direction
}

// UsageReport is what a device moved.
type UsageReport struct {
	Total    [2]uint64 // bytes, by Direction
	Local    [2]uint64 // the part of Total whose other end is an address of the networks
	Rate     [2]float64
	Peak     [2]float64
	Current  [2]PeriodBytes // of the current period, by Part
	Previous [2]PeriodBytes // of the calendar period before, by Part
}

// DeviceReport is one device's share of a Report.
type DeviceReport struct {
	UsageReport
	ID          DeviceID
	Name        string // clean; Unknown if nobody knows it
	Source      NameSource
	Addr        netip.Addr // its IPv4 address with the latest sign of life, else an IPv6 one; zero: none now
	Active      Connections
	ActiveKnown bool
	Online      bool
	FirstSeen   time.Time // zero: not known
	Seen        time.Time // zero: none that is known
}
