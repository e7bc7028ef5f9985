package nftables

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/sources/netlink/netlinktest"
	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// needNamespaces skips a benchmark that make bench did not start.
func needNamespaces(b *testing.B) {
	b.Helper()
	if os.Getpid() != 1 {
		b.Skip("not in namespaces of its own, as make bench runs it")
	}
}

// BenchmarkAccount measures a run that has nothing to put in place, with a counter
// for either direction of each client. x-kernel is its CPU time in terms of what
// the kernel alone takes to dump those counters.
func BenchmarkAccount(b *testing.B) {
	needNamespaces(b)
	for _, layout := range []state.Layout{state.Sets, state.Rules} {
		for _, clients := range []int{50, 1000, 10_000} {
			b.Run(fmt.Sprintf("%s/clients=%d", layout, clients), func(b *testing.B) {
				p := addressPlan(layout, clients)
				install(b, p)
				if layout == state.Sets {
					fill(b, "client_tx", 0, clients)
					fill(b, "client_rx", 0, clients)
				}
				benchmarkAccount(b, p, 2*clients)
			})
		}
	}
	b.Run("sets/elements=65000", func(b *testing.B) {
		p := addressPlan(state.Sets, 0)
		p.MaxClients = 33_000
		install(b, p)
		fill(b, "client_tx", 0, 65_000)
		benchmarkAccount(b, p, 65_000)
	})
}

// addressPlan counts clients that address makes.
func addressPlan(layout state.Layout, clients int) Plan {
	p := Plan{
		Layout:     layout,
		Interfaces: []string{"br-lan"},
		Networks:   []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")},
		MaxClients: max(1024, clients),
		Owner:      tester,
	}
	for i := range clients {
		p.Clients = append(p.Clients, address(i))
	}
	return p
}

// install makes a plan's layout all that there is.
func install(b *testing.B, p Plan) {
	b.Helper()
	if err := nft(b, "flush ruleset"); err != nil {
		b.Fatal(err)
	}
	if p.Layout == state.Off {
		return
	}
	if _, err := Account(p); err != nil {
		b.Fatal(err)
	}
}

func benchmarkAccount(b *testing.B, p Plan, counters int) {
	var ours, kernels time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := cpuTime(b)
		a, err := Account(p)
		if err != nil {
			b.Fatal(err)
		}
		if n := len(a.Counters) - strays(a); n != counters {
			b.Fatalf("%d counters, want %d", n, counters)
		}
		between := cpuTime(b)
		b.StopTimer()
		dumpCounters(b, p.Layout)
		kernels += cpuTime(b) - between
		ours += between - start
		b.StartTimer()
	}
	b.ReportMetric(float64(ours)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(ours)/float64(kernels), "x-kernel")
}

// strays is how many counters are of nobody.
func strays(a *state.Accounting) int {
	return slices.IndexFunc(a.Counters, func(c state.Counter) bool { return c.Addr.IsValid() })
}

// cpuTime is how long this process has kept a processor busy, the kernel's work
// for it included.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Stime.Nano() + usage.Utime.Nano())
}

// dumpCounters has the kernel dump the counters and looks at nothing but the end.
func dumpCounters(b *testing.B, layout state.Layout) {
	b.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	dump := func(kind uint16, encode func(*netlink.Encoder)) {
		m, err := newMessage(unix.NFPROTO_INET, kind, 0, encode)
		if err != nil {
			b.Fatal(err)
		}
		raw := netlinktest.Message(m.Type, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, 1, m.Body)
		binary.NativeEndian.PutUint32(raw[12:], 0) // the kernel fills in the port
		if err := unix.Sendto(fd, raw, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			b.Fatal(err)
		}
		buffer := make([]byte, 32<<10)
		for {
			n, _, err := unix.Recvfrom(fd, buffer, 0)
			if err != nil {
				b.Fatal(err)
			}
			// The end is the last message of a datagram, and 20 bytes long.
			if n >= 20 && binary.NativeEndian.Uint16(buffer[n-16:]) == unix.NLMSG_DONE && binary.NativeEndian.Uint32(buffer[n-20:]) == 20 {
				return
			}
		}
	}
	if layout == state.Rules {
		dump(unix.NFT_MSG_GETRULE, func(e *netlink.Encoder) {
			e.Text(unix.NFTA_RULE_TABLE, filterTable)
			e.Text(unix.NFTA_RULE_CHAIN, trafficChain)
		})
		return
	}
	for _, s := range clientSets() {
		if s.local {
			continue
		}
		dump(unix.NFT_MSG_GETSETELEM, func(e *netlink.Encoder) {
			e.Text(unix.NFTA_SET_ELEM_LIST_TABLE, ownTable)
			e.Text(unix.NFTA_SET_ELEM_LIST_SET, s.name)
		})
	}
}

// BenchmarkForward measures what a router forwards for clients who send 64-byte
// packets in turn: without accounting, with sets, with rules. These take turns too,
// so that whatever else the machine does bears on all alike; of the rounds the
// median counts.
func BenchmarkForward(b *testing.B) {
	needNamespaces(b)
	const most, rounds = 750, 31
	send := forwarding(b, most)
	layouts := []state.Layout{state.Off, state.Sets, state.Rules}
	for _, clients := range []int{250, most} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			times := make(map[state.Layout][]time.Duration)
			for b.Loop() {
				for range rounds {
					for _, layout := range layouts {
						install(b, addressPlan(layout, clients))
						send(clients, 1) // so that everything is warm
						start := time.Now()
						send(clients, 8)
						times[layout] = append(times[layout], time.Since(start))
					}
				}
			}
			rate := make(map[state.Layout]float64)
			for layout, all := range times {
				slices.Sort(all)
				rate[layout] = float64(8*clients) / all[len(all)/2].Seconds()
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(rate[state.Off], "none-pkt/s")
			b.ReportMetric(rate[state.Sets], "sets-pkt/s")
			b.ReportMetric(rate[state.Rules], "rules-pkt/s")
			b.ReportMetric(rate[state.Sets]/rate[state.Off], "sets/none")
			b.ReportMetric(rate[state.Sets]/rate[state.Rules], "sets/rules")
		})
	}
}

// forwarding makes a router of this namespace, and returns what sends so many
// packets of each of the first clients through it. It makes sure that all arrive.
func forwarding(b *testing.B, clients int) (send func(clients, each int)) {
	b.Helper()
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil { // ip netns
		b.Fatal(err)
	}
	const setup = `
		ip link set lo up
		ip netns add clients
		ip netns add server
		ip link add br-lan type veth peer name eth0 netns clients
		ip link add wan type veth peer name eth0 netns server
		ip addr add 10.9.255.254/16 dev br-lan
		ip addr add 203.0.113.1/24 dev wan
		ip link set br-lan up
		ip link set wan up
		ip -n clients link set lo up
		ip -n clients link set eth0 up
		ip -n clients addr add 10.9.255.253/16 dev eth0
		ip -n clients route add default via 10.9.255.254
		ip -n clients route add local 10.9.0.0/16 dev lo
		ip -n server link set eth0 up
		ip -n server addr add 203.0.113.2/24 dev eth0
		ip -n server route add default via 203.0.113.1
		echo 1 >/proc/sys/net/ipv4/ip_forward`
	if output, err := exec.Command("sh", "-ec", setup).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, output)
	}
	socket := func(host string, bind netip.Addr) (fd int) {
		err := (&lab.Host{Name: host}).Do(func() (err error) {
			fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = unix.Bind(fd, &unix.SockaddrInet4{Port: 9, Addr: bind.As4()})
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	server := netip.MustParseAddr("203.0.113.2")
	receiver := socket("server", server)
	var senders []int
	for i := range clients {
		fd := socket("clients", address(i))
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 9, Addr: server.As4()}); err != nil {
			b.Fatal(err)
		}
		senders = append(senders, fd)
	}
	const payload = 64 - 14 - 20 - 8 // headers of Ethernet, IP and UDP
	packet, received := make([]byte, payload), make([]byte, payload)
	return func(clients, each int) {
		for range each {
			// The receiver has room for 250 packets.
			for group := range slices.Chunk(senders[:clients], 250) {
				for _, fd := range group {
					if _, err := unix.Write(fd, packet); err != nil {
						b.Fatal(err)
					}
				}
				for range group {
					if _, _, err := unix.Recvfrom(receiver, received, 0); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
	}
}
