package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"network-metrics-exporter/state"
)

// sameLedger tells no difference between an empty map or list and none.
var sameLedger = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}

var (
	laptop  = netip.MustParseAddr("192.168.10.9")
	phone   = netip.MustParseAddr("2001:db8::1:2")
	visitor = netip.MustParseAddr("192.168.10.100")
)

// fullLedger holds something in every field.
func fullLedger() *state.Ledger {
	l := firstLedger()
	l.Opened = 92 * time.Hour
	l.Run = 1 << 40
	l.Losses = 2
	l.Layout = state.Sets
	l.Settings = []string{"--interface=br-lan", "--accounting=sets", ""}
	l.Other = state.Tally{
		Total: [2]state.Traffic{{Bytes: math.MaxUint64, Packets: 3}, {Bytes: 1}},
		Marks: [3][2]uint64{{7, 0}, {math.MaxUint64, 1}},
	}
	l.Flows = &state.Flows{
		Active: map[netip.Addr]state.Connections{laptop: {1, math.MaxUint32, 0, 300}, phone: {}},
		Uptime: 92 * time.Hour,
		Cost:   250 * time.Millisecond,
	}
	l.Buckets = []time.Duration{93*time.Hour - time.Minute, 93*time.Hour - 10*time.Second}
	c := l.Clients[laptop]
	c.Bursts = []state.Burst{
		{Bucket: l.Buckets[0], Bytes: [2]uint64{state.Rx: 1500, state.Tx: 40}, Peak: [2]uint64{state.Rx: 6000, state.Tx: 160}},
		{Bucket: l.Buckets[1], Bytes: [2]uint64{state.Tx: math.MaxUint64}, Peak: [2]uint64{state.Tx: 1 << 63}},
	}
	l.Clients[laptop] = c
	c = l.Clients[phone]
	c.Folded = 1 << 60
	c.Bursts = []state.Burst{{Bucket: l.Buckets[1], Bytes: [2]uint64{state.Rx: 1}, Peak: [2]uint64{state.Rx: 4}}}
	c.Floor = [2]state.Traffic{state.Rx: {Bytes: math.MaxUint64, Packets: 1}, state.Tx: {Bytes: 128, Packets: math.MaxUint64}}
	l.Clients[phone] = c
	l.Asked = map[netip.Addr]time.Duration{laptop: 92 * time.Hour, phone: 1}
	return l
}

// fullCheckpoint holds something in every field, too.
func fullCheckpoint() *state.Ledger {
	l := fullLedger()
	return l.Checkpoint(nil, time.Minute)
}

// firstLedger holds something in every field of version 1. It is what
// testdata/ledger-v1 holds: whoever changes it loses the proof that it is read.
func firstLedger() *state.Ledger {
	return &state.Ledger{
		Instant: state.Instant{
			Boot:   "0123456789abcdef0123456789abcdef",
			Uptime: 93*time.Hour + 7*time.Nanosecond,
			Wall:   time.Date(2026, 3, 29, 1, 59, 59, 123456789, time.UTC),
		},
		Clients: map[netip.Addr]state.Client{
			laptop: {
				Tally: state.Tally{
					Total: [2]state.Traffic{state.Rx: {Bytes: 1<<53 + 1, Packets: 1 << 40}, state.Tx: {Bytes: math.MaxUint64, Packets: math.MaxUint64}},
					Marks: [3][2]uint64{{0, math.MaxUint64 - 1}, {1<<53 + 1, math.MaxUint64}},
				},
				Counted: [2][]state.Reading{
					state.Rx: {
						{ID: state.CounterID{Table: 1, Object: 4}, Traffic: state.Traffic{Bytes: 1500, Packets: 1}},
						{ID: state.CounterID{Table: 1, Object: 5}, Traffic: state.Traffic{Bytes: math.MaxUint64 - 1, Packets: 1 << 53}},
						{ID: state.CounterID{Table: math.MaxUint64, Object: 2}},
					},
					state.Tx: {{ID: state.CounterID{Table: 1, Object: 6}, Traffic: state.Traffic{Bytes: 40, Packets: 1}}},
				},
				Moved:     [2]time.Duration{state.Rx: 93 * time.Hour, state.Tx: time.Nanosecond},
				MAC:       state.MAC{0x00, 0x00, 0x5e, 0x00, 0x53, 0x01},
				Interface: "br-lan",
				Since:     time.Date(1969, 7, 20, 20, 17, 40, 0, time.UTC), // a router without a clock of its own
				Seen:      time.Date(2026, 3, 29, 1, 59, 58, 999999999, time.UTC),
			},
			phone: {
				Tally: state.Tally{
					Total: [2]state.Traffic{state.Rx: {Bytes: 127, Packets: 1}, state.Tx: {Bytes: 128, Packets: 2}},
					Marks: [3][2]uint64{{100, 0}, {127, 128}},
				},
				MAC:       state.MAC{0x02, 0xff, 0x00, 0x00, 0x53, 0x02},
				Interface: "br-guest",
				Since:     time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC),
			},
			visitor: {},
		},
		Opened:   93*time.Hour + 7*time.Nanosecond,
		Layout:   state.Rules,
		Marks:    []time.Duration{93*time.Hour - 4*time.Second, 93*time.Hour + 7*time.Nanosecond},
		Networks: []netip.Prefix{netip.MustParsePrefix("192.168.10.0/24"), netip.MustParsePrefix("2001:db8::/64")},
		Resets:   300,
		Faults: map[state.Source]string{
			state.Conntrack: "dump flows: operation not permitted",
			state.DHCP:      "",
			"\x00|\"\xff\n": strings.Repeat("network-metrics-exporter ledger 2\n\u202e\xc3(", 4),
		},
	}
}

func TestLedgerRoundTrip(t *testing.T) {
	tests := map[string]struct{ in, want *state.Ledger }{
		"zero":                  {in: &state.Ledger{}},
		"full":                  {in: fullLedger()},
		"checkpoint":            {in: fullCheckpoint()},
		"marks without clients": {in: &state.Ledger{Marks: []time.Duration{1, math.MaxInt64}}},
		"the first and last moments": {in: &state.Ledger{
			Instant: state.Instant{Uptime: math.MaxInt64, Wall: time.Unix(0, math.MinInt64)},
			Clients: map[netip.Addr]state.Client{laptop: {
				Moved: [2]time.Duration{math.MaxInt64, math.MaxInt64},
				Since: time.Unix(0, math.MaxInt64),
				Seen:  time.Unix(0, -1),
			}},
		}},
		"the smallest and largest addresses": {in: &state.Ledger{
			Clients: map[netip.Addr]state.Client{
				netip.IPv4Unspecified():                  {},
				netip.MustParseAddr("255.255.255.255"):   {},
				netip.IPv6Unspecified():                  {},
				netip.MustParseAddr("ffff:ffff::ffff:0"): {},
			},
			Networks: []netip.Prefix{
				netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("255.255.255.255/32"),
				netip.MustParsePrefix("::/0"), netip.MustParsePrefix("2001:db8::1/128"),
			},
		}},
		"hostile text": {in: &state.Ledger{
			Instant: state.Instant{Boot: "network-metrics-exporter ledger 2\n\x00\xff"},
			Clients: map[netip.Addr]state.Client{laptop: {Interface: strings.Repeat("\x80", 70000)}},
			Faults:  map[state.Source]string{"": "\r\n", "\xff": ""},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := test.want
			if want == nil {
				want = test.in
			}
			file := encode(test.in)
			got, err := decode(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, sameLedger); diff != "" {
				t.Errorf("what came back differs from what went in (-want +got):\n%s", diff)
			}
			if again := encode(got); !bytes.Equal(again, file) {
				t.Errorf("the same ledger was written differently:\n%q\n%q", file, again)
			}
		})
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

// TestDecodeVersion1 holds for as long as the program is to be upgraded: the
// file is never written again, whatever the newest version may look like.
func TestDecodeVersion1(t *testing.T) {
	file, err := os.ReadFile("../../testdata/ledger-v1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(firstLedger(), got, sameLedger); diff != "" {
		t.Errorf("testdata/ledger-v1 (-want +got):\n%s", diff)
	}
}

// mustBeDamaged fails the test unless a file is refused as damaged.
func mustBeDamaged(t *testing.T, file []byte, how string) {
	t.Helper()
	if l, err := decode(file); l != nil || !errors.Is(err, errDamaged) {
		t.Fatalf("%s: got ledger %v and error %v, want none and %q", how, l, err, errDamaged)
	}
}

func TestDecodeCutShort(t *testing.T) {
	file := encode(fullLedger())
	for n := range file {
		mustBeDamaged(t, file[:n], fmt.Sprintf("cut after %d of %d bytes", n, len(file)))
	}
	mustBeDamaged(t, append(file, 0), "a byte longer")
	mustBeDamaged(t, append(bytes.Clone(file), file...), "twice in a row")
}

func TestDecodeFlippedBit(t *testing.T) {
	file := encode(fullLedger())
	for bit := range 8 * len(file) {
		file[bit/8] ^= 1 << (bit % 8)
		mustBeDamaged(t, file, fmt.Sprintf("bit %d of byte %d flipped", bit%8, bit/8))
		file[bit/8] ^= 1 << (bit % 8)
	}
}

// sealed puts the right checksum under a file.
func sealed(body []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(body), checksum(body))
}

// TestDecodeRefuses is about files with the right checksum that no version of
// this program has written, and about their sound neighbours: in version 1, but for bursts.
func TestDecodeRefuses(t *testing.T) {
	const head = magic + "1\n"
	// An empty ledger is eight zeros: boot, uptime, wall, resets, and the lengths
	// of networks, faults, marks and clients.
	const start = head + "\x00\x00\x00\x00"
	client := func(addr netip.Addr) string {
		var e encoder
		e.addr(addr)
		return string(e.b) + strings.Repeat("\x00", 17)
	}
	bursts := func(buckets []time.Duration, bursts ...state.Burst) string {
		file := encode(&state.Ledger{Buckets: buckets, Clients: map[netip.Addr]state.Client{laptop: {Bursts: bursts}}})
		return string(file[:len(file)-4])
	}
	tests := map[string]struct {
		body string
		want error
	}{
		"sound: nothing in it": {start + "\x00\x00\x00\x00", nil},
		"sound: a network":     {start + "\x01\x04\x0a\x00\x00\x00\x18\x00\x00\x00", nil},
		"sound: two faults":    {start + "\x00\x02\x01a\x01x\x01b\x01y\x00\x00", nil},
		"sound: two clients":   {start + "\x00\x00\x00\x02" + client(laptop) + client(visitor), nil},
		"sound: a total that rose since a mark": {start + "\x00\x00\x01\x09\x01\x04\x0a\x00\x00\x01" +
			"\x05\x00\x00\x00\x05" + "\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00", nil},
		"nothing":                    {"", errDamaged},
		"a head alone":               {head, errDamaged},
		"another program's file":     {"network-traffic-exporter ledger 1\n\x00\x00\x00\x00\x00\x00\x00\x00", errDamaged},
		"no line":                    {magic + "1", errDamaged},
		"no version":                 {magic + "\n\x00\x00\x00\x00\x00\x00\x00\x00", errDamaged},
		"version 0":                  {magic + "0\n\x00\x00\x00\x00\x00\x00\x00\x00", errDamaged},
		"version -1":                 {magic + "-1\n\x00\x00\x00\x00\x00\x00\x00\x00", errDamaged},
		"version 01":                 {magic + "01\n\x00\x00\x00\x00\x00\x00\x00\x00", errDamaged},
		"version +1":                 {magic + "+1\n\x00\x00\x00\x00\x00\x00\x00\x00", errDamaged},
		"version one":                {magic + "one\n\x00\x00\x00\x00\x00\x00\x00\x00", errDamaged},
		"version beyond all numbers": {magic + "99999999999999999999\n", errDamaged},
		"version 3":                  {magic + "3\nwhatever it holds", errNewer},
		"version 3, nothing else":    {magic + "3\n", errNewer},
		"a field too few":            {start + "\x00\x00\x00", errDamaged},
		"a byte too many":            {start + "\x00\x00\x00\x00\x00", errDamaged},
		"a string that is too long":  {head + "\x05boot", errDamaged},
		"a padded number":            {head + "\x00\x80\x00\x00\x00\x00\x00\x00\x00", errDamaged},
		"a padded time":              {head + "\x00\x00\x80\x00\x00\x00\x00\x00\x00", errDamaged},
		"a number of 65 bits":        {head + "\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00", errDamaged},
		"a negative uptime":          {head + "\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x00\x00\x00\x00\x00\x00", errDamaged},
		"more networks than bytes":   {start + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", errDamaged},
		"a network of no family":     {start + "\x01\x05\x01\x02\x03\x04\x05\x18\x00\x00\x00", errDamaged},
		"a network without address":  {start + "\x01\x00\x18\x00\x00\x00", errDamaged},
		"a prefix of 33 bits":        {start + "\x01\x04\x0a\x00\x00\x00\x21\x00\x00\x00", errDamaged},
		"a prefix of 2^16 bits":      {start + "\x01\x04\x0a\x00\x00\x00\x80\x80\x04\x00\x00\x00", errDamaged},
		"a fault twice":              {start + "\x00\x02\x01a\x01x\x01a\x01y\x00\x00", errDamaged},
		"faults out of order":        {start + "\x00\x02\x01b\x01x\x01a\x01y\x00\x00", errDamaged},
		"IPv4 in an IPv6 address":    {start + "\x00\x00\x00\x01" + client(netip.MustParseAddr("::ffff:192.168.10.9")), errDamaged},
		"a client twice":             {start + "\x00\x00\x00\x02" + client(laptop) + client(laptop), errDamaged},
		"clients out of order":       {start + "\x00\x00\x00\x02" + client(visitor) + client(laptop), errDamaged},
		"more clients than there":    {start + "\x00\x00\x00\x02" + client(laptop), errDamaged},
		"a total that fell since a mark": {start + "\x00\x00\x01\x09\x01\x04\x0a\x00\x00\x01" +
			"\x05\x00\x00\x00\x06" + "\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00", errDamaged},

		"sound: bursts":        {bursts([]time.Duration{5, 7}, state.Burst{Bucket: 5}, state.Burst{Bucket: 7}), nil},
		"a bucket twice":       {bursts([]time.Duration{5, 5}), errDamaged},
		"buckets out of order": {bursts([]time.Duration{7, 5}), errDamaged},
		"a burst twice":        {bursts([]time.Duration{5, 7}, state.Burst{Bucket: 5}, state.Burst{Bucket: 5}), errDamaged},
		"bursts out of order":  {bursts([]time.Duration{5, 7}, state.Burst{Bucket: 7}, state.Burst{Bucket: 5}), errDamaged},
		"a burst of no bucket": {bursts([]time.Duration{5, 7}, state.Burst{Bucket: 6}), errDamaged},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if l, err := decode(sealed([]byte(test.body))); (l != nil) != (test.want == nil) || !errors.Is(err, test.want) {
				t.Errorf("got ledger %v and error %v, want error %v", l, err, test.want)
			}
		})
	}
}

// FuzzDecode takes files without their checksums and puts the right ones under
// them: nobody would guess one, and so nobody would get past it.
func FuzzDecode(f *testing.F) {
	for _, l := range []*state.Ledger{{}, fullLedger(), fullCheckpoint(), ledgerOf(2)} {
		file := encode(l)
		f.Add(file[:len(file)-4])
	}
	golden, err := os.ReadFile(filepath.Join("..", "..", "testdata", "ledger-v1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden) // with one checksum more
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, file := range [][]byte{body, sealed(body)} {
			l, err := decode(file)
			switch {
			case errors.Is(err, errDamaged), errors.Is(err, errNewer):
				if l != nil {
					t.Errorf("a ledger came with error %v", err)
				}
			case err != nil:
				t.Errorf("error %v is neither %q nor %q", err, errDamaged, errNewer)
			case bytes.HasPrefix(file, []byte(magic+strconv.Itoa(version)+"\n")) && !bytes.Equal(encode(l), file):
				t.Errorf("read and written back, it is another file:\n%q\n%q", file, encode(l))
			default:
				if again, err := decode(encode(l)); err != nil || !cmp.Equal(l, again, sameLedger) {
					t.Errorf("written back and read again, it is another ledger: %v", err)
				}
			}
		}
	})
}

// ledgerOf gives the ledger of a LAN of n clients, as an hour of runs leaves it.
func ledgerOf(n int) *state.Ledger {
	l := &state.Ledger{
		Instant:  state.Instant{Boot: "0123456789abcdef0123456789abcdef", Uptime: time.Hour, Wall: time.Unix(1767225600, 123456789)},
		Clients:  make(map[netip.Addr]state.Client, n),
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Layout:   state.Rules,
		Marks:    []time.Duration{time.Hour - 2*time.Second, time.Hour},
	}
	for before := time.Minute; before > 0; before -= 10 * time.Second {
		l.Buckets = append(l.Buckets, time.Hour-before)
	}
	var bursts []state.Burst
	for _, b := range l.Buckets {
		bursts = append(bursts, state.Burst{Bucket: b, Bytes: [2]uint64{750000, 30000}, Peak: [2]uint64{2400000, 96000}})
	}
	addr := netip.MustParseAddr("10.0.0.0")
	for i := range n {
		addr = addr.Next()
		rx, tx := state.Traffic{Bytes: 1<<32 + uint64(i)*1500, Packets: 1<<22 + uint64(i)}, state.Traffic{Bytes: 1<<28 + uint64(i)*60, Packets: 1<<21 + uint64(i)}
		l.Clients[addr] = state.Client{
			Tally: state.Tally{
				Total: [2]state.Traffic{rx, tx},
				Marks: [3][2]uint64{{rx.Bytes - 150000, tx.Bytes - 6000}, {rx.Bytes, tx.Bytes}},
			},
			Counted: [2][]state.Reading{
				{{ID: state.CounterID{Table: 3, Object: uint64(2 * i)}, Traffic: rx}},
				{{ID: state.CounterID{Table: 3, Object: uint64(2*i + 1)}, Traffic: tx}},
			},
			Moved:     [2]time.Duration{time.Hour, time.Hour},
			MAC:       state.MAC{0, 0, 0x5e, 0, byte(i >> 8), byte(i)},
			Interface: "br-lan",
			Since:     time.Unix(1767222000, 987654321),
			Seen:      time.Unix(1767225599, 987654321),
			Bursts:    bursts,
		}
	}
	return l
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{50, 1000, 65000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			l := ledgerOf(n)
			var file []byte
			b.ReportAllocs()
			for b.Loop() {
				file = encode(l)
			}
			b.ReportMetric(float64(len(file))/float64(n), "bytes/client")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{50, 1000, 65000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			file := encode(ledgerOf(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decode(file); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(file))/float64(n), "bytes/client")
		})
	}
}
