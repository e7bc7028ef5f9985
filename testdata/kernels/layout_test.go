package kernels

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/testdata/lab"
)

// changeOfLayout has somebody change the layout under traffic, and put a flowtable in
// place and take it away again. All that arrives is counted once, but for some of what
// arrives during a run that changes to flows or from them: that may be lost.
func changeOfLayout(t *testing.T) {
	home(t)
	lab.Nft(t, translating+`
		table inet firewall {
			chain forward {
				type filter hook forward priority filter; policy drop;
				ct state established,related accept
				iifname lan accept
			}
		}`)
	countConntrack(t)
	countArrivals(t, "lan")
	c := changer{exporter: newExporter(t, "lan"), layout: "sets"}
	c.run(t)
	c.flows = exchanges(t)
	c.surplus = c.counted(t)

	c.exactly(t, func() {})
	for range 2 {
		c.change(t, "rules")
		c.change(t, "sets")
	}
	c.change(t, "flows")
	c.exactly(t, func() {
		lab.Nft(t, offloading)
		awaitOffload(t, true)
	})
	c.exactly(t, func() {
		lab.Nft(t, "delete table inet filter")
		awaitOffload(t, false)
	})
	for _, layout := range []string{"rules", "flows", "sets"} {
		c.change(t, layout)
		c.exactly(t, func() {})
	}
}

// A changer makes changes under traffic.
type changer struct {
	*exporter
	layout  string
	flows   []func() error
	surplus map[string]int64 // as counted returns it, after the last change
}

// change makes a layout that of the next runs.
func (c *changer) change(t *testing.T, layout string) {
	t.Helper()
	during := make(totals)
	before := c.surplus
	c.meanwhile(t, func() {
		earlier := arrived(t)
		c.flags = []string{"--interface=lan", "--conntrack-budget=100", "--accounting=" + layout}
		c.run(t)
		for key, bytes := range arrived(t) {
			during[key] = bytes - earlier[key]
		}
	})
	for key, bytes := range during {
		if c.layout != "flows" && layout != "flows" {
			bytes = 0
		}
		if surplus := c.surplus[key] - before[key]; surplus > 0 || -surplus > int64(bytes) {
			t.Errorf("%s to %s: %s: counted %+d bytes, of which at most %d may be lost", c.layout, layout, key, surplus, bytes)
		}
	}
	c.layout = layout
}

// exactly checks that all is counted, and once, that arrives before, during and after
// something else than a change of the layout.
func (c *changer) exactly(t *testing.T, something func()) {
	t.Helper()
	before := c.surplus
	c.meanwhile(t, something)
	if diff := cmp.Diff(before, c.surplus); diff != "" {
		t.Errorf("counted more than arrived (-before +after):\n%s", diff)
	}
}

// meanwhile does something under traffic.
func (c *changer) meanwhile(t *testing.T, something func()) {
	t.Helper()
	stop := steadily(t, c.flows)
	c.run(t)
	something()
	c.run(t)
	stop()
	c.surplus = c.counted(t)
}

// counted takes runs until nothing arrives during one, and returns how many bytes more
// have been counted than have arrived.
func (c *changer) counted(t *testing.T) map[string]int64 {
	t.Helper()
	for {
		before := arrived(t)
		c.run(t)
		if now := arrived(t); !maps.Equal(before, now) {
			continue
		}
		surplus := make(map[string]int64)
		for key, bytes := range before {
			surplus[key] = int64(c.totals[key]) - int64(bytes)
		}
		return surplus
	}
}
