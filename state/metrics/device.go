package metrics

import (
	"slices"

	"network-metrics-exporter/state"
)

// devices returns those of a report in the order of their series.
func devices(p *page, r *state.Report) subjects[device] {
	labels := []string{"device"}
	s := subjects[device]{all: make([]subject[device], 0, len(r.Devices)+1)}
	if r.OtherDevice != nil {
		s.others = 1
		s.all = append(s.all, subject[device]{&device{UsageReport: *r.OtherDevice}, p.labels(labels, "")})
	}
	for i, text := range p.eachLabels(labels, len(r.Devices), func(i int) [maxLabels]string { return [maxLabels]string{r.Devices[i].ID.String()} }) {
		s.all = append(s.all, subject[device]{&r.Devices[i], p.keep(text)})
	}
	slices.SortFunc(s.all, compareSubjects)
	return s
}

// deviceFamilies returns the families of devices in the order of their names.
func deviceFamilies(r *state.Report) []family[device] {
	parts := []state.Part{state.All}
	if r.Local {
		parts = append(parts, state.Local)
	}
	var periods [][]string
	for _, period := range []state.Period{state.Current, state.Previous} {
		for _, part := range parts {
			periods = append(periods, []string{period.String(), part.String()})
		}
	}
	return []family[device]{
		{name: "device_active_connections", kind: gauge, present: r.Conntrack != nil,
			help:  "The flows of client_active_connections of all addresses of the device.",
			known: func(d *device) bool { return d.ActiveKnown },
			value: func(d *device, _ direction, _ int) float64 { return float64(d.Active.Sum()) }},
		{name: "device_first_seen_timestamp_seconds", kind: gauge, present: true,
			help:  "When the device was first seen, in seconds since 1970; 0 if that is not known.",
			value: func(d *device, _ direction, _ int) float64 { return timestamp(d.FirstSeen) }},
		{name: "device_info", kind: gauge, present: true,
			help:   "What is known of the device: its name and where that came from, and its address with the latest sign of life, an IPv4 one if it has any. Always 1.",
			labels: []string{"client", "ip", "source", "mac_scope"},
			describe: func(d *device) [maxLabels]string {
				return [maxLabels]string{d.Name, addrLabel(d.Addr), string(d.Source), d.ID.MAC.Scope()}
			}},
		{name: "device_last_seen_timestamp_seconds", kind: gauge, present: true,
			help:  "When the device last gave a sign of life, in seconds since 1970.",
			known: func(d *device) bool { return !d.Seen.IsZero() },
			value: func(d *device, _ direction, _ int) float64 { return timestamp(d.Seen) }},
		{name: "device_local_traffic_bytes_total", kind: counter, present: r.Local, directed: true, others: true,
			help:  "The part of device_traffic_bytes_total whose other end is an address of the networks too.",
			value: func(of *device, d direction, _ int) float64 { return float64(of.Local[d]) }},
		{name: "device_online", kind: gauge, present: r.Presence,
			help:  "Whether any address of the device is online: 1, or 0 if none is.",
			value: func(d *device, _ direction, _ int) float64 { return boolean(d.Online) }},
		{name: "device_period_bytes", kind: gauge, present: !r.PeriodStarts[state.Current].IsZero(), directed: true, others: true,
			help:     "What device_traffic_bytes_total (scope all) and device_local_traffic_bytes_total (scope local) grew by since network_period_start_timestamp_seconds, and in the period before.",
			labels:   []string{"period", "scope"},
			variants: periods,
			value: func(of *device, d direction, variant int) float64 {
				period := [...]*[2]state.PeriodBytes{state.Current: &of.Current, state.Previous: &of.Previous}[variant/len(parts)]
				return float64(period[parts[variant%len(parts)]][d])
			}},
		{name: "device_traffic_bytes_total", kind: counter, present: true, directed: true, others: true,
			help:  "IP bytes forwarded to (rx) and from (tx) the device, whatever addresses it had.",
			value: func(of *device, d direction, _ int) float64 { return float64(of.Total[d]) }},
		{name: "device_traffic_rate_bps", kind: gauge, present: r.Rates, directed: true, others: true,
			help:  "Bits per second forwarded to (rx) and from (tx) the device over the last interval.",
			value: func(of *device, d direction, _ int) float64 { return of.Rate[d] }},
		{name: "device_traffic_rate_peak_bps", kind: gauge, present: r.Rates, directed: true,
			help:  "Highest device_traffic_rate_bps of the last minute, that of every run.",
			value: func(of *device, d direction, _ int) float64 { return of.Peak[d] }},
	}
}
