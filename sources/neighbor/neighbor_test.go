package neighbor

import (
	"cmp"
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
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// equal has cmp compare addresses as == does.
var equal = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// ip gives the 4 octets of an IPv4 address, or the 16 of an IPv6 address.
func ip(s string) net.IP { return netip.MustParseAddr(s).AsSlice() }

func own(name, addr, network string) state.InterfaceAddr {
	return state.InterfaceAddr{Interface: name, Addr: netip.MustParseAddr(addr), Network: netip.MustParsePrefix(network)}
}

func TestInterfaceAddr(t *testing.T) {
	tests := []struct {
		name   string
		length uint8
		attrs  *rtnetlink.AddressAttributes
		want   state.InterfaceAddr // zero: none
	}{
		{
			name:   "IPv4",
			length: 24,
			attrs:  &rtnetlink.AddressAttributes{Address: ip("192.168.10.1"), Local: ip("192.168.10.1")},
			want:   own("br-lan", "192.168.10.1", "192.168.10.0/24"),
		},
		{
			name:   "IPv4 with broadcast",
			length: 24,
			attrs: &rtnetlink.AddressAttributes{
				Address: ip("192.168.10.1"), Local: ip("192.168.10.1"), Broadcast: ip("192.168.10.255"), Label: "br-lan:1",
			},
			want: own("br-lan", "192.168.10.1", "192.168.10.0/24"),
		},
		{
			name:   "IPv4 point to point",
			length: 32,
			attrs:  &rtnetlink.AddressAttributes{Address: ip("198.51.100.9"), Local: ip("192.0.2.1")},
			want:   own("br-lan", "192.0.2.1", "198.51.100.9/32"),
		},
		{
			name:   "IPv4 with a network at the peer",
			length: 16,
			attrs:  &rtnetlink.AddressAttributes{Address: ip("10.9.8.7"), Local: ip("10.0.0.2")},
			want:   own("br-lan", "10.0.0.2", "10.9.0.0/16"),
		},
		{
			name:   "IPv4 without peer",
			length: 32,
			attrs:  &rtnetlink.AddressAttributes{Local: ip("10.0.0.1")},
			want:   own("br-lan", "10.0.0.1", "10.0.0.1/32"),
		},
		{
			name:   "IPv6",
			length: 64,
			attrs:  &rtnetlink.AddressAttributes{Address: ip("fd00:10::1")},
			want:   own("br-lan", "fd00:10::1", "fd00:10::/64"),
		},
		{
			name:   "IPv6 point to point",
			length: 64,
			attrs:  &rtnetlink.AddressAttributes{Address: ip("fd01::1"), Local: ip("fd00::1")},
			want:   own("br-lan", "fd00::1", "fd01::/64"),
		},
		{
			name:   "IPv4 as IPv6",
			length: 32,
			attrs:  &rtnetlink.AddressAttributes{Address: ip("::ffff:192.168.10.1")},
			want:   own("br-lan", "192.168.10.1", "192.168.10.1/32"),
		},
		{
			name:  "everything",
			attrs: &rtnetlink.AddressAttributes{Address: ip("192.168.10.1"), Local: ip("192.168.10.1")},
			want:  own("br-lan", "192.168.10.1", "0.0.0.0/0"),
		},
		{name: "no attributes", length: 24},
		{name: "no address", length: 24, attrs: &rtnetlink.AddressAttributes{Broadcast: ip("192.168.10.255")}},
		{name: "odd address", length: 24, attrs: &rtnetlink.AddressAttributes{Address: net.IP{192, 168, 10}}},
		{name: "prefix too long", length: 33, attrs: &rtnetlink.AddressAttributes{Address: ip("192.168.10.1")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := interfaceAddr(rtnetlink.AddressMessage{PrefixLength: tt.length, Attributes: tt.attrs}, "br-lan")
			if diff := gocmp.Diff(tt.want, got, equal); diff != "" {
				t.Errorf("address (-want +got):\n%s", diff)
			}
			if want := tt.want != (state.InterfaceAddr{}); ok != want {
				t.Errorf("ok is %t", ok)
			}
		})
	}
}

func TestNeighbor(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0x5e, 0x10, 0, 1}
	phone := state.NeighborEntry{
		Addr:      netip.MustParseAddr("192.168.10.101"),
		MAC:       state.MAC(mac),
		Interface: "br-lan",
		State:     state.Stale,
		Confirmed: 75*time.Second + 30*time.Millisecond,
	}
	without := func(change func(*state.NeighborEntry)) state.NeighborEntry {
		e := phone
		change(&e)
		return e
	}
	tests := []struct {
		name   string
		change func(*rtnetlink.NeighMessage) // of the message that says phone
		want   state.NeighborEntry           // zero: none
	}{
		{name: "IPv4", change: func(*rtnetlink.NeighMessage) {}, want: phone},
		{
			name: "IPv6",
			change: func(m *rtnetlink.NeighMessage) {
				m.Family, m.Attributes.Address = unix.AF_INET6, ip("fd00:10::101")
			},
			want: without(func(e *state.NeighborEntry) { e.Addr = netip.MustParseAddr("fd00:10::101") }),
		},
		{
			name:   "several states",
			change: func(m *rtnetlink.NeighMessage) { m.State = unix.NUD_PERMANENT | unix.NUD_NOARP },
			want:   without(func(e *state.NeighborEntry) { e.State = state.Permanent | state.NoARP }),
		},
		{
			name:   "no MAC",
			change: func(m *rtnetlink.NeighMessage) { m.Attributes.LLAddress = nil },
			want:   without(func(e *state.NeighborEntry) { e.MAC = state.MAC{} }),
		},
		{
			name:   "InfiniBand",
			change: func(m *rtnetlink.NeighMessage) { m.Attributes.LLAddress = make(net.HardwareAddr, 20) },
			want:   without(func(e *state.NeighborEntry) { e.MAC = state.MAC{} }),
		},
		{
			name:   "EUI-64",
			change: func(m *rtnetlink.NeighMessage) { m.Attributes.LLAddress = append(slices.Clone(mac), 1, 2) },
			want:   without(func(e *state.NeighborEntry) { e.MAC = state.MAC{} }),
		},
		{
			name:   "never confirmed",
			change: func(m *rtnetlink.NeighMessage) { m.Attributes.CacheInfo.Confirmed = 1<<32 - 1 },
			want:   without(func(e *state.NeighborEntry) { e.Confirmed = (1<<32 - 1) * 10 * time.Millisecond }),
		},
		{
			name:   "no times",
			change: func(m *rtnetlink.NeighMessage) { m.Attributes.CacheInfo = nil },
			want:   without(func(e *state.NeighborEntry) { e.Confirmed = 0 }),
		},
		{
			name: "bridge's forwarding table",
			change: func(m *rtnetlink.NeighMessage) {
				m.Family, m.Attributes.Address = unix.AF_BRIDGE, nil
			},
		},
		{
			name:   "VXLAN's forwarding table",
			change: func(m *rtnetlink.NeighMessage) { m.Family = unix.AF_BRIDGE },
		},
		{name: "no attributes", change: func(m *rtnetlink.NeighMessage) { m.Attributes = nil }},
		{name: "no address", change: func(m *rtnetlink.NeighMessage) { m.Attributes.Address = nil }},
		{name: "odd address", change: func(m *rtnetlink.NeighMessage) { m.Attributes.Address = net.IP{192, 168, 10} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := rtnetlink.NeighMessage{
				Family: unix.AF_INET,
				State:  unix.NUD_STALE,
				Attributes: &rtnetlink.NeighAttributes{
					Address:   ip("192.168.10.101"),
					LLAddress: mac,
					CacheInfo: &rtnetlink.NeighCacheInfo{Confirmed: 7503, Used: 1, Updated: 2, RefCount: 3},
				},
			}
			tt.change(&m)
			got, ok := neighbor(m, "br-lan")
			if diff := gocmp.Diff(tt.want, got, equal); diff != "" {
				t.Errorf("entry (-want +got):\n%s", diff)
			}
			if want := tt.want != (state.NeighborEntry{}); ok != want {
				t.Errorf("ok is %t", ok)
			}
		})
	}
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

// read asks the kernel and sorts what it says. Entries of multicast addresses,
// which the kernel makes when it pleases, are left out.
func read(t *testing.T, interfaces ...string) *state.Neighborhood {
	t.Helper()
	hood, err := Read(interfaces)
	if err != nil {
		t.Fatal(err)
	}
	return tidy(hood)
}

func tidy(hood *state.Neighborhood) *state.Neighborhood {
	hood.Neighbors = slices.DeleteFunc(hood.Neighbors, func(e state.NeighborEntry) bool { return e.Addr.IsMulticast() })
	slices.SortFunc(hood.Neighbors, func(a, b state.NeighborEntry) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.Addr.Compare(b.Addr))
	})
	slices.SortFunc(hood.Addrs, func(a, b state.InterfaceAddr) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.Addr.Compare(b.Addr), cmp.Compare(a.Network.Bits(), b.Network.Bits()))
	})
	return hood
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
		got := read(t, "br-lan").Addrs
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
		got := read(t, "br-lan").Neighbors
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
	for _, e := range read(t, name).Neighbors {
		if e.Addr == netip.MustParseAddr(addr) {
			return e.Confirmed
		}
	}
	t.Fatalf("no entry for %s", addr)
	return 0
}

func TestReadInterfaces(t *testing.T) {
	t.Parallel()
	const none = ": there is none of that name"
	tests := []struct {
		name       string
		interfaces []string
		want       []string // interfaces of the entries
		err        string
	}{
		{name: "none", want: nil},
		{name: "one", interfaces: []string{"br-lan"}, want: []string{"br-lan"}},
		{name: "one twice", interfaces: []string{"br-lan", "br-lan"}, want: []string{"br-lan"}},
		{name: "two", interfaces: []string{"br-guest", "br-lan"}, want: []string{"br-guest", "br-lan"}},
		{name: "sub-interface", interfaces: []string{"br-lan.10"}, want: []string{"br-lan.10"}},
		{name: "down", interfaces: []string{"br-down", "br-lan"}, want: []string{"br-lan"}},
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
				hood, err := Read(tt.interfaces)
				if diff := gocmp.Diff(tt.err, message(err)); diff != "" {
					t.Errorf("error (-want +got):\n%s", diff)
				}
				var got []string
				for _, e := range tidy(hood).Neighbors {
					got = append(got, e.Interface)
				}
				if diff := gocmp.Diff(tt.want, got); diff != "" {
					t.Errorf("interfaces of the entries (-want +got):\n%s", diff)
				}
				if diff := gocmp.Diff([]state.InterfaceAddr{own("lo", "127.0.0.1", "127.0.0.0/8"), own("lo", "::1", "::1/128")}, hood.Addrs, equal); diff != "" {
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
		hood := read(t, "br-lan")
		got := make(map[netip.Addr]state.MAC)
		for _, e := range hood.Neighbors {
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
			if !slices.Contains(hood.Addrs, a) {
				t.Errorf("no %v among the router's addresses %v", a, hood.Addrs)
			}
		}
	})
}

// TestDump plays the kernel in whose dumps changes come between, which no test
// can make the real one do at will.
func TestDump(t *testing.T) {
	entry, err := (&rtnetlink.NeighMessage{Family: unix.AF_INET, Index: 7, State: unix.NUD_REACHABLE}).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	whole := netlink.Message{Data: entry}
	torn := netlink.Message{Header: netlink.Header{Flags: netlink.DumpInterrupted}, Data: entry}
	short := netlink.Message{Data: entry[:5]}
	for _, test := range []struct {
		name    string
		answers [][]netlink.Message // one for each question
		want    int                 // entries
		wantErr bool
	}{
		{"empty", [][]netlink.Message{nil}, 0, false},
		{"whole", [][]netlink.Message{{whole, whole}}, 2, false},
		{"torn once", [][]netlink.Message{{whole, torn}, {whole, whole, whole}}, 3, false},
		{"torn whenever it is made", [][]netlink.Message{{torn}, {torn}, {whole, torn}}, 0, true},
		{"cut short", [][]netlink.Message{{whole, short}}, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked := 0
			got, err := dump[rtnetlink.NeighMessage](func(m netlink.Message) ([]netlink.Message, error) {
				if m.Header.Type != unix.RTM_GETNEIGH || m.Header.Flags != netlink.Request|netlink.Dump {
					t.Errorf("asked by %v", m.Header)
				}
				asked++
				return test.answers[asked-1], nil
			}, unix.RTM_GETNEIGH)
			if len(got) != test.want || (err != nil) != test.wantErr || asked != len(test.answers) {
				t.Errorf("%d entries and error %v from %d dumps, want %d entries and error %v from %d", len(got), err, asked, test.want, test.wantErr, len(test.answers))
			}
		})
	}
}
