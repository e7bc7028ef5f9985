package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReplace(t *testing.T) {
	tests := map[string]struct {
		before, perm fs.FileMode // before 0: no file
		umask        int
	}{
		"a new file":                  {perm: 0o644, umask: 0o022},
		"a new file, strict umask":    {perm: 0o644, umask: 0o777},
		"a new file, no umask":        {perm: 0o600},
		"over one that fewer can use": {before: 0o600, perm: 0o644, umask: 0o077},
		"over one that more can use":  {before: 0o666, perm: 0o600, umask: 0o022},
		"over one for reading only":   {before: 0o400, perm: 0o644, umask: 0o022},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file.prom")
			if test.before != 0 {
				if err := os.WriteFile(path, []byte("the old one, which is longer"), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(path, test.before); err != nil {
					t.Fatal(err)
				}
			}
			umask := syscall.Umask(test.umask)
			err := Replace(path, test.perm, content([]byte("the new one")))
			syscall.Umask(umask)
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != "the new one" {
				t.Errorf("got content %q (%v)", got, err)
			}
			if got := permissions(t, path); got != test.perm {
				t.Errorf("got mode %03o, want %03o", got, test.perm)
			}
			if diff := cmp.Diff([]string{"file.prom"}, list(t, filepath.Dir(path))); diff != "" {
				t.Errorf("files in the directory (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReplaceLink shows that a link is replaced: what it points to may belong to
// somebody else.
func TestReplaceLink(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "file.prom"), filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, 0o644, content([]byte("ours"))); err != nil {
		t.Fatal(err)
	}
	if got, want := describe(t, path), "-rw-r--r-- ours"; got != want {
		t.Errorf("in the link's place is %q, want %q", got, want)
	}
	if got, want := describe(t, target), "-rw------- not ours"; got != want {
		t.Errorf("what the link pointed to is %q, want %q", got, want)
	}
}

// TestReplaceIsAtomic reads while a file is replaced again and again: whoever
// reads has one content or the other, whole.
func TestReplaceIsAtomic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.prom")
	contents := [][]byte{bytes.Repeat([]byte("a"), 300_000), bytes.Repeat([]byte("b"), 200_000)}
	if err := Replace(path, 0o644, content(contents[0])); err != nil {
		t.Fatal(err)
	}
	stop, failure := make(chan struct{}), make(chan error)
	go func() {
		failure <- func() error {
			for {
				got, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				if !bytes.Equal(got, contents[0]) && !bytes.Equal(got, contents[1]) {
					return fmt.Errorf("%d bytes that begin with %.20q", len(got), got)
				}
				select {
				case <-stop:
					return nil
				default:
				}
			}
		}()
	}()
	for i := range 200 {
		if err := Replace(path, 0o644, content(contents[(i+1)%2])); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	if err := <-failure; err != nil {
		t.Errorf("a reader found neither content: %v", err)
	}
}

func TestReplaceFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "directory", "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := list(t, dir)
	for _, name := range []string{"directory", "missing/file.prom", "file/file.prom", strings.Repeat("long", 64)} {
		path := filepath.Join(dir, name)
		if err := Replace(path, 0o644, content([]byte("content"))); err == nil || !strings.HasPrefix(err.Error(), "replace "+path+": ") {
			t.Errorf("got error %v, want one that begins with replace %s", err, path)
		}
	}
	if diff := cmp.Diff(before, list(t, dir)); diff != "" {
		t.Errorf("files in the directory (-want +got):\n%s", diff)
	}
}

// content writes data.
func content(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// TestReplaceHalfWritten leaves the old file alone where the new one could not
// be written to its end, and no other file behind.
func TestReplaceHalfWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Replace(path, 0o644, content([]byte("the old one"))); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := Replace(path, 0o644, func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "the old one" {
		t.Errorf("the file has %d bytes: %.20q, %v", len(got), got, err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("files in the directory: %v, %v", files, err)
	}
}

// TestReplaceRemovesStaleTemps removes what is ours and old, and nothing else.
func TestReplaceRemovesStaleTemps(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file.prom")
	old, young := time.Now().Add(-time.Minute), time.Now().Add(-30*time.Second)
	for name, changed := range map[string]time.Time{
		".file.prom1":                   old,
		".file.prom9223372036854775807": time.Now().Add(time.Hour), // the wall clock has been set back
		".file.prom2":                   young,
		".file.prom":                    old,
		".file.prom3x":                  old,
		".file.prom-3":                  old,
		".other.prom1":                  old,
		"file.prom1":                    old,
	} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Chtimes(name, changed, changed)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".file.prom4"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file.prom1", filepath.Join(dir, ".file.prom5")); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, 0o644, content(nil)); err != nil {
		t.Fatal(err)
	}
	want := []string{".file.prom", ".file.prom-3", ".file.prom2", ".file.prom3x", ".file.prom4", ".file.prom5", ".other.prom1", "file.prom", "file.prom1"}
	if diff := cmp.Diff(want, list(t, dir)); diff != "" {
		t.Errorf("files in the directory (-want +got):\n%s", diff)
	}
	if err := replace(path, 0o644, content(nil), 0); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(list(t, dir), ".file.prom2") {
		t.Error("a temporary file that is stale at any age is left")
	}
}
