package dhcp

import (
	"errors"
	"io"
	"regexp"
	"runtime"
	"testing"

	"network-metrics-exporter/state"
)

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
		text  string
		want  int    // names
		alloc uint64 // bytes
	}{
		{"one line", "x", 0, 1 << 20},
		{"empty lines", "\n", 0, 1 << 20},
		{"leases", lease, maxFile / len(lease), 256 << 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := &repeat{text: tt.text}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			names, err := parseLeases(io.LimitReader(file, size))
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

// checkError holds that an error tells where it is and quotes nothing.
func checkError(t *testing.T, err error) {
	t.Helper()
	form := regexp.MustCompile(`^line [1-9][0-9]*( and [1-9][0-9]* more)?: want "[A-Z]+[A-Z ",or]+"$`)
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
