package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/testdata/lab"
)

// becomeVariable names the directory whose owner a child of TestBecomeOwner is to
// become.
const becomeVariable = "STORE_TEST_BECOME"

// The owner of a state directory in tests, who is in no user database.
const ownerUID, ownerGID = 65533, 65532

// An identity is what the kernel says of one thread, as it writes it.
type identity struct{ UID, GID, Groups, CapInh, CapPrm, CapEff, CapAmb string }

const (
	noCapability = "0000000000000000"
	onlyNetAdmin = "0000000000001000"
)

// ids returns four times the same one: real, effective, saved and that for files.
func ids(id int) string { return fmt.Sprintf("%[1]d\t%[1]d\t%[1]d\t%[1]d", id) }

// became is what a child tells of itself.
type became struct {
	Err     string
	Threads []identity
	Can     []string // what it tried with success
}

// TestBecomeOwner looks at every thread of a process that has become the owner of a
// directory, and at what it can do then.
func TestBecomeOwner(t *testing.T) {
	if dir := os.Getenv(becomeVariable); dir != "" {
		becomeOwner(dir)
		return
	}
	// A root in two groups that the owner is not in.
	inGroups := &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{1, 2}}}
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	groups := parseIdentity(own).Groups
	for _, test := range []struct {
		name     string
		uid, gid int  // of the directory
		missing  bool // there is no directory
		dropped  []uintptr
		start    *syscall.SysProcAttr
		want     identity
		can      string // what the child can do
		err      string
	}{
		{name: "a service's", uid: ownerUID, gid: ownerGID, start: inGroups,
			want: identity{ids(ownerUID), ids(ownerGID), "", onlyNetAdmin, onlyNetAdmin, onlyNetAdmin, onlyNetAdmin},
			can:  "write read-owners"},
		{name: "a service's, without CAP_NET_ADMIN", uid: ownerUID, gid: ownerGID, dropped: []uintptr{unix.CAP_NET_ADMIN},
			want: identity{ids(ownerUID), ids(ownerGID), "", noCapability, noCapability, noCapability, noCapability},
			can:  "write read-owners"},
		{name: "a service's, without CAP_SETUID", uid: ownerUID, gid: ownerGID, dropped: []uintptr{unix.CAP_SETUID},
			err: "setuid: operation not permitted"},
		{name: "root's", want: identity{ids(0), ids(0), groups, onlyNetAdmin, onlyNetAdmin, onlyNetAdmin, onlyNetAdmin},
			can: "write read-roots read-owners be-root"},
		{name: "none", missing: true, want: identity{ids(0), ids(0), groups, onlyNetAdmin, onlyNetAdmin, onlyNetAdmin, onlyNetAdmin},
			can: "read-roots read-owners be-root"},
		{name: "by the service itself", uid: ownerUID, gid: ownerGID,
			start: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ownerUID, Gid: ownerGID}, AmbientCaps: []uintptr{unix.CAP_NET_ADMIN}},
			want:  identity{ids(ownerUID), ids(ownerGID), "", onlyNetAdmin, onlyNetAdmin, onlyNetAdmin, onlyNetAdmin},
			can:   "write read-owners"},
		{name: "by somebody else", uid: ownerUID, gid: ownerGID,
			start: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ownerUID - 1, Gid: ownerGID}},
			want:  identity{ids(ownerUID - 1), ids(ownerGID), "", noCapability, noCapability, noCapability, noCapability}},
	} {
		t.Run(test.name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "state")
			open := os.Chmod(filepath.Dir(parent), 0o755) // MkdirTemp lets nobody else in
			err := errors.Join(open, os.Mkdir(dir, 0o755),
				os.WriteFile(filepath.Join(parent, "owners"), []byte("the owner's"), 0o600),
				os.WriteFile(filepath.Join(parent, "roots"), []byte("root's"), 0o600),
				os.WriteFile(filepath.Join(parent, "nobodys"), []byte("for CAP_DAC_OVERRIDE alone"), 0))
			if err != nil {
				t.Fatal(err)
			}
			if test.uid != 0 {
				if err := errors.Join(os.Chown(dir, test.uid, test.gid), os.Chown(filepath.Join(parent, "owners"), test.uid, test.gid)); err != nil {
					t.Skipf("only a root who can be somebody else can test this: %v", err)
				}
			}
			if test.missing {
				if err := os.Remove(dir); err != nil {
					t.Fatal(err)
				}
			}
			got := startChild(t, dir, test.dropped, test.start)
			if test.err != "" {
				if !strings.Contains(got.Err, dir) || !strings.Contains(got.Err, test.err) {
					t.Errorf("error %q, want one with %s and %q", got.Err, dir, test.err)
				}
				return
			}
			if got.Err != "" {
				t.Fatal(got.Err)
			}
			if len(got.Threads) < 10 {
				t.Errorf("%d threads, want some that were there before", len(got.Threads))
			}
			for _, thread := range got.Threads {
				if diff := cmp.Diff(test.want, thread); diff != "" {
					t.Errorf("a thread (-want +got):\n%s", diff)
				}
			}
			if can := strings.Join(got.Can, " "); can != test.can {
				t.Errorf("it can %q, want %q", can, test.can)
			}
		})
	}
}

// TestGroupsOf reads a user database of its own.
func TestGroupsOf(t *testing.T) {
	lab.Namespace(t, func(t *testing.T) {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"passwd": "root:x:0:0:root:/root:/bin/sh\nexporter:x:4711:4712::/:/bin/false\nlonely:x:4713:4713::/:/bin/false\n",
			"group":  "root:x:0:\nexporter:x:4712:\nkea:x:4714:dnsmasq,exporter\nadm:x:4:lonesome\nlonely:x:4713:\n",
		} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount(path, "/etc/"+name, "", unix.MS_BIND, ""); err != nil {
				t.Fatal(err)
			}
		}
		for uid, want := range map[int][]int{4711: {4712, 4714}, 4713: {4713}, 4715: nil} {
			if diff := cmp.Diff(want, groupsOf(uid)); diff != "" {
				t.Errorf("groups of %d (-want +got):\n%s", uid, diff)
			}
		}
	})
}

// startChild runs this test again, as root unless it is told otherwise, without the
// capabilities that are dropped.
func startChild(t *testing.T, dir string, dropped []uintptr, start *syscall.SysProcAttr) (got became) {
	t.Helper()
	child := childTest(t, "TestBecomeOwner", becomeVariable+"="+dir)
	child.SysProcAttr = start
	if uid := os.Geteuid(); start == nil && uid != 0 {
		// Root of a user namespace where there is nobody else.
		child.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		}
	}
	// What a thread drops from its bounding set, no program has that it starts.
	// This thread ends with the goroutine.
	done := make(chan error)
	var stdout, stderr bytes.Buffer
	child.Stdout, child.Stderr = &stdout, &stderr
	go func() {
		runtime.LockOSThread()
		for _, capability := range dropped {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
				done <- err
				return
			}
		}
		done <- child.Run()
	}()
	if err := <-done; err != nil {
		t.Fatalf("%v: %s%s", err, &stdout, &stderr)
	}
	line, _, _ := bytes.Cut(stdout.Bytes(), []byte("\n"))
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%v: %s%s", err, &stdout, &stderr)
	}
	return got
}

// becomeOwner is the child: it becomes the owner of a directory, while there are
// threads already, and tells what it is then.
func becomeOwner(dir string) {
	for range 10 {
		ready := make(chan bool)
		go func() {
			runtime.LockOSThread()
			ready <- true
			select {}
		}()
		<-ready
	}
	var told became
	if err := BecomeOwner(dir); err != nil {
		told.Err = err.Error()
	}
	statuses, _ := filepath.Glob("/proc/self/task/*/status")
	for _, path := range statuses {
		status, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		told.Threads = append(told.Threads, parseIdentity(status))
	}
	read := func(name string) error {
		_, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		return err
	}
	for _, try := range []struct {
		name string
		do   func() error
	}{
		{"write", func() error { return os.WriteFile(filepath.Join(dir, "ledger"), nil, 0o600) }},
		{"read-roots", func() error { return read("roots") }},
		{"read-owners", func() error { return read("owners") }},
		{"read-nobodys", func() error { return read("nobodys") }},
		{"be-root", func() error { return syscall.Setuid(0) }},
		{"give-away", func() error { return os.Chown(dir, 1, 1) }},
	} {
		if try.do() == nil {
			told.Can = append(told.Can, try.name)
		}
	}
	text, err := json.Marshal(told)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}

// parseIdentity reads /proc/PID/status.
func parseIdentity(status []byte) identity {
	field := func(name string) string {
		match := regexp.MustCompile(`(?m)^` + name + `:\t(.*?) ?$`).FindSubmatch(status)
		return string(match[1])
	}
	return identity{field("Uid"), field("Gid"), field("Groups"), field("CapInh"), field("CapPrm"), field("CapEff"), field("CapAmb")}
}
