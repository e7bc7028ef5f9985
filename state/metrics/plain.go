package metrics

import (
	"cmp"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"network-metrics-exporter/state"
)

// plainFamily is a metric family that is of no client and no device.
type plainFamily struct {
	name, help string
	kind       dto.MetricType
	present    bool // whether it is known
	labels     []string
	points     []point
}

// point is one series of a plainFamily.
type point struct {
	value  float64
	labels []string // the values of plainFamily.labels
}

// one returns the only series of a family without labels.
func one(value float64) []point { return []point{{value: value}} }

func renderPlain(p *page, families []plainFamily) {
	for _, f := range families {
		if !f.present {
			continue
		}
		p.begin(f.name, f.help, f.kind)
		for _, s := range f.points {
			p.add(s.value, p.labels(f.labels, s.labels...))
		}
	}
}

// networkFamilies returns what is known of the network, in the order of the names.
// The name of periodFamilies is the last of all.
func networkFamilies(r *state.Report) []plainFamily {
	var clients, devices float64
	for i := range r.Clients {
		clients += boolean(r.Clients[i].Online)
	}
	for i := range r.Devices {
		devices += boolean(r.Devices[i].Online)
	}
	flows := r.Conntrack
	if flows == nil {
		flows = &state.TrackedFlows{}
	}
	return []plainFamily{
		{name: "network_clients_known", kind: gauge, present: true, points: one(float64(len(r.Clients))),
			help: "Clients in the metrics."},
		{name: "network_clients_online", kind: gauge, present: r.Presence, points: one(clients),
			help: "Clients that are online."},
		{name: "network_conntrack_entries", kind: gauge, present: r.Conntrack != nil, points: one(float64(flows.Entries)),
			help: "Entries in the connection tracking table."},
		{name: "network_conntrack_limit", kind: gauge, present: r.Conntrack != nil, points: one(float64(flows.Limit)),
			help: "Size of the connection tracking table: beyond it new flows are dropped."},
		{name: "network_devices_known", kind: gauge, present: true, points: one(float64(len(r.Devices))),
			help: "Devices in the metrics."},
		{name: "network_devices_online", kind: gauge, present: r.Presence, points: one(devices),
			help: "Devices that are online."},
	}
}

// programFamilies returns what the program knows of itself, in the order of the
// names.
func programFamilies(r *state.Report, run Run) []plainFamily {
	const prefix = "network_metrics_exporter_"
	var age float64
	if r.Conntrack != nil {
		age = (r.Uptime - r.Conntrack.Uptime).Seconds()
	}
	accounting := r.Accounting
	if accounting == nil {
		accounting = &state.Accounting{}
	}
	var durations, ups []point
	for _, s := range slices.SortedFunc(slices.Values(r.Results), func(a, b state.SourceResult) int { return cmp.Compare(a.Source, b.Source) }) {
		source := []string{string(s.Source)}
		durations = append(durations, point{s.Duration.Seconds(), source})
		ups = append(ups, point{boolean(s.Err == nil), source})
	}
	return []plainFamily{
		{name: prefix + "accounting_full", kind: gauge, present: r.Accounting != nil, points: one(boolean(accounting.Full)),
			help: "Whether a client found no place among the counters, and is counted with all others or not at all: 1, or 0 if there is room."},
		{name: prefix + "accounting_info", kind: gauge, present: accounting.Layout != "", labels: []string{"layout"},
			points: []point{{1, []string{string(accounting.Layout)}}},
			help:   "The way in which bytes are counted: sets, rules or flows. Always 1."},
		{name: prefix + "accounting_repairs_total", kind: counter, present: true, points: one(float64(r.Repairs)),
			help: "Runs that had to put back something of the accounting that was gone from the ruleset."},
		{name: prefix + "accounting_resets_total", kind: counter, present: true, points: one(float64(r.Resets)),
			help: "Runs that found counters of the kernel gone or fallen without a reboot: what they had counted since the run before is lost."},
		{name: prefix + "build_info", kind: gauge, present: true, labels: []string{"version", "goversion"},
			points: []point{{1, []string{run.Version, run.GoVersion}}},
			help:   "The program that wrote this file. Always 1."},
		{name: prefix + "conntrack_age_seconds", kind: gauge, present: r.Conntrack != nil, points: one(age),
			help: "How much older than this file's sample the counts of flows are."},
		{name: prefix + "flowtable_active", kind: gauge, present: r.Accounting != nil, points: one(boolean(accounting.IsBypassed())),
			help: "Whether a flowtable (offload) lets packets pass uncounted: 1, or 0 if none does."},
		{name: prefix + "last_run_timestamp_seconds", kind: gauge, present: true, points: one(timestamp(r.Wall)),
			help: "When this file's sample was taken, in seconds since 1970."},
		{name: prefix + "run_duration_seconds", kind: gauge, present: true, points: one(run.Duration.Seconds()),
			help: "How long the run took until this file was written."},
		{name: prefix + "source_duration_seconds", kind: gauge, present: true, labels: []string{"source"}, points: durations,
			help: "How long it took to ask the source."},
		{name: prefix + "source_up", kind: gauge, present: true, labels: []string{"source"}, points: ups,
			help: "Whether the source gave all that it was asked for: 1, or 0 if it did not."},
		{name: prefix + "state_losses_total", kind: counter, present: true, points: one(float64(r.Losses)),
			help: "Runs that found the state of the run before gone or damaged, and went on from an older one or none."},
	}
}

// periodFamilies returns the family that tells when the periods of
// device_period_bytes began.
func periodFamilies(r *state.Report) []plainFamily {
	f := plainFamily{name: "network_period_start_timestamp_seconds", kind: gauge, present: true, labels: []string{"period"},
		help: "When the period began, in seconds since 1970: at midnight of --period-start, local time."}
	for period, start := range r.PeriodStarts {
		if !start.IsZero() {
			f.points = append(f.points, point{timestamp(start), []string{state.Period(period).String()}})
		}
	}
	return []plainFamily{f}
}
