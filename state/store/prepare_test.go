package store

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCheckOutput looks at everything that can be where a file is to be put.
func TestCheckOutput(t *testing.T) {
	for name, test := range map[string]struct {
		put  func(path string) error
		want string // in the error; empty: none
	}{
		"nothing":               {func(string) error { return nil }, ""},
		"a file":                {func(path string) error { return os.WriteFile(path, nil, 0o600) }, ""},
		"a link to a file":      {func(path string) error { return linkTo(path, nil) }, ""},
		"a link to nothing":     {func(path string) error { return os.Symlink("nowhere", path) }, ""},
		"a directory":           {func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory"},
		"a link to a directory": {func(path string) error { return os.Symlink(".", path) }, "is a directory"},
		"a link to a device":    {func(path string) error { return os.Symlink("/dev/null", path) }, "is a device"},
		"a link to itself":      {func(path string) error { return os.Symlink("output", path) }, "too many levels"},
		"a FIFO":                {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is a FIFO"},
		"a socket":              {func(path string) error { _, err := net.Listen("unix", path); return err }, "is a socket"},
		"a link through a file": {func(path string) error { return os.Symlink("/dev/null/x", path) }, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "output")
			if err := test.put(path); err != nil {
				t.Fatal(err)
			}
			err := CheckOutput(path)
			if test.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want one that names %s and %q", err, path, test.want)
			}
		})
	}
	if err := CheckOutput("/dev/null"); err == nil || err.Error() != "/dev/null is a device" {
		t.Errorf("/dev/null: error %v, want that it is a device", err)
	}
}

func TestMakeDirectories(t *testing.T) {
	for _, test := range []struct {
		paths     []string
		bad, want string // empty: no error
		left      []string
	}{
		{[]string{"new"}, "", "", []string{"file", "new", "old"}},
		{[]string{"new", "new/newer", "old"}, "", "", []string{"file", "new", "old"}},
		{[]string{"new", "file"}, "file", "not a directory", []string{"file", "old"}},
		{[]string{"new", "new/newer", "file/new"}, "file/new", "not a directory", []string{"file", "old"}},
		{[]string{"old", "missing/new"}, "missing/new", "no such file or directory", []string{"file", "old"}},
	} {
		dir := t.TempDir()
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "file"), nil, 0o600), os.Mkdir(filepath.Join(dir, "old"), 0o700)); err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, path := range test.paths {
			paths = append(paths, filepath.Join(dir, path))
		}
		bad, err := MakeDirectories(paths)
		if test.want == "" && (err != nil || bad != "") {
			t.Errorf("%q: %v about %q", test.paths, err, bad)
		}
		if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || bad != filepath.Join(dir, test.bad)) {
			t.Errorf("%q: error %v about %q, want %q about %q", test.paths, err, bad, test.want, test.bad)
		}
		if diff := cmp.Diff(test.left, list(t, dir)); diff != "" {
			t.Errorf("%q: files in the directory (-want +got):\n%s", test.paths, diff)
		}
	}
}
