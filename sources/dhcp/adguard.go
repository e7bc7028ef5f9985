package dhcp

import (
	"cmp"
	"net/netip"
	"time"

	"network-metrics-exporter/state"
)

// adguardLease is a lease of AdGuard Home.
type adguardLease struct {
	ip, mac, hostname string
	expires           string // RFC 3339; empty if static
	static            bool   // an entry of the configuration
}

// parseAdGuard reads leases.json of AdGuard Home (jsonLeasesData in its package
// dhcpsvc). The leases that it was configured with are static entries. It keeps a lease
// that has ended until it needs the address.
func parseAdGuard(t *leaseTable, text string, now state.Instant) error {
	bad := badEntries{what: "lease", want: `"ip", "mac" and "expires"`}
	r := jsonReader{text: text}
	r.object(func(name string) {
		if name != "leases" {
			r.skip()
			return
		}
		r.array(func() {
			bad.read++
			if l := readAdguardLease(&r); !r.bad && !l.putInto(t, now) {
				bad.add()
			}
		})
	})
	return cmp.Or(r.err(), bad.err())
}

// readAdguardLease reads an element of leases (jsonLease).
func readAdguardLease(r *jsonReader) (l adguardLease) {
	r.object(func(name string) {
		switch name {
		case "ip":
			l.ip = r.string()
		case "mac":
			l.mac = r.string()
		case "hostname":
			l.hostname = r.string()
		case "expires":
			l.expires = r.string()
		case "static":
			l.static = r.bool()
		default:
			r.skip()
		}
	})
	return l
}

// putInto puts a lease into the table if it is a current one. It reports false if
// the lease makes no sense.
func (l *adguardLease) putInto(t *leaseTable, now state.Instant) bool {
	addr, err := netip.ParseAddr(l.ip)
	mac, ok := parseMAC(l.mac)
	if err != nil || addr.Zone() != "" || !ok {
		return false
	}
	addr = addr.Unmap()
	if l.static {
		t.put(state.NameRecord{Addr: addr, MAC: mac, Name: l.hostname, Source: state.FromHosts})
		return true
	}
	end, err := time.Parse(time.RFC3339, l.expires)
	switch {
	case err != nil:
		return false
	case !now.Wall.IsZero() && end.Before(now.Wall):
		t.end(addr)
	default:
		t.put(state.NameRecord{Addr: addr, MAC: mac, Name: l.hostname, Source: state.FromDHCP})
	}
	return true
}
