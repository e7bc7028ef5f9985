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
const commandLimit = 20 * time.Second

// cannotBoot is the exit status of machine.sh where there can be no machine.
const cannotBoot = 77

// A machine boots as often as it is told to, on the same disk.
type machine struct {
	cgroup  string // of all its processes
	switchs io.Writer
	ended   <-chan error // the end of machine.sh
	log     *bytes.Buffer
	first   int // process, in this pid namespace
}

// newMachine makes a machine that is switched off. It ends with the test,
// however that ends, and leaves nothing behind.
func newMachine(tb testing.TB) *machine {
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
	m := &machine{cgroup: cgroup, log: &bytes.Buffer{}}
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
	m.boot(tb, unavailable)
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

// boot switches the machine on and waits until it has booted.
func (m *machine) boot(tb testing.TB, unavailable func(any)) {
	tb.Helper()
	fmt.Fprintln(m.switchs, "boot")
	m.first = 0
	m.until(tb, "systemd has started", func() bool {
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

// cutPower stops the machine as nobody should.
func (m *machine) cutPower(tb testing.TB) {
	tb.Helper()
	m.signal(tb, unix.SIGKILL)
}

// shutDown has systemd power the machine off.
func (m *machine) shutDown(tb testing.TB) {
	tb.Helper()
	m.signal(tb, syscall.Signal(34+4)) // SIGRTMIN+4, systemd(1)
}

func (m *machine) signal(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	if err := unix.Kill(m.first, signal); err != nil {
		tb.Fatal(err)
	}
	m.until(tb, "the machine is off", func() bool { return unix.Kill(m.first, 0) == unix.ESRCH })
}

// until waits for something that has to come.
func (m *machine) until(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(commandLimit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("waited in vain until %s", what)
		}
	}
}

// path is where a file of the machine is seen from here.
func (m *machine) path(name string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", m.first), name)
}

// command runs in the machine, in its root's shoes but outside its control groups.
func (m *machine) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	enter := []string{"--target", fmt.Sprint(m.first), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", name}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = append(os.Environ(), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C")
	return cmd
}

// run runs a command that has to succeed, and gives what it printed.
func (m *machine) run(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), commandLimit)
	defer cancel()
	output, err := m.command(ctx, name, args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}

// output gives what a command printed, however it ended.
func (m *machine) output(name string, args ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	output, _ := m.command(ctx, name, args...).CombinedOutput()
	return string(output)
}
