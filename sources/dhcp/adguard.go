package dhcp

import (
	"cmp"
	"net/netip"
	"time"

	"network-metrics-exporter/state"
)

// adguardFile is leases.json of AdGuard Home (jsonLeasesData in its package
// dhcpsvc), since version 0.108; before, it wrote another file, leases.db.
type adguardFile struct {
	Leases []adguardLease `json:"leases"`
}

type adguardLease struct {
	Expires  string `json:"expires"` // RFC 3339; empty if Static
	IP       string `json:"ip"`
	Hostname string `json:"hostname"`
	MAC      string `json:"mac"`
	Static   bool   `json:"static"`
}

// parseAdGuard reads leases of AdGuard Home: those that it was configured with are
// static entries. It keeps a lease that has ended until it needs the address.
func parseAdGuard(t *leaseTable, text string, now state.Instant) error {
	var file adguardFile
	err := decodeJSON(text, &file)
	bad := badEntries{what: "lease", want: `"ip", "mac" and "expires"`}
	for _, l := range file.Leases {
		bad.read++
		r := state.NameRecord{Name: l.Hostname, Source: state.FromHosts}
		ended, ok := false, true
		if !l.Static {
			r.Source = state.FromDHCP
			ended, ok = l.ended(now)
		}
		addr, addrErr := netip.ParseAddr(l.IP)
		mac, isMAC := parseMAC(l.MAC)
		if !ok || addrErr != nil || addr.Zone() != "" || !isMAC {
			bad.add()
			continue
		}
		r.Addr, r.MAC = addr.Unmap(), mac
		if ended {
			t.end(r.Addr)
		} else {
			t.put(r)
		}
	}
	return cmp.Or(bad.err(), err)
}

// ended reports whether a lease that is not static has ended.
func (l *adguardLease) ended(now state.Instant) (ended, ok bool) {
	end, err := time.Parse(time.RFC3339, l.Expires)
	return !now.Wall.IsZero() && end.Before(now.Wall), err == nil
}
