package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"network-metrics-exporter/state"
)

// TestDecodeVersion1 and those below hold for as long as the program is to be
// upgraded: nothing writes these files any more.
func TestDecodeVersion1(t *testing.T) {
	wall := time.Date(2026, 3, 29, 1, 59, 59, 123456789, time.UTC)
	steady := time.Duration(wall.UnixNano())
	const uptime = 93*time.Hour + 7
	seen := state.Presence{LastSeen: steady - 123456790, Seen: wall.Add(-123456790)}
	landing := time.Duration(time.Date(1969, 7, 20, 20, 17, 40, 0, time.UTC).UnixNano())
	march28 := time.Duration(time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC).UnixNano())
	laptopTotal := [2]state.Traffic{state.Rx: {Bytes: 1<<53 + 1, Packets: 1 << 40}, state.Tx: {Bytes: math.MaxUint64, Packets: math.MaxUint64}}
	phoneTotal := [2]state.Traffic{state.Rx: {Bytes: 127, Packets: 1}, state.Tx: {Bytes: 128, Packets: 2}}
	counter := func(d state.Direction, table, object, bytes, packets uint64) state.Counter {
		return state.Counter{Addr: laptop, Direction: d, ID: state.CounterID{Table: table, Object: object}, Traffic: state.Traffic{Bytes: bytes, Packets: packets}}
	}
	want := &state.Ledger{
		Instant:     state.Instant{Boot: "0123456789abcdef0123456789abcdef", Uptime: uptime, Wall: wall},
		Steady:      steady,
		Trusted:     true,
		FirstUptime: uptime,
		Networks:    []netip.Prefix{netip.MustParsePrefix("192.168.10.0/24"), netip.MustParsePrefix("2001:db8::/64")},
		Resets:      300,
		Faults: map[state.Source]string{
			state.Conntrack: "dump flows: operation not permitted",
			state.DHCP:      "",
			"\x00|\"\xff\n": "network-metrics-exporter ledger 2\n\u202e\xc3(network-metrics-exporter ledger 2\n\u202e\xc3(" +
				"network-metrics-exporter ledger 2\n\u202e\xc3(network-metrics-exporter ledger 2\n\u202e\xc3(",
		},
		LastReadings: state.Accounting{
			Layout: state.Rules,
			Counters: []state.Counter{
				counter(state.Rx, 1, 4, 1500, 1),
				counter(state.Rx, 1, 5, math.MaxUint64-1, 1<<53),
				counter(state.Rx, math.MaxUint64, 2, 0, 0),
				counter(state.Tx, 1, 6, 40, 1),
			},
			Objects: []state.CounterID{{Table: 1, Object: 4}, {Table: 1, Object: 5}, {Table: 1, Object: 6}, {Table: math.MaxUint64, Object: 2}},
		},
		Clients: []state.Client{
			{
				Addr: laptop, CounterState: state.CounterState{Total: laptopTotal},
				Device: state.DeviceID{MAC: laptopMAC}, Evidence: state.FromNeighbor, MAC: laptopMAC, Interface: "br-lan",
				Since: landing, LastActive: [2]time.Duration{steady - 7, steady - uptime + 1},
				Presence: seen, Confirmed: true, HasSeries: true,
			},
			{
				Addr: phone, CounterState: state.CounterState{Total: phoneTotal},
				Device: state.DeviceID{MAC: phoneMAC}, Evidence: state.FromNeighbor, MAC: phoneMAC, Interface: "br-guest",
				Since: march28, Confirmed: true, HasSeries: true,
			},
		},
		Devices: []state.Device{
			{
				ID: state.DeviceID{MAC: laptopMAC}, Since: landing, Presence: seen, HasSeries: true,
				Usage: state.Usage{CounterState: state.CounterState{Total: laptopTotal}, PeriodBase: [2]state.PeriodBytes{{1<<53 + 1, math.MaxUint64}}},
			},
			{
				ID: state.DeviceID{MAC: phoneMAC}, Since: march28, HasSeries: true,
				Usage: state.Usage{CounterState: state.CounterState{Total: phoneTotal}, PeriodBase: [2]state.PeriodBytes{{127, 128}}},
			},
		},
	}
	got, err := decodeFile(golden(t, "ledger-v1"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, sameLedger); diff != "" {
		t.Errorf("testdata/ledger-v1 (-want +got):\n%s", diff)
	}
}

// TestDecodeVersion2 compares what is read of files with what the program that
// wrote them published.
func TestDecodeVersion2(t *testing.T) {
	type published struct {
		client, device string
		rx, tx         state.Traffic
	}
	tests := map[string]struct {
		run        uint64
		checkpoint bool
		clients    []published
		devices    []state.Traffic // received
	}{
		"ledger-v2": {run: 4, clients: []published{
			{"192.168.10.100", "02:00:00:00:00:01", state.Traffic{Bytes: 4268, Packets: 8}, state.Traffic{Bytes: 26524, Packets: 33}},
			{"192.168.10.101", "02:00:00:00:00:02", state.Traffic{}, state.Traffic{}},
			{"192.168.10.102", "02:00:00:00:00:03", state.Traffic{}, state.Traffic{Bytes: 168, Packets: 2}},
			{"fd00:10::101", "02:00:00:00:00:02", state.Traffic{Bytes: 980, Packets: 5}, state.Traffic{Bytes: 740, Packets: 5}},
		}, devices: []state.Traffic{{Bytes: 4268, Packets: 8}, {Bytes: 980, Packets: 5}, {}}},
		"checkpoint-v2": {run: 3, checkpoint: true, clients: []published{
			{"192.168.10.100", "02:00:00:00:00:01", state.Traffic{Bytes: 4012, Packets: 7}, state.Traffic{Bytes: 25840, Packets: 30}},
			{"192.168.10.101", "02:00:00:00:00:02", state.Traffic{}, state.Traffic{}},
			{"192.168.10.102", "02:00:00:00:00:03", state.Traffic{}, state.Traffic{Bytes: 168, Packets: 2}},
			{"fd00:10::101", "02:00:00:00:00:02", state.Traffic{Bytes: 980, Packets: 5}, state.Traffic{Bytes: 740, Packets: 5}},
		}, devices: []state.Traffic{{Bytes: 4012, Packets: 7}, {Bytes: 980, Packets: 5}, {}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l, err := decodeFile(golden(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if l.Run != test.run || (l.Checkpoint != 0) != test.checkpoint || l.LastReadings.Layout != state.Sets || len(l.Networks) != 2 || len(l.Settings) != 3 {
				t.Errorf("run %d, checkpoint %v, layout %q, networks %v, settings %q", l.Run, l.Checkpoint, l.LastReadings.Layout, l.Networks, l.Settings)
			}
			var clients []published
			for i := range l.Clients {
				c := &l.Clients[i]
				clients = append(clients, published{c.Addr.String(), c.Device.String(), c.Total[state.Rx], c.Total[state.Tx]})
				if c.Since > l.Steady || l.Steady-c.Since > 3*time.Second || c.Interface != "br-lan" || !c.Seen.Equal(time.Unix(0, int64(c.LastSeen))) {
					t.Errorf("%+v, at %v", c, l.Steady)
				}
				for d := range c.Total {
					if reserved := c.Reserved[d]; test.checkpoint != (reserved.Bytes > c.Total[d].Bytes) && c.Total[d] != (state.Traffic{}) {
						t.Errorf("%v: reserved %v above %v", c.Addr, reserved, c.Total[d])
					}
				}
			}
			if diff := cmp.Diff(test.clients, clients, cmp.AllowUnexported(published{})); diff != "" {
				t.Errorf("clients (-want +got):\n%s", diff)
			}
			var devices []state.Traffic
			for i := range l.Devices {
				devices = append(devices, l.Devices[i].Total[state.Rx])
			}
			if diff := cmp.Diff(test.devices, devices); diff != "" {
				t.Errorf("devices (-want +got):\n%s", diff)
			}
			// As nothing was reset, each total is what the client's counter shows.
			for _, c := range l.LastReadings.Counters {
				for i := range l.Clients {
					if client := &l.Clients[i]; client.Addr == c.Addr && client.Total[c.Direction] != c.Traffic {
						t.Errorf("the counter of %v shows %v, its total is %v", c.Addr, c.Traffic, client.Total[c.Direction])
					}
				}
			}
			if len(l.LastReadings.Counters) != 5 || len(l.LastReadings.Objects) != 4 {
				t.Errorf("counters %v of objects %v", l.LastReadings.Counters, l.LastReadings.Objects)
			}
			mustRoundTrip(t, l)
		})
	}
}

// version2 writes a ledger of version 2 with these clients: two of one MAC, one
// without, and an address that was only ever sent to. It is a checkpoint.
func version2(wall time.Time) []byte {
	b := []byte(magic + "2\n")
	uint := func(values ...uint64) {
		for _, v := range values {
			b = binary.AppendUvarint(b, v)
		}
	}
	text := func(s string) { uint(uint64(len(s))); b = append(b, s...) }
	at := func(t time.Time) {
		if t.IsZero() {
			uint(0)
		} else {
			uint(protowire.EncodeZigZag(t.UnixNano()))
		}
	}
	text("0123456789abcdef0123456789abcdef")
	uint(uint64(time.Hour), uint64(time.Minute), 9, 1, 1) // uptime, first uptime, run, losses, a checkpoint
	at(wall)
	uint(5) // resets
	text("sets")
	uint(0, 0, 0, 1, 7) // settings, networks, faults; one baseline
	for range 2 {
		uint(100, 1, 50, 0, 0, 10, 1) // total, since the baseline, least to publish, reserved
	}
	uint(1, 8) // one slot
	uint(4)    // clients
	for _, c := range []struct {
		addr  string
		mac   byte
		since time.Time
	}{
		{"192.168.10.9", 1, wall.Add(-time.Hour)},
		{"192.168.10.66", 0, time.Time{}},
		{"192.168.10.100", 0, wall.Add(time.Hour)}, // the clock ran ahead
		{"2001:db8::1:2", 1, wall.Add(-2 * time.Hour)},
	} {
		text(string(netip.MustParseAddr(c.addr).AsSlice()))
		for object := range uint64(2) {
			uint(1000, 10, uint64(50*time.Minute), 1, 3, 4+object, 700, 7) // total, last active, one counter
			uint(0, 500, 5, 1600, 15)                                      // since the baseline, least to publish, reserved
		}
		uint(33) // bytes of others
		b = append(b, 0, 0, 0, 0, 0, c.mac)
		text("br-lan")
		at(c.since)
		at(c.since)
		uint(1, 0, 1, 2, 3, 4) // a slot
	}
	uint(0, 0) // flows, questions
	return sealed(b)
}

func TestDecodeVersion2Totals(t *testing.T) {
	wall := time.Date(2026, 3, 29, 1, 59, 59, 123456789, time.UTC)
	l, err := decodeFile(version2(wall))
	if err != nil {
		t.Fatal(err)
	}
	total, reserved := state.Traffic{Bytes: 1500, Packets: 15}, state.Traffic{Bytes: 2600, Packets: 25}
	steady := time.Duration(wall.UnixNano())
	var got []string
	for i := range l.Clients {
		c := &l.Clients[i]
		got = append(got, fmt.Sprint(c.Addr, " of ", c.Device, " since ", l.Steady-c.Since, ", active ", l.Steady-c.LastActive[state.Tx], " ago"))
		if c.Total != [2]state.Traffic{total, total} || c.Reserved != [2]state.Traffic{reserved, reserved} || c.OtherBytes != 33 {
			t.Errorf("%+v", c)
		}
	}
	for i := range l.Devices {
		d := &l.Devices[i]
		got = append(got, fmt.Sprint(d.ID, " since ", l.Steady-d.Since, ", ", d.Total[state.Rx], d.Reserved[state.Rx], d.OtherBytes, d.PeriodBase[state.All]))
	}
	want := []string{
		"192.168.10.9 of 00:00:00:00:00:01 since 1h0m0s, active 10m0s ago",
		"192.168.10.100 of 192.168.10.100 since 0s, active 10m0s ago",
		"2001:db8::1:2 of 00:00:00:00:00:01 since 2h0m0s, active 10m0s ago",
		"192.168.10.100 since 0s, {1500 15} {2600 25} 33 [1500 1500]",
		"00:00:00:00:00:01 since 2h0m0s, {3000 30} {5200 50} 66 [3000 3000]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("clients and devices (-want +got):\n%s", diff)
	}
	others := [2]state.Traffic{{Bytes: 100, Packets: 1}, {Bytes: 100, Packets: 1}}
	if l.Other.Total != others || l.Losses != 1 || l.Resets != 5 || l.Run != 9 || l.FirstUptime != time.Minute || l.Steady != steady || l.Checkpoint == 0 {
		t.Errorf("%+v", l)
	}
	// Also those of who is no client: what they show is not new.
	if len(l.LastReadings.Counters) != 8 || len(l.LastReadings.Objects) != 2 {
		t.Errorf("counters %v of objects %v", l.LastReadings.Counters, l.LastReadings.Objects)
	}
	mustRoundTrip(t, l)
	if l, err := decodeFile(version2(time.Unix(1, 0))); err != nil || l.Trusted {
		t.Errorf("%v: a wall clock at 1970 is trusted: %v", err, l.Trusted)
	}
}
