package neighbor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
)

// Link is an interface, and how it is connected with others.
type Link struct {
	Name   string
	Kind   string // as ip-link(8) calls it, such as bridge or vlan; empty: hardware
	Up     bool
	Master string // the bridge or bond that it is a port of; empty: none
	Lower  string // of a VLAN, the interface that it lies on
	// Uplink: a default route of the main table leads by way of it. It is only told
	// of the LAN interfaces.
	Uplink bool
}

// Links returns all interfaces of this network namespace, sorted by name. It needs
// no privilege.
func Links(lan []string) ([]Link, error) {
	conn, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var found []Link
	err = netlink.Retry(func() error {
		links, err := listLinks(conn)
		if err != nil {
			return fmt.Errorf("list interfaces: %w", err)
		}
		found = nil
		for _, index := range slices.Sorted(maps.Keys(links)) {
			l := links[index]
			link := Link{Name: l.name, Kind: l.kind, Up: l.up, Master: links[l.master].name}
			if l.kind == "vlan" {
				link.Lower = links[l.lower].name
			}
			if slices.Contains(lan, l.name) {
				if link.Uplink, err = hasDefaultRoute(conn, index); err != nil {
					return fmt.Errorf("list routes: %w", err)
				}
			}
			found = append(found, link)
		}
		return nil
	})
	slices.SortFunc(found, func(a, b Link) int { return cmp.Compare(a.Name, b.Name) })
	return found, err
}

// hasDefaultRoute reports whether the main table sends what it knows no other way
// for out of an interface.
func hasDefaultRoute(conn *netlink.Conn, index uint32) (found bool, err error) {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		header := make([]byte, unix.SizeofRtMsg)
		header[0], header[4] = family, unix.RT_TABLE_MAIN
		e := netlink.NewEncoder(header...)
		e.NativeUint32(unix.RTA_OIF, index)
		err = dump(conn, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, e, func(body []byte) error {
			r, err := parseRoute(body)
			found = found || err == nil && r.isDefault() && r.output == index
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return found, nil
}
