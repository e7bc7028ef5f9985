package neighbor

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/testdata/lab"
)

func TestLinks(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		lab.Command(t, "sh", "-c", `
			ip link add br-lan up type bridge
			ip link add lan1 up master br-lan type veth peer name far1
			ip link add wan up type veth peer name far2
			ip link set far2 up
			ip addr add 203.0.113.1/24 dev wan
			ip route add default via 203.0.113.2 dev wan
			ip route add default dev br-lan table 7`)
		want := []Link{
			{Name: "br-lan", Kind: "bridge", Up: true},
			{Name: "far1", Kind: "veth"},
			{Name: "far2", Kind: "veth", Up: true},
			{Name: "lan1", Kind: "veth", Up: true, Master: "br-lan"},
			{Name: "lo", Up: true},
			{Name: "wan", Kind: "veth", Up: true, Uplink: true},
		}
		check := func(lan ...string) {
			t.Helper()
			// The machine's kernel may put tunnels into every namespace.
			got, err := Links(lan)
			got = slices.DeleteFunc(got, func(l Link) bool {
				return !slices.ContainsFunc(want, func(w Link) bool { return w.Name == l.Name })
			})
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("of %q: %v (-want +got):\n%s", lan, err, diff)
			}
		}
		check("br-lan", "wan")
		want[5].Uplink = false
		check("br-lan") // it is only told of the LAN's
		lab.Command(t, "ip", "route", "del", "default")
		check("br-lan", "wan")
		lab.Command(t, "ip", "-6", "route", "add", "default", "dev", "br-lan")
		want[0].Uplink = true
		check("br-lan", "wan")
	})
}

// The kernel that tests run on may have no VLANs.
func TestParseVLAN(t *testing.T) {
	body := header(0, 0, uint16(1), uint32(7), uint32(unix.IFF_UP), uint32(0))
	for _, a := range [][]byte{
		attr(unix.IFLA_IFNAME, []byte("br-lan.10\x00")), attr(unix.IFLA_LINK, header(uint32(3))), attr(unix.IFLA_MASTER, header(uint32(4))),
		attr(unix.IFLA_LINKINFO, attr(unix.IFLA_INFO_KIND, []byte("vlan\x00"))),
	} {
		body = append(body, a...)
	}
	got, err := parseLink(body)
	want := link{index: 7, name: "br-lan.10", kind: "vlan", up: true, lower: 3, master: 4}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
