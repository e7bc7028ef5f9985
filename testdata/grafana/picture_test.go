package grafana

import (
	"cmp"
	"fmt"
	"html"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// drawing is an SVG in the making.
type drawing struct{ strings.Builder }

const (
	ink, dim, paper = "#d8d9da", "#8e8e8e", "#181b1f"
	left, plot      = 70, 830 // of the graph, in pixels
	axis, height    = 275, 225
)

func (d *drawing) text(x, y float64, colour, anchor, text string) {
	fmt.Fprintf(d, "<text x=\"%.0f\" y=\"%.0f\" fill=\"%s\" text-anchor=\"%s\">%s</text>\n", x, y, colour, anchor, html.EscapeString(text))
}

// drawPicture draws the first graph and the head of the table, as the dashboard's
// queries fill them in: of made-up data, and not as Grafana looks.
func drawPicture(t *testing.T, look looker, home view, path string) {
	t.Helper()
	home.timeRange, home.width = 24*time.Hour, 144
	var d drawing
	fmt.Fprintf(&d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1180 700" font-family="sans-serif" font-size="13">`+"\n"+
		`<rect width="1180" height="700" fill="%s"/>`+"\n", paper)
	d.text(20, 28, ink, "start", "Download and upload by device, 24 hours")
	d.text(1160, 28, dim, "end", "a drawing of made-up data by the queries of the dashboard: not a screenshot")
	d.graph(t, look, home)
	d.table(t, look, home)
	d.WriteString("</svg>\n")
	if err := os.WriteFile(path, []byte(d.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// layer is what a device moved, by seconds since 1970, and its name.
type layer struct {
	name, colour string
	down, up     map[float64]float64
}

// layers returns those of the first graph, everything else the last.
func layers(t *testing.T, look looker, home view) []layer {
	t.Helper()
	const title = "Download and upload by device"
	points := func(s series) map[float64]float64 {
		values := make(map[float64]float64)
		for _, value := range s.Values {
			at, _ := value[0].(float64)
			values[at] = number(t, value)
		}
		return values
	}
	devices := look.at(t, home, "timeseries", title, "A")
	slices.SortFunc(devices, func(a, b series) int { return cmp.Compare(b.area(t), a.area(t)) })
	var all []layer
	for i, s := range devices {
		all = append(all, layer{s.Metric["client"], fmt.Sprintf("hsl(%d 60%% 58%%)", 210+i*137), points(s), nil})
		for _, up := range look.at(t, home, "timeseries", title, "B") {
			if up.Metric["device"] == s.Metric["device"] {
				all[i].up = points(up)
			}
		}
	}
	return append(all, layer{"everything else", dim,
		points(look.at(t, home, "timeseries", title, "C")[0]), points(look.at(t, home, "timeseries", title, "D")[0])})
}

// graph stacks what was received above the axis, and what was sent below it.
func (d *drawing) graph(t *testing.T, look looker, home view) {
	t.Helper()
	all := layers(t, look, home)
	times := slices.Sorted(maps.Keys(all[len(all)-1].down))
	highest := 0.0
	for _, at := range times {
		sum := 0.0
		for _, l := range all {
			sum += l.down[at]
		}
		highest = max(highest, sum)
	}
	x := func(i int) float64 { return left + plot*float64(i)/float64(len(times)-1) }
	y := func(bits float64) float64 { return axis - height*bits/highest }
	down, up := make([]float64, len(times)), make([]float64, len(times))
	for i, l := range all {
		d.area(l.colour, times, down, l.down, 1, x, y)
		d.area(l.colour, times, up, l.up, -1, x, y)
		row := 60 + 20*float64(i)
		fmt.Fprintf(d, "<rect x=\"920\" y=\"%.0f\" width=\"12\" height=\"12\" fill=\"%s\"/>\n", row-11, l.colour)
		d.text(940, row, ink, "start", l.name)
	}
	for bits := 0.0; bits < highest; bits += 20e6 {
		fmt.Fprintf(d, "<path d=\"M%d %.1fh%d\" stroke=\"#444\" stroke-width=\"0.5\"/>\n", left, y(bits), plot)
		d.text(left-8, y(bits)+4, dim, "end", human(bits, "b/s"))
	}
	for i, at := range times {
		if hour := time.Unix(int64(at), 0).UTC(); hour.Minute() == 0 && hour.Hour()%3 == 0 {
			d.text(x(i), 335, dim, "middle", hour.Format("15:04"))
		}
	}
}

// area draws values on top of base, which it raises by them.
func (d *drawing) area(colour string, times, base []float64, values map[float64]float64, sign float64, x func(int) float64, y func(float64) float64) {
	var outline, back []string
	for i, at := range times {
		back = append(back, fmt.Sprintf("%.1f,%.1f", x(i), y(base[i])))
		base[i] += sign * values[at]
		outline = append(outline, fmt.Sprintf("%.1f,%.1f", x(i), y(base[i])))
	}
	slices.Reverse(back)
	fmt.Fprintf(d, "<polygon fill=\"%s\" points=\"%s\"/>\n", colour, strings.Join(append(outline, back...), " "))
}

// table shows the devices that moved most this month.
func (d *drawing) table(t *testing.T, look looker, home view) {
	t.Helper()
	columns := []struct {
		ref, title string
		x          float64
		show       func(float64) string
	}{
		{"A", "Online", 330, func(v float64) string { return map[float64]string{0: "away", 1: "online"}[v] }},
		{"B", "Download now", 480, func(v float64) string { return human(v, "b/s") }},
		{"C", "Upload now", 610, func(v float64) string { return human(v, "b/s") }},
		{"D", "Today", 730, func(v float64) string { return human(v, "B") }},
		{"E", "This month", 860, func(v float64) string { return human(v, "B") }},
		{"F", "Month before", 1000, func(v float64) string { return human(v, "B") }},
		{"G", "Connections", 1130, func(v float64) string { return fmt.Sprintf("%.0f", v) }},
	}
	month := byDevice(t, look.at(t, home, "table", "Devices", "E"))
	rows := look.at(t, home, "table", "Devices", "J")
	slices.SortFunc(rows, func(a, b series) int {
		return cmp.Compare(month[b.Metric["device"]], month[a.Metric["device"]])
	})
	const first, line = 385, 24
	d.text(20, first, dim, "start", "Device")
	d.text(150, first, dim, "start", "Address")
	for i, row := range rows[:12] {
		y := float64(first + line*(i+1))
		fmt.Fprintf(d, "<path d=\"M20 %.0fh1140\" stroke=\"#333\" stroke-width=\"0.5\"/>\n", y-17)
		d.text(20, y, ink, "start", row.Metric["client"])
		d.text(150, y, ink, "start", row.Metric["ip"])
	}
	for _, column := range columns {
		d.text(column.x, first, dim, "end", column.title)
		values := byDevice(t, look.at(t, home, "table", "Devices", column.ref))
		for i, row := range rows[:12] {
			if value, there := values[row.Metric["device"]]; there {
				d.text(column.x, float64(first+line*(i+1)), ink, "end", column.show(value))
			}
		}
	}
}

// human writes a number with a decimal prefix.
func human(value float64, unit string) string {
	prefixes := []string{"", "k", "M", "G", "T"}
	i := 0
	for ; value >= 999.5 && i < len(prefixes)-1; i++ {
		value /= 1000
	}
	return fmt.Sprintf("%.3g %s%s", value, prefixes[i], unit)
}
