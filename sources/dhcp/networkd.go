package dhcp

import (
	"cmp"
	"net/netip"
	"time"

	"network-metrics-exporter/state"
)

// networkdLease is a lease of systemd-networkd.
type networkdLease struct {
	addr     [4]byte
	isAddr   bool
	name     string
	hwType   uint64   // HardwareAddressType: ARPHRD_* in linux/if_arp.h
	hwLength uint64   // HardwareAddressLength
	hw       [16]byte // HardwareAddress; version 257 writes all of chaddr (RFC 2131, 2)
	bootEnd  uint64   // ExpirationUSec: on CLOCK_BOOTTIME, in microseconds; 0: not said
	clockEnd uint64   // ExpirationRealtimeUSec: on CLOCK_REALTIME, as it was when the file was written
}

// parseNetworkd reads what systemd-networkd writes for an interface with
// DHCPServer=yes (dhcp_server_save_leases in sd-dhcp-server-lease.c), since version
// 256. It writes the file anew when a client asks for something, so what has ended
// may still be there. Static leases are in it while a client has them.
func parseNetworkd(t *leaseTable, text string, now state.Instant) error {
	var (
		boot   string // as state.Instant.Boot
		leases []networkdLease
	)
	r := jsonReader{text: text}
	r.object(func(name string) {
		switch name {
		case "BootID":
			boot = r.string()
		case "Leases":
			r.array(func() {
				if l := readNetworkdLease(&r); !r.bad {
					leases = append(leases, l)
				}
			})
		default:
			r.skip()
		}
	})
	bad := badEntries{what: "lease", want: `"Address" of 4 octets`}
	for _, l := range leases {
		bad.read++
		addr := netip.AddrFrom4(l.addr)
		switch {
		case !l.isAddr:
			bad.add()
		case l.ended(boot, now):
			t.end(addr)
		default:
			r := state.NameRecord{Addr: addr, Name: l.name, Source: state.FromDHCP}
			if l.hwType == etherType && l.hwLength == uint64(len(r.MAC)) {
				r.MAC = state.MAC(l.hw[:len(r.MAC)])
			}
			t.put(r)
		}
	}
	return cmp.Or(r.err(), bad.err())
}

// readNetworkdLease reads an element of Leases (dhcp_server_lease_build_json).
func readNetworkdLease(r *jsonReader) (l networkdLease) {
	r.object(func(name string) {
		switch name {
		case "Address":
			l.isAddr = r.octets(l.addr[:]) == len(l.addr)
		case "Hostname":
			l.name = r.string()
		case "HardwareAddressType":
			l.hwType = r.uint()
		case "HardwareAddressLength":
			l.hwLength = r.uint()
		case "HardwareAddress":
			r.octets(l.hw[:])
		case "ExpirationUSec":
			l.bootEnd = r.uint()
		case "ExpirationRealtimeUSec":
			l.clockEnd = r.uint()
		default:
			r.skip()
		}
	})
	return l
}

// ended reports whether a lease has ended, by the clock that networkd itself goes by
// when it loads the file.
func (l *networkdLease) ended(boot string, now state.Instant) bool {
	const (
		microsecond = uint64(time.Microsecond)
		unlimited   = 1<<64 - 1 // USEC_INFINITY
	)
	switch {
	case boot == now.Boot && l.bootEnd != 0:
		return l.bootEnd < uint64(now.Uptime)/microsecond
	case now.Wall.IsZero() || l.clockEnd == 0 || l.clockEnd == unlimited:
		return false
	default:
		return l.clockEnd < uint64(now.Wall.UnixMicro())
	}
}
