package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"

	"network-metrics-exporter/state"
)

// sameLedger tells no difference between an empty map or list and none.
var sameLedger = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}

var (
	laptop  = netip.MustParseAddr("192.168.10.9")
	phone   = netip.MustParseAddr("2001:db8::1:2")
	visitor = netip.MustParseAddr("192.168.10.100")

	laptopMAC = state.MAC{0x00, 0x00, 0x5e, 0x00, 0x53, 0x01}
	phoneMAC  = state.MAC{0x02, 0xff, 0x00, 0x00, 0x53, 0x02}
)

// fullLedger holds something in every field that a ledger's file has; see
// TestFullLedger.
func fullLedger() *state.Ledger {
	steady := 1774749599123456789 * time.Nanosecond
	wall := time.Date(2026, 3, 29, 1, 59, 59, 123456789, time.UTC)
	const table = math.MaxUint64
	sets := []state.CounterID{{Table: 1, Object: 4}, {Table: 1, Object: 5}, {Table: table, Object: 2}}
	l := &state.Ledger{
		Instant: state.Instant{
			Boot:   "0123456789abcdef0123456789abcdef",
			Uptime: 93*time.Hour + 7*time.Nanosecond,
			Wall:   wall,
		},
		Run:         1 << 40,
		Steady:      steady,
		Trusted:     true,
		FirstUptime: 92 * time.Hour,
		Settings:    []string{"--interface=br-lan", "--accounting=sets", ""},
		Networks:    []netip.Prefix{netip.MustParsePrefix("192.168.10.0/24"), netip.MustParsePrefix("2001:db8::/64")},
		Baselines:   []time.Duration{93*time.Hour - 4*time.Second, 93*time.Hour + 7*time.Nanosecond},
		Slots:       []time.Duration{93*time.Hour - time.Minute, 93*time.Hour - 10*time.Second},
		LastReadings: state.Accounting{
			Layout: state.Sets,
			Counters: []state.Counter{
				{Direction: state.Rx, ID: sets[0], Traffic: state.Traffic{Bytes: 9, Packets: 1}},
				{Addr: laptop, Direction: state.Rx, ID: sets[1], Traffic: state.Traffic{Bytes: 1500, Packets: 1}},
				{Addr: laptop, Direction: state.Rx, ID: state.CounterID{Table: 2, Object: table}, Traffic: state.Traffic{Bytes: math.MaxUint64 - 1, Packets: 1 << 53}},
				{Addr: laptop, Direction: state.Tx, ID: sets[2]},
				{Addr: netip.MustParseAddr("192.168.10.66"), Direction: state.Tx, ID: sets[2], Traffic: state.Traffic{Bytes: 40, Packets: 1}},
			},
			Local: []state.Counter{
				{Addr: laptop, Direction: state.Tx, ID: sets[2], Traffic: state.Traffic{Bytes: 12, Packets: 1}},
				{Addr: phone, Direction: state.Rx, ID: sets[0], Traffic: state.Traffic{Bytes: 40, Packets: 1}},
			},
			Objects:    sets,
			Generation: math.MaxUint32,
			Full:       true,
			Flowtable:  state.UncountedFlowtable,
			LocalKnown: true,
		},
		PeriodStarts: [2]time.Time{state.Current: wall.AddDate(0, 0, -28), state.Previous: wall.AddDate(0, -1, -28)},
		Resets:       300,
		Repairs:      1,
		Losses:       2,
		Faults: map[state.Source]string{
			state.Conntrack: "dump flows: operation not permitted",
			state.DHCP:      "",
			"\x00|\"\xff\n": strings.Repeat("network-metrics-exporter ledger 3\n\u202e\xc3(", 4),
		},
		Flows: &state.TrackedFlows{
			Active: map[netip.Addr]state.Connections{laptop: {1, math.MaxUint32, 0, 300}, phone: {}},
			Uptime: 92 * time.Hour,
			Cost:   250 * time.Millisecond,
		},
		FlowFile:   1 << 63,
		Checkpoint: 93*time.Hour - time.Minute,
	}
	l.Other = state.CounterState{
		Total:     [2]state.Traffic{{Bytes: math.MaxUint64, Packets: 3}, {Bytes: 1}},
		Baselines: [3][2]uint64{{7, 0}, {math.MaxUint64, 1}},
		Reserved:  [2]state.Traffic{{Bytes: math.MaxUint64, Packets: 4}, {Bytes: 1}},
	}
	slots := []state.WindowSlot{
		{Start: l.Slots[0], Delta: [2]state.Traffic{state.Rx: {Bytes: 1500, Packets: 1}, state.Tx: {Bytes: 40, Packets: 2}}, Peak: [2]uint64{state.Rx: 6000, state.Tx: 160}},
		{Start: l.Slots[1], Delta: [2]state.Traffic{state.Tx: {Bytes: math.MaxUint64, Packets: math.MaxUint64}}, Peak: [2]uint64{state.Tx: 1 << 63}},
	}
	l.Other.Slots = slots[:1]
	usage := state.Usage{
		CounterState: state.CounterState{
			Total:     [2]state.Traffic{{Bytes: 1<<53 + 1, Packets: 1 << 40}, {Bytes: 128, Packets: 2}},
			Baselines: [3][2]uint64{{100, 0}, {1 << 53, 128}},
			Slots:     slots,
			Reserved:  [2]state.Traffic{{Bytes: 1 << 54, Packets: 1 << 41}, {Bytes: 256, Packets: 2}},
		},
		Local:         [2]uint64{1 << 52, 64},
		LocalReserved: [2]uint64{1<<52 + 5, 64},
		PeriodBase:    [2]state.PeriodBytes{{1, 2}, {3, 4}},
		Previous:      [2]state.PeriodBytes{{5, 6}, {0, math.MaxUint64}},
	}
	l.OtherDevice = usage
	l.OtherDevice.Slots = slots[1:]
	l.Devices = []state.Device{
		{ID: state.DeviceID{Addr: visitor}, Name: state.Unknown, Source: state.FromNone, Since: steady},
		{
			ID: state.DeviceID{MAC: laptopMAC}, Usage: usage, OtherBytes: 1 << 60, Name: "lea", Source: state.FromDHCP, Addr: laptop,
			Since: steady - 93*time.Hour, FirstSeen: wall.Add(-94 * time.Hour), HasSeries: true,
			Presence: state.Presence{LastSeen: steady - time.Nanosecond, Seen: wall.Add(-time.Nanosecond)},
		},
		{ID: state.DeviceID{MAC: phoneMAC}, Name: "pho", Source: "mdns", Since: 1},
	}
	l.Clients = []state.Client{
		{
			Addr: laptop, CounterState: usage.CounterState, OtherBytes: 1 << 60,
			Predecessor: [2]state.Traffic{{Bytes: 1, Packets: 1}, {}},
			Device:      state.DeviceID{MAC: laptopMAC}, Evidence: state.FromServer, MAC: phoneMAC, Interface: "br-lan",
			Name: "lea", Source: state.FromDHCP,
			Since: steady - 93*time.Hour, LastActive: [2]time.Duration{steady, steady - 2*time.Second},
			Presence:  state.Presence{LastSeen: steady, Seen: wall.Add(time.Second)},
			Confirmed: true, HasSeries: true, Asked: steady - time.Hour,
		},
		{Addr: visitor, Device: state.DeviceID{Addr: visitor}, Name: state.Unknown, Source: state.FromNone, Since: steady},
		{
			Addr: phone, Device: state.DeviceID{MAC: phoneMAC}, Evidence: state.FromNeighbor, Interface: "br-guest",
			Name: "", Source: state.FromCache, MAC: phoneMAC, Since: math.MaxInt64,
			Presence: state.Presence{Seen: time.Date(1969, 7, 20, 20, 17, 40, 0, time.UTC)}, // a router without a clock of its own
		},
	}
	return l
}

// TestFullLedger finds fields that fullLedger does not set, so that the tests below
// would not see that they are forgotten. Those named here are not in the file.
func TestFullLedger(t *testing.T) {
	want := []string{
		"Flows.Entries", "Flows.Limit", "Flows.Traffic",
		"LastReadings.Made", "LastReadings.Repaired", "LastReadings.ReplacedCounters",
		"Recovered",
	}
	unset := make(map[string]bool) // by path: whether no value of it is set
	var visit func(path string, v reflect.Value)
	visit = func(path string, v reflect.Value) {
		switch {
		case v.Type() == reflect.TypeFor[time.Time](), v.Type() == reflect.TypeFor[netip.Addr](), v.Type() == reflect.TypeFor[netip.Prefix]():
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				name := strings.TrimPrefix(path+"."+v.Type().Field(i).Name, ".")
				if v.Type().Field(i).Anonymous {
					name = path
				}
				visit(name, v.Field(i))
			}
			return
		case v.Kind() == reflect.Pointer && !v.IsNil():
			visit(path, v.Elem())
			return
		case (v.Kind() == reflect.Slice || v.Kind() == reflect.Array) && v.Len() > 0:
			unset[path] = false
			for i := range v.Len() {
				visit(path, v.Index(i))
			}
			return
		}
		before, visited := unset[path]
		unset[path] = v.IsZero() && (before || !visited)
	}
	visit("", reflect.ValueOf(fullLedger()))
	maps.DeleteFunc(unset, func(_ string, unset bool) bool { return !unset })
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(unset))); diff != "" {
		t.Errorf("fields that are not set (-want +got):\n%s", diff)
	}
}

// decodeFile reads a ledger as Load does.
func decodeFile(file []byte) (*state.Ledger, error) {
	f, err := parse("", file)
	if err != nil {
		return nil, err
	}
	return f.decode()
}

func TestLedgerRoundTrip(t *testing.T) {
	tests := map[string]*state.Ledger{
		"zero":                      {},
		"full":                      fullLedger(),
		"baselines without clients": {Baselines: []time.Duration{1, math.MaxInt64, 0}},
		"the first and last moments": {
			Instant: state.Instant{Uptime: math.MaxInt64, Wall: time.Unix(0, math.MinInt64)},
			Steady:  math.MinInt64,
			Clients: []state.Client{{
				Addr:       laptop,
				LastActive: [2]time.Duration{math.MaxInt64, math.MinInt64},
				Since:      math.MaxInt64,
				Presence:   state.Presence{LastSeen: -1, Seen: time.Unix(0, math.MaxInt64)},
			}},
		},
		"no wall clock": {
			Steady: 1,
			Clients: []state.Client{{
				Addr:     laptop,
				Presence: state.Presence{LastSeen: 1, Seen: time.Unix(0, 0)},
			}},
		},
		"the smallest and largest addresses": {
			Clients: []state.Client{
				{Addr: netip.IPv4Unspecified()},
				{Addr: netip.MustParseAddr("255.255.255.255")},
				{Addr: netip.IPv6Unspecified()},
				{Addr: netip.MustParseAddr("ffff:ffff::ffff:0")},
			},
			Networks: []netip.Prefix{
				netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("255.255.255.255/32"),
				netip.MustParsePrefix("::/0"), netip.MustParsePrefix("2001:db8::1/128"),
			},
		},
		"hostile text": {
			Instant: state.Instant{Boot: "network-metrics-exporter ledger 3\n\x00\xff"},
			Clients: []state.Client{{Addr: laptop, Interface: strings.Repeat("\x80", 70000), Name: "\x00"}},
			Faults:  map[state.Source]string{"": "\r\n", "\xff": ""},
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) { mustRoundTrip(t, want) })
	}
}

// mustRoundTrip fails the test if a ledger that is written and read again differs.
func mustRoundTrip(t *testing.T, want *state.Ledger) {
	t.Helper()
	file := encode(want)
	got, err := decodeFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, sameLedger); diff != "" {
		t.Fatalf("what came back differs from what went in (-want +got):\n%s", diff)
	}
	if again := encode(got); !bytes.Equal(again, file) {
		t.Fatalf("the same ledger was written differently:\n%q\n%q", file, again)
	}
	f, err := parse("", file)
	if err != nil {
		t.Fatal(err)
	}
	wantHead := &state.Ledger{Instant: state.Instant{Boot: want.Boot, Uptime: want.Uptime}, Run: want.Run, Checkpoint: want.Checkpoint}
	if diff := cmp.Diff(wantHead, f.head, sameLedger); diff != "" {
		t.Fatalf("its head (-want +got):\n%s", diff)
	}
}

// TestAnyLedgerRoundTrips makes ledgers of a few clients with arbitrary numbers in
// every field.
func TestAnyLedgerRoundTrips(t *testing.T) {
	for seed := range uint64(300) {
		mustRoundTrip(t, arbitraryLedger(rand.New(rand.NewPCG(seed, 3))))
	}
}

// arbitraryLedger returns a ledger that state could make, but for its numbers.
func arbitraryLedger(random *rand.Rand) *state.Ledger {
	l := new(state.Ledger)
	fill(random, reflect.ValueOf(l).Elem())
	l.Recovered = false
	l.Uptime, l.FirstUptime, l.Checkpoint = l.Uptime&math.MaxInt64, l.FirstUptime&math.MaxInt64, l.Checkpoint&math.MaxInt64
	l.Baselines = l.Baselines[:min(len(l.Baselines), len(l.Other.Baselines))]
	slices.Sort(l.Slots)
	l.Slots = slices.Compact(l.Slots)
	a := &l.LastReadings
	a.ReplacedCounters, a.Made, a.Repaired = nil, nil, false
	slices.SortFunc(a.Objects, state.CounterID.Compare)
	if f := l.Flows; f != nil {
		f.Uptime, f.Cost = f.Uptime&math.MaxInt64, f.Cost&math.MaxInt64
		f.Entries, f.Limit, f.Traffic = 0, 0, nil
	}
	for i := range l.Devices {
		if id := &l.Devices[i].ID; !id.MAC.IsZero() {
			id.Addr = netip.Addr{}
		}
		fit(random, l, &l.Devices[i].CounterState)
	}
	slices.SortFunc(l.Devices, func(a, b state.Device) int { return a.ID.Compare(b.ID) })
	l.Devices = slices.CompactFunc(l.Devices, func(a, b state.Device) bool { return a.ID == b.ID })
	for i := range l.Clients {
		c := &l.Clients[i]
		fit(random, l, &c.CounterState)
		c.Device = state.DeviceID{}
		if len(l.Devices) > 0 {
			d := &l.Devices[random.IntN(len(l.Devices))]
			c.Device = d.ID
			if random.IntN(2) == 0 {
				c.MAC, c.Name, c.Source = d.ID.MAC, d.Name, d.Source
			}
		}
	}
	l.Clients = slices.DeleteFunc(l.Clients, func(c state.Client) bool { return !c.Addr.IsValid() })
	slices.SortFunc(l.Clients, func(a, b state.Client) int { return a.Addr.Compare(b.Addr) })
	l.Clients = slices.CompactFunc(l.Clients, func(a, b state.Client) bool { return a.Addr == b.Addr })
	for _, counters := range [][]state.Counter{a.Counters, a.Local} {
		for i := range counters {
			if len(l.Clients) > 0 && random.IntN(2) == 0 {
				counters[i].Addr = l.Clients[random.IntN(len(l.Clients))].Addr
			}
			if len(a.Objects) > 0 && random.IntN(2) == 0 {
				counters[i].ID = a.Objects[random.IntN(len(a.Objects))]
			}
			counters[i].Direction &= 1
		}
		slices.SortFunc(counters, state.Counter.Compare)
	}
	fit(random, l, &l.Other)
	fit(random, l, &l.OtherDevice.CounterState)
	return l
}

// fit takes from a total what the ledger has no baselines or slots for.
func fit(random *rand.Rand, l *state.Ledger, s *state.CounterState) {
	clear(s.Baselines[len(l.Baselines):])
	s.Slots = s.Slots[:min(len(s.Slots), len(l.Slots))]
	for i, at := range slices.Sorted(slices.Values(random.Perm(len(l.Slots))[:len(s.Slots)])) {
		s.Slots[i].Start = l.Slots[at]
	}
}

// fill sets everything in v to arbitrary values, many of them zero.
func fill(random *rand.Rand, v reflect.Value) {
	number := random.Uint64() >> random.IntN(64)
	if random.IntN(3) == 0 {
		number = 0
	}
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		if number != 0 {
			v.Set(reflect.ValueOf(time.Unix(0, int64(number))))
		}
		return
	case reflect.TypeFor[netip.Addr]():
		b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, random.Uint64()|1<<63), number)
		if addr, _ := netip.AddrFromSlice(b[:4*random.IntN(5)]); !addr.Is4In6() {
			v.Set(reflect.ValueOf(addr))
		}
		return
	case reflect.TypeFor[netip.Prefix]():
		b := binary.BigEndian.AppendUint64(nil, random.Uint64())
		v.Set(reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte(b)), random.IntN(33))))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(number%2 == 1)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(number & (1<<v.Type().Bits() - 1))
	case reflect.Int64:
		v.SetInt(int64(number))
	case reflect.String:
		v.SetString(fmt.Sprintf("%.*x", random.IntN(9), number))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(random, v.Field(i))
		}
	case reflect.Pointer:
		if random.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(random, v.Elem())
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), random.IntN(1<<random.IntN(6)), 32))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(random, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range random.IntN(5) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(random, key)
			fill(random, value)
			v.SetMapIndex(key, value)
		}
	default:
		panic(v.Type())
	}
}

var _ = errors.Is
var _ = os.ReadFile
var _ = filepath.Join
var _ protowire.Number
