package state

import (
	"slices"
	"time"
)

// Config is what of the flags bears on what is true.
type Config struct {
	Interval     time.Duration // planned between two runs
	OnlineWindow time.Duration // how recent a sign of life has to be
	ForgetAfter  time.Duration // how long an absent client or device stays in the metrics
	MaxClients   int           // how many clients, and how many devices, have series of their own
	ReverseDNS   bool          // whether DNS is asked for names that nobody else gives
	// ConntrackBudget is what a dump of conntrack may cost, in percent of one core.
	ConntrackBudget float64
	Accounting      Layout
	PeriodStart     int // day of the month, from 1 to 31
	// CheckpointInterval is the time between two ledgers that reach the disk; 0:
	// every one does.
	CheckpointInterval time.Duration
	// Built is when this program was built. A wall clock before that is not set.
	Built time.Time
}

// Overdue is the age beyond which the last sample is too old to tell of now: ten
// intervals.
func (c Config) Overdue() time.Duration { return 10 * c.Interval }

// Trusts reports whether the wall clock is set: whether it is not before the
// program was built.
func (c Config) Trusts(wall time.Time) bool { return !wall.Before(c.Built) }

// Trusted returns a moment, without its wall clock if that is not set.
func (c Config) Trusted(now Instant) Instant {
	if !c.Trusts(now.Wall) {
		now.Wall = time.Time{}
	}
	return now
}

// Compare works out what is true now, and what the next run has to know, from
// what the last one left and what this one read. What the last one left becomes what
// the next one gets, clients and devices in their places, and is not to be used any
// more; what this one read is not changed. The cache learns the names that servers
// gave.
//
// A byte takes this way: growth finds it as what a counter shows beyond its last
// reading; observe gives it to the client that has the address, and to the device
// that has the client; finishClient and finishDevice put it on the totals of their
// series, or on those of all who have none.
func Compare(last *Ledger, now *Sample, scope Scope, names *NameCache, cfg Config) (*Ledger, *Report) {
	c := newComparison(last, now, scope, names, cfg)
	c.observe()
	c.selectSeries()

	next := c.next
	c.report.Clients = make([]ClientReport, 0, len(next.Clients))
	for i := range next.Clients {
		c.finishClient(i)
	}
	c.report.Devices = make([]DeviceReport, 0, len(next.Devices))
	for i := range next.Devices {
		c.finishDevice(i)
	}
	c.finishOther()
	c.report.Evict = c.evict()
	c.pruneDevices()
	if c.counted {
		next.Baselines = append(slices.Clone(next.Baselines[c.keepFrom:c.keepFrom+c.keep]), now.Uptime)
	}
	changed := c.handedOver || last.Resets != next.Resets || last.Repairs != next.Repairs || last.Losses != next.Losses
	next.updateCheckpoint(cfg.CheckpointInterval, changed)
	next.Twice = next.IsCheckpoint() || last.Checkpoint != 0 && next.Checkpoint == 0 || changed || c.reselected
	return next, c.report
}

// comparison is the work of one Compare.
type comparison struct {
	last   *Ledger
	now    *Sample
	scope  Scope
	names  *NameCache
	cfg    Config
	next   *Ledger
	report *Report

	directory    *directory
	observations []observation    // of each of next.Clients
	devices      []deviceState    // of each of next.Devices
	deviceIndex  map[DeviceID]int // where each is in next.Devices; made when it is first needed

	// What was moved by who has no series: addresses without a client's, and
	// without a device's.
	other       [2]Traffic
	otherDevice sums

	frozen       bool   // nobody gets or loses a series
	newClient    Client // room for one
	suspects     int    // clients of the last run that may be made-up addresses
	keptSuspects int    // those of this run, so far

	before         Accounting // what the counters showed in the last run, if that was of this boot
	replaced       bool       // the counters are of another layout than those
	handedOver     bool       // a known device has a new address, or a known address another device
	reselected     bool       // somebody got or lost a series
	anyReset       bool       // a counter that was there before is gone or fell
	counted        bool       // whether counters were read
	clockSet       bool       // the wall clock is trusted, and was not in the last run, of this boot
	base           rateBase   // what rates are taken from
	keepFrom, keep int        // which baselines the next run may need
	windowLength   time.Duration
	slots          slotArena
	period         func(*Usage) // what the calendar does to each device's totals; nil: nothing
	previousMissed bool         // the program was off in the whole calendar period before

	// A checkpoint that runs have to go on from may have been gone beyond: its totals
	// begin at what was reserved if the counters began anew as well, and else reach
	// that at least.
	recoverBefore, recoverAfter bool
}

// observation is what one run reads of a client.
type observation struct {
	delta      [2]Traffic   // moved since the last run
	records    []NameRecord // those of the address
	online     bool
	device     int  // index of next.Devices
	handedOver bool // the address is another device's than in the last run
}

// sums are what several have moved since the last run.
type sums struct{ delta, local [2]Traffic }

func (s *sums) add(delta, local [2]Traffic) {
	s.delta, s.local = sum(s.delta, delta), sum(s.local, local)
}

// deviceState is what the addresses of a device add up to.
type deviceState struct {
	sums
	hasClient   bool
	active      Connections
	activeKnown bool
	online      bool
	ipv4Online  int     // how many of its IPv4 addresses are online
	primary     *Client // whose address and name are told as the device's; nil: it has no address now
	named       *Client // the first one that has a name
	cached      bool    // its address in the cache of names is one that it has now
}

func newComparison(last *Ledger, now *Sample, scope Scope, names *NameCache, cfg Config) *comparison {
	next := last.startNext(now.Instant, cfg)
	next.Networks = scope.Networks
	next.holdFlows(now.Conntrack, cfg)
	c := &comparison{
		last: last, now: now, scope: scope, names: names, cfg: cfg, next: next,
		directory: newDirectory(now.Names),
		devices:   make([]deviceState, len(last.Devices), len(last.Devices)+1),
		counted:   now.Accounting != nil,
		clockSet:  next.Trusted && !last.Trusted && last.continues(now.Instant),
		suspects:  last.suspects(),
		frozen:    last.Recovered && slices.ContainsFunc(last.Clients, func(c Client) bool { return !c.HasSeries }),
	}
	if last.Boot == now.Boot {
		c.before = last.LastReadings
	}
	c.replaced = c.counted && c.before.Layout != "" && c.before.Layout != now.Accounting.Layout
	c.recoverBefore = last.Recovered && last.Boot != now.Boot
	c.recoverAfter = last.Recovered && last.Boot == now.Boot
	slots := len(last.Clients) + len(last.Devices) + 2 // a new one for each
	for i := range last.Clients {
		slots += len(last.Clients[i].Slots)
	}
	for i := range next.Devices {
		slots += len(next.Devices[i].Slots)
	}
	c.slots = make(slotArena, 0, slots)
	if next.Trusted {
		c.period = next.advancePeriod(cfg.PeriodStart)
	}
	c.chooseBase()
	if c.counted {
		next.LastReadings = *now.Accounting
		next.LastReadings.ReplacedCounters, next.LastReadings.Made = nil, nil
		if now.Accounting.Repaired {
			next.Repairs++
		}
	}
	c.report = &Report{
		Instant:      now.Instant,
		Rates:        c.base.index >= 0,
		Presence:     now.LAN != nil,
		Local:        next.LastReadings.LocalKnown,
		PeriodStarts: [2]time.Time{Current: next.PeriodStarts[Current]},
		Conntrack:    now.Conntrack,
		Results:      now.Results,
		Changes:      next.recordErrors(now, c.cfg),
	}
	if !next.PeriodStarts[Current].IsZero() {
		before := previousPeriodStart(next.PeriodStarts[Current], cfg.PeriodStart)
		c.report.PeriodStarts[Previous] = before
		c.previousMissed = next.PeriodStarts[Previous].Before(before)
	}
	if c.counted || now.Held {
		c.report.Accounting = &next.LastReadings
	}
	return c
}

// chooseBase decides what rates are taken from, and lets the window move on. Where
// this run holds the counters of the last one, its rates hold too.
func (c *comparison) chooseBase() {
	l := c.next
	c.base = rateBase{index: -1}
	n := len(l.Baselines)
	switch {
	case c.counted:
		c.base = l.newestBaseline(c.now.Uptime, c.cfg)
		c.keepFrom, c.keep = l.keptBaselines(c.base)
		if n > 0 && l.Baselines[n-1] < c.now.Uptime {
			l.advanceWindow(l.Baselines[n-1], c.now.Uptime)
			c.windowLength = c.now.Uptime - l.Slots[0]
		}
	case c.now.Held && n > 0:
		read := l.Baselines[n-1]
		held := Ledger{Baselines: l.Baselines[:n-1]}
		c.base = held.newestBaseline(read, c.cfg)
		if len(l.Slots) > 0 {
			c.windowLength = read - l.Slots[0]
		}
	}
}

// startNext returns the next ledger with what of the last one still holds.
// Counters and the clock start anew with a boot; in another time namespace it is
// the clock alone.
func (l *Ledger) startNext(now Instant, cfg Config) *Ledger {
	next := *l
	next.Run++
	next.Instant, next.Recovered = now, false
	next.Trusted = cfg.Trusts(now.Wall)
	next.Steady = l.steadyTime(now, next.Trusted, cfg)
	next.Clients = l.Clients[:0]
	if !l.continues(now) {
		next.FirstUptime, next.Baselines, next.Slots, next.Checkpoint = now.Uptime, nil, nil, 0
	}
	if l.Recovered {
		next.Baselines, next.Slots, next.Checkpoint = nil, nil, 0
	}
	if l.Boot != now.Boot {
		next.LastReadings, next.FlowFile = Accounting{}, 0
	}
	return &next
}
