package state

import (
	"errors"
	"net/netip"
	"time"
)

// Source names one of the places that a run asks. The names are values of the
// label source of network_metrics_exporter_source_up.
type Source string

// The sources, in the order in which a run asks them.
const (
	Neighbor  Source = "neighbor"
	Conntrack Source = "conntrack"
	NFTables  Source = "nftables"
	DHCP      Source = "dhcp"
	DNS       Source = "dns" // only with Config.ReverseDNS
)

// Sample is what one run read. A source that gave nothing left its field nil;
// what it did give is used even if its SourceResult has an error.
type Sample struct {
	Instant
	LAN        *LAN           // from Neighbor
	Accounting *Accounting    // from NFTables
	Held       bool           // counters are not read in this run, on purpose: those of the last one hold
	Conntrack  *TrackedFlows  // from Conntrack
	FlowMemory *FlowMemory    // what the next run has to know of single flows; nil: what this one knew
	Names      []NameRecord   // from DHCP and DNS; of two that fit, the earlier one counts
	Asked      []netip.Addr   // the addresses that DNS was asked about
	Results    []SourceResult // one for each source asked, in the order asked
}

// Instant is a moment on both of the kernel's clocks.
type Instant struct {
	Boot   string        // kernel/random/boot_id: 32 hexadecimal digits, never empty
	Uptime time.Duration // CLOCK_BOOTTIME: since boot, suspended time included
	Wall   time.Time     // CLOCK_REALTIME in local time: for people only, it may step
}

// ErrNoInterface is wrapped in the error of a source that misses a LAN interface.
var ErrNoInterface = errors.New("no such network interface")

// SourceResult tells how asking a source went.
type SourceResult struct {
	Source   Source
	Duration time.Duration
	Err      error // nil: the source gave all that it was asked for
}

// NameSource tells where a name came from: a value of the label source of
// client_info.
type NameSource string

// Where names come from.
const (
	FromHosts NameSource = "hosts" // a static entry
	FromDHCP  NameSource = "dhcp"  // a current lease
	FromDNS   NameSource = "dns"
	FromCache NameSource = "cache" // only client-names.cache has it
	FromNone  NameSource = "none"
)

// NameRecord is one entry of a lease or hosts file, or an answer of DNS.
type NameRecord struct {
	Addr   netip.Addr // zero: the device wherever it is
	MAC    MAC        // zero: whatever device has the address. Never out of a DUID.
	Name   string     // as it was written; empty: the record only gives Addr to MAC
	Source NameSource // FromHosts, FromDHCP or FromDNS
}

// TakeFlows puts what conntrack counted into the sample. held are the counts that
// this run did not make itself, counter is what its dump went to, nil if there was
// none. Without the other counters what flows moved is left for the next run: either
// all count or none.
func (s *Sample) TakeFlows(counter *FlowCounter, held *TrackedFlows) {
	if s.Conntrack == nil || held != nil {
		return
	}
	s.Conntrack.Uptime = s.Uptime
	if counter != nil && s.Accounting != nil {
		s.Conntrack.Traffic, s.FlowMemory = counter.Finish()
	}
}
