package kernels

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"network-metrics-exporter/sources/wireguard"
	"network-metrics-exporter/state"
)

// wireGuardPeers asks for the peers of a WireGuard device: one that has just spoken,
// and one that never has.
func wireGuardPeers(t *testing.T) {
	build(t, `
		ip link set lo up
		ip link add wg0 type wireguard
		wg genkey >/run/router.key
		wg set wg0 private-key /run/router.key listen-port 51820
		ip addr add 192.168.9.1/24 dev wg0
		ip link set wg0 up
		host peer
		ip link add way type veth peer name eth0 netns peer
		ip addr add 198.51.100.1/30 dev way
		ip link set way up
		ip -n peer addr add 198.51.100.2/30 dev eth0
		ip -n peer link set eth0 up
		ip -n peer link add wg0 type wireguard
		wg genkey >/run/peer.key
		ip netns exec peer wg set wg0 private-key /run/peer.key \
			peer "$(wg pubkey </run/router.key)" endpoint 198.51.100.1:51820 allowed-ips 0.0.0.0/0,::/0
		ip -n peer link set wg0 up
		ip -n peer addr add 192.168.9.100/32 dev wg0
		ip -n peer route add default dev wg0
		wg set wg0 peer "$(wg pubkey </run/peer.key)" allowed-ips 192.168.9.100/32,fd00:9::100/128,10.7.0.0/16
		wg set wg0 peer "$(wg genkey | wg pubkey)" allowed-ips 192.168.9.101/32
		ip link add br-lan type bridge
		ip netns exec peer bash -c "echo hello >/dev/udp/192.168.9.1/9"
		until wg show wg0 latest-handshakes | grep -q '[0-9]\{9\}$'; do sleep 0.05; done`)
	got, err := wireguard.Read([]string{"br-lan", "wg0"})
	if err != nil {
		t.Fatal(err)
	}
	// Between now and the handshake there was but the end of the script.
	const recent = time.Minute
	for i, p := range got {
		if p.Handshake >= 0 && p.Handshake < recent {
			got[i].Handshake = recent
		}
	}
	want := []state.Peer{
		{Addr: netip.MustParseAddr("192.168.9.100"), Interface: "wg0", Handshake: recent},
		{Addr: netip.MustParseAddr("192.168.9.101"), Interface: "wg0", Handshake: -1},
		{Addr: netip.MustParseAddr("fd00:9::100"), Interface: "wg0", Handshake: recent},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}
}
