package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/testdata/lab"
)

const (
	repository = "../.."
	settings   = "/etc/default/network-metrics-exporter"
	prom       = "/run/network-metrics-exporter/network_metrics.prom"
	timer      = "network-metrics-exporter.timer"
	service    = "network-metrics-exporter.service"
	stop       = "network-metrics-exporter-stop.service"
	http       = "network-metrics-exporter-http.service"
)

// The highest exposure to accept, in tenths, by systemd-analyze security.
var exposure = map[string]int{service: 25, stop: 25, http: 20}

// TestUnits looks at what is installed with systemd's own tools. It needs no
// machine, and no root.
func TestUnits(t *testing.T) {
	lab.Namespace(t, func(t *testing.T) {
		lab.Need(t, "make", "systemd-analyze")
		tree := t.TempDir()
		lab.Command(t, "make", "-C", repository, "install", "DESTDIR="+tree)
		lab.Command(t, "mount", "--bind", tree+"/usr/local", "/usr/local")

		verify := []string{"-c", `systemd-analyze verify "$@" 2>&1`, "-", timer, service, stop, http}
		if complaints := lab.Command(t, "sh", verify...); complaints != "" {
			t.Errorf("systemd-analyze verify:\n%s", complaints)
		}
		for unit, tenths := range exposure {
			lab.Command(t, "systemd-analyze", "security", "--no-pager", "--offline=yes", fmt.Sprint("--threshold=", tenths), unit)
		}
	})
}

// documentedFiles returns what the manual says is installed with PREFIX=/usr, sorted.
// Of grafana/, which it names as a whole, the files are those of the tree.
func documentedFiles(t *testing.T) (paths []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "docs", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "| installed (`PREFIX=/usr/local`) | what it is |\n|---|---|\n")
	if !ok {
		t.Fatal("docs/install.md has no table of what is installed")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for row := range strings.Lines(table) {
		cell, _, _ := strings.Cut(row, " | ")
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
			path := name[1]
			if !filepath.IsAbs(path) {
				path = "/usr/" + path
			}
			if dir, ok := strings.CutSuffix(path, "/grafana/"); ok {
				for _, file := range files(t, filepath.Join(repository, "grafana")) {
					paths = append(paths, dir+"/grafana"+file)
				}
			} else {
				paths = append(paths, path)
			}
		}
	}
	slices.Sort(paths)
	return paths
}

// TestDestDir installs into a directory, which then has what the manual says, and
// uninstalls from there.
func TestDestDir(t *testing.T) {
	tree := t.TempDir()
	for _, step := range []struct {
		target string
		want   []string
	}{
		{"install", documentedFiles(t)},
		{"uninstall", []string{"/etc/default/network-metrics-exporter"}},
	} {
		output, err := exec.CommandContext(t.Context(), "make", "-C", repository, step.target, "PREFIX=/usr", "DESTDIR="+tree).CombinedOutput()
		if err != nil || strings.Contains(string(output), "systemctl") {
			t.Fatalf("make %s: %v\n%s", step.target, err, output)
		}
		if diff := cmp.Diff(step.want, slices.Sorted(slices.Values(files(t, tree)))); diff != "" {
			t.Errorf("after make %s (-want +got):\n%s", step.target, diff)
		}
	}
	output, err := exec.CommandContext(t.Context(), "make", "-C", repository, "install", "PREFIX=/opt").CombinedOutput()
	if err == nil || !strings.Contains(string(output), "PREFIX=/opt: want /usr/local or /usr") {
		t.Errorf("a PREFIX that systemd does not look into: %v\n%s", err, output)
	}
}

// files lists those below a directory, as they are seen from there.
func files(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// A router is a machine with the lab's network.
type router struct{ machine }

// TestMachine follows one machine from the installation on.
func TestMachine(t *testing.T) {
	follow(t, &router{newContainer(t)}, []step{
		{"install", install},
		{"LAN comes late", lateLAN},
		{"fifteen ticks", fifteenTicks},
		{"totals", totals},
		{"show and check", showAndCheck},
		{"another node_exporter", anotherExporter},
		{"settings", shippedSettings},
		{"interval", interval},
		{"bad settings", badSettings},
		{"port", port},
		{"sandbox", sandbox},
		{"restart", restart},
		{"stop", stopAndStart},
		{"upgrade", upgrade},
		{"power cut", powerCut},
		{"shutdown", shutdown},
		{"uninstall", uninstall},
		{"Debian package", debianPackage},
	})
}

// install starts what was installed.
func install(t *testing.T, r *router) {
	r.install(t)
	r.enable(t)
	if listening := r.run(t, "ss", "-Hltn", "sport = :9101"); !regexp.MustCompile(`^LISTEN\s+\d+\s+\d+\s+127\.0\.0\.1:9101 .*\n$`).MatchString(listening) {
		t.Errorf("port 9101 is open at\n%s\nwant 127.0.0.1 alone", listening)
	}
	for key := range r.served(t) {
		if !regexp.MustCompile(`^(client_|device_|network_|node_(textfile|scrape_collector|exporter_build_info)|promhttp_)`).MatchString(key) {
			t.Errorf("served, which is none of our metrics: %s", key)
		}
	}
}

// lateLAN has the first samples taken before there is a LAN interface.
func lateLAN(t *testing.T, r *router) {
	r.samples(t, 3)
	up := `network_metrics_exporter_source_up{source="neighbor"}`
	if value, ok := r.published(t)[up]; !ok || value != 0 {
		t.Errorf("%s is %v without a LAN, want 0", up, value)
	}
	r.says(t, `msg="neighbor fails"`)

	r.startLAN(t)
	r.until(t, "the clients are seen", func() bool { return r.published(t)[up] == 1 })
	r.says(t, `msg="neighbor works again"`)
}

// fifteenTicks watches fifteen ticks, and starts the service by hand in between. On a
// machine that has a lot to do a tick may come late, and none ever comes early.
func fifteenTicks(t *testing.T, r *router) {
	const ticks, byHand = 15, 3
	last, samples, started := r.lastRun(t), 0, 0
	begin := time.Now()
	for deadline := begin.Add(6 * ticks * time.Second); samples < ticks+byHand; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d samples in %v, want %d ticks and %d starts by hand", samples, time.Since(begin), ticks, byHand)
		}
		if at := r.lastRun(t); at != last {
			last = at
			samples++
		}
		if started < byHand && samples > 4+2*started {
			r.run(t, "systemctl", "start", service)
			started++
		}
	}
	if most := int(time.Since(begin)/(2*time.Second)) + 1 + byHand; samples > most {
		t.Errorf("%d samples in %v, want at most %d", samples, time.Since(begin), most)
	}
	r.says(t)
}

const (
	tx = `client_traffic_bytes{client="laptop",direction="tx",ip="192.168.10.100"}`
	rx = `client_traffic_bytes{client="laptop",direction="rx",ip="192.168.10.100"}`
)

// totals counts bytes from the laptop to Prometheus.
func totals(t *testing.T, r *router) {
	before := r.totals(t)
	sent := r.send(t)
	r.until(t, "what the laptop sent is served", func() bool { return r.served(t)[tx] == before[tx]+sent })
	served := r.served(t)
	for key, want := range map[string]float64{
		`client_status{client="laptop",ip="192.168.10.100"}`:     1,
		`network_metrics_exporter_source_up{source="nftables"}`:  1,
		`network_metrics_exporter_source_up{source="conntrack"}`: 1,
		`network_metrics_exporter_source_up{source="dhcp"}`:      1,
		`node_textfile_scrape_error`:                             0,
	} {
		if got, ok := served[key]; !ok || got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	r.says(t)
}

// showAndCheck looks at the machine as its owner does.
func showAndCheck(t *testing.T, r *router) {
	const program = "network-metrics-exporter"
	if table := r.run(t, program, "show"); !regexp.MustCompile(`(?m)^laptop +192\.168\.10\.100 .* online$`).MatchString(table) {
		t.Errorf("show has no laptop that is online:\n%s", table)
	}
	healthy := func() {
		t.Helper()
		for line := range strings.Lines(r.run(t, program, "check")) {
			if !strings.HasPrefix(line, "ok ") {
				t.Errorf("check of a healthy machine: %s", line)
			}
		}
	}
	healthy()
	for _, test := range []struct{ cause, unit, undo, want string }{
		{"disable", timer, "enable", "(?m)^warn  timer: .* is not started at boot"},
		{"stop", http, "start", "(?m)^(warn|fail)  port: "},
	} {
		r.run(t, "systemctl", test.cause, test.unit)
		if text := r.output(program, "check"); !regexp.MustCompile(test.want).MatchString(text) {
			t.Errorf("systemctl %s %s: want %s in:\n%s", test.cause, test.unit, test.want, text)
		}
		r.run(t, "systemctl", test.undo, test.unit)
	}
	r.totals(t)
	healthy()
	r.journal(t)
}

// anotherExporter shows the file to a node_exporter that was there before.
func anotherExporter(t *testing.T, r *router) {
	const dir = "/var/lib/prometheus/node-exporter"
	r.run(t, "mkdir", "-p", dir)
	r.run(t, "ln", "-s", prom, dir)
	r.run(t, "systemd-run", "--quiet", "--unit=another", "prometheus-node-exporter",
		"--collector.textfile.directory="+dir, "--web.listen-address=localhost:9100")
	var served map[string]float64
	r.until(t, "port 9100 has the metrics", func() bool {
		served = r.scrape(t, 9100)
		return served[tx] > 0
	})
	if failed, ok := served["node_textfile_scrape_error"]; !ok || failed != 0 {
		t.Errorf("node_textfile_scrape_error is %v", failed)
	}
	r.run(t, "systemctl", "stop", "another")
	r.run(t, "rm", "-r", dir)
}

// shippedSettings takes the file of settings at its word: it knows every flag that
// is the admin's, and with nothing commented out all is as it was.
func shippedSettings(t *testing.T, r *router) {
	raw, err := os.ReadFile(repository + "/systemd/network-metrics-exporter.env")
	if err != nil {
		t.Fatal(err)
	}
	shipped := string(raw)
	const others = " help version wait output state-dir interface network interval json sort addresses port "
	for _, flag := range regexp.MustCompile(`(?m)^ +(?:-h, )?--(?:\[no-\])?([a-z.-]+)`).FindAllStringSubmatch(r.run(t, "network-metrics-exporter", "--help"), -1) {
		if !strings.Contains(others, " "+flag[1]+" ") && !regexp.MustCompile(`--(no-)?`+regexp.QuoteMeta(flag[1])+`\b`).MatchString(shipped) {
			t.Errorf("the settings do not tell of --%s", flag[1])
		}
	}

	var lines []string
	for _, line := range regexp.MustCompile(`(?m)^#([A-Z_]+=.*)$`).FindAllStringSubmatch(shipped, -1) {
		lines = append(lines, line[1])
	}
	flags := regexp.MustCompile(`--[a-z.-]+(=\S+)?`).FindAllString(strings.Join(regexp.MustCompile(`(?m)^#   --.*$`).FindAllString(shipped, -1), " "), -1)
	r.set(t, append(lines, "ARGS="+strings.Join(flags, " "))...)
	r.run(t, "systemctl", "daemon-reload")
	r.run(t, "systemctl", "restart", http)
	r.samples(t, 2)
	r.totals(t)
	r.says(t)
	r.set(t)
}

// An updateInterval is a value of UPDATE_INTERVAL, and what the timer has of it.
type updateInterval struct{ value, want string }

var updateIntervals = []updateInterval{
	{"5", "OnCalendar=*-*-* *:*:00/5 "},
	{`"30"`, "OnCalendar=*-*-* *:*:00/30 "},
	{"60", "OnCalendar=*-*-* *:*:00 "},
	{"7", "OnUnitActiveUSec=7s "},
	{"90", "OnUnitActiveUSec=1min 30s "},
	{"2.5", "OnUnitActiveUSec=2.5"},
	// Refused by the program, so the timer stays as it was.
	{"0", "OnCalendar=*-*-* *:*:00/2 "},
	{"0.01", "OnCalendar=*-*-* *:*:00/2 "},
	{"1.2.3", "OnCalendar=*-*-* *:*:00/2 "},
	{"2s", "OnCalendar=*-*-* *:*:00/2 "},
	{"0.5", "OnUnitActiveUSec=500ms "},
}

// interval has the timer follow UPDATE_INTERVAL.
func interval(t *testing.T, r *router) { intervals(t, r, updateIntervals...) }

func intervals(t *testing.T, r *router, tests ...updateInterval) {
	for _, test := range tests {
		r.set(t, "UPDATE_INTERVAL="+test.value)
		r.run(t, "systemctl", "daemon-reload")
		got := r.run(t, "systemctl", "show", "--property=TimersCalendar,TimersMonotonic", timer)
		if !strings.Contains(got, test.want) || strings.Count(got, "OnCalendar=")+strings.Count(got, "OnUnitActiveUSec=") != 1 {
			t.Errorf("UPDATE_INTERVAL=%s: timer has %swant %s", test.value, got, test.want)
		}
	}
	r.samples(t, 5) // a monotonic timer goes on by itself

	r.set(t)
	if need := r.run(t, "systemctl", "show", "--property=NeedDaemonReload", timer); need != "NeedDaemonReload=yes\n" {
		t.Errorf("after a change of the settings: %s", need)
	}
	r.run(t, "systemctl", "daemon-reload")
	r.journal(t) // what was refused
}

// badSettings are refused at each tick, with one line of the program.
func badSettings(t *testing.T, r *router) {
	r.set(t, "TRAFFIC_INTERFACE=a/b")
	const refusal = "TRAFFIC_INTERFACE=a/b: want an interface name of 1 to 15 characters"
	var lines []string
	r.until(t, "three ticks are refused", func() bool {
		for _, line := range r.journal(t) {
			if strings.Contains(line, refusal) {
				lines = append(lines, line)
			}
		}
		return len(lines) >= 3
	})
	r.until(t, "systemctl status tells of it, between two ticks", func() bool {
		status := r.output("systemctl", "status", "--no-pager", service)
		return strings.Contains(status, "status=2") && strings.Contains(status, refusal)
	})
	if state := r.output("systemctl", "is-active", timer); state != "active\n" {
		t.Errorf("the timer is %s", state)
	}
	r.set(t)
	r.samples(t, 2)
	r.journal(t)
}

// port has METRICS_ADDRESS and METRICS_PORT say where the metrics are served.
func port(t *testing.T, r *router) {
	listens := func(pattern string) {
		t.Helper()
		r.run(t, "systemctl", "restart", http)
		r.until(t, "node_exporter listens on "+pattern, func() bool {
			return regexp.MustCompile(pattern).MatchString(r.run(t, "ss", "-Hltn"))
		})
	}
	r.set(t, "METRICS_ADDRESS=192.168.10.1", "METRICS_PORT=9102")
	listens(` 192\.168\.10\.1:9102 `)
	r.set(t, "METRICS_ADDRESS=")
	listens(` \*:9101 `)
	r.says(t)

	for _, bad := range []string{"METRICS_PORT=70000", "METRICS_PORT=http", "METRICS_PORT="} {
		r.set(t, bad)
		r.run(t, "systemctl", "restart", http)
		r.until(t, bad+" is refused", func() bool {
			return strings.Contains(strings.Join(r.journal(t), ""), bad+": want a port, from 1 to 65535")
		})
	}
	r.set(t)
	listens(` 127\.0\.0\.1:9101 `)
	r.journal(t)
}

// sandbox looks at what a run may do, out of one.
func sandbox(t *testing.T, r *router) {
	r.run(t, "systemctl", "stop", timer)
	r.run(t, "groupadd", "--system", "kea-test")
	r.run(t, "bash", "-c", "echo lease >/var/lib/kea-test.csv; chgrp kea-test /var/lib/kea-test.csv; chmod 640 /var/lib/kea-test.csv")
	probe := func(more string) string {
		t.Helper()
		const dropin = "/run/systemd/system/network-metrics-exporter.service.d/probe.conf"
		r.run(t, "mkdir", "-p", filepath.Dir(dropin))
		r.write(t, dropin, "[Service]\nStandardOutput=truncate:/probe\nExecStart=\n"+
			"ExecStart=/bin/bash -c '"+`\
				grep -E "^(Uid|CapEff|CapBnd|NoNewPrivs)" /proc/self/status; \
				for file in /proc/sys/net/ipv4/ip_forward /proc/sysrq-trigger /etc/x /usr/x /home/x /sys/fs/cgroup/x \
					/var/lib/network-metrics-exporter/x /run/network-metrics-exporter/x; do \
					{ echo 1 >$$file; } 2>/dev/null && echo "writes $$file"; done; \
				for file in `+r.leases()+` /var/lib/kea-test.csv; do \
					[ -r $$file ] && echo "reads $$file"; done; \
				rm -f /var/lib/network-metrics-exporter/x /run/network-metrics-exporter/x'
			`+more+"\n")
		r.run(t, "systemctl", "daemon-reload")
		r.run(t, "systemctl", "start", service)
		r.run(t, "rm", dropin)
		r.run(t, "systemctl", "daemon-reload")
		return r.run(t, "cat", "/probe")
	}
	uid := strings.TrimSpace(r.run(t, "id", "-u", "network-metrics-exporter"))
	want := "Uid:" + strings.Repeat("\t"+uid, 4) + `
CapBnd:	0000000000001000
CapEff:	0000000000001000
NoNewPrivs:	1
writes /var/lib/network-metrics-exporter/x
writes /run/network-metrics-exporter/x
reads ` + r.leases() + "\n"
	sorted := func(text string) []string { return slices.Sorted(strings.Lines(text)) }
	if diff := cmp.Diff(sorted(want), sorted(probe(""))); diff != "" {
		t.Errorf("a run (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sorted(want+"reads /var/lib/kea-test.csv\n"), sorted(probe("SupplementaryGroups=kea-test"))); diff != "" {
		t.Errorf("a run with another group (-want +got):\n%s", diff)
	}
	r.run(t, "systemctl", "start", timer)
	r.until(t, "there is a sample", func() bool { return r.lastRun(t) > 0 })
	r.says(t)
}

// restart leaves the metrics where they are.
func restart(t *testing.T, r *router) {
	before := r.totals(t)
	r.run(t, "systemctl", "restart", timer, http)
	r.samples(t, 2)
	if after := r.totals(t); after[tx] != before[tx] {
		t.Errorf("a restart took the total from %v to %v", before[tx], after[tx])
	}
}

// stopAndStart has no reader find what was true before.
func stopAndStart(t *testing.T, r *router) {
	before := r.totals(t)
	r.run(t, "systemctl", "stop", timer)
	r.until(t, "the file is gone", func() bool {
		_, ok := r.read(t, prom)
		return !ok && r.output("systemctl", "is-active", stop) == "inactive\n"
	})
	for key := range r.served(t) {
		if strings.HasPrefix(key, "client_") || strings.HasPrefix(key, "network_") {
			t.Errorf("served after the timer has stopped: %s", key)
		}
	}
	r.run(t, "systemctl", "start", service)
	r.until(t, "the file of a start by hand is gone", func() bool {
		_, ok := r.read(t, prom)
		return !ok
	})

	sent := r.send(t)
	r.run(t, "systemctl", "start", timer)
	if got := r.totals(t)[tx]; got != before[tx]+sent {
		t.Errorf("total %v after a stop, want %v", got, before[tx]+sent)
	}
	r.says(t)
}

// upgrade installs over what is running.
func upgrade(t *testing.T, r *router) {
	r.set(t, "# mine")
	before := r.totals(t)
	r.install(t)
	r.samples(t, 2)
	if after := r.totals(t); after[tx] != before[tx] {
		t.Errorf("an upgrade took the total from %v to %v", before[tx], after[tx])
	}
	if text, _ := r.read(t, settings); text != "# mine\n" {
		t.Errorf("an upgrade left the settings as %q", text)
	}
	r.says(t)
}

// powerCut loses what is in memory, the nftables counters among it; that of the
// disk is not put to a test here, which writes to a tmpfs.
func powerCut(t *testing.T, r *router) {
	before := r.totals(t)
	r.cutPower(t)
	r.boot(t)
	if after := r.totals(t); after[tx] != before[tx] || after[rx] != before[rx] {
		t.Errorf("a power cut took the totals from %v, %v to %v, %v", before[tx], before[rx], after[tx], after[rx])
	}
}

// shutdown takes a last sample, also of what was to stay in memory until a
// checkpoint an hour later: with less the total would be the checkpoint's ceiling.
func shutdown(t *testing.T, r *router) {
	r.startLAN(t)
	r.until(t, "the laptop is seen", func() bool {
		return r.published(t)[`client_status{client="laptop",ip="192.168.10.100"}`] == 1
	})
	r.set(t, "CHECKPOINT=--checkpoint-interval=1h", "UPDATE_INTERVAL=3600")
	r.samples(t, 2)
	r.run(t, "systemctl", "daemon-reload")
	before := r.totals(t)
	sent := r.send(t)
	if r.published(t)[tx] != before[tx] {
		t.Fatal("there was a sample that was not to be")
	}
	r.shutDown(t)
	r.boot(t)
	if after := r.totals(t); after[tx] != before[tx]+sent {
		t.Errorf("total %v after a shutdown, want %v", after[tx], before[tx]+sent)
	}
}

// uninstall leaves what it says, and nothing else.
func uninstall(t *testing.T, r *router) {
	if tables := r.run(t, "nft", "list", "tables"); !strings.Contains(tables, "network_metrics") {
		t.Fatalf("tables before: %s", tables)
	}
	output := r.machine.(*container).make(t, "uninstall")
	if tables := r.run(t, "nft", "list", "tables"); strings.Contains(tables, "network_metrics") {
		t.Errorf("tables after: %s", tables)
	}
	left := r.run(t, "find", "/etc", "/run", "/usr/local", "/usr/lib/systemd", "/var/lib", "-name", "*network*metrics*", "-prune")
	want := []string{settings, "/var/lib/network-metrics-exporter"}
	if diff := cmp.Diff(want, strings.Fields(left)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	for _, path := range want {
		if !strings.Contains(output, path) {
			t.Errorf("make uninstall does not say that it leaves %s:\n%s", path, output)
		}
	}
	if units := r.run(t, "systemctl", "list-units", "--all", "--no-legend", "network-metrics-exporter*"); units != "" {
		t.Errorf("units after:\n%s", units)
	}
}

// debianPackage installs what make release makes of this tree, and removes it.
func debianPackage(t *testing.T, r *router) {
	const state = "/var/lib/network-metrics-exporter"
	r.run(t, "rm", "-r", settings, state) // of the installation before
	r.journal(t)
	dir, err := filepath.Abs(filepath.Join(repository, ".cache", "release"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(repository, "systemd", "release.sh"), "0", dir, runtime.GOARCH)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("packages %q, %v: want one", packages, err)
	}
	instead(t, r, packages[0])
	r.run(t, "systemctl", "enable", "--now", timer, http)
	r.until(t, "the metrics are served", func() bool { return r.served(t)["network_metrics_exporter_last_run_timestamp_seconds"] > 0 })
	r.says(t, `msg="neighbor fails"`) // there is no LAN

	r.run(t, "dpkg", "--remove", "network-metrics-exporter")
	if tables := r.run(t, "nft", "list", "tables"); strings.Contains(tables, "network_metrics") {
		t.Errorf("tables after: %s", tables)
	}
	for _, path := range []string{"/usr/bin/network-metrics-exporter", prom} {
		if r.output("ls", path) == path+"\n" {
			t.Errorf("%s is there after", path)
		}
	}
	if r.run(t, "ls", state) == "" {
		t.Error("the state went with the package")
	}
	r.run(t, "dpkg", "--purge", "network-metrics-exporter")
	for _, path := range []string{settings, state} {
		if r.output("ls", "--directory", path) == path+"\n" {
			t.Errorf("%s is there after a purge", path)
		}
	}
}

// instead has a package take the place of what make installed. Beside each other,
// units in /usr/local would be used instead of the package's.
func instead(t *testing.T, r *router, deb string) {
	t.Helper()
	m := r.machine.(*container)
	m.install(t)
	if said := r.output("dpkg", "--install", deb); !strings.Contains(said, "remove it with make uninstall first") {
		t.Errorf("the package is installed beside make install:\n%s", said)
	}
	m.make(t, "uninstall")
	said := r.run(t, "dpkg", "--install", deb)
	for _, step := range []string{"TRAFFIC_INTERFACE", "systemctl enable --now " + timer + " " + http} {
		if !strings.Contains(said, step) {
			t.Errorf("the package does not say %q:\n%s", step, said)
		}
	}
	if enabled := r.output("systemctl", "is-enabled", timer, http); enabled != "disabled\ndisabled\n" {
		t.Errorf("timer and node_exporter after the installation: %s", enabled)
	}
	dir, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	if said := r.output("make", "-C", dir, "install"); !strings.Contains(said, "is installed already: remove the package") {
		t.Errorf("make install beside the package:\n%s", said)
	}
	if path := r.run(t, "systemctl", "show", "--property=FragmentPath", "--value", timer); strings.HasPrefix(path, "/usr/local/") {
		t.Errorf("the timer is %s", path)
	}
}

// enable starts what is installed, now and at each boot.
func (r *router) enable(tb testing.TB) {
	tb.Helper()
	r.run(tb, "systemctl", "enable", "--now", timer, http)
	r.until(tb, "port 9101 has a sample", func() bool {
		return r.served(tb)["network_metrics_exporter_last_run_timestamp_seconds"] > 0
	})
}

// until waits for something that has to come.
func (r *router) until(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	until(tb, what, done)
}

// set writes the settings anew.
func (r *router) set(tb testing.TB, lines ...string) {
	tb.Helper()
	r.write(tb, settings, strings.Join(append(lines, ""), "\n"))
}

// send has the laptop send packets through the router, and gives their bytes. Each
// is of a flow of its own: nobody listens, and a socket would be told.
func (r *router) send(tb testing.TB) (bytes float64) {
	tb.Helper()
	const packets, payload, headers = 10, 1000, 20 + 8 // RFC 791, RFC 768
	r.onLaptop(tb, "bash", "-c", fmt.Sprintf("for ((i = 0; i < %d; i++)); do printf %%0%dd 0 >/dev/udp/203.0.113.2/9; done", packets, payload))
	return packets * (payload + headers)
}

// journal gives the lines about our services that are new, of this boot.
func (r *router) journal(tb testing.TB) []string {
	tb.Helper()
	r.run(tb, "journalctl", "--sync")
	// Before the first line it fails: there is no cursor to remember.
	return slices.Collect(strings.Lines(r.output("journalctl", "--quiet", "--no-pager", "--boot", "--cursor-file=/run/test.cursor",
		"--unit="+service, "--unit="+stop, "--unit="+http)))
}

// says expects lines in the journal since the last look, and no other.
func (r *router) says(tb testing.TB, want ...string) {
	tb.Helper()
	lines := r.journal(tb)
	if !slices.EqualFunc(lines, want, strings.Contains) {
		tb.Errorf("journal:\n%swant lines with %q", strings.Join(lines, ""), want)
	}
}

// samples waits for further ones.
func (r *router) samples(tb testing.TB, count int) {
	tb.Helper()
	last := r.lastRun(tb)
	for range count {
		r.until(tb, "there is another sample", func() bool { return r.lastRun(tb) > last })
		last = r.lastRun(tb)
	}
}

func (r *router) lastRun(tb testing.TB) float64 {
	tb.Helper()
	return r.published(tb)["network_metrics_exporter_last_run_timestamp_seconds"]
}

// published gives the series of the file, none if there is none.
func (r *router) published(tb testing.TB) map[string]float64 {
	tb.Helper()
	text, _ := r.read(tb, prom)
	return series(text)
}

// served gives the series of port 9101.
func (r *router) served(tb testing.TB) map[string]float64 {
	tb.Helper()
	return r.scrape(tb, 9101)
}

// totals waits until the laptop's totals are served, and gives the series of port 9101.
func (r *router) totals(tb testing.TB) (served map[string]float64) {
	tb.Helper()
	r.until(tb, "the laptop's totals are served", func() bool {
		served = r.served(tb)
		_, ok := served[tx]
		return ok
	})
	return served
}

// scrape gives the series of a port of the machine, none if it is closed.
func (r *router) scrape(tb testing.TB, port int) map[string]float64 {
	tb.Helper()
	return series(r.output("bash", "-c",
		fmt.Sprintf(`exec 2>/dev/null 3<>/dev/tcp/localhost/%d && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3`, port)))
}

// series gives values by name and labels, these in the order of their names.
func series(text string) map[string]float64 {
	values := make(map[string]float64)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[i+1:], 64)
		if i < 0 || line[0] == '#' || err != nil {
			continue
		}
		key := line[:i]
		if name, labels, ok := strings.Cut(strings.TrimSuffix(key, "}"), "{"); ok {
			each := strings.Split(labels, ",")
			slices.Sort(each)
			key = name + "{" + strings.Join(each, ",") + "}"
		}
		values[key] = value
	}
	return values
}
