// Package store keeps the state on disk: a directory that one run at a time
// holds by a lock, and in it the ledger of the last run and the names of clients.
package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"network-metrics-exporter/state"
)

// Names of the files in the state directory.
const (
	lockName   = "lock"
	ledgerName = "ledger"
)

// maxLedger is the size beyond which a file is no ledger, in bytes: about
// twenty times that of one with 65,000 clients.
const maxLedger = 128 << 20

// Dir is a state directory that this process has locked.
type Dir struct {
	path  string
	lock  *os.File
	names []byte // the file of names as it is
}

// Open locks the state directory at path. If another run holds it, Open waits
// for as long as patience, and then gives an error that says so.
func Open(path string, patience time.Duration) (*Dir, error) {
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := own(lock, path); err != nil {
		lock.Close()
		return nil, err
	}
	if err := acquire(lock, patience); err != nil {
		lock.Close()
		return nil, err
	}
	return &Dir{path: path, lock: lock}, nil
}

// acquire waits for a lock, which ends with the process, however that ends: with
// flock(2) no lock is ever stale.
func acquire(lock *os.File, patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return &fs.PathError{Op: "lock", Path: lock.Name(), Err: err}
		case time.Now().After(deadline):
			return fmt.Errorf("lock %s: another run has held it for %v", lock.Name(), patience)
		}
	}
}

// Close gives the directory free.
func (d *Dir) Close() error { return d.lock.Close() }

// KeptAsideError tells that a file could not be used, and was kept under another
// name for whoever wants to look into it.
type KeptAsideError struct {
	Path string // where it is now
	Lost string // what that costs
	Err  error  // what is wrong with it
}

func (e *KeptAsideError) Error() string {
	return fmt.Sprintf("%v: %s; the file is kept as %s", e.Err, e.Lost, e.Path)
}

func (e *KeptAsideError) Unwrap() error { return e.Err }

// Load reads the ledger of the last run: an empty one if there is none yet. What
// is damaged or of a newer version is kept aside, so that it is reported once:
// Load then gives a ledger without it and a *KeptAsideError.
func (d *Dir) Load() (*state.Ledger, error) {
	var lost []error
	path := filepath.Join(d.path, ledgerName)
	l, err := readLedger(path)
	if errors.Is(err, errDamaged) || errors.Is(err, errNewer) {
		aside := path + ".damaged"
		if errors.Is(err, errNewer) {
			aside = path + ".newer"
		}
		lost = append(lost, &KeptAsideError{Path: aside, Lost: "totals start anew from the kernel's counters", Err: err})
		l, err = &state.Ledger{}, os.Rename(path, aside)
	}
	if err != nil {
		return nil, err
	}

	path = filepath.Join(d.path, namesName)
	l.Names, d.names, err = readNames(path)
	if errors.Is(err, errDamaged) {
		aside := path + ".damaged"
		lost = append(lost, &KeptAsideError{Path: aside, Lost: "what cannot be read in it is left out", Err: err})
		if d.names == nil {
			err = os.Rename(path, aside)
		} else if err = Replace(aside, 0o600, d.names); err == nil {
			// Now, or another run would report it again if this one fails.
			err = d.saveNames(l.Names)
		}
	}
	if err != nil {
		return nil, err
	}
	return l, errors.Join(lost...)
}

// Peek reads the ledger of the last run, an empty one if there is none, without
// a lock and without changing anything, for whoever only looks.
func Peek(path string) (*state.Ledger, error) {
	l, err := readLedger(filepath.Join(path, ledgerName))
	if err != nil {
		return nil, err
	}
	if l.Names, _, err = readNames(filepath.Join(path, namesName)); err != nil && !errors.Is(err, errDamaged) {
		return nil, err
	}
	return l, nil
}

// readLedger gives an empty ledger if there is none.
func readLedger(path string) (*state.Ledger, error) {
	data, err := read(path, maxLedger)
	if errors.Is(err, fs.ErrNotExist) {
		return &state.Ledger{}, nil
	}
	var l *state.Ledger
	if err == nil {
		l, err = decode(data)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return l, nil
}

// read gives the content of a file of no more than limit bytes.
func read(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: it is a symbolic link", errDamaged)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: it is no regular file", errDamaged)
	case info.Size() > limit:
		return nil, fmt.Errorf("%w: %d bytes are too many", errDamaged, info.Size())
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return data, nil
}

// Save puts the ledger in the place of the last run's. When it returns nil the
// ledger is on the disk to stay: a total may be published. The names are written
// first: a run that ends in between leaves names that the next one would have
// written again.
func (d *Dir) Save(l *state.Ledger) error {
	if l.Renamed {
		if err := d.saveNames(l.Names); err != nil {
			return err
		}
	}
	if err := Replace(filepath.Join(d.path, ledgerName), 0o600, encode(l)); err != nil {
		return err
	}
	// The rename itself has to survive a power cut, or the total of before
	// would come back after a higher one was published.
	dir, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
