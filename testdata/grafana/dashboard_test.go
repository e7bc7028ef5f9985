package grafana

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// dashboard is what of dashboard.json decides what is asked.
type dashboard struct {
	Panels     []panel
	Templating struct{ List []variable }
}

type panel struct {
	Title, Type        string
	TimeFrom, Interval string
	GridPos            struct{ X, Y, W, H int }
	Targets            []target
	FieldConfig        struct {
		Defaults  fieldConfig
		Overrides []struct {
			Properties []struct {
				ID    string
				Value any
			}
		}
	}
}

type fieldConfig struct {
	Unit  string
	Color struct{ Mode string }
}

type target struct {
	RefID, Expr, LegendFormat string
	Instant                   bool
}

type variable struct {
	Name, Regex, Definition string
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("../../grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// panel finds one by its title, of which there may be a table and a stat.
func (d dashboard) panel(t *testing.T, kind, title string) panel {
	t.Helper()
	for _, p := range d.Panels {
		if p.Title == title && p.Type == kind {
			return p
		}
	}
	t.Fatalf("the dashboard has no %s %q", kind, title)
	return panel{}
}

func (p panel) target(t *testing.T, refID string) target {
	t.Helper()
	for _, target := range p.Targets {
		if target.RefID == refID {
			return target
		}
	}
	t.Fatalf("%s: no target %s", p.Title, refID)
	return target{}
}

// firstScreen is how many rows of the grid a browser shows at 1080p.
const firstScreen = 22

// TestDashboardHabits holds all panels to what each of them needs: what is told of
// now is asked of now, units are decimal, and colours are those of names.
func TestDashboardHabits(t *testing.T) {
	t.Parallel()
	taken := make(map[[2]int]string)
	for _, p := range readDashboard(t).Panels {
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" || at[0] >= 24 {
					t.Errorf("%s covers %s, or sticks out", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
		if p.GridPos.Y < firstScreen && p.GridPos.Y+p.GridPos.H > firstScreen {
			t.Errorf("%s is only in part on the first screen", p.Title)
		}
		ofNow := p.Type == "stat" || p.Type == "table"
		for _, target := range p.Targets {
			if target.Instant != ofNow {
				t.Errorf("%s %s: instant: %t", p.Title, target.RefID, target.Instant)
			}
		}
		units := []any{p.FieldConfig.Defaults.Unit}
		for _, override := range p.FieldConfig.Overrides {
			for _, property := range override.Properties {
				if property.ID == "unit" {
					units = append(units, property.Value)
				}
			}
		}
		for _, unit := range units {
			if slices.Contains([]any{"bytes", "kbytes", "mbytes", "gbytes", "binbps", "binBps"}, unit) {
				t.Errorf("%s: the unit %v is of powers of 1024", p.Title, unit)
			}
		}
		if mode := p.FieldConfig.Defaults.Color.Mode; p.Type == "timeseries" && mode != "palette-classic-by-name" {
			t.Errorf("%s: colours by %q", p.Title, mode)
		}
	}
}

// view is what somebody has chosen at the top of the dashboard, and when.
type view struct {
	job, instance, device string
	internet              bool // without local traffic
	timeRange             time.Duration
	end                   time.Time
	scrape                time.Duration // the interval of Prometheus' job
	width                 int           // of a graph, in points
}

// rangeOf is the time range of a panel, which may have one of its own.
func (v view) rangeOf(t *testing.T, p panel) time.Duration {
	t.Helper()
	switch p.TimeFrom {
	case "":
		return v.timeRange
	case "now/d": // by the dashboard's time zone, which is UTC here
		return v.end.Sub(v.end.Truncate(24 * time.Hour))
	}
	return duration(t, p.TimeFrom)
}

// duration reads one of Grafana's.
func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(n) * 24 * time.Hour
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// interval is the time between two points of a panel.
func (v view) interval(t *testing.T, p panel) time.Duration {
	t.Helper()
	least := v.scrape
	if p.Interval != "" {
		least = duration(t, p.Interval)
	}
	return max((v.rangeOf(t, p) / time.Duration(v.width)).Round(time.Second), least)
}

// expr is a target's expression, as Grafana fills in its variables.
func (v view) expr(t *testing.T, p panel, target target) string {
	t.Helper()
	interval, timeRange := v.interval(t, p), v.rangeOf(t, p)
	internet := "0"
	if v.internet {
		internet = "1"
	}
	filled := strings.NewReplacer(
		"$job", v.job, "$instance", v.instance, "$device", v.device, "$internet", internet,
		"$__range_s", fmt.Sprintf("%.0f", timeRange.Seconds()), "$__range", milliseconds(timeRange),
		"$__rate_interval", milliseconds(max(interval+v.scrape, 4*v.scrape)), "$__interval", milliseconds(interval),
	).Replace(target.Expr)
	if strings.Contains(filled, "$") {
		t.Fatalf("%s: a variable that this test does not know: %s", p.Title, filled)
	}
	return filled
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

// series is one of an answer, with a value for each point that there is.
type series struct {
	Metric map[string]string
	Value  [2]any   // of an instant: time, value
	Values [][2]any // of a range
}

func number(t *testing.T, value [2]any) float64 {
	t.Helper()
	text, _ := value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatalf("%v: %v", value, err)
	}
	return v
}

// value is that of an instant.
func (s series) value(t *testing.T) float64 {
	t.Helper()
	return number(t, s.Value)
}

// area is the sum of all values.
func (s series) area(t *testing.T) (sum float64) {
	t.Helper()
	for _, value := range s.Values {
		sum += number(t, value)
	}
	return sum
}

// ask asks what a target asks, over a range or for the moment at its end. Grafana
// begins and ends a range at multiples of its step.
func (v view) ask(t *testing.T, p prometheus, panel panel, target target) []series {
	t.Helper()
	expr := v.expr(t, panel, target)
	if target.Instant {
		return p.query(t, expr, v.end)
	}
	step := v.interval(t, panel)
	end := v.end.Truncate(step)
	var matrix struct{ Result []series }
	p.get(t, "query_range", url.Values{
		"query": {expr}, "step": {fmt.Sprint(step.Seconds())},
		"start": {stamp(end.Add(-v.rangeOf(t, panel).Truncate(step)))}, "end": {stamp(end)},
	}, &matrix)
	return matrix.Result
}

func stamp(t time.Time) string { return fmt.Sprintf("%.3f", float64(t.UnixMilli())/1000) }
