package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
	"network-metrics-exporter/state/store"
	"network-metrics-exporter/testdata/lab"
)

// TestRunByHand runs the program by hand beside a timer that has settings of its
// own: it counts what the timer counts, and changes nothing that the timer set up.
func TestRunByHand(t *testing.T) {
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Command(t, "ip", "link", "add", "guest0", "type", "bridge")
		lab.Command(t, "ip", "addr", "add", "192.168.20.1/24", "dev", "guest0")
		i := install(t, r)
		timer := []string{"--interface=br-lan", "--interface=guest0", "--max-clients=50"}
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		i.run(t, timer...)
		total := flow.Send(t, 10, 1000)
		ruleset := lab.Command(t, "nft", "-s", "list", "ruleset")

		// byHand runs the program without the flags of the timer, but for those that
		// are not remembered.
		byHand := func(flags ...string) (stdout, stderr string, status int) {
			t.Helper()
			var out, err bytes.Buffer
			status = run(append([]string{"--state-dir=" + filepath.Dir(i.ledger()), "--output=-"}, flags...), &out, &err)
			return out.String(), err.String(), status
		}
		page, before := read(t, i.prom()), files(t, filepath.Dir(i.ledger()))
		for _, flags := range [][]string{
			{"--interface=guest0"}, {"--accounting=rules"}, {"--accounting=off", "--wait"}, {"--network=10.0.0.0/8"},
			{"--max-clients=1"}, {"--forget-after=1s"}, {"--period-start=15"},
		} {
			_, log, status := byHand(flags...)
			if status != wrongUsage || !strings.Contains(log, flags[0]+": ") || !strings.Contains(log, "sample") || strings.Count(log, "\n") != 1 {
				t.Errorf("%q: exit status %d, want %d and a line that names the flag and sample:\n%s", flags, status, wrongUsage, log)
			}
		}
		t.Setenv("TRAFFIC_INTERFACE", "guest0") // which the timer's flags override
		if diff := cmp.Diff(before, files(t, filepath.Dir(i.ledger()))); diff != "" {
			t.Errorf("refused runs changed the state (-before +after):\n%s", diff)
		}

		for range 2 {
			text, log, status := byHand("--wait", "--interval=0.4")
			if status != published || log != "" {
				t.Fatalf("exit status %d: %s", status, log)
			}
			parse(t, []byte(text)).expect(t, series{
				`client_traffic_bytes{direction="tx",ip="192.168.10.100",client="laptop"}`: float64(total),
				`network_metrics_exporter_source_up{source="neighbor"}`:                    1,
			})
			total += flow.Send(t, 10, 1000)
		}
		if got := lab.Command(t, "nft", "-s", "list", "ruleset"); got != ruleset {
			t.Errorf("the ruleset has changed (-before +after):\n%s", cmp.Diff(ruleset, got))
		}
		if read(t, i.prom()) != page {
			t.Error("a run that prints has replaced the timer's file")
		}
		// The timer goes on, and what it was told is still what is known.
		i.run(t, timer...).expect(t, series{`client_traffic_bytes{direction="tx",ip="192.168.10.100",client="laptop"}`: float64(total)})
		if _, log, status := byHand("--interface=br-lan"); status != wrongUsage || !strings.Contains(log, "--interface=br-lan: ") {
			t.Errorf("exit status %d after the timer's run: %s", status, log)
		}
	})
}

// TestFirstRunByHand is remembered, as there is nothing else, until there is a
// sample.
func TestFirstRunByHand(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		bare := func(flags ...string) (string, int) {
			var stdout, stderr bytes.Buffer
			status := run(i.args(flags...)[1:], &stdout, &stderr) // without the command
			return stderr.String(), status
		}
		if log, status := bare("--accounting=rules"); status != published || log != "" {
			t.Fatalf("exit status %d: %s", status, log)
		}
		if log, status := bare(); status != published || log != "" {
			t.Errorf("as before: exit status %d: %s", status, log)
		}
		if log, status := bare("--accounting=sets"); status != wrongUsage || !strings.Contains(log, "--accounting=sets: ") {
			t.Errorf("otherwise than before: exit status %d: %s", status, log)
		}
		i.run(t, "--accounting=sets")
		if log, status := bare("--accounting=sets"); status != published || log != "" {
			t.Errorf("as the sample: exit status %d: %s", status, log)
		}
		if log, status := bare("--accounting=rules"); status != wrongUsage {
			t.Errorf("otherwise than the sample: exit status %d: %s", status, log)
		}
	})
}

// TestRunByHandAfterDamage does nothing, as nobody knows what the timer set up.
func TestRunByHandAfterDamage(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		i.run(t)
		for path := range files(t, filepath.Dir(i.ledger())) {
			if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() && os.WriteFile(path, []byte("damaged"), 0o600) != nil {
				t.Fatal(path, err)
			}
		}
		before := files(t, i.dir)
		var stdout, stderr bytes.Buffer
		status := run(i.args()[1:], &stdout, &stderr)
		if log := stderr.String(); status != failed || !strings.Contains(log, "command sample") || strings.Count(log, "\n") != 1 {
			t.Errorf("exit status %d, want %d and a line that names sample:\n%s", status, failed, log)
		}
		if diff := cmp.Diff(before, files(t, i.dir)); diff != "" {
			t.Errorf("files (-before +after):\n%s", diff)
		}
		i.runLogging(t)
		if log, status := stderr.String(), run(i.args()[1:], &stdout, &stderr); status != published {
			t.Errorf("after a sample: exit status %d: %s", status, log)
		}
	})
}

// TestRootBecomesOwner runs the program as root where the state directory belongs to
// a service, in a user namespace that has other users.
func TestRootBecomesOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a user namespace in which there are others")
	}
	const uid, gid = 4711, 4712
	dir := t.TempDir()
	state, out, roots := filepath.Join(dir, "state"), filepath.Join(dir, "out"), filepath.Join(dir, "roots")
	if err := errors.Join(
		os.Chmod(filepath.Dir(dir), 0o755), // MkdirTemp lets nobody else in
		os.Mkdir(state, 0o755), os.Mkdir(out, 0o755), os.Mkdir(roots, 0o755),
		os.Chown(state, uid, gid), os.Chown(out, uid, gid),
	); err != nil {
		t.Skipf("only a root who can be somebody else can test this: %v", err)
	}
	sample := func(flags ...string) (log string, status int) {
		t.Helper()
		cmd := exec.Command("/proc/self/exe", append([]string{"sample", "--state-dir=" + state, "--output=" + out + "/x.prom", "--interface=lo"}, flags...)...)
		cmd.Env = append(os.Environ(), beProgram+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:                 unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
			UidMappings:                []syscall.SysProcIDMap{{Size: 65535}},
			GidMappings:                []syscall.SysProcIDMap{{Size: 65535}},
			GidMappingsEnableSetgroups: true,
		}
		text, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			lab.Unavailable(t, "create namespaces: %v", err)
		}
		return string(text), cmd.ProcessState.ExitCode()
	}
	if log, status := sample(); status != published || log != "" {
		t.Fatalf("exit status %d:\n%s", status, log)
	}
	text, err := os.ReadFile(out + "/x.prom")
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"neighbor", "nftables", "conntrack"} { // it has CAP_NET_ADMIN
		parse(t, text).expect(t, series{`network_metrics_exporter_source_up{source="` + source + `"}`: 1})
	}
	for path := range files(t, dir) {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		service := strings.HasPrefix(path, state) || strings.HasPrefix(path, out)
		if s := info.Sys().(*syscall.Stat_t); service && (s.Uid != uid || s.Gid != gid) {
			t.Errorf("%s belongs to %d:%d, want %d:%d", path, s.Uid, s.Gid, uid, gid)
		}
	}

	// What only root may write to is not to be had.
	if log, status := sample("--output=" + roots + "/x.prom"); status != wrongUsage || strings.Count(log, "\n") != 1 ||
		!strings.Contains(log, fmt.Sprintf("--output=%s/x.prom: want a directory that user %d can write to", roots, uid)) {
		t.Errorf("exit status %d:\n%s", status, log)
	}
	// What the service puts in the way stays root's, and secret.
	secret := filepath.Join(roots, "secret")
	write(t, secret, "root's")
	if err := os.Chmod(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lock", "ledger", "checkpoint", "client-names.cache"} {
		for kind, link := range map[string]func(old, new string) error{"hard link": os.Link, "link": os.Symlink} {
			path := filepath.Join(state, name)
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if err := link(secret, path); err != nil {
				t.Fatal(err)
			}
			log, _ := sample()
			info, err := os.Stat(secret)
			if err != nil {
				t.Fatal(err)
			}
			if s := info.Sys().(*syscall.Stat_t); s.Uid != 0 || s.Gid != 0 || info.Mode() != 0o600 || read(t, secret) != "root's" {
				t.Errorf("%s in the place of %s: the file belongs to %d:%d, mode %v", kind, name, s.Uid, s.Gid, info.Mode())
			}
			if strings.Contains(log, "root's") {
				t.Errorf("%s in the place of %s: it told the secret:\n%s", kind, name, log)
			}
		}
	}
}

// TestFlagOfAnotherVersion leaves a flag in the state that this version does not
// have, as a newer one does.
func TestFlagOfAnotherVersion(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		i.run(t, "--interval=7")
		dir, err := store.Paths{Dir: filepath.Dir(i.ledger())}.Open(0)
		if err != nil {
			t.Fatal(err)
		}
		ledger, err := dir.Load()
		if err != nil {
			t.Fatal(err)
		}
		ledger.Settings = append([]string{"--colour=red"}, ledger.Settings...)
		if err := errors.Join(dir.Save(ledger, state.NewNameCache(dir.Names)), dir.Close()); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"show", "check", "teardown", ""} {
			args := append(strings.Fields(command), "--state-dir="+filepath.Dir(i.ledger()), "--output=-")
			var stdout, stderr bytes.Buffer
			if status := run(args, &stdout, &stderr); command != "check" && status != published {
				t.Errorf("%q: exit status %d", command, status)
			}
			if log := stderr.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "--colour=red") {
				t.Errorf("%q: want one line that names the flag:\n%s", command, log)
			}
		}
	})
}
