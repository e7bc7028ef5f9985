package conntrack

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// namespace runs f, as root, in user and network namespaces of its own, which
// is where the test binary runs the test once more. It skips the test where
// they cannot be made, unless NAMESPACES=required.
func namespace(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	const inside = "NETWORK_METRICS_EXPORTER_TEST_INSIDE"
	if os.Getenv(inside) == t.Name() {
		f(t)
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	switch {
	case cmd.ProcessState == nil && os.Getenv("NAMESPACES") == "required":
		t.Fatalf("make namespaces: %v", err)
	case cmd.ProcessState == nil:
		t.Skipf("make namespaces: %v", err)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
