package kernels

import (
	"errors"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/testdata/lab"
)

// countsFlows makes an installation at a home that forwards by a flowtable, which
// counts what conntrack knows.
func countsFlows(t *testing.T) *exporter {
	t.Helper()
	offloadingHome(t)
	x := newExporter(t, "lan")
	x.flags = append(x.flags, flowsFlags...)
	x.run(t)
	return x
}

// flowsFlags have every run count what conntrack knows, however long that takes here.
var flowsFlags = []string{"--accounting=flows", "--conntrack-budget=100"}

// arrivals count what a client of the home and the server send each other, where the
// router receives it: before anything can drop it, or a flowtable forward it.
const arrivals = `
	table netdev arrivals {
		counter tx4 { }
		counter rx4 { }
		counter tx6 { }
		counter rx6 { }
		chain lan {
			type filter hook ingress device LAN priority -500;
			ip saddr 192.168.10.100 ip daddr 203.0.113.2 counter name tx4
			ip6 saddr fd00:10::100 ip6 daddr 2001:db8::2 counter name tx6
		}
		chain wan {
			type filter hook ingress device wan priority -500;
			ip saddr 203.0.113.2 counter name rx4
			ip6 saddr 2001:db8::2 ip6 daddr fd00:10::100 counter name rx6
		}
	}`

// countArrivals begins to, for the client that an interface connects.
func countArrivals(t *testing.T, lan string) {
	t.Helper()
	lab.Nft(t, strings.Replace(arrivals, "LAN", lan, 1))
}

// arrived returns what has been counted by arrivals.
func arrived(t *testing.T) totals {
	t.Helper()
	bytes := make(totals)
	text := lab.Command(t, "nft", "list", "counters", "table", "netdev", "arrivals")
	for _, match := range regexp.MustCompile(`counter (..)(.) \{\s+packets \d+ bytes (\d+)`).FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseUint(match[3], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		address := map[string]string{"4": "192.168.10.100", "6": "fd00:10::100"}[match[2]]
		if n > 0 {
			bytes[match[1]+" "+address] = n
		}
	}
	if len(bytes) == 0 {
		t.Fatalf("nothing has arrived:\n%s", text)
	}
	return bytes
}

// countsArrivals checks that runs count all that arrived, once the last of it has, and
// nothing twice.
func (x *exporter) countsArrivals(t *testing.T) {
	t.Helper()
	var diff string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		x.run(t)
		if diff = cmp.Diff(arrived(t), x.totals); diff == "" {
			return
		}
	}
	t.Errorf("traffic (-arrived +counted):\n%s", diff)
}

// shortConnections has runs two seconds apart count all of so many connections,
// however they end, most of which no run ever sees established.
func shortConnections(connections int) func(*testing.T) {
	return func(t *testing.T) {
		x := countsFlows(t)
		countArrivals(t, "lan")
		laptop := client("laptop", 10)
		const every = 2 * time.Second
		next := time.Now().Add(every)
		for i := range connections {
			network := []string{"tcp4", "tcp6"}[i/4%2]
			c := lab.TCP(t, network, laptop, server)
			talk(t, c, 1000*(1+i%7))
			end(t, c, i)
			if time.Now().After(next) {
				x.run(t)
				next = time.Now().Add(every)
			}
		}
		awaitOffload(t, true)
		x.countsArrivals(t)
	}
}

// end ends a connection in one of four ways.
func end(t *testing.T, c *lab.Connection, way int) {
	t.Helper()
	var err error
	switch way % 4 {
	case 0: // a FIN from the one side, then from the other
		err = c.Close()
	case 1:
		err = (&lab.Connection{From: c.To, To: c.From}).Close()
	case 2: // a RST
		err = errors.Join(c.To.SetLinger(0), c.To.Close(), c.From.Close())
	case 3: // silence
	}
	if err != nil {
		t.Fatal(err)
	}
}

// catchesUp checks that all that was sent is counted, and nothing twice: in a run or
// two more, for a dump can miss a flow that the next one shows.
func (x *exporter) catchesUp(t *testing.T, want totals) {
	t.Helper()
	var diff string
	for range 3 {
		x.run(t)
		if diff = cmp.Diff(want, x.totals); diff == "" {
			return
		}
		t.Logf("not yet (-sent +counted):\n%s", diff)
	}
	t.Fatalf("traffic (-sent +counted):\n%s", diff)
}

// flushedFlowtable has somebody throw conntrack's entries away: with them may go what
// came since the last run, and no more, and nothing is counted twice.
func flushedFlowtable(t *testing.T) {
	x := countsFlows(t)
	send, want := newConversation(t), make(totals)
	send(want)
	x.catchesUp(t, want)
	awaitOffload(t, true)

	counted := maps.Clone(want)
	send(want)
	lab.Command(t, "conntrack", "-F")
	// That is what is lost, and none of what follows.
	want = counted
	send(want)
	x.catchesUp(t, want)
	send(want)
	x.catchesUp(t, want)
}

// newConversation returns a function that has the client and the server send each
// other datagrams, by flows that stay the same, and adds what they sent.
func newConversation(t *testing.T) (send func(totals)) {
	t.Helper()
	laptop := client("laptop", 10)
	flows := make(map[string]*lab.Flow)
	for _, network := range []string{"udp4", "udp6"} {
		flows[network] = lab.UDP(t, network, laptop, server)
	}
	return func(sum totals) {
		t.Helper()
		for network, flow := range flows {
			for range 10 {
				sum.add(network, laptop, server, flow.Send(t, 20, 1000))
				sum.add(network, server, laptop, flow.Reply(t, 30, 700))
			}
		}
	}
}
