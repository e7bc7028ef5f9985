// Package lab gives tests a router of their own: a Linux kernel's forwarding
// path, firewall, connection tracking and neighbour table in namespaces that
// need no root and touch nothing of the machine.
//
// [Namespace] runs a test in empty namespaces; [Run] builds the router of
// lab.sh in them, with clients that got their names by DHCP and a server on
// the other side of NAT. The test's own process is the router: what it asks of
// netlink is answered by the lab's kernel objects.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// insideEnv holds, in a process started by Namespace, the name of the test it
// was started for.
const insideEnv = "LAB_INSIDE"

// timeLimit bounds a test inside namespaces, unless go test -timeout comes first.
// limitEnv holds another bound, as time.ParseDuration reads it.
const (
	timeLimit = 2 * time.Minute
	limitEnv  = "LAB_TIME_LIMIT"
)

// Namespace runs f in fresh user, network, mount and pid namespaces, as their
// root, with lo up. Where there are no user namespaces to be had, root does
// without; where there are no namespaces at all the test is skipped, or fails
// if NAMESPACES=required is set. With NAMESPACES=none it is skipped wherever it is:
// a package's build should not depend on the kernel of its builder.
//
// f runs in another process: this test binary, started once more for this very
// test, so what precedes Namespace in the test runs there too. That process is
// number 1 of its pid namespace, and everything it starts ends with it; /proc
// still shows the outer processes, except for /proc/self and /proc/net.
func Namespace(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	switch inside := os.Getenv(insideEnv); inside {
	case "":
		if os.Getenv("NAMESPACES") == "none" {
			t.Skip("NAMESPACES=none")
		}
		reexec(t)
	case t.Name():
		if err := enter(); err != nil {
			Unavailable(t, "set up namespaces: %v%s", err, hint)
		}
		f(t)
	default:
		t.Fatalf("namespaces of %s inside those of %s", t.Name(), inside)
	}
}

const hint = " (Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0;" +
	" Debian: sysctl kernel.unprivileged_userns_clone=1; or run as root)"

// Unavailable skips a test for what the machine lacks, or fails it if nothing
// may be skipped.
func Unavailable(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("NAMESPACES") == "required" {
		t.Fatalf(format, args...)
	}
	t.Skipf("NOT TESTED: "+format, args...)
}

// reexec runs this test, and no other, in a process of its own namespaces and
// passes on how it ended.
func reexec(t *testing.T) {
	t.Helper()
	limit := timeLimit
	if text := os.Getenv(limitEnv); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", limitEnv, err)
		}
	}
	if deadline, ok := t.Deadline(); ok {
		limit = min(limit, time.Until(deadline)-5*time.Second)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()

	output, err := runInside(ctx, t.Name(), limit, unix.CLONE_NEWUSER)
	if refused(err) && os.Geteuid() == 0 {
		output, err = runInside(ctx, t.Name(), limit, 0)
	}
	if refused(err) {
		Unavailable(t, "create namespaces: %v%s", err, hint)
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("not done after %v", limit)
	}
	PassOn(t, "in namespaces", output, err)
}

// PassOn ends a test as it ended in the process that ran it elsewhere, with the
// arguments of [Arguments]: that printed output and ended with err.
func PassOn(t *testing.T, where, output string, err error) {
	t.Helper()
	// The bar keeps go test's own lines from being taken for this process's.
	t.Logf("%s:\n%s", where, strings.ReplaceAll("\n"+output, "\n", "\n| ")[1:])
	outcome := regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): ` + regexp.QuoteMeta(t.Name()) + ` \(`)
	switch match := outcome.FindStringSubmatch(output); {
	case err != nil:
		t.Fatalf("%s: %v", where, err)
	case match == nil:
		t.Fatalf("%s: no such test was run", where)
	case match[1] == "SKIP":
		t.Skipf("skipped %s", where)
	}
}

// Arguments are those with which a test binary runs the named test, and no other.
func Arguments(name string, limit time.Duration) []string {
	elements := strings.Split(name, "/")
	for i, element := range elements {
		elements[i] = "^" + regexp.QuoteMeta(element) + "$"
	}
	// Only what is named here is passed on: not -test.count, no profiles.
	return []string{
		"-test.run=" + strings.Join(elements, "/"),
		"-test.v",
		fmt.Sprint("-test.short=", testing.Short()),
		fmt.Sprint("-test.timeout=", limit),
	}
}

// runInside runs the named test of this binary in new namespaces, those of
// flags besides network, mount and pid, and returns what it printed.
func runInside(ctx context.Context, name string, limit time.Duration, flags uintptr) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, self, Arguments(name, limit)...)
	cmd.Env = append(os.Environ(), insideEnv+"="+name)
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | flags,
		Pdeathsig:  syscall.SIGKILL,
	}
	if flags&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	// Pdeathsig strikes when the thread ends that started the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// refused reports whether a process could not be started for want of namespaces:
// seccomp and sysctls say EPERM or EACCES, limits of 0 namespaces say ENOSPC, and
// qemu-user, which emulates another processor, says EINVAL.
func refused(err error) bool {
	var exit *exec.ExitError
	return !errors.As(err, &exit) && slices.ContainsFunc(
		[]error{unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EINVAL},
		func(refusal error) bool { return errors.Is(err, refusal) })
}

// enter makes fresh namespaces usable: mounts stay inside, lo is up, and
// programs of the administrator are found.
func enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
}
