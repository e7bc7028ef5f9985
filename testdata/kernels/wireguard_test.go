package kernels

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/wireguard"
	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// tunnels is a script that has two peers, peer0 and peer1, behind the router's wg0.
const tunnels = `
	wan
	ip link add wg0 type wireguard
	wg genkey >/run/router.key
	wg set wg0 private-key /run/router.key listen-port 51820
	ip link set wg0 mtu 1420
	lan wg0 9
	for i in 0 1; do
		name=peer$i
		host $name
		# The way over which the tunnel goes is no LAN.
		ip link add way$i type veth peer name eth0 netns $name
		ip addr add 198.51.100.$((4 * i + 1))/30 dev way$i
		ip link set way$i up
		ip -n $name addr add 198.51.100.$((4 * i + 2))/30 dev eth0
		ip -n $name link set eth0 up
		ip -n $name link add wg0 type wireguard
		wg genkey >/run/$name.key
		ip netns exec $name wg set wg0 private-key /run/$name.key \
			peer "$(wg pubkey </run/router.key)" endpoint 198.51.100.$((4 * i + 1)):51820 allowed-ips 0.0.0.0/0,::/0
		ip -n $name link set wg0 mtu 1420 up
		ip -n $name addr add 192.168.9.10$i/32 dev wg0
		ip -n $name addr add fd00:9::10$i/128 dev wg0
		ip -n $name route add default dev wg0
		ip -n $name -6 route add default dev wg0
		wg set wg0 peer "$(wg pubkey </run/$name.key)" allowed-ips 192.168.9.10$i/32,fd00:9::10$i/128
	done
`

// connected is a script after tunnels that adds what is no client, and waits until
// both peers have shaken hands: each says a word to the router, and nothing that the
// router would forward.
const connected = `
	ip link add br-lan type bridge
	wg set wg0 peer "$(wg pubkey </run/peer0.key)" allowed-ips 192.168.9.100/32,fd00:9::100/128,10.7.0.0/16
	wg set wg0 peer "$(wg genkey | wg pubkey)" allowed-ips 192.168.9.102/32 # is never there
	for i in 0 1; do
		ip netns exec peer$i bash -c "echo hello >/dev/udp/192.168.9.1/9"
	done
	until [ "$(wg show wg0 latest-handshakes | grep -c '[0-9]\{9\}$')" = 2 ]; do sleep 0.05; done
`

var (
	peer0 = client("peer0", 9)
	peer1 = host("peer1", "192.168.9.101", "fd00:9::101")
)

// wireGuard has two peers reach the Internet and each other through the router.
func wireGuard(t *testing.T) {
	build(t, tunnels)
	counts(t, pairs{{peer0, server}, {peer1, server}, {peer0, peer1}, {peer1, peer0}}, "wg0")
}

// wireGuardPeers asks for the peers of a WireGuard device: those that have just
// spoken, and one that never has.
func wireGuardPeers(t *testing.T) {
	build(t, tunnels+connected)
	got, err := wireguard.Read([]string{"br-lan", "wg0"})
	if err != nil {
		t.Fatal(err)
	}
	// Between now and the handshakes there was but the end of the script.
	const recent = time.Minute
	for i, p := range got {
		if p.Handshake >= 0 && p.Handshake < recent {
			got[i].Handshake = recent
		}
	}
	want := []state.Peer{
		{Addr: peer0.IPv4, Interface: "wg0", Handshake: recent},
		{Addr: peer1.IPv4, Interface: "wg0", Handshake: recent},
		{Addr: netip.MustParseAddr("192.168.9.102"), Interface: "wg0", Handshake: -1},
		{Addr: peer0.IPv6, Interface: "wg0", Handshake: recent},
		{Addr: peer1.IPv6, Interface: "wg0", Handshake: recent},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}
}

// wireGuardPresence has peers that are connected be clients with names, online before
// they send anything that is forwarded and while they are idle, until their handshakes
// are older than a session can be; from then on whoever sends is.
func wireGuardPresence(t *testing.T) {
	// Only root of the machine's own user namespace may set the clock; where there are
	// no others to be had, root does without.
	const limit = "/proc/sys/user/max_user_namespaces"
	before, err := os.ReadFile(limit)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, limit, "0")
	t.Cleanup(func() { writeFile(t, limit, string(before)) })

	lab.Namespace(t, func(t *testing.T) {
		build(t, tunnels+connected)
		hosts := filepath.Join(t.TempDir(), "hosts")
		writeFile(t, hosts, "192.168.9.100 phone\nfd00:9::100 phone\n192.168.9.101 tablet\nfd00:9::101 tablet\n")
		x := newExporter(t, "wg0")
		x.flags = append(x.flags, "--hosts="+hosts, "--online-window=1s")
		const window = time.Second

		x.run(t)
		x.lists(t, "connected, nothing sent yet", true, true)
		x.counts(t, pairs{{peer0, server}, {peer1, server}, {peer0, peer1}})
		x.lists(t, "active", true, true)
		time.Sleep(2 * window)
		x.run(t)
		x.lists(t, "idle", true, true)

		// To the program this is three minutes of silence: the kernel keeps handshakes
		// by this clock, and how old they are is the difference to the very same clock.
		// Its boot clock, by which --online-window goes, has really passed the window.
		// What it cannot show is that a peer without anything to say shakes no hands
		// meanwhile: WireGuard's timers do not see the step, so that the sessions still
		// work. In the field a step of this clock makes idle peers offline until their
		// next handshake.
		const session = 180 * time.Second
		stepClock(t, session+20*time.Second)
		defer stepClock(t, -session-20*time.Second)
		x.run(t)
		x.lists(t, "handshakes older than a session", false, false)
		for _, network := range []string{"udp4", "udp6"} {
			lab.UDP(t, network, peer0, server).Send(t, 1, 100)
		}
		x.run(t)
		x.lists(t, "one is active without a new handshake", true, false)
	})
}

// lists checks that the two peers, and nobody else, are clients: peer0 and peer1
// online or not.
func (x *exporter) lists(t *testing.T, when string, online0, online1 bool) {
	t.Helper()
	phone := listing{Name: "phone", Source: "hosts", Interface: "wg0", Online: online0}
	tablet := listing{Name: "tablet", Source: "hosts", Interface: "wg0", Online: online1}
	want := map[string]listing{
		peer0.IPv4.String(): phone, peer0.IPv6.String(): phone,
		peer1.IPv4.String(): tablet, peer1.IPv6.String(): tablet,
	}
	if diff := cmp.Diff(want, x.clients); diff != "" {
		t.Errorf("%s: clients (-want +got):\n%s", when, diff)
	}
}

// stepClock sets the wall clock of the machine forward, or back.
func stepClock(t *testing.T, by time.Duration) {
	t.Helper()
	now := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	if err := unix.Settimeofday(&now); err != nil {
		t.Errorf("step the clock by %v: %v", by, err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
