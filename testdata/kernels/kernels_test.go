// Package kernels has the program count on the kernels of the Debian releases that it
// is made for, in a virtual machine, on networks as people build them.
package kernels

import (
	_ "embed"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"network-metrics-exporter/testdata/lab"
	"network-metrics-exporter/testdata/strict"
	"network-metrics-exporter/testdata/vm"
)

// program is where the program is in the machine.
const program = "/usr/bin/network-metrics-exporter"

// functions are what the scripts below are written in.
//
//go:embed network.sh
var functions string

// A kernelTest runs in a machine, which others use after it.
type kernelTest struct {
	name string
	test func(*testing.T)
}

func TestKernels(t *testing.T) {
	onKernels(t, []kernelTest{
		{"main job", inNamespace(mainJob)},
		{"several LANs", inNamespace(severalLANs)},
		{"VLANs", inNamespace(vlans)},
		{"VLAN-aware bridge", inNamespace(vlanAwareBridge)},
		{"bonding", inNamespace(bonding)},
		{"macvlan", inNamespace(macvlan)},
		{"WireGuard", inNamespace(wireGuard)},
		{"WireGuard peers", inNamespace(wireGuardPeers)},
		{"WireGuard presence", wireGuardPresence},
		{"PPP", inNamespace(ppp)},
		{"flowtable", inNamespace(flowtable)},
		{"counted flowtable", inNamespace(countedFlowtable)},
		{"idle flowtables", idleFlowtables},
		{"conntrack of a flowtable", inNamespace(offloadedTraffic)},
		{"resets through a flowtable", inNamespace(offloadedReset)},
		{"short connections through a flowtable", inNamespace(shortConnections(500))},
		{"conntrack of a flowtable flushed", inNamespace(flushedFlowtable)},
	})
}

// TestFlowtables takes longer: make test-machines runs it, and make test does not.
func TestFlowtables(t *testing.T) {
	onKernels(t, []kernelTest{
		{"2,000 short connections", inNamespace(shortConnections(2000))},
		{"reloaded every three seconds", inNamespace(reloadedFlowtable)},
		{"reloaded with unanswered flows", inNamespace(unansweredFlows)},
		{"in several networks", offloadingNetworks},
		{"changes of the layout", inNamespace(changeOfLayout)},
	})
}

// onKernels runs tests in a machine for each kernel, two of them side by side.
func onKernels(t *testing.T, tests []kernelTest) {
	for _, kernel := range []struct{ release, version string }{
		{"bookworm", "6.1."},
		{"trixie", "6.12."},
	} {
		t.Run(kernel.version, func(t *testing.T) {
			t.Parallel()
			vm.Run(t, vm.Config{
				Kernel:   kernel.release,
				Programs: []string{"bash", "bridge", "conntrack", "ip", "nft", "pppd", "wg"},
				Project:  map[string]string{program: "."},
			}, func(t *testing.T) {
				if version := lab.Command(t, "uname", "-r"); !strings.HasPrefix(version, kernel.version) {
					t.Fatalf("kernel %swant %s", version, kernel.version)
				}
				for _, test := range tests {
					t.Run(test.name, test.test)
				}
			})
		})
	}
}

// inNamespace gives a test that runs in namespaces of its own.
func inNamespace(test func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) { lab.Namespace(t, test) }
}

// server is who the function wan connects.
var server = host("server", "203.0.113.2", "2001:db8::2")

func host(name, ipv4, ipv6 string) *lab.Host {
	return &lab.Host{Name: name, IPv4: netip.MustParseAddr(ipv4), IPv6: netip.MustParseAddr(ipv6)}
}

// client is the host that the scripts call by a name and give the address of a LAN.
func client(name string, lan int) *lab.Host {
	return host(name, fmt.Sprintf("192.168.%d.100", lan), fmt.Sprintf("fd00:%d::100", lan))
}

// build runs a script after the functions that it is written in.
func build(t *testing.T, script string) {
	t.Helper()
	lab.Command(t, "bash", "-c", functions+script)
}

// mainJob has the clients of a home's LAN counted.
func mainJob(t *testing.T) {
	build(t, `
		wan
		ip link add br-lan type bridge mcast_snooping 0
		lan br-lan 10
		host laptop
		cable laptop lan-laptop
		ip link set lan-laptop master br-lan
		address laptop eth0 10`)
	lab.Nft(t, `
		table inet filter {
			chain forward {
				type filter hook forward priority filter; policy drop;
				ct state established,related accept
				iifname br-lan accept
			}
		}
		table ip nat {
			chain postrouting {
				type nat hook postrouting priority srcnat; policy accept;
				oifname wan masquerade
			}
		}`)
	counts(t, pairs{{client("laptop", 10), server}}, "br-lan")
}

// severalLANs has traffic between two of them counted once for each client.
func severalLANs(t *testing.T) {
	build(t, `
		wan
		for name in laptop camera; do
			host $name
			cable $name lan-$name
		done
		lan lan-laptop 10
		lan lan-camera 20
		address laptop eth0 10
		address camera eth0 20`)
	laptop, camera := client("laptop", 10), client("camera", 20)
	counts(t, pairs{{laptop, server}, {camera, server}, {laptop, camera}, {camera, laptop}}, "lan-laptop", "lan-camera")
}

// vlans has LANs that share a cable.
func vlans(t *testing.T) {
	build(t, `
		wan
		host laptop
		cable laptop trunk
		host camera
		for vlan in 10 20; do
			ip link add link trunk name trunk.$vlan type vlan id $vlan
			lan trunk.$vlan $vlan
		done
		ip -n laptop link add link eth0 name eth0.10 type vlan id 10
		ip -n laptop link add link eth0 name eth0.20 type vlan id 20
		ip -n laptop link set eth0.20 netns camera
		address laptop eth0.10 10
		address camera eth0.20 20`)
	laptop, camera := client("laptop", 10), client("camera", 20)
	counts(t, pairs{{laptop, server}, {camera, server}, {laptop, camera}}, "trunk.10", "trunk.20")
}

// vlanAwareBridge has LANs that share a bridge, as on a switch with VLANs.
func vlanAwareBridge(t *testing.T) {
	build(t, `
		wan
		ip link add switch type bridge vlan_filtering 1 vlan_default_pvid 0 mcast_snooping 0
		ip link set switch up
		for at in laptop:10 phone:10 camera:20; do
			name=${at%:*} vlan=${at#*:}
			host $name
			cable $name lan-$name
			ip link set lan-$name master switch
			bridge vlan add dev lan-$name vid $vlan pvid untagged
		done
		for vlan in 10 20; do
			bridge vlan add dev switch vid $vlan self
			ip link add link switch name switch.$vlan type vlan id $vlan
			lan switch.$vlan $vlan
		done
		address laptop eth0 10
		address camera eth0 20
		ip -n phone addr add 192.168.10.101/24 dev eth0
		ip -n phone addr add fd00:10::101/64 dev eth0`)
	laptop, camera := client("laptop", 10), client("camera", 20)
	// What one hands the other on their own LAN is not forwarded.
	within := lab.UDP(t, "udp4", laptop, host("phone", "192.168.10.101", "fd00:10::101"))
	within.Send(t, 3, 100)
	counts(t, pairs{{laptop, server}, {camera, server}, {laptop, camera}}, "switch.10", "switch.20")
}

// bonding has a LAN of two cables.
func bonding(t *testing.T) {
	build(t, `
		wan
		host laptop
		ip link add bond0 type bond mode balance-rr miimon 100
		ip -n laptop link add bond0 type bond mode balance-rr miimon 100
		for i in 0 1; do
			ip link add lan$i type veth peer name eth$i netns laptop
			ip link set lan$i master bond0
			ip -n laptop link set eth$i master bond0
		done
		lan bond0 10
		address laptop bond0 10`)
	counts(t, pairs{{client("laptop", 10), server}}, "bond0")
}

// macvlan has a LAN whose interfaces are all of this kind.
func macvlan(t *testing.T) {
	build(t, `
		wan
		ip link add lan0 type veth peer name peer0
		echo 1 >/proc/sys/net/ipv4/conf/lan0/arp_ignore # the address is not its own
		ip link set lan0 up
		ip link set peer0 up
		ip link add link lan0 name lan type macvlan mode bridge
		lan lan 10
		host laptop
		ip link add link peer0 name eth0 netns laptop type macvlan mode bridge
		address laptop eth0 10`)
	counts(t, pairs{{client("laptop", 10), server}}, "lan")
}

// ppp has the Internet behind a line that is dialled.
func ppp(t *testing.T) {
	build(t, `
		host laptop
		cable laptop lan
		lan lan 10
		address laptop eth0 10
		host server
		echo 'exec ip netns exec server pppd notty noauth local nodetach nodefaultroute ipv6 ::2,::1 203.0.113.2:203.0.113.1' >/run/isp
		pppd pty 'bash /run/isp' noauth local updetach nodefaultroute ipv6 ::1,::2 203.0.113.1:203.0.113.2 >/run/pppd.log 2>&1 ||
			{ cat /run/pppd.log; exit 1; } >&2
		until ip addr show ppp0 | grep -q fe80::1 && ip -n server addr show ppp0 | grep -q fe80::2; do sleep 0.05; done
		ip -n server addr add 2001:db8::2/128 dev ppp0
		ip -n server route add default dev ppp0
		ip -n server -6 route add default dev ppp0
		ip route add 2001:db8::2/128 dev ppp0`)
	counts(t, pairs{{client("laptop", 10), server}}, "lan")
}

// A pair is who sends first, and who answers.
type pair struct{ from, to *lab.Host }

type pairs []pair

// counts has pairs of hosts exchange packets, and a new installation, for which these
// interfaces are the LAN, count as many bytes for the clients among them as their sockets
// sent and received, with the headers.
func counts(t *testing.T, exchanges pairs, interfaces ...string) {
	t.Helper()
	newExporter(t, interfaces...).counts(t, exchanges)
}

func (x *exporter) counts(t *testing.T, exchanges pairs) {
	t.Helper()
	want := make(totals)
	x.run(t) // the accounting is in place
	for _, exchange := range exchanges {
		for _, network := range []string{"udp4", "udp6"} {
			flow := lab.UDP(t, network, exchange.from, exchange.to)
			want.add(network, exchange.from, exchange.to, flow.Send(t, 20, 1000))
			want.add(network, exchange.to, exchange.from, flow.Reply(t, 30, 700))
			x.run(t) // who has sent is known
			want.add(network, exchange.from, exchange.to, flow.Send(t, 40, 300))
			want.add(network, exchange.to, exchange.from, flow.Reply(t, 50, 200))
		}
	}
	x.run(t)
	if diff := cmp.Diff(want, x.totals); diff != "" {
		t.Errorf("bytes (-want +got):\n%s", diff)
	}
}

// totals are bytes by direction and address: "tx 192.168.10.100".
type totals map[string]uint64

// add counts what one host sent to another; the server is no client.
func (c totals) add(network string, from, to *lab.Host, bytes uint64) {
	address := func(h *lab.Host) netip.Addr {
		if strings.HasSuffix(network, "6") {
			return h.IPv6
		}
		return h.IPv4
	}
	if from != server {
		c["tx "+address(from).String()] += bytes
	}
	if to != server {
		c["rx "+address(to).String()] += bytes
	}
}

// An exporter is an installation of the program.
type exporter struct {
	dir   string
	flags []string

	// As published by the last run:
	totals  totals             // without those of 0
	values  map[string]float64 // gauges without labels
	clients map[string]listing // by address
}

// A listing is what client_info and client_status tell of a client.
type listing struct {
	Name, Source, Interface string
	Online                  bool
}

// newExporter makes an installation for which these interfaces are the LAN.
func newExporter(t *testing.T, interfaces ...string) *exporter {
	x := &exporter{dir: t.TempDir()}
	for _, name := range interfaces {
		x.flags = append(x.flags, "--interface="+name)
	}
	return x
}

// run takes a sample, which says lines that hold these texts, and no others.
func (x *exporter) run(t *testing.T, says ...string) {
	t.Helper()
	prom := filepath.Join(x.dir, "network_metrics.prom")
	args := append([]string{"sample", "--output=" + prom, "--state-dir=" + filepath.Join(x.dir, "state"), "--interval=0.1"}, x.flags...)
	output, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if lines := slices.Collect(strings.Lines(string(output))); err != nil || !slices.EqualFunc(lines, says, strings.Contains) {
		t.Fatalf("%s %s: %v\n%swant lines with %q", program, strings.Join(args, " "), err, output, says)
	}
	text, err := os.ReadFile(prom)
	if err != nil {
		t.Fatal(err)
	}
	families, err := strict.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	x.totals = make(totals)
	for _, series := range families["client_traffic_bytes"].GetMetric() {
		labels := labelsOf(series)
		x.totals[labels["direction"]+" "+labels["ip"]] = uint64(series.Counter.GetValue())
	}
	maps.DeleteFunc(x.totals, func(_ string, bytes uint64) bool { return bytes == 0 })
	x.clients = make(map[string]listing)
	for _, series := range families["client_info"].GetMetric() {
		labels := labelsOf(series)
		x.clients[labels["ip"]] = listing{Name: labels["client"], Source: labels["source"], Interface: labels["interface"]}
	}
	for _, series := range families["client_status"].GetMetric() {
		ip := labelsOf(series)["ip"]
		client := x.clients[ip]
		client.Online = series.Gauge.GetValue() == 1
		x.clients[ip] = client
	}
	x.values = make(map[string]float64)
	for name, family := range families {
		if series := family.Metric[0]; len(family.Metric) == 1 && series.Gauge != nil {
			x.values[name] = series.Gauge.GetValue()
		}
	}
}

func labelsOf(series *dto.Metric) map[string]string {
	labels := make(map[string]string)
	for _, label := range series.Label {
		labels[label.GetName()] = label.GetValue()
	}
	return labels
}
