package health

import (
	"os"
	"path/filepath"
)

// Names of what systemd runs, and where it finds it: system.conf(5), the
// directories of the administrator, of this boot and of packages (systemd.unit(5)).
const (
	timer   = "network-metrics-exporter.timer"
	service = "network-metrics-exporter.service"
	server  = "network-metrics-exporter-http.service"
)

var unitDirs = []string{
	"/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
}

// units looks for the service and the timer that starts it. Whether the timer
// ticks is to be seen by the age of the last sample.
func (m Machine) units() []Finding {
	const name = "units"
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return []Finding{warn(name, "run the program every interval in another way", "systemd does not run here")}
	}
	for _, unit := range []string{service, timer} {
		if find(unit) == "" {
			return []Finding{warn(name, m.host.install(), "%s is not installed", unit)}
		}
	}
	findings := []Finding{ok(name, "%s and %s are installed", find(service), find(timer))}
	if find("timers.target.wants/"+timer) == "" {
		return append(findings, warn("timer", m.host.enable(timer), "%s is not started at boot", timer))
	}
	return append(findings, ok("timer", "%s is started at boot", timer))
}

// find gives the path of a unit, nothing if it is nowhere. One that is masked, by a
// link to /dev/null, is not there.
func find(unit string) string {
	for _, dir := range unitDirs {
		path := filepath.Join(dir, unit)
		if target, err := filepath.EvalSymlinks(path); err == nil {
			if target == os.DevNull {
				return ""
			}
			return path
		}
	}
	return ""
}
