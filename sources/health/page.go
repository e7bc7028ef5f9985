package health

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// exporterPort is where a node_exporter serves what it knows of the machine,
	// unless told otherwise.
	exporterPort = 9100
	// debianTextfiles is where Debian's looks for textfiles.
	debianTextfiles = "/var/lib/prometheus/node-exporter"
	// answerTimeout is how long a server on this machine may take for an answer.
	answerTimeout = 2 * time.Second
	// lastRun is a metric of ours that each run changes.
	lastRun = "network_metrics_exporter_last_run_timestamp_seconds "
)

// page is what a server answered.
type page struct {
	url    string
	port   string
	status string // such as 200 OK
	ok     bool
	run    float64 // when the run was that wrote the metrics in it; 0: none of ours are
}

// page looks whether a node_exporter serves what the last run wrote: the file may be
// in another directory than it looks into, and a bind mount of a file goes on showing
// the one that was there when it was mounted.
func (m Machine) page() []Finding {
	const name = "port"
	if m.Output == stdout {
		return nil
	}
	var written float64
	if file, err := os.Open(m.Output); err == nil {
		written = scan(file)
		file.Close()
	}
	pages, silent := m.pages()
	find := func(is func(page) bool) *page {
		if i := slices.IndexFunc(pages, is); i >= 0 {
			return &pages[i]
		}
		return nil
	}
	old := find(func(p page) bool { return p.run > 0 && p.run < written })
	current := find(func(p page) bool { return p.run > 0 })
	other := find(func(p page) bool { return p.ok })
	dir := filepath.Dir(m.Output)
	switch {
	case old != nil:
		age := time.Duration((written - old.run) * float64(time.Second))
		return []Finding{fail(name, fmt.Sprintf("let node_exporter read %s itself; into a container mount the directory (-v %[1]s:%[1]s:ro), not the file, of which it would keep the old one", dir),
			"%s serves another file than %s, or an older one: its last run was %v before", old.url, m.Output, age.Round(time.Millisecond))}
	case current != nil:
		return []Finding{ok(name, "%s serves %s", current.url, m.Output)}
	case other != nil:
		return []Finding{fail(name, m.serveCure(*other), "%s answers %s, without our metrics", other.url, other.status)}
	case len(pages) > 0:
		return []Finding{warn(name, "look at it yourself: curl "+pages[0].url, "not known what is served: %s answers %s", pages[0].url, pages[0].status)}
	}
	return []Finding{warn(name, m.host.enable(server)+" or, where another node_exporter serves it, "+m.host.setting("port", "PORT"),
		"nothing serves %s on port %d or %d: %v", m.Output, m.Port, exporterPort, silent)}
}

// serveCure says how to have a node_exporter serve our file too.
func (m Machine) serveCure(p page) string {
	dir := "DIR"
	for _, process := range m.named(exporters...) {
		given := process.options("--collector.textfile.directory")
		switch {
		case !slices.ContainsFunc(process.listens(), func(addr string) bool { return strings.HasSuffix(addr, ":"+p.port) }):
		case len(given) > 0:
			dir = given[len(given)-1]
		case process.name == comm("prometheus-node-exporter"):
			dir = debianTextfiles
		}
	}
	switch own := filepath.Dir(m.Output); {
	case dir == own:
		return "see the examination reader, and node_textfile_scrape_error on that page"
	case dir == "DIR":
		return "node_exporter --collector.textfile.directory=" + own
	case m.host == byNixOS:
		return m.host.setting("output", filepath.Join(dir, "network_metrics.prom"))
	}
	return "ln -s " + m.Output + " " + dir + "/"
}

// listens returns the addresses that a node_exporter listens on.
func (p process) listens() []string {
	if given := p.options("--web.listen-address"); len(given) > 0 {
		return given
	}
	return []string{":" + strconv.Itoa(exporterPort)}
}

// pages asks whoever may serve our file, and returns all answers, or else why there
// is none.
func (m Machine) pages() (pages []page, silent error) {
	hosts := []string{"127.0.0.1", "::1"}
	if m.Sample.LAN != nil {
		for _, a := range m.Sample.LAN.Addrs {
			if a.Addr.IsGlobalUnicast() {
				hosts = append(hosts, a.Addr.String())
			}
		}
	}
	ports := []string{strconv.Itoa(int(m.Port)), strconv.Itoa(exporterPort)}
	for _, process := range m.named(exporters...) {
		for _, addr := range process.listens() {
			if _, port, err := net.SplitHostPort(addr); err == nil {
				ports = append(ports, port)
			}
		}
	}
	for _, port := range unique(ports) {
		for _, host := range hosts {
			p, err := get(net.JoinHostPort(host, port))
			if err == nil {
				pages = append(pages, p)
				break
			}
			silent = cmp.Or(silent, err)
		}
	}
	return pages, silent
}

// get asks a server for metrics. An http.Client, with TLS and all that this has no
// use for, would make the program two megabytes larger.
func get(addr string) (page, error) {
	p := page{url: "http://" + addr + "/metrics"}
	_, p.port, _ = net.SplitHostPort(addr)
	request, err := http.NewRequest(http.MethodGet, p.url, nil)
	if err != nil {
		return p, err
	}
	conn, err := net.DialTimeout("tcp", addr, answerTimeout)
	if err != nil {
		return p, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return p, err
	}
	if err := request.Write(conn); err != nil {
		return p, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return p, err
	}
	defer response.Body.Close()
	p.status, p.ok = response.Status, response.StatusCode == http.StatusOK
	if p.ok {
		p.run = scan(response.Body)
	}
	return p, nil
}

// scan returns when the run was that wrote metrics, 0 if they are not ours.
func scan(metrics io.Reader) (timestamp float64) {
	for lines := bufio.NewScanner(metrics); lines.Scan(); {
		if value, ours := strings.CutPrefix(lines.Text(), lastRun); ours {
			timestamp, _ = strconv.ParseFloat(value, 64) // 0: nobody's number
		}
	}
	return timestamp
}
