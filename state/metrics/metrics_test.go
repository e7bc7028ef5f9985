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
	r := &state.Report{
		Instant:    state.Instant{Boot: "0123456789abcdef0123456789abcdef", Uptime: time.Hour, Wall: wall},
		Rates:      true,
		Presence:   true,
		Accounting: &state.Accounting{Flowtable: true},
		Conntrack:  &state.Flows{Uptime: time.Hour - 2500*time.Millisecond, Entries: 4711, Limit: 262144},
		Resets:     3,
		Losses:     2,
		Other: &state.OtherReport{
			Total: [2]state.Traffic{state.Rx: {Bytes: 1 << 30, Packets: 1 << 20}, state.Tx: {Bytes: 60, Packets: 1}},
			Rate:  [2]float64{state.Rx: 512},
		},
		Probes: []state.Probe{
			{Source: state.Neighbor, Duration: 412 * time.Microsecond},
			{Source: state.NFTables, Duration: 1500 * time.Microsecond, Err: errors.New("operation not permitted")},
			{Source: state.Conntrack, Duration: 12 * time.Millisecond},
			{Source: state.DHCP},
		},
		Clients: []state.ClientReport{
			{
				Addr: netip.MustParseAddr("192.168.10.9"), Name: "laptop", NameSource: state.FromDHCP,
				MAC: state.MAC{0x00, 0x00, 0x5e, 0x00, 0x53, 0x09}, Interface: "br-lan",
				Total: [2]state.Traffic{state.Rx: {Bytes: 1<<53 + 1, Packets: 1 << 40}, state.Tx: {Bytes: math.MaxUint64, Packets: math.MaxUint64}},
				Rate:  [2]float64{state.Rx: 1e9 / 3, state.Tx: 0.1}, Peak: [2]float64{state.Rx: 1e9, state.Tx: 1}, Average: [2]float64{state.Rx: 1e8 / 3, state.Tx: 0.01},
				Active: state.Connections{1, 2, 3, math.MaxUint32 - 6}, Online: true, Seen: wall,
			},
			{
				Addr: netip.MustParseAddr("192.168.10.10"), Name: "printer", NameSource: state.FromHosts,
				MAC: state.MAC{0x02, 0xff, 0x00, 0x00, 0x53, 0x10}, Interface: "br-lan",
				Seen: time.Unix(0, 0),
			},
			{Addr: netip.MustParseAddr("192.168.10.100"), Name: state.Unknown, NameSource: state.FromNone},
			{
				Addr: netip.MustParseAddr("2001:db8::9"), Name: "laptop", NameSource: state.FromDHCP,
				MAC: state.MAC{0x00, 0x00, 0x5e, 0x00, 0x53, 0x09}, Interface: "br-lan", Online: true, Seen: wall,
			},
		},
	}
	for i, name := range hostileNames {
		r.Clients = append(r.Clients, state.ClientReport{
			Addr: netip.AddrFrom4([4]byte{192, 168, 10, byte(200 + i)}), Name: state.CleanName(name), NameSource: state.FromDHCP,
		})
	}
	return r
}

var thisRun = Run{Duration: 20125 * time.Microsecond, Version: "1.2.3", GoVersion: "go1.26.0", Protocols: true}

// render gives what Render makes of a report, which has to be strictly right.
func render(t *testing.T, r *state.Report) (text []byte, families map[string]*dto.MetricFamily) {
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
	got, _ := render(t, fullReport())
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
	render(t, r)
	if diff := cmp.Diff(fullReport(), r, cmpopts.EquateComparable(netip.Addr{}),
		cmp.Comparer(func(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) })); diff != "" {
		t.Errorf("the report changed (-want +got):\n%s", diff)
	}
}

// TestRenderUnknown takes away what a source did not give: its families go, and
// no others.
func TestRenderUnknown(t *testing.T) {
	tests := map[string]struct {
		forget func(*state.Report)
		gone   []string
	}{
		"nothing": {func(*state.Report) {}, nil},
		"conntrack": {func(r *state.Report) { r.Conntrack = nil }, []string{
			"client_active_connections", "client_connections", "network_conntrack_entries", "network_conntrack_limit", "network_metrics_exporter_conntrack_age_seconds",
		}},
		"accounting": {func(r *state.Report) { r.Accounting = nil }, []string{
			"network_metrics_exporter_accounting_full", "network_metrics_exporter_flowtable_active",
		}},
		"presence": {func(r *state.Report) { r.Presence = false }, []string{"client_status", "network_clients_online"}},
		"rates": {func(r *state.Report) { r.Rates = false }, []string{
			"client_traffic_rate_avg_bps", "client_traffic_rate_bps", "client_traffic_rate_peak_bps",
		}},
		"probes": {func(r *state.Report) { r.Probes = nil }, []string{
			"network_metrics_exporter_source_duration_seconds", "network_metrics_exporter_source_up",
		}},
		"signs of life": {func(r *state.Report) {
			for i := range r.Clients {
				r.Clients[i].Seen = time.Time{}
			}
		}, []string{"client_last_seen_timestamp_seconds"}},
		"clients": {func(r *state.Report) { r.Clients, r.Other = nil, nil }, []string{
			"client_active_connections", "client_connections", "client_info", "client_last_seen_timestamp_seconds", "client_status",
			"client_traffic_bytes", "client_traffic_packets",
			"client_traffic_rate_avg_bps", "client_traffic_rate_bps", "client_traffic_rate_peak_bps",
		}},
		"all": {func(r *state.Report) { *r = state.Report{} }, []string{
			"client_active_connections", "client_connections", "client_info", "client_last_seen_timestamp_seconds", "client_status",
			"client_traffic_bytes", "client_traffic_packets",
			"client_traffic_rate_avg_bps", "client_traffic_rate_bps", "client_traffic_rate_peak_bps",
			"network_clients_online", "network_conntrack_entries", "network_conntrack_limit",
			"network_metrics_exporter_accounting_full", "network_metrics_exporter_conntrack_age_seconds",
			"network_metrics_exporter_flowtable_active", "network_metrics_exporter_source_duration_seconds", "network_metrics_exporter_source_up",
		}},
	}
	_, all := render(t, fullReport())
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := fullReport()
			test.forget(r)
			_, left := render(t, r)
			var gone []string
			for _, family := range slices.Sorted(maps.Keys(all)) {
				if left[family] == nil {
					gone = append(gone, family)
				}
			}
			if diff := cmp.Diff(test.gone, gone); diff != "" || len(left)+len(gone) != len(all) {
				t.Errorf("families that are gone (-want +got):\n%s", diff)
			}
		})
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
	f.Fuzz(func(t *testing.T, name, device string, mac []byte, number uint64, rate float64, nanoseconds int64, missing uint8) {
		if math.IsNaN(rate) || math.IsInf(rate, 0) {
			return // a number of bytes over a time that is not zero
		}
		r := fullReport()
		r.Clients = r.Clients[:4]
		c := state.ClientReport{
			Name: state.CleanName(name), NameSource: state.FromDHCP, Interface: device,
			Total: [2]state.Traffic{{Bytes: number, Packets: ^number}, {Bytes: number >> 32, Packets: number << 32}},
			Rate:  [2]float64{rate, -rate}, Active: state.Connections{uint32(number)}, Online: number%2 == 0, Seen: time.Unix(0, nanoseconds),
		}
		copy(c.MAC[:], mac)
		clients := map[netip.Addr]bool{}
		for _, addr := range [...]netip.Addr{
			netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(number)))),
			netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, number), ^number))),
		} {
			c.Addr = addr
			clients[addr] = true
			r.Clients = slices.DeleteFunc(r.Clients, func(other state.ClientReport) bool { return other.Addr == addr })
			r.Clients = append(r.Clients, c)
		}
		r.Resets = number
		r.Wall, r.Uptime = c.Seen, time.Duration(nanoseconds)
		bit := func(n int) bool { return missing>>n&1 == 1 }
		r.Rates, r.Presence = !bit(0), !bit(1)
		if bit(2) {
			r.Accounting = nil
		}
		if bit(3) {
			r.Conntrack = nil
		}
		r.Probes = r.Probes[:missing>>4%5]

		_, families := render(t, r)
		found := 0
		for _, m := range families["client_info"].GetMetric() {
			if addr, err := netip.ParseAddr(m.Label[0].GetValue()); err == nil && clients[addr] {
				if found++; m.Label[1].GetValue() != c.Name {
					t.Errorf("%q came out as %v", c.Name, m)
				}
			}
		}
		if found != len(clients) || len(families["client_info"].GetMetric()) != len(r.Clients) {
			t.Errorf("%d clients came out as %d, %d of these as %d", len(r.Clients), len(families["client_info"].GetMetric()), len(clients), found)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	for _, n := range []int{50, 1000, 65000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			r := fullReport()
			c := r.Clients[0]
			r.Clients = nil
			c.Addr = netip.MustParseAddr("10.0.0.0")
			for range n {
				c.Addr = c.Addr.Next()
				r.Clients = append(r.Clients, c)
			}
			var lines, length int
			count := writerFunc(func(b []byte) (int, error) {
				lines += bytes.Count(b, []byte("\n"))
				length += len(b)
				return len(b), nil
			})
			b.ReportAllocs()
			for b.Loop() {
				lines, length = 0, 0
				if err := Render(count, r, thisRun); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(lines), "lines")
			b.ReportMetric(float64(length)/float64(n), "bytes/client")
		})
	}
}

// A writerFunc is a writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestRenderBatches renders more series than go at a time, and has the library
// render the same again, a family at a time.
func TestRenderBatches(t *testing.T) {
	for _, clients := range []int{batch - 1, batch, batch + 1, 5 * batch / 2} {
		r := fullReport()
		addr := netip.MustParseAddr("10.0.0.0")
		for i := range clients - len(r.Clients) {
			addr = addr.Next()
			r.Clients = append(r.Clients, state.ClientReport{Addr: addr, Name: fmt.Sprintf("client-%d", i), Total: [2]state.Traffic{{Bytes: uint64(i)}}})
		}
		got, families := render(t, r)
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

// TestRenderStops at the first error of the writer, and tells it.
func TestRenderStops(t *testing.T) {
	full, writes := errors.New("full"), 0
	err := Render(writerFunc(func(b []byte) (int, error) {
		writes++
		return 0, full
	}), fullReport(), thisRun)
	if !errors.Is(err, full) || writes != 1 {
		t.Errorf("error %v after %d writes, want %v after 1", err, writes, full)
	}
}

// TestRenderProtocols holds the numbers of flows by protocol to their sum.
func TestRenderProtocols(t *testing.T) {
	_, families := render(t, fullReport())
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
	if len(all) != len(fullReport().Clients) || len(sum) != len(all) {
		t.Errorf("%d clients have flows, %d by protocol, want %d", len(all), len(sum), len(fullReport().Clients))
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
