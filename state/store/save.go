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
		return fmt.Errorf("replace %s: %d bytes, want at most %d", d.paths.ledger(), len(file), maxLedger)
	}
	save := d.saveThrough
	if d.paths.Interval > 0 {
		save = d.saveVolatile
	}
	if err := save(l, file); err != nil {
		return err
	}
	// Who reads the ledger before this one at this moment is about to read its flows.
	d.paths.FlowFiles().Remove(l.FlowFile, d.flowFile)
	d.flowFile = l.FlowFile
	return d.removeOutdated()
}

// saveThrough replaces the ledger in the state directory, and the one before it with
// a copy if that is not there or will not do in its place.
func (d *Dir) saveThrough(l *state.Ledger, file []byte) error {
	var err error
	if l.Twice || d.unsaved {
		err = d.replacePrevious(file)
	} else {
		err = d.keepPrevious()
	}
	if err != nil {
		return err
	}
	if err := replaceDurably(d.paths.ledger(), file); err != nil {
		return err
	}
	d.outdated = append(d.outdated, d.paths.volatile(d.instance))
	d.unsaved = false
	return nil
}

// saveVolatile replaces the ledger in the runtime directory, and that in the state
// directory if this one is a checkpoint or the last checkpoint did not get there.
func (d *Dir) saveVolatile(l *state.Ledger, file []byte) error {
	if err := replaceDurably(d.paths.volatile(d.instance), file); err != nil {
		return err
	}
	if !l.IsCheckpoint() && !d.unsaved {
		return nil
	}
	if err := d.replacePrevious(file); err != nil {
		return err
	}
	if err := replaceDurably(d.paths.ledger(), file); err != nil {
		return err
	}
	d.unsaved = false
	return nil
}

// replacePrevious puts a copy of the ledger in the place of the one before it. As
// Load seldom looks there, what a file cannot replace may be in it: a directory.
func (d *Dir) replacePrevious(file []byte) error {
	path := d.paths.previous()
	err := replaceDurably(path, file)
	if errors.Is(err, fs.ErrExist) {
		if _, err = quarantine(path, errDamaged); err == nil {
			err = replaceDurably(path, file)
		}
	}
	return err
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
