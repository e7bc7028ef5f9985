// Package vm boots kernels and machines other than the one that the tests run on, in
// an emulator: it needs neither root nor the processor's virtualisation, and touches
// nothing of the machine.
//
// [Run] runs a test on the kernel of a Debian release, with nothing but some programs
// of this machine around it; [New] makes a machine that boots, with a disk or without.
package vm

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/testdata/lab"
	"network-metrics-exporter/testdata/vm/protocol"
)

const (
	// bootLimit bounds how long it takes from switching on to the first command.
	bootLimit = 5 * time.Minute
	// commandLimit bounds each command in a machine.
	commandLimit = 2 * time.Minute
)

// insideEnv holds, in a machine of Run, the name of the test that it was booted for.
const insideEnv = "VM_INSIDE"

// runLimit bounds a test inside a machine of Run, unless go test -timeout comes first.
const runLimit = 5 * time.Minute

// Run runs f in a machine that has no disk: another process of this test binary there
// runs this very test, so what precedes Run in the test runs there too. Nothing that
// f tests may be skipped there.
func Run(t *testing.T, config Config, f func(t *testing.T)) {
	t.Helper()
	if os.Getenv(insideEnv) == t.Name() {
		f(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config.Programs = append(slices.Clone(config.Programs), self)
	limit := runLimit
	if deadline, ok := t.Deadline(); ok {
		limit = min(limit, time.Until(deadline)-20*time.Second)
	}
	m := New(t, config)
	m.Boot(t)
	output, err := m.command(limit, []string{insideEnv + "=" + t.Name(), "NAMESPACES=required"}, nil,
		append([]string{self}, lab.Arguments(t.Name(), limit)...)...)
	lab.PassOn(t, "in the machine", output, err)
}

// A Config is what a machine is made of.
type Config struct {
	Kernel   string            // the Debian release that it comes from: "bookworm"
	Disk     string            // image of the root file system; empty: the programs below are all there is
	Programs []string          // of this machine, with their libraries
	Project  map[string]string // programs of this project, as packages, by where they are in there
}

// A Machine is a virtual machine. It can boot as often as it is off.
type Machine struct {
	args      []string        // of the emulator
	console   string          // file with what was said there since the last boot
	complaint strings.Builder // of the emulator

	emulator *exec.Cmd
	ended    chan struct{} // closed when the emulator has ended

	mu      sync.Mutex // of what is below
	encoder *json.Encoder
	waiting map[int]chan protocol.Response // commands, by the request's ID; nil: the machine is off
	last    int                            // ID
}

// New makes a machine, which is off. It is there until the test ends.
func New(tb testing.TB, config Config) *Machine {
	tb.Helper()
	if runtime.GOARCH != "amd64" {
		lab.Unavailable(tb, "boot a machine of this one's programs: built for %s, want amd64", runtime.GOARCH)
	}
	lab.Need(tb, append([]string{"busybox", "modprobe", "qemu-system-x86_64"}, config.Programs...)...)
	dir := tb.TempDir()
	kernel := Kernel(tb, config.Kernel)
	initrd := filepath.Join(dir, "initramfs")
	if err := config.writeInitramfs(tb, kernel, initrd); err != nil {
		tb.Fatalf("make initramfs: %v", err)
	}
	m := &Machine{console: filepath.Join(dir, "console")}
	cmdline := "console=ttyS0 quiet panic=-1"
	m.args = []string{
		"-accel", "tcg", "-m", "1G", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", filepath.Join(kernel, "vmlinuz"), "-initrd", initrd,
		"-serial", "file:" + m.console,
		"-device", "virtio-rng-pci",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=agent,fd=3", "-device", "virtserialport,chardev=agent,name=agent",
	}
	if config.Disk != "" {
		m.args = append(m.args, "-drive", "file="+config.Disk+",if=virtio,format=qcow2")
		cmdline += " disk"
	}
	m.args = append(m.args, "-append", cmdline)
	tb.Cleanup(func() {
		m.Cut()
		if tb.Failed() {
			console, _ := os.ReadFile(m.console)
			tb.Logf("emulator: %s\nconsole:\n%s", &m.complaint, tail(console))
		}
	})
	return m
}

// Boot boots the machine and waits until it can run commands. What the clock says is
// the time.
func (m *Machine) Boot(tb testing.TB) {
	tb.Helper()
	m.BootAt(tb, time.Now())
}

// BootAt is Boot with another time.
func (m *Machine) BootAt(tb testing.TB, clock time.Time) {
	tb.Helper()
	if err := m.start(append([]string{"-rtc", "base=" + clock.UTC().Format("2006-01-02T15:04:05")}, m.args...)); err != nil {
		tb.Fatalf("start emulator: %v", err)
	}
	if _, err := m.command(bootLimit, nil, nil, "true"); err != nil {
		tb.Fatalf("boot: %v", err)
	}
}

// writeInitramfs writes what the kernel finds when it starts.
func (config Config) writeInitramfs(tb testing.TB, kernel, path string) error {
	archive := newInitramfs()
	if err := archive.tree(filepath.Join(kernel, "modules")); err != nil {
		return err
	}
	if err := archive.programs(append([]string{"busybox", "modprobe"}, config.Programs...)...); err != nil {
		return err
	}
	project := map[string]string{"/agent": "./testdata/vm/agent"}
	maps.Copy(project, config.Project)
	for name, pkg := range project {
		if err := archive.copy(name, build(tb, pkg)); err != nil {
			return err
		}
	}
	return archive.write(path)
}

// start starts the emulator.
func (m *Machine) start(args []string) error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "agent"), os.NewFile(uintptr(fds[1]), "agent")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return err
	}
	m.emulator = exec.Command("qemu-system-x86_64", args...)
	m.emulator.ExtraFiles = []*os.File{theirs}
	m.emulator.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.emulator.Stderr = &m.complaint
	m.ended = make(chan struct{})
	m.mu.Lock()
	m.encoder, m.waiting = json.NewEncoder(conn), make(map[int]chan protocol.Response)
	m.mu.Unlock()
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig strikes when this thread ends
		defer close(m.ended)
		defer conn.Close()
		err := m.emulator.Start()
		theirs.Close()
		started <- err
		if err == nil {
			m.receive(conn)
			m.emulator.Wait()
		}
	}()
	return <-started
}

// tail gives the end of a text.
func tail(text []byte) string {
	const most = 4000
	return strings.ToValidUTF8(string(text[max(0, len(text)-most):]), "?")
}

// receive hands responses to those who wait for them, until the machine ends.
func (m *Machine) receive(conn net.Conn) {
	decoder := json.NewDecoder(conn)
	for {
		var response protocol.Response
		err := decoder.Decode(&response)
		m.mu.Lock()
		if err != nil {
			for _, waiting := range m.waiting {
				close(waiting)
			}
			m.waiting = nil
			m.mu.Unlock()
			return
		}
		m.waiting[response.ID] <- response
		delete(m.waiting, response.ID)
		m.mu.Unlock()
	}
}

// command runs a command in the machine and gives what it printed.
func (m *Machine) command(limit time.Duration, env []string, stdin []byte, args ...string) (string, error) {
	m.mu.Lock()
	m.last++
	request := protocol.Request{ID: m.last, Args: args, Env: env, Stdin: stdin, TimeLimit: limit}
	done := make(chan protocol.Response, 1)
	if m.waiting == nil {
		m.mu.Unlock()
		return "", fmt.Errorf("%s: the machine is off", args[0])
	}
	m.waiting[request.ID] = done
	err := m.encoder.Encode(request)
	m.mu.Unlock()
	if err != nil {
		return "", fmt.Errorf("%s: write request: %w", args[0], err)
	}
	select {
	case response, ok := <-done:
		if !ok {
			return "", fmt.Errorf("%s: the machine went off", args[0])
		}
		if response.Error != "" {
			return string(response.Output), fmt.Errorf("%s: %s", strings.Join(args, " "), response.Error)
		}
		return string(response.Output), nil
	case <-time.After(limit + 10*time.Second): // the agent bounds it itself
		return "", fmt.Errorf("%s: no answer from the machine", strings.Join(args, " "))
	}
}

// Run runs a command that has to succeed, and returns what it printed.
func (m *Machine) Run(tb testing.TB, args ...string) string {
	tb.Helper()
	output, err := m.command(commandLimit, nil, nil, args...)
	if err != nil {
		tb.Fatalf("%v\n%s", err, output)
	}
	return output
}

// Output returns what a command printed, however it ended.
func (m *Machine) Output(args ...string) string {
	output, _ := m.command(commandLimit, nil, nil, args...)
	return output
}

// Write writes a file in the machine, with mode 0644.
func (m *Machine) Write(tb testing.TB, name string, data []byte) {
	tb.Helper()
	if output, err := m.command(commandLimit, nil, data, "sh", "-c", `umask 022; cat >"$0"`, name); err != nil {
		tb.Fatalf("write %s: %v\n%s", name, err, output)
	}
}

// Cut cuts the machine's power: what its kernel has not written to the disk is lost.
func (m *Machine) Cut() {
	if m.emulator != nil && m.emulator.Process != nil {
		m.emulator.Process.Kill()
		<-m.ended
	}
}

// WaitOff waits until the machine, which was told to, has switched itself off or
// rebooted; it does not boot again by itself.
func (m *Machine) WaitOff(tb testing.TB) {
	tb.Helper()
	select {
	case <-m.ended:
	case <-time.After(bootLimit):
		tb.Fatal("the machine does not switch itself off")
	}
}
