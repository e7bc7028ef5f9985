package systemd

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"network-metrics-exporter/testdata/vm"
)

// A debian is a machine of its own, with a whole system of a Debian release.
type debian struct {
	*vm.Machine
	pkg string // of the project, to install
}

// debianFiles are put into /etc/lan, and make the network.
//
//go:embed debian
var debianFiles embed.FS

// newDebian makes a machine that has booted, with the LAN's network.
func newDebian(tb testing.TB, release string) *debian {
	tb.Helper()
	d := &debian{Machine: vm.New(tb, vm.Config{Kernel: release, Disk: vm.Disk(tb, release)})}
	d.boot(tb)
	entries, err := debianFiles.ReadDir("debian")
	if err != nil {
		tb.Fatal(err)
	}
	d.run(tb, "mkdir", "/etc/lan")
	for _, entry := range entries {
		text, err := debianFiles.ReadFile("debian/" + entry.Name())
		if err != nil {
			tb.Fatal(err)
		}
		d.write(tb, "/etc/lan/"+entry.Name(), string(text))
	}
	d.run(tb, "sh", "-ec", `
		cd /etc/lan
		cp dnsmasq.conf /etc/dnsmasq.d/lan.conf
		cp nftables.conf /etc/nftables.conf
		cp *.service /etc/systemd/system
		systemctl --quiet enable lan clients dnsmasq nftables`)
	return d
}

func (d *debian) boot(tb testing.TB) {
	tb.Helper()
	d.bootAt(tb, time.Now())
}

// bootAt boots when the battery's clock has another time.
func (d *debian) bootAt(tb testing.TB, clock time.Time) {
	tb.Helper()
	d.BootAt(tb, clock)
	if state := d.output("systemctl", "is-system-running", "--wait"); state != "running\n" {
		tb.Fatalf("the machine is %s%s", state, d.output("systemctl", "--failed", "--no-pager"))
	}
}

func (d *debian) shutDown(tb testing.TB) {
	tb.Helper()
	d.run(tb, "systemctl", "poweroff")
	d.WaitOff(tb)
}

func (d *debian) cutPower(testing.TB) { d.Cut() }

func (d *debian) run(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	return d.Run(tb, append([]string{name}, args...)...)
}

func (d *debian) output(name string, args ...string) string {
	return d.Output(append([]string{name}, args...)...)
}

func (d *debian) read(tb testing.TB, name string) (string, bool) {
	tb.Helper()
	// The first line tells whether there is such a file; one command reads
	// and tells, so that a file may go meanwhile.
	output := d.run(tb, "sh", "-c", `if text=$(LC_ALL=C cat "$0" 2>&1); then printf '\n%s\n' "$text"
		else case $text in *"No such file"*) ;; *) echo "$text"; false ;; esac; fi`, name)
	return strings.CutPrefix(output, "\n")
}

func (d *debian) write(tb testing.TB, name, text string) {
	tb.Helper()
	d.Write(tb, name, []byte(text))
}

func (d *debian) install(tb testing.TB) {
	tb.Helper()
	text, err := os.ReadFile(d.pkg)
	if err != nil {
		tb.Fatal(err)
	}
	const path = "/tmp/network-metrics-exporter.deb"
	d.write(tb, path, string(text))
	d.run(tb, "dpkg", "--install", "--force-confold", path)
}

func (d *debian) startLAN(tb testing.TB) {
	tb.Helper()
	d.run(tb, "systemctl", "start", "nftables", "lan", "clients")
}

func (d *debian) leases() string { return "/var/lib/misc/dnsmasq.leases" }

func (d *debian) onLaptop(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	return d.run(tb, "ip", append([]string{"netns", "exec", "laptop", name}, args...)...)
}

// release gives the Debian package of a tree of the project.
func release(tb testing.TB, tree, version string) string {
	tb.Helper()
	dir := tb.TempDir()
	cmd := exec.CommandContext(tb.Context(), filepath.Join(tree, "systemd", "release.sh"), version, dir, "amd64")
	if output, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("release.sh: %v\n%s", err, output)
	}
	packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(packages) != 1 {
		tb.Fatalf("packages %q, %v: want one", packages, err)
	}
	return packages[0]
}

// earlier gives the project's tree as it was at a commit.
func earlier(tb testing.TB, commit string) string {
	tb.Helper()
	tree := tb.TempDir()
	cmd := exec.CommandContext(tb.Context(), "sh", "-c", `git -C "$0" archive "$1" | tar -x -C "$2"`, repository, commit, tree)
	if output, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("git archive %s: %v\n%s", commit, err, output)
	}
	return tree
}

// A step is a part of what a machine goes through.
type step struct {
	name string
	test func(*testing.T, *router)
}

// follow has a router go through steps, until one fails.
func follow(t *testing.T, r *router, steps []step) {
	t.Helper()
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) { step.test(t, r) }) {
			t.Logf("journal:\n%s", r.output("journalctl", "--no-pager", "--lines=40"))
			return
		}
	}
}

// TestDebian follows a machine of each Debian release from the installation of the
// version before on, and beside other people's firewalls; one begins with the README's
// quick start. It takes minutes: make test-machines runs it.
func TestDebian(t *testing.T) {
	before, now := release(t, earlier(t, "5d3dad0"), "0.1"), release(t, repository, "0.2")
	for name, beside := range map[string][]firewall{
		"bookworm": {ufw, docker},
		"trixie":   {firewalld, nixos},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDebian(t, name)
			d.pkg = before
			steps := []step{
				{"version before", versionBefore},
				{"upgrade", func(t *testing.T, r *router) { d.pkg = now; upgrade(t, r) }},
				{"totals", totals},
				{"show and check", showAndCheck},
				{"Debian's node_exporter", debianExporter},
				{"settings", shippedSettings},
				{"interval", func(t *testing.T, r *router) { intervals(t, r, updateIntervals[0], updateIntervals[5]) }},
				{"bad settings", badSettings},
				{"port", port},
				{"sandbox", sandbox},
				{"exposure", onlineExposure},
				{"restart", restart},
				{"stop", stopAndStart},
				{"stop of a run", stopOfRun},
				{"firewalls", func(t *testing.T, r *router) { besideFirewalls(t, r, beside) }},
				{"reboot", reboot},
				{"power cut", powerCut},
				{"without a clock", withoutClock},
				{"remove and purge", removeAndPurge},
			}
			if name == "trixie" { // whose kernel can rename a LAN that is up
				steps = slices.Insert(steps, 0, step{"quick start", func(t *testing.T, r *router) { quickStart(t, r, now) }})
			}
			follow(t, &router{d}, steps)
		})
	}
}

// versionBefore starts the package of an earlier version.
func versionBefore(t *testing.T, r *router) {
	r.startLAN(t)
	r.install(t)
	r.set(t, "ARGS=--leases="+r.leases()) // which it did not look for
	r.enable(t)
	r.until(t, "the laptop is seen", func() bool {
		return r.published(t)[`client_status{client="laptop",ip="192.168.10.100"}`] == 1
	})
	r.send(t)
	r.until(t, "what the laptop sent is counted", func() bool { return r.published(t)[tx] > 0 })
	r.samples(t, 2)
	r.journal(t)
}

// debianExporter shows the file to Debian's node_exporter as it was installed.
func debianExporter(t *testing.T, r *router) {
	const dir = "/var/lib/prometheus/node-exporter"
	r.run(t, "ln", "-s", prom, dir)
	r.until(t, "port 9100 has the metrics", func() bool { return r.scrape(t, 9100)[tx] > 0 })
	if failed, ok := r.scrape(t, 9100)["node_textfile_scrape_error"]; !ok || failed != 0 {
		t.Errorf("node_textfile_scrape_error is %v", failed)
	}
	r.run(t, "rm", filepath.Join(dir, filepath.Base(prom)))
}

// onlineExposure asks systemd how exposed the units are that run.
func onlineExposure(t *testing.T, r *router) {
	for unit, tenths := range exposure {
		// A unit must be loaded to be judged, and need not be running.
		r.run(t, "systemd-analyze", "security", "--no-pager", fmt.Sprint("--threshold=", tenths), unit)
	}
}

// holdRun has a run at work for as long as it takes to stop it: while it waits for the
// lock, time stops for it.
func (r *router) holdRun(t *testing.T) {
	t.Helper()
	r.run(t, "systemd-run", "--quiet", "--unit=holder", "flock", "/var/lib/network-metrics-exporter/lock", "sleep", "infinity")
	r.run(t, "sh", "-c", `
		until
			pid=$(systemctl show --property=MainPID --value "$0")
			[ "$pid" != 0 ] && kill -STOP "$pid" && [ "$(systemctl is-active "$0")" = activating ]
		do
			sleep 0.1
		done
		systemctl stop holder`, service)
}

// stopOfRun stops a run that is at work.
func stopOfRun(t *testing.T, r *router) {
	r.holdRun(t)
	r.run(t, "systemctl", "stop", timer, service)
	if state := r.output("systemctl", "is-active", service); state != "inactive\n" {
		t.Errorf("a run that was stopped is %s", state)
	}
	r.until(t, "the last sample is over", func() bool { return r.output("systemctl", "is-active", stop) == "inactive\n" })
	r.running(t)
	r.run(t, "systemctl", "start", timer)
	r.samples(t, 1)
	r.journal(t) // of those that waited in vain before
}

// running expects that no unit of the machine has failed.
func (r *router) running(t *testing.T) {
	t.Helper()
	if state := r.output("systemctl", "is-system-running"); state != "running\n" {
		t.Errorf("the machine is %s%s", state, r.output("systemctl", "--failed", "--no-pager"))
	}
}

// reboot loses nothing, also where a run is at work when the machine goes down. At boot
// the timer comes before the LAN.
func reboot(t *testing.T, r *router) {
	before := r.totals(t)
	r.holdRun(t)
	r.shutDown(t)
	r.boot(t)
	if after := r.totals(t); after[tx] != before[tx] || after[rx] != before[rx] {
		t.Errorf("a reboot took the totals from %v, %v to %v, %v", before[tx], before[rx], after[tx], after[rx])
	}
	if failed := r.output("journalctl", "--quiet", "--no-pager", "--boot=-1", "--grep=Failed with result 'signal'", "--unit="+service); failed != "" {
		t.Errorf("when the machine went down:\n%s", failed)
	}
	r.until(t, "the laptop is seen", func() bool {
		return r.published(t)[`client_status{client="laptop",ip="192.168.10.100"}`] == 1
	})
	// A minute is what the program gives a machine to boot.
	var up time.Duration
	if _, err := fmt.Sscanf(r.run(t, "systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "lan"),
		"ActiveEnterTimestampMonotonic=%d", &up); err != nil {
		t.Fatal(err)
	}
	if up *= time.Microsecond; up < time.Minute {
		r.says(t)
	} else {
		t.Logf("this machine took %v until there was a LAN", up)
		r.says(t, `msg="neighbor fails"`, `msg="neighbor works again"`)
	}
}

// withoutClock is a power cut between two checkpoints, after which a clock without a
// battery says 1970, until NTP sets it.
func withoutClock(t *testing.T, r *router) {
	const slack = 1 << 20 // what a checkpoint's total may say too much
	r.startLAN(t)
	r.samples(t, 1)
	written := r.published(t) // at the latest by the first checkpoint
	r.set(t, "CHECKPOINT=--checkpoint-interval=60s")
	r.samples(t, 2)
	want := r.published(t)[tx] + r.send(t)
	r.until(t, "what the laptop sent is counted", func() bool { return r.published(t)[tx] == want })
	before := r.published(t)

	r.cutPower(t)
	r.machine.(*debian).bootAt(t, time.Unix(0, 0))
	r.totals(t)
	r.samples(t, 2)
	if at := r.lastRun(t); at > before["network_metrics_exporter_last_run_timestamp_seconds"] {
		t.Fatalf("a run at %v: the clock is right", at)
	}
	r.run(t, "date", "--utc", fmt.Sprint("--set=@", time.Now().Unix()))
	r.until(t, "there is a sample at the right time", func() bool { return r.lastRun(t) > before["network_metrics_exporter_last_run_timestamp_seconds"] })
	r.samples(t, 2)

	after := r.published(t)
	for key, value := range before {
		if strings.HasPrefix(key, "client_traffic_bytes") && (after[key] < value || after[key] > value+slack) {
			t.Errorf("%s went from %v to %v", key, value, after[key])
		}
		if strings.HasPrefix(key, "client_last_seen") && after[key] < written[key] {
			t.Errorf("%s went from %v to %v, which a checkpoint had", key, written[key], after[key])
		}
	}
	if got, want := after["network_clients_known"], before["network_clients_known"]; got != want {
		t.Errorf("%v clients, want %v", got, want)
	}
	r.set(t)
	r.samples(t, 2)
	r.journal(t)
}

// removeAndPurge removes the package while a run is at work, and then what it left.
func removeAndPurge(t *testing.T, r *router) {
	r.holdRun(t)
	r.run(t, "dpkg", "--remove", "network-metrics-exporter")
	if tables := r.run(t, "nft", "list", "tables"); strings.Contains(tables, "network_metrics") {
		t.Errorf("tables after: %s", tables)
	}
	if units := r.run(t, "systemctl", "list-units", "--all", "--no-legend", "network-metrics-exporter*"); units != "" {
		t.Errorf("units after:\n%s", units)
	}
	r.running(t)
	r.run(t, "dpkg", "--purge", "network-metrics-exporter")
	if left := r.run(t, "find", "/etc", "/run", "/usr", "/var/lib", "-name", "*network*metrics*", "-prune"); left != "" {
		t.Errorf("left after a purge:\n%s", left)
	}
}
