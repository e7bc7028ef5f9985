// Package store keeps the state on disk.
//
// The state directory is locked by one run at a time. In it are
//
//	lock               what the lock is on
//	instance           an ID of this installation, made once
//	ledger             the last ledger, or with checkpoints the last checkpoint
//	ledger.previous    the one before it, or a copy of the checkpoint
//	client-names.cache names, as text
//
// With checkpoints the last ledger is in the runtime directory instead, which a
// reboot empties: ledger-ID, by the ID of the instance, so that several can share
// that directory.
//
// # Order
//
// Nothing is published that a later run would not know of: a run saves first.
// Save writes, each whole and to stay before the next begins,
//
//  1. names, if there are new ones: if the run ends here, the next one learns them
//     again;
//  2. ledger, unless it is kept in the runtime directory until the next checkpoint.
//     Before that the name ledger.previous is given to what ledger is; after it, if
//     the one before will not do in its place (state.Ledger.Twice), to a copy;
//  3. with checkpoints ledger-ID; without them ledger-ID is removed.
//
// At every moment one of ledger and ledger.previous is there, whole. A checkpoint
// that no ledger-ID is with was written by a run that published more since, or by
// one whose successors did: Load says so in Ledger.Recovered. One that is newer
// than ledger-ID was written by a run that ended before it published anything.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Names of the files in the state directory.
const (
	lockName     = "lock"
	ledgerName   = "ledger"
	previousName = "ledger.previous"
)

// Paths says where the state is kept.
type Paths struct {
	Dir string // the state directory
	// Runtime is the directory, emptied by a reboot, that has the ledger if
	// Interval says so. It need not exist otherwise.
	Runtime string
	// Interval is the time between checkpoints. 0: every ledger goes to Dir.
	Interval time.Duration
}

// Dir is a state directory that this process has locked.
type Dir struct {
	paths    Paths
	lock     *os.File
	instance string
	damage   []error  // what is wrong with files that Load does not read
	unsaved  bool     // Load found no ledger in the state directory
	outdated []string // files that the first Save does away with
	names    namesFile
}

// Open locks the state directory. If another run holds it, Open waits for as long
// as lockTimeout, and then returns an error that says so.
func (p Paths) Open(lockTimeout time.Duration) (*Dir, error) {
	lock, err := os.OpenFile(filepath.Join(p.Dir, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	d := &Dir{paths: p, lock: lock}
	err = acquire(lock, lockTimeout)
	if err == nil {
		err = d.identify()
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

// acquire waits for a lock, which ends with the process, however that ends: with
// flock(2) no lock is ever stale.
func acquire(lock *os.File, timeout time.Duration) error {
	for deadline := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return &fs.PathError{Op: "lock", Path: lock.Name(), Err: err}
		case time.Now().After(deadline):
			return fmt.Errorf("lock %s: another run has held it for %v", lock.Name(), timeout)
		}
	}
}

// Close unlocks the directory.
func (d *Dir) Close() error { return d.lock.Close() }

// Instance returns the ID of this installation: 32 hexadecimal digits, which are
// random and stay the same for as long as the state directory is kept.
func (d *Dir) Instance() string { return d.instance }

// ledger returns the path of the ledger that stays.
func (p Paths) ledger() string { return filepath.Join(p.Dir, ledgerName) }

// previous returns the path of the one before it.
func (p Paths) previous() string { return filepath.Join(p.Dir, previousName) }

// volatile returns the path of the ledger that a reboot takes away.
func (p Paths) volatile(instance string) string {
	return filepath.Join(p.Runtime, ledgerName+"-"+instance)
}
