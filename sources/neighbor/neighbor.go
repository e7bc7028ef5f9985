// Package neighbor reads the LAN from the kernel: the neighbour table, which
// maps addresses to devices, and the router's own addresses.
package neighbor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// userHZ is the unit of the times in struct nda_cacheinfo (linux/neighbour.h):
// USER_HZ, a hundredth of a second on every architecture that Go has.
const userHZ = time.Second / 100

// Read gives the entries of the neighbour tables, ARP's and IPv6's, on the named
// interfaces, and the addresses of every interface. An interface that does not
// exist makes an error beside what the others gave. It needs no privilege.
func Read(interfaces []string) (*state.Neighborhood, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer conn.Close()
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	addrs, err := dump[rtnetlink.AddressMessage](conn.Execute, unix.RTM_GETADDR)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	entries, err := dump[rtnetlink.NeighMessage](conn.Execute, unix.RTM_GETNEIGH)
	if err != nil {
		return nil, fmt.Errorf("list neighbours: %w", err)
	}

	names := make(map[uint32]string, len(links))
	index := make(map[string]uint32, len(links))
	for _, l := range links {
		names[uint32(l.Index)], index[l.Name] = l.Name, uint32(l.Index)
	}
	var missing []error
	lan := make(map[uint32]bool, len(interfaces))
	for _, name := range interfaces {
		i, ok := index[name]
		if !ok {
			missing = append(missing, fmt.Errorf("find interface %q: there is none of that name", name))
			continue
		}
		lan[i] = true
	}

	hood := &state.Neighborhood{}
	for _, a := range addrs {
		if own, ok := interfaceAddr(a, names[a.Index]); ok {
			hood.Addrs = append(hood.Addrs, own)
		}
	}
	for _, e := range entries {
		if n, ok := neighbor(e, names[e.Index]); ok && lan[e.Index] {
			hood.Neighbors = append(hood.Neighbors, n)
		}
	}
	return hood, errors.Join(missing...)
}

// maxTries is how often a dump is made until one is whole.
const maxTries = 3

// dump asks for all objects of one kind, by a message of M that says nothing.
// rtnetlink knows the messages, but would pass a torn dump off as a whole one.
func dump[M any, P interface {
	*M
	rtnetlink.Message
}](execute func(netlink.Message) ([]netlink.Message, error), question netlink.HeaderType) ([]M, error) {
	body, err := P(new(M)).MarshalBinary()
	if err != nil {
		return nil, err
	}
	for range maxTries {
		replies, err := execute(netlink.Message{
			Header: netlink.Header{Type: question, Flags: netlink.Request | netlink.Dump},
			Data:   body,
		})
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(replies, func(m netlink.Message) bool { return m.Header.Flags&netlink.DumpInterrupted != 0 }) {
			continue
		}
		objects := make([]M, len(replies))
		for i, m := range replies {
			if err := P(&objects[i]).UnmarshalBinary(m.Data); err != nil {
				return nil, err
			}
		}
		return objects, nil
	}
	return nil, fmt.Errorf("torn by concurrent changes (NLM_F_DUMP_INTR), %d times in a row", maxTries)
}

// interfaceAddr takes what is needed from RTM_NEWADDR (rtnetlink(7)).
func interfaceAddr(m rtnetlink.AddressMessage, name string) (state.InterfaceAddr, bool) {
	if m.Attributes == nil {
		return state.InterfaceAddr{}, false
	}
	// IFA_ADDRESS is the peer on a point-to-point link, left out if that is
	// 0.0.0.0, and else the same as IFA_LOCAL, which IPv6 leaves out.
	own, isLocal := netip.AddrFromSlice(m.Attributes.Local)
	peer, isPeer := netip.AddrFromSlice(m.Attributes.Address)
	if !isLocal {
		own = peer
	}
	if !isPeer {
		peer = own
	}
	network, err := peer.Unmap().Prefix(int(m.PrefixLength))
	if err != nil || !network.IsValid() {
		return state.InterfaceAddr{}, false
	}
	return state.InterfaceAddr{Interface: name, Addr: own.Unmap(), Network: network}, true
}

// neighbor takes what is needed from RTM_NEWNEIGH (rtnetlink(7)). Entries of
// other families, such as a bridge's forwarding table, are none.
func neighbor(m rtnetlink.NeighMessage, name string) (state.NeighborEntry, bool) {
	if m.Attributes == nil || m.Family != unix.AF_INET && m.Family != unix.AF_INET6 {
		return state.NeighborEntry{}, false
	}
	addr, ok := netip.AddrFromSlice(m.Attributes.Address)
	if !ok {
		return state.NeighborEntry{}, false
	}
	n := state.NeighborEntry{Addr: addr.Unmap(), Interface: name, State: state.NUD(m.State)}
	if len(m.Attributes.LLAddress) == len(n.MAC) {
		n.MAC = state.MAC(m.Attributes.LLAddress)
	}
	if c := m.Attributes.CacheInfo; c != nil {
		n.Confirmed = time.Duration(c.Confirmed) * userHZ
	}
	return n, true
}
