package state

import (
	"net"
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

// Sample is what one run saw. A source that gave nothing left its field nil;
// what it did give is used even if its Probe tells of an error.
type Sample struct {
	Instant
	LAN        *Neighborhood // from Neighbor
	Accounting *Accounting   // from NFTables
	Conntrack  *Flows        // from Conntrack
	Names      []Assignment  // from DHCP and DNS; of two that fit, the earlier one counts
	Asked      []netip.Addr  // the addresses that DNS was asked about
	Probes     []Probe       // one for each source asked, in the order asked
}

// Instant is a moment on both of the kernel's clocks.
type Instant struct {
	Boot   string        // kernel/random/boot_id: 32 hexadecimal digits, never empty
	Uptime time.Duration // CLOCK_BOOTTIME: since boot, suspended time included
	Wall   time.Time     // CLOCK_REALTIME: for people only, it may step
}

// Probe tells how asking a source went.
type Probe struct {
	Source   Source
	Duration time.Duration
	Err      error // nil: all that was asked for was had
}

// Direction is seen from the client.
type Direction uint8

// The directions. They index every array of two in this package.
const (
	Rx Direction = iota // to the client
	Tx                  // from the client
)

// String gives the value of the label direction.
func (d Direction) String() string {
	if d == Tx {
		return "tx"
	}
	return "rx"
}

// Traffic is an amount of IP packets and of their bytes, headers of IP included
// and those of the link layer not, as nft_counter.c counts them.
type Traffic struct {
	Bytes, Packets uint64
}

// CounterID tells a kernel counter from every other one of the same boot and
// network namespace, also from one that took its place: the kernel gives a
// handle once and never again (table_handle and hgenerator in nf_tables_api.c).
// Only a rule that nft(8) replaces in place keeps its handle.
type CounterID struct {
	Table  uint64 // NFTA_TABLE_HANDLE
	Object uint64 // handle of the rule within the table, or of the set that the element is in
}

// Reading is what one kernel counter showed.
type Reading struct {
	ID CounterID
	Traffic
}

// Counter is a reading and what the counter counts.
type Counter struct {
	Addr      netip.Addr
	Direction Direction
	Reading
}

// Layout is a way to count in nftables: a value of the flag --accounting.
type Layout string

// The layouts.
const (
	Sets  Layout = "sets"  // an element of a dynamic set for each client
	Rules Layout = "rules" // a rule for each client
	Off   Layout = "off"   // whichever of the two is there; nothing is written
)

// Accounting is what nftables knows of the clients' traffic.
type Accounting struct {
	Layout    Layout    // where the counters were found: Sets or Rules
	Counters  []Counter // several of one address and direction add up
	Retired   []Counter // those of the other layout, read for the last time and taken away
	Full      bool      // a set has no room left: new clients go uncounted
	Flowtable bool      // a flowtable lets packets pass uncounted
}

// Flows is what conntrack knows.
type Flows struct {
	// Active counts the live flows that a client is an end of. An address
	// without one is missing.
	Active  map[netip.Addr]Connections
	Uptime  time.Duration // CLOCK_BOOTTIME of the sample that counted them
	Cost    time.Duration // CPU time that counting them took
	Entries uint32        // tracked flows of all kinds, nf_conntrack_count
	Limit   uint32        // nf_conntrack_max; 0: no limit
}

// Protocol is a class of flows.
type Protocol uint8

// The protocols, in the order of their names. They index Connections.
const (
	ICMP          Protocol = iota // and ICMPv6
	OtherProtocol                 // all the rest
	TCP
	UDP
)

// String gives the value of the label protocol.
func (p Protocol) String() string { return [...]string{"icmp", "other", "tcp", "udp"}[p] }

// Connections are numbers of live flows, by Protocol.
type Connections [4]uint32

// Sum is their number whatever the protocol.
func (c Connections) Sum() (n uint32) {
	for _, of := range c {
		n += of
	}
	return n
}

// NUD is a neighbour entry's state, one bit of NUD_* in linux/neighbour.h.
type NUD uint16

// The states of an entry: neighbour unreachability detection, RFC 4861, 7.3.2.
const (
	Incomplete NUD = 0x01
	Reachable  NUD = 0x02
	Stale      NUD = 0x04
	Delay      NUD = 0x08
	Probing    NUD = 0x10
	Failed     NUD = 0x20
	NoARP      NUD = 0x40
	Permanent  NUD = 0x80
)

// NeighborEntry is one entry of the neighbour table.
type NeighborEntry struct {
	Addr      netip.Addr
	MAC       MAC // zero: the entry has none, or one that is no EUI-48
	Interface string
	State     NUD
	// Confirmed is how long ago the neighbour was last known to be reachable.
	// A new entry is born with twice base_reachable_time (60 s) on it.
	Confirmed time.Duration
}

// InterfaceAddr is an address that the router itself has.
type InterfaceAddr struct {
	Interface string
	Addr      netip.Addr
	// Network is the prefix on the link, masked. On a point-to-point link it
	// is the peer's.
	Network netip.Prefix
}

// Neighborhood is the LAN as the router sees it.
type Neighborhood struct {
	Neighbors []NeighborEntry // those of the LAN interfaces
	Addrs     []InterfaceAddr // those of every interface
}

// NameSource tells where a name came from: a value of the label source of
// client_info.
type NameSource string

// Where names come from.
const (
	FromHosts NameSource = "hosts"
	FromDHCP  NameSource = "dhcp"
	FromDNS   NameSource = "dns"
	FromCache NameSource = "cache" // only client-names.cache knows it
	FromNone  NameSource = "none"
)

// Assignment is one line of a lease or hosts file, or an answer of DNS: it names
// an address, a device, or both, in which case the name is the device's.
type Assignment struct {
	Addr netip.Addr // zero: a device wherever it is
	MAC  MAC        // zero: whatever device has the address
	// DUID: MAC is out of a DHCP unique identifier. It is that of one of the
	// device's interfaces, and the address may be another one's.
	DUID   bool
	Name   string // as it was written; CleanName makes it fit to be published
	Source NameSource
}

// NameRecord is one entry of a lease or hosts file, or an answer of DNS.
type NameRecord struct {
	Addr   netip.Addr // zero: the device wherever it is
	MAC    MAC        // zero: whatever device has the address. Never out of a DUID.
	Name   string     // as it was written; empty: the record only gives Addr to MAC
	Source NameSource // FromHosts, FromDHCP or FromDNS
}

// Peer is an inner address of a WireGuard peer: an allowed IP that is a single host.
type Peer struct {
	Addr      netip.Addr
	Interface string
	Handshake time.Duration // how long ago the latest handshake was; negative: never
}

// MAC is an EUI-48 link-layer address. The zero MAC means that none is known.
type MAC [6]byte

// IsZero reports whether no address is known.
func (m MAC) IsZero() bool { return m == MAC{} }

// IsLocal reports whether the address was administered locally, as those are
// that devices make up at random (IEEE 802c, the U/L bit).
func (m MAC) IsLocal() bool { return m[0]&0x02 != 0 }

// String gives the usual spelling, 02:00:5e:10:00:01, and nothing for the zero
// MAC.
func (m MAC) String() string {
	if m.IsZero() {
		return ""
	}
	return net.HardwareAddr(m[:]).String()
}
