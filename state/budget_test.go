package state

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A counter of flows runs as the program does: it counts when it is due, at a
// cost, and otherwise goes on with what it held.
type flowCounter struct {
	ledger *Ledger
	cfg    Config
	counts int           // made so far
	spent  time.Duration // on them
}

// run is one run at an uptime in seconds. It gives the report's flows.
func (c *flowCounter) run(at float64, cost time.Duration, change func(now *Sample, scope *Scope)) *TrackedFlows {
	now := step{at: at}.sample()
	now.Conntrack = &TrackedFlows{
		Active:  map[netip.Addr]Connections{laptop: {TCP: uint32(c.counts + 1)}},
		Uptime:  now.Uptime,
		Cost:    cost,
		Entries: uint32(at),
	}
	scope := NewScope(lan, now.LAN, nil)
	if change != nil {
		change(now, &scope)
	}
	if held := c.ledger.HeldFlows(now.Instant, scope, c.cfg); held != nil {
		flows := *held
		flows.Entries = now.Conntrack.Entries
		now.Conntrack = &flows
	} else {
		c.counts++
		c.spent += cost
	}
	next, report := Compare(c.ledger, now, scope, noNames(), c.cfg)
	c.ledger = next
	return report.Conntrack
}

func newFlowCounter(percent float64) *flowCounter {
	cfg := config
	cfg.ConntrackBudget = percent
	return &flowCounter{ledger: &Ledger{}, cfg: cfg}
}

func TestBudget(t *testing.T) {
	for _, test := range []struct {
		name    string
		percent float64
		cost    time.Duration
		at      []float64 // runs
		counted []float64 // those of them that count
	}{
		{"affordable", 5, 100 * time.Millisecond, []float64{0, 2, 4, 6}, []float64{0, 2, 4, 6}},
		{"affordable, by hand in between", 5, 100 * time.Millisecond, []float64{0, 0.1, 0.2, 2}, []float64{0, 0.1, 0.2, 2}},
		{"free", 0.1, 0, []float64{0, 2, 4}, []float64{0, 2, 4}},
		{"a little too dear", 5, 101 * time.Millisecond, []float64{0, 2, 4, 6, 8}, []float64{0, 4, 8}},
		{"five times too dear", 5, 500 * time.Millisecond, []float64{0, 2, 4, 6, 8, 10, 12, 18, 20}, []float64{0, 10, 20}},
		{"too dear, by hand in between", 5, 101 * time.Millisecond, []float64{0, 0.5, 1, 2, 2.019, 2.021, 2.5, 4}, []float64{0, 2.021}},
		{"another budget", 50, 500 * time.Millisecond, []float64{0, 2, 4}, []float64{0, 2, 4}},
		{"long absent", 5, 500 * time.Millisecond, []float64{0, 1000, 1001}, []float64{0, 1000}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newFlowCounter(test.percent)
			var counted []float64
			var last float64
			for _, at := range test.at {
				before := c.counts
				flows := c.run(at, test.cost, nil)
				if c.counts > before {
					counted, last = append(counted, at), at
				}
				if age := (1000*time.Second + time.Duration(at*float64(time.Second)) - flows.Uptime).Seconds(); age-(at-last) > 1e-6 || (at-last)-age > 1e-6 {
					t.Errorf("at %v the counts are %v s old, want %v s", at, age, at-last)
				}
				if got := flows.Active[laptop].Sum(); got != uint32(c.counts) {
					t.Errorf("at %v there are the counts of number %d, want those of %d", at, got, c.counts)
				}
				if flows.Entries != uint32(at) {
					t.Errorf("at %v there are %d entries, which are always those of now", at, flows.Entries)
				}
			}
			if diff := cmp.Diff(test.counted, counted); diff != "" {
				t.Errorf("counted at (-want +got):\n%s", diff)
			}
		})
	}
}

// What is held goes with what it depends on.
func TestBudgetForgets(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(c *flowCounter, now *Sample, scope *Scope)
		want   int
	}{
		{"nothing changes", func(*flowCounter, *Sample, *Scope) {}, 1},
		{"a reboot", func(_ *flowCounter, now *Sample, _ *Scope) { now.Boot = "b" }, 2},
		{"a clock that fell", func(_ *flowCounter, now *Sample, _ *Scope) { now.Uptime = time.Second }, 2},
		{"another network", func(_ *flowCounter, _ *Sample, scope *Scope) {
			scope.Networks = append(scope.Networks, netip.MustParsePrefix("10.0.0.0/8"))
		}, 2},
		{"a larger budget", func(c *flowCounter, _ *Sample, _ *Scope) { c.cfg.ConntrackBudget = 25 }, 2},
		{"a smaller budget", func(c *flowCounter, _ *Sample, _ *Scope) { c.cfg.ConntrackBudget = 1 }, 1},
		{"a longer interval", func(c *flowCounter, _ *Sample, _ *Scope) { c.cfg.Interval = 10 * time.Second }, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newFlowCounter(5)
			c.run(0, 500*time.Millisecond, nil)
			c.run(2, 500*time.Millisecond, func(now *Sample, scope *Scope) { test.change(c, now, scope) })
			if c.counts != test.want {
				t.Errorf("%d counts, want %d", c.counts, test.want)
			}
		})
	}
}

// A source that failed is asked anew, and its old counts are not believed.
func TestBudgetAfterFailure(t *testing.T) {
	c := newFlowCounter(5)
	c.run(0, 500*time.Millisecond, nil)
	now := step{at: 2, failed: []Source{Conntrack}}.sample()
	scope := NewScope(lan, now.LAN, nil)
	next, report := Compare(c.ledger, now, scope, noNames(), c.cfg)
	if report.Conntrack != nil {
		t.Error("flows of a source that failed")
	}
	c.ledger = next
	c.run(4, 500*time.Millisecond, nil)
	if c.counts != 2 {
		t.Errorf("%d counts, want 2", c.counts)
	}
}

// Whenever the runs come, and whatever counts cost that are dearer than an
// interval's budget: a count is made only when the budget of the time since the
// first has paid for all that were made before.
func TestBudgetIsKept(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		percent := 0.1 + 9.8*rng.Float64()
		c := newFlowCounter(percent)
		at := 0.0
		for range 100 {
			before, spent := c.counts, c.spent
			cost := time.Duration(rng.Int64N(int64(time.Second))) + 200*time.Millisecond
			c.run(at, cost, nil)
			if c.counts > before && spent.Seconds() > at*percent/100+1e-6 {
				t.Fatalf("%v spent in %v s, want %v %% at most", spent, at, percent)
			}
			at += 4 * rng.Float64()
		}
	}
}
