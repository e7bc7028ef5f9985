package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
)

// at is where the state is kept in most tests: in dir, written through.
func at(dir string) Paths { return Paths{Dir: dir, Runtime: filepath.Join(dir, "none")} }

// noNames returns a cache in which nothing changed.
func noNames() *state.NameCache { return state.NewNameCache(func() []state.CachedName { return nil }) }

// openDir locks a state directory until the test ends.
func openDir(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := at(path).Open(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// linkTo makes path a link to a file elsewhere.
func linkTo(path string, data []byte) error {
	target := path + "-elsewhere"
	if err := os.WriteFile(target, data, 0o600); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

// sparse makes a file of that size that takes no room.
func sparse(path string, size int64) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// describe tells all that has to stay as it was of what lies at path.
func describe(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "nothing"
	}
	if err != nil {
		t.Fatal(err)
	}
	var content string
	switch {
	case info.Mode().IsRegular() && info.Size() < 1<<20:
		var data []byte
		data, err = os.ReadFile(path)
		content = string(data)
	case info.Mode()&fs.ModeSymlink != 0:
		content, err = os.Readlink(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fs.FormatFileInfo(info)[:len(info.Mode().String())] + " " + content
}

// list returns the names in a directory.
func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSave(t *testing.T) {
	d := openDir(t, t.TempDir())
	for run, want := range []*state.Ledger{throughLedger(), {}, ledgerOf(200)} {
		want.Run = uint64(run)
		if err := d.Save(want, noNames()); err != nil {
			t.Fatal(err)
		}
		got, err := d.Load()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, sameLedger); diff != "" {
			t.Errorf("loaded differs from saved (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff([]string{"instance", "ledger", "ledger.previous", "lock"}, list(t, d.paths.Dir)); diff != "" {
		t.Errorf("files in the directory (-want +got):\n%s", diff)
	}
}

func TestSavePermissions(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077, 0o777} {
		dir := t.TempDir()
		before := syscall.Umask(umask)
		d, err := at(dir).Open(time.Minute)
		if err == nil {
			err = d.Save(&state.Ledger{}, noNames())
			d.Close()
		}
		syscall.Umask(before)
		if err != nil {
			t.Fatal(err)
		}
		if got := permissions(t, filepath.Join(dir, ledgerName)); got != 0o600 {
			t.Errorf("with umask %03o the ledger has mode %03o, want 600", umask, got)
		}
		if got := permissions(t, filepath.Join(dir, lockName)); got&^0o600 != 0 {
			t.Errorf("with umask %03o the lock has mode %03o, want no more than 600", umask, got)
		}
	}
}

func permissions(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestSaveFails(t *testing.T) {
	t.Run("a directory in the ledger's place", func(t *testing.T) {
		d := openDir(t, t.TempDir())
		path := filepath.Join(d.paths.Dir, ledgerName)
		if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := d.Save(throughLedger(), noNames()); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got error %v, want one that names %s", err, path)
		}
		if diff := cmp.Diff([]string{"instance", "ledger", "lock"}, list(t, d.paths.Dir)); diff != "" {
			t.Errorf("files in the directory (-want +got):\n%s", diff)
		}
	})
	t.Run("the state directory is gone", func(t *testing.T) {
		d := openDir(t, filepath.Join(t.TempDir()))
		if err := os.RemoveAll(d.paths.Dir); err != nil {
			t.Fatal(err)
		}
		if err := d.Save(throughLedger(), noNames()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), d.paths.Dir) {
			t.Errorf("got error %v, want one that names %s", err, d.paths.Dir)
		}
		if got := describe(t, d.paths.Dir); got != "nothing" {
			t.Errorf("the directory has come back as %s", got)
		}
	})
}

func TestOpenWaits(t *testing.T) {
	dir := t.TempDir()
	first := openDir(t, dir)
	if _, err := at(dir).Open(30 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "lock "+dir) {
		t.Fatalf("while another one holds it: got error %v, want one about the lock", err)
	}
	if _, err := at(dir).Open(0); err == nil || !strings.Contains(err.Error(), "lock "+dir) {
		t.Fatalf("with no time to wait: got error %v, want one about the lock", err)
	}

	opened := make(chan error)
	go func() {
		second, err := at(dir).Open(time.Minute)
		if err == nil {
			second.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("two had the lock at once: %v", err)
	case <-time.After(50 * time.Millisecond): // Open has begun to wait, most likely
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("once it was given free: %v", err)
	}
}

// holdVariable names the directory that a child of this test is to hold.
const holdVariable = "STORE_TEST_HOLD"

// TestOpenAfterKill shows that no lock outlives the process that took it.
func TestOpenAfterKill(t *testing.T) {
	if dir := os.Getenv(holdVariable); dir != "" { // the child
		openDir(t, dir)
		os.Stdout.WriteString("held\n")
		select {}
	}
	dir := t.TempDir()
	child, out := startTest(t, "TestOpenAfterKill", holdVariable+"="+dir)
	said := make([]byte, len("held\n"))
	_, err := out.Read(said)
	_, held := at(dir).Open(0)
	child.Process.Kill()
	child.Wait()
	if err != nil || string(said) != "held\n" {
		t.Fatalf("the child said %q: %v", said, err)
	}
	if held == nil || !strings.Contains(held.Error(), "lock") {
		t.Errorf("while a child held it: got error %v, want one about the lock", held)
	}
	openDir(t, dir)
}

// startTest starts the child that [childTest] returns.
func startTest(t *testing.T, test, variable string) (*exec.Cmd, io.Reader) {
	t.Helper()
	child := childTest(t, test, variable)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return child, out
}

// childTest returns this binary as a command, for one test and with a variable that
// tells it that it is the child. There is none with -short, as for emulated
// processors: QEMU forks a process of many threads, and now and then that hangs.
func childTest(t *testing.T, test, variable string) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: starts no child")
	}
	child := exec.Command("/proc/self/exe", "-test.run=^"+test+"$", "-test.timeout=60s")
	child.Env = append(os.Environ(), variable)
	return child
}

func TestOpenRefuses(t *testing.T) {
	tests := map[string]func(dir string) (lock string, err error){
		"no directory": func(dir string) (string, error) { return filepath.Join(dir, "missing", lockName), nil },
		"a file in the directory's place": func(dir string) (string, error) {
			return filepath.Join(dir, "file", lockName), os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
		},
		"a directory in the lock's place": func(dir string) (string, error) {
			return filepath.Join(dir, lockName), os.Mkdir(filepath.Join(dir, lockName), 0o700)
		},
		"a link in the lock's place": func(dir string) (string, error) {
			return filepath.Join(dir, lockName), os.Symlink("elsewhere", filepath.Join(dir, lockName))
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			lock, err := prepare(dir)
			if err != nil {
				t.Fatal(err)
			}
			before := list(t, dir)
			if _, err := at(filepath.Dir(lock)).Open(time.Minute); err == nil || !strings.Contains(err.Error(), lock) {
				t.Errorf("got error %v, want one that names %s", err, lock)
			}
			if diff := cmp.Diff(before, list(t, dir)); diff != "" {
				t.Errorf("files in the directory (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSaveRefuses is about a ledger that Load would not take.
func TestSaveRefuses(t *testing.T) {
	d := openDir(t, t.TempDir())
	l := &state.Ledger{Settings: []string{strings.Repeat("x", maxLedger)}}
	if err := d.Save(l, noNames()); err == nil || !strings.Contains(err.Error(), filepath.Join(d.paths.Dir, ledgerName)) {
		t.Errorf("got error %v, want one that names the ledger", err)
	}
	if diff := cmp.Diff([]string{"instance", "lock"}, list(t, d.paths.Dir)); diff != "" {
		t.Errorf("files in the directory (-want +got):\n%s", diff)
	}
}
