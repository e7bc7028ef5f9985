package dhcp

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"network-metrics-exporter/state"
)

// readLeases reads a lease file of any server, and what the server keeps beside it.
func readLeases(f *File, now state.Instant) []state.NameRecord {
	first, err := loadLeases(f.Path)
	if err != nil && first.text == "" {
		f.Err = err
		return nil
	}
	f.Format = first.format.name
	// The server renames a file to those beside it: they are opened after it, so
	// that no lease slips through, and parsed before it, as their leases are older.
	all, errs := []leaseFile{first}, []error{err}
	for _, suffix := range first.format.beside {
		older, err := loadLeases(f.Path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		all, errs = append(all, older), append(errs, err)
	}
	var t leaseTable
	for _, l := range slices.Backward(all) {
		if l.format.name != f.Format {
			continue
		}
		if err := l.format.parse(&t, l.text, now); err != nil {
			errs = append(errs, fmt.Errorf("parse %q: %w", l.path, err))
		}
	}
	f.Err = errors.Join(errs...)
	return t.records(first.format.newestLast)
}

// leaseFile is what was read of a lease file.
type leaseFile struct {
	path, text string
	format     format
}

// loadLeases reads a file and finds out its format. A file that is too large has
// both an error and a text.
func loadLeases(path string) (leaseFile, error) {
	l := leaseFile{path: path}
	f, size, err := open(path)
	if err != nil {
		return l, err
	}
	defer f.Close()
	l.text, err = load(f, size)
	if err != nil && l.text == "" {
		return l, fmt.Errorf("read %q: %w", path, err)
	}
	var known bool
	if l.format, known = detect(l.text); !known {
		l.text, err = "", unknownFormat(l.text)
		return l, fmt.Errorf("parse %q: %w", path, err)
	}
	if err != nil && l.format.newestLast {
		header, _, _ := strings.Cut(l.text, "\n")
		l.text, err = loadEnd(f, size)
		if l.format.header {
			l.text = header + "\n" + l.text
		}
	}
	if err != nil {
		err = fmt.Errorf("read %q: %w", path, err)
	}
	return l, err
}

// leaseTable has the newest lease of each address.
type leaseTable struct {
	leases map[netip.Addr]lease
	number int // of the lease put last
}

// lease is a record and its place in the order in which leases were put.
type lease struct {
	state.NameRecord
	number int
}

// put makes a lease that of its address, which has to be valid.
func (t *leaseTable) put(r state.NameRecord) {
	if r.Name == "" && r.MAC.IsZero() {
		t.end(r.Addr) // it says nothing
		return
	}
	if t.leases == nil {
		t.leases = make(map[netip.Addr]lease)
	}
	t.number++
	t.leases[r.Addr] = lease{r, t.number}
}

// end takes the lease of an address away.
func (t *leaseTable) end(addr netip.Addr) { delete(t.leases, addr) }

// records returns the leases in the order in which they were put, or the last one
// first.
func (t *leaseTable) records(lastFirst bool) []state.NameRecord {
	leases := make([]lease, 0, len(t.leases))
	for _, l := range t.leases {
		leases = append(leases, l)
	}
	slices.SortFunc(leases, func(a, b lease) int { return cmp.Compare(a.number, b.number) })
	if lastFirst {
		slices.Reverse(leases)
	}
	records := make([]state.NameRecord, len(leases))
	for i, l := range leases {
		records[i] = l.NameRecord
	}
	return records
}
