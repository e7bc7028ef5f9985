package table_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	diff "github.com/google/go-cmp/cmp"
	"golang.org/x/text/width"

	"network-metrics-exporter/state"
	"network-metrics-exporter/state/settings"
	"network-metrics-exporter/state/table"
)

var update = flag.Bool("update", false, "write the golden files anew")

var wall = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

// report has devices with one address, with several and with none, names of every
// kind that a device may give itself, and others.
func report() *state.Report {
	mac := func(n byte) state.MAC { return state.MAC{2, 0, 0, 0, 0, n} }
	device := func(n byte) state.DeviceID { return state.DeviceID{MAC: mac(n)} }
	total := func(rx, tx uint64) [2]state.Traffic {
		return [2]state.Traffic{state.Rx: {Bytes: rx, Packets: rx / 1000}, state.Tx: {Bytes: tx, Packets: tx / 1000}}
	}
	// usage is all of this month but for an eighth, half of it local.
	usage := func(rx, tx uint64, rate [2]float64, local bool) state.UsageReport {
		u := state.UsageReport{
			Total:    [2]uint64{rx, tx},
			Rate:     rate,
			Current:  [2]state.PeriodBytes{state.All: {rx - rx/8, tx - tx/8}},
			Previous: [2]state.PeriodBytes{state.All: {rx / 8, tx / 8}},
		}
		if local {
			u.Local = [2]uint64{rx / 2, tx / 2}
			u.Current[state.Local], u.Previous[state.Local] = state.PeriodBytes{rx / 4, tx / 4}, state.PeriodBytes{rx / 16, tx / 16}
		}
		return u
	}
	addr := netip.MustParseAddr
	nobody := state.DeviceID{Addr: addr("192.168.10.105")}
	red := state.CleanName("\x1b[31mred\u202e\n" + strings.Repeat("x", 40))
	client := func(address string, n byte, name string, total [2]state.Traffic, ago time.Duration) *state.Client {
		return &state.Client{
			Addr: addr(address), Device: device(n), Name: name, Source: state.FromDHCP, MAC: mac(n), Interface: "br-lan",
			CounterState: state.CounterState{Total: total}, Presence: state.Presence{Seen: wall.Add(-ago)},
		}
	}
	clients := []state.ClientReport{
		{Client: client("192.168.10.100", 1, "laptop", total(26_012_012_000, 1_000), 3*time.Second), Rate: [2]float64{20_251_256, 999_299}, Active: state.Connections{31}, ActiveKnown: true, Online: true},
		{Client: client("192.168.10.101", 2, "phone", total(999, 999_999), 0), Rate: [2]float64{0, 999.6}, Active: state.Connections{2}, ActiveKnown: true, Online: true},
		{Client: client("192.168.10.102", 3, "居間のテレビ", total(5_000_000, 5_000), 90*time.Second), Rate: [2]float64{9_995_000, 0}, ActiveKnown: true, Online: true},
		{Client: client("192.168.10.103", 4, red, total(0, 0), 50*time.Hour), ActiveKnown: true},
		{Client: &state.Client{Addr: addr("192.168.10.105"), Device: nobody, Name: state.Unknown, Source: state.FromNone, CounterState: state.CounterState{Total: total(1<<63, 1<<62)}}},
		{Client: client("192.168.10.107", 7, "camera", total(300, 0), 2*time.Hour), ActiveKnown: true},
		{Client: client("2001:db8::100", 1, "laptop", total(1_000_000, 2_000_000), 5*time.Minute), Rate: [2]float64{100, 200}, Active: state.Connections{1}, ActiveKnown: true, Online: true},
		{Client: client("2001:db8:1234:5678:abcd:ef01:2345:6789", 1, "docker", total(0, 0), 0), ActiveKnown: true},
		{Client: client("2001:db8:1234:5678:abcd:ef01:2345:6790", 6, "online", total(0, 0), -time.Hour), ActiveKnown: true},
	}
	clients[2].Source, clients[7].Source, clients[7].Seen = state.FromHosts, state.FromHosts, time.Time{}
	devices := []state.DeviceReport{
		{ID: nobody, UsageReport: usage(1<<63, 1<<62, [2]float64{}, false), Name: state.Unknown, Source: state.FromNone, Addr: clients[4].Addr},
		{ID: device(1), UsageReport: usage(26_013_012_000, 2_001_000, [2]float64{20_251_356, 999_499}, true), Name: "laptop", Source: state.FromDHCP, Addr: clients[0].Addr,
			Active: state.Connections{32}, ActiveKnown: true, Online: true, FirstSeen: wall.Add(-24 * time.Hour), Seen: clients[0].Seen},
		{ID: device(2), UsageReport: usage(1_000, 999_999, [2]float64{0, 999.6}, true), Name: "phone", Source: state.FromDHCP, Addr: clients[1].Addr,
			Active: state.Connections{2}, ActiveKnown: true, Online: true, FirstSeen: wall.Add(-time.Minute), Seen: clients[1].Seen},
		{ID: device(3), UsageReport: usage(5_000_000, 5_000, [2]float64{9_995_000, 0}, false), Name: "居間のテレビ", Source: state.FromHosts, Addr: clients[2].Addr,
			ActiveKnown: true, Online: true, FirstSeen: wall.Add(-time.Hour), Seen: clients[2].Seen},
		{ID: device(4), Name: red, Source: state.FromDHCP, Addr: clients[3].Addr, ActiveKnown: true, Seen: clients[3].Seen},
		// It has no address any more.
		{ID: device(5), UsageReport: usage(0, 10, [2]float64{}, false), Name: "cafe\u0301", Source: state.FromDHCP, ActiveKnown: true, Seen: wall.Add(-3 * time.Hour)},
		{ID: device(6), Name: "online", Source: state.FromDHCP, Addr: clients[8].Addr, ActiveKnown: true, Seen: clients[8].Seen},
	}
	others := usage(12_345, 0, [2]float64{8, 0}, false)
	return &state.Report{
		Instant:      state.Instant{Wall: wall},
		Rates:        true,
		Presence:     true,
		Local:        true,
		PeriodStarts: [2]time.Time{time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)},
		Conntrack:    &state.TrackedFlows{},
		Clients:      clients,
		Devices:      devices,
		Other:        &state.OtherReport{Total: total(12_045, 0), Rate: [2]float64{8, 0}},
		OtherDevice:  &others,
	}
}

// oneLAN is a report of networks that move nothing between them, in a period that
// begins in the middle of a month.
func oneLAN() *state.Report {
	r := report()
	r.PeriodStarts[state.Current] = time.Date(2026, 11, 15, 0, 0, 0, 0, time.UTC)
	for i := range r.Devices {
		r.Devices[i].Local = [2]uint64{}
		r.Devices[i].Current[state.Local], r.Devices[i].Previous[state.Local] = state.PeriodBytes{}, state.PeriodBytes{}
	}
	return r
}

// nothing is a report in which only the neighbours are known.
func nothing() *state.Report {
	r := report()
	r.Rates, r.Presence, r.Local, r.Conntrack, r.Other, r.OtherDevice = false, false, false, nil, nil, nil
	r.PeriodStarts = [2]time.Time{}
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
	if d := diff.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

func TestWrite(t *testing.T) {
	for _, test := range []struct {
		name    string
		report  *state.Report
		options table.Options
	}{
		{"wide", report(), table.Options{Totals: true}},
		{"addresses", report(), table.Options{Totals: true, Addresses: true}},
		{"color", report(), table.Options{Totals: true, Addresses: true, Color: true, Width: 120}},
		{"120", report(), table.Options{Totals: true, Width: 120}},
		{"80", report(), table.Options{Totals: true, Width: 80}},
		{"80-addresses", report(), table.Options{Totals: true, Addresses: true, Width: 80}},
		{"80-one-lan", oneLAN(), table.Options{Totals: true, Width: 80}},
		{"60", report(), table.Options{Totals: true, Width: 60}},
		{"40", report(), table.Options{Totals: true, Width: 40}},
		{"24", report(), table.Options{Totals: true, Width: 24}},
		{"unknown", nothing(), table.Options{}},
		{"empty", &state.Report{Rates: true, Presence: true, Conntrack: &state.TrackedFlows{}}, table.Options{Totals: true}},
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

// TestREADME renders what the README shows, on a terminal of 80 cells.
func TestREADME(t *testing.T) {
	r := oneLAN()
	r.PeriodStarts[state.Current] = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	r.Devices, r.OtherDevice = r.Devices[1:3], nil
	r.Clients = slices.DeleteFunc(r.Clients, func(c state.ClientReport) bool {
		return !slices.ContainsFunc(r.Devices, func(d state.DeviceReport) bool { return d.ID == c.Device })
	})
	var text strings.Builder
	if err := table.Write(&text, r, table.Options{Totals: true, Width: 80}); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := "\n\n    " + strings.ReplaceAll(text.String(), "\n", "\n    "); !strings.Contains(string(readme), strings.TrimSuffix(want, "    ")+"\n") {
		t.Errorf("the README does not show this:\n%s", &text)
	}
}

// TestWidth holds the table to the width of any terminal that has room for a name
// and a rate.
func TestWidth(t *testing.T) {
	for n := range 2 * 160 {
		limit := max(20, n/2)
		var text strings.Builder
		if err := table.Write(&text, report(), table.Options{Totals: true, Addresses: n%2 == 1, Width: limit}); err != nil {
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

// TestSort looks at the first five devices in each order.
func TestSort(t *testing.T) {
	for sort, want := range map[table.Sort]string{
		table.Traffic:     "laptop 居間のテレビ phone unknown cafe\u0301",
		table.Download:    "laptop 居間のテレビ phone unknown cafe\u0301",
		table.Upload:      "laptop phone 居間のテレビ unknown cafe\u0301",
		table.Month:       "unknown laptop 居間のテレビ phone cafe\u0301",
		table.Total:       "unknown laptop 居間のテレビ phone cafe\u0301",
		table.Connections: "laptop phone 居間のテレビ cafe\u0301 _[31mred__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		table.Seen:        "online phone laptop 居間のテレビ cafe\u0301",
		table.New:         "phone 居間のテレビ laptop unknown cafe\u0301",
		table.Name:        "_[31mred__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx cafe\u0301 laptop online phone",
		table.Address:     "cafe\u0301 laptop phone 居間のテレビ _[31mred__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	} {
		t.Run(string(sort), func(t *testing.T) {
			var text strings.Builder
			if err := table.Write(&text, report(), table.Options{JSON: true, Totals: true, Sort: sort}); err != nil {
				t.Fatal(err)
			}
			var document struct {
				Devices []struct{ Client string }
			}
			if err := json.Unmarshal([]byte(text.String()), &document); err != nil {
				t.Fatal(err)
			}
			var order []string
			for _, d := range document.Devices[:5] {
				order = append(order, cmp.Or(d.Client, state.Unknown))
			}
			if got := strings.Join(order, " "); got != want {
				t.Errorf("sorted by %s:\n%s, want\n%s", sort, got, want)
			}
		})
	}
	if len(table.Sorts()) != 10 {
		t.Error("not all orders are tested")
	}
	var sorts []string
	for _, s := range table.Sorts() {
		sorts = append(sorts, string(s))
	}
	if d := diff.Diff(sorts, settings.Sorts()); d != "" {
		t.Errorf("orders (-table +flag):\n%s", d)
	}
}

func TestWriteJSON(t *testing.T) {
	for name, test := range map[string]struct {
		report *state.Report
		totals bool
	}{"report.json": {report(), true}, "unknown.json": {nothing(), false}} {
		var text strings.Builder
		if err := table.Write(&text, test.report, table.Options{JSON: true, Totals: test.totals}); err != nil {
			t.Fatal(err)
		}
		golden(t, name, text.String())
	}
}
