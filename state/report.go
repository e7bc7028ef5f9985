package state

import (
	"net/netip"
	"time"
)

// Report is what is true of the clients now. What could not be known, because
// its source gave nothing, is nil, or Rates or Presence say so.
type Report struct {
	Instant
	Clients    []ClientReport // sorted by address
	Other      *OtherReport   // nil: nothing was ever moved by anybody else
	Rates      bool           // whether the clients' rates are known
	Presence   bool           // whether it is known who is online
	Accounting *Accounting
	Conntrack  *Flows
	Resets     uint64 // Ledger.Resets
	Losses     uint64 // Ledger.Losses
	Probes     []Probe
	// Changes are the probes that the people who watch the log have not seen:
	// sources that began to fail, fail for another reason, or recovered.
	Changes []Probe
	// Idle are the counters that have counted nothing for so long that they
	// may be deleted; Ledger.Forget has to know of those that were.
	Idle []Counter
}

// ClientReport is one client's share of a Report.
type ClientReport struct {
	Addr       netip.Addr
	Name       string // clean; Unknown if nobody knows it
	NameSource NameSource
	MAC        MAC
	Interface  string
	Total      [2]Traffic // by Direction
	Rate       [2]float64 // bits per second, by Direction
	Peak       [2]float64 // highest Rate of the last minute
	Average    [2]float64 // mean Rate of the last minute
	Active     Connections
	Online     bool
	Seen       time.Time // the last sign of life; zero: none ever
}

// OtherReport is the share of all who have no ClientReport.
type OtherReport struct {
	Total [2]Traffic // by Direction
	Rate  [2]float64 // bits per second, by Direction
}
