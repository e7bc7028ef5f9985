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
// Save replaces, each as a whole and to stay before the next one,
//
//  1. client-names.cache, if there are new names: if the run ends here, the next
//     one learns them again;
//
// and then, without checkpoints,
//
//  2. ledger, after ledger.previous has become another name of what it was, or if
//     that will not do in its place (state.Ledger.Twice) a copy. What is in the
//     runtime directory is older now, and goes.
//
// or with checkpoints
//
//  2. ledger-ID. If the run ends here, the next one goes on from it, and finds that
//     the checkpoint that it relies on is not there yet;
//  3. at a checkpoint ledger.previous and ledger, with the same content.
//
// At every moment one of ledger and ledger.previous is there, whole. A checkpoint
// that no ledger-ID is with may have been followed by ledgers that were published:
// Load says so in Ledger.Recovered, as it does of ledger.previous.
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
	unsaved  bool     // the last checkpoint is not in the state directory
	outdated []string // files that the first Save does away with
	flowFile uint64   // that of the ledger before the next one
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
