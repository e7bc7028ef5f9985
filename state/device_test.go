package state

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	laptopID = DeviceID{MAC: laptopMAC}
	phoneID  = DeviceID{MAC: phoneMAC}

	comparable = cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateComparable(DeviceID{})}
)

func at(addr netip.Addr, mac MAC) NeighborEntry {
	return NeighborEntry{Addr: addr, MAC: mac, Interface: "br-lan", State: Reachable}
}

func lease(addr netip.Addr, mac MAC, name string) NameRecord {
	return NameRecord{Addr: addr, MAC: mac, Name: name, Source: FromDHCP}
}

func host(addr netip.Addr, mac MAC, name string) NameRecord {
	return NameRecord{Addr: addr, MAC: mac, Name: name, Source: FromHosts}
}

// TestIdentity looks at which device has the laptop's address after the last of
// several runs.
func TestIdentity(t *testing.T) {
	repeater := MAC{0, 0x11, 0x22, 0, 0, 9}
	byLaptop, byRepeater, byPhone := at(laptop, laptopMAC), at(laptop, repeater), at(laptop, phoneMAC)
	noARP := NeighborEntry{Addr: laptop, MAC: laptopMAC, State: NoARP}
	leased := []NameRecord{lease(laptop, laptopMAC, "lea")}
	for _, test := range []struct {
		name  string
		steps []step
		want  DeviceID
	}{
		{"who only sends", []step{{counters: []Counter{tx(laptop, 1, 1, 10)}}}, DeviceID{Addr: laptop}},
		{"a neighbour", []step{{lan: []NeighborEntry{byLaptop}}}, laptopID},
		{"behind a repeater", []step{{lan: []NeighborEntry{byRepeater}}}, DeviceID{MAC: repeater}},
		{"behind a repeater, with a lease", []step{{lan: []NeighborEntry{byRepeater}, names: leased}}, laptopID},
		{"behind a repeater, with a static entry", []step{{lan: []NeighborEntry{byRepeater}, names: []NameRecord{host(laptop, laptopMAC, "")}}}, laptopID},
		{"a lease without a name", []step{{lan: []NeighborEntry{byRepeater}, names: []NameRecord{lease(laptop, laptopMAC, "")}}}, laptopID},
		{"a lease before a static entry", []step{{lan: []NeighborEntry{byRepeater},
			names: []NameRecord{host(laptop, phoneMAC, "pho"), lease(laptop, laptopMAC, "lea")}}}, laptopID},
		{"the lease ends", []step{{lan: []NeighborEntry{byRepeater}, names: leased}, {at: 2, lan: []NeighborEntry{byRepeater}}}, laptopID},
		{"the lease files cannot be read", []step{{lan: []NeighborEntry{byRepeater}, names: leased}, {at: 2, lan: []NeighborEntry{byRepeater}, failed: []Source{DHCP}}}, laptopID},
		{"the neighbour entry goes", []step{{lan: []NeighborEntry{byLaptop}}, {at: 2}}, laptopID},
		{"another device answers", []step{{lan: []NeighborEntry{byLaptop}}, {at: 2, lan: []NeighborEntry{byPhone}}}, phoneID},
		{"another device answers for one that has a lease", []step{{lan: []NeighborEntry{byLaptop}, names: leased}, {at: 2, lan: []NeighborEntry{byPhone}, names: leased}}, laptopID},
		{"the lease passes to another device", []step{{lan: []NeighborEntry{byLaptop}, names: leased},
			{at: 2, lan: []NeighborEntry{byLaptop}, names: []NameRecord{lease(laptop, phoneMAC, "pho")}}}, phoneID},
		{"a lease of the device that answers makes it lasting", []step{{lan: []NeighborEntry{byLaptop}}, {at: 2, names: leased}, {at: 4, lan: []NeighborEntry{byPhone}}}, laptopID},
		{"after a reboot", []step{{lan: []NeighborEntry{byLaptop}, names: leased}, {boot: "b", lan: []NeighborEntry{byPhone}}}, laptopID},
		{"an entry that nobody confirms", []step{{lan: []NeighborEntry{noARP}, counters: []Counter{tx(laptop, 1, 1, 10)}}}, DeviceID{Addr: laptop}},
		{"who only sent gets a MAC", []step{{counters: []Counter{tx(laptop, 1, 1, 10)}}, {at: 2, lan: []NeighborEntry{byLaptop}}}, laptopID},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, report := play(t, test.steps...)
			if got := client(t, report, laptop).Device; got != test.want {
				t.Errorf("the device is %v, want %v", got, test.want)
			}
			if ids := len(report.Devices); report.Devices[0].ID != test.want && ids == 1 {
				t.Errorf("device %v has series", report.Devices[0].ID)
			}
		})
	}
}

// moved is what devices and clients have moved: bytes sent.
type moved struct {
	devices map[string]uint64 // by the label device
	clients map[string]uint64 // by the labels ip and client
}

func sent(r *Report) moved {
	m := moved{make(map[string]uint64), make(map[string]uint64)}
	for _, d := range r.Devices {
		m.devices[d.ID.String()] = d.Total[Tx]
	}
	if r.OtherDevice != nil {
		m.devices[""] = r.OtherDevice.Total[Tx]
	}
	for _, c := range r.Clients {
		m.clients[c.Addr.String()+" "+c.Name] = c.Total[Tx].Bytes
	}
	if r.Other != nil {
		m.clients["other"] = r.Other.Total[Tx].Bytes
	}
	return m
}

// Bytes belong to the device that has the address when they are counted.
func TestBytesOfDevices(t *testing.T) {
	const lap, pho = "00:1b:63:00:00:01", "02:00:00:00:00:02"
	counted := func(bytes uint64) []Counter { return []Counter{tx(laptop, 1, 1, bytes)} }
	for _, test := range []struct {
		name  string
		steps []step
		want  moved
	}{
		{"an address is handed over", []step{
			{lan: []NeighborEntry{at(laptop, laptopMAC)}, names: []NameRecord{lease(laptop, laptopMAC, "lea")}, counters: counted(1000)},
			{at: 2, lan: []NeighborEntry{at(laptop, phoneMAC)}, names: []NameRecord{lease(laptop, phoneMAC, "pho")}, counters: counted(1070)},
		}, moved{map[string]uint64{lap: 1000, pho: 70}, map[string]uint64{"192.168.10.100 pho": 70}}},
		{"between two that nobody names, whose series is the same and may not fall", []step{
			{lan: []NeighborEntry{at(laptop, laptopMAC)}, counters: counted(1000)},
			{at: 2, lan: []NeighborEntry{at(laptop, phoneMAC)}, counters: counted(1070)},
		}, moved{map[string]uint64{lap: 1000, pho: 70}, map[string]uint64{"192.168.10.100 unknown": 1070}}},
		{"and the second is named later", []step{
			{lan: []NeighborEntry{at(laptop, laptopMAC)}, counters: counted(1000)},
			{at: 2, lan: []NeighborEntry{at(laptop, phoneMAC)}, counters: counted(1070)},
			{at: 4, lan: []NeighborEntry{at(laptop, phoneMAC)}, names: []NameRecord{lease(laptop, phoneMAC, "pho")}, counters: counted(1080)},
		}, moved{map[string]uint64{lap: 1000, pho: 80}, map[string]uint64{"192.168.10.100 pho": 80}}},
		{"a device that was an address gets a MAC", []step{
			{counters: counted(1000)},
			{at: 2, lan: []NeighborEntry{at(laptop, laptopMAC)}, counters: counted(1070)},
		}, moved{map[string]uint64{lap: 1070}, map[string]uint64{"192.168.10.100 unknown": 1070}}},
		{"and the MAC was there already", []step{
			{lan: []NeighborEntry{at(phone, laptopMAC)}, counters: append(counted(1000), tx(phone, 1, 2, 500))},
			{at: 2, lan: []NeighborEntry{at(phone, laptopMAC), at(laptop, laptopMAC)}, counters: append(counted(1070), tx(phone, 1, 2, 500))},
		}, moved{map[string]uint64{lap: 1570}, map[string]uint64{"192.168.10.100 unknown": 1070, "192.168.10.101 unknown": 500}}},
		{"a device with two addresses", []step{
			{lan: []NeighborEntry{at(laptop, laptopMAC), at(laptop6, laptopMAC)}, counters: append(counted(1000), tx(laptop6, 1, 2, 500))},
		}, moved{map[string]uint64{lap: 1500}, map[string]uint64{"192.168.10.100 unknown": 1000, "fd00:10::100 unknown": 500}}},
		{"a device that moves to another address", []step{
			{lan: []NeighborEntry{at(laptop, laptopMAC)}, names: []NameRecord{lease(laptop, laptopMAC, "lea")}, counters: counted(1000)},
			{at: 2, lan: []NeighborEntry{at(phone, laptopMAC)}, names: []NameRecord{lease(phone, laptopMAC, "lea")}, counters: append(counted(1000), tx(phone, 1, 2, 30))},
		}, moved{map[string]uint64{lap: 1030}, map[string]uint64{"192.168.10.100 unknown": 1000, "192.168.10.101 lea": 30}}},
		{"a prefix that the router has no more", []step{
			{lan: []NeighborEntry{at(laptop6, laptopMAC)}, counters: []Counter{tx(laptop6, 1, 1, 1000)}},
			{at: 2, scope: []netip.Prefix{netip.MustParsePrefix("fd00:11::/64")}, counters: []Counter{tx(laptop6, 1, 1, 1010)}},
		}, moved{map[string]uint64{lap: 1010}, map[string]uint64{"fd00:10::100 unknown": 1010}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, report := play(t, test.steps...)
			if diff := cmp.Diff(test.want, sent(report), cmp.AllowUnexported(moved{})); diff != "" {
				t.Errorf("bytes sent (-want +got):\n%s", diff)
			}
		})
	}
}

// A device that takes over another's totals has no rate of them.
func TestAbsorbedTotalsAreNoRate(t *testing.T) {
	counters := func(a, b uint64) []Counter { return []Counter{tx(laptop, 1, 1, a), tx(phone, 1, 2, b)} }
	_, report := play(t,
		step{lan: []NeighborEntry{at(phone, laptopMAC)}, counters: counters(1<<30, 500)},
		step{at: 2, lan: []NeighborEntry{at(phone, laptopMAC)}, counters: counters(1<<30, 1500)},
		step{at: 4, lan: []NeighborEntry{at(phone, laptopMAC), at(laptop, laptopMAC)}, counters: counters(1<<30, 2500)},
	)
	d := device(t, report, laptopID)
	if d.Rate[Tx] != 4000 || d.Peak[Tx] != 4000 {
		t.Errorf("rate %v, peak %v, want 4000 for both", d.Rate[Tx], d.Peak[Tx])
	}
}

// TestDeviceReport looks at what is told of a device with several addresses.
func TestDeviceReport(t *testing.T) {
	early := NeighborEntry{Addr: laptop, MAC: laptopMAC, State: Stale, Confirmed: time.Minute}
	_, report := play(t,
		step{lan: []NeighborEntry{early, at(laptop6, laptopMAC), at(phone, laptopMAC)}},
		step{at: 2, lan: []NeighborEntry{early, at(laptop6, laptopMAC), at(phone, laptopMAC)},
			names:    []NameRecord{lease(laptop, laptopMAC, "old"), lease(phone, laptopMAC, "lea")},
			flows:    map[netip.Addr]Connections{laptop: {TCP: 1}, laptop6: {TCP: 3}, phone: {UDP: 1}},
			counters: []Counter{tx(laptop6, 1, 1, 100)}},
	)
	got := device(t, report, laptopID)
	want := DeviceReport{
		UsageReport: UsageReport{
			Total:   [2]uint64{Tx: 100},
			Rate:    [2]float64{Tx: 400},
			Peak:    [2]float64{Tx: 400},
			Current: [2]PeriodBytes{All: {Tx: 100}},
		},
		ID: laptopID, Name: "lea", Source: FromDHCP, Addr: phone,
		Active: Connections{TCP: 4, UDP: 1}, ActiveKnown: true, Online: true,
		FirstSeen: noon, Seen: noon.Add(2 * time.Second),
	}
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Errorf("device (-want +got):\n%s", diff)
	}
}

// TestFirstSeen tells when a device was met, once the wall clock is known.
func TestFirstSeen(t *testing.T) {
	there := []NeighborEntry{at(laptop, laptopMAC)}
	for name, test := range map[string]struct {
		steps []step
		want  time.Time
	}{
		"at once":                                 {[]step{{lan: there}, {at: 10, lan: there}}, noon},
		"the wall clock is not set":               {[]step{{wall: notSet, lan: there}, {at: 10, wall: notSet, lan: there}}, time.Time{}},
		"the wall clock was set later":            {[]step{{wall: notSet, lan: there}, {at: 10, lan: there}}, noon},
		"the wall clock was set in the next boot": {[]step{{wall: notSet, lan: there}, {boot: "b", at: 10, lan: there}, {boot: "b", at: 20, lan: there}}, time.Time{}},
		"the wall clock went back":                {[]step{{wall: time.Hour, lan: there}, {at: 10, lan: there}}, noon},
	} {
		_, report := play(t, test.steps...)
		if got := device(t, report, laptopID).FirstSeen; !got.Equal(test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// TestManyDevices remembers no more than maxDevices, and of those that are away
// the ones that were seen last.
func TestManyDevices(t *testing.T) {
	ledger := &Ledger{}
	var id uint32
	for run := range 10 {
		var there []NeighborEntry
		for i := range 1000 {
			id++
			addr := netip.AddrFrom4([4]byte{10, byte(run), byte(i >> 8), byte(i)})
			there = append(there, at(addr, MAC{2, 0, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}))
		}
		now := step{at: float64(run) * 200 * 3600, lan: there}.sample()
		ledger, _ = Compare(ledger, now, NewScope([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil, nil), noNames(), config)
	}
	if len(ledger.Devices) != maxDevices {
		t.Fatalf("%d devices are remembered, want %d", len(ledger.Devices), maxDevices)
	}
	for _, d := range ledger.Devices {
		if n := uint32(d.ID.MAC[4])<<8 | uint32(d.ID.MAC[5]); n <= 5000 {
			t.Fatalf("number %d of %d is remembered", n, id)
		}
	}
}
