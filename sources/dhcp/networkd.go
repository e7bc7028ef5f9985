package dhcp

import (
	"cmp"
	"net/netip"
	"time"

	"network-metrics-exporter/state"
)

// networkdFile is what systemd-networkd writes for an interface with DHCPServer=yes
// (dhcp_server_save_leases in sd-dhcp-server-lease.c), since version 256. Static
// leases are in it while a client has them.
type networkdFile struct {
	BootID string // as state.Instant.Boot
	Leases []networkdLease
}

type networkdLease struct {
	Address                []byte
	Hostname               string
	HardwareAddressType    int // ARPHRD_* in linux/if_arp.h
	HardwareAddress        []byte
	ExpirationUSec         uint64 // on CLOCK_BOOTTIME, microseconds; 0: not said
	ExpirationRealtimeUSec uint64 // on CLOCK_REALTIME, as it was when the file was written
}

// parseNetworkd reads leases of systemd-networkd. It writes the file anew when a
// client asks for something, so what has ended may still be there.
func parseNetworkd(t *leaseTable, text string, now state.Instant) error {
	var file networkdFile
	err := decodeJSON(text, &file)
	bad := badEntries{what: "lease", want: `"Address" of 4 octets`}
	for _, l := range file.Leases {
		bad.read++
		addr, ok := netip.AddrFromSlice(l.Address)
		if !ok || !addr.Is4() {
			bad.add()
			continue
		}
		if l.ended(file.BootID, now) {
			t.end(addr)
			continue
		}
		r := state.NameRecord{Addr: addr, Name: l.Hostname, Source: state.FromDHCP}
		if l.HardwareAddressType == etherType && len(l.HardwareAddress) == len(r.MAC) {
			r.MAC = state.MAC(l.HardwareAddress)
		}
		t.put(r)
	}
	return cmp.Or(bad.err(), err)
}

// ended reports whether a lease has ended, by the clock that networkd itself goes by
// when it loads the file.
func (l *networkdLease) ended(boot string, now state.Instant) bool {
	const (
		microsecond = uint64(time.Microsecond)
		unlimited   = 1<<64 - 1 // USEC_INFINITY
	)
	switch {
	case boot == now.Boot && l.ExpirationUSec != 0:
		return l.ExpirationUSec < uint64(now.Uptime)/microsecond
	case now.Wall.IsZero() || l.ExpirationRealtimeUSec == 0 || l.ExpirationRealtimeUSec == unlimited:
		return false
	default:
		return l.ExpirationRealtimeUSec < uint64(now.Wall.UnixMicro())
	}
}
