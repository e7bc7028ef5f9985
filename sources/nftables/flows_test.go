package nftables

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// ping sends so many echo requests, each answered, and returns what they count for
// the client.
func ping(t *testing.T, from *lab.Host, to netip.Addr, packets, payload int) []state.Counter {
	t.Helper()
	network, addr, request, header := "ip4:icmp", from.IPv4, byte(8), 20
	if to.Is6() {
		network, addr, request, header = "ip6:ipv6-icmp", from.IPv6, 128, 40
	}
	err := from.Do(func() error {
		conn, err := net.DialIP(network, nil, &net.IPAddr{IP: to.AsSlice()})
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		message := make([]byte, 8+payload)
		buffer := make([]byte, 1500)
		for i := range packets {
			message[0], message[1], message[2], message[3] = request, 0, 0, 0
			message[4], message[5], message[6], message[7] = 0, 7, byte(i>>8), byte(i)
			var sum uint32
			for j := 0; j < len(message); j += 2 {
				sum += uint32(message[j])<<8 + uint32(message[j+1])
			}
			sum = sum>>16 + sum&0xffff
			sum += sum >> 16
			message[2], message[3] = byte(^sum>>8), byte(^sum)
			if _, err := conn.Write(message); err != nil {
				return err
			}
			for answered := false; !answered; {
				n, _, err := conn.ReadFromIP(buffer) // without the header
				if err != nil {
					return err
				}
				answered = n == len(message) && (buffer[0] == 0 || buffer[0] == 129)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	bytes := uint64(packets * (header + 8 + payload))
	return []state.Counter{tx(addr.String(), uint64(packets), bytes), rx(addr.String(), uint64(packets), bytes)}
}

// Beside conntrack the sets count what it does not: what is neither TCP nor UDP,
// and what it does not track. A change of the layout keeps the elements, and what
// they show.
func TestFlows(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		sets, flows := plan(state.Sets), plan(state.Flows)
		mustAccount(t, sets)
		want := converse(t, r.Server, r.Laptop)
		before := mustAccount(t, sets)
		a := mustAccount(t, flows)
		if a.Layout != state.Flows || len(a.ReplacedCounters) > 0 || !a.LocalKnown {
			t.Errorf("got %+v", a)
		}
		if diff := gocmp.Diff(before.Counters, a.Counters, equal); diff != "" {
			t.Errorf("counters (-before +after the change):\n%s", diff)
		}
		if !slices.ContainsFunc(a.Objects, func(id state.CounterID) bool { return slices.Contains(before.Objects, id) }) {
			t.Errorf("all objects are new: %v, %v", before.Objects, a.Objects)
		}
		still(t, flows)
		if a := mustAccount(t, plan(state.Off)); a.Layout != state.Flows {
			t.Errorf("off finds %s", a.Layout)
		}

		converse(t, r.Server, r.Clients()...)
		lab.TCP(t, "tcp4", r.Phone, r.Server)
		lab.TCP(t, "tcp6", r.Phone, r.Server)
		if diff := gocmp.Diff(total(want), counted(mustAccount(t, flows)), alike); diff != "" {
			t.Errorf("counters after TCP and UDP (-want +got):\n%s", diff)
		}
		want = append(want, ping(t, r.Laptop, r.Server.IPv4, 10, 1000)...)
		want = append(want, ping(t, r.Phone, r.Server.IPv6, 20, 500)...)
		if diff := gocmp.Diff(total(want), counted(mustAccount(t, flows)), alike); diff != "" {
			t.Errorf("counters after ICMP (-want +got):\n%s", diff)
		}
		lab.Nft(t, `
			table inet raw { chain prerouting { type filter hook prerouting priority raw; meta l4proto udp notrack; }; }
			insert rule inet filter forward ct state untracked accept`)
		flow := lab.UDP(t, "udp6", r.Printer, r.Server) // IPv4 needs conntrack for NAT
		addr := r.Printer.IPv6.String()
		want = append(want, tx(addr, 30, flow.Send(t, 30, 700)), rx(addr, 40, flow.Reply(t, 40, 800)))
		if diff := gocmp.Diff(total(want), counted(mustAccount(t, flows)), alike); diff != "" {
			t.Errorf("counters after what is not tracked (-want +got):\n%s", diff)
		}

		mustAccount(t, sets)
		if strings.Contains(listing(t), "l4proto { tcp, udp } ct state") {
			t.Errorf("left:\n%s", listing(t))
		}
	})
}
