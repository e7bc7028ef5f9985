package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/health"
	"network-metrics-exporter/testdata/lab"
)

// A router is a healthy one, with the files where they are by default.
type router struct {
	*lab.Router
	flags []string // of the runs
}

// newRouter takes a sample on a machine where all is well.
func newRouter(t *testing.T, r *lab.Router) *router {
	t.Helper()
	if err := unix.Mount("tmpfs", "/var/lib", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("/var/lib/dnsmasq", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(r.Leases, leases); err != nil {
		t.Fatal(err)
	}
	write(t, "/run/systemd/system/network-metrics-exporter.service", "")
	write(t, "/run/systemd/system/network-metrics-exporter.timer", "")
	link := "/run/systemd/system/timers.target.wants/network-metrics-exporter.timer"
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../network-metrics-exporter.timer", link); err != nil {
		t.Fatal(err)
	}
	healthy := &router{r, []string{"--interval=60"}}
	healthy.run(t)
	return healthy
}

func (r *router) run(t *testing.T, flags ...string) {
	t.Helper()
	var stderr bytes.Buffer
	if status := run(slices.Concat([]string{"sample"}, r.flags, flags), &stderr, &stderr); status != published {
		t.Fatalf("exit status %d: %s", status, &stderr)
	}
}

// expect checks the machine. The line of an examination has to say that status and
// that text, and the exit status has to tell of any fail.
func (r *router) expect(t *testing.T, name string, status health.Status, text string, flags ...string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	exit := run(append([]string{"check"}, flags...), &stdout, &stderr)
	if stderr.Len() > 0 {
		t.Errorf("stderr: %s", &stderr)
	}
	report(t, stdout.String(), exit, name, status, text)
}

// report looks for the worst line of an examination in what check printed.
func report(t *testing.T, text string, exit int, name string, want health.Status, found string) {
	t.Helper()
	worst, line := -1, ""
	order := []health.Status{health.OK, health.Warn, health.Fail}
	failures := 0
	for l := range strings.Lines(text) {
		status, rest, ok := strings.Cut(l, " ")
		i := slices.Index(order, health.Status(status))
		if !ok || i < 0 {
			t.Fatalf("%q in:\n%s", l, text)
		}
		if order[i] == health.Fail {
			failures++
		}
		if strings.HasPrefix(strings.TrimSpace(rest), name+": ") && i > worst {
			worst, line = i, l
		}
	}
	if worst < 0 || order[worst] != want || !strings.Contains(line, found) {
		t.Errorf("%s: want %s and %q in:\n%s", name, want, found, text)
	}
	if want != health.OK && !strings.HasSuffix(line, ")\n") {
		t.Errorf("no cure in: %s", line)
	}
	if wanted := min(failures, 1); exit != wanted {
		t.Errorf("exit status %d, want %d after:\n%s", exit, wanted, text)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// move takes a file away until the test gives it back.
func move(t *testing.T, path string) (back func()) {
	t.Helper()
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	leases    = "/var/lib/dnsmasq/dnsmasq.leases"
	stateDir  = "/var/lib/network-metrics-exporter"
	outputDir = "/run/network-metrics-exporter"
	prom      = outputDir + "/network_metrics.prom"
	unitDir   = "/run/systemd/system"
)

// TestCheckFiles makes every cause that is a file, sees it told, takes it away and
// sees that all is well.
func TestCheckFiles(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		r := newRouter(t, l)
		for _, test := range []struct {
			cause  string
			make   func(t *testing.T) (undo func())
			flags  []string
			name   string
			status health.Status
			found  string
		}{
			{"no such interface", nil, []string{"--interface=br-lan", "--interface=br-guest"}, "interface", health.Fail, "br-guest does not exist; there is: br-lan"},
			{"a network that misses the interface's", nil, []string{"--network=10.0.0.0/8"}, "network", health.Warn, "192.168.10.0/24 of br-lan is in none"},
			{"a network that is only a part", nil, []string{"--network=192.168.10.0/25"}, "network", health.Warn, `set NETWORK_PREFIX="192.168.10.0/24" in /etc/default/network-metrics-exporter`},
			{"an interface without an address", nil, []string{"--interface=lo"}, "network", health.Warn, "no clients: lo has no address"},

			{"a named lease file that is not there", nil, []string{"--leases=/run/none"}, "leases", health.Fail, "/run/none"},
			{"a named hosts file that is not there", nil, []string{"--hosts=/run/none"}, "hosts", health.Fail, "/run/none"},
			{"a named lease file that is none", nil, []string{"--leases=/run"}, "leases", health.Fail, "want a regular file, not a directory"},
			{"the default lease file is not there", func(t *testing.T) func() { return move(t, leases) },
				nil, "leases", health.Warn, "none of the usual files is there"},
			{"a DHCP server with leases elsewhere", func(t *testing.T) func() { return move(t, leases) },
				nil, "dhcp", health.Warn, "keeps its leases in /run/dnsmasq.leases, which is not read (add --leases=/run/dnsmasq.leases to ARGS in /etc/default"},
			{"a bad line in a lease file", func(t *testing.T) func() {
				good := read(t, leases)
				write(t, leases, good+"1 nonsense\n")
				return func() { write(t, leases, good) }
			}, nil, "leases", health.Warn, "has 3 entries; parse"},

			{"no output directory", func(t *testing.T) func() { return move(t, outputDir) }, nil, "output", health.Fail, "mkdir " + outputDir},
			{"an output directory that cannot be written to", readOnly(outputDir), nil, "output", health.Fail, "read-only file system"},
			{"an output directory that is private", chmod(outputDir, 0o700), nil, "reader", health.Warn, outputDir + " is drwx------"},
			{"a textfile that is private", chmod(prom, 0o600), nil, "reader", health.Warn, prom + " is -rw-------"},
			{"a textfile of another name", nil, []string{"--output=" + outputDir + "/metrics.txt"}, "reader", health.Warn, "does not end in .prom"},
			{"no textfile", func(t *testing.T) func() { return move(t, prom) }, nil, "textfile", health.Fail, "no such file"},
			{"an old textfile", func(t *testing.T) func() {
				chtimes(t, time.Now().Add(-11*time.Minute))
				return func() { chtimes(t, time.Now()) }
			}, nil, "textfile", health.Fail, "11m0s old"},

			{"no state directory", func(t *testing.T) func() { return move(t, stateDir) }, []string{"--interval=60"}, "state", health.Fail, "mkdir " + stateDir},
			{"a state directory that cannot be written to", readOnly(stateDir), nil, "state", health.Fail, "read-only file system"},
			{"no sample", func(t *testing.T) func() { return move(t, stateDir) }, []string{"--interval=60"}, "sample", health.Fail, "none was ever taken"},
			{"an old sample", func(t *testing.T) func() { time.Sleep(1100 * time.Millisecond); return func() {} },
				[]string{"--interval=0.1"}, "sample", health.Fail, "more than ten intervals of 100ms"},

			{"no systemd", func(t *testing.T) func() { return move(t, "/run/systemd") }, nil, "units", health.Warn, "systemd does not run here"},
			{"no timer", func(t *testing.T) func() { return move(t, unitDir+"/network-metrics-exporter.timer") },
				nil, "units", health.Warn, "network-metrics-exporter.timer is not installed"},
			{"no service", func(t *testing.T) func() { return move(t, unitDir+"/network-metrics-exporter.service") },
				nil, "units", health.Warn, "network-metrics-exporter.service is not installed"},
			{"a service that is masked", func(t *testing.T) func() {
				const unit = unitDir + "/network-metrics-exporter.service"
				back := move(t, unit)
				if err := os.Symlink(os.DevNull, unit); err != nil {
					t.Fatal(err)
				}
				return back // over the link
			}, nil, "units", health.Warn, "network-metrics-exporter.service is not installed"},
			{"a timer that is not enabled", func(t *testing.T) func() { return move(t, unitDir+"/timers.target.wants") },
				nil, "timer", health.Warn, "is not started at boot"},
		} {
			t.Run(test.cause, func(t *testing.T) {
				undo := func() {}
				if test.make != nil {
					undo = test.make(t)
				}
				r.expect(t, test.name, test.status, test.found, test.flags...)
				undo()
				r.expect(t, test.name, health.OK, "")
			})
		}
	})
}

func readOnly(path string) func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		if err := unix.Mount(path, path, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := unix.Unmount(path, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func chmod(path string, mode os.FileMode) func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		info, err := os.Stat(path)
		if err == nil {
			err = os.Chmod(path, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.Chmod(path, info.Mode()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func chtimes(t *testing.T, to time.Time) {
	t.Helper()
	if err := os.Chtimes(prom, to, to); err != nil {
		t.Fatal(err)
	}
}

// TestCheckNftables breaks the accounting in the kernel.
func TestCheckNftables(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		r := newRouter(t, l)
		const good = `ip saddr 192.168.10.100 counter comment "tx_192.168.10.100"`
		chain := func(rules string) string {
			return "add chain inet filter CLIENT_TRAFFIC; flush chain inet filter CLIENT_TRAFFIC; flush chain inet filter forward\n" + rules
		}
		const jump = "add rule inet filter forward jump CLIENT_TRAFFIC\n"
		const traffic = "add rule inet filter CLIENT_TRAFFIC "
		for _, test := range []struct {
			nft    string
			layout string
			name   string
			status health.Status
			found  string
		}{
			{"", "sets", "accounting", health.OK, "the sets of table inet network_metrics count"},
			{"", "rules", "accounting", health.Fail, "puts in place: chain CLIENT_TRAFFIC, jump as the first rule of chain forward"},
			{"", "off", "accounting", health.OK, "the sets"},
			{"add table inet network_metrics { flags dormant; }", "sets", "accounting", health.Fail, "puts in place: table inet network_metrics without flags dormant"},
			{"", "off", "accounting", health.Fail, "dormant: it counts nothing (nft add table inet network_metrics)"},
			{"add table inet network_metrics", "off", "accounting", health.OK, "the sets"},
			{"delete table inet network_metrics", "sets", "accounting", health.Fail, "puts in place: table inet network_metrics, set client_tx, "},
			{"", "off", "accounting", health.Fail, "nothing counts"},

			{chain(traffic + good), "off", "accounting", health.OK, "1 rules in chain inet filter CLIENT_TRAFFIC count"},
			{"", "off", "jump", health.Fail, "no rule jumps to CLIENT_TRAFFIC"},
			{chain("add rule inet filter forward ct state established accept\n" + jump), "off", "jump", health.Warn, "stands too late, in chain forward"},
			{chain("add rule inet filter forward ct state vmap { established : accept }\n" + jump), "rules", "jump", health.Warn, "stands too late"},
			{chain("add chain inet filter other; add rule inet filter forward jump other\n" + jump), "off", "jump", health.Warn, "stands too late"},
			{"add rule inet filter other jump CLIENT_TRAFFIC", "off", "jump", health.Warn, "2 rules jump to CLIENT_TRAFFIC, in chain other, forward: packets that come by two of them are counted twice"},
			{chain("add rule inet filter forward ct state established accept; add rule inet filter forward jump other"), "off", "jump", health.Warn, "stands too late, in chain other"},
			{"flush chain inet filter other", "off", "jump", health.Fail, "no rule jumps"},
			{chain("add rule inet filter forward ct state invalid counter drop\n" + jump), "off", "jump", health.OK, "before it accepts anything"},
			{"add chain inet filter early { type filter hook forward priority -5; }; add rule inet filter early jump CLIENT_TRAFFIC", "off", "jump", health.Warn, "in chain early, forward"},
			{"flush chain inet filter early; delete chain inet filter early", "off", "jump", health.OK, ""},
			{"add table ip filter; add chain ip filter forward; add rule ip filter forward accept", "off", "jump", health.OK, ""},
			{"delete table ip filter; add table inet filter { flags dormant; }", "off", "accounting", health.Fail, "table inet filter is dormant"},
			{"add table inet filter", "off", "accounting", health.OK, ""},

			{chain(jump + traffic + good), "off", "rules", health.OK, "every rule that was written to count a client is read"},
			{"", "sets", "rules", health.Warn, "1 not read with --accounting=sets, in chain inet filter CLIENT_TRAFFIC (add --accounting=rules to ARGS in"},
			{chain(jump + traffic + `ip saddr 192.168.10.100 comment "tx_192.168.10.100"`), "off", "rules", health.Warn, "1 without a counter"},
			{chain(jump + traffic + `ip saddr 192.168.10.100 counter comment "tx-laptop"`), "off", "rules", health.Warn, `1 with the comment "tx-laptop"`},
			{chain(jump + traffic + `ip saddr 192.168.10.100 counter`), "off", "rules", health.Warn, `1 with the comment ""`},
			{chain(jump + "add table ip filter; add chain ip filter CLIENT_TRAFFIC; add rule ip filter CLIENT_TRAFFIC " + good), "off", "rules", health.Warn, "1 in chain ip filter CLIENT_TRAFFIC instead of inet filter CLIENT_TRAFFIC"},
			{"delete table ip filter", "off", "rules", health.OK, ""},

			{"add table inet network_metrics; add chain inet network_metrics mine", "sets", "accounting", health.Fail, "(rename or delete the object named, or add --accounting=off to ARGS in"},
			{"delete table inet network_metrics", "off", "accounting", health.OK, ""},
		} {
			lab.Nft(t, test.nft)
			ruleset := lab.Command(t, "nft", "list", "ruleset")
			r.expect(t, test.name, test.status, test.found, "--accounting="+test.layout)
			if after := lab.Command(t, "nft", "list", "ruleset"); after != ruleset {
				t.Errorf("check changed the ruleset to:\n%s", after)
			}
		}
		lab.Nft(t, "delete chain inet filter forward; delete chain inet filter CLIENT_TRAFFIC")
		r.run(t)
		for _, name := range []string{"accounting", "rules", "flowtable", "module"} {
			r.expect(t, name, health.OK, "")
		}
	})
}

// TestCheckWithoutRights runs it as somebody who has no power over the network and
// may not read the state: it examines what it can.
func TestCheckWithoutRights(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		r := newRouter(t, l)
		r.expect(t, "capability", health.OK, "CAP_NET_ADMIN is there")
		write(t, "/run/leases", "")
		for _, path := range []string{"/run/leases", stateDir} {
			if err := os.Chmod(path, 0); err != nil {
				t.Fatal(err)
			}
		}
		text, log, status := withoutRights(t, "check", "--leases=/run/leases")
		if log != "" || status != failed {
			t.Errorf("exit status %d, want %d, stderr %q", status, failed, log)
		}
		for _, want := range []struct {
			name   string
			status health.Status
			found  string
		}{
			{"capability", health.Fail, "CAP_NET_ADMIN is missing"},
			{"module", health.Warn, "operation not permitted"},
			{"interface", health.OK, "br-lan is there"},
			{"accounting", health.Warn, "operation not permitted"},
			{"conntrack", health.Warn, "operation not permitted"},
			{"leases", health.Fail, "permission denied"},
			{"dhcp", health.Warn, "/run/dnsmasq.leases, which is not read"},
			{"state", health.Fail, "permission denied"},
			{"sample", health.Fail, "permission denied"},
			{"textfile", health.OK, ""},
		} {
			report(t, string(text), status, want.name, want.status, want.found)
		}
	})
}

// TestCheckJSON compares the two ways to print.
func TestCheckJSON(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		newRouter(t, l)
		var text, document bytes.Buffer
		if status := run([]string{"check", "--json", "--interface=none"}, &document, &document); status != failed {
			t.Errorf("exit status %d, want %d", status, failed)
		}
		run([]string{"check", "--interface=none"}, &text, &text)
		var findings []health.Finding
		if err := json.Unmarshal(document.Bytes(), &findings); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(text.String()), "\n")
		if len(findings) != len(lines) {
			t.Errorf("%d findings and %d lines", len(findings), len(lines))
		}
		for i, f := range findings[:min(len(findings), len(lines))] {
			if f.Name == "sample" || f.Name == "conntrack" {
				continue // grow older, and fewer
			}
			if !strings.HasPrefix(lines[i], string(f.Status)) || !strings.Contains(lines[i], f.Name+": "+f.Found) || !strings.Contains(lines[i], f.Cure) {
				t.Errorf("%q stands for %+v", lines[i], f)
			}
		}
	})
}

// TestDocumentedExaminations compares the table of docs/check.md with what is examined.
func TestDocumentedExaminations(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		newRouter(t, l)
		lab.Nft(t, rules)
		var document bytes.Buffer
		run([]string{"check", "--json", "--accounting=off"}, &document, &document)
		var findings []health.Finding
		if err := json.Unmarshal(document.Bytes(), &findings); err != nil {
			t.Fatal(err)
		}
		var examined, documented []string
		for _, f := range findings {
			examined = append(examined, f.Name)
		}
		for _, cell := range firstCells(rows(t, "docs/check.md", "Examinations")) {
			for _, name := range strings.Split(cell, ", ") {
				documented = append(documented, strings.Trim(name, "`"))
			}
		}
		slices.Sort(examined)
		slices.Sort(documented)
		if diff := cmp.Diff(slices.Compact(examined), documented); diff != "" {
			t.Errorf("examinations (-check +documented):\n%s", diff)
		}
	})
}
