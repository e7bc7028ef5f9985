package metrics

import (
	"slices"

	"network-metrics-exporter/state"
)

// clients returns those of a report in the order of their series.
func clients(p *page, r *state.Report) subjects[client] {
	labels := []string{"ip", "client"}
	s := subjects[client]{all: make([]subject[client], 0, len(r.Clients)+1)}
	if o := r.Other; o != nil {
		s.others = 1
		s.all = append(s.all, subject[client]{&client{Client: &state.Client{CounterState: state.CounterState{Total: o.Total}}, Rate: o.Rate}, p.labels(labels, "", state.OtherName)})
	}
	values := func(i int) [maxLabels]string { return [maxLabels]string{r.Clients[i].Addr.String(), r.Clients[i].Name} }
	for i, text := range p.eachLabels(labels, len(r.Clients), values) {
		s.all = append(s.all, subject[client]{&r.Clients[i], p.keep(text)})
	}
	slices.SortFunc(s.all, compareSubjects)
	return s
}

// clientFamilies returns the families of clients in the order of their names.
func clientFamilies(r *state.Report, run Run) []family[client] {
	activeKnown := func(c *client) bool { return c.ActiveKnown }
	return []family[client]{
		{name: "client_active_connections", kind: gauge, present: r.Conntrack != nil,
			help:  "Tracked flows that the client is an end of, each counted once; TCP flows in TIME_WAIT or CLOSE and flows without a reply are left out.",
			known: activeKnown,
			value: func(c *client, _ direction, _ int) float64 { return float64(c.Active.Sum()) }},
		{name: "client_connections", kind: gauge, present: r.Conntrack != nil && run.Protocols,
			help:     "The flows of client_active_connections by protocol: tcp, udp, icmp (and ICMPv6) or other.",
			labels:   []string{"protocol"},
			variants: [][]string{{state.ICMP.String()}, {state.OtherProtocol.String()}, {state.TCP.String()}, {state.UDP.String()}},
			known:    activeKnown,
			value:    func(c *client, _ direction, protocol int) float64 { return float64(c.Active[protocol]) }},
		{name: "client_info", kind: gauge, present: true,
			help:   "What is known of the client, of where its name came from, and the device that has its address. Always 1.",
			labels: []string{"mac", "interface", "source", "mac_scope", "device"},
			describe: func(c *client) [maxLabels]string {
				device := c.Device.String()
				mac := device
				if c.MAC != c.Device.MAC || c.MAC.IsZero() {
					mac = c.MAC.String()
				}
				return [maxLabels]string{mac, state.Sanitize(c.Interface), string(c.Source), c.MAC.Scope(), device}
			}},
		{name: "client_last_seen_timestamp_seconds", kind: gauge, present: true,
			help:  "When the client last gave a sign of life, in seconds since 1970.",
			known: func(c *client) bool { return !c.Seen.IsZero() },
			value: func(c *client, _ direction, _ int) float64 { return timestamp(c.Seen) }},
		{name: "client_status", kind: gauge, present: r.Presence,
			help:  "Whether the client is online: 1, or 0 if it is not.",
			value: func(c *client, _ direction, _ int) float64 { return boolean(c.Online) }},
		{name: "client_traffic_bytes", kind: counter, present: true, directed: true, others: true,
			help:  "IP bytes forwarded to (rx) and from (tx) the client.",
			value: func(c *client, d direction, _ int) float64 { return float64(c.Total[d].Bytes) }},
		{name: "client_traffic_packets", kind: counter, present: true, directed: true, others: true,
			help:  "IP packets forwarded to (rx) and from (tx) the client.",
			value: func(c *client, d direction, _ int) float64 { return float64(c.Total[d].Packets) }},
		{name: "client_traffic_rate_avg_bps", kind: gauge, present: r.Rates, directed: true,
			help:  "Bits per second forwarded to (rx) and from (tx) the client over the last minute.",
			value: func(c *client, d direction, _ int) float64 { return c.Average[d] }},
		{name: "client_traffic_rate_bps", kind: gauge, present: r.Rates, directed: true, others: true,
			help:  "Bits per second forwarded to (rx) and from (tx) the client over the last interval.",
			value: func(c *client, d direction, _ int) float64 { return c.Rate[d] }},
		{name: "client_traffic_rate_peak_bps", kind: gauge, present: r.Rates, directed: true,
			help:  "Highest client_traffic_rate_bps of the last minute, that of every run.",
			value: func(c *client, d direction, _ int) float64 { return c.Peak[d] }},
	}
}
