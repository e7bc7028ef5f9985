package systemd

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkActivation measures what a tick of the timer costs: the CPU time of all
// processes of the machine, and that of the same run without systemd.
func BenchmarkActivation(b *testing.B) {
	const ticks = 100
	m := newContainer(b)
	r := &router{m}
	r.install(b)
	r.enable(b)
	r.startLAN(b)
	r.set(b, "UPDATE_INTERVAL=0.2")
	r.run(b, "systemctl", "daemon-reload")
	r.samples(b, 5)

	before := m.usage(b)
	r.samples(b, ticks)
	total := (m.usage(b) - before) / ticks

	r.run(b, "systemctl", "stop", timer, http)
	cmd := m.command(b.Context(), "bash", "-c", fmt.Sprintf(
		"for ((i = 0; i < %d; i++)); do network-metrics-exporter --output=/run/bench/prom --state-dir=/run/bench || exit; done", ticks))
	if output, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, output)
	}
	own := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()) / ticks
	b.ReportMetric(float64(total.Microseconds())/1000, "ms-CPU/tick")
	b.ReportMetric(float64(own.Microseconds())/1000, "ms-CPU/run")
	b.ReportMetric(float64((total-own).Microseconds())/1000, "ms-CPU/systemd")
	b.ReportMetric(0, "ns/op")
}

// usage is the CPU time of all processes that the machine has had, but for those
// that a test brought in.
func (m *container) usage(tb testing.TB) time.Duration {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(m.cgroup, "cpu.stat"))
	if err != nil {
		tb.Fatal(err)
	}
	var microseconds int64
	if _, err := fmt.Sscanf(string(text), "usage_usec %d", &microseconds); err != nil {
		tb.Fatalf("%v in cpu.stat:\n%s", err, text)
	}
	return time.Duration(microseconds) * time.Microsecond
}
