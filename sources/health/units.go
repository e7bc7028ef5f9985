package health

import (
	"bufio"
	"cmp"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
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
			return []Finding{warn(name, "install the units, see the README", "%s is not installed", unit)}
		}
	}
	findings := []Finding{ok(name, "%s and %s are installed", find(service), find(timer))}
	if find("timers.target.wants/"+timer) == "" {
		return append(findings, warn("timer", "systemctl enable --now "+timer, "%s is not started at boot", timer))
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

// outputDir is the directory that the server of the units serves.
const outputDir = "/run/network-metrics-exporter"

// patience is how long a server on this machine may take for an answer.
const patience = 2 * time.Second

// lastRun is a metric of ours that each run changes.
const lastRun = "network_metrics_exporter_last_run_timestamp_seconds "

// port asks the server of the units for what it serves. Only who puts the textfile
// where that one looks needs it.
func (m Machine) port() []Finding {
	const name = "port"
	var written float64
	if file, err := os.Open(m.Output); err == nil {
		written = scan(file)
		file.Close()
	}
	url, status, served, err := m.ask()
	if err != nil {
		if filepath.Dir(m.Output) != outputDir {
			return []Finding{ok(name, "nothing answers on port %d, and nothing has to: %s is for another node_exporter", m.Port, m.Output)}
		}
		return []Finding{warn(name, "systemctl enable --now "+server+", or --port=PORT of another node_exporter that serves it", "port %d: %v", m.Port, err)}
	}
	cure := "node_exporter --collector.textfile.directory=" + filepath.Dir(m.Output)
	switch {
	case served == 0:
		return []Finding{warn(name, cure, "%s answers %s, without our metrics", url, status)}
	case served < written:
		return []Finding{warn(name, cure, "%s serves another file than %s, or an older one", url, m.Output)}
	}
	return []Finding{ok(name, "%s serves %s", url, m.Output)}
}

// ask gets what is served on the port: on localhost or, where that is silent, at
// another address of this machine.
func (m Machine) ask() (url, status string, timestamp float64, err error) {
	hosts := []string{"localhost"}
	if m.Sample.LAN != nil {
		for _, a := range m.Sample.LAN.Addrs {
			if a.Addr.IsGlobalUnicast() {
				hosts = append(hosts, a.Addr.String())
			}
		}
	}
	var silent error
	for _, host := range hosts {
		url = "http://" + net.JoinHostPort(host, strconv.Itoa(int(m.Port))) + "/metrics"
		if status, timestamp, err = get(url); err == nil {
			return url, status, timestamp, nil
		}
		silent = cmp.Or(silent, err)
	}
	return "", "", 0, silent
}

// get asks for metrics, and gives the status of the answer and when the run was
// that wrote them. An http.Client, with TLS and all that this has no use for, would
// make the program two megabytes larger.
func get(url string) (status string, timestamp float64, err error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", 0, err
	}
	conn, err := net.DialTimeout("tcp", request.URL.Host, patience)
	if err != nil {
		return "", 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", 0, err
	}
	if err := request.Write(conn); err != nil {
		return "", 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return "", 0, err
	}
	defer response.Body.Close()
	return response.Status, scan(response.Body), nil
}

// scan gives when the run was that wrote metrics, 0 if they are not ours.
func scan(metrics io.Reader) (timestamp float64) {
	for lines := bufio.NewScanner(metrics); lines.Scan(); {
		if value, ours := strings.CutPrefix(lines.Text(), lastRun); ours {
			timestamp, _ = strconv.ParseFloat(value, 64) // 0: nobody's number
		}
	}
	return timestamp
}
