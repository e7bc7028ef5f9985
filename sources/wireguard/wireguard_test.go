package wireguard

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// equal has cmp compare addresses as == does.
var equal = cmpopts.EquateComparable(netip.Addr{})

// now is when the tests read.
var now = time.Date(2026, time.November, 28, 1, 0, 0, 0, time.UTC)

// peer is a peer whose latest handshake was some time ago; a negative one will be.
func peer(handshake time.Duration, allowed ...string) wgtypes.Peer {
	p := wgtypes.Peer{LastHandshakeTime: now.Add(-handshake)}
	for _, text := range allowed {
		_, network, err := net.ParseCIDR(text)
		if err != nil {
			panic(err)
		}
		p.AllowedIPs = append(p.AllowedIPs, *network)
	}
	return p
}

func TestReadPeers(t *testing.T) {
	never := peer(0, "10.0.0.4/32")
	never.LastHandshakeTime = time.Time{}
	damaged := wgtypes.Peer{AllowedIPs: []net.IPNet{{IP: net.IP{10, 0, 0}, Mask: net.CIDRMask(32, 32)}, {IP: net.IP{10, 0, 0, 9}, Mask: net.IPMask{255, 0, 255, 0}}, {}}}
	devices := map[string]wgtypes.Device{
		"wg0": {Peers: []wgtypes.Peer{
			peer(122*time.Second, "10.0.0.3/32", "fd00::3/128", "192.168.5.0/24"),
			peer(3*time.Second, "10.0.0.2/32"),
			never,
			peer(-time.Hour, "10.0.0.5/32"), // before the clock was set back
			peer(0, "0.0.0.0/0", "::/0"),
			peer(time.Second, "::ffff:10.0.0.6/128"),
			damaged,
		}},
		"wg1": {Peers: []wgtypes.Peer{peer(time.Second, "10.0.0.2/32", "10.0.1.2/32")}},
		"wg2": {},
	}
	failing := map[string]error{"tun0": fs.ErrNotExist, "tun1": &fs.PathError{Op: "open", Path: "/var/run/wireguard", Err: unix.EACCES}, "wg3": unix.EPERM}
	r := reader{
		device: func(name string) (*wgtypes.Device, error) {
			d := devices[name]
			return &d, failing[name]
		},
		now: func() time.Time { return now },
	}
	got, err := r.read([]string{"tun0", "wg1", "wg3", "wg0", "tun1", "wg2"})
	want := []state.Peer{
		{Addr: netip.MustParseAddr("10.0.0.2"), Interface: "wg1", Handshake: time.Second},
		{Addr: netip.MustParseAddr("10.0.0.2"), Interface: "wg0", Handshake: 3 * time.Second},
		{Addr: netip.MustParseAddr("10.0.0.3"), Interface: "wg0", Handshake: 122 * time.Second},
		{Addr: netip.MustParseAddr("10.0.0.4"), Interface: "wg0", Handshake: -1},
		{Addr: netip.MustParseAddr("10.0.0.5"), Interface: "wg0", Handshake: -1},
		{Addr: netip.MustParseAddr("10.0.0.6"), Interface: "wg0", Handshake: time.Second},
		{Addr: netip.MustParseAddr("10.0.1.2"), Interface: "wg1", Handshake: time.Second},
		{Addr: netip.MustParseAddr("fd00::3"), Interface: "wg0", Handshake: 122 * time.Second},
	}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}
	if wantErr := `read WireGuard device "wg3": operation not permitted`; err == nil || err.Error() != wantErr || !errors.Is(err, unix.EPERM) {
		t.Errorf("got error %v, want %s", err, wantErr)
	}
}

// TestReadOthers has interfaces that are none of WireGuard's, on any kernel: they
// need no capability.
func TestReadOthers(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		lab.Command(t, "ip", "link", "add", "br-lan", "type", "bridge")
		lab.Command(t, "ip", "tuntap", "add", "tun0", "mode", "tun")
		interfaces := []string{"br-lan", "lo", "tun0", "none", "", "a-name-that-is-too-long"}
		without, err := withoutHardware(interfaces)
		if diff := cmp.Diff([]string{"tun0"}, without); diff != "" || err != nil {
			t.Errorf("error %v, interfaces without hardware addresses (-want +got):\n%s", err, diff)
		}
		if peers, err := Read(interfaces); len(peers) > 0 || err != nil {
			t.Errorf("got %v, %v", peers, err)
		}
	})
}

func BenchmarkReadNone(b *testing.B) {
	for b.Loop() {
		if peers, err := Read([]string{"lo"}); len(peers) > 0 || err != nil {
			b.Fatal(peers, err)
		}
	}
}
