// Package systemd tests the units, and how they are installed, on real systemd:
// as first process of a machine made of namespaces.
package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/testdata/lab"
)

// commandLimit bounds each command in the machine, and each wait for it.
const commandLimit = 2 * time.Minute

// cannotBoot is the exit status of machine.sh where there can be no machine.
const cannotBoot = 77

// A machine runs systemd. It boots as often as it is told to, on the same disk, and
// ends with the test.
type machine interface {
	boot(tb testing.TB)
	shutDown(tb testing.TB)
	cutPower(tb testing.TB)

	// run runs a command that has to succeed, and gives what it printed.
	run(tb testing.TB, name string, args ...string) string
	// output gives what a command printed, however it ended.
	output(name string, args ...string) string
	// read gives the text of a file; ok is false if there is none.
	read(tb testing.TB, name string) (text string, ok bool)
	write(tb testing.TB, name, text string)

	// install installs the project, over what was installed before.
	install(tb testing.TB)
	// startLAN has the clients there; a boot ends that, or not.
	startLAN(tb testing.TB)
	// leases is where its DHCP server keeps them.
	leases() string
	// onLaptop runs a command in the shoes of a client.
	onLaptop(tb testing.TB, name string, args ...string) string
}

// A container is a machine made of namespaces, see machine.sh.
type container struct {
	cgroup  string // of all its processes
	switchs io.Writer
	ended   <-chan error // the end of machine.sh
	log     *bytes.Buffer
	first   int    // process, in this pid namespace
	lab     string // process that keeps the lab's mounts, in the machine's
}

// newContainer makes a machine that has booted. It ends with the test, however that
// ends, and leaves nothing behind.
func newContainer(tb testing.TB) *container {
	tb.Helper()
	unavailable := func(err any) {
		tb.Skipf("\n\n\tNOT TESTED: systemd cannot be booted here: %v\n\n", err)
	}
	if os.Geteuid() != 0 {
		unavailable("it takes root")
	}
	if _, err := exec.LookPath("/lib/systemd/systemd"); err != nil {
		unavailable(err)
	}
	lab.Need(tb, "prometheus-node-exporter", "unshare", "nsenter", "make")
	cgroup, err := newCgroup()
	if err != nil {
		unavailable(err)
	}
	tb.Cleanup(func() {
		if err := removeCgroup(cgroup); err != nil {
			tb.Error(err)
		}
	})

	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "./machine.sh", cgroup)
	m := &container{cgroup: cgroup, log: &bytes.Buffer{}}
	cmd.Stdout, cmd.Stderr = m.log, m.log
	if m.switchs, err = cmd.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ended := make(chan error, 1)
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig strikes when this thread ends
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		unavailable(err)
	}
	m.ended = ended
	tb.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if tb.Failed() {
			tb.Logf("machine.sh said:\n%s", m.log)
		}
	})
	m.start(tb, unavailable)
	m.copyExporter(tb)
	return m
}

// newCgroup makes a control group in the hierarchy of version 2.
func newCgroup() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); fields[2] == "cgroup2" {
			return os.MkdirTemp(fields[1], "network-metrics-exporter-test-")
		}
	}
	return "", errors.New("cgroup2 is not mounted")
}

// removeCgroup removes a control group that has lost its processes, and those in it.
func removeCgroup(dir string) error {
	var dirs []string
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	var err error
	for deadline := time.Now().Add(commandLimit); ; time.Sleep(10 * time.Millisecond) {
		for i := len(dirs) - 1; i >= 0; i-- {
			err = os.Remove(dirs[i])
		}
		// A process that was killed leaves its group a moment later.
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func (m *container) boot(tb testing.TB) {
	tb.Helper()
	m.start(tb, nil)
}

// start switches the machine on and waits until it has booted.
func (m *container) start(tb testing.TB, unavailable func(any)) {
	tb.Helper()
	fmt.Fprintln(m.switchs, "boot")
	m.first = 0
	until(tb, "systemd has started", func() bool {
		select {
		case err := <-m.ended:
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == cannotBoot && unavailable != nil {
				unavailable(m.log)
			}
			tb.Fatalf("machine.sh: %v\n%s", err, m.log)
		default:
		}
		procs, _ := os.ReadFile(filepath.Join(m.cgroup, "init.scope", "cgroup.procs"))
		if n, _ := fmt.Sscan(string(procs), &m.first); n == 0 {
			return false
		}
		_, err := os.Stat(m.path("/run/systemd/private"))
		return err == nil
	})
	// What else is installed here may fail in there.
	if state := m.output("systemctl", "is-system-running", "--wait"); state != "running\n" && state != "degraded\n" {
		tb.Fatalf("the machine is %s", state)
	}
}

func (m *container) cutPower(tb testing.TB) {
	tb.Helper()
	m.signal(tb, unix.SIGKILL)
}

func (m *container) shutDown(tb testing.TB) {
	tb.Helper()
	if m.lab != "" {
		m.run(tb, "kill", "-KILL", m.lab) // it heeds no other signal
	}
	m.signal(tb, syscall.Signal(34+4)) // SIGRTMIN+4, systemd(1)
}

func (m *container) signal(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	if err := unix.Kill(m.first, signal); err != nil {
		tb.Fatal(err)
	}
	m.lab = ""
	until(tb, "the machine is off", func() bool { return unix.Kill(m.first, 0) == unix.ESRCH })
}

// until waits for something that has to come.
func until(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(commandLimit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("waited in vain until %s", what)
		}
	}
}

// path is where a file of the machine is seen from here.
func (m *container) path(name string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", m.first), name)
}

// command runs in the machine, in its root's shoes but outside its control groups.
func (m *container) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	enter := []string{"--target", fmt.Sprint(m.first), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", name}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = append(os.Environ(), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C")
	return cmd
}

func (m *container) run(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), commandLimit)
	defer cancel()
	output, err := m.command(ctx, name, args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}

func (m *container) output(name string, args ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	output, _ := m.command(ctx, name, args...).CombinedOutput()
	return string(output)
}

func (m *container) read(tb testing.TB, name string) (string, bool) {
	tb.Helper()
	text, err := os.ReadFile(m.path(name))
	if err != nil && !os.IsNotExist(err) {
		tb.Fatal(err)
	}
	return string(text), err == nil
}

func (m *container) write(tb testing.TB, name, text string) {
	tb.Helper()
	if err := os.WriteFile(m.path(name), []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// install does what the README says. There is no Go in the machine, and its view of the
// repository is read-only.
func (m *container) install(tb testing.TB) {
	tb.Helper()
	if output, err := exec.CommandContext(tb.Context(), "make", "-C", repository, "network-metrics-exporter").CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, output)
	}
	m.make(tb, "install")
}

// make runs make in the machine, on this repository.
func (m *container) make(tb testing.TB, target string) string {
	tb.Helper()
	dir, err := filepath.Abs(repository)
	if err != nil {
		tb.Fatal(err)
	}
	return m.run(tb, "make", "-C", dir, target)
}

// copyExporter puts node_exporter where its package would.
func (m *container) copyExporter(tb testing.TB) {
	tb.Helper()
	exporter, err := exec.LookPath("prometheus-node-exporter")
	if err != nil {
		tb.Fatal(err)
	}
	text, err := os.ReadFile(exporter)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(m.path("/usr/bin/prometheus-node-exporter"), text, 0o755); err != nil {
		tb.Fatal(err)
	}
}

// startLAN builds the lab's network in the machine, which lasts until it is switched off.
func (m *container) startLAN(tb testing.TB) {
	tb.Helper()
	script, err := filepath.Abs("../lab/lab.sh")
	if err != nil {
		tb.Fatal(err)
	}
	m.run(tb, "mkdir", "-p", filepath.Dir(m.leases()))
	// Its mounts are its own, and its pid namespace is one that lab.sh can tell; it
	// ends with the machine. It prints which process it is outside.
	cmd := m.command(context.Background(), "unshare", "--mount", "--pid", "--fork", "env", "LEASES="+m.leases(),
		"bash", "-c", script+` && while read -r key pid _; do [ $key != NSpid: ] || echo $pid; done </proc/self/status && exec sleep infinity`)
	var log strings.Builder
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go cmd.Wait()
	if _, err := fmt.Fscanln(stdout, &m.lab); err != nil {
		tb.Fatalf("lab.sh: %v\n%s", err, &log)
	}
}

func (m *container) leases() string { return "/var/lib/dnsmasq/dnsmasq.leases" }

func (m *container) onLaptop(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	return m.run(tb, "nsenter", append([]string{"--target", m.lab, "--mount", "ip", "netns", "exec", "laptop", name}, args...)...)
}
