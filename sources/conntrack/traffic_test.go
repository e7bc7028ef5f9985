package conntrack

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// flowTotals adds up what several dumps say of the lab's router.
type flowTotals struct {
	scope  state.Scope
	memory *state.FlowMemory
	totals map[netip.Addr][2]state.Traffic
}

func newFlowTotals() *flowTotals {
	own := func(name, cidr string) state.InterfaceAddr {
		p := netip.MustParsePrefix(cidr)
		return state.InterfaceAddr{Interface: name, Addr: p.Addr(), Network: p.Masked()}
	}
	return &flowTotals{
		scope: state.NewScope(nil, &state.LAN{Interfaces: []string{"br-lan"}, Addrs: []state.InterfaceAddr{
			own("br-lan", "192.168.10.1/24"), own("br-lan", "fd00:10::1/64"), own("wan", "203.0.113.1/24"), own("wan", "2001:db8::1/64"),
		}}, nil),
		totals: make(map[netip.Addr][2]state.Traffic),
	}
}

// dump makes a dump, and returns the active flows.
func (a *flowTotals) dump(t *testing.T) *state.TrackedFlows {
	t.Helper()
	counter := state.NewFlowCounter(a.scope, a.memory, true, false)
	flows, err := Read(a.scope.Contains, nil, counter)
	if err != nil {
		t.Fatal(err)
	}
	var traffic []state.FlowTraffic
	traffic, a.memory = counter.Finish()
	for _, c := range traffic {
		sum := a.totals[c.Addr]
		for d := range sum {
			sum[d].Bytes += c.All[d].Bytes
			sum[d].Packets += c.All[d].Packets
		}
		a.totals[c.Addr] = sum
	}
	return flows
}

// truth has nftables count TCP and UDP of the lab's clients.
func truth(t *testing.T, clients []*lab.Host) {
	t.Helper()
	var counters, rules strings.Builder
	for _, c := range clients {
		for family, addr := range map[string]netip.Addr{"ip": c.IPv4, "ip6": c.IPv6} {
			for direction, field := range map[string]string{"tx": "saddr", "rx": "daddr"} {
				name := fmt.Sprintf("%s_%s_%s", c.Name, direction, family)
				fmt.Fprintf(&counters, "counter %s { }\n", name)
				fmt.Fprintf(&rules, "%s %s %v meta l4proto { tcp, udp } counter name %s\n", family, field, addr, name)
			}
		}
	}
	lab.Nft(t, "table inet truth {\n"+counters.String()+"chain forward { type filter hook forward priority 300;\n"+rules.String()+"}\n}")
}

// readTruth returns what nftables counted.
func readTruth(t *testing.T, clients []*lab.Host) map[netip.Addr][2]state.Traffic {
	t.Helper()
	var list struct {
		NFTables []struct {
			Counter struct {
				Name           string
				Bytes, Packets uint64
			}
		}
	}
	if err := json.Unmarshal([]byte(lab.Command(t, "nft", "-j", "list", "counters", "table", "inet", "truth")), &list); err != nil {
		t.Fatal(err)
	}
	totals := make(map[netip.Addr][2]state.Traffic)
	for _, object := range list.NFTables {
		for _, c := range clients {
			name, ok := strings.CutPrefix(object.Counter.Name, c.Name+"_")
			if !ok || object.Counter.Packets == 0 {
				continue
			}
			direction, family, _ := strings.Cut(name, "_")
			addr := map[string]netip.Addr{"ip": c.IPv4, "ip6": c.IPv6}[family]
			sum := totals[addr]
			sum[map[string]state.Direction{"rx": state.Rx, "tx": state.Tx}[direction]] = state.Traffic{Bytes: object.Counter.Bytes, Packets: object.Counter.Packets}
			totals[addr] = sum
		}
	}
	return totals
}

// What conntrack says that clients moved is what the forward path let through, to
// the byte: with NAT and without, for connections that end in any way, across a
// flush of the table, and nothing of what the router itself says and hears.
func TestReadTraffic(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		account(t)
		lab.Nft(t, `
			table inet filter { chain forward { iifname "wan" tcp dport 8080 accept; }; }
			table ip nat { chain prerouting { type nat hook prerouting priority dstnat; iifname "wan" tcp dport 8080 dnat to 192.168.10.101; }; }`)
		// What a flow has moved before is a base.
		early := lab.UDP(t, "udp4", r.Printer, r.Server)
		early.Send(t, 3, 1000)
		early.Reply(t, 3, 1000)
		totals := newFlowTotals()
		totals.dump(t)
		truth(t, r.Clients())

		early.Send(t, 2, 500)
		for i, client := range r.Clients() {
			for _, network := range []string{"udp4", "udp6"} {
				flow := lab.UDP(t, network, client, r.Server)
				flow.Send(t, 10+i, 1000)
				flow.Reply(t, 5, 1400)
				totals.dump(t)
				flow.Send(t, 1, 1)
			}
		}
		talk(t, lab.TCP(t, "tcp4", r.Laptop, r.Server))
		talk(t, lab.TCP(t, "tcp6", r.Phone, r.Server))
		talk(t, lab.TCPVia(t, netip.MustParseAddrPort("203.0.113.1:8080"), r.Server, r.Phone))
		totals.agrees(t, r.Clients())

		// A flow that goes on after the table was flushed is a new one.
		if err := dialLibrary(t).Flush(); err != nil {
			t.Fatal(err)
		}
		early.Send(t, 4, 700)

		// With the router itself.
		if err := r.Laptop.Do(func() error {
			for _, addr := range []string{"192.168.10.1:9", "203.0.113.1:9", "[fd00:10::1]:9", "192.168.10.255:9"} {
				conn, err := net.Dial("udp", addr)
				if err != nil {
					continue // broadcast
				}
				defer conn.Close()
				conn.Write(make([]byte, 100))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}

		connection := lab.TCP(t, "tcp4", r.Printer, r.Server)
		if n := totals.dump(t).Active[r.Printer.IPv4][state.TCP]; n != 1 {
			t.Errorf("%d active connections, want 1", n)
		}
		if err := connection.From.SetLinger(0); err != nil { // RST
			t.Fatal(err)
		}
		if err := connection.From.Close(); err != nil {
			t.Fatal(err)
		}
		if got := totals.agrees(t, r.Clients()); len(got) != 6 {
			t.Errorf("%d addresses counted, want 6", len(got))
		}
	})
}

// agrees makes dumps until they say what nftables says, as the router may see the
// last packets a moment later, and returns that.
func (a *flowTotals) agrees(t *testing.T, clients []*lab.Host) map[netip.Addr][2]state.Traffic {
	t.Helper()
	var diff string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		a.dump(t)
		if diff = cmp.Diff(readTruth(t, clients), a.totals, cmpopts.EquateComparable(netip.Addr{})); diff == "" {
			return a.totals
		}
	}
	t.Fatalf("traffic (-nftables +conntrack):\n%s", diff)
	return nil
}

// talk moves some bytes both ways and ends the connection.
func talk(t *testing.T, c *lab.Connection) {
	t.Helper()
	for _, end := range []struct{ from, to net.Conn }{{c.From, c.To}, {c.To, c.From}} {
		const n = 300000
		go end.from.Write(make([]byte, n))
		if err := end.to.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(end.to, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}
