// Package table shows a Report to people, as a table for a terminal, and to their
// scripts, as JSON.
package table

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"network-metrics-exporter/state"
)

// Options say how a Report is to be shown.
type Options struct {
	Sort      Sort // of the devices
	Addresses bool // whether the addresses of a device have lines of their own, below its
	Width     int  // of a line, in cells; 0: as wide as it comes
	Color     bool
	JSON      bool // instead of a table; the order and Totals count, and all addresses are there
	Totals    bool // whether the totals are known, which a Report does not tell
}

// unknown stands in a cell for what is not known.
const unknown = "-"

// Write shows a report as JSON, or as a table: a line for each device, then what all others
// moved, and the sum. Where the width does not do for all columns, those stay that
// tell most.
func Write(w io.Writer, r *state.Report, o Options) error {
	if o.JSON {
		return writeJSON(w, r, o)
	}
	devices, others := devices(r, o)
	all := columns(r, o)
	var ranks []rank
	var best grid
	for next := range leastRank + 1 {
		wanted := append(slices.Clone(ranks), next)
		g := grid{color: o.Color}
		g.columns = slices.DeleteFunc(slices.Clone(all), func(c column) bool { return !slices.Contains(wanted, c.rank) })
		for _, l := range lines(r, devices, others, o, slices.Contains(wanted, addrRank(o))) {
			g.add(l)
		}
		if g.fit(o.Width) || next == 0 {
			ranks, best = wanted, g
		}
	}
	var text strings.Builder
	best.write(&text)
	_, err := io.WriteString(w, text.String())
	return err
}

// rank is the place of columns in the order in which they are chosen.
type rank int

// The ranks. Columns of the same are shown together or not at all.
const (
	rankAlways rank = iota // whatever the width
	rankFirst
	rankUpload
	rankPeriod
	rankParts
	rankSeen
	rankAddr
	rankStatus
	rankConnections
	rankTotals
	leastRank = rankTotals
)

// addrRank is the rank of addresses: who asks for them needs to see them first.
func addrRank(o Options) rank {
	if o.Addresses {
		return rankFirst
	}
	return rankAddr
}

// How narrow names and addresses may become before columns are left out, in cells.
// An IPv4 address is not longer.
const (
	leastName = 12
	leastAddr = 15
)

// column shows one thing of each line.
type column struct {
	title  string
	rank   rank
	right  bool // aligned
	least  int  // how narrow it may become if it does not fit, in cells; 0: it is never cut
	status bool // its colour tells who is online
	cell   func(*line) string
}

// columns returns all columns that there can be.
func columns(r *state.Report, o Options) []column {
	leastAddr := leastAddr
	if o.Addresses {
		leastAddr = 0
	}
	all := []column{
		{title: "name", rank: rankAlways, least: leastName, cell: func(l *line) string { return l.name }},
		{title: "address", rank: addrRank(o), least: leastAddr, cell: func(l *line) string { return l.addr }},
		{title: "download", rank: rankAlways, right: true, cell: func(l *line) string { return rate(l.RxRate) }},
		{title: "upload", rank: rankUpload, right: true, cell: func(l *line) string { return rate(l.TxRate) }},
		{title: periodTitle(r), rank: rankPeriod, right: true, cell: func(l *line) string { return l.ofPeriod(amounts.all) }},
	}
	if hasLocal(r) {
		all = append(all,
			column{title: "internet", rank: rankParts, right: true, cell: func(l *line) string { return l.ofPeriod(amounts.internet) }},
			column{title: "local", rank: rankParts, right: true, cell: func(l *line) string { return l.ofPeriod(amounts.local) }})
	}
	return append(all,
		column{title: "received", rank: rankTotals, right: true, cell: func(l *line) string { return size(l.rxBytes) }},
		column{title: "sent", rank: rankTotals, right: true, cell: func(l *line) string { return size(l.txBytes) }},
		column{title: "connections", rank: rankConnections, right: true, cell: func(l *line) string { return count(l.Connections) }},
		column{title: "last seen", rank: rankSeen, right: true, status: true, cell: func(l *line) string { return l.seen }},
		column{title: "status", rank: rankStatus, status: true, cell: func(l *line) string { return l.status }})
}

// periodTitle names the current period: a month, wherever it begins.
func periodTitle(r *state.Report) string {
	start := r.PeriodStarts[state.Current]
	if start.IsZero() || start.Day() == 1 {
		return "this month"
	}
	return "since " + start.Format("2 Jan")
}

// hasLocal reports whether anything stayed within the networks: in a single LAN,
// nothing that is forwarded does.
func hasLocal(r *state.Report) bool {
	moved := func(u *state.UsageReport) bool { return u.Local != [2]uint64{} }
	return r.Local && (slices.ContainsFunc(r.Devices, func(d state.DeviceReport) bool { return moved(&d.UsageReport) }) ||
		r.OtherDevice != nil && moved(r.OtherDevice))
}

// line is a line of the table: a device, one of its addresses, or a sum.
type line struct {
	now
	name, addr       string
	rxBytes, txBytes *uint64 // ever
	period           amounts
	seen, status     string
	kind             kind
}

// kind is what a line is of.
type kind uint8

// The kinds.
const (
	deviceLine kind = iota
	addressLine
	totalLine
)

// ofPeriod returns a part of what was moved in the current period. That of a single
// address is not told, as a device may have had it for a part of the time.
func (l *line) ofPeriod(part func(amounts) *uint64) string {
	if l.kind == addressLine {
		return ""
	}
	return size(part(l.period))
}

// lines returns what is in the table. Without a column for addresses, who has no
// name goes by address.
func lines(r *state.Report, devices []device, others *device, o Options, withAddr bool) []line {
	var lines []line
	for i := range devices {
		d := &devices[i]
		l := usageLine(d.usage)
		l.name, l.addr = d.Name, d.addressCell(o)
		if d.Source == state.FromNone && !withAddr {
			l.name = d.ID.String()
			if d.Addr.IsValid() {
				l.name = d.Addr.String()
			}
		}
		l.seen, l.status = ago(d.Seen, r.Wall), status(d.usage.Online)
		lines = append(lines, l)
		if o.Addresses && withAddr && len(d.addresses) > 1 {
			lines = append(lines, addressLines(d, r.Wall)...)
		}
	}
	if others != nil {
		l := usageLine(others.usage)
		l.name = state.OtherName
		lines = append(lines, l)
		if o.Addresses && withAddr {
			lines = append(lines, addressLines(others, r.Wall)...)
		}
	}
	sum, online := total(r, devices, others, o)
	last := usageLine(sum)
	last.name, last.addr, last.kind = "total", plural(len(devices), "device", "devices"), totalLine
	if r.Presence {
		last.status = fmt.Sprintf("%d online", online)
	}
	return append(lines, last)
}

func usageLine(u usage) line {
	return line{now: u.now, rxBytes: u.RxBytes, txBytes: u.TxBytes, period: u.Current, seen: unknown, status: unknown}
}

// addressCell returns the address of a device, and how many others it has.
func (d *device) addressCell(o Options) string {
	n := len(d.addresses)
	switch {
	case o.Addresses && n > 1:
		return plural(n, "address", "addresses")
	case !d.Addr.IsValid():
		return unknown
	case n > 1:
		return fmt.Sprintf("%v +%d", d.Addr, n-1)
	default:
		return d.Addr.String()
	}
}

// addressLines returns a line for each address of a device, with its name if that
// is another one than the device's.
func addressLines(d *device, wall time.Time) []line {
	var lines []line
	for i := range d.addresses {
		a := &d.addresses[i]
		l := line{
			now: a.now, addr: a.Addr.String(), rxBytes: a.RxBytes, txBytes: a.TxBytes,
			seen: ago(a.Seen, wall), status: status(a.now.Online), kind: addressLine,
		}
		if a.Name != d.Name {
			l.name = "  " + a.Name
		}
		lines = append(lines, l)
	}
	return lines
}

func status(online *bool) string {
	switch {
	case online == nil:
		return unknown
	case *online:
		return "online"
	default:
		return "offline"
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}
