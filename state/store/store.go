// Package store keeps the state on disk: a directory that one run at a time
// holds by a lock, and in it the ledger of the last run, or a checkpoint of those
// that are kept in memory, and the names of clients.
package store

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"network-metrics-exporter/state"
)

// Names of the files in the state directory.
const (
	lockName       = "lock"
	ledgerName     = "ledger"
	checkpointName = "checkpoint"
)

// maxLedger is the size beyond which a file is no ledger, in bytes: about
// ten times that of one with as many clients as are remembered.
const maxLedger = 128 << 20

// writtenThrough is the time between checkpoints where every ledger reaches the
// disk, and a checkpoint is for the day on which one is damaged.
const writtenThrough = 10 * time.Minute

// Place says where the state is kept.
type Place struct {
	Dir string // the state directory
	// Runtime is the directory, emptied by a reboot, that has the ledger if
	// Interval says so. It need not exist otherwise.
	Runtime string
	// Interval is the time between checkpoints. 0: every ledger goes to Dir.
	Interval time.Duration
}

// Dir is a state directory that this process has locked.
type Dir struct {
	path string
	lock *os.File
	// ledger is where this run leaves its ledger, other where runs with another
	// interval leave theirs.
	ledger, other string
	interval      time.Duration // between checkpoints
	checkpoint    *state.Ledger // what Load or Save read, or Save wrote
	unread        bool          // there is a checkpoint, which Load had no need to read
	names         []byte        // the file of names, as LoadNames found it or Save wrote it
}

// Open locks the state directory. If another run holds it, Open waits for as long
// as patience, and then gives an error that says so.
func (p Place) Open(patience time.Duration) (*Dir, error) {
	durable, volatile := p.ledgers()
	d := &Dir{path: p.Dir, ledger: durable, other: volatile, interval: writtenThrough}
	if p.Interval > 0 {
		d.ledger, d.other, d.interval = volatile, durable, p.Interval
	}
	lock, err := os.OpenFile(filepath.Join(p.Dir, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := own(lock, p.Dir); err != nil {
		lock.Close()
		return nil, err
	}
	if err := acquire(lock, patience); err != nil {
		lock.Close()
		return nil, err
	}
	d.lock = lock
	return d, nil
}

// ledgers gives the paths that a ledger can have: in the state directory and on
// the runtime directory, where others may have theirs. That one is named after
// the state directory, whatever path leads there.
func (p Place) ledgers() (durable, volatile string) {
	dir := p.Dir
	// Where these fail, so does whatever is done with the directory.
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	digest := fnv.New64a()
	digest.Write([]byte(dir))
	return filepath.Join(p.Dir, ledgerName), filepath.Join(p.Runtime, fmt.Sprintf("%s-%016x", ledgerName, digest.Sum64()))
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

// LostError tells that files of the state were gone or could not be used. Those
// are kept under other names for whoever wants to look into them.
type LostError struct {
	Errs []error       // what is wrong with the files
	From *state.Ledger // what there is to go on from; nil: nothing
}

func (e *LostError) Error() string {
	var said []string
	for _, err := range e.Errs {
		said = append(said, err.Error())
	}
	outcome := "nothing is lost"
	switch {
	case e.From == nil:
		outcome = "totals start anew from the kernel's counters"
	case e.From.Ceilings:
		outcome = "totals go on from the checkpoint of " + e.From.Wall.Format(time.RFC3339)
	}
	return strings.Join(append(said, outcome), ": ")
}

func (e *LostError) Unwrap() []error { return e.Errs }

// Load reads the ledger of the last run: the newest that there is, an empty one
// if there is none yet. Files that cannot be used are moved aside, so that they
// are reported once: Load then gives the ledger to go on from and a *LostError,
// as it does if there is nothing newer than the checkpoint.
func (d *Dir) Load() (*state.Ledger, error) {
	var last *state.Ledger
	var bad []error
	for _, path := range []string{d.ledger, d.other, filepath.Join(d.path, checkpointName)} {
		var l *state.Ledger
		err := d.passBy(path, last)
		if err == nil && !d.unread {
			l, err = load(path)
		}
		if unusable(err) {
			if err = keepAside(path, err); errors.As(err, new(*keptAsideError)) {
				bad = append(bad, err)
				continue
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		last = newer(last, l)
		if l != nil && l.Ceilings {
			d.checkpoint = l
		}
	}
	if last != nil && last.Ceilings && len(bad) == 0 {
		bad = append(bad, fmt.Errorf("no %s", d.ledger))
	}
	var err error
	if len(bad) > 0 {
		err = &LostError{bad, last}
	}
	if last == nil {
		last = &state.Ledger{}
		if err != nil {
			last.Losses = 1
		}
	}
	return last, err
}

// Peek reads the ledger of the last run, an empty one if there is none, without
// a lock and without changing anything, for whoever only looks.
func (p Place) Peek() (*state.Ledger, error) {
	durable, volatile := p.ledgers()
	var last *state.Ledger
	var bad error
	for _, path := range []string{durable, volatile, filepath.Join(p.Dir, checkpointName)} {
		l, err := load(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			bad = err
		}
		last = newer(last, l)
	}
	if last == nil && bad == nil {
		last = &state.Ledger{}
	}
	if last == nil {
		return nil, bad
	}
	var err error
	if last.Names, _, err = readNames(filepath.Join(p.Dir, namesName)); err != nil && !unusable(err) {
		return nil, err
	}
	return last, nil
}

// newer gives the newer of two ledgers, which may be nil: within a boot the clock
// tells, also where runs did not know of each other. Of two that are of the same
// run the first one says more: the other is its checkpoint.
func newer(a, b *state.Ledger) *state.Ledger {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.Boot == b.Boot && b.Uptime > a.Uptime, a.Boot != b.Boot && b.Run > a.Run:
		return b
	default:
		return a
	}
}

// passBy looks at the checkpoint and leaves it unread if there is a newer ledger:
// in large networks it takes as much memory as that.
func (d *Dir) passBy(path string, last *state.Ledger) error {
	if last == nil || path != filepath.Join(d.path, checkpointName) {
		return nil
	}
	data, err := read(path, maxLedger)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	head, err := decodeHead(data)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	d.unread = newer(last, head) == last
	return nil
}

// load reads one ledger.
func load(path string) (*state.Ledger, error) {
	data, err := read(path, maxLedger)
	var l *state.Ledger
	if err == nil {
		l, err = decode(data)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return l, nil
}

// unusable reports whether an error of load would come again.
func unusable(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, errNewer) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EIO)
}

// keptAsideError tells what is wrong with a file and where it is now.
type keptAsideError struct {
	path string
	err  error
}

func (e *keptAsideError) Error() string { return fmt.Sprintf("%v: it is kept as %s", e.err, e.path) }
func (e *keptAsideError) Unwrap() error { return e.err }

// keepAside moves a file out of the way for what is wrong with it. It gives a
// *keptAsideError, or another one if that failed.
func keepAside(path string, wrong error) error {
	suffix := ".damaged"
	if errors.Is(wrong, errNewer) {
		suffix = ".newer"
	}
	aside := path + suffix
	err := os.Rename(path, aside)
	// Where something lies that a rename cannot replace, such as a directory,
	// there is another name.
	for n := 2; err != nil && n < 10 && !errors.Is(err, fs.ErrPermission); n++ {
		aside = fmt.Sprint(path, suffix, n)
		err = os.Rename(path, aside)
	}
	if err != nil {
		return err
	}
	return &keptAsideError{aside, wrong}
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

// Save puts the ledger in the place of the last run's, and makes a checkpoint if
// it is time or the last one does not cover the ledger. When it returns nil, what
// the ledger says may be published: no run will find less. Names that are new are
// written first: if a run ends in between, the next one would only write the same.
func (d *Dir) Save(l *state.Ledger) error {
	if l.Renamed {
		if err := d.saveNames(l.Names); err != nil {
			return err
		}
	}
	if err := d.put(d.ledger, l); err != nil {
		return err
	}
	if d.unread {
		// If it cannot be read, a new one takes its place.
		d.checkpoint, _ = load(filepath.Join(d.path, checkpointName))
		d.unread = false
	}
	c := d.checkpoint
	if c == nil || c.Boot != l.Boot || l.Uptime < c.Uptime || l.Uptime-c.Uptime >= d.interval || !c.Covers(l) {
		c = l.Checkpoint(c, d.interval)
		if err := d.put(filepath.Join(d.path, checkpointName), c); err != nil {
			return err
		}
		d.checkpoint = c
	}
	err := os.Remove(d.other)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(d.other))
}

// put replaces one ledger on the disk, to stay.
func (d *Dir) put(path string, l *state.Ledger) error {
	data := encode(l)
	if len(data) > maxLedger {
		return fmt.Errorf("replace %s: %d bytes are too many", path, len(data))
	}
	if err := replaceLocked(path, 0o600, data); err != nil {
		return err
	}
	// The rename itself has to survive a power cut, or the total of before
	// would come back after a higher one was published.
	return syncDir(filepath.Dir(path))
}

// syncDir brings to the disk what was renamed or removed in a directory.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
