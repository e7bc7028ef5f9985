package vm

import (
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/testdata/lab"
)

// root is the project's directory.
func root(tb testing.TB) string {
	tb.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		tb.Fatal("vm: built without paths: where is the project?")
	}
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// cached returns the path of a file or directory of the project's .cache, which a
// script makes where it is not there yet. Where it cannot be made the test is skipped,
// or fails if NAMESPACES=required is set.
func cached(tb testing.TB, name, script string, args ...string) string {
	tb.Helper()
	lab.Need(tb, "apt-get", "depmod", "dpkg-deb")
	path := filepath.Join(root(tb), ".cache", "vm", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	// Tests of several packages may want it at once.
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		tb.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.CommandContext(tb.Context(), filepath.Join(root(tb), "testdata", "vm", script), append(args, path)...)
	if output, err := cmd.CombinedOutput(); err != nil {
		lab.Unavailable(tb, "%s: %v\n%s", script, err, output)
	}
	return path
}

// Kernel returns the directory with the kernel of a Debian release, see kernel.sh.
func Kernel(tb testing.TB, release string) string {
	tb.Helper()
	return cached(tb, filepath.Join(release, "kernel"), "kernel.sh", release)
}

// Disk returns the path of a new disk with the root file system of a Debian release, see
// root.sh. It lasts as long as the test, and machines keep on it what they write.
func Disk(tb testing.TB, release string) string {
	tb.Helper()
	lab.Need(tb, "mke2fs", "mmdebstrap", "qemu-img")
	if os.Geteuid() != 0 {
		lab.Unavailable(tb, "make the root file system of a Debian: want to be root")
	}
	Kernel(tb, release) // has the modules
	script, err := os.ReadFile(filepath.Join(root(tb), "testdata", "vm", "root.sh"))
	if err != nil {
		tb.Fatal(err)
	}
	// An image that another root.sh made has other packages.
	image := cached(tb, filepath.Join(release, fmt.Sprintf("root-%08x.ext4", crc32.ChecksumIEEE(script))), "root.sh", release)
	path := filepath.Join(tb.TempDir(), "disk")
	cmd := exec.CommandContext(tb.Context(), "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", image, path)
	if output, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("qemu-img: %v\n%s", err, output)
	}
	return path
}

// build returns the path of a program of this project, built for a machine.
func build(tb testing.TB, pkg string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "program")
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-C", root(tb), "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
	if output, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build %s: %v\n%s", pkg, err, output)
	}
	return path
}
