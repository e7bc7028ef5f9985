// Package metrics says a report in the Prometheus text format, as node_exporter's
// textfile collector reads it.
package metrics

import (
	"cmp"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"network-metrics-exporter/state"
)

// Run is what the program knows of itself.
type Run struct {
	Duration  time.Duration // of this run so far
	Version   string
	GoVersion string
}

// Render gives the .prom file of a report: families in the order of their names,
// series in the order of their labels' values, no timestamps. What is unknown is
// left out.
func Render(r *state.Report, run Run) ([]byte, error) {
	var p page
	clients := newClients(r.Clients)
	each := func(name, help string, value func(c client) float64) {
		p.family(name, help, gauge)
		for _, c := range clients {
			p.series(value(c), c.ip, c.client)
		}
	}
	moving := clients
	if r.Other != nil {
		// Its empty address comes before every other one.
		moving = slices.Insert(slices.Clone(clients), 0, newClient(state.ClientReport{Total: r.Other.Total, Rate: r.Other.Rate}, "", "other"))
	}
	both := func(name, help string, kind dto.MetricType, value func(c client, d state.Direction) float64) {
		p.family(name, help, kind)
		for _, d := range [...]state.Direction{state.Rx, state.Tx} {
			direction := label("direction", d.String())
			for _, c := range moving {
				p.series(value(c, d), direction, c.ip, c.client)
			}
		}
	}

	if r.Conntrack != nil {
		each("client_active_connections", "Tracked flows that the client is an end of, each counted once; TCP flows in TIME_WAIT or CLOSE are left out.",
			func(c client) float64 { return float64(c.Active) })
	}
	p.family("client_info", "What is known of the client's device and of where its name came from. Always 1.", gauge)
	for _, c := range clients {
		p.series(1, c.ip, c.client, label("mac", c.MAC.String()), label("interface", state.CleanName(c.Interface)),
			label("source", string(c.NameSource)), label("mac_scope", scope(c.MAC)))
	}
	p.family("client_last_seen_timestamp_seconds", "When the client last gave a sign of life, in seconds since 1970.", gauge)
	for _, c := range clients {
		if !c.Seen.IsZero() {
			p.series(seconds(c.Seen), c.ip, c.client)
		}
	}
	if r.Presence {
		each("client_status", "Whether the client is online: 1, or 0 if it is not.",
			func(c client) float64 { return number(c.Online) })
	}
	both("client_traffic_bytes", "IP bytes forwarded to (rx) and from (tx) the client.", counter,
		func(c client, d state.Direction) float64 { return float64(c.Total[d].Bytes) })
	both("client_traffic_packets", "IP packets forwarded to (rx) and from (tx) the client.", counter,
		func(c client, d state.Direction) float64 { return float64(c.Total[d].Packets) })
	if r.Rates {
		both("client_traffic_rate_bps", "Bits per second forwarded to (rx) and from (tx) the client over the last interval.", gauge,
			func(c client, d state.Direction) float64 { return c.Rate[d] })
	}

	p.single("network_clients_known", "Clients in the metrics.", gauge, float64(len(clients)))
	if r.Presence {
		p.single("network_clients_online", "Clients that are online.", gauge, float64(countOnline(r.Clients)))
	}
	if r.Conntrack != nil {
		p.single("network_conntrack_entries", "Entries in the connection tracking table.", gauge, float64(r.Conntrack.Entries))
		p.single("network_conntrack_limit", "Size of the connection tracking table: beyond it new flows are dropped.", gauge, float64(r.Conntrack.Limit))
	}

	const self = "network_metrics_exporter_"
	if r.Accounting != nil {
		p.single(self+"accounting_full", "Whether a set of the accounting has no room left, so that new clients go uncounted: 1, or 0 if there is room.", gauge, number(r.Accounting.Full))
	}
	p.single(self+"accounting_resets_total", "Runs that found counters of the kernel gone or fallen without a reboot: what they had counted since the run before is lost.", counter, float64(r.Resets))
	p.family(self+"build_info", "The program that wrote this file. Always 1.", gauge)
	p.series(1, label("version", run.Version), label("goversion", run.GoVersion))
	if r.Conntrack != nil {
		p.single(self+"conntrack_age_seconds", "How much older than this file's sample the counts of flows are.", gauge, (r.Uptime - r.Conntrack.Uptime).Seconds())
	}
	if r.Accounting != nil {
		p.single(self+"flowtable_active", "Whether a flowtable lets packets pass uncounted: 1, or 0 if none does.", gauge, number(r.Accounting.Flowtable))
	}
	p.single(self+"last_run_timestamp_seconds", "When this file's sample was taken, in seconds since 1970.", gauge, seconds(r.Wall))
	p.single(self+"run_duration_seconds", "How long the run took until this file was written.", gauge, run.Duration.Seconds())
	probes := slices.SortedFunc(slices.Values(r.Probes), func(a, b state.Probe) int { return cmp.Compare(a.Source, b.Source) })
	p.family(self+"source_duration_seconds", "How long it took to ask the source.", gauge)
	for _, s := range probes {
		p.series(s.Duration.Seconds(), label("source", string(s.Source)))
	}
	p.family(self+"source_up", "Whether the source gave all that it was asked for: 1, or 0 if it did not.", gauge)
	for _, s := range probes {
		p.series(number(s.Err == nil), label("source", string(s.Source)))
	}
	return p.bytes()
}

// client is a report's client with the labels that all its series have.
type client struct {
	state.ClientReport
	ip, client *dto.LabelPair
}

// newClients puts the clients in the order of their series.
func newClients(reports []state.ClientReport) []client {
	clients := make([]client, len(reports))
	for i, r := range reports {
		clients[i] = newClient(r, r.Addr.String(), r.Name)
	}
	slices.SortFunc(clients, func(a, b client) int { return cmp.Compare(a.ip.GetValue(), b.ip.GetValue()) })
	return clients
}

func newClient(r state.ClientReport, ip, name string) client {
	return client{r, label("ip", ip), label("client", name)}
}

func countOnline(clients []state.ClientReport) (n int) {
	for _, c := range clients {
		if c.Online {
			n++
		}
	}
	return n
}

// scope is the value of the label mac_scope.
func scope(m state.MAC) string {
	switch {
	case m.IsZero():
		return ""
	case m.IsLocal():
		return "local"
	default:
		return "universal"
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
