package table_test

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/width"

	"network-metrics-exporter/state"
	"network-metrics-exporter/state/table"
)

var update = flag.Bool("update", false, "write the golden files anew")

var wall = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

// report has devices with one address and with several, names of every kind that a
// device may give itself, and others.
func report() *state.Report {
	mac := func(n byte) state.MAC { return state.MAC{2, 0, 0, 0, 0, n} }
	total := func(rx, tx uint64) [2]state.Traffic {
		return [2]state.Traffic{state.Rx: {Bytes: rx, Packets: rx / 1000}, state.Tx: {Bytes: tx, Packets: tx / 1000}}
	}
	addr := netip.MustParseAddr
	return &state.Report{
		Instant:   state.Instant{Wall: wall},
		Rates:     true,
		Presence:  true,
		Conntrack: &state.Flows{},
		Clients: []state.ClientReport{
			{Addr: addr("192.168.10.100"), Name: "laptop", NameSource: state.FromDHCP, MAC: mac(1), Interface: "br-lan",
				Total: total(26_013_012_000, 1_000), Rate: [2]float64{20_251_356, 999_499}, Active: state.Connections{31}, Online: true, Seen: wall.Add(-3 * time.Second)},
			{Addr: addr("192.168.10.101"), Name: "phone", NameSource: state.FromDHCP, MAC: mac(2), Interface: "br-lan",
				Total: total(999, 999_999), Rate: [2]float64{0, 999.6}, Active: state.Connections{2}, Online: true, Seen: wall},
			{Addr: addr("192.168.10.102"), Name: "居間のテレビ", NameSource: state.FromHosts, MAC: mac(3), Interface: "br-lan",
				Total: total(5_000_000, 5_000), Rate: [2]float64{9_995_000, 0}, Online: true, Seen: wall.Add(-90 * time.Second)},
			{Addr: addr("192.168.10.103"), Name: state.CleanName("\x1b[31mred\u202e\n" + strings.Repeat("x", 40)), NameSource: state.FromDHCP, MAC: mac(4), Interface: "br-lan",
				Seen: wall.Add(-50 * time.Hour)},
			{Addr: addr("192.168.10.104"), Name: "cafe\u0301", NameSource: state.FromDHCP, MAC: mac(5), Interface: "br-lan",
				Total: total(0, 10), Seen: wall.Add(-3 * time.Hour)},
			{Addr: addr("192.168.10.105"), Name: state.Unknown, NameSource: state.FromNone, Total: total(1<<63, 1<<62)},
			{Addr: addr("192.168.10.106"), Name: "online", NameSource: state.FromDHCP, MAC: mac(6), Interface: "br-lan", Seen: wall.Add(time.Hour)},
			{Addr: addr("2001:db8::100"), Name: "laptop", NameSource: state.FromDHCP, MAC: mac(1), Interface: "br-lan",
				Total: total(1_000_000, 2_000_000), Rate: [2]float64{100, 200}, Active: state.Connections{1}, Online: true, Seen: wall.Add(-5 * time.Minute)},
			{Addr: addr("2001:db8:1234:5678:abcd:ef01:2345:6789"), Name: "docker", NameSource: state.FromHosts, MAC: mac(1), Interface: "br-lan"},
		},
		Other: &state.OtherReport{Total: total(12_345, 0), Rate: [2]float64{8, 0}},
	}
}

// nothing is a report in which only the neighbours are known.
func nothing() *state.Report {
	r := report()
	r.Rates, r.Presence, r.Conntrack, r.Other = false, false, nil, nil
	return r
}

// golden compares a text with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestWrite(t *testing.T) {
	for _, test := range []struct {
		name    string
		report  *state.Report
		options table.Options
	}{
		{"wide", report(), table.Options{Totals: true}},
		{"color", report(), table.Options{Totals: true, Color: true, Width: 80}},
		{"80", report(), table.Options{Totals: true, Width: 80}},
		{"40", report(), table.Options{Totals: true, Width: 40}},
		{"24", report(), table.Options{Totals: true, Width: 24}},
		{"unknown", nothing(), table.Options{}},
		{"empty", &state.Report{Rates: true, Presence: true, Conntrack: &state.Flows{}}, table.Options{Totals: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var text strings.Builder
			if err := table.Write(&text, test.report, test.options); err != nil {
				t.Fatal(err)
			}
			golden(t, test.name+".txt", text.String())
		})
	}
}

// TestWidth holds the table to the width of any terminal that has room for a name
// and a rate.
func TestWidth(t *testing.T) {
	for limit := 20; limit < 160; limit++ {
		var text strings.Builder
		if err := table.Write(&text, report(), table.Options{Totals: true, Width: limit}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text.String()) {
			if !utf8.ValidString(line) {
				t.Errorf("at width %d a character is cut: %q", limit, line)
			}
			cells := 0
			for _, r := range strings.TrimSuffix(line, "\n") {
				switch {
				case r == '\u0301':
				case width.LookupRune(r).Kind() == width.EastAsianWide:
					cells += 2
				default:
					cells++
				}
			}
			if cells > limit {
				t.Errorf("at width %d a line has %d cells: %s", limit, cells, line)
			}
		}
	}
}

func TestSort(t *testing.T) {
	for sort, want := range map[table.Sort]string{
		table.Traffic:     "laptop 居間のテレビ phone unknown cafe\u0301",
		table.Download:    "laptop 居間のテレビ phone unknown cafe\u0301",
		table.Upload:      "laptop phone 居間のテレビ unknown cafe\u0301",
		table.Total:       "unknown laptop 居間のテレビ phone cafe\u0301",
		table.Connections: "laptop phone 居間のテレビ unknown cafe\u0301",
		table.Seen:        "online phone laptop 居間のテレビ cafe\u0301",
		table.Name:        "_[31mred__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx cafe\u0301 laptop online phone",
		table.Address:     "laptop phone 居間のテレビ _[31mred__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx cafe\u0301",
	} {
		t.Run(string(sort), func(t *testing.T) {
			var text strings.Builder
			if err := table.WriteJSON(&text, report(), table.Options{Totals: true, Sort: sort}); err != nil {
				t.Fatal(err)
			}
			var document struct {
				Clients []struct{ Client, IP, MAC string }
			}
			if err := json.Unmarshal([]byte(text.String()), &document); err != nil {
				t.Fatal(err)
			}
			var order []string
			device := ""
			for _, c := range document.Clients {
				if key := c.MAC + c.IP[:4]; key != device && (c.MAC == "" || !strings.HasPrefix(device, c.MAC)) {
					device = key
					if c.Client == "" {
						c.Client = state.Unknown
					}
					order = append(order, c.Client)
				}
			}
			if got := strings.Join(order[:5], " "); got != want {
				t.Errorf("sorted by %s:\n%s, want\n%s", sort, got, want)
			}
		})
	}
	if len(table.Sorts()) != 8 {
		t.Error("not all orders are tested")
	}
}

func TestWriteJSON(t *testing.T) {
	for name, test := range map[string]struct {
		report *state.Report
		totals bool
	}{"report.json": {report(), true}, "unknown.json": {nothing(), false}} {
		var text strings.Builder
		if err := table.WriteJSON(&text, test.report, table.Options{Totals: test.totals}); err != nil {
			t.Fatal(err)
		}
		golden(t, name, text.String())
	}
}
