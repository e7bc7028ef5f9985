// Package neighbor reads the LAN from the kernel: the neighbour table, which
// maps addresses to devices, the router's own addresses, and the networks behind
// its LAN interfaces.
package neighbor

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
)

// Read returns the entries of the neighbour tables, ARP's and IPv6's, on the LAN
// interfaces, the addresses of every interface, and the routes by way of LAN
// interfaces. Those are the interfaces of the given names; one that ends with *
// stands for all interfaces whose names begin with what is before it. A name that no
// interface has makes an error beside what the others gave, but for one with *. It
// needs no privilege.
//
// Routes are read where addresses do not tell which networks lie behind an
// interface: for each family, those of point-to-point interfaces (WireGuard, tun,
// ppp) and of such as have no address with a network of several hosts.
//
// Expected is how many neighbours there may be: room is made for as many at once.
func Read(interfaces []string, expected int) (*state.LAN, error) {
	conn, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return read(conn, interfaces, expected)
}

// read is Read with an open connection.
func read(conn *netlink.Conn, interfaces []string, expected int) (lan *state.LAN, err error) {
	var missing error
	err = netlink.Retry(func() error {
		links, err := listLinks(conn)
		if err != nil {
			return fmt.Errorf("list interfaces: %w", err)
		}
		wanted, errs := match(links, interfaces)
		missing = errors.Join(errs...)
		lan = &state.LAN{}
		for _, l := range wanted {
			lan.Interfaces = append(lan.Interfaces, l.name)
		}
		slices.Sort(lan.Interfaces)
		if lan.Addrs, err = listAddrs(conn, links); err != nil {
			return fmt.Errorf("list addresses: %w", err)
		}
		if lan.Neighbors, err = listNeighbors(conn, wanted, expected); err != nil {
			return fmt.Errorf("list neighbours: %w", err)
		}
		if lan.Routes, err = listRoutes(conn, wanted, lan.Addrs); err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return lan, missing
}

// match returns the links that have one of the names, by index, and an error for
// each name that none has and that may not be so.
func match(links map[uint32]link, names []string) (matching map[uint32]link, missing []error) {
	matching = make(map[uint32]link)
	for _, name := range names {
		prefix, isPattern := strings.CutSuffix(name, "*")
		found := isPattern
		for index, l := range links {
			if l.name == name || isPattern && strings.HasPrefix(l.name, prefix) {
				matching[index] = l
				found = true
			}
		}
		if !found {
			missing = append(missing, fmt.Errorf("find interface %q: %w", name, state.ErrNoInterface))
		}
	}
	return matching, missing
}

// skipStats is RTEXT_FILTER_SKIP_STATS of linux/rtnetlink.h (Linux 4.5): most of an
// interface's message are counters.
const skipStats = 1 << 3

// listLinks returns all interfaces, by index.
func listLinks(conn *netlink.Conn) (map[uint32]link, error) {
	links := make(map[uint32]link)
	e := netlink.NewEncoder(make([]byte, unix.SizeofIfInfomsg)...)
	e.NativeUint32(unix.IFLA_EXT_MASK, skipStats)
	err := dump(conn, unix.RTM_GETLINK, unix.RTM_NEWLINK, e, func(body []byte) error {
		l, err := parseLink(body)
		links[l.index] = l
		return err
	})
	return links, err
}

// listAddrs returns the addresses of all interfaces.
func listAddrs(conn *netlink.Conn, links map[uint32]link) (addrs []state.InterfaceAddr, err error) {
	e := netlink.NewEncoder(make([]byte, unix.SizeofIfAddrmsg)...)
	err = dump(conn, unix.RTM_GETADDR, unix.RTM_NEWADDR, e, func(body []byte) error {
		index, a, err := parseAddr(body)
		if err == nil && a.Network.IsValid() {
			a.Interface = links[index].name
			addrs = append(addrs, a)
		}
		return err
	})
	return addrs, err
}

// listNeighbors returns the entries of some interfaces, sorted by address.
func listNeighbors(conn *netlink.Conn, links map[uint32]link, expected int) ([]state.NeighborEntry, error) {
	neighbors := make([]state.NeighborEntry, 0, expected+expected/8)
	e := netlink.NewEncoder(make([]byte, unix.SizeofNdMsg)...)
	err := dump(conn, unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, e, func(body []byte) error {
		index, n, err := parseNeighbor(body)
		if l, ok := links[index]; ok && err == nil && n.Addr.IsValid() {
			n.Interface = l.name
			neighbors = append(neighbors, n)
		}
		return err
	})
	state.SortByAddr(neighbors, func(n *state.NeighborEntry) netip.Addr { return n.Addr })
	return neighbors, err
}

// listRoutes returns the networks that lie behind some interfaces, where their
// addresses do not tell. They are sorted by interface and network.
func listRoutes(conn *netlink.Conn, links map[uint32]link, addrs []state.InterfaceAddr) (routes []state.Route, err error) {
	for _, index := range slices.Sorted(maps.Keys(links)) {
		l := links[index]
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			if !l.pointToPoint && hasNetwork(addrs, l.name, family) {
				continue
			}
			e := netlink.NewEncoder(append([]byte{family}, make([]byte, unix.SizeofRtMsg-1)...)...)
			e.NativeUint32(unix.RTA_OIF, index)
			err = dump(conn, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, e, func(body []byte) error {
				r, err := parseRoute(body)
				if err == nil && r.isNetworkBehind(l) {
					routes = append(routes, state.Route{Interface: l.name, Network: r.network})
				}
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(routes, func(a, b state.Route) int {
		if c := strings.Compare(a.Interface, b.Interface); c != 0 {
			return c
		}
		return a.Network.Compare(b.Network)
	})
	return slices.Compact(routes), nil // a network can be in several tables
}

// hasNetwork reports whether an interface has an address with a network of several
// hosts, other than its link-local one.
func hasNetwork(addrs []state.InterfaceAddr, name string, family uint8) bool {
	return slices.ContainsFunc(addrs, func(a state.InterfaceAddr) bool {
		return a.Interface == name && a.Addr.Is4() == (family == unix.AF_INET) &&
			a.Addr.IsGlobalUnicast() && !a.Network.IsSingleIP()
	})
}

// dump asks for all objects that fit a question.
func dump(conn *netlink.Conn, get, answer uint16, question *netlink.Encoder, each func(body []byte) error) error {
	body, err := question.Body()
	if err != nil {
		return err
	}
	return conn.Dump(netlink.Message{Type: get, Body: body}, answer, each)
}
