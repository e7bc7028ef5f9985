package store

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"network-metrics-exporter/state"
)

// TestInstance makes an ID once and keeps it.
func TestInstance(t *testing.T) {
	dir := t.TempDir()
	if got := InstanceAt(dir); got != "" {
		t.Errorf("before there is one it is %q", got)
	}
	umask := syscall.Umask(0o077)
	d := openDir(t, dir)
	syscall.Umask(umask)
	first := d.Instance()
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(first) {
		t.Errorf("the ID is %q", first)
	}
	if got, want := describe(t, filepath.Join(dir, instanceName)), "-rw-r--r-- "+first+"\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	if again := openAgain(t, d).Instance(); again != first || InstanceAt(dir) != first {
		t.Errorf("then it is %q and %q, was %q", again, InstanceAt(dir), first)
	}
	if other := openDir(t, t.TempDir()).Instance(); other == first {
		t.Errorf("another installation has the same ID")
	}
}

// TestInstanceDamaged makes a new ID, and tells that the old one is gone.
func TestInstanceDamaged(t *testing.T) {
	for name, content := range map[string]string{
		"empty":     "",
		"too short": "0123456789abcdef\n",
		"too long":  "0123456789abcdef0123456789abcdef00\n",
		"no digits": "0123456789abcdef0123456789abcdeg\n",
		"two lines": "0123456789abcdef0123456789abcdef\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, instanceName)
			if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), os.WriteFile(filepath.Join(dir, ledgerName), encode(throughLedger()), 0o600)); err != nil {
				t.Fatal(err)
			}
			d := openDir(t, dir)
			l, err := d.Load()
			if l.Run != throughLedger().Run || l.Recovered || !errors.As(err, new(*LostError)) || !strings.Contains(err.Error(), path+": file is damaged: want 32 hexadecimal digits: it is kept as "+path+".damaged: nothing is lost") {
				t.Errorf("run %d, error %v", l.Run, err)
			}
			if got := InstanceAt(dir); got == "" || got != d.Instance() {
				t.Errorf("the new ID is %q, that in the file %q", d.Instance(), got)
			}
			if _, err := d.Load(); err != nil {
				t.Errorf("the second time: %v", err)
			}
		})
	}
}

// TestSharedRuntime has two installations share a runtime directory, as two
// containers do: each has its own ledger there, by whatever path it is found.
func TestSharedRuntime(t *testing.T) {
	dir, runtime := t.TempDir(), t.TempDir()
	paths := []Paths{{Dir: filepath.Join(dir, "a")}, {Dir: filepath.Join(dir, "b")}}
	for i := range paths {
		paths[i].Runtime, paths[i].Interval = runtime, time.Minute
		if err := os.Mkdir(paths[i].Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		save(t, paths[i], numbered(uint64(10+i), uint64(10+i)))
	}
	if names := list(t, runtime); len(names) != 2 {
		t.Errorf("in the runtime directory are %q", names)
	}
	if err := os.Symlink("b", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	link := paths[1]
	link.Dir = filepath.Join(dir, "link")
	for i, p := range append(paths, link) {
		want := uint64(10 + min(i, 1))
		if l, err := p.LoadReadOnly(); err != nil || l.Run != want {
			t.Errorf("%s: run %d, %v, want %d", p.Dir, l.Run, err, want)
		}
	}
}

// save is a run that leaves a ledger.
func save(t *testing.T, p Paths, l *state.Ledger) {
	t.Helper()
	d, err := p.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Load(); err != nil {
		t.Fatal(err)
	}
	if err := d.Save(l, noNames()); err != nil {
		t.Fatal(err)
	}
}
