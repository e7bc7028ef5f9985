package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"network-metrics-exporter/state"
)

// The file of names is text for people, a line for each name:
//
//	IP|NAME|MAC|SOURCE
//
// IP and NAME are enough: the original wrote no more, and users need not. MAC is
// empty if the name is whoever's has the address; SOURCE is who told it. Further
// fields are passed over.
const (
	namesName = "client-names.cache"
	wantLine  = `"IP|NAME"`
)

// maxNamesFile is the size beyond which a file is none of names, in bytes: half
// as much again as the longest names of state.MaxNames clients take.
const maxNamesFile = 32 << 20

// encodeNames gives the file of names.
func encodeNames(names map[state.Bearer]state.Name) []byte {
	var b bytes.Buffer
	for _, bearer := range slices.SortedFunc(maps.Keys(names), state.Bearer.Compare) {
		name := names[bearer]
		fmt.Fprintf(&b, "%v|%s|%v|%s\n", bearer.Addr, name.Text, bearer.MAC, name.Source)
	}
	return b.Bytes()
}

// decodeNames reads what can be read, and tells of the rest in an error. Of two
// lines for one bearer the later one counts.
func decodeNames(file []byte) (map[state.Bearer]state.Name, error) {
	names := make(map[state.Bearer]state.Name)
	var bad, first, number int
	for line := range strings.Lines(string(file)) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		bearer, name, ok := decodeName(line)
		if _, known := names[bearer]; !ok || !known && len(names) >= state.MaxNames {
			if bad++; bad == 1 {
				first = number
			}
			continue
		}
		names[bearer] = name
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

func decodeName(line string) (bearer state.Bearer, name state.Name, ok bool) {
	fields := strings.Split(line, "|")
	if len(fields) < 2 {
		return bearer, name, false
	}
	addr, err := netip.ParseAddr(strings.TrimSpace(fields[0]))
	if err != nil || addr.Zone() != "" {
		return bearer, name, false
	}
	bearer.Addr = addr.Unmap()
	name = state.Name{Text: state.CleanName(fields[1]), Source: state.FromCache}
	if len(fields) > 2 && fields[2] != "" {
		mac, err := net.ParseMAC(fields[2])
		if err != nil || len(mac) != len(bearer.MAC) {
			return bearer, name, false
		}
		bearer.MAC = state.MAC(mac)
	}
	if len(fields) > 3 {
		switch source := state.NameSource(fields[3]); source {
		case state.FromHosts, state.FromDHCP, state.FromDNS:
			name.Source = source
		}
	}
	return bearer, name, name.Text != ""
}

// BadNamesError tells that names could not be read. The file as it was is kept
// under another name.
type BadNamesError struct{ Err error }

func (e *BadNamesError) Error() string {
	return fmt.Sprintf("%v: what cannot be read in it is left out", e.Err)
}

func (e *BadNamesError) Unwrap() error { return e.Err }

// LoadNames reads the names that are remembered. A file with lines that cannot be
// read is moved aside and the others are written in its place, so that it is
// reported once: LoadNames then gives these and a *BadNamesError.
func (d *Dir) LoadNames() (map[state.Bearer]state.Name, error) {
	path := filepath.Join(d.path, namesName)
	names, file, err := readNames(path)
	if !unusable(err) {
		d.names = file
		return names, err
	}
	if err = keepAside(path, err); !errors.As(err, new(*keptAsideError)) {
		return nil, err
	}
	if err := d.saveNames(names); err != nil {
		return nil, err
	}
	return names, &BadNamesError{err}
}

// readNames gives the names and the file, neither if there is none. Beside an
// error that tells of bad lines come the names that could be read.
func readNames(path string) (names map[state.Bearer]state.Name, file []byte, err error) {
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
func (d *Dir) saveNames(names map[state.Bearer]state.Name) error {
	file := encodeNames(names)
	if bytes.Equal(file, d.names) {
		return nil
	}
	err := replaceLocked(filepath.Join(d.path, namesName), 0o644, file)
	if err == nil {
		d.names = file
	}
	return err
}
