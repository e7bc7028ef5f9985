package metrics

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
	"network-metrics-exporter/testdata/strict"
)

const golden = "../../testdata/metrics.prom"

var update = flag.Bool("update", false, "write testdata/metrics.prom anew")

// hostileNames are what devices may call themselves.
var hostileNames = []string{
	`the "big" one\`,
	"two\nlines\r\n",
	"nul\x00bell\a",
	"192.168.10.1|router",
	"not \xff\xc3( UTF-8",
	"\u202eevil\u2066\u200f\u2028",
	strings.Repeat("ä", 300),
	`"} 1` + "\nclient_status{ip=\"0.0.0.0\",client=\"injected\"} 1\n#",
	"日本語 🖥️",
}

// fullReport has something in every family.
func fullReport() *state.Report {
	wall := time.Date(2026, 3, 29, 1, 59, 59, 123456789, time.UTC)
	mac := state.MAC{0x00, 0x00, 0x5e, 0x00, 0x53, 0x09}
	addr := netip.MustParseAddr
	r := &state.Report{
		Instant:      state.Instant{Boot: "0123456789abcdef0123456789abcdef", Uptime: time.Hour, Wall: wall},
		Rates:        true,
		Presence:     true,
		Local:        true,
		PeriodStarts: [2]time.Time{time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)},
		Accounting:   &state.Accounting{Layout: state.Sets, Flowtable: state.CountedFlowtable},
		Conntrack:    &state.TrackedFlows{Uptime: time.Hour - 2500*time.Millisecond, Entries: 4711, Limit: 262144},
		Resets:       3,
		Repairs:      4,
		Losses:       2,
		Other: &state.OtherReport{
			Total: [2]state.Traffic{state.Rx: {Bytes: 1 << 30, Packets: 1 << 20}, state.Tx: {Bytes: 60, Packets: 1}},
			Rate:  [2]float64{state.Rx: 512},
		},
		OtherDevice: &state.UsageReport{
			Total:   [2]uint64{1<<30 + 1000, 61},
			Local:   [2]uint64{1000, 1},
			Rate:    [2]float64{state.Rx: 512},
			Peak:    [2]float64{4096, 4096},
			Current: [2]state.PeriodBytes{state.All: {1 << 29, 30}, state.Local: {500, 0}},
		},
		Results: []state.SourceResult{
			{Source: state.Neighbor, Duration: 412 * time.Microsecond},
			{Source: state.Conntrack, Duration: 12 * time.Millisecond},
			{Source: state.NFTables, Duration: 1500 * time.Microsecond, Err: errors.New("operation not permitted")},
			{Source: state.DHCP},
		},
		Clients: []state.ClientReport{
			{
				Client: &state.Client{
					Addr: addr("192.168.10.9"), Device: state.DeviceID{MAC: mac}, Name: "laptop", Source: state.FromDHCP, MAC: mac, Interface: "br-lan",
					CounterState: state.CounterState{
						Total: [2]state.Traffic{state.Rx: {Bytes: 1<<53 + 1, Packets: 1 << 40}, state.Tx: {Bytes: math.MaxUint64, Packets: math.MaxUint64}},
					},
					Presence: state.Presence{Seen: wall},
				},
				Rate: [2]float64{state.Rx: 1e9 / 3, state.Tx: 0.1}, Peak: [2]float64{state.Rx: 1e9, state.Tx: 1}, Average: [2]float64{state.Rx: 1e8 / 3, state.Tx: 0.01},
				Active: state.Connections{1, 2, 3, math.MaxUint32 - 6}, ActiveKnown: true, Online: true,
			},
			{
				Client: &state.Client{
					Addr: addr("192.168.10.10"), Device: state.DeviceID{MAC: state.MAC{0x02, 0xff, 0x00, 0x00, 0x53, 0x10}}, Name: "printer", Source: state.FromHosts,
					MAC: state.MAC{0x02, 0xff, 0x00, 0x00, 0x53, 0x99}, Interface: "br-lan", Presence: state.Presence{Seen: time.Unix(0, 0)},
				},
				ActiveKnown: true,
			},
			{Client: &state.Client{Addr: addr("192.168.10.100"), Device: state.DeviceID{Addr: addr("192.168.10.100")}, Name: state.Unknown, Source: state.FromNone}},
			{
				Client: &state.Client{
					Addr: addr("2001:db8::9"), Device: state.DeviceID{MAC: mac}, Name: "laptop", Source: state.FromDHCP,
					MAC: mac, Interface: "br-lan", Presence: state.Presence{Seen: wall},
				},
				ActiveKnown: true, Online: true,
			},
		},
		Devices: []state.DeviceReport{
			{ID: state.DeviceID{Addr: addr("192.168.10.100")}, Addr: addr("192.168.10.100"), Name: state.Unknown, Source: state.FromNone},
			{
				UsageReport: state.UsageReport{
					Total:    [2]uint64{1<<53 + 1, math.MaxUint64},
					Local:    [2]uint64{1 << 52, 5},
					Rate:     [2]float64{1e9 / 3, 0.1},
					Peak:     [2]float64{1e9, 1},
					Current:  [2]state.PeriodBytes{state.All: {1 << 50, 7000}, state.Local: {1 << 40, 4}},
					Previous: [2]state.PeriodBytes{state.All: {1 << 51, 9000}, state.Local: {1 << 41, 1}},
				},
				ID: state.DeviceID{MAC: mac}, Name: "laptop", Source: state.FromDHCP, Addr: addr("192.168.10.9"),
				Active: state.Connections{1, 2, 3, math.MaxUint32 - 6}, ActiveKnown: true, Online: true,
				FirstSeen: wall.Add(-90 * 24 * time.Hour), Seen: wall,
			},
			// It has left, and its addresses with it.
			{ID: state.DeviceID{MAC: state.MAC{0x02, 0xff, 0x00, 0x00, 0x53, 0x10}}, Name: "printer", Source: state.FromHosts, ActiveKnown: true, Seen: time.Unix(0, 0)},
		},
	}
	for i, name := range hostileNames {
		c := &state.Client{
			Addr: netip.AddrFrom4([4]byte{192, 168, 10, byte(200 + i)}), Device: state.DeviceID{MAC: state.MAC{0x02, 0, 0, 0, 0, byte(i)}},
			Name: state.CleanName(name), Source: state.FromDHCP,
		}
		r.Clients = append(r.Clients, state.ClientReport{Client: c, ActiveKnown: true})
		r.Devices = append(r.Devices, state.DeviceReport{ID: c.Device, Name: c.Name, Source: c.Source, Addr: c.Addr, ActiveKnown: true})
	}
	return r
}

var thisRun = Run{Duration: 20125 * time.Microsecond, Version: "1.2.3", GoVersion: "go1.26.0", Protocols: true}

// mustRender returns what Render makes of a report, which has to be strictly right.
func mustRender(t *testing.T, r *state.Report) (text []byte, families map[string]*dto.MetricFamily) {
	t.Helper()
	var b bytes.Buffer
	if err := Render(&b, r, thisRun); err != nil {
		t.Fatal(err)
	}
	families, err := strict.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), families
}

func TestRender(t *testing.T) {
	got, _ := mustRender(t, fullReport())
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("testdata/metrics.prom (-want +got); go test ./state/metrics -update writes it anew:\n%s", diff)
	}
}

// TestRenderLeavesInputAlone is what lets the caller go on with its report.
func TestRenderLeavesInputAlone(t *testing.T) {
	r := fullReport()
	mustRender(t, r)
	if diff := cmp.Diff(fullReport(), r, cmpopts.EquateComparable(netip.Addr{}),
		cmp.Comparer(func(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) })); diff != "" {
		t.Errorf("the report changed (-want +got):\n%s", diff)
	}
}

// TestRenderUnknown takes away what a source did not give: its families go, and
// no others.
func TestRenderUnknown(t *testing.T) {
	flows := []string{
		"client_active_connections", "client_connections", "device_active_connections", "network_conntrack_entries", "network_conntrack_limit",
		"network_metrics_exporter_conntrack_age_seconds",
	}
	accounting := []string{
		"network_metrics_exporter_accounting_full", "network_metrics_exporter_accounting_info", "network_metrics_exporter_flowtable_active",
	}
	presence := []string{"client_status", "device_online", "network_clients_online", "network_devices_online"}
	rates := []string{
		"client_traffic_rate_avg_bps", "client_traffic_rate_bps", "client_traffic_rate_peak_bps",
		"device_traffic_rate_bps", "device_traffic_rate_peak_bps",
	}
	sources := []string{"network_metrics_exporter_source_duration_seconds", "network_metrics_exporter_source_up"}
	seen := []string{"client_last_seen_timestamp_seconds", "device_last_seen_timestamp_seconds"}
	period := []string{"device_period_bytes", "network_period_start_timestamp_seconds"}
	clients := []string{
		"client_active_connections", "client_connections", "client_info", "client_last_seen_timestamp_seconds", "client_status",
		"client_traffic_bytes", "client_traffic_packets",
		"client_traffic_rate_avg_bps", "client_traffic_rate_bps", "client_traffic_rate_peak_bps",
	}
	devices := []string{
		"device_active_connections", "device_first_seen_timestamp_seconds", "device_info", "device_last_seen_timestamp_seconds",
		"device_local_traffic_bytes_total", "device_online", "device_period_bytes", "device_traffic_bytes_total",
		"device_traffic_rate_bps", "device_traffic_rate_peak_bps",
	}
	tests := map[string]struct {
		forget func(*state.Report)
		gone   []string
	}{
		"nothing":    {func(*state.Report) {}, nil},
		"conntrack":  {func(r *state.Report) { r.Conntrack = nil }, flows},
		"accounting": {func(r *state.Report) { r.Accounting = nil }, accounting},
		"layout":     {func(r *state.Report) { r.Accounting.Layout = "" }, accounting[1:2]},
		"presence":   {func(r *state.Report) { r.Presence = false }, presence},
		"rates":      {func(r *state.Report) { r.Rates = false }, rates},
		"sources":    {func(r *state.Report) { r.Results = nil }, sources},
		"local":      {func(r *state.Report) { r.Local = false }, []string{"device_local_traffic_bytes_total"}},
		"period":     {func(r *state.Report) { r.PeriodStarts = [2]time.Time{} }, period},
		"signs of life": {func(r *state.Report) {
			for i := range r.Clients {
				r.Clients[i].Seen = time.Time{}
			}
			for i := range r.Devices {
				r.Devices[i].Seen = time.Time{}
			}
		}, seen},
		"connections": {func(r *state.Report) {
			for i := range r.Clients {
				r.Clients[i].ActiveKnown = false
			}
			for i := range r.Devices {
				r.Devices[i].ActiveKnown = false
			}
		}, flows[:3]},
		"clients": {func(r *state.Report) { r.Clients, r.Other = nil, nil }, clients},
		"devices": {func(r *state.Report) { r.Devices, r.OtherDevice = nil, nil }, devices},
		"all": {func(r *state.Report) { *r = state.Report{} },
			slices.Concat(flows, accounting, presence, rates, sources, period, clients, devices)},
	}
	_, all := mustRender(t, fullReport())
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := fullReport()
			test.forget(r)
			_, left := mustRender(t, r)
			var gone []string
			for _, family := range slices.Sorted(maps.Keys(all)) {
				if left[family] == nil {
					gone = append(gone, family)
				}
			}
			want := slices.Compact(slices.Sorted(slices.Values(test.gone)))
			if diff := cmp.Diff(want, gone); diff != "" || len(left)+len(gone) != len(all) {
				t.Errorf("families that are gone (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRenderUnknownOfOne leaves out what is not known of one client or device,
// and tells the rest.
func TestRenderUnknownOfOne(t *testing.T) {
	_, families := mustRender(t, fullReport())
	for family, want := range map[string]bool{
		"client_active_connections":           false,
		"client_connections":                  false,
		"client_last_seen_timestamp_seconds":  false,
		"client_status":                       true,
		"client_traffic_bytes":                true,
		"device_active_connections":           false,
		"device_first_seen_timestamp_seconds": true, // 0
		"device_last_seen_timestamp_seconds":  false,
		"device_online":                       true,
	} {
		got := slices.ContainsFunc(families[family].GetMetric(), func(m *dto.Metric) bool {
			return labelsOf(m)["ip"] == "192.168.10.100" || labelsOf(m)["device"] == "192.168.10.100"
		})
		if got != want {
			t.Errorf("%s of 192.168.10.100: %v, want %v", family, got, want)
		}
	}
	for _, m := range families["device_info"].GetMetric() {
		if l := labelsOf(m); (l["ip"] == "") != (l["client"] == "printer") {
			t.Errorf("ip=%q of %q, want it to be empty of the printer alone, which has no address", l["ip"], l["client"])
		}
	}
}

func labelsOf(m *dto.Metric) map[string]string {
	labels := make(map[string]string)
	for _, l := range m.Label {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}

// TestRenderOthers finds what all those moved who have no series: totals and rates,
// and nothing else.
func TestRenderOthers(t *testing.T) {
	for label, want := range map[string][]string{
		"ip":     {"client_traffic_bytes", "client_traffic_packets", "client_traffic_rate_bps"},
		"device": {"device_local_traffic_bytes_total", "device_period_bytes", "device_traffic_bytes_total", "device_traffic_rate_bps"},
	} {
		_, families := mustRender(t, fullReport())
		var got []string
		for _, name := range slices.Sorted(maps.Keys(families)) {
			for _, m := range families[name].Metric {
				labels := labelsOf(m)
				value, ok := labels[label]
				if name == "device_info" || name == "client_info" || !ok || value != "" {
					continue
				}
				got = append(got, name)
				if client, ok := labels["client"]; ok && client != "other" {
					t.Errorf("%s is called %q", name, client)
				}
			}
		}
		if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
			t.Errorf("series with %s=\"\" (-want +got):\n%s", label, diff)
		}
	}
	r := fullReport()
	r.Other, r.OtherDevice = nil, nil
	if text, _ := mustRender(t, r); bytes.Contains(text, []byte(`client="other"`)) || bytes.Contains(text, []byte(`device="",period`)) {
		t.Error("series of others, who moved nothing")
	}
}

// TestRenderFlowtable tells of a flowtable where packets pass uncounted.
func TestRenderFlowtable(t *testing.T) {
	for _, test := range []struct {
		layout state.Layout
		use    state.FlowtableUse
		want   float64
	}{
		{state.Sets, state.NoFlowtable, 0},
		{state.Sets, state.CountedFlowtable, 1},
		{state.Rules, state.UncountedFlowtable, 1},
		{state.Flows, state.NoFlowtable, 0},
		{state.Flows, state.CountedFlowtable, 0},
		{state.Flows, state.UncountedFlowtable, 1},
	} {
		r := fullReport()
		r.Accounting = &state.Accounting{Layout: test.layout, Flowtable: test.use}
		_, families := mustRender(t, r)
		if got := families["network_metrics_exporter_flowtable_active"].Metric[0].Gauge.GetValue(); got != test.want {
			t.Errorf("%s, flowtable %d: %v, want %v", test.layout, test.use, got, test.want)
		}
		if got := labelsOf(families["network_metrics_exporter_accounting_info"].Metric[0])["layout"]; got != string(test.layout) {
			t.Errorf("layout %q, want %q", got, test.layout)
		}
	}
}

// TestReaders puts the golden file before those who read it.
func TestReaders(t *testing.T) {
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "network_metrics.prom")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	lab.CheckReaders(t, path)
}

// FuzzRender gives Render what devices and interfaces may be called, whatever
// numbers there are, and sources that are missing.
func FuzzRender(f *testing.F) {
	for i, name := range hostileNames {
		f.Add(name, name, []byte(name), uint64(math.MaxUint64)>>(6*i), 0.125, int64(i), uint8(i*23))
	}
	f.Fuzz(func(t *testing.T, name, iface string, mac []byte, number uint64, rate float64, nanoseconds int64, missing uint8) {
		if math.IsNaN(rate) || math.IsInf(rate, 0) {
			return // a number of bytes over a time that is not zero
		}
		r := fullReport()
		r.Clients, r.Devices = r.Clients[:4], r.Devices[:3]
		c := state.Client{
			Name: state.CleanName(name), Source: state.FromDHCP, Interface: iface, Presence: state.Presence{Seen: time.Unix(0, nanoseconds)},
			CounterState: state.CounterState{Total: [2]state.Traffic{{Bytes: number, Packets: ^number}, {Bytes: number >> 32, Packets: number << 32}}},
		}
		told := state.ClientReport{
			Rate: [2]float64{rate, -rate}, Active: state.Connections{uint32(number)}, ActiveKnown: number%3 == 0, Online: number%2 == 0,
		}
		copy(c.MAC[:], mac)
		clients, devices := map[string]bool{}, map[string]bool{}
		for _, addr := range [...]netip.Addr{
			netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(number)))),
			netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, number), ^number))),
		} {
			c := c
			c.Addr, c.Device = addr, state.DeviceID{MAC: c.MAC}
			if c.MAC.IsZero() {
				c.Device.Addr = addr
			}
			clients[addr.String()], devices[c.Device.String()] = true, true
			r.Clients = slices.DeleteFunc(r.Clients, func(other state.ClientReport) bool { return other.Addr == addr })
			told.Client = &c
			r.Clients = append(r.Clients, told)
			r.Devices = slices.DeleteFunc(r.Devices, func(other state.DeviceReport) bool { return other.ID == c.Device })
			r.Devices = append(r.Devices, state.DeviceReport{
				UsageReport: state.UsageReport{
					Total: [2]uint64{number, ^number}, Local: [2]uint64{number >> 1, 0}, Rate: told.Rate, Peak: told.Rate,
					Current: [2]state.PeriodBytes{{number, 0}, {0, number}}, Previous: [2]state.PeriodBytes{{1, number}, {number, 1}},
				},
				ID: c.Device, Name: c.Name, Source: c.Source, Addr: addr, Active: told.Active, ActiveKnown: told.ActiveKnown,
				Online: told.Online, FirstSeen: c.Seen, Seen: c.Seen,
			})
		}
		r.Resets, r.Repairs = number, ^number
		r.Wall, r.Uptime = c.Seen, time.Duration(nanoseconds)
		bit := func(n int) bool { return missing>>n&1 == 1 }
		r.Rates, r.Presence, r.Local = !bit(0), !bit(1), !bit(7)
		if bit(2) {
			r.Accounting = nil
		}
		if bit(3) {
			r.Conntrack = nil
		}
		r.Results = r.Results[:missing>>4%5]

		_, families := mustRender(t, r)
		for _, info := range []struct {
			family, label string
			want          map[string]bool
			all           int
		}{{"client_info", "ip", clients, len(r.Clients)}, {"device_info", "device", devices, len(r.Devices)}} {
			found := 0
			for _, m := range families[info.family].GetMetric() {
				if labels := labelsOf(m); info.want[labels[info.label]] {
					if found++; labels["client"] != c.Name {
						t.Errorf("%q came out as %v", c.Name, m)
					}
				}
			}
			if found != len(info.want) || len(families[info.family].GetMetric()) != info.all {
				t.Errorf("%s has %d series, want %d; %d of these were found, want %d",
					info.family, len(families[info.family].GetMetric()), info.all, found, len(info.want))
			}
		}
	})
}

// manyClients is a report of that many clients, three to a device, that moved up to
// some gigabytes.
func manyClients(n int) *state.Report {
	r := fullReport()
	c, d := r.Clients[0], r.Devices[1]
	r.Clients, r.Devices = nil, nil
	client := *c.Client
	client.Addr = netip.MustParseAddr("10.0.0.0")
	for i := range n {
		rx, tx := uint64(i)*654_321, uint64(i)*43_210
		bps := [2]float64{float64(i%1000) * 11680 / 2.000123, float64(i%100) * 416 / 2.000123}
		peak := [2]float64{math.Ceil(2 * bps[state.Rx]), math.Ceil(2 * bps[state.Tx])}
		if i%3 == 0 {
			d.ID.MAC = state.MAC(binary.BigEndian.AppendUint32([]byte{0x02, 0}, uint32(i)))
			d.Addr = client.Addr.Next()
			d.Rate, d.Peak = bps, peak
			d.Total, d.Local = [2]uint64{rx, tx}, [2]uint64{rx / 9, tx / 9}
			d.Current = [2]state.PeriodBytes{{rx / 2, tx / 2}, {rx / 18, tx / 18}}
			d.Previous = [2]state.PeriodBytes{{rx / 3, tx / 3}, {rx / 27, tx / 27}}
			r.Devices = append(r.Devices, d)
		}
		client.Addr = client.Addr.Next()
		of := client
		c.Client = &of
		c.MAC, c.Device = d.ID.MAC, d.ID
		c.Total = [2]state.Traffic{{Bytes: rx, Packets: rx / 1400}, {Bytes: tx, Packets: tx / 90}}
		c.Rate, c.Peak, c.Average = bps, peak, [2]float64{bps[state.Rx] / 3, bps[state.Tx] / 3}
		r.Clients = append(r.Clients, c)
	}
	return r
}

func BenchmarkRender(b *testing.B) {
	run := thisRun
	run.Protocols = false
	for _, n := range []int{50, 1000, 10000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			r := manyClients(n)
			var lines, length int
			count := writerFunc(func(b []byte) (int, error) {
				lines += bytes.Count(b, []byte("\n"))
				length += len(b)
				return len(b), nil
			})
			b.ReportAllocs()
			for b.Loop() {
				lines, length = 0, 0
				if err := Render(count, r, run); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/client")
			b.ReportMetric(float64(lines)/float64(n), "lines/client")
			b.ReportMetric(float64(length)/float64(n), "bytes/client")
		})
	}
}

// A writerFunc is a writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestRenderPieces renders pages that are written in several pieces, and has the
// library render the same again, a family at a time.
func TestRenderPieces(t *testing.T) {
	for _, clients := range []int{63, 64, 65, 160} {
		got, families := mustRender(t, manyClients(clients))
		var want bytes.Buffer
		for _, name := range slices.Sorted(maps.Keys(families)) {
			if _, err := expfmt.MetricFamilyToText(&want, families[name]); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want.String(), string(got)); diff != "" {
			t.Errorf("%d clients (-library +got):\n%s", clients, diff)
		}
	}
}

// TestRenderStops at the first error of the writer, and returns it.
func TestRenderStops(t *testing.T) {
	full, writes := errors.New("full"), 0
	err := Render(writerFunc(func(b []byte) (int, error) {
		writes++
		return 0, full
	}), manyClients(192), thisRun)
	if !errors.Is(err, full) || writes != 1 {
		t.Errorf("error %v after %d writes, want %v after 1", err, writes, full)
	}
}

// TestRenderProtocols holds the numbers of flows by protocol to their sum.
func TestRenderProtocols(t *testing.T) {
	_, families := mustRender(t, fullReport())
	sum := make(map[string]float64)
	for _, m := range families["client_connections"].GetMetric() {
		sum[m.Label[0].GetValue()] += m.Gauge.GetValue()
	}
	all := families["client_active_connections"].GetMetric()
	for _, m := range all {
		if ip := m.Label[0].GetValue(); sum[ip] != m.Gauge.GetValue() {
			t.Errorf("%s has %v flows, by protocol %v", ip, m.Gauge.GetValue(), sum[ip])
		}
	}
	known := 0
	for _, c := range fullReport().Clients {
		if c.ActiveKnown {
			known++
		}
	}
	if len(all) != known || len(sum) != known {
		t.Errorf("%d clients have flows, %d by protocol, want %d", len(all), len(sum), known)
	}

	var b bytes.Buffer
	unasked := thisRun
	unasked.Protocols = false
	if err := Render(&b, fullReport(), unasked); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b.Bytes(), []byte("client_connections")) {
		t.Error("flows by protocol, which nobody asked for")
	}
}
