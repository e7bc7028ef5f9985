// Package table shows a Report to people, as a table for a terminal, and to their
// scripts, as JSON.
package table

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"network-metrics-exporter/state"
)

// Options say how a Report is to be shown.
type Options struct {
	Sort   Sort // of the devices; the addresses of one stay together
	Width  int  // of a line, in cells; 0: as wide as it comes
	Color  bool
	Totals bool // whether the totals are known, which a Report does not tell
}

// unknown stands in a cell for what is not known.
const unknown = "-"

// line is a line of the table: a client, a device, or a sum.
type line struct {
	name, addr string
	facts
	status string
}

// A column shows one thing. Those of the lowest rank go first where a terminal
// is too narrow for all.
type column struct {
	title string
	rank  int
	right bool // aligned
	cell  func(l line, now time.Time) string
}

// The ranks of columns that the layout knows.
const (
	rankAddr = 6
	rankLast = 8 // that of columns that stay
)

var columns = []column{
	{"name", rankLast, false, func(l line, _ time.Time) string { return l.name }},
	{"address", rankAddr, false, func(l line, _ time.Time) string { return l.addr }},
	{"download", rankLast, true, func(l line, _ time.Time) string { return rate(l.RxRate) }},
	{"upload", 7, true, func(l line, _ time.Time) string { return rate(l.TxRate) }},
	{"received", 4, true, func(l line, _ time.Time) string { return size(l.RxBytes) }},
	{"sent", 3, true, func(l line, _ time.Time) string { return size(l.TxBytes) }},
	{"connections", 2, true, func(l line, _ time.Time) string { return count(l.Connections) }},
	{"last seen", 1, true, func(l line, now time.Time) string { return ago(l.seen, now) }},
	{"status", 5, false, func(l line, _ time.Time) string { return l.status }},
}

// style gives that of a cell in a row that has one itself, or none.
func (c column) style(text, row string) string {
	switch {
	case c.title == "status" && text == "online":
		return green
	case c.title == "status" && text == "offline":
		return faint
	default:
		return row
	}
}

// Write shows a report as a table: a line for each address, IPv6 ones below the
// IPv4 ones of their device, which its name stands beside once; at the end all
// others, and the total. Where the width does not do for the addresses, a device
// has one line.
func Write(w io.Writer, r *state.Report, o Options) error {
	var text strings.Builder
	devices := devices(r, o)
	for rank := 0; ; rank++ {
		shown := slices.DeleteFunc(slices.Clone(columns), func(c column) bool { return c.rank <= rank })
		g := grid{columns: shown, color: o.Color}
		for _, l := range lines(r, devices, rank < rankAddr, o) {
			g.add(l, r.Wall)
		}
		if g.fit(o.Width) || rank == rankLast-1 {
			g.write(&text)
			break
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// lines gives what is in the table.
func lines(r *state.Report, devices []device, byAddr bool, o Options) []line {
	var lines []line
	for _, d := range devices {
		if !byAddr {
			lines = append(lines, line{name: d.clients[0].Name, facts: d.facts, status: status(d.Online)})
			continue
		}
		name := ""
		for _, c := range d.clients {
			l := line{addr: c.Addr.String(), facts: factsOf(r, c, o)}
			l.status = status(l.Online)
			if c.Name != name {
				name, l.name = c.Name, c.Name
			}
			lines = append(lines, l)
		}
	}
	if r.Other != nil {
		lines = append(lines, line{name: "other", facts: factsOfOther(r, o), status: unknown})
	}
	sum, online := total(r, o)
	last := line{name: "total", addr: plural(len(r.Clients), "address", "addresses"), facts: sum, status: unknown}
	if r.Presence {
		last.status = fmt.Sprintf("%d online", online)
	}
	return append(lines, last)
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

// device is the clients that have one MAC, or one that has none.
type device struct {
	clients []state.ClientReport // sorted by address, never none
	facts                        // of all of them together
}

// devices gives those of a report in the order that is asked for.
func devices(r *state.Report, o Options) []device {
	type key struct {
		mac  state.MAC
		addr netip.Addr // of a device without a MAC
	}
	index := make(map[key]int)
	var all []device
	for _, c := range r.Clients {
		k := key{mac: c.MAC}
		if c.MAC.IsZero() {
			k.addr = c.Addr
		}
		i, ok := index[k]
		if !ok {
			i = len(all)
			index[k] = i
			all = append(all, device{})
		}
		all[i].clients = append(all[i].clients, c)
		all[i].facts = all[i].plus(factsOf(r, c, o))
	}
	slices.SortStableFunc(all, func(a, b device) int {
		return cmp.Or(o.Sort.compare(a, b), Traffic.compare(a, b), a.clients[0].Addr.Compare(b.clients[0].Addr))
	})
	return all
}

// Sort is an order of devices: a value of the flag --sort.
type Sort string

// The orders: what is most, or most recent, comes first, names and addresses by
// what they begin with.
const (
	Traffic     Sort = "traffic" // the rates of both directions, then their totals
	Download    Sort = "download"
	Upload      Sort = "upload"
	Total       Sort = "total"
	Connections Sort = "connections"
	Seen        Sort = "seen"
	Name        Sort = "name"
	Address     Sort = "address"
)

// Sorts gives all orders.
func Sorts() []Sort {
	return []Sort{Traffic, Download, Upload, Total, Connections, Seen, Name, Address}
}

func (s Sort) compare(a, b device) int {
	switch s {
	case Download:
		return compare(b.RxRate, a.RxRate)
	case Upload:
		return compare(b.TxRate, a.TxRate)
	case Total:
		return compare(add(b.RxBytes, b.TxBytes), add(a.RxBytes, a.TxBytes))
	case Connections:
		return compare(b.Connections, a.Connections)
	case Seen:
		return b.seen.Compare(a.seen)
	case Name:
		return strings.Compare(strings.ToLower(a.clients[0].Name), strings.ToLower(b.clients[0].Name))
	case Address:
		return a.clients[0].Addr.Compare(b.clients[0].Addr)
	default:
		return cmp.Or(compare(add(b.RxRate, b.TxRate), add(a.RxRate, a.TxRate)), Total.compare(a, b))
	}
}

// compare puts what is not known below everything.
func compare[N number](a, b *N) int {
	switch {
	case a != nil && b != nil:
		return cmp.Compare(*a, *b)
	case a != nil:
		return 1
	case b != nil:
		return -1
	default:
		return 0
	}
}
