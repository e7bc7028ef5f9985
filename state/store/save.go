package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"network-metrics-exporter/state"
)

// Save leaves a ledger to the next run, and new names before it. When it returns
// nil, what the ledger says may be published: no run will find less.
func (d *Dir) Save(l *state.Ledger, names *state.NameCache) error {
	if err := d.saveNames(l, names); err != nil {
		return err
	}
	file := encode(l)
	if len(file) > maxLedger {
		return fmt.Errorf("replace %s: %d bytes are too many", d.paths.ledger(), len(file))
	}
	save := d.saveThrough
	if d.paths.Interval > 0 {
		save = d.saveVolatile
	}
	if err := save(l, file); err != nil {
		return err
	}
	return d.removeOutdated()
}

// saveThrough replaces the ledger in the state directory, and the one before it with
// a copy if that will not do in its place.
func (d *Dir) saveThrough(l *state.Ledger, file []byte) error {
	var err error
	if l.Twice {
		err = replaceDurably(d.paths.previous(), file)
	} else {
		err = d.keepPrevious()
	}
	if err != nil {
		return err
	}
	d.outdated = append(d.outdated, d.paths.volatile(d.instance))
	return replaceDurably(d.paths.ledger(), file)
}

// saveVolatile replaces the ledger in the runtime directory, and that in the state
// directory if this one is a checkpoint or the last checkpoint did not get there.
func (d *Dir) saveVolatile(l *state.Ledger, file []byte) error {
	paths := []string{d.paths.volatile(d.instance)}
	if l.IsCheckpoint() || d.unsaved {
		paths = append(paths, d.paths.previous(), d.paths.ledger())
	}
	for _, path := range paths {
		if err := replaceDurably(path, file); err != nil {
			return err
		}
	}
	d.unsaved = false
	return nil
}

// keepPrevious gives the ledger in the state directory its second name. Where there
// is none, the ledger before it stays.
func (d *Dir) keepPrevious() error {
	ledger, previous := d.paths.ledger(), d.paths.previous()
	err := os.Link(ledger, previous)
	if errors.Is(err, fs.ErrExist) {
		if err = os.Remove(previous); err != nil {
			_, err = quarantine(previous, errDamaged)
		}
		if err == nil {
			err = os.Link(ledger, previous)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EPERM), errors.Is(err, errors.ErrUnsupported):
		return nil // the file system has no links
	default:
		return err
	}
}

// removeOutdated removes ledgers that are older than the one that was saved.
func (d *Dir) removeOutdated() error {
	for _, path := range d.outdated {
		err := os.Remove(path)
		if err == nil {
			err = syncDir(filepath.Dir(path))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	d.outdated = nil
	return nil
}
