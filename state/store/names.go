package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"network-metrics-exporter/state"
)

// The file of names is text for people, a line for each name:
//
//	IP|NAME|MAC|SOURCE
//
// IP and NAME are enough: the original wrote no more, and users need not. MAC is
// empty if the name is whoever's has the address, else IP is where the device was
// last; SOURCE is who told the name. Further fields are passed over.
const (
	namesName = "client-names.cache"
	wantLine  = `"IP|NAME"`
)

// maxNamesFile is the size beyond which a file is none of names, in bytes: version
// 2 kept 65,536 names.
const maxNamesFile = 32 << 20

// encodeNames returns the file of names.
func encodeNames(names []state.CachedName) []byte {
	var b bytes.Buffer
	for _, n := range names {
		fmt.Fprintf(&b, "%v|%s|%v|%s\n", n.Addr, n.Name, n.MAC, n.Source)
	}
	return b.Bytes()
}

// decodeNames reads what can be read, and tells of the rest in an error. Of two
// lines for one device, or for one address, the later one counts.
func decodeNames(file []byte) ([]state.CachedName, error) {
	var names []state.CachedName
	places := make(map[state.DeviceID]int)
	var bad, first, number int
	for line := range strings.Lines(string(file)) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, ok := decodeName(line)
		device := state.DeviceID{MAC: name.MAC}
		if name.MAC.IsZero() {
			device.Addr = name.Addr
		}
		at, known := places[device]
		switch {
		case ok && known:
			names[at] = name
		case ok && len(names) < state.MaxNames:
			places[device] = len(names)
			names = append(names, name)
		default:
			if bad++; bad == 1 {
				first = number
			}
		}
	}
	switch bad {
	case 0:
		return names, nil
	case 1:
		return names, fmt.Errorf("%w: line %d: want %s", errDamaged, first, wantLine)
	default:
		return names, fmt.Errorf("%w: line %d and %d more: want %s, on %d lines at most", errDamaged, first, bad-1, wantLine, state.MaxNames)
	}
}

func decodeName(line string) (name state.CachedName, ok bool) {
	fields := strings.Split(line, "|")
	if len(fields) < 2 {
		return name, false
	}
	addr, err := netip.ParseAddr(strings.TrimSpace(fields[0]))
	if err != nil || addr.Zone() != "" {
		return name, false
	}
	name = state.CachedName{Addr: addr.Unmap(), Name: state.CleanName(fields[1]), Source: state.FromCache}
	if len(fields) > 2 && fields[2] != "" {
		mac, err := net.ParseMAC(fields[2])
		if err != nil || len(mac) != len(name.MAC) {
			return name, false
		}
		name.MAC = state.MAC(mac)
	}
	if len(fields) > 3 {
		switch source := state.NameSource(fields[3]); source {
		case state.FromHosts, state.FromDHCP, state.FromDNS:
			name.Source = source
		}
	}
	return name, name.Name != ""
}

// namesFile is what a run knows of the file of names.
type namesFile struct {
	content []byte // as Names found it or Save wrote it
	err     error  // see NamesError
	unread  bool   // it could not be read this time, and is not to be replaced
}

// BadNamesError tells that names could not be read. The file as it was is kept
// under another name.
type BadNamesError struct{ Err error }

func (e *BadNamesError) Error() string {
	return fmt.Sprintf("%v: what cannot be read in it is left out", e.Err)
}

// Unwrap returns what is wrong with the file.
func (e *BadNamesError) Unwrap() error { return e.Err }

// Names reads the names that are remembered; it is what a state.NameCache loads
// from. A file with lines that cannot be read is moved out of the way and the
// others are written in its place, so that it is reported once, by NamesError.
func (d *Dir) Names() []state.CachedName {
	path := filepath.Join(d.paths.Dir, namesName)
	names, content, err := readNames(path)
	if isUnusable(err) {
		var report error
		if report, err = quarantine(path, err); err == nil {
			content = encodeNames(names)
			err = replaceLocked(path, 0o644, content)
			d.names.err = &BadNamesError{report}
		}
	}
	d.names.content = content
	if err != nil {
		d.names.err, d.names.unread = err, true
	}
	return names
}

// NamesError returns what went wrong when Names was last called: a *BadNamesError
// if the names that it returned are what can be read, and will be next time.
func (d *Dir) NamesError() error { return d.names.err }

// NamesReadOnly returns the names that can be read, without changing anything.
func (p Paths) NamesReadOnly() []state.CachedName {
	names, _, _ := readNames(filepath.Join(p.Dir, namesName))
	return names
}

// readNames returns the names and the file, neither if there is none. Beside an
// error that tells of bad lines come the names that could be read.
func readNames(path string) (names []state.CachedName, file []byte, err error) {
	file, err = read(path, maxNamesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err == nil {
		names, err = decodeNames(file)
	}
	if err != nil {
		err = fmt.Errorf("read %s: %w", path, err)
	}
	return names, file, err
}

// saveNames writes the file of names, if that changes it.
func (d *Dir) saveNames(l *state.Ledger, names *state.NameCache) error {
	if !names.Changed() || d.names.unread {
		return nil
	}
	content := encodeNames(names.Names(l))
	if bytes.Equal(content, d.names.content) {
		return nil
	}
	if err := replaceLocked(filepath.Join(d.paths.Dir, namesName), 0o644, content); err != nil {
		return err
	}
	d.names.content = content
	return nil
}
