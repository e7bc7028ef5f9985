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

// sameLedger tells no difference between an empty map or list and none, nor between
// hints, which may be wrong.
var sameLedger = cmp.Options{
	cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
	cmpopts.IgnoreFields(state.Client{}, "DeviceHint"),
}

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
			Confirmed: true, HasSeries: true, DeviceHint: 1, Asked: steady - time.Hour,
		},
		{Addr: visitor, Device: state.DeviceID{Addr: visitor}, Name: state.Unknown, Source: state.FromNone, Since: steady},
		{
			Addr: phone, Device: state.DeviceID{MAC: phoneMAC}, Evidence: state.FromNeighbor, Interface: "br-guest",
			Name: "", Source: state.FromCache, MAC: phoneMAC, Since: math.MaxInt64, DeviceHint: 2,
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
		"LastReadings.Foreign", "LastReadings.Made", "LastReadings.Repaired", "LastReadings.ReplacedCounters",
		"Recovered", "Twice",
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
	for _, c := range got.Clients {
		if len(got.Devices) > 0 && got.Devices[c.DeviceHint].ID != c.Device {
			t.Fatalf("hint %d leads from client %v to device %v, want %v", c.DeviceHint, c.Addr, got.Devices[c.DeviceHint].ID, c.Device)
		}
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
	ledgers := uint64(300)
	if testing.Short() { // as for emulated processors
		ledgers = 30
	}
	for seed := range ledgers {
		mustRoundTrip(t, arbitraryLedger(rand.New(rand.NewPCG(seed, 3))))
	}
}

// arbitraryLedger returns a ledger that state could make, but for its numbers.
func arbitraryLedger(random *rand.Rand) *state.Ledger {
	l := new(state.Ledger)
	fill(random, reflect.ValueOf(l).Elem())
	l.Recovered, l.Twice = false, false
	l.Uptime, l.FirstUptime, l.Checkpoint = l.Uptime&math.MaxInt64, l.FirstUptime&math.MaxInt64, l.Checkpoint&math.MaxInt64
	l.Baselines = l.Baselines[:min(len(l.Baselines), len(l.Other.Baselines))]
	slices.Sort(l.Slots)
	l.Slots = slices.Compact(l.Slots)
	a := &l.LastReadings
	a.ReplacedCounters, a.Made, a.Foreign, a.Repaired = nil, nil, nil, false
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
	l.Devices = slices.DeleteFunc(l.Devices, func(d state.Device) bool { return d.ID == state.DeviceID{} })
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

// TestEncodeIsDeterministic would fail once in a while at least if the order of
// a map showed.
func TestEncodeIsDeterministic(t *testing.T) {
	want := encode(fullLedger())
	for range 100 {
		if got := encode(fullLedger()); !bytes.Equal(got, want) {
			t.Fatalf("one ledger has two encodings:\n%q\n%q", want, got)
		}
	}
}

// TestDecodeVersion3 holds for as long as the program is to be upgraded: the file
// is never written again, whatever fields are added.
func TestDecodeVersion3(t *testing.T) {
	got, err := decodeFile(golden(t, "ledger-v3"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullLedger(), got, sameLedger); diff != "" {
		t.Errorf("testdata/ledger-v3 (-want +got):\n%s", diff)
	}
}

// golden returns a file that an earlier program wrote.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// mustBeDamaged fails the test unless a file is refused as damaged.
func mustBeDamaged(t *testing.T, file []byte, how string) {
	t.Helper()
	if l, err := decodeFile(file); l != nil || !errors.Is(err, errDamaged) {
		t.Fatalf("%s: got ledger %v and error %v, want none and %q", how, l, err, errDamaged)
	}
}

func TestDecodeCutShort(t *testing.T) {
	for _, file := range [][]byte{encode(fullLedger()), golden(t, "ledger-v2")} {
		for n := range file {
			mustBeDamaged(t, file[:n], fmt.Sprintf("cut after %d of %d bytes", n, len(file)))
		}
		mustBeDamaged(t, append(bytes.Clone(file), 0), "a byte longer")
		mustBeDamaged(t, append(bytes.Clone(file), file...), "twice in a row")
	}
}

func TestDecodeFlippedBit(t *testing.T) {
	for _, file := range [][]byte{encode(fullLedger()), golden(t, "ledger-v2")} {
		for bit := range 8 * len(file) {
			file[bit/8] ^= 1 << (bit % 8)
			mustBeDamaged(t, file, fmt.Sprintf("bit %d of byte %d flipped", bit%8, bit/8))
			file[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// sealed puts the right checksum under a file.
func sealed(body []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(body), checksum(body))
}

// with returns the fields that write writes.
func with(write func(e *encoder)) string {
	var e encoder
	write(&e)
	return string(e.b)
}

// message returns a field that is a message with these fields.
func message(num protowire.Number, fields ...string) string {
	return with(func(e *encoder) { e.item(num, strings.Join(fields, "")) })
}

// TestDecodeRefuses is about files with the right checksum that no version of
// this program has written, and about their sound neighbours.
func TestDecodeRefuses(t *testing.T) {
	const head = magic + "3\n"
	number := func(num protowire.Number, v uint64) string { return with(func(e *encoder) { e.uint(num, v) }) }
	packed := func(num protowire.Number, v ...uint64) string { return with(func(e *encoder) { e.packed(num, v) }) }
	client := func(addr string, fields ...string) string {
		return message(ledgerClient, with(func(e *encoder) { e.addr(clientAddr, netip.MustParseAddr(addr)) }), strings.Join(fields, ""))
	}
	device := func(mac state.MAC, fields ...string) string {
		return message(ledgerDevice, with(func(e *encoder) { e.mac(deviceMAC, mac) }), strings.Join(fields, ""))
	}
	objects := message(ledgerReadings, packed(readingsObjects, 1, 2, 1, 3))
	text := func(num protowire.Number, s string) string { return with(func(e *encoder) { e.item(num, s) }) }
	slot := func(at uint64) []uint64 { return []uint64{at, 1, 1, 1, 1, 1, 1} }
	slots := packed(ledgerSlots, 9, 8)
	tests := map[string]struct {
		body string
		want error
	}{
		"sound: nothing in it":              {head, nil},
		"sound: fields to come":             {head + number(100, 1) + text(101, "x") + "\xb5\x06\x01\x02\x03\x04" + "\xb9\x06\x01\x02\x03\x04\x05\x06\x07\x08", nil},
		"sound: fields to come of a client": {head + client("10.0.0.1", number(100, 1), text(101, "x")), nil},
		"sound: a padded number":            {head + "\x08\x81\x00", nil},
		"sound: a zero that is there":       {head + "\x08\x00", nil},
		"sound: a number twice":             {head + "\x08\x01\x08\x02", nil},

		"nothing":                    {"", errDamaged},
		"another program's file":     {"network-traffic-exporter ledger 3\n", errDamaged},
		"no line":                    {magic + "3", errDamaged},
		"no version":                 {magic + "\n", errDamaged},
		"version 0":                  {magic + "0\n", errDamaged},
		"version -1":                 {magic + "-1\n", errDamaged},
		"version 03":                 {magic + "03\n", errDamaged},
		"version +3":                 {magic + "+3\n", errDamaged},
		"version three":              {magic + "three\n", errDamaged},
		"version beyond all numbers": {magic + "99999999999999999999\n", errDamaged},
		"version 4":                  {magic + "4\nwhatever it holds", errNewer},
		"version 4, nothing else":    {magic + "4\n", errNewer},

		"field 0":                    {head + "\x00\x01", errDamaged},
		"a field cut short":          {head + "\x08", errDamaged},
		"a text that is too long":    {head + "\x12\x05boot", errDamaged},
		"a length beyond all files":  {head + "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", errDamaged},
		"a number of 65 bits":        {head + "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", errDamaged},
		"a group that does not end":  {head + "\xa3\x06\x08\x01", errDamaged},
		"wire type 7":                {head + "\xa7\x06", errDamaged},
		"a text for a number":        {head + text(ledgerRun, "1"), errDamaged},
		"a number for a text":        {head + number(ledgerBoot, 1), errDamaged},
		"a number for a message":     {head + number(ledgerClient, 1), errDamaged},
		"fields out of order":        {head + number(ledgerUptime, 1) + number(ledgerRun, 1), errDamaged},
		"a negative uptime":          {head + number(ledgerUptime, 1<<63), errDamaged},
		"a bool of 2":                {head + number(ledgerTrusted, 2), errDamaged},
		"a network of no family":     {head + text(ledgerNetwork, "\x01\x02\x03\x04\x05\x18"), errDamaged},
		"a network without address":  {head + text(ledgerNetwork, "\x18"), errDamaged},
		"a network without anything": {head + text(ledgerNetwork, ""), errDamaged},
		"a prefix of 33 bits":        {head + text(ledgerNetwork, "\x0a\x00\x00\x00\x21"), errDamaged},
		"a fault twice":              {head + message(ledgerFault, text(faultSource, "a")) + message(ledgerFault, text(faultSource, "a")), errDamaged},
		"a packed field cut short":   {head + text(ledgerBaselines, "\x80"), errDamaged},

		"sound: three baselines":  {head + packed(ledgerBaselines, 3, 2, 1), nil},
		"four baselines":          {head + packed(ledgerBaselines, 4, 3, 2, 1), errDamaged},
		"a baseline too few":      {head + packed(ledgerBaselines, 1) + message(ledgerOther, packed(totalBaselines, 1)), errDamaged},
		"a baseline too many":     {head + packed(ledgerBaselines, 1) + message(ledgerOther, packed(totalBaselines, 1, 1, 1, 1)), errDamaged},
		"a total of five numbers": {head + message(ledgerOther, packed(totalTraffic, 1, 1, 1, 1, 1)), errDamaged},

		"sound: slots":         {head + slots + message(ledgerOther, packed(totalSlots, append(slot(0), slot(1)...)...)), nil},
		"a slot's start twice": {head + packed(ledgerSlots, 8, 8), errDamaged},
		"starts out of order":  {head + packed(ledgerSlots, 8, 9), errDamaged},
		"a slot twice":         {head + slots + message(ledgerOther, packed(totalSlots, append(slot(1), slot(1)...)...)), errDamaged},
		"slots out of order":   {head + slots + message(ledgerOther, packed(totalSlots, append(slot(1), slot(0)...)...)), errDamaged},
		"a slot of no start":   {head + slots + message(ledgerOther, packed(totalSlots, slot(2)...)), errDamaged},
		"half a slot":          {head + slots + message(ledgerOther, packed(totalSlots, 0, 1, 1)), errDamaged},

		"sound: two clients":      {head + client("10.0.0.1") + client("10.0.0.2"), nil},
		"a client twice":          {head + client("10.0.0.1") + client("10.0.0.1"), errDamaged},
		"clients out of order":    {head + client("10.0.0.2") + client("10.0.0.1"), errDamaged},
		"a client nowhere":        {head + message(ledgerClient), errDamaged},
		"an address of 5 bytes":   {head + message(ledgerClient, text(clientAddr, "\x0a\x00\x00\x00\x01")), errDamaged},
		"IPv4 in an IPv6 address": {head + client("::ffff:192.168.10.9"), errDamaged},
		"a MAC of 5 bytes":        {head + client("10.0.0.1", text(clientMAC, "\x02\x00\x00\x00\x00")), errDamaged},
		"a MAC of 7 bytes":        {head + client("10.0.0.1", text(clientMAC, "\x02\x00\x00\x00\x00\x01\x02")), errDamaged},
		"evidence of 256":         {head + client("10.0.0.1", number(clientEvidence, 256)), errDamaged},
		"sound: an interface":     {head + text(ledgerInterface, "br-lan") + client("10.0.0.1", number(clientInterface, 1)), nil},
		"no such interface":       {head + text(ledgerInterface, "br-lan") + client("10.0.0.1", number(clientInterface, 2)), errDamaged},

		"sound: two devices":            {head + device(laptopMAC) + device(phoneMAC), nil},
		"a device twice":                {head + device(laptopMAC) + device(laptopMAC), errDamaged},
		"devices out of order":          {head + device(phoneMAC) + device(laptopMAC), errDamaged},
		"a device of MAC and address":   {head + device(phoneMAC, with(func(e *encoder) { e.addr(deviceIDAddr, laptop) })), errDamaged},
		"a device of nothing":           {head + message(ledgerDevice, text(deviceName, "nothing")), errDamaged},
		"an empty device":               {head + message(ledgerDevice), errDamaged},
		"sound: a client with a device": {head + device(laptopMAC) + client("10.0.0.1", number(clientDevice, 1)), nil},
		"a client of no such device":    {head + device(laptopMAC) + client("10.0.0.1", number(clientDevice, 2)), errDamaged},

		"sound: counters": {head + objects + client("10.0.0.1") +
			message(ledgerCounters, number(countersClient, 1), packed(countersAll, 2, 10, 1, 3, 10, 1, 1, 7, 8, 10, 1)), nil},
		"objects out of order":         {head + message(ledgerReadings, packed(readingsObjects, 1, 3, 1, 2)), errDamaged},
		"half an object":               {head + message(ledgerReadings, packed(readingsObjects, 1)), errDamaged},
		"a counter of no such object":  {head + objects + message(ledgerCounters, packed(countersAll, 6, 10, 1)), errDamaged},
		"a counter of no such client":  {head + objects + message(ledgerCounters, number(countersClient, 1), packed(countersAll, 2, 10, 1)), errDamaged},
		"half a counter":               {head + objects + message(ledgerCounters, packed(countersAll, 2, 10)), errDamaged},
		"directions out of order":      {head + objects + message(ledgerCounters, packed(countersAll, 3, 10, 1, 2, 10, 1)), errDamaged},
		"counters out of order":        {head + objects + message(ledgerCounters, packed(countersAll, 4, 10, 1, 2, 10, 1)), errDamaged},
		"local counters out of order":  {head + objects + message(ledgerCounters, packed(countersLocal, 4, 10, 1, 2, 10, 1)), errDamaged},
		"flows of an address twice":    {head + message(ledgerFlows, message(flowsActive), message(flowsActive)), errDamaged},
		"a number of flows of 33 bits": {head + message(ledgerFlows, message(flowsActive, packed(activeCounts, 1<<32, 0, 0, 0))), errDamaged},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if l, err := decodeFile(sealed([]byte(test.body))); (l != nil) != (test.want == nil) || !errors.Is(err, test.want) {
				t.Errorf("got ledger %v and error %v, want error %v", l, err, test.want)
			}
		})
	}
}

// TestDecodePassesOver reads a ledger in which every message has fields that this
// version does not know.
func TestDecodePassesOver(t *testing.T) {
	file := encode(fullLedger())
	start := len(magic) + len("3\n")
	extended := append(file[:start:start], extend(t, file[start:len(file)-4], ledgerOther, ledgerOtherDevice, ledgerDevice, ledgerClient, ledgerReadings, ledgerCounters, ledgerFlows, ledgerFault)...)
	got, err := decodeFile(sealed(extended))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullLedger(), got, sameLedger); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

// extend puts fields that are unknown at the end of a message, and of those in it.
func extend(t *testing.T, b []byte, messages ...protowire.Number) (extended []byte) {
	t.Helper()
	for len(b) > 0 {
		num, _, n := protowire.ConsumeField(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		if slices.Contains(messages, num) {
			_, _, tag := protowire.ConsumeTag(b)
			inner, _ := protowire.ConsumeBytes(b[tag:])
			extended = protowire.AppendTag(extended, num, protowire.BytesType)
			extended = protowire.AppendBytes(extended, extend(t, inner))
		} else {
			extended = append(extended, b[:n]...)
		}
		b = b[n:]
	}
	extended = protowire.AppendTag(extended, 200, protowire.VarintType)
	extended = protowire.AppendVarint(extended, math.MaxUint64)
	extended = protowire.AppendTag(extended, 201, protowire.BytesType)
	return protowire.AppendString(extended, "to come")
}

// FuzzDecode takes files without their checksums and puts the right ones under
// them: nobody would guess one, and so nobody would get past it.
func FuzzDecode(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, l := range []*state.Ledger{{}, fullLedger(), ledgerOf(2), arbitraryLedger(random), arbitraryLedger(random)} {
		file := encode(l)
		f.Add(file[:len(file)-4])
	}
	for _, name := range []string{"ledger-v1", "ledger-v2", "checkpoint-v2"} {
		file := golden(f, name)
		f.Add(file[:len(file)-4])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, file := range [][]byte{body, sealed(body)} {
			l, err := decodeFile(file)
			switch {
			case errors.Is(err, errDamaged), errors.Is(err, errNewer):
				if l != nil {
					t.Errorf("a ledger came with error %v", err)
				}
			case err != nil:
				t.Errorf("error %v is neither %q nor %q", err, errDamaged, errNewer)
			default:
				again, err := decodeFile(encode(l))
				if err != nil || !cmp.Equal(l, again, sameLedger) {
					t.Errorf("written back and read again, it is another ledger: %v\n%s", err, cmp.Diff(l, again, sameLedger))
				}
			}
		}
	})
}
