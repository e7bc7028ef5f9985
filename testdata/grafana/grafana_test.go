// Package grafana puts the dashboard and the rules of grafana/ before a real
// Prometheus, which scrapes real node_exporters over real traffic.
package grafana

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/testdata/lab"
)

// dirEnv names, in the environment, the directory that all processes of a test
// share: the program is there, built once, and the routers' files.
const dirEnv = "GRAFANA_TEST_DIR"

// waitLimit bounds each wait; it is far longer than any takes.
const waitLimit = 40 * time.Second

func TestMain(m *testing.M) { os.Exit(withProgram(m.Run)) }

func withProgram(run func() int) int {
	if os.Getenv(dirEnv) != "" {
		return run() // in namespaces
	}
	dir, err := os.MkdirTemp("", "grafana-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if output, err := exec.Command("go", "build", "-o", dir, "network-metrics-exporter").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, output)
		return 1
	}
	os.Setenv(dirEnv, dir)
	return run()
}

// A router runs the program. Its .prom file is in dir/textfile.
type router struct {
	*lab.Router
	dir    string
	flow   *lab.Flow // of the laptop
	guests int       // how many have come
}

func newRouter(t *testing.T, r *lab.Router, dir string) *router {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "textfile"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &router{r, dir, lab.UDP(t, "udp4", r.Laptop, r.Server), 0}
}

func (r *router) prom() string { return filepath.Join(r.dir, "textfile", "network_metrics.prom") }

// run lets traffic flow and takes a sample.
func (r *router) run(t *testing.T, flags ...string) {
	t.Helper()
	r.flow.Send(t, 4, 1000)
	r.flow.Reply(t, 8, 1000)
	lab.Command(t, filepath.Join(os.Getenv(dirEnv), "network-metrics-exporter"), append([]string{
		"sample", "--output=" + r.prom(), "--state-dir=" + filepath.Join(r.dir, "state"), "--leases=" + r.Leases, "--interval=0.5",
	}, flags...)...)
}

// write puts something into one of the router's files.
func (r *router) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(r.dir, name)
	temporary := path + ".test" // node_exporter reads none of this name
	if err := errors.Join(os.WriteFile(temporary, []byte(text), 0o644), os.Rename(temporary, path)); err != nil {
		t.Fatal(err)
	}
}

// line finds a series without labels in the .prom file.
func (r *router) line(t *testing.T, name string) (text string, value float64, at []int) {
	t.Helper()
	content, err := os.ReadFile(r.prom())
	if err != nil {
		t.Fatal(err)
	}
	at = regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatchIndex(content)
	if at == nil {
		t.Fatalf("no %s in\n%s", name, content)
	}
	value, err = strconv.ParseFloat(string(content[at[2]:at[3]]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return string(content), value, at
}

// value returns a value of the .prom file.
func (r *router) value(t *testing.T, name string) float64 {
	t.Helper()
	_, value, _ := r.line(t, name)
	return value
}

// setValue puts another value into the .prom file.
func (r *router) setValue(t *testing.T, name string, value float64) {
	t.Helper()
	text, _, at := r.line(t, name)
	r.write(t, "textfile/network_metrics.prom", text[:at[2]]+fmt.Sprint(value)+text[at[3]:])
}

// addGuest adds a device that has no name.
func (r *router) addGuest(t *testing.T) {
	t.Helper()
	if r.guests == 140 {
		return // the network is full
	}
	lab.Command(t, "ip", "neigh", "add", guest(r.guests), "dev", "br-lan",
		"lladdr", fmt.Sprintf("00:00:5e:00:53:%02x", r.guests), "nud", "permanent")
	r.guests++
}

// removeGuests removes them all.
func (r *router) removeGuests(t *testing.T) {
	t.Helper()
	for ; r.guests > 0; r.guests-- {
		lab.Command(t, "ip", "neigh", "del", guest(r.guests-1), "dev", "br-lan")
	}
}

func guest(n int) string { return fmt.Sprintf("192.168.10.%d", 110+n) }

// config makes a Prometheus configuration that scrapes every half second. Its
// rules are those of grafana/, with whatever hurry does to them.
func config(t *testing.T, targets map[string]string, hurry *strings.Replacer) string {
	t.Helper()
	var c strings.Builder
	c.WriteString("global: {scrape_interval: 500ms, evaluation_interval: 500ms}\nrule_files:\n")
	for _, name := range []string{"alerts.yml", "recording.yml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "grafana", name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(hurry.Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&c, "  - %s\n", path)
	}
	c.WriteString("scrape_configs:\n  - job_name: node\n    static_configs:\n")
	for instance, target := range targets {
		fmt.Fprintf(&c, "      - {targets: [%q], labels: {instance: %s}}\n", target, instance)
	}
	return c.String()
}

// hurried makes a minute of the rules a moment, and of their thresholds what
// the lab can reach.
func hurried(conntrack, clients float64) *strings.Replacer {
	return strings.NewReplacer(
		"interval: 1m", "interval: 500ms",
		"for: 5m", "for: 1s", "for: 10m", "for: 1s",
		"[5m]", "[4s]", "offset 5m", "offset 4s",
		"losses_total[1h]", "losses_total[15s]", "[1h]", "[5s]", "+ 3600", "+ 5", "< 3600", "< 5",
		"> 0.8", fmt.Sprint("> ", conntrack), "> 50e6", "> 1e6", "> 900", fmt.Sprint("> ", clients), "> 6", "> 1")
}

// prometheus is the address of one.
type prometheus string

// get asks the API and decodes its data.
func (p prometheus) get(t *testing.T, path string, query url.Values, data any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/api/v1/%s?%s", p, path, query.Encode()), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s %v: %s, %s, %v", path, query, response.Status, answer.Error, err)
	}
}

// query returns what an expression was at a time.
func (p prometheus) query(t *testing.T, expr string, at time.Time) []series {
	t.Helper()
	var vector struct{ Result []series }
	p.get(t, "query", url.Values{"query": {expr}, "time": {stamp(at)}}, &vector)
	return vector.Result
}

// labelValues returns those of the series that a selector finds.
func (p prometheus) labelValues(t *testing.T, label, selector string, from, to time.Time) []string {
	t.Helper()
	var values []string
	p.get(t, "label/"+label+"/values", url.Values{"match[]": {selector}, "start": {stamp(from)}, "end": {stamp(to)}}, &values)
	return values
}

// alerts returns the names of those that fire.
func (p prometheus) alerts(t *testing.T) []string {
	t.Helper()
	var data struct {
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
	p.get(t, "alerts", nil, &data)
	var names []string
	for _, a := range data.Alerts {
		if a.State == "firing" {
			names = append(names, a.Labels["alertname"])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// mustAnswer waits until every query of the dashboard has returned data for an
// instance.
func (p prometheus) mustAnswer(t *testing.T, instance string, tick func()) {
	t.Helper()
	// What is sent on by remote write comes in batches of seconds.
	v := view{job: "node", instance: instance, device: ".*", timeRange: 20 * time.Second, scrape: 4 * time.Second, width: 5}
	type query struct {
		panel
		target
	}
	var missing []query
	for _, panel := range readDashboard(t).Panels {
		if panel.Interval == "1d" {
			continue // it is empty before the first midnight
		}
		for _, target := range panel.Targets {
			missing = append(missing, query{panel, target})
		}
	}
	until(t, tick, func() string {
		v.end = time.Now()
		missing = slices.DeleteFunc(missing, func(q query) bool {
			return len(p.query(t, v.expr(t, q.panel, q.target), v.end)) > 0
		})
		var report strings.Builder
		for _, q := range missing {
			fmt.Fprintf(&report, "no data from %s, %s: %s\n", instance, q.Title, q.Expr)
		}
		return report.String()
	})
}

// until lets time go by, a tick at a time, until nothing is missing.
func until(t *testing.T, tick func(), missing func() string) {
	t.Helper()
	for deadline := time.Now().Add(waitLimit); ; {
		tick()
		report := missing()
		if report == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(report)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// TestDashboardAndRules asks all that the dashboard and the rules ask, and lets
// every alert fire by its cause and resolve without it. What takes minutes takes
// seconds here, and some thresholds are lower.
func TestDashboardAndRules(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, lan *lab.Router) {
		r := newRouter(t, lan, t.TempDir())
		r.run(t)
		const flows, guests = 50, 3
		hurry := hurried((r.value(t, "network_conntrack_entries")+flows/2)/r.value(t, "network_conntrack_limit"),
			r.value(t, "network_clients_known")+guests-1)
		targets := map[string]string{"one": lab.StartNodeExporter(t, filepath.Dir(r.prom()))}
		p := prometheus(lab.StartPrometheus(t, config(t, targets, hurry)))

		// Something has to be old before anything can be new.
		until(t, func() { r.run(t) }, func() string {
			if len(p.query(t, "network_metrics_exporter_build_info offset 5s", time.Now())) == 0 {
				return "no data from five seconds ago"
			}
			return ""
		})
		if got := p.alerts(t); len(got) > 0 {
			t.Errorf("without a cause these fire: %q", got)
		}

		var fired []string
		fires := func(want ...string) func() string {
			fired = nil
			return func() string {
				fired = append(fired, p.alerts(t)...)
				slices.Sort(fired)
				fired = slices.Compact(fired)
				return cmp.Diff(want, fired)
			}
		}
		resolved := func() string { return strings.Join(p.alerts(t), " still fires\n") }

		for range flows {
			lab.UDP(t, "udp4", r.Phone, r.Server).Send(t, 1, 1)
		}
		lab.Nft(t, `
			delete table inet network_metrics
			table inet network_metrics {
				set client_tx { type ipv4_addr; size 1; flags dynamic; }
				chain forward {
					type filter hook forward priority 300
					ip saddr 192.168.10.0/24 add @client_tx { ip saddr counter }
				}
			}`)
		r.write(t, "state/ledger", "damaged")
		until(t, func() {
			r.flow.Send(t, 1000, 1400)
			r.addGuest(t)
			r.run(t, "--accounting=off", "--leases=/run/none")
			// A kernel may be without flowtables (CONFIG_NF_FLOW_TABLE): what the
			// program says where there is one is put in its mouth.
			r.setValue(t, "network_metrics_exporter_flowtable_active", 1)
		}, fires("NetworkAccountingFull", "NetworkConntrackNearlyFull", "NetworkDeviceTrafficHigh", "NetworkDevicesNearLimit",
			"NetworkFlowtableHidesTraffic", "NetworkMetricsSourceFailing", "NetworkNewDevice", "NetworkStateLost"))

		lab.Nft(t, "delete table inet network_metrics")
		p.mustAnswer(t, "one", func() {
			r.addGuest(t)
			r.run(t)
		})
		lab.Command(t, "conntrack", "-F")
		r.removeGuests(t)
		forgetful := func() { r.run(t, "--forget-after=1s") } // or the guests would count for a week
		until(t, forgetful, resolved)

		// The sets have room for two, and there are three.
		visitor := lab.UDP(t, "udp4", r.Phone, r.Server)
		until(t, func() {
			visitor.Send(t, 2, 1000)
			r.run(t, "--forget-after=1s", "--max-clients=1")
		}, fires("NetworkAccountingFull", "NetworkDevicesOverflow"))
		until(t, forgetful, resolved)

		until(t, func() {
			lab.Nft(t, "delete table inet network_metrics")
			forgetful()
		}, fires("NetworkAccountingRepaired"))
		until(t, forgetful, resolved)

		until(t, func() {}, fires("NetworkMetricsStale"))
		until(t, forgetful, resolved)

		if err := os.Remove(r.prom()); err != nil {
			t.Fatal(err)
		}
		until(t, func() {}, fires("NetworkMetricsGone"))
		until(t, forgetful, resolved)
	})
}

// TestManyRouters has three routers in one Prometheus, which writes to a second
// one. Both answer for each router.
func TestManyRouters(t *testing.T) {
	t.Parallel()
	dir := os.Getenv(dirEnv)
	done := filepath.Join(dir, "done")
	packets := map[string]int{"one": 100, "two": 200, "three": 300} // sent by the phone
	var routers sync.WaitGroup
	for name, n := range packets {
		routers.Go(func() {
			t.Run(name, func(t *testing.T) {
				lab.Run(t, func(t *testing.T, lan *lab.Router) {
					r := newRouter(t, lan, filepath.Join(dir, name))
					r.run(t)
					lab.UDP(t, "udp4", r.Phone, r.Server).Send(t, n, 1000)
					for {
						if _, err := os.Stat(done); err == nil {
							return
						}
						r.addGuest(t)
						r.run(t)
						time.Sleep(500 * time.Millisecond)
					}
				})
			})
		})
	}
	t.Run("Prometheus", func(t *testing.T) {
		defer os.WriteFile(done, nil, 0o600)
		targets := make(map[string]string)
		for name := range packets {
			textfile := filepath.Join(dir, name, "textfile")
			until(t, func() {}, func() string {
				if _, err := os.Stat(filepath.Join(textfile, "network_metrics.prom")); err != nil {
					return err.Error()
				}
				return ""
			})
			targets[name] = lab.StartNodeExporter(t, textfile)
		}
		central := prometheus(lab.StartPrometheus(t, "global: {}\n"))
		branch := prometheus(lab.StartPrometheus(t, config(t, targets, hurried(0.8, 900))+
			fmt.Sprintf("remote_write: [{url: 'http://%s/api/v1/write'}]\n", central)))
		for _, p := range []prometheus{branch, central} {
			for name, n := range packets {
				p.mustAnswer(t, name, func() {})
				want := map[string]float64{name: float64(n * 1028)}
				got := make(map[string]float64)
				for _, s := range p.query(t, fmt.Sprintf(`client_traffic_bytes{instance=~"%s",client="phone",ip="192.168.10.101",direction="tx"}`, name), time.Now()) {
					got[s.Metric["instance"]] = s.value(t)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("bytes from the phone (-want +got):\n%s", diff)
				}
			}
			p.mustAnswer(t, ".+", func() {})
			if got := len(p.query(t, "count by (instance) (client_info)", time.Now())); got != len(packets) {
				t.Errorf("%d routers, want %d", got, len(packets))
			}
		}
	})
	routers.Wait()
}
