package week

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"time"
)

// How far back from the end which series go. Nothing asks for older ones, and
// each sample takes the time to be read.
const (
	gaugesSince = 24 * time.Hour
	nowSince    = time.Hour
	infoStep    = 4 // scrapes from one info of the time before to the next
)

// target is one scraped address, which shows a router's metrics.
type target struct {
	job string
	router
	first int // scrape
}

// targets returns those of Prometheus.
func (w *Week) targets() []target {
	return []target{
		{Job, w.routers[0], 0},
		{Job, w.routers[1], 0},
		{Job, w.routers[2], 0},
		{Elsewhere, w.routers[0], back(3 * time.Hour)},
	}
}

// Files returns the parts of the week as OpenMetrics text, about as long each, to be
// read side by side.
func (w *Week) Files() map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"traffic": w.file(target.writeTraffic),
		"local":   w.file(target.writeLocal),
		"rest":    w.file(target.writeGauges, target.writeInfo, target.writeNow, target.writeRouter),
	}
}

func (w *Week) file(parts ...func(target, *writer)) func(io.Writer) error {
	return func(to io.Writer) error {
		out := writer{Writer: bufio.NewWriterSize(to, 1<<20)}
		for _, t := range w.targets() {
			for _, part := range parts {
				part(t, &out)
			}
		}
		out.WriteString("# EOF\n")
		return out.Flush()
	}
}

// writer writes samples.
type writer struct {
	*bufio.Writer
	line []byte
}

// series writes one series from a scrape to another.
func (w *writer) series(t target, name, labels string, first, last, step int, value func(scrape int) float64) {
	if labels != "" {
		labels += ","
	}
	prefix := fmt.Sprintf("%s{%sinstance=%q,job=%q} ", name, labels, t.instance, t.job)
	for i := max(first, t.first); i <= min(last, t.last); i += step {
		w.line = append(w.line[:0], prefix...)
		w.line = strconv.AppendFloat(w.line, value(i), 'f', -1, 64)
		w.line = append(w.line, ' ')
		w.line = strconv.AppendInt(w.line, at(i).Unix(), 10)
		w.line = append(w.line, '\n')
		w.Write(w.line)
	}
}

// byDirection writes a series of a device for each direction.
func (w *writer) byDirection(t target, name, labels string, d *device, since time.Duration, value func(direction, scrape int) float64) {
	for i, direction := range Directions() {
		w.series(t, name, fmt.Sprintf("direction=%q,device=%q%s", direction, d.id, labels), max(d.first, back(since)), d.last, 1,
			func(scrape int) float64 { return value(i, scrape) })
	}
}

func (t target) writeTraffic(w *writer) {
	for _, d := range t.devices {
		w.byDirection(t, "device_traffic_bytes_total", "", d, 7*24*time.Hour, func(direction, scrape int) float64 {
			return float64(d.total[direction][scrape])
		})
	}
}

// countsLocal reports whether local traffic is told apart, which the layout "rules"
// does not.
func (t target) countsLocal() bool { return t.instance != Frozen }

func (t target) writeLocal(w *writer) {
	if !t.countsLocal() {
		return
	}
	for _, d := range t.devices {
		w.byDirection(t, "device_local_traffic_bytes_total", "", d, 7*24*time.Hour, func(direction, scrape int) float64 {
			return float64(d.local[direction][scrape])
		})
	}
}

// online reports whether a device moves more than it does when it is idle.
func (d *device) online(scrape int) bool { return d.peak[0][scrape] > 1000 || d.id == Address }

// writeGauges writes what has a history of a day.
func (t target) writeGauges(w *writer) {
	for _, d := range t.devices {
		w.byDirection(t, "device_traffic_rate_peak_bps", "", d, gaugesSince, func(direction, scrape int) float64 {
			return float64(d.peak[direction][scrape])
		})
		if d.id == Other {
			continue
		}
		label := fmt.Sprintf("device=%q", d.id)
		first := max(d.first, back(gaugesSince))
		w.series(t, "device_online", label, first, d.last, 1, func(scrape int) float64 { return oneIf(d.online(scrape)) })
		w.series(t, "device_active_connections", label, first, d.last, 1, func(scrape int) float64 {
			return float64(d.peak[0][scrape] / 1e6)
		})
	}
}

// writeInfo writes what devices are called, in the last hour at each scrape.
func (t target) writeInfo(w *writer) {
	for _, d := range t.devices {
		for i, n := range d.names {
			last := d.last
			if d.id == Other {
				continue
			}
			if i+1 < len(d.names) {
				last = d.names[i+1].from - 1
			}
			source, scope := "dhcp", "local"
			if n.client == "unknown" {
				source = "none"
			}
			if d.id == Address {
				scope = ""
			}
			labels := fmt.Sprintf("device=%q,client=%q,ip=%q,source=%q,mac_scope=%q", d.id, n.client, n.ip, source, scope)
			one := func(int) float64 { return 1 }
			first := max(n.from, d.first)
			w.series(t, "device_info", labels, first, min(last, back(nowSince)-1), infoStep, one)
			w.series(t, "device_info", labels, max(first, back(nowSince)), last, 1, one)
		}
	}
}

// writeNow writes what is only asked of now.
func (t target) writeNow(w *writer) {
	period := scrape(PeriodStart())
	for _, d := range t.devices {
		w.byDirection(t, "device_traffic_rate_bps", "", d, nowSince, func(direction, scrape int) float64 {
			return float64(d.peak[direction][scrape])
		})
		for scope, bytes := range map[string]*[2][]uint64{"all": &d.total, "local": &d.local} {
			if scope == "local" && !t.countsLocal() {
				continue
			}
			w.byDirection(t, "device_period_bytes", fmt.Sprintf(`,period="current",scope=%q`, scope), d, nowSince,
				func(direction, scrape int) float64 {
					return float64(bytes[direction][scrape] - bytes[direction][max(period, d.first)])
				})
			w.byDirection(t, "device_period_bytes", fmt.Sprintf(`,period="previous",scope=%q`, scope), d, nowSince,
				func(int, int) float64 { return float64(bytes[0][d.first]) })
		}
		if d.id == Other {
			continue
		}
		label := fmt.Sprintf("device=%q", d.id)
		first := max(d.first, back(nowSince))
		w.series(t, "device_first_seen_timestamp_seconds", label, first, d.last, 1, func(int) float64 { return float64(d.seen.Unix()) })
		w.series(t, "device_last_seen_timestamp_seconds", label, first, d.last, 1, func(scrape int) float64 { return float64(at(scrape).Unix()) })
	}
}

// writeRouter writes what the metrics say of the router and of the exporter.
func (t target) writeRouter(w *writer) {
	constant := func(name, labels string, value float64) {
		w.series(t, name, labels, 0, t.last, 1, func(int) float64 { return value })
	}
	w.series(t, "network_devices_online", "", 0, t.last, 1, func(scrape int) float64 {
		n := 0
		for _, d := range t.devices {
			n += int(oneIf(d.id != Other && d.first <= scrape && scrape <= d.last && d.online(scrape)))
		}
		return float64(n)
	})
	constant("network_devices_known", "", float64(len(t.devices)))
	constant("network_clients_online", "", float64(len(t.devices)))
	constant("network_clients_known", "", float64(len(t.devices)))
	constant("network_conntrack_entries", "", 6000)
	constant("network_conntrack_limit", "", 65536)
	constant("network_period_start_timestamp_seconds", `period="current"`, float64(PeriodStart().Unix()))
	for _, source := range []string{"nftables", "conntrack", "neighbor", "dhcp", "dns"} {
		constant("network_metrics_exporter_source_up", fmt.Sprintf("source=%q", source), 1)
		constant("network_metrics_exporter_source_duration_seconds", fmt.Sprintf("source=%q", source), 0.001)
	}
	w.series(t, "network_metrics_exporter_last_run_timestamp_seconds", "", 0, t.last, 1, func(scrape int) float64 {
		return float64(at(min(scrape, t.lastRun)).Unix() - 1)
	})
	constant("network_metrics_exporter_run_duration_seconds", "", 0.006)
	constant("network_metrics_exporter_accounting_resets_total", "", 1)
	constant("network_metrics_exporter_accounting_repairs_total", "", 2)
	constant("network_metrics_exporter_accounting_full", "", 0)
	layout := "sets"
	if !t.countsLocal() {
		layout = "rules"
	}
	constant("network_metrics_exporter_accounting_info", fmt.Sprintf("layout=%q", layout), 1)
	constant("network_metrics_exporter_flowtable_active", "", 0)
	constant("network_metrics_exporter_conntrack_age_seconds", "", 0)
	constant("network_metrics_exporter_state_losses_total", "", 0)
	constant("network_metrics_exporter_build_info", `version="0.2.0",goversion="go1.26"`, 1)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
