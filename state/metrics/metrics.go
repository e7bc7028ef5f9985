// Package metrics says a report in the Prometheus text format, as node_exporter's
// textfile collector reads it.
package metrics

import (
	"cmp"
	"io"
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
	Protocols bool // whether the user wants flows told by protocol as well
}

// Render writes the .prom file of a report: families in the order of their names,
// series in the order of their labels' values, no timestamps. What is unknown is
// left out.
func Render(to io.Writer, r *state.Report, run Run) error {
	p := newPage(to)
	clients := newClients(r.Clients)
	each := func(name, help string, value func(c *client) float64) {
		p.family(name, help, gauge, "ip", "client")
		for i := range clients {
			c := &clients[i]
			p.series(value(c), c.ip, c.name)
		}
	}
	moving := clients
	if r.Other != nil {
		// Its empty address comes before every other one.
		other := &state.ClientReport{Total: r.Other.Total, Rate: r.Other.Rate}
		moving = slices.Insert(slices.Clone(clients), 0, client{ClientReport: other, name: "other"})
	}
	both := func(name, help string, kind dto.MetricType, value func(c *client, d state.Direction) float64) {
		p.family(name, help, kind, "direction", "ip", "client")
		for _, d := range [...]state.Direction{state.Rx, state.Tx} {
			for i := range moving {
				c := &moving[i]
				p.series(value(c, d), d.String(), c.ip, c.name)
			}
		}
	}

	if r.Conntrack != nil {
		each("client_active_connections", "Tracked flows that the client is an end of, each counted once; TCP flows in TIME_WAIT or CLOSE are left out.",
			func(c *client) float64 { return float64(c.Active.Sum()) })
	}
	if r.Conntrack != nil && run.Protocols {
		p.family("client_connections", "The flows of client_active_connections by protocol: tcp, udp, icmp (and ICMPv6) or other.", gauge, "ip", "client", "protocol")
		for i := range clients {
			c := &clients[i]
			for protocol, n := range c.Active {
				p.series(float64(n), c.ip, c.name, state.Protocol(protocol).String())
			}
		}
	}
	p.family("client_info", "What is known of the client's device and of where its name came from. Always 1.", gauge,
		"ip", "client", "mac", "interface", "source", "mac_scope")
	for i := range clients {
		c := &clients[i]
		p.series(1, c.ip, c.name, c.MAC.String(), state.CleanName(c.Interface), string(c.NameSource), scope(c.MAC))
	}
	p.family("client_last_seen_timestamp_seconds", "When the client last gave a sign of life, in seconds since 1970.", gauge, "ip", "client")
	for i := range clients {
		if c := &clients[i]; !c.Seen.IsZero() {
			p.series(seconds(c.Seen), c.ip, c.name)
		}
	}
	if r.Presence {
		each("client_status", "Whether the client is online: 1, or 0 if it is not.",
			func(c *client) float64 { return number(c.Online) })
	}
	both("client_traffic_bytes", "IP bytes forwarded to (rx) and from (tx) the client.", counter,
		func(c *client, d state.Direction) float64 { return float64(c.Total[d].Bytes) })
	both("client_traffic_packets", "IP packets forwarded to (rx) and from (tx) the client.", counter,
		func(c *client, d state.Direction) float64 { return float64(c.Total[d].Packets) })
	if r.Rates {
		both("client_traffic_rate_avg_bps", "Bits per second forwarded to (rx) and from (tx) the client over the last minute.", gauge,
			func(c *client, d state.Direction) float64 { return c.Average[d] })
		both("client_traffic_rate_bps", "Bits per second forwarded to (rx) and from (tx) the client over the last interval.", gauge,
			func(c *client, d state.Direction) float64 { return c.Rate[d] })
		both("client_traffic_rate_peak_bps", "Highest client_traffic_rate_bps of the last minute, seen by all runs.", gauge,
			func(c *client, d state.Direction) float64 { return c.Peak[d] })
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
	p.family(self+"build_info", "The program that wrote this file. Always 1.", gauge, "version", "goversion")
	p.series(1, run.Version, run.GoVersion)
	if r.Conntrack != nil {
		p.single(self+"conntrack_age_seconds", "How much older than this file's sample the counts of flows are.", gauge, (r.Uptime - r.Conntrack.Uptime).Seconds())
	}
	if r.Accounting != nil {
		p.single(self+"flowtable_active", "Whether a flowtable lets packets pass uncounted: 1, or 0 if none does.", gauge, number(r.Accounting.Flowtable))
	}
	p.single(self+"last_run_timestamp_seconds", "When this file's sample was taken, in seconds since 1970.", gauge, seconds(r.Wall))
	p.single(self+"run_duration_seconds", "How long the run took until this file was written.", gauge, run.Duration.Seconds())
	probes := slices.SortedFunc(slices.Values(r.Probes), func(a, b state.Probe) int { return cmp.Compare(a.Source, b.Source) })
	p.family(self+"source_duration_seconds", "How long it took to ask the source.", gauge, "source")
	for _, s := range probes {
		p.series(s.Duration.Seconds(), string(s.Source))
	}
	p.family(self+"source_up", "Whether the source gave all that it was asked for: 1, or 0 if it did not.", gauge, "source")
	for _, s := range probes {
		p.series(number(s.Err == nil), string(s.Source))
	}
	p.single(self+"state_losses_total", "Runs that found the state of the run before gone or damaged, and went on from an older one or none.", counter, float64(r.Losses))
	return p.end()
}

// client is a report's client with the labels that all its series have.
type client struct {
	*state.ClientReport
	ip, name string
}

// newClients puts the clients in the order of their series.
func newClients(reports []state.ClientReport) []client {
	clients := make([]client, len(reports))
	for i := range reports {
		r := &reports[i]
		clients[i] = client{r, r.Addr.String(), r.Name}
	}
	slices.SortFunc(clients, func(a, b client) int { return cmp.Compare(a.ip, b.ip) })
	return clients
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
