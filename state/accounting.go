package state

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"time"
)

// Direction is seen from the client.
type Direction uint8

// The directions. They index every array of two in this package.
const (
	Rx Direction = iota // to the client
	Tx                  // from the client
)

// String returns the value of the label direction.
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

// plus adds up. It stops at the largest number that there is: a total that
// wrapped would fall.
func (t Traffic) plus(u Traffic) Traffic {
	return Traffic{plus(t.Bytes, u.Bytes), plus(t.Packets, u.Packets)}
}

// sum adds up in both directions.
func sum(a, b [2]Traffic) [2]Traffic {
	return [2]Traffic{Rx: a[Rx].plus(b[Rx]), Tx: a[Tx].plus(b[Tx])}
}

// minus subtracts, down to 0.
func (t Traffic) minus(u Traffic) Traffic {
	return Traffic{t.Bytes - min(t.Bytes, u.Bytes), t.Packets - min(t.Packets, u.Packets)}
}

func plus(a, b uint64) uint64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return math.MaxUint64
}

// CounterID tells a kernel counter from every other one of the same boot and
// network namespace, also from one that took its place: the kernel gives a
// handle once and never again (table_handle and hgenerator in nf_tables_api.c).
// Only a rule that nft(8) replaces in place keeps its handle.
type CounterID struct {
	Table  uint64 // NFTA_TABLE_HANDLE
	Object uint64 // handle of the rule within the table, or of the set that the element is in
}

// Compare orders IDs by table, then by object.
func (id CounterID) Compare(other CounterID) int {
	return cmp.Or(cmp.Compare(id.Table, other.Table), cmp.Compare(id.Object, other.Object))
}

// Counter is what one kernel counter showed.
type Counter struct {
	Addr      netip.Addr // whom it counts; zero: everybody without a counter of their own
	Direction Direction
	ID        CounterID
	Traffic
}

// Compare orders counters by address, direction and ID.
func (c Counter) Compare(other Counter) int {
	if byAddr := c.Addr.Compare(other.Addr); byAddr != 0 {
		return byAddr
	}
	return cmp.Or(cmp.Compare(c.Direction, other.Direction), c.ID.Compare(other.ID))
}

// Layout is a way to count: a value of the flag --accounting.
type Layout string

// The layouts.
const (
	Sets  Layout = "sets"  // an element of a dynamic set for each client
	Rules Layout = "rules" // a rule for each client
	Flows Layout = "flows" // conntrack's counters for TCP and UDP, sets for the rest
	Off   Layout = "off"   // whichever of sets and rules is there; nothing is written
)

// FlowtableUse tells what a flowtable does to the counters.
type FlowtableUse uint8

// The uses of a flowtable. The worst of several is told.
const (
	NoFlowtable        FlowtableUse = iota // no packet takes one
	CountedFlowtable                       // packets that take one are counted by conntrack (flag counter), and by nobody else
	UncountedFlowtable                     // packets that take one are counted by nobody
)

// Accounting is what nftables counted of the clients' traffic.
type Accounting struct {
	Layout           Layout      // where the counters were found: Sets, Rules or Flows
	Counters         []Counter   // sorted by Counter.Compare; several of one address and direction add up
	Local            []Counter   // the part of Counters whose other end is an address of the networks too; sorted likewise
	ReplacedCounters []Counter   // those that this run took away, as of another layout, read for the last time; sorted likewise
	Objects          []CounterID // the sets, and those rules that are there whoever the clients are, sorted
	Made             []CounterID // the sets and rules that this run made, sorted: what they show has come since
	Foreign          []CounterID // rules of Counters that somebody else made, sorted: they are not forgotten
	Repaired         bool        // something that earlier runs had made was gone and was put back
	Full             bool        // an address found no place
	Flowtable        FlowtableUse
	LocalKnown       bool // whether Local is counted in this layout
}

// IsBypassed reports whether a flowtable lets packets pass that nobody counts.
func (a *Accounting) IsBypassed() bool {
	return a.Flowtable == UncountedFlowtable || a.Flowtable == CountedFlowtable && a.Layout != Flows
}

// IsMade reports whether the object of a counter was made in this run.
func (a *Accounting) IsMade(id CounterID) bool {
	_, made := slices.BinarySearchFunc(a.Made, id, CounterID.Compare)
	return made
}

// FlowTraffic is what conntrack counted for one address since the last dump.
type FlowTraffic struct {
	Addr  netip.Addr
	All   [2]Traffic // by Direction
	Local [2]Traffic // the part of All whose other end is an address of the networks too
}

// TrackedFlows is what conntrack knows.
type TrackedFlows struct {
	// Active has the numbers of live flows that a client is an end of. An address
	// without one is missing.
	Active  map[netip.Addr]Connections
	Traffic []FlowTraffic // in Flows: what the flows grew by, sorted by address
	Uptime  time.Duration // CLOCK_BOOTTIME of the dump that these come from
	Cost    time.Duration // CPU time that the dump took
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

// String returns the value of the label protocol.
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

// plus adds up.
func (c Connections) plus(other Connections) Connections {
	for p := range c {
		c[p] += other[p]
	}
	return c
}
