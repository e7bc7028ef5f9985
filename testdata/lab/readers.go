package lab

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"network-metrics-exporter/testdata/strict"
)

// readersLimit bounds what the readers of a file may take.
const readersLimit = time.Minute

// CheckReaders puts a .prom file before those who read it: node_exporter's
// textfile collector has to serve all of it, and promtool to complain of nothing
// but two names, which are the original's.
func CheckReaders(t *testing.T, path string) {
	t.Helper()
	Need(t, "promtool")
	ctx, cancel := context.WithTimeout(t.Context(), readersLimit)
	defer cancel()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	written, err := strict.Parse(text)
	if err != nil {
		t.Fatal(err)
	}

	served := scrape(t, ctx, StartNodeExporter(t, filepath.Dir(path)))
	if failed, ok := served["node_textfile_scrape_error"]; !ok || failed.Metric[0].Gauge.GetValue() != 0 {
		t.Errorf("node_textfile_scrape_error is %v, want 0", failed)
	}
	for name, want := range written {
		if diff := cmp.Diff(values(want), values(served[name])); diff != "" {
			t.Errorf("%s as written and as served (-want +got):\n%s", name, diff)
		}
	}

	cmd := exec.CommandContext(ctx, "promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(string(text))
	findings, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	var want string
	for _, name := range []string{"client_traffic_bytes", "client_traffic_packets"} {
		if written[name] != nil {
			want += name + " counter metrics should have \"_total\" suffix\n"
		}
	}
	if diff := cmp.Diff(want, string(findings)); diff != "" {
		t.Errorf("promtool check metrics (-want +got), %v:\n%s", cmd.ProcessState, diff)
	}
}

// StartNodeExporter gives the address at which it serves the files in dir. It
// ends with the test.
func StartNodeExporter(t *testing.T, dir string) (addr string) {
	t.Helper()
	return serve(t, "prometheus-node-exporter", "--collector.disable-defaults",
		"--collector.textfile", "--collector.textfile.directory="+dir, "--web.listen-address=127.0.0.1:0")
}

// StartPrometheus gives the address of one that has this configuration. It
// receives remote writes and ends with the test.
func StartPrometheus(t *testing.T, config string) (addr string) {
	t.Helper()
	return StartPrometheusOn(t, t.TempDir(), config)
}

// StartPrometheusOn is StartPrometheus on data that exists already.
func StartPrometheusOn(t *testing.T, data, config string) (addr string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	addr = serve(t, "prometheus", "--config.file="+file, "--storage.tsdb.path="+data,
		"--web.enable-remote-write-receiver", "--web.listen-address=127.0.0.1:0")
	for deadline := time.Now().Add(readersLimit); ; time.Sleep(10 * time.Millisecond) {
		response, err := http.Get("http://" + addr + "/-/ready")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return addr
		}
		if time.Now().After(deadline) {
			t.Fatalf("Prometheus is not ready: %s", response.Status)
		}
	}
}

// serve starts a program and gives the address that it listens on, which is in
// its log.
func serve(t *testing.T, program string, args ...string) (addr string) {
	t.Helper()
	Need(t, program)
	cmd := exec.Command(program, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	var log strings.Builder
	drained := make(chan struct{})
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-drained
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", program, &log)
		}
	})
	listening := regexp.MustCompile(`Listening on.* address=(127\.0\.0\.1:\d+)`)
	for addr == "" && lines.Scan() {
		fmt.Fprintln(&log, lines.Text())
		if match := listening.FindStringSubmatch(lines.Text()); match != nil {
			addr = match[1]
		}
	}
	go func() {
		defer close(drained)
		for lines.Scan() {
			fmt.Fprintln(&log, lines.Text())
		}
	}()
	if addr == "" {
		t.Fatalf("%s does not say where it listens", program)
	}
	return addr
}

func scrape(t *testing.T, ctx context.Context, addr string) map[string]*dto.MetricFamily {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// values gives those of a family by labels, whatever their order.
func values(family *dto.MetricFamily) map[string]float64 {
	values := make(map[string]float64)
	for _, m := range family.GetMetric() {
		var labels []string
		for _, l := range m.Label {
			labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
		}
		slices.Sort(labels)
		key := fmt.Sprint(family.GetType(), labels)
		if family.GetType() == dto.MetricType_COUNTER {
			values[key] = m.Counter.GetValue()
		} else {
			values[key] = m.Gauge.GetValue()
		}
	}
	return values
}
