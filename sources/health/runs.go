package health

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"network-metrics-exporter/state"
)

// sample looks at how long ago the last run was.
func (m Machine) sample() []Finding {
	const name = "sample"
	cure := m.host.enable(timer)
	if m.host != byHand {
		cure += ", and look at journalctl -u " + service
	}
	age := m.Sample.Uptime - m.Last.Uptime
	switch {
	case m.LastErr != nil:
		return []Finding{fail(name, "make the file readable; if it is damaged, the next run keeps it aside and goes on without it", "%v", m.LastErr)}
	case m.Last.Boot == "":
		return []Finding{fail(name, cure, "none was ever taken")}
	case m.Last.Boot != m.Sample.Boot || age < 0:
		return []Finding{fail(name, cure, "none was taken since the machine started")}
	case age > m.Overdue():
		return []Finding{fail(name, cure, "the last one is %v old, which is more than ten intervals of %v", age.Round(time.Second), m.Interval)}
	}
	return []Finding{ok(name, "the last one is %v old", age.Round(10*time.Millisecond))}
}

// runtimeDir is where the units have the file of metrics by default.
const runtimeDir = "/run/network-metrics-exporter"

// textfile looks at how long ago it was replaced.
func (m Machine) textfile() []Finding {
	const name = "textfile"
	if m.Output == stdout {
		return nil
	}
	cure := m.host.runNow()
	switch dir := filepath.Dir(m.Output); {
	case m.host == byHand:
		cure = "run the program with --output=" + m.Output
	case m.host == byUnits && dir != runtimeDir: // which the sandbox of the service does not let it write to
		cure = m.host.inService("ReadWritePaths", dir) + "; then " + cure
	}
	info, err := os.Stat(m.Output)
	if err != nil {
		return []Finding{fail(name, cure, "%v", err)}
	}
	if age := m.Sample.Wall.Sub(info.ModTime()); age > m.Overdue() {
		return []Finding{fail(name, cure, "%s is %v old, which is more than ten intervals of %v", m.Output, age.Round(time.Second), m.Interval)}
	}
	return []Finding{ok(name, "%s is up to date", m.Output)}
}

// sources tells what failed in the last run, which has other rights and sees another
// part of the file system than whoever examines.
func (m Machine) sources() []Finding {
	const name = "source"
	if m.LastErr != nil || m.Last.Boot == "" {
		return nil // as the examination sample says
	}
	cure := "see the other examinations"
	if m.host != byHand {
		cure += ", and journalctl -u " + service
	}
	needed := []state.Source{state.Neighbor, state.Conntrack, state.NFTables}
	var findings []Finding
	for _, source := range slices.Sorted(maps.Keys(m.Last.Faults)) {
		finding := warn
		if slices.Contains(needed, source) {
			finding = fail
		}
		findings = append(findings, finding(name, cure, "in the last run %s failed: %s", source, m.Last.Faults[source]))
	}
	return orOK(findings, name, "nothing failed in the last run")
}
