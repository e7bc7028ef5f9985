// Package metrics renders a report in the Prometheus text format, as node_exporter's
// textfile collector reads it.
package metrics

import (
	"io"
	"net/netip"
	"time"

	"network-metrics-exporter/state"
)

// Short names of what the tables of families are about.
type (
	client    = state.ClientReport
	device    = state.DeviceReport
	direction = state.Direction
)

// Run is what the program knows of itself.
type Run struct {
	Duration  time.Duration // of this run so far
	Version   string
	GoVersion string
	Protocols bool // whether connections are counted for each protocol too
}

// Render writes the .prom file of a report: families in the order of their names,
// series in the order of their labels' values, no timestamps. What is unknown is
// left out.
func Render(to io.Writer, r *state.Report, run Run) error {
	p := newPage(to)
	renderFamilies(p, clients(p, r), clientFamilies(r, run))
	renderFamilies(p, devices(p, r), deviceFamilies(r))
	renderPlain(p, networkFamilies(r))
	renderPlain(p, programFamilies(r, run))
	renderPlain(p, periodFamilies(r))
	return p.end()
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// timestamp returns the seconds since 1970, and 0 for the zero time.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// addrLabel returns the value of the label ip, empty for the zero address.
func addrLabel(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
