package neighbor

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/sources/netlink/netlinktest"
	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// equal has cmp compare addresses as == does.
var equal = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// attr encodes an attribute.
var attr = netlinktest.Attribute

// ip gives the 4 octets of an IPv4 address, or the 16 of an IPv6 address.
func ip(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

func own(name, addr, network string) state.InterfaceAddr {
	return state.InterfaceAddr{Interface: name, Addr: netip.MustParseAddr(addr), Network: netip.MustParsePrefix(network)}
}

// header is a struct that messages begin with: bytes, and numbers of 16 and 32 bits.
func header(fields ...any) (b []byte) {
	for _, f := range fields {
		switch f := f.(type) {
		case int:
			b = append(b, byte(f))
		case uint16:
			b = binary.NativeEndian.AppendUint16(b, f)
		case uint32:
			b = binary.NativeEndian.AppendUint32(b, f)
		}
	}
	return b
}

// The interface that messages are about, and what they are about it.
const index = 7

func addrMessage(family, length int, attrs ...[]byte) []byte {
	return slices.Concat(header(family, length, 0, 0, uint32(index)), slices.Concat(attrs...))
}

func TestParseAddr(t *testing.T) {
	const v4, v6 = unix.AF_INET, unix.AF_INET6
	address := func(a string) []byte { return attr(unix.IFA_ADDRESS, ip(a)) }
	local := func(a string) []byte { return attr(unix.IFA_LOCAL, ip(a)) }
	broadcast, label := attr(unix.IFA_BROADCAST, ip("192.168.10.255")), attr(unix.IFA_LABEL, []byte("br-lan:1\x00"))
	tests := []struct {
		name    string
		message []byte
		want    state.InterfaceAddr // without a network: none
		err     string
	}{
		{name: "IPv4", message: addrMessage(v4, 24, address("192.168.10.1"), local("192.168.10.1")), want: own("", "192.168.10.1", "192.168.10.0/24")},
		{
			name:    "IPv4 with broadcast",
			message: addrMessage(v4, 24, address("192.168.10.1"), local("192.168.10.1"), broadcast, label),
			want:    own("", "192.168.10.1", "192.168.10.0/24"),
		},
		{name: "IPv4 point to point", message: addrMessage(v4, 32, address("198.51.100.9"), local("192.0.2.1")), want: own("", "192.0.2.1", "198.51.100.9/32")},
		{name: "IPv4 with a network at the peer", message: addrMessage(v4, 16, address("10.9.8.7"), local("10.0.0.2")), want: own("", "10.0.0.2", "10.9.0.0/16")},
		{name: "IPv4 without peer", message: addrMessage(v4, 32, local("10.0.0.1")), want: own("", "10.0.0.1", "10.0.0.1/32")},
		{name: "IPv6", message: addrMessage(v6, 64, address("fd00:10::1")), want: own("", "fd00:10::1", "fd00:10::/64")},
		{name: "IPv6 point to point", message: addrMessage(v6, 64, address("fd01::1"), local("fd00::1")), want: own("", "fd00::1", "fd01::/64")},
		{name: "IPv4 as IPv6", message: addrMessage(v6, 32, address("::ffff:192.168.10.1")), want: own("", "192.168.10.1", "192.168.10.1/32")},
		{name: "everything", message: addrMessage(v4, 0, address("192.168.10.1"), local("192.168.10.1")), want: own("", "192.168.10.1", "0.0.0.0/0")},
		{name: "no attributes", message: addrMessage(v4, 24)},
		{name: "no address", message: addrMessage(v4, 24, broadcast)},
		{name: "another family", message: addrMessage(unix.AF_PHONET, 0, attr(unix.IFA_LOCAL, []byte{1}))},
		{name: "prefix too long", message: addrMessage(v4, 33, address("192.168.10.1")), want: state.InterfaceAddr{Addr: netip.MustParseAddr("192.168.10.1")}},
		{name: "odd address", message: addrMessage(v4, 24, attr(unix.IFA_ADDRESS, []byte{192, 168, 10})), err: "address of 3 bytes"},
		{name: "cut short", message: make([]byte, 7), err: "truncated message"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			gotIndex, got, err := parseAddr(tt.message)
			if message(err) != tt.err {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if diff := gocmp.Diff(tt.want, got, equal); err == nil && diff != "" {
				t.Errorf("address (-want +got):\n%s", diff)
			}
			if err == nil && gotIndex != index {
				t.Errorf("interface %d, want %d", gotIndex, index)
			}
		})
	}
}

func neighborMessage(family int, state uint16, attrs ...[]byte) []byte {
	return slices.Concat(header(family, 0, uint16(0), uint32(index), state, 0, 0), slices.Concat(attrs...))
}

func TestParseNeighbor(t *testing.T) {
	const v4, v6, stale = unix.AF_INET, unix.AF_INET6, unix.NUD_STALE
	mac := []byte{2, 0, 0x5e, 0x10, 0, 1}
	dst, dst6, lladdr := attr(unix.NDA_DST, ip("192.168.10.101")), attr(unix.NDA_DST, ip("fd00:10::101")), attr(unix.NDA_LLADDR, mac)
	times := func(confirmed uint32) []byte {
		return attr(unix.NDA_CACHEINFO, header(confirmed, uint32(1), uint32(2), uint32(3)))
	}
	phone := state.NeighborEntry{
		Addr:      netip.MustParseAddr("192.168.10.101"),
		MAC:       state.MAC(mac),
		State:     state.Stale,
		Confirmed: 75*time.Second + 30*time.Millisecond,
	}
	with := func(change func(*state.NeighborEntry)) state.NeighborEntry {
		e := phone
		change(&e)
		return e
	}
	noMAC := with(func(e *state.NeighborEntry) { e.MAC = state.MAC{} })
	tests := []struct {
		name    string
		message []byte
		want    state.NeighborEntry // without an address: none
		err     string
	}{
		{name: "IPv4", message: neighborMessage(v4, stale, dst, lladdr, times(7503)), want: phone},
		{
			name:    "IPv6",
			message: neighborMessage(v6, stale, dst6, lladdr, attr(unix.NDA_PROBES, make([]byte, 4)), times(7503)),
			want:    with(func(e *state.NeighborEntry) { e.Addr = netip.MustParseAddr("fd00:10::101") }),
		},
		{
			name:    "several states",
			message: neighborMessage(v4, unix.NUD_PERMANENT|unix.NUD_NOARP, dst, lladdr, times(7503)),
			want:    with(func(e *state.NeighborEntry) { e.State = state.Permanent | state.NoARP }),
		},
		{
			name:    "peer of WireGuard",
			message: neighborMessage(v6, unix.NUD_NOARP, dst6, attr(unix.NDA_LLADDR, []byte{8}), times(7503)),
			want: with(func(e *state.NeighborEntry) {
				e.Addr, e.MAC, e.State = netip.MustParseAddr("fd00:10::101"), state.MAC{}, state.NoARP
			}),
		},
		{name: "no MAC", message: neighborMessage(v4, stale, dst, times(7503)), want: noMAC},
		{name: "InfiniBand", message: neighborMessage(v4, stale, dst, attr(unix.NDA_LLADDR, make([]byte, 20)), times(7503)), want: noMAC},
		{name: "EUI-64", message: neighborMessage(v4, stale, dst, attr(unix.NDA_LLADDR, mac, []byte{1, 2}), times(7503)), want: noMAC},
		{
			name:    "never confirmed",
			message: neighborMessage(v4, stale, dst, lladdr, times(1<<32-1)),
			want:    with(func(e *state.NeighborEntry) { e.Confirmed = (1<<32 - 1) * 10 * time.Millisecond }),
		},
		{name: "no times", message: neighborMessage(v4, stale, dst, lladdr), want: with(func(e *state.NeighborEntry) { e.Confirmed = 0 })},
		{name: "bridge's forwarding table", message: neighborMessage(unix.AF_BRIDGE, stale, lladdr, times(7503))},
		{name: "VXLAN's forwarding table", message: neighborMessage(unix.AF_BRIDGE, stale, dst, lladdr, times(7503))},
		{name: "no attributes", message: neighborMessage(v4, stale), want: state.NeighborEntry{State: state.Stale}},
		{
			name:    "no address",
			message: neighborMessage(v4, stale, lladdr, times(7503)),
			want:    with(func(e *state.NeighborEntry) { e.Addr = netip.Addr{} }),
		},
		{name: "odd address", message: neighborMessage(v4, stale, attr(unix.NDA_DST, []byte{192, 168, 10})), err: "address of 3 bytes"},
		{name: "odd times", message: neighborMessage(v4, stale, dst, attr(unix.NDA_CACHEINFO, []byte{1})), err: "truncated message"},
		{name: "cut short", message: make([]byte, 11), err: "truncated message"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			gotIndex, got, err := parseNeighbor(tt.message)
			if message(err) != tt.err {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if diff := gocmp.Diff(tt.want, got, equal); err == nil && diff != "" {
				t.Errorf("entry (-want +got):\n%s", diff)
			}
			if err == nil && gotIndex != index {
				t.Errorf("interface %d, want %d", gotIndex, index)
			}
		})
	}
}

func routeMessage(family, length, protocol, kind int, flags uint32, attrs ...[]byte) []byte {
	return slices.Concat(header(family, length, 0, 0, unix.RT_TABLE_MAIN, protocol, 0, kind, flags), slices.Concat(attrs...))
}

func TestParseRoute(t *testing.T) {
	const (
		v4, v6  = unix.AF_INET, unix.AF_INET6
		static  = unix.RTPROT_STATIC
		unicast = unix.RTN_UNICAST
	)
	var (
		network = attr(unix.RTA_DST, ip("10.8.0.0"))
		output  = attr(unix.RTA_OIF, header(uint32(index)))
		gateway = attr(unix.RTA_GATEWAY, ip("10.8.0.2"))
	)
	tests := []struct {
		name         string
		message      []byte
		behind       bool // on an interface with several hosts
		behindP2P    bool // on a point-to-point interface
		network, err string
	}{
		{name: "on the link", message: routeMessage(v4, 24, static, unicast, 0, network, output), network: "10.8.0.0/24", behind: true, behindP2P: true},
		{
			name:    "IPv6",
			message: routeMessage(v6, 64, unix.RTPROT_BOOT, unicast, 0, attr(unix.RTA_DST, ip("fd00:8::")), output),
			network: "fd00:8::/64", behind: true, behindP2P: true,
		},
		{
			name:    "of a single host",
			message: routeMessage(v6, 128, static, unicast, 0, attr(unix.RTA_DST, ip("fd00:8::1")), output),
			network: "fd00:8::1/128", behind: true, behindP2P: true,
		},
		{name: "by way of a gateway", message: routeMessage(v4, 24, static, unicast, 0, network, output, gateway), network: "10.8.0.0/24", behindP2P: true},
		{
			name:    "by way of a gateway of the other family",
			message: routeMessage(v4, 24, static, unicast, 0, network, output, attr(unix.RTA_VIA, make([]byte, 18))),
			network: "10.8.0.0/24", behindP2P: true,
		},
		{name: "of an address", message: routeMessage(v4, 24, unix.RTPROT_KERNEL, unicast, 0, network, output), network: "10.8.0.0/24"},
		{name: "default", message: routeMessage(v4, 0, static, unicast, 0, output)},
		{name: "half of the default", message: routeMessage(v4, 1, static, unicast, 0, attr(unix.RTA_DST, ip("128.0.0.0")), output), network: "128.0.0.0/1"},
		{name: "all of IPv6's unicast", message: routeMessage(v6, 3, static, unicast, 0, attr(unix.RTA_DST, ip("2000::")), output), network: "2000::/3"},
		{name: "unreachable", message: routeMessage(v4, 24, static, unix.RTN_UNREACHABLE, 0, network, output), network: "10.8.0.0/24"},
		{name: "cached", message: routeMessage(v4, 24, static, unicast, unix.RTM_F_CLONED, network, output), network: "10.8.0.0/24"},
		{name: "of another interface", message: routeMessage(v4, 24, static, unicast, 0, network, attr(unix.RTA_OIF, header(uint32(8)))), network: "10.8.0.0/24"},
		{name: "of several interfaces", message: routeMessage(v4, 24, static, unicast, 0, network, attr(unix.RTA_MULTIPATH, make([]byte, 8))), network: "10.8.0.0/24"},
		{name: "prefix too long", message: routeMessage(v4, 33, static, unicast, 0, network, output)},
		{name: "odd address", message: routeMessage(v4, 24, static, unicast, 0, attr(unix.RTA_DST, []byte{1}), output), err: "address of 1 bytes"},
		{name: "odd interface", message: routeMessage(v4, 24, static, unicast, 0, network, attr(unix.RTA_OIF, []byte{7, 0})), err: "attribute of 2 bytes, want 4"},
		{name: "cut short", message: make([]byte, 11), err: "truncated message"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := parseRoute(tt.message)
			if message(err) != tt.err {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if err != nil {
				return
			}
			network := ""
			if r.network.IsValid() {
				network = r.network.String()
			}
			if network != tt.network {
				t.Errorf("network %s, want %s", network, tt.network)
			}
			for pointToPoint, want := range map[bool]bool{false: tt.behind, true: tt.behindP2P} {
				if got := r.isNetworkBehind(link{index: index, pointToPoint: pointToPoint}); got != want {
					t.Errorf("network behind an interface, point-to-point %t: %t, want %t", pointToPoint, got, want)
				}
			}
		})
	}
}

// Never a panic; where the library accepts an entry as well, they agree.
func FuzzParse(f *testing.F) {
	f.Add(neighborMessage(unix.AF_INET, unix.NUD_STALE, attr(unix.NDA_DST, ip("192.168.10.101")), attr(unix.NDA_LLADDR, []byte{2, 0, 0, 0, 0, 1})))
	f.Add(addrMessage(unix.AF_INET6, 64, attr(unix.IFA_ADDRESS, ip("fd00:10::1"))))
	f.Add(routeMessage(unix.AF_INET, 24, 4, unix.RTN_UNICAST, 0, attr(unix.RTA_DST, ip("10.8.0.0"))))
	f.Add(slices.Concat(header(0, 0, uint16(1), uint32(index), uint32(unix.IFF_POINTOPOINT), uint32(0)), attr(unix.IFLA_IFNAME, []byte("wg0\x00"))))
	f.Fuzz(func(t *testing.T, body []byte) {
		parseLink(body)
		parseAddr(body)
		parseRoute(body)
		gotIndex, got, err := parseNeighbor(body)
		var want rtnetlink.NeighMessage
		if err != nil || !got.Addr.IsValid() || want.UnmarshalBinary(body) != nil || hasOddIndex(body) {
			return
		}
		wantAddr, _ := netip.AddrFromSlice(want.Attributes.Address)
		if gotIndex != want.Index || got.Addr != wantAddr.Unmap() || got.State != state.NUD(want.State) {
			t.Errorf("entry %d %+v, library: %+v", gotIndex, got, want)
		}
	})
}

// hasOddIndex reports whether NDA_IFINDEX has another length than 4: there the library
// passes over all further attributes, and says nothing.
func hasOddIndex(body []byte) (odd bool) {
	var err error
	for typ, value := range netlink.Attributes(body[unix.SizeofNdMsg:], &err) {
		odd = odd || typ == unix.NDA_IFINDEX && len(value.Bytes) != 4
	}
	return odd
}

// slack is more time than may pass between the making of an entry and its
// reading: a test in namespaces has but a minute.
const slack = time.Minute

// batch runs lines of ip(8).
func batch(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		lab.Command(t, "ip", strings.Fields(line)...)
	}
}

// bridge makes a bridge that is up and has no address and no entry but those
// that a test adds. What waits for an answer there waits for an hour.
func bridge(t *testing.T, name string) {
	t.Helper()
	batch(t, "link add "+name+" type bridge mcast_snooping 0", "link set "+name+" addrgenmode none", "link set "+name+" up")
	for _, family := range []string{"ipv4", "ipv6"} {
		sysctl(t, family, name, "retrans_time_ms", time.Hour.Milliseconds())
		sysctl(t, family, name, "delay_first_probe_time", int64(time.Hour.Seconds()))
	}
}

// sysctl sets a parameter of the neighbour table of an interface.
func sysctl(t *testing.T, family, name, parameter string, value int64) {
	t.Helper()
	path := fmt.Sprintf("/proc/sys/net/%s/neigh/%s/%s", family, name, parameter)
	if err := os.WriteFile(path, fmt.Append(nil, value), 0); err != nil {
		t.Fatal(err)
	}
}

// mustRead asks the kernel.
func mustRead(t *testing.T, interfaces ...string) *state.LAN {
	t.Helper()
	lan, err := Read(interfaces, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(lan.Neighbors, func(a, b state.NeighborEntry) int { return a.Addr.Compare(b.Addr) }) {
		t.Errorf("entries out of order: %v", lan.Neighbors)
	}
	return tidy(lan)
}

// tidy sorts the addresses and what is of one address, and leaves out entries of
// multicast addresses, which the kernel makes when it pleases.
func tidy(lan *state.LAN) *state.LAN {
	lan.Neighbors = slices.DeleteFunc(lan.Neighbors, func(e state.NeighborEntry) bool { return e.Addr.IsMulticast() })
	slices.SortFunc(lan.Neighbors, func(a, b state.NeighborEntry) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Interface, b.Interface))
	})
	slices.SortFunc(lan.Addrs, func(a, b state.InterfaceAddr) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.Addr.Compare(b.Addr), cmp.Compare(a.Network.Bits(), b.Network.Bits()))
	})
	return lan
}

func TestReadAddresses(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		bridge(t, "br-lan")
		bridge(t, "wan")
		batch(t,
			"addr add 192.168.10.1/24 broadcast 192.168.10.255 dev br-lan label br-lan:1",
			"addr add 192.168.10.2/24 dev br-lan", // secondary
			"addr add 192.168.10.3/25 dev br-lan", // of a network within
			"addr add 192.168.10.1/16 dev br-lan", // the first, with another network
			"addr add fd00:10::1/64 dev br-lan nodad",
			"addr add 2001:db8:10::1/128 dev br-lan nodad",
			"addr add fe80::1/64 dev br-lan nodad",
			"addr add 10.0.0.1 peer 0.0.0.0 dev wan",
			"addr add 10.0.0.2 peer 10.9.8.7 dev wan",
			"addr add 10.0.0.3 peer 10.9.8.7/16 dev wan",
			"addr add fd01::1 peer fd02::1/64 dev wan nodad",
		)
		want := []state.InterfaceAddr{
			own("br-lan", "192.168.10.1", "192.168.0.0/16"),
			own("br-lan", "192.168.10.1", "192.168.10.0/24"),
			own("br-lan", "192.168.10.2", "192.168.10.0/24"),
			own("br-lan", "192.168.10.3", "192.168.10.0/25"),
			own("br-lan", "2001:db8:10::1", "2001:db8:10::1/128"),
			own("br-lan", "fd00:10::1", "fd00:10::/64"),
			own("br-lan", "fe80::1", "fe80::/64"),
			own("lo", "127.0.0.1", "127.0.0.0/8"),
			own("lo", "::1", "::1/128"),
			own("wan", "10.0.0.1", "10.0.0.1/32"),
			own("wan", "10.0.0.2", "10.9.8.7/32"),
			own("wan", "10.0.0.3", "10.9.0.0/16"),
			own("wan", "fd01::1", "fd02::/64"),
		}
		got := mustRead(t, "br-lan").Addrs
		if diff := gocmp.Diff(want, got, equal); diff != "" {
			t.Errorf("addresses (-want +got):\n%s", diff)
		}
	})
}

func TestReadStates(t *testing.T) {
	t.Parallel()
	const (
		base = 10 * time.Minute // base_reachable_time: REACHABLE lasts half of it at least
		born = 2 * base         // what an entry has at birth
	)
	tests := []struct {
		addr, nud string
		noMAC     bool
		state     state.NUD
		confirmed time.Duration // at least, and at most slack more
	}{
		{addr: "192.168.10.11", nud: "permanent", state: state.Permanent},
		{addr: "192.168.10.12", nud: "reachable", state: state.Reachable},
		{addr: "192.168.10.13", nud: "stale", state: state.Stale, confirmed: born},
		{addr: "192.168.10.14", nud: "probe", state: state.Probing, confirmed: born},
		{addr: "192.168.10.15", nud: "failed", noMAC: true, state: state.Failed, confirmed: born},
		{addr: "192.168.10.16", nud: "incomplete", noMAC: true, state: state.Incomplete, confirmed: born},
		{addr: "192.168.10.17", nud: "noarp", state: state.NoARP},
		{addr: "192.168.10.18", nud: "none", noMAC: true, confirmed: born},
		{addr: "192.168.10.19", nud: "stale", state: state.Delay, confirmed: born}, // a packet is sent to it below
		{addr: "fd00:10::11", nud: "permanent", state: state.Permanent},
		{addr: "fd00:10::12", nud: "reachable", state: state.Reachable},
		{addr: "fd00:10::13", nud: "stale", state: state.Stale, confirmed: born},
		{addr: "fd00:10::15", nud: "failed", noMAC: true, state: state.Failed, confirmed: born},
		{addr: "fd00:10::16", nud: "incomplete", noMAC: true, state: state.Incomplete, confirmed: born},
		{addr: "fd00:10::19", nud: "stale", state: state.Delay, confirmed: born},
		{addr: "fe80::13", nud: "stale", state: state.Stale, confirmed: born},
	}
	lab.Namespace(t, func(t *testing.T) {
		for _, name := range []string{"br-lan", "wan"} {
			bridge(t, name)
			for _, family := range []string{"ipv4", "ipv6"} {
				sysctl(t, family, name, "base_reachable_time_ms", base.Milliseconds())
			}
		}
		batch(t, "addr add 192.168.10.1/24 dev br-lan", "addr add fd00:10::1/64 dev br-lan nodad",
			"neigh add 192.168.10.20 lladdr 02:00:00:00:00:20 dev wan nud permanent",
			"neigh add proxy 192.168.10.21 dev br-lan")
		var want []state.NeighborEntry
		for i, tt := range tests {
			mac := state.MAC{2, 0, 0, 0, 0, byte(i + 1)}
			batch(t, fmt.Sprintf("neigh add %s lladdr %v dev br-lan nud %s", tt.addr, mac, tt.nud))
			if tt.noMAC {
				mac = state.MAC{}
			}
			want = append(want, state.NeighborEntry{
				Addr: netip.MustParseAddr(tt.addr), MAC: mac, Interface: "br-lan", State: tt.state, Confirmed: tt.confirmed,
			})
			if tt.state == state.Delay {
				conn, err := net.Dial("udp", net.JoinHostPort(tt.addr, "9"))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := conn.Write([]byte("knock")); err != nil {
					t.Fatal(err)
				}
			}
		}
		got := mustRead(t, "br-lan").Neighbors
		confirmed := gocmp.FilterPath(func(p gocmp.Path) bool { return p.Last().String() == ".Confirmed" },
			gocmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() < slack }))
		if diff := gocmp.Diff(want, got, equal, confirmed); diff != "" {
			t.Errorf("entries, Confirmed to within %v (-want +got):\n%s", slack, diff)
		}
	})
}

// A new entry is born with twice base_reachable_time on it, as ___neigh_create
// in net/core/neighbour.c has it.
func TestReadConfirmed(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		for _, base := range []time.Duration{30 * time.Second, 1000 * time.Second} { // 30 s is the kernel's default
			name := fmt.Sprint("base-", base.Seconds())
			bridge(t, name)
			for family, addr := range map[string]string{"ipv4": "192.168.10.2", "ipv6": "fd00:10::2"} {
				sysctl(t, family, name, "base_reachable_time_ms", base.Milliseconds())
				entry := fmt.Sprintf("%s lladdr 02:00:00:00:00:02 dev %s nud ", addr, name)

				batch(t, "neigh add "+entry+"stale")
				if got := confirmed(t, name, addr); got < 2*base || got > 2*base+slack {
					t.Errorf("%s, %v: new STALE entry confirmed %v ago, want %v", name, addr, got, 2*base)
				}
				batch(t, "neigh change "+entry+"reachable")
				if got := confirmed(t, name, addr); got < 0 || got > slack {
					t.Errorf("%s, %v: REACHABLE entry confirmed %v ago, want less than %v", name, addr, got, slack)
				}
				batch(t, "neigh change "+entry+"stale")
				if got := confirmed(t, name, addr); got < 0 || got > slack {
					t.Errorf("%s, %v: entry that became STALE confirmed %v ago, want less than %v", name, addr, got, slack)
				}
			}
		}
	})
}

// confirmed gives Confirmed of the interface's entry for an address.
func confirmed(t *testing.T, name, addr string) time.Duration {
	t.Helper()
	for _, e := range mustRead(t, name).Neighbors {
		if e.Addr == netip.MustParseAddr(addr) {
			return e.Confirmed
		}
	}
	t.Fatalf("no entry for %s", addr)
	return 0
}

func TestReadInterfaces(t *testing.T) {
	t.Parallel()
	const none = ": no such network interface"
	tests := []struct {
		name       string
		interfaces []string
		want       []string // those with entries
		empty      []string // those without
		err        string
	}{
		{name: "none", want: nil},
		{name: "one", interfaces: []string{"br-lan"}, want: []string{"br-lan"}},
		{name: "one twice", interfaces: []string{"br-lan", "br-lan"}, want: []string{"br-lan"}},
		{name: "two", interfaces: []string{"br-guest", "br-lan"}, want: []string{"br-guest", "br-lan"}},
		{name: "sub-interface", interfaces: []string{"br-lan.10"}, want: []string{"br-lan.10"}},
		{name: "down", interfaces: []string{"br-down", "br-lan"}, want: []string{"br-lan"}, empty: []string{"br-down"}},
		{name: "pattern", interfaces: []string{"br-*"}, want: []string{"br-guest", "br-lan", "br-lan.10"}, empty: []string{"br-down"}},
		{name: "pattern and a name of it", interfaces: []string{"br-lan*", "br-lan"}, want: []string{"br-lan", "br-lan.10"}},
		{name: "pattern that is a whole name", interfaces: []string{"wan*"}, want: []string{"wan"}},
		{name: "pattern of nothing", interfaces: []string{"ppp*", "wan"}, want: []string{"wan"}},
		{name: "asterisk within", interfaces: []string{"b*lan", "wan"}, want: []string{"wan"}, err: `find interface "b*lan"` + none},
		{name: "prefix", interfaces: []string{"br"}, err: `find interface "br"` + none},
		{name: "missing", interfaces: []string{"eth\n0", "br-lan"}, want: []string{"br-lan"}, err: `find interface "eth\n0"` + none},
		{
			name:       "several missing",
			interfaces: []string{"eth0", "br-lan", ""},
			want:       []string{"br-lan"},
			err:        `find interface "eth0"` + none + "\n" + `find interface ""` + none,
		},
	}
	lab.Namespace(t, func(t *testing.T) {
		for _, name := range []string{"br-lan", "br-guest", "wan"} {
			bridge(t, name)
		}
		// A VLAN, or where the kernel has none the like: an interface on another one.
		lab.Command(t, "sh", "-c", `ip link add link br-lan name br-lan.10 type vlan id 10 2>/dev/null ||
			ip link add link br-lan name br-lan.10 type macvlan`)
		batch(t, "link set br-lan.10 addrgenmode none", "link set br-lan.10 up", "link add br-down type bridge")
		for _, name := range []string{"br-lan", "br-guest", "br-lan.10", "wan"} {
			batch(t, "neigh add 192.168.10.2 lladdr 02:00:00:00:00:02 dev "+name+" nud permanent")
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				lan, err := Read(tt.interfaces, 0)
				if diff := gocmp.Diff(tt.err, message(err)); diff != "" {
					t.Errorf("error (-want +got):\n%s", diff)
				}
				var got []string
				for _, e := range tidy(lan).Neighbors {
					got = append(got, e.Interface)
				}
				if diff := gocmp.Diff(tt.want, got); diff != "" {
					t.Errorf("interfaces of the entries (-want +got):\n%s", diff)
				}
				exist := slices.Concat(tt.want, tt.empty)
				slices.Sort(exist)
				if diff := gocmp.Diff(exist, lan.Interfaces, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("interfaces (-want +got):\n%s", diff)
				}
				if diff := gocmp.Diff([]state.InterfaceAddr{own("lo", "127.0.0.1", "127.0.0.0/8"), own("lo", "::1", "::1/128")}, lan.Addrs, equal); diff != "" {
					t.Errorf("addresses (-want +got):\n%s", diff)
				}
			})
		}
	})
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Clients that got their addresses by DHCP, and to which packets went, have
// entries with their MACs; the server on the other side has none.
func TestReadClients(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		want := make(map[netip.Addr]state.MAC)
		for _, client := range r.Clients() {
			for network, addr := range map[string]netip.Addr{"udp4": client.IPv4, "udp6": client.IPv6} {
				flow := lab.UDP(t, network, client, r.Server)
				flow.Send(t, 1, 100)
				flow.Reply(t, 1, 100)
				want[addr] = state.MAC(client.MAC)
			}
		}
		lan := mustRead(t, "br-lan")
		got := make(map[netip.Addr]state.MAC)
		for _, e := range lan.Neighbors {
			if e.Interface != "br-lan" {
				t.Errorf("%v is on %q", e.Addr, e.Interface)
			}
			if e.State&(state.Reachable|state.Stale|state.Delay|state.Probing) == 0 {
				t.Errorf("%v is in state %#x", e.Addr, e.State)
			}
			if !e.Addr.IsLinkLocalUnicast() {
				got[e.Addr] = e.MAC
			}
		}
		if diff := gocmp.Diff(want, got, equal); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
		for _, a := range []state.InterfaceAddr{
			own("br-lan", "192.168.10.1", "192.168.10.0/24"),
			own("br-lan", "fd00:10::1", "fd00:10::/64"),
			own("wan", "203.0.113.1", "203.0.113.0/24"),
			own("wan", "2001:db8::1", "2001:db8::/64"),
		} {
			if !slices.Contains(lan.Addrs, a) {
				t.Errorf("no %v among the router's addresses %v", a, lan.Addrs)
			}
		}
	})
}

// The networks behind interfaces whose addresses do not tell.
func TestReadRoutes(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		for _, name := range []string{"br-lan", "br-host", "wan"} {
			bridge(t, name)
		}
		batch(t,
			"tuntap add dev tun0 mode tun", "link set tun0 addrgenmode none", "link set tun0 up",
			"addr add 192.168.10.1/24 dev br-lan",
			"addr add 192.168.20.1/32 dev br-host",
			"addr add 10.8.0.1 peer 10.8.0.2/32 dev tun0",
			"addr add 10.9.0.1/24 dev tun0",
			// The addresses of br-lan tell of IPv4, and none of IPv6.
			"route add 192.168.11.0/24 dev br-lan",
			"route add fd00:11::/64 dev br-lan",
			"route add fd00:12::5/128 dev br-lan",
			"route add fd00:13::/64 via fd00:11::1 dev br-lan",
			"route add 192.168.20.0/24 dev br-host",
			"route add default via 192.168.20.254 dev br-host",
			"route add 10.0.0.0/8 via 192.168.20.254 dev br-host",
			"route add 10.8.0.0/24 via 10.8.0.2 dev tun0",
			"route add 10.20.0.0/16 dev tun0 table 100",
			"route add 10.20.0.0/16 dev tun0 table 101",
			"route add 128.0.0.0/1 dev tun0",
			"route add unreachable fd00:14::/64 dev lo",
			"route add 203.0.113.0/24 dev wan",
		)
		want := []state.Route{
			{Interface: "br-host", Network: netip.MustParsePrefix("192.168.20.0/24")},
			{Interface: "br-lan", Network: netip.MustParsePrefix("fd00:11::/64")},
			{Interface: "br-lan", Network: netip.MustParsePrefix("fd00:12::5/128")},
			{Interface: "tun0", Network: netip.MustParsePrefix("10.8.0.0/24")},
			{Interface: "tun0", Network: netip.MustParsePrefix("10.20.0.0/16")},
		}
		lan := mustRead(t, "br-*", "tun0")
		if diff := gocmp.Diff(want, lan.Routes, equal); diff != "" {
			t.Errorf("routes (-want +got):\n%s", diff)
		}
		if lan := mustRead(t, "br-guest*"); lan.Routes != nil || lan.Interfaces != nil {
			t.Errorf("without LAN interfaces: %+v", lan)
		}
	})
}

// A change while the kernel lists makes all be listed again.
func TestReadTorn(t *testing.T) {
	link := slices.Concat(header(0, 0, uint16(1), uint32(index), uint32(0), uint32(0)), attr(unix.IFLA_IFNAME, []byte("br-lan\x00")))
	addr := addrMessage(unix.AF_INET, 24, attr(unix.IFA_LOCAL, ip("192.168.10.1")))
	addr6 := addrMessage(unix.AF_INET6, 64, attr(unix.IFA_ADDRESS, ip("fd00:10::1")))
	entry := neighborMessage(unix.AF_INET, unix.NUD_STALE, attr(unix.NDA_DST, ip("192.168.10.101")))
	whole := func(sequence uint32, kind uint16, bodies ...[]byte) netlinktest.Datagram {
		var b []byte
		for _, body := range bodies {
			b = append(b, netlinktest.Message(kind, unix.NLM_F_MULTI, sequence, body)...)
		}
		return netlinktest.Datagram{Bytes: append(b, netlinktest.Done(sequence)...)}
	}
	torn := func(sequence uint32) netlinktest.Datagram {
		return netlinktest.Datagram{Bytes: netlinktest.Message(unix.NLMSG_DONE, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, sequence, netlinktest.Code(0))}
	}
	first := &netlinktest.Socket{Answer: []netlinktest.Datagram{
		whole(1, unix.RTM_NEWLINK, link), whole(2, unix.RTM_NEWADDR, addr, addr, addr6), torn(3),
	}}
	second := &netlinktest.Socket{Answer: []netlinktest.Datagram{
		whole(4, unix.RTM_NEWLINK, link), whole(5, unix.RTM_NEWADDR, addr, addr6), whole(6, unix.RTM_NEWNEIGH, entry),
	}}
	conn, err := netlink.NewConn(netlinktest.Open(first, second))
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(conn, []string{"br-lan", "br-guest"}, 0)
	if want := `find interface "br-guest": no such network interface`; message(err) != want {
		t.Errorf("error %v, want %s", err, want)
	}
	want := &state.LAN{
		Interfaces: []string{"br-lan"},
		Addrs:      []state.InterfaceAddr{own("br-lan", "192.168.10.1", "192.168.10.0/24"), own("br-lan", "fd00:10::1", "fd00:10::/64")},
		Neighbors:  []state.NeighborEntry{{Addr: netip.MustParseAddr("192.168.10.101"), Interface: "br-lan", State: state.Stale}},
	}
	if diff := gocmp.Diff(want, got, equal); diff != "" {
		t.Errorf("LAN (-want +got):\n%s", diff)
	}

	// What is no message of the kernel is an error of the list that it is in.
	for want, answer := range map[string][]netlinktest.Datagram{
		"list interfaces: receive: truncated message": {whole(1, unix.RTM_NEWLINK, nil)},
		"list addresses: receive: truncated message":  {whole(1, unix.RTM_NEWLINK, link), whole(2, unix.RTM_NEWADDR, nil)},
		"list neighbours: receive: truncated message": {whole(1, unix.RTM_NEWLINK, link), whole(2, unix.RTM_NEWADDR), whole(3, unix.RTM_NEWNEIGH, nil)},
		"list routes: receive: truncated message": {
			whole(1, unix.RTM_NEWLINK, link), whole(2, unix.RTM_NEWADDR), whole(3, unix.RTM_NEWNEIGH), whole(4, unix.RTM_NEWROUTE, nil),
		},
	} {
		conn, err := netlink.NewConn(netlinktest.Open(&netlinktest.Socket{Answer: answer}))
		if err != nil {
			t.Fatal(err)
		}
		if lan, err := read(conn, []string{"br-lan"}, 0); lan != nil || message(err) != want {
			t.Errorf("%v, error %v, want %s", lan, err, want)
		}
	}
}
