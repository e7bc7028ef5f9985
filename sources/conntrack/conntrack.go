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
// CLOSE do not count. Entries counts all flows, Limit is 0 before Linux 4.18.
// Uptime is left to the caller.
//
// With held, the counts of an earlier Read, it makes no dump: it gives these
// again, with the Entries and the Limit of now.
//
// The table lives on while it is read: the counts are those of no single
// instant, and the kernel may list a flow twice where it resumes a dump.
//
// An error leaves no counts at all. It is unix.EPERM underneath where
// CAP_NET_ADMIN is missing, and says which module to load where the kernel has
// no ctnetlink (nf_conntrack_netlink, in Linux since 2.6.14).
func Read(isClient func(netip.Addr) bool, held *state.Flows) (*state.Flows, error) {
	var flows state.Flows
	if held != nil {
		flows = *held
	} else if err := measure(&flows.Cost, func() (err error) {
		flows.Active, err = count(dial, isClient)
		return err
	}); err != nil {
		return nil, fmt.Errorf("dump conntrack table: %w", withCure(err))
	}
	stats, err := globalStats()
	if err != nil {
		return nil, fmt.Errorf("read conntrack statistics: %w", err)
	}
	flows.Entries, flows.Limit = stats.Entries, stats.MaxEntries
	return &flows, nil
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

// count dumps the table and counts the active flows of each client.
func count(dial func() (conn, error), isClient func(netip.Addr) bool) (active map[netip.Addr]state.Connections, err error) {
	flows := request{get: ctGet, answer: ctNew, family: unix.AF_UNSPEC}
	err = untorn(func() error {
		active = make(map[netip.Addr]state.Connections)
		var f flow
		return dump(dial, flows, func(attrs []byte) error {
			if err := f.unmarshal(attrs); err != nil {
				return err
			}
			if !f.active() {
				return nil
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
			return nil
		})
	})
	return active, err
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
		return fmt.Errorf("%w (the kernel does not list flows: modprobe nf_conntrack_netlink)", err)
	}
	return err
}
