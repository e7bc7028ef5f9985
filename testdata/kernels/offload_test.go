package kernels

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"network-metrics-exporter/sources/conntrack"
	"network-metrics-exporter/sources/neighbor"
	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// offloading has everything that can be forwarded by a flowtable.
const offloading = `
	table inet filter {
		flowtable f { hook ingress priority filter; devices = { lan, wan }; counter; }
		counter forwarded { }
		chain forward {
			type filter hook forward priority filter; policy accept;
			counter name forwarded
			meta l4proto { tcp, udp } flow add @f
		}
	}`

// offloadingHome builds a home whose router forwards by a flowtable, and has conntrack
// count.
func offloadingHome(t *testing.T) {
	t.Helper()
	home(t)
	lab.Nft(t, offloading+translating)
	countConntrack(t)
}

// countConntrack has conntrack, which some rule has loaded, count what flows move that
// begin from now on.
func countConntrack(t *testing.T) {
	t.Helper()
	writeFile(t, "/proc/sys/net/netfilter/nf_conntrack_acct", "1")
}

// offload has a reader at such a home.
func offload(t *testing.T) *flowReader {
	t.Helper()
	offloadingHome(t)
	lan, err := neighbor.Read([]string{"lan"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &flowReader{scope: state.NewScope(nil, lan, nil), totals: make(map[netip.Addr][2]uint64)}
	r.read(t)
	return r
}

// flowReader adds up what several dumps tell.
type flowReader struct {
	scope  state.Scope
	memory *state.FlowMemory
	totals map[netip.Addr][2]uint64 // bytes, by state.Direction
}

// read makes a dump and returns the numbers of active flows.
func (r *flowReader) read(t *testing.T) map[netip.Addr]state.Connections {
	t.Helper()
	counter := state.NewFlowCounter(r.scope, r.memory, true, false)
	flows, err := conntrack.Read(r.scope.Contains, nil, counter)
	if err != nil {
		t.Fatal(err)
	}
	var traffic []state.FlowTraffic
	traffic, r.memory = counter.Finish()
	for _, f := range traffic {
		sum := r.totals[f.Addr]
		for d := range sum {
			sum[d] += f.All[d].Bytes
		}
		r.totals[f.Addr] = sum
	}
	return flows.Active
}

// areOffloaded reports whether a flow was in a flowtable at the last dump.
func (r *flowReader) areOffloaded() bool {
	for _, f := range r.memory.Records {
		if f.Offloaded {
			return true
		}
	}
	return false
}

// offloadedTraffic has every byte counted that passes by the forward chain.
func offloadedTraffic(t *testing.T) {
	r := offload(t)
	laptop := client("laptop", 10)
	want := make(map[netip.Addr][2]uint64)
	for network, addr := range map[string]netip.Addr{"udp4": laptop.IPv4, "udp6": laptop.IPv6} {
		flow := lab.UDP(t, network, laptop, server)
		var sum [2]uint64
		for range 5 {
			sum[state.Tx] += flow.Send(t, 100, 1000)
			sum[state.Rx] += flow.Reply(t, 200, 1200)
			r.read(t)
		}
		if !r.areOffloaded() {
			t.Errorf("%s: no flow was in the flowtable", network)
		}
		want[addr] = sum
	}
	if diff := cmp.Diff(want, r.totals, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("traffic (-sent +counted):\n%s", diff)
	}
	total := want[laptop.IPv4][0] + want[laptop.IPv4][1] + want[laptop.IPv6][0] + want[laptop.IPv6][1]
	if forwarded := namedCounter(t, "forwarded"); forwarded > total/2 {
		t.Errorf("%d of %d bytes passed the forward chain: there was no flowtable at work", forwarded, total)
	}
}

// talk has either end say that many bytes to the other.
func talk(t *testing.T, c *lab.Connection, bytes int) {
	t.Helper()
	if err := errors.Join(send(c.From, c.To, bytes), send(c.To, c.From, bytes)); err != nil {
		t.Fatal(err)
	}
}

// send has one end of a connection say that many bytes to the other.
func send(from, to net.Conn, bytes int) error {
	if err := to.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	written := make(chan error, 1)
	go func() {
		_, err := from.Write(make([]byte, bytes))
		written <- err
	}()
	if _, err := io.ReadFull(to, make([]byte, bytes)); err != nil {
		return err
	}
	return <-written
}

// offloadedReset has a flow inactive soon after a RST has ended it in the flowtable,
// though the kernel may list it as established for minutes.
func offloadedReset(t *testing.T) {
	r := offload(t)
	laptop := client("laptop", 10)
	connection := lab.TCP(t, "tcp4", laptop, server)
	for range 3 {
		talk(t, connection, 4)
	}
	active := func() uint32 { return r.read(t)[laptop.IPv4][state.TCP] }
	if n := active(); n != 1 || !r.areOffloaded() {
		t.Fatalf("%d active connections, in the flowtable: %t; want 1 that is", n, r.areOffloaded())
	}
	if err := connection.From.SetLinger(0); err != nil { // a RST
		t.Fatal(err)
	}
	if err := connection.From.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); active() != 0; time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			t.Fatalf("still active half a minute after a RST: %+v", r.memory.Records)
		}
	}
}
