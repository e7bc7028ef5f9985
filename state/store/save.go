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
	if err := d.saveDurably(l, file); err != nil {
		return err
	}
	volatile := d.paths.volatile(d.instance)
	if d.paths.Interval == 0 {
		d.outdated = append(d.outdated, volatile)
	} else if err := replaceDurably(volatile, file); err != nil {
		return err
	}
	d.unsaved = false
	return d.removeOutdated()
}

// saveDurably writes a ledger to the state directory, if it has to be there: twice
// if the one before it will not do in its place.
func (d *Dir) saveDurably(l *state.Ledger, file []byte) error {
	paths := []string{d.paths.ledger(), d.paths.previous()}
	switch {
	case d.paths.Interval > 0 && !l.IsCheckpoint() && !d.unsaved:
		return nil
	case d.paths.Interval == 0 && !l.Twice:
		if err := d.keepPrevious(); err != nil {
			return err
		}
		paths = paths[:1]
	}
	for _, path := range paths {
		if err := replaceDurably(path, file); err != nil {
			return err
		}
	}
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
