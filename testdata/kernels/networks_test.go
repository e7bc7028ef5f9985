package kernels

import (
	"net/netip"
	"strings"
	"testing"

	"network-metrics-exporter/testdata/lab"
)

// A network is how a client is connected to a router that forwards by a flowtable.
type network struct {
	name      string
	script    string
	lan       string // the interface that has the addresses
	port      string // where the client's packets arrive
	flowtable string // its devices
	nat       bool
}

// offloadingNetworks has all traffic of a client counted, whatever of it the flowtable
// takes.
func offloadingNetworks(t *testing.T) {
	const cabled = `
		cable laptop lan
		lan lan 10
		address laptop eth0 10`
	for _, n := range []network{
		{name: "routed", script: cabled, lan: "lan", port: "lan", flowtable: "lan, wan"},
		{name: "NAT", script: cabled, lan: "lan", port: "lan", flowtable: "lan, wan", nat: true},
		{
			name: "VLAN",
			script: `
				cable laptop trunk
				ip link add link trunk name trunk.10 type vlan id 10
				lan trunk.10 10
				ip -n laptop link add link eth0 name eth0.10 type vlan id 10
				address laptop eth0.10 10`,
			lan: "trunk.10", port: "trunk", flowtable: "trunk, wan", nat: true,
		}, {
			name: "VLAN of a bridge, whose port the flowtable has",
			script: `
				cable laptop port
				ip link add switch type bridge vlan_filtering 1 vlan_default_pvid 0 mcast_snooping 0
				ip link set switch up
				ip link set port master switch
				bridge vlan add dev port vid 10 pvid untagged
				bridge vlan add dev switch vid 10 self
				ip link add link switch name switch.10 type vlan id 10
				lan switch.10 10
				address laptop eth0 10`,
			lan: "switch.10", port: "port", flowtable: "port, wan", nat: true,
		},
	} {
		t.Run(n.name, inNamespace(n.counts))
	}
}

func (n network) counts(t *testing.T) {
	build(t, "wan\nhost laptop\n"+n.script)
	lab.Nft(t, strings.Replace(offloading, "lan, wan", n.flowtable, 1))
	if n.nat {
		lab.Nft(t, translating)
	}
	countConntrack(t)
	countArrivals(t, n.port)
	x := newExporter(t, n.lan)
	x.flags = append(x.flags, flowsFlags...)
	x.run(t)
	exchangeAll(t, n.nat, func() { awaitOffload(t, true); x.run(t) })
	x.countsArrivals(t)
	var sum uint64
	for _, bytes := range arrived(t) {
		sum += bytes
	}
	if forwarded := namedCounter(t, "forwarded"); forwarded > sum/10 {
		t.Errorf("%d of %d bytes passed the forward chain: there was no flowtable at work", forwarded, sum)
	}
}

// exchangeAll has a client and the server send each other something of every kind, and
// calls meanwhile between, with all connections open.
func exchangeAll(t *testing.T, nat bool, meanwhile func()) {
	t.Helper()
	laptop := client("laptop", 10)
	var connections []*lab.Connection
	for version, addr := range map[string]netip.Addr{"4": server.IPv4, "6": server.IPv6} {
		connections = append(connections, lab.TCP(t, "tcp"+version, laptop, server))
		udp := lab.UDP(t, "udp"+version, laptop, server)
		udp.Send(t, 1, 100)
		udp.Reply(t, 50, 1000)
		udp.Send(t, 20, 100)
		lab.Command(t, "ip", "netns", "exec", "laptop", "ping", "-q", "-c", "3", "-i", "0.1", "-s", "500", addr.String())
	}
	if nat {
		connections = append(connections, lab.TCPVia(t, forwardedPort, server, laptop))
	}
	for _, c := range connections {
		talk(t, c, 300_000) // in packets of many segments (GSO)
	}
	meanwhile()
	for _, c := range connections {
		talk(t, c, 100_000)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// forwardedPort is that of the client at the router's address, by translating.
var forwardedPort = netip.MustParseAddrPort("203.0.113.1:8080")

// translating is the NAT of most homes.
const translating = `
	table ip nat {
		chain prerouting {
			type nat hook prerouting priority dstnat; policy accept;
			iifname wan tcp dport 8080 dnat to 192.168.10.100
		}
		chain postrouting {
			type nat hook postrouting priority srcnat; policy accept;
			oifname wan masquerade
		}
	}`
