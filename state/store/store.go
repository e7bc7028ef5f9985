// Package store keeps the state on disk: a directory that one run at a time
// holds by a lock, and in it the ledger of the last run.
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
	path string
	lock *os.File
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
	return &Dir{path, lock}, nil
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

// KeptAsideError tells that the ledger could not be used, and was kept under
// another name for whoever wants to look into it.
type KeptAsideError struct {
	Path string // where it is now
	Err  error  // what is wrong with it
}

func (e *KeptAsideError) Error() string {
	return fmt.Sprintf("%v: totals start anew from the kernel's counters; the file is kept as %s", e.Err, e.Path)
}

func (e *KeptAsideError) Unwrap() error { return e.Err }

// Load reads the ledger of the last run: an empty one if there is none yet. One
// that is damaged or of a newer version is moved aside, so that it is reported
// once: Load then gives an empty ledger and a *KeptAsideError.
func (d *Dir) Load() (*state.Ledger, error) {
	path := filepath.Join(d.path, ledgerName)
	data, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &state.Ledger{}, nil
	}
	var l *state.Ledger
	if err == nil {
		l, err = decode(data)
	}
	suffix := ".damaged"
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, errNewer):
		suffix = ".newer"
	case !errors.Is(err, errDamaged):
		return nil, err
	}
	if err := os.Rename(path, path+suffix); err != nil {
		return nil, err
	}
	return &state.Ledger{}, &KeptAsideError{Path: path + suffix, Err: fmt.Errorf("read %s: %w", path, err)}
}

// Peek reads the ledger of the last run, an empty one if there is none, without
// a lock and without changing anything, for whoever only looks.
func Peek(path string) (*state.Ledger, error) {
	path = filepath.Join(path, ledgerName)
	data, err := read(path)
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

// read gives the content of a file that is no larger than a ledger can be.
func read(path string) ([]byte, error) {
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
	case info.Size() > maxLedger:
		return nil, fmt.Errorf("%w: %d bytes are too many", errDamaged, info.Size())
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return data, nil
}

// Save puts the ledger in the place of the last run's. When it returns nil the
// ledger is on the disk to stay: a total may be published.
func (d *Dir) Save(l *state.Ledger) error {
	err := Replace(filepath.Join(d.path, ledgerName), 0o600, func(w io.Writer) error {
		_, err := w.Write(encode(l))
		return err
	})
	if err != nil {
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
