package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"network-metrics-exporter/state"
)

// maxLedger is the size beyond which a file is no ledger, in bytes: what version 2
// wrote, of 131,072 addresses at most, was smaller, and today's ledgers are by far.
const maxLedger = 64 << 20

// LostError tells that files of the state were gone or could not be used. Those
// that are damaged are kept under other names for whoever wants to look into them.
type LostError struct {
	Errs []error       // what is wrong with the files
	From *state.Ledger // what there is to go on from; nil: nothing
}

func (e *LostError) Error() string {
	var texts []string
	for _, err := range e.Errs {
		texts = append(texts, err.Error())
	}
	outcome := "nothing is lost"
	switch {
	case e.From == nil:
		outcome = "totals start anew from the kernel's counters"
	case e.From.Recovered && e.From.Checkpoint != 0:
		outcome = "totals go on from the checkpoint of " + e.From.Wall.Format(time.RFC3339)
	case e.From.Recovered:
		outcome = "totals go on from the ledger of " + e.From.Wall.Format(time.RFC3339)
	}
	return strings.Join(append(texts, outcome), ": ")
}

// Unwrap returns what is wrong with the files.
func (e *LostError) Unwrap() []error { return e.Errs }

// Load reads the ledger of the last run: the newest that there is, an empty one if
// there is none yet. Files that cannot be used are moved out of the way, so that
// they are reported once: Load then returns the ledger to go on from and a
// *LostError, as it does if only an older ledger is left.
func (d *Dir) Load() (*state.Ledger, error) {
	s := search{Paths: d.paths, instance: d.instance, quarantine: quarantine, bad: d.damage}
	l, err := s.newest()
	if err != nil {
		return nil, err
	}
	d.damage, d.outdated, d.flowFile = nil, s.outdated, l.FlowFile
	d.unsaved = s.durable == nil || s.durable.head.Boot != l.Boot || s.durable.head.Checkpoint != l.Checkpoint
	if len(s.bad) == 0 {
		return l, nil
	}
	lost := &LostError{Errs: s.bad}
	if s.chosen != nil {
		lost.From = l
	}
	return l, lost
}

// LoadReadOnly reads the ledger of the last run, without a lock and without changing
// anything: an empty one if there is none, or beside an error.
func (p Paths) LoadReadOnly() (*state.Ledger, error) {
	s := search{Paths: p, quarantine: func(_ string, wrong error) (error, error) { return wrong, nil }}
	var err error
	if s.instance, err = readInstance(filepath.Join(p.Dir, instanceName)); err != nil && !isUnusable(err) && !errors.Is(err, fs.ErrNotExist) {
		return &state.Ledger{}, err
	}
	l, err := s.newest()
	if err == nil && s.chosen == nil {
		err = errors.Join(s.bad...)
	}
	if err != nil {
		return &state.Ledger{}, err
	}
	return l, nil
}

// search looks for the newest ledger.
type search struct {
	Paths
	instance string // empty: there is none
	// quarantine is called with the path of a file that cannot be used and what is
	// wrong with it. It returns what to tell of that.
	quarantine func(path string, wrong error) (report, err error)

	bad      []error     // what is wrong with files
	skipped  []string    // which they are
	durable  *ledgerFile // that in the state directory
	chosen   *ledgerFile // the newest of all
	outdated []string    // files of version 2
}

// newest returns the newest ledger, an empty one if there is none.
func (s *search) newest() (*state.Ledger, error) {
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	s.chosen = nil
	for _, f := range files {
		s.chosen = newer(s.chosen, f)
	}
	if s.chosen == nil {
		l := &state.Ledger{Recovered: len(s.bad) > 0}
		if l.Recovered {
			l.Losses = 1
		}
		return l, nil
	}
	l, err := s.chosen.decode()
	if err != nil {
		if err := s.skip(s.chosen.path, err); err != nil {
			return nil, err
		}
		return s.newest()
	}
	if gone := s.gone(); gone != nil {
		l.Recovered = true
		l.Losses++
		if len(s.bad) == 0 {
			s.bad = append(s.bad, gone)
		}
	}
	return l, nil
}

// files reads the heads of all ledgers. Those that are older than the one in the
// state directory are read only if that is not of today's version.
func (s *search) files() (files []*ledgerFile, err error) {
	if s.instance != "" {
		volatile, err := s.read(s.volatile(s.instance))
		if err != nil {
			return nil, err
		}
		files = append(files, volatile)
	}
	if s.durable, err = s.read(s.ledger()); err != nil {
		return nil, err
	}
	files = append(files, s.durable)
	if s.durable != nil && s.durable.format == version {
		return files, nil
	}
	s.outdated = nil
	for _, path := range []string{s.previous(), s.legacyVolatile(), s.legacyCheckpoint()} {
		f, err := s.read(path)
		if err != nil {
			return nil, err
		}
		if f != nil && path != s.previous() {
			s.outdated = append(s.outdated, path)
		}
		files = append(files, f)
	}
	return files, nil
}

// read reads the head of one ledger, nil if there is none that can be used.
func (s *search) read(path string) (*ledgerFile, error) {
	if slices.Contains(s.skipped, path) {
		return nil, nil
	}
	data, err := read(path, maxLedger)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var f *ledgerFile
	if err == nil {
		f, err = parse(path, data)
	}
	if err != nil {
		return nil, s.skip(path, err)
	}
	return f, nil
}

// skip leaves a file out for what is wrong with it.
func (s *search) skip(path string, wrong error) error {
	wrong = fmt.Errorf("read %s: %w", path, wrong)
	if !isUnusable(wrong) {
		return wrong
	}
	report, err := s.quarantine(path, wrong)
	if err != nil {
		return err
	}
	s.bad, s.skipped = append(s.bad, report), append(s.skipped, path)
	return nil
}

// gone tells what is missing if later runs may have gone beyond the chosen ledger.
// One that is newer than that in the state directory was written by a run that ended
// before it replaced that, and published nothing.
func (s *search) gone() error {
	switch s.chosen.path {
	case s.previous(), s.legacyCheckpoint():
		if s.durable == nil {
			return fmt.Errorf("missing: %s", s.ledger())
		}
	case s.ledger():
		if s.chosen.head.Checkpoint != 0 {
			return fmt.Errorf("missing since the last checkpoint: %s", s.volatile(s.instance))
		}
	}
	return nil
}

// newer returns the newer of two ledgers, either of which may be nil: within a boot
// the clock tells, also where runs did not know of each other. Of two of the same
// run it is the first one.
func newer(a, b *ledgerFile) *ledgerFile {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.head.Boot == b.head.Boot && b.head.Uptime > a.head.Uptime, a.head.Boot != b.head.Boot && b.head.Run > a.head.Run:
		return b
	default:
		return a
	}
}
