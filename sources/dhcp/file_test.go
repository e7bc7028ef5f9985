package dhcp

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
)

// A parseTest is a file, what it assigns, and the error that tells of the rest.
type parseTest struct {
	name string
	file string
	want []state.Assignment
	err  string
}

func testParse(t *testing.T, parse func(io.Reader) ([]state.Assignment, error), tests []parseTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(strings.NewReader(tt.file))
			if diff := cmp.Diff(tt.err, message(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, got, equal); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("\n\nsecret\nbad line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		read func(string) ([]state.Assignment, error)
		path string
		want string
	}{
		{"FIFO", ReadLeases, fifo, `read lease file "` + fifo + `": not a regular file`},
		{"directory", ReadHosts, dir, `read hosts file "` + dir + `": not a regular file`},
		{"device", ReadLeases, "/dev/zero", `read lease file "/dev/zero": not a regular file`},
		{"leases", ReadLeases, bad, `parse lease file "` + bad + `": line 3 and 1 more: want "EXPIRY MAC IP NAME CLIENTID"`},
		{"hosts", ReadHosts, bad, `parse hosts file "` + bad + `": line 4: want "IP NAME" or "MAC,NAME,IP"`},
		{"missing", ReadLeases, dir + "/none", "open " + dir + "/none: no such file or directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			names, err := tt.read(tt.path)
			if diff := cmp.Diff(tt.want, message(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if len(names) > 0 {
				t.Errorf("got %v", names)
			}
		})
	}
}

func TestReadMissing(t *testing.T) {
	for _, read := range []func(string) ([]state.Assignment, error){ReadLeases, ReadHosts} {
		if _, err := read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want fs.ErrNotExist", err)
		}
	}
}

// TestParseUnreadable has a disk fail in the middle of a line.
func TestParseUnreadable(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("bad line\n192.168.77.1 a\n192.168.77.2 b"), iotest.ErrReader(syscall.EIO))
	got, err := parseHosts(broken)
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("got error %v, want %v", err, syscall.EIO)
	}
	if diff := cmp.Diff([]state.Assignment{static("192.168.77.1", "", "a")}, got, equal); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// repeat is a file without end. It counts what is read of it.
type repeat struct {
	text string
	read int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], r.text[(r.read+n)%len(r.text):])
	}
	r.read += n
	return n, nil
}

func TestParseBounded(t *testing.T) {
	const (
		size  = 100 << 20
		lease = "1795421785 02:00:5e:10:00:01 192.168.77.176 phone *\n"
	)
	tests := []struct {
		name  string
		parse func(io.Reader) ([]state.Assignment, error)
		text  string
		want  int    // names
		alloc uint64 // bytes
	}{
		{"one line", parseLeases, "x", 0, 1 << 20},
		{"empty lines", parseLeases, "\n", 0, 1 << 20},
		{"leases", parseLeases, lease, maxFile / len(lease), 256 << 20},
		{"one line of Kea", parseKea, "x", 0, 1 << 20},
		{"one lease of Kea", parseKea, "address,hostname\n10.0.0.1,a\n", 1, 256 << 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := &repeat{text: tt.text}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			names, err := tt.parse(io.LimitReader(file, size))
			runtime.ReadMemStats(&after)

			if !errors.Is(err, errTooLarge) {
				t.Errorf("got error %v, want %v", err, errTooLarge)
			}
			if len(names) != tt.want {
				t.Errorf("got %d names, want %d", len(names), tt.want)
			}
			if file.read > maxFile+1 {
				t.Errorf("read %d bytes, want no more than %d", file.read, maxFile+1)
			}
			if alloc := after.TotalAlloc - before.TotalAlloc; alloc > tt.alloc {
				t.Errorf("allocated %d bytes, want no more than %d", alloc, tt.alloc)
			}
		})
	}
}

func TestParseLargest(t *testing.T) {
	for size, want := range map[int64]error{maxFile: nil, maxFile + 1: errTooLarge} {
		if _, err := parseHosts(io.LimitReader(&repeat{text: "# comment\n"}, size)); !errors.Is(err, want) {
			t.Errorf("%d bytes: got error %v, want %v", size, err, want)
		}
	}
}

// checkError holds that an error tells where it is and quotes nothing.
func checkError(t *testing.T, err error) {
	t.Helper()
	form := regexp.MustCompile(`^line [1-9][0-9]*( and [1-9][0-9]* more)?: want "[A-Z]+[A-Z ",or]+"( and all columns of the first line)?$`)
	if err != nil && !form.MatchString(err.Error()) {
		t.Errorf("got error %q", err)
	}
}

// checkNames holds what every assignment promises.
func checkNames(t *testing.T, names []state.Assignment) {
	t.Helper()
	for _, a := range names {
		if a.Name == "" || !a.Addr.IsValid() && a.MAC.IsZero() || a.Addr.Zone() != "" || a.Addr.Is4In6() {
			t.Errorf("got %+v", a)
		}
	}
}
