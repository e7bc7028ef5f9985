package state

import (
	"net/netip"
	"slices"
)

// FlowReading is what a dump of conntrack shows of a TCP or UDP flow.
type FlowReading struct {
	Key         uint64     // of FlowRecord
	Initiator   netip.Addr // who sent the first packet, before SNAT
	Responder   netip.Addr // who answers it, after DNAT
	Offloaded   bool       // a flowtable forwards it (IPS_OFFLOAD)
	HasCounters bool       // nf_conntrack_acct was 1 when it began
	Traffic     [2]Traffic // since it began: what the initiator sent, what the responder sent
}

// FlowRecord is what is remembered of a flow from one dump to the next.
type FlowRecord struct {
	// Key is a hash of what tells the flow from all others of the same boot, as
	// far as the kernel tells: its ID, original tuple and start.
	Key     uint64
	Traffic [2]Traffic // as in FlowReading, at the last dump that showed the flow
	// RoutersOwn: one end is the router itself or no single host, so that the
	// flow is not forwarded.
	RoutersOwn bool
	Offloaded  bool  // it was in a flowtable
	Left       bool  // it left a flowtable and has moved nothing since
	Missed     uint8 // how many dumps in a row have not shown it
}

// maxMissed is how many dumps in a row may miss a flow that is still remembered. A
// dump can miss a flow that the next one shows again, with all that it ever moved.
const maxMissed = 2

// FlowMemory has a record of each flow.
type FlowMemory struct {
	Records []FlowRecord // in no order, one for each key
	// Counting: the layout was Flows, so that every flow with counters has a
	// record. Else only flows have one that are in a flowtable or left it.
	Counting bool
}

// FlowCounter turns what dumps of conntrack show into what clients moved.
type FlowCounter struct {
	scope    Scope
	counting bool // the layout is Flows
	fromZero bool
	before   FlowMemory

	records []FlowRecord   // those of before, brought up to date, then new ones
	seen    []bool         // which of records this dump showed
	index   map[uint64]int // of records, by key
	traffic map[netip.Addr]*FlowTraffic
	with    bool // a forwarded flow has counters
	without bool // a flow of a client has no counters
}

// FlowFileOf returns the file with what is remembered of flows at a moment, 0 if
// there is none.
func (l *Ledger) FlowFileOf(now Instant) uint64 {
	if l.Boot != now.Boot {
		return 0
	}
	return l.FlowFile
}

// FlowCounter returns what the dump of a moment goes to, nil if it is not looked at
// for traffic: no flow counts and none is in a flowtable, or the router's addresses
// are not known, and so not which flows are its own. Before is what the file of
// FlowFileOf holds.
func (l *Ledger) FlowCounter(now Instant, scope Scope, before *FlowMemory, cfg Config) *FlowCounter {
	counting := cfg.Accounting == Flows
	needed := before != nil || counting || l.LastReadings.Flowtable != NoFlowtable
	if !needed || !scope.knowsRouter {
		return nil
	}
	if before != nil && l.LastReadings.Layout != Flows {
		// A run without a dump left that layout: other counters count since.
		before.Counting = false
	}
	return NewFlowCounter(scope, before, counting, l.Boot != now.Boot)
}

// NewFlowCounter returns one for a dump. Before is what the last dump of this boot
// left, nil if there was none.
//
// Counting says whether the layout is Flows; else only flows in flowtables are
// remembered, to tell which of them still move, and what flows moved counts once
// more if it was the layout at the last dump. What a flow shows at first sight
// is traffic if the last dump would have shown it, and so it began since then; or
// if anew, where no earlier run can have counted it: there is no ledger, or it is
// of another boot. Else it is a base.
//
// The scope must know the router's addresses, and so be made from a LAN: whether a
// flow is the router's own is decided when it is first seen.
func NewFlowCounter(scope Scope, before *FlowMemory, counting, anew bool) *FlowCounter {
	c := &FlowCounter{scope: scope, counting: counting, fromZero: anew}
	if before != nil {
		c.before = *before
		c.fromZero = anew || before.Counting
	}
	return c
}

// IsBase reports whether nothing in the dump is traffic, in the layout Flows: later
// dumps are compared with it. Where another layout counted until now, it has to be
// made when that one has ceased, or what came between the two would count twice. What
// comes between the two then counts for neither.
func (c *FlowCounter) IsBase() bool { return c != nil && c.counting && !c.fromZero }

// Begin begins the dump, or begins it again: what was observed is forgotten.
func (c *FlowCounter) Begin() {
	c.records = slices.Clone(c.before.Records)
	c.seen = make([]bool, len(c.records))
	c.index = make(map[uint64]int, len(c.records))
	for i := range c.records {
		c.index[c.records[i].Key] = i
	}
	c.traffic = make(map[netip.Addr]*FlowTraffic)
	c.with, c.without = false, false
}

// Observe takes a flow of the dump, which may show it several times, and reports
// whether it has left a flowtable and moved nothing since: a flow that a RST ends
// there stays in the table for minutes (299 s on Linux 6.12) as if it were
// established.
func (c *FlowCounter) Observe(f *FlowReading) (stalled bool) {
	i, known := c.index[f.Key]
	switch {
	case !f.HasCounters:
		c.without = c.without || c.counting && c.forwards(f) && c.isClients(f)
		return false
	case known:
	case !c.counts() && !f.Offloaded:
		return false
	default:
		i = len(c.records)
		c.index[f.Key] = i
		c.records = append(c.records, c.firstRecord(f))
		c.seen = append(c.seen, false)
	}
	c.seen[i] = true
	r := &c.records[i]
	if r.RoutersOwn {
		return false
	}
	c.with = true
	if fell(r.Traffic, f.Traffic) {
		// Another flow on the same ports, to which the kernel gave the same ID.
		*r = FlowRecord{Key: f.Key}
	}
	delta := [2]Traffic{f.Traffic[0].minus(r.Traffic[0]), f.Traffic[1].minus(r.Traffic[1])}
	moved := delta != [2]Traffic{}
	// What it moved since the last dump, it may have moved before it left.
	r.Left = !f.Offloaded && (r.Offloaded || r.Left && !moved)
	r.Offloaded = f.Offloaded
	r.Traffic = f.Traffic
	// What came before this layout was counted by another one.
	if moved && c.counts() && (c.before.Counting || i >= len(c.before.Records)) {
		c.add(f, delta)
	}
	return r.Left && !moved
}

// counts reports whether what flows moved is traffic: in the layout Flows, and in the
// first dump after it.
func (c *FlowCounter) counts() bool { return c.counting || c.before.Counting }

// MissingCounters reports whether flows of clients lack counters, and whether all
// do, so that the layout Flows counts nothing of them.
func (c *FlowCounter) MissingCounters() (some, all bool) { return c.without, c.without && !c.with }

// firstRecord returns the record that a flow is compared with at first sight.
func (c *FlowCounter) firstRecord(f *FlowReading) FlowRecord {
	r := FlowRecord{Key: f.Key, RoutersOwn: !c.forwards(f)}
	if !r.RoutersOwn && !c.fromZero {
		r.Traffic = f.Traffic
	}
	return r
}

// fell reports whether a counter of a flow shows less than it did.
func fell(before, now [2]Traffic) bool {
	for i := range before {
		if now[i].Bytes < before[i].Bytes || now[i].Packets < before[i].Packets {
			return true
		}
	}
	return false
}

// forwards reports whether the router forwards a flow: both ends are single hosts
// other than the router.
func (c *FlowCounter) forwards(f *FlowReading) bool {
	for _, end := range []netip.Addr{f.Initiator, f.Responder} {
		_, never := slices.BinarySearchFunc(c.scope.never, end, netip.Addr.Compare)
		if never || !end.IsGlobalUnicast() {
			return false
		}
	}
	return true
}

// isClients reports whether an end of a flow can be a client.
func (c *FlowCounter) isClients(f *FlowReading) bool {
	return c.scope.Contains(f.Initiator) || c.scope.Contains(f.Responder)
}

// add puts what a flow moved on the traffic of those of its ends that can be
// clients.
func (c *FlowCounter) add(f *FlowReading, delta [2]Traffic) {
	initiator, responder := c.trafficOf(f.Initiator), c.trafficOf(f.Responder)
	local := initiator != nil && responder != nil
	initiator.add(Tx, delta[0], local)
	initiator.add(Rx, delta[1], local)
	responder.add(Rx, delta[0], local)
	responder.add(Tx, delta[1], local)
}

// trafficOf returns where the traffic of an address is added up, nil if no client
// can have it.
func (c *FlowCounter) trafficOf(a netip.Addr) *FlowTraffic {
	t, known := c.traffic[a]
	if !known && c.scope.Contains(a) {
		t = &FlowTraffic{Addr: a}
		c.traffic[a] = t
	}
	return t
}

// add does nothing for an address that no client can have.
func (t *FlowTraffic) add(d Direction, delta Traffic, local bool) {
	if t == nil {
		return
	}
	t.All[d] = t.All[d].plus(delta)
	if local {
		t.Local[d] = t.Local[d].plus(delta)
	}
}

// Finish ends a whole dump. It returns what clients moved since the last one, sorted
// by address, and what the next run is to remember.
func (c *FlowCounter) Finish() ([]FlowTraffic, *FlowMemory) {
	traffic := make([]FlowTraffic, 0, len(c.traffic))
	for _, t := range c.traffic {
		traffic = append(traffic, *t)
	}
	SortByAddr(traffic, trafficAddr)

	memory := &FlowMemory{Records: c.records[:0], Counting: c.counting}
	for i, r := range c.records {
		r.Missed++
		if c.seen[i] {
			r.Missed = 0
		}
		if r.Missed <= maxMissed && (c.counting || r.Offloaded || r.Left) {
			memory.Records = append(memory.Records, r)
		}
	}
	return traffic, memory
}
