package state

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClientsToCount(t *testing.T) {
	hour := time.Hour
	addr := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 10, last}) }
	neighbors := []NeighborEntry{
		{Addr: netip.MustParseAddr("10.0.0.1"), MAC: laptopMAC, State: Reachable}, // of another network
		{Addr: addr(2), MAC: laptopMAC, State: Reachable, Confirmed: hour / 2},
		{Addr: addr(3), MAC: laptopMAC, State: Stale, Confirmed: hour},
		{Addr: addr(4), MAC: laptopMAC, State: Stale, Confirmed: hour + 1},
		{Addr: addr(5), State: Incomplete},
		{Addr: addr(6), MAC: laptopMAC, State: Failed},
	}
	flows := &TrackedFlows{Active: map[netip.Addr]Connections{addr(9): {TCP: 1}, addr(3): {UDP: 1}}}
	ledger := &Ledger{Clients: []Client{
		{Addr: addr(3), Device: laptopID, HasSeries: true},
		{Addr: addr(7), Device: phoneID, HasSeries: true},
		{Addr: addr(8), Device: DeviceID{Addr: addr(8)}, HasSeries: true}, // a suspect
		{Addr: addr(10), Device: phoneID},
	}}
	cfg := config
	cfg.ForgetAfter = hour
	scope := NewScope(lan, nil, nil)
	for _, test := range []struct {
		name   string
		most   int
		lan    *LAN
		flows  *TrackedFlows
		ledger *Ledger
		want   []netip.Addr
	}{
		{"nothing is known", 9, nil, nil, &Ledger{}, nil},
		{"neighbours", 9, &LAN{Neighbors: neighbors}, nil, &Ledger{}, []netip.Addr{addr(2), addr(3)}},
		{"ends of flows", 9, nil, flows, &Ledger{}, []netip.Addr{addr(3), addr(9)}},
		{"who had a series", 9, nil, nil, ledger, []netip.Addr{addr(3), addr(7)}},
		{"all", 9, &LAN{Neighbors: neighbors}, flows, ledger, []netip.Addr{addr(2), addr(3), addr(7), addr(9)}},
		{"the most important ones", 3, &LAN{Neighbors: neighbors}, flows, ledger, []netip.Addr{addr(3), addr(7), addr(2)}},
	} {
		cfg.MaxClients = test.most
		got := test.ledger.ClientsToCount(test.lan, test.flows, scope, cfg)
		if len(got) < test.most {
			slices.SortFunc(got, netip.Addr.Compare) // any order will do
		}
		if diff := cmp.Diff(test.want, got, comparable, cmp.Transformer("nil", func(a []netip.Addr) []string {
			var texts []string
			for _, addr := range a {
				texts = append(texts, addr.String())
			}
			return texts
		})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}
