// Package conntrack counts the live flows of each client, as the kernel's
// connection tracking knows them. It only reads: what it sees, every other
// reader still finds.
package conntrack

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
)

// Messages of the conntrack subsystem, enum cntl_msg_types in
// linux/netfilter/nfnetlink_conntrack.h. IPCTNL_MSG_CT_GET_CTRZERO, which lists
// as well, must never be sent: it zeroes the counters under every other reader.
const (
	ctNew = unix.NFNL_SUBSYS_CTNETLINK<<8 + iota // IPCTNL_MSG_CT_NEW
	ctGet                                        // IPCTNL_MSG_CT_GET
)

// Read dumps the connection tracking table of this network namespace, IPv4 and
// IPv6, and counts the flows of those addresses that isClient accepts; it is
// never asked about an IPv4-mapped one. A flow counts once for each client that
// is an end of it, whatever NAT does to its tuples; TCP flows in TIME_WAIT or
// CLOSE do not count, nor do flows that never saw a reply. Entries counts all
// flows, Limit is 0 before Linux 4.18. Uptime and Traffic are left to the caller.
//
// The counter, if there is one, observes the TCP and UDP flows of the same dump. An
// established flow that it finds to have left a flowtable, and to have moved nothing
// since, does not count as active.
//
// With held, the counts of an earlier Read, it makes no dump: it returns these
// again, with the Entries and the Limit of now.
//
// The table lives on while it is read: the counts are those of no single
// instant, and the kernel may list a flow twice where it resumes a dump.
//
// An error leaves no counts at all, but for one: that flows have no counters
// stands beside what was counted. An error is unix.EPERM underneath where
// CAP_NET_ADMIN is missing, and says which module to load where the kernel has
// no ctnetlink (nf_conntrack_netlink, in Linux since 2.6.14).
func Read(isClient func(netip.Addr) bool, held *state.TrackedFlows, counter *state.FlowCounter) (*state.TrackedFlows, error) {
	var flows state.TrackedFlows
	var missing error
	if held != nil {
		flows = *held
	} else if err := measure(&flows.Cost, func() (err error) {
		flows.Active, err = dump(isClient, counter)
		return err
	}); err != nil {
		return nil, fmt.Errorf("dump conntrack table: %w", withCure(err))
	} else if counter != nil {
		missing = missingCounters(counter)
	}
	stats, err := globalStats()
	if err != nil {
		return nil, fmt.Errorf("read conntrack statistics: %w", err)
	}
	flows.Entries, flows.Limit = stats.Entries, stats.MaxEntries
	return &flows, missing
}

// missingCounters returns what the counter does not see, and the cure.
func missingCounters(counter *state.FlowCounter) error {
	switch some, all := counter.MissingCounters(); {
	case all:
		return errors.New("connections have no byte counters: set sysctl net.netfilter.nf_conntrack_acct=1 (connections that begin afterwards are counted)")
	case some:
		return errors.New("connections that began before sysctl net.netfilter.nf_conntrack_acct was 1 have no byte counters: they are not counted")
	}
	return nil
}

// measure adds to cost the CPU time that f takes on its thread. What the kernel
// does for a dump is in it: it is done within send and recv.
func measure(cost *time.Duration, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := threadTime()
	if err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	after, err := threadTime()
	*cost += after - before
	return err
}

func threadTime() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano()), err
}

// dump dumps the table and counts the active flows of each client.
func dump(isClient func(netip.Addr) bool, counter *state.FlowCounter) (active map[netip.Addr]state.Connections, err error) {
	conn, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return count(conn, isClient, counter)
}

// count is dump with an open connection.
func count(conn *netlink.Conn, isClient func(netip.Addr) bool, counter *state.FlowCounter) (active map[netip.Addr]state.Connections, err error) {
	err = netlink.Retry(func() error {
		active = make(map[netip.Addr]state.Connections)
		if counter != nil {
			counter.Begin()
		}
		return eachFlow(conn, func(f *flow) {
			stalled := counter != nil && observe(counter, f)
			if stalled || !f.alive() {
				return
			}
			add := func(end netip.Addr) {
				c, known := active[end]
				if known || isClient(end) {
					c[f.kind()]++
					active[end] = c
				}
			}
			add(f.initiator)
			if f.responder != f.initiator {
				add(f.responder)
			}
		})
	})
	return active, err
}

// observe has the counter observe a flow of TCP or UDP, and reports whether it
// only seems to be established.
func observe(counter *state.FlowCounter, f *flow) (stalled bool) {
	if f.protocol != unix.IPPROTO_TCP && f.protocol != unix.IPPROTO_UDP {
		return false
	}
	reading := f.reading()
	return counter.Observe(&reading) && f.tcpState == tcpEstablished
}

// eachFlow dumps the table and calls each with every flow, which holds until each
// returns.
func eachFlow(conn *netlink.Conn, each func(*flow)) error {
	var f flow
	question := netlink.Message{Type: ctGet, Body: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0}}
	return conn.Dump(question, ctNew, func(body []byte) error {
		if len(body) < netlink.SizeofNfgenmsg {
			return errors.New("flow: no struct nfgenmsg")
		}
		if err := f.unmarshal(body[netlink.SizeofNfgenmsg:]); err != nil {
			return err
		}
		each(&f)
		return nil
	})
}

// globalStats asks for the two numbers that the kernel keeps ready.
func globalStats() (conntrack.StatsGlobal, error) {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return conntrack.StatsGlobal{}, err
	}
	defer c.Close()
	return c.StatsGlobal()
}

// withCure adds to an error of the kernel what the user can do about it.
func withCure(err error) error {
	// nfnetlink answers EINVAL to a subsystem that is neither there nor can be
	// loaded, EOPNOTSUPP if it cannot be asked like this; without nfnetlink
	// itself there is not even a socket (EPROTONOSUPPORT).
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return fmt.Errorf("%w (the kernel does not list connections: modprobe nf_conntrack_netlink)", err)
	}
	return err
}
