package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A table is one that a run reads, and how to ask the kernel to list it.
type table struct {
	protocol int    // NETLINK_*
	typ      uint16 // of the question
	body     []byte // of the question: the family's header and attributes
}

// receive lets the kernel list a table and looks at nothing that it says: what
// that costs, everyone pays who reads the table. It gives the CPU time.
func (t table) receive() (time.Duration, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, t.protocol)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	before, err := processTime()
	if err != nil {
		return 0, err
	}
	if err := unix.Sendto(fd, message(t.typ, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, t.body), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("ask for a table: %w", err)
	}
	b := make([]byte, 32<<10)
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("receive a table: %w", err)
		}
		// NLMSG_DONE, a header and an int, is the last message.
		last := n - unix.SizeofNlMsghdr - 4
		if last >= 0 && binary.NativeEndian.Uint32(b[last:]) == unix.SizeofNlMsghdr+4 && binary.NativeEndian.Uint16(b[last+4:]) == unix.NLMSG_DONE {
			after, err := processTime()
			return after - before, err
		}
		if binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR {
			return 0, fmt.Errorf("list a table: %w", unix.Errno(-int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:]))))
		}
	}
}

// processTime is the CPU time of this process: as that of a run is measured, and as
// some hypervisors book a part of what one thread does on another one.
func processTime() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t)
	return time.Duration(t.Nano()), err
}

// The tables that a run reads.
var nfgenmsg = []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0}

func conntrackTable() table {
	return table{unix.NETLINK_NETFILTER, unix.NFNL_SUBSYS_CTNETLINK<<8 | 1, nfgenmsg} // IPCTNL_MSG_CT_GET
}

func neighborTable() table {
	return table{unix.NETLINK_ROUTE, unix.RTM_GETNEIGH, make([]byte, unix.SizeofNdMsg)}
}

// The accounting's sets of IPv4.
const trafficTable = "network_metrics"

var trafficSets = []string{"client_tx", "client_rx"}

// inSet begins the body of a message about elements of a set.
func inSet(set string) []byte {
	return slices.Concat([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0},
		attr(unix.NFTA_SET_ELEM_LIST_TABLE, []byte(trafficTable+"\x00")), attr(unix.NFTA_SET_ELEM_LIST_SET, []byte(set+"\x00")))
}

func elementsOf(set string) table {
	return table{unix.NETLINK_NETFILTER, unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSETELEM, inSet(set)}
}

// trafficRules are those of the accounting's other layout.
func trafficRules() table {
	return table{unix.NETLINK_NETFILTER, unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE,
		slices.Concat([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0},
			attr(unix.NFTA_RULE_TABLE, []byte("filter\x00")), attr(unix.NFTA_RULE_CHAIN, []byte("CLIENT_TRAFFIC\x00")))}
}

// addElements puts an element of each client into a set, as if it had moved
// traffic: as many at a time as an attribute has room for.
func addElements(set string, clients int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const nested = unix.NLA_F_NESTED
	var elements []byte
	for i := range clients {
		addr, bytes := client(i).As4(), uint64(1_000_000+1500*i)
		elements = append(elements, attr(unix.NFTA_LIST_ELEM|nested,
			attr(unix.NFTA_SET_ELEM_KEY|nested, attr(unix.NFTA_DATA_VALUE, addr[:])),
			attr(unix.NFTA_SET_ELEM_EXPR|nested, attr(unix.NFTA_EXPR_NAME, []byte("counter\x00")), attr(unix.NFTA_EXPR_DATA|nested,
				attr(unix.NFTA_COUNTER_BYTES, binary.BigEndian.AppendUint64(nil, bytes)),
				attr(unix.NFTA_COUNTER_PACKETS, binary.BigEndian.AppendUint64(nil, bytes/1000)))))...)
		if i%500 != 499 && i != clients-1 {
			continue
		}
		ours := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}
		batch := slices.Concat(
			message(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, ours),
			message(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWSETELEM, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_ACK,
				append(inSet(set), attr(unix.NFTA_SET_ELEM_LIST_ELEMENTS|nested, elements)...)),
			message(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, ours))
		answer := make([]byte, 4096)
		if err := unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return fmt.Errorf("add elements: %w", err)
		}
		if _, _, err := unix.Recvfrom(fd, answer, 0); err != nil {
			return fmt.Errorf("add elements: %w", err)
		}
		if code := -int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
			return fmt.Errorf("add elements: %w", unix.Errno(code))
		}
		elements = elements[:0]
	}
	return nil
}

// message encodes a netlink message.
func message(typ, flags uint16, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = append(b, make([]byte, 8)...) // sequence and port
	return append(b, body...)
}

// attr encodes an attribute.
func attr(typ uint16, parts ...[]byte) []byte {
	value := slices.Concat(parts...)
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, value...)
	return append(b, make([]byte, -len(b)&(unix.NLA_ALIGNTO-1))...)
}

// addFlows puts n flows into the table, which it finds empty, in turn from each
// of the clients: three of four are of TCP, all are masqueraded. Many go into one
// message to the kernel, and nobody waits for an answer.
func addFlows(n, clients int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var batch []byte
	for i := range n {
		batch = append(batch, newFlow(client(i%clients), i/clients)...)
		if i%100 == 99 || i == n-1 {
			if err := unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
				return fmt.Errorf("add flows: %w", err)
			}
			batch = batch[:0]
		}
	}
	return nil
}

// newFlow encodes IPCTNL_MSG_CT_NEW, with attributes and numbers from
// linux/netfilter/nfnetlink_conntrack.h.
func newFlow(from netip.Addr, number int) []byte {
	const nested = unix.NLA_F_NESTED
	protocol := byte(unix.IPPROTO_TCP)
	if number%4 == 3 {
		protocol = unix.IPPROTO_UDP
	}
	src, server, port := from.As4(), [4]byte{203, 0, 113, byte(number / 60000)}, uint16(1024+number%60000)
	router := [4]byte{198, 18 | src[1]&1, src[2], src[3]} // an address for each client, lest ports run out
	end := func(typ uint16, from, to [4]byte, fromPort, toPort uint16) []byte {
		return attr(typ|nested,
			attr(1|nested, attr(1, from[:]), attr(2, to[:])),
			attr(2|nested, attr(1, []byte{protocol}), attr(2, binary.BigEndian.AppendUint16(nil, fromPort)), attr(3, binary.BigEndian.AppendUint16(nil, toPort))))
	}
	body := slices.Concat([]byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 0},
		end(1, src, server, port, 443),
		end(2, server, router, 443, port),
		attr(3, binary.BigEndian.AppendUint32(nil, 0xe)), // IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED
		attr(7, binary.BigEndian.AppendUint32(nil, 3600)))
	if protocol == unix.IPPROTO_TCP {
		body = append(body, attr(4|nested, attr(1|nested, attr(1, []byte{3})))...) // ESTABLISHED
	}
	return message(unix.NFNL_SUBSYS_CTNETLINK<<8, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
}

// client gives the address of client number i.
func client(i int) netip.Addr {
	i++ // the network's own address is nobody's
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}
