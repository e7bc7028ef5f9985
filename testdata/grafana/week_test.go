package grafana

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"network-metrics-exporter/testdata/grafana/week"
	"network-metrics-exporter/testdata/lab"
)

// tolerated is by how much a curve may be off the bytes that were moved.
const tolerated = 0.03

// TestWeek looks at a made-up week of three routers, one of them with 200 devices,
// as somebody does who has just opened the dashboard.
func TestWeek(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"prometheus", "promtool"} {
		lab.Need(t, program)
	}
	w := week.Make()
	data := t.TempDir()
	backfillWeek(t, w, data)
	for _, record := range []string{"increase1d", "increase30d"} { // the latter is made of the former
		t.Run("backfill "+record, func(t *testing.T) { backfillRules(t, data, record) })
	}
	home := view{
		job: week.Job, instance: week.Home, device: ".*", internet: true,
		timeRange: 3 * time.Hour, end: week.End(), scrape: week.Step, width: 300,
	}
	look := looker{readDashboard(t), prometheus(lab.StartPrometheusOn(t, data, "global: {}\n"))}
	t.Run("queries", func(t *testing.T) { testQueries(t, look, home) })
	t.Run("curves", func(t *testing.T) { testCurves(t, look, home, w) })
	t.Run("bars", func(t *testing.T) { testBars(t, look, home, w) })
	t.Run("table", func(t *testing.T) { testTable(t, look, home, w) })
	t.Run("peaks", func(t *testing.T) { testPeaks(t, look, home, w) })
	t.Run("names", func(t *testing.T) { testNames(t, look, home) })
	t.Run("filter", func(t *testing.T) { testFilter(t, look, home) })
	t.Run("no local traffic", func(t *testing.T) { testNoLocal(t, look, home) })
	t.Run("health", func(t *testing.T) { testHealth(t, look, home) })
	t.Run("two exporters", func(t *testing.T) { testTwoExporters(t, look, home) })
	t.Run("variables", func(t *testing.T) { testVariables(t, look) })
	if path := os.Getenv("PICTURE"); path != "" {
		drawPicture(t, look, home, path)
	}
}

// backfillWeek puts the week into the storage of a Prometheus.
func backfillWeek(t *testing.T, w *week.Week, data string) {
	t.Helper()
	var parts sync.WaitGroup
	for name, write := range w.Files() {
		path := filepath.Join(t.TempDir(), name)
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := write(file); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		parts.Go(func() { backfill(t, path, data) })
	}
	parts.Wait()
}

// backfill makes blocks of OpenMetrics text. They are long, since each takes
// reading all of it.
func backfill(t *testing.T, path, data string) {
	t.Helper()
	output, err := exec.Command("promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=162h", path, data).CombinedOutput()
	if err != nil {
		t.Errorf("promtool: %v\n%s", err, output)
	}
}

// backfillRules evaluates the recording rules whose names end in record at each
// midnight of the week and at its end, and stores what they give.
func backfillRules(t *testing.T, data, record string) {
	rules, err := filepath.Abs("../../grafana/recording.yml")
	if err != nil {
		t.Fatal(err)
	}
	p := prometheus(lab.StartPrometheusOn(t, data, fmt.Sprintf("rule_files: [%q]\n", rules)))
	var loaded struct {
		Groups []struct {
			Rules []struct{ Name, Query string }
		}
	}
	p.get(t, "rules", nil, &loaded)
	var times []time.Time
	for day := week.End().AddDate(0, 0, -6).Truncate(24 * time.Hour); day.Before(week.End()); day = day.AddDate(0, 0, 1) {
		times = append(times, day)
	}
	times = append(times, week.End())
	var text strings.Builder
	for _, rule := range loaded.Groups[0].Rules {
		if !strings.HasSuffix(rule.Name, ":"+record) {
			continue
		}
		for _, at := range times {
			for _, s := range p.query(t, rule.Query, at) {
				delete(s.Metric, "__name__")
				var labels []string
				for _, name := range slices.Sorted(maps.Keys(s.Metric)) {
					labels = append(labels, fmt.Sprintf("%s=%q", name, s.Metric[name]))
				}
				fmt.Fprintf(&text, "%s{%s} %v %d\n", rule.Name, strings.Join(labels, ","), s.Value[1], at.Unix())
			}
		}
	}
	path := filepath.Join(t.TempDir(), record)
	if err := os.WriteFile(path, []byte(text.String()+"# EOF\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	backfill(t, path, data)
}

// looker looks at the dashboard.
type looker struct {
	dashboard
	prometheus
}

// at returns what a target of a panel shows.
func (l looker) at(t *testing.T, v view, kind, title, refID string) []series {
	t.Helper()
	p := l.panel(t, kind, title)
	return v.ask(t, l.prometheus, p, p.target(t, refID))
}

// one returns the value of a target that shows a single one.
func (l looker) one(t *testing.T, v view, kind, title, refID string) float64 {
	t.Helper()
	answer := l.at(t, v, kind, title, refID)
	if len(answer) != 1 {
		t.Fatalf("%s %s: %d values, want one", title, refID, len(answer))
	}
	return answer[0].value(t)
}

// testQueries wants an answer to every query, whatever the time range, and none
// that is too long to be looked at.
func testQueries(t *testing.T, look looker, home view) {
	most := map[string]int{"stat": 1, "timeseries": 12, "state-timeline": 24, "table": week.Devices + 1}
	for _, home.timeRange = range []time.Duration{15 * time.Minute, 24 * time.Hour, 7 * 24 * time.Hour} {
		for _, p := range look.Panels {
			for _, target := range p.Targets {
				answer := home.ask(t, look.prometheus, p, target)
				if len(answer) == 0 || len(answer) > most[p.Type] {
					t.Errorf("%v, %s %s: %d series, want 1 to %d: %s", home.timeRange, p.Title, target.RefID,
						len(answer), most[p.Type], home.expr(t, p, target))
				}
			}
		}
	}
}

// testCurves compares the area under the first graph with what was moved.
func testCurves(t *testing.T, look looker, home view, w *week.Week) {
	const title = "Download and upload by device"
	step := func(v view) float64 { return v.interval(t, look.panel(t, "timeseries", title)).Seconds() }
	for _, shown := range []struct {
		timeRange time.Duration
		internet  bool
	}{{24 * time.Hour, false}, {7 * 24 * time.Hour, true}} {
		home.timeRange, home.internet = shown.timeRange, shown.internet
		moved := amounts(w, home, home.end.Add(-home.timeRange), home.end)
		top := slices.DeleteFunc(w.IDs(), func(id string) bool { return id == week.Other })
		slices.SortFunc(top, func(a, b string) int { return cmp.Compare(moved[b][0]+moved[b][1], moved[a][0]+moved[a][1]) })
		top = top[:12]
		for i, refs := range [][2]string{{"A", "C"}, {"B", "D"}} {
			all := fmt.Sprintf("%v, %s", home.timeRange, week.Directions()[i])
			lines := make(map[string]float64)
			var got, want float64
			for _, s := range look.at(t, home, "timeseries", title, refs[0]) {
				lines[s.Metric["device"]] = s.area(t) * step(home) / 8
				got += lines[s.Metric["device"]]
			}
			for _, s := range look.at(t, home, "timeseries", title, refs[1]) {
				got += s.area(t) * step(home) / 8
			}
			for _, bytes := range moved {
				want += bytes[i]
			}
			t.Logf("%s: %.1f GB under the curve, %.1f GB moved, %+.2f%%", all, got/1e9, want/1e9, 100*(got/want-1))
			near(t, all, got, want)
			if diff := gocmp.Diff(slices.Sorted(slices.Values(top)), slices.Sorted(maps.Keys(lines))); diff != "" {
				t.Errorf("%s: devices (-want +got):\n%s", all, diff)
			}
			for _, id := range top {
				// A burst on the verge of a day is a greater part of it.
				if home.timeRange > 24*time.Hour {
					near(t, all+" of "+id, lines[id], moved[id][i])
				}
			}
		}
	}
}

// near reports what is off by more than is tolerated.
func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > tolerated*want {
		t.Errorf("%s: %.0f, want %.0f within %v", what, got, want, tolerated)
	}
}

// amounts are the bytes of each device, in each direction.
func amounts(w *week.Week, v view, from, to time.Time) map[string][2]float64 {
	all := make(map[string][2]float64)
	for _, id := range w.IDs() {
		var moved [2]float64
		for i, direction := range week.Directions() {
			traffic := w.Moved(id, direction, from, to)
			moved[i] = float64(traffic.All)
			if v.internet {
				moved[i] = traffic.Internet()
			}
		}
		all[id] = moved
	}
	return all
}

// testBars compares the sum of all bars with what was moved in whole hours and
// days.
func testBars(t *testing.T, look looker, home view, w *week.Week) {
	for _, bars := range []struct {
		title    string
		from, to time.Time
	}{
		{"Traffic per hour by device", home.end.Add(-25 * time.Hour), home.end},
		{"Traffic per day by device", home.end.AddDate(0, 0, -7), home.end.Truncate(24 * time.Hour)},
	} {
		var got, want float64
		for _, ref := range []string{"A", "B"} {
			for _, s := range look.at(t, home, "timeseries", bars.title, ref) {
				got += s.area(t)
			}
		}
		for _, amount := range amounts(w, home, bars.from, bars.to) {
			want += amount[0] + amount[1]
		}
		near(t, bars.title, got, want)
	}
	got := byDevice(t, look.at(t, home, "table", "Last 30 days", "B"))
	for id, amount := range amounts(w, home, home.end.AddDate(0, 0, -7), home.end.Truncate(24*time.Hour)) {
		if id != week.New {
			near(t, "30 days of "+id, got[id], amount[0]+amount[1])
		}
	}
	if got[week.New] < week.NewBefore {
		t.Errorf("30 days of the new device: %.0f, want %.0f or more", got[week.New], week.NewBefore)
	}
}

func byDevice(t *testing.T, answer []series) map[string]float64 {
	t.Helper()
	values := make(map[string]float64)
	for _, s := range answer {
		values[s.Metric["device"]] = s.value(t)
	}
	return values
}

// testTable compares the table of devices with what was moved: it is exact.
func testTable(t *testing.T, look looker, home view, w *week.Week) {
	for _, home.internet = range []bool{true, false} {
		want := make(map[string]float64)
		month := make(map[string]float64)
		for id, amount := range amounts(w, home, home.end.Truncate(24*time.Hour), home.end) {
			want[id] = amount[0] + amount[1]
		}
		want[week.New] += 2 * week.NewBefore // both directions had as much before the first scrape
		for id, amount := range amounts(w, home, week.PeriodStart(), home.end) {
			month[id] = amount[0] + amount[1]
		}
		delete(want, week.Gone)
		delete(month, week.Gone)
		if diff := gocmp.Diff(want, byDevice(t, look.at(t, home, "table", "Devices", "D"))); diff != "" {
			t.Errorf("internet: %t, today (-want +got):\n%s", home.internet, diff)
		}
		if diff := gocmp.Diff(month, byDevice(t, look.at(t, home, "table", "Devices", "E"))); diff != "" {
			t.Errorf("internet: %t, this month (-want +got):\n%s", home.internet, diff)
		}
		total := 0.0
		for _, bytes := range month {
			total += bytes
		}
		if got := look.one(t, home, "stat", "This month", "A"); got != total {
			t.Errorf("internet: %t, this month: %.0f, want %.0f", home.internet, got, total)
		}
	}
	if diff := gocmp.Diff(map[string]float64{week.New: 1}, byDevice(t, look.at(t, home, "table", "Devices", "I"))); diff != "" {
		t.Errorf("new (-want +got):\n%s", diff)
	}
}

// testPeaks wants the highest rate of each device, though a graph of a week has
// but a point in ten minutes.
func testPeaks(t *testing.T, look looker, home view, w *week.Week) {
	home.timeRange = 7 * 24 * time.Hour
	for ref, direction := range map[string]string{"A": "rx", "B": "tx"} {
		for _, s := range look.at(t, home, "timeseries", "Highest rates by device", ref) {
			highest := 0.0
			for _, value := range s.Values {
				highest = max(highest, number(t, value))
			}
			id := s.Metric["device"]
			if want := w.Peak(id, direction, home.end.Add(-24*time.Hour)); highest != want {
				t.Errorf("%s %s: %.0f, want %.0f", id, direction, highest, want)
			}
		}
	}
}

// testNames wants a line for each device, with its last name.
func testNames(t *testing.T, look looker, home view) {
	home.timeRange = 7 * 24 * time.Hour
	named := func(kind, title, ref string) map[string][]string {
		names := make(map[string][]string)
		for _, s := range look.at(t, home, kind, title, ref) {
			id := s.Metric["device"]
			names[id] = append(names[id], s.Metric["client"])
		}
		return names
	}
	want := map[string][]string{
		week.Renamed: {"work-laptop"}, week.Phone: {"phone"}, week.OtherOne: {"phone"}, week.Nameless: {"unknown"}, week.Gone: {"old-pc"},
	}
	for _, shown := range []struct{ kind, title, ref string }{
		{"timeseries", "Download and upload by device", "A"},
		{"timeseries", "Traffic per day by device", "A"},
		{"table", "Last 30 days", "J"},
	} {
		got := named(shown.kind, shown.title, shown.ref)
		for id, names := range want {
			if diff := gocmp.Diff(names, got[id]); diff != "" {
				t.Errorf("%s: names of %s (-want +got):\n%s", shown.title, id, diff)
			}
		}
	}
	delete(want, week.Gone) // it is not there now
	want[week.Other] = []string{"everyone else"}
	got := named("table", "Devices", "J")
	for id, names := range want {
		if diff := gocmp.Diff(names, got[id]); diff != "" {
			t.Errorf("the table's names of %s (-want +got):\n%s", id, diff)
		}
	}
}

// testFilter chooses a device, as a click does.
func testFilter(t *testing.T, look looker, home view) {
	home.device = week.Phone
	for _, shown := range []struct{ kind, title, ref string }{
		{"timeseries", "Download and upload by device", "A"}, {"timeseries", "Download and upload by device", "B"},
		{"table", "Devices", "J"}, {"table", "Devices", "D"}, {"table", "Devices", "E"},
		{"timeseries", "Traffic per hour by device", "A"}, {"timeseries", "Traffic per day by device", "A"},
		{"timeseries", "Connections by device", "A"}, {"state-timeline", "Who came and went", "A"},
	} {
		answer := look.at(t, home, shown.kind, shown.title, shown.ref)
		if len(answer) != 1 || answer[0].Metric["device"] != week.Phone {
			t.Errorf("%s %s: %d series, want the phone alone", shown.title, shown.ref, len(answer))
		}
	}
}

// testNoLocal wants all traffic to be internet traffic where local traffic is not
// told apart.
func testNoLocal(t *testing.T, look looker, home view) {
	home.instance = week.Frozen
	for _, p := range look.Panels {
		for _, target := range p.Targets {
			shown := func(v view) string { return fmt.Sprint(v.ask(t, look.prometheus, p, target)) }
			all := home
			all.internet = false
			if diff := gocmp.Diff(shown(all), shown(home)); diff != "" {
				t.Errorf("%s %s: all and internet traffic (-all +internet):\n%s", p.Title, target.RefID, diff)
			}
		}
	}
	for _, shown := range []struct{ kind, title, ref string }{
		{"timeseries", "Download and upload by device", "A"}, {"timeseries", "Traffic per day by device", "A"},
		{"table", "Devices", "D"}, {"table", "Devices", "E"}, {"table", "Last 30 days", "B"},
	} {
		if got := len(look.at(t, home, shown.kind, shown.title, shown.ref)); got != 2 {
			t.Errorf("%s %s: %d devices, want 2", shown.title, shown.ref, got)
		}
	}
}

// testHealth wants nothing green that is not well.
func testHealth(t *testing.T, look looker, home view) {
	const ok, gone, still = 1, -1, -2
	for instance, want := range map[string]float64{
		week.Home: ok, week.Dead: gone, week.Frozen: still,
		".+": still, week.Home + "|" + week.Dead: gone, "no such router": gone,
	} {
		home.instance = instance
		if got := look.one(t, home, "stat", "Exporter", "A"); got != want {
			t.Errorf("%s: exporter %v, want %v", instance, got, want)
		}
	}
	for instance, known := range map[string][]string{week.Dead: {"Exporter"}, week.Frozen: {"Exporter", "This month"}} {
		home.instance = instance
		var shown []string
		for _, p := range look.Panels {
			for _, target := range p.Targets {
				if p.Type == "stat" && len(home.ask(t, look.prometheus, p, target)) > 0 {
					shown = append(shown, p.Title)
				}
			}
		}
		if diff := gocmp.Diff(known, slices.Compact(shown)); diff != "" {
			t.Errorf("%s: what is said to be so now (-want +got):\n%s", instance, diff)
		}
		for _, ref := range []string{"A", "B", "C", "G"} {
			if answer := look.at(t, home, "table", "Devices", ref); len(answer) > 0 {
				t.Errorf("%s: the table says %v", instance, answer)
			}
		}
	}
	home.instance = ".+"
	got := make(map[string]float64)
	for _, s := range look.at(t, home, "table", "Routers", "A") {
		got[s.Metric["instance"]] = s.value(t)
	}
	if diff := gocmp.Diff(map[string]float64{week.Home: ok, week.Dead: gone, week.Frozen: still}, got); diff != "" {
		t.Errorf("routers (-want +got):\n%s", diff)
	}
	home.end = home.end.Add(-2 * time.Hour)
	if got := look.one(t, home, "stat", "Exporter", "A"); got != ok {
		t.Errorf("two hours before: exporter %v, want %v", got, ok)
	}
}

// testTwoExporters wants the same of either job that has the router's file.
func testTwoExporters(t *testing.T, look looker, home view) {
	elsewhere := home
	elsewhere.job = week.Elsewhere
	home.timeRange, elsewhere.timeRange = time.Hour, time.Hour
	for _, p := range look.Panels {
		if p.TimeFrom != "" || p.Title == "Routers" || p.Title == "Last 30 days" {
			continue // more than three hours
		}
		for _, target := range p.Targets {
			of := func(v view) map[string]string {
				shown := make(map[string]string)
				for _, s := range v.ask(t, look.prometheus, p, target) {
					delete(s.Metric, "job")
					values := s.Values
					if target.Instant {
						values = append(values, s.Value)
					}
					for _, value := range values { // sums may differ in their last digit
						shown[fmt.Sprint(s.Metric)] += fmt.Sprintf("%v %.6g\n", value[0], number(t, value))
					}
				}
				return shown
			}
			if diff := gocmp.Diff(of(home), of(elsewhere)); diff != "" {
				t.Errorf("%s %s: by one exporter and the other (-one +other):\n%s", p.Title, target.RefID, diff)
			}
		}
	}
}

// testVariables wants what can be chosen at the top of the dashboard.
func testVariables(t *testing.T, look looker) {
	list := make(map[string]variable)
	for _, v := range look.Templating.List {
		list[v.Name] = v
	}
	labels := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for name, want := range map[string][]string{
		"job": {week.Job, week.Elsewhere}, "instance": {week.Dead, week.Frozen, week.Home},
	} {
		match := labels.FindStringSubmatch(list[name].Definition)
		if match == nil {
			t.Fatalf("%s: %q", name, list[name].Definition)
		}
		selector := strings.ReplaceAll(match[1], "$job", week.Job)
		if got := look.labelValues(t, match[2], selector, week.End().Add(-3*time.Hour), week.End()); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}

	query, found := strings.CutPrefix(list["device"].Definition, "query_result(")
	if !found {
		t.Fatalf("device: %q", list["device"].Definition)
	}
	query = strings.NewReplacer("$job", week.Job, "$instance", week.Home).Replace(strings.TrimSuffix(query, ")"))
	regex := regexp.MustCompile(strings.Trim(list["device"].Regex, "/"))
	got := make(map[string]string)
	for _, s := range look.query(t, query, week.End()) {
		// As Grafana writes a result.
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(s.Metric)) {
			pairs = append(pairs, fmt.Sprintf("%s=%q", name, s.Metric[name]))
		}
		match := regex.FindStringSubmatch("{" + strings.Join(pairs, ",") + "} 1 0")
		if match == nil {
			t.Fatalf("the variable device does not find %q", pairs)
		}
		got[match[regex.SubexpIndex("value")]] = match[regex.SubexpIndex("text")]
	}
	if len(got) != week.Devices-1 {
		t.Errorf("%d devices to choose from, want %d", len(got), week.Devices-1)
	}
	for id, want := range map[string]string{week.Phone: "phone " + week.Phone, week.OtherOne: "phone " + week.OtherOne, week.Nameless: "unknown " + week.Nameless} {
		if got[id] != want {
			t.Errorf("device %s is called %q, want %q", id, got[id], want)
		}
	}
}
