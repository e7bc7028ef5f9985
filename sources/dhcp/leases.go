package dhcp

import (
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
	return t.leases(first.format.newestLast)
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
	if errors.Is(err, errTooLarge) && l.format.newestLast {
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
	records []state.NameRecord // in the order in which they were put; without Addr: superseded
	index   map[netip.Addr]int // where that of an address is
}

// makeRoom makes room for the leases of a file that has a line for each.
func (t *leaseTable) makeRoom(n int) {
	if t.index == nil {
		t.records = make([]state.NameRecord, 0, n)
		t.index = make(map[netip.Addr]int, n)
	}
}

// put makes a lease that of its address, which has to be valid.
func (t *leaseTable) put(r state.NameRecord) {
	t.end(r.Addr)
	if r.Name == "" && r.MAC.IsZero() {
		return // it says nothing
	}
	if t.index == nil {
		t.index = make(map[netip.Addr]int)
	}
	t.index[r.Addr] = len(t.records)
	t.records = append(t.records, r)
}

// end takes the lease of an address away.
func (t *leaseTable) end(addr netip.Addr) {
	if i, ok := t.index[addr]; ok {
		t.records[i] = state.NameRecord{}
		delete(t.index, addr)
	}
	// What a server appends to may say the same for ever.
	if len(t.records) > 2*len(t.index)+1024 {
		t.compact()
	}
}

// compact removes what was superseded.
func (t *leaseTable) compact() {
	t.records = slices.DeleteFunc(t.records, isSuperseded)
	for i, r := range t.records {
		t.index[r.Addr] = i
	}
}

func isSuperseded(r state.NameRecord) bool { return !r.Addr.IsValid() }

// leases returns the leases in the order in which they were put, or the last one
// first. It is the last thing that is done with the table.
func (t *leaseTable) leases(lastFirst bool) []state.NameRecord {
	records := slices.DeleteFunc(t.records, isSuperseded)
	if lastFirst {
		slices.Reverse(records)
	}
	return records
}
