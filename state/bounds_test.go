package state

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// TestYearOfPrivacyAddresses has twenty devices make up a new address in each of
// two prefixes every day for a year (RFC 8981): what is remembered of them stops
// growing after a week, and their totals go on.
func TestYearOfPrivacyAddresses(t *testing.T) {
	const devices = 20
	prefixes := []netip.Prefix{netip.MustParsePrefix("2001:db8:a::/64"), netip.MustParsePrefix("fd00:10::/64")}
	scope := NewScope(prefixes, nil, nil)
	ledger, report := &Ledger{}, (*Report)(nil)
	var afterTenDays int
	var counters []Counter
	for day := range 365 {
		for half := range 2 {
			s := step{at: float64(day*24+12*half) * 3600, layout: Sets, loaded: true}
			counters = counters[:0]
			for i := range devices {
				for _, p := range prefixes {
					b := p.Addr().As16()
					binary.BigEndian.PutUint32(b[8:], uint32(day))
					b[15] = byte(i + 1)
					addr := netip.AddrFrom16(b)
					s.lan = append(s.lan, at(addr, MAC{2, 5: byte(i)}))
					counters = append(counters, tx(addr, 1, 1, uint64(100*(half+1))))
				}
			}
			s.counters = counters
			now := s.sample()
			ledger, report = Compare(ledger, now, scope, noNames(), config)
		}
		if day == 10 {
			afterTenDays = len(ledger.Clients)
		}
	}
	if n := len(ledger.Clients); n != afterTenDays || n > 8*len(prefixes)*devices {
		t.Errorf("%d clients, %d after ten days", n, afterTenDays)
	}
	if len(ledger.Devices) != devices || len(report.Devices) != devices {
		t.Errorf("%d devices are remembered and %d published, want %d", len(ledger.Devices), len(report.Devices), devices)
	}
	for _, d := range report.Devices {
		if want := uint64(365 * 200 * len(prefixes)); d.Total[Tx] != want {
			t.Errorf("%v has sent %d, want %d", d.ID, d.Total[Tx], want)
		}
	}
}
