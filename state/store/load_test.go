package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
)

// throughLedger is one that was written through.
func throughLedger() *state.Ledger {
	l := fullLedger()
	l.Checkpoint = 0
	return l
}

// future is the ledger of a version that is yet to come.
func future() []byte { return sealed([]byte(magic + "4\nwho knows what")) }

func TestLoad(t *testing.T) {
	sound := encode(throughLedger())
	flipped := bytes.Clone(sound)
	flipped[len(flipped)/2] ^= 0x10
	file := func(data []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, data, 0o600) }
	}
	tests := map[string]struct {
		make   func(path string) error // makes what is in the ledger's place
		want   *state.Ledger
		suffix string // what is appended to its name, if it cannot be used
	}{
		"none":                   {make: func(string) error { return nil }, want: &state.Ledger{}},
		"sound":                  {make: file(sound), want: throughLedger()},
		"damaged":                {make: file(flipped), suffix: ".damaged"},
		"cut short":              {make: file(sound[:len(sound)-1]), suffix: ".damaged"},
		"empty":                  {make: file(nil), suffix: ".damaged"},
		"another's":              {make: file([]byte("192.168.10.9|laptop\n")), suffix: ".damaged"},
		"newer":                  {make: file(future()), suffix: ".newer"},
		"newer, damaged":         {make: file(append(future(), 0)), suffix: ".damaged"},
		"directory":              {make: func(path string) error { return os.MkdirAll(filepath.Join(path, "kept"), 0o700) }, suffix: ".damaged"},
		"FIFO":                   {make: func(path string) error { return syscall.Mkfifo(path, 0o600) }, suffix: ".damaged"},
		"dangling link":          {make: func(path string) error { return os.Symlink("nowhere", path) }, suffix: ".damaged"},
		"link to a sound":        {make: func(path string) error { return linkTo(path, sound) }, suffix: ".damaged"},
		"larger than any memory": {make: func(path string) error { return sparse(path, 1<<40) }, suffix: ".damaged"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := openDir(t, t.TempDir())
			path := filepath.Join(d.paths.Dir, ledgerName)
			if err := test.make(path); err != nil {
				t.Fatal(err)
			}
			before := describe(t, path)

			got, err := d.Load()
			if test.suffix == "" {
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got, sameLedger); diff != "" {
					t.Errorf("ledger (-want +got):\n%s", diff)
				}
				return
			}
			kept := path + test.suffix
			if !errors.As(err, new(*LostError)) || !strings.Contains(err.Error(), path+":") || !strings.Contains(err.Error(), kept+": totals start anew") {
				t.Errorf("got error %q, want one that names %s and %s", err, path, kept)
			}
			if diff := cmp.Diff(&state.Ledger{Losses: 1, Recovered: true}, got, sameLedger); diff != "" {
				t.Errorf("ledger in place of it (-want +got):\n%s", diff)
			}
			if after := describe(t, kept); after != before {
				t.Errorf("kept is %s, in its place was %s", after, before)
			}

			// It is said once.
			got, err = d.Load()
			if err != nil {
				t.Errorf("the second time: %v", err)
			}
			if diff := cmp.Diff(&state.Ledger{}, got, sameLedger); diff != "" {
				t.Errorf("ledger the second time (-want +got):\n%s", diff)
			}
			// And totals go on.
			if err := d.Save(throughLedger(), noNames()); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Load(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLoadTwice is about a second damaged ledger: the later one is what is kept,
// and nothing accumulates.
func TestLoadTwice(t *testing.T) {
	d := openDir(t, t.TempDir())
	path := filepath.Join(d.paths.Dir, ledgerName)
	for _, content := range []string{"the first", "the second"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Load(); !errors.As(err, new(*LostError)) {
			t.Fatalf("got error %v, want a LostError", err)
		}
		got, err := os.ReadFile(path + ".damaged")
		if err != nil || string(got) != content {
			t.Errorf("kept is %q (%v), want %q", got, err, content)
		}
	}
	if diff := cmp.Diff([]string{"instance", "ledger.damaged", "lock"}, list(t, d.paths.Dir)); diff != "" {
		t.Errorf("files in the directory (-want +got):\n%s", diff)
	}
}

// numbered returns the ledger of a run, in the last of which there was a loss or
// two; checkpoint tells of which run the last checkpoint is, 0 of none.
func numbered(run, checkpoint uint64) *state.Ledger {
	l := throughLedger()
	l.Run, l.Uptime, l.Checkpoint = run, time.Duration(run)*time.Second, time.Duration(checkpoint)*time.Second
	return l
}

// TestLoadChooses is about every file that a ledger can be in: which one is the last
// run's, and whether later ones may have been lost.
func TestLoadChooses(t *testing.T) {
	through := func(run uint64) []byte { return encode(numbered(run, 0)) }
	checkpoint := func(run uint64) []byte { return encode(numbered(run, run)) }
	between := func(run, last uint64) []byte { return encode(numbered(run, last)) }
	const bad = "not a ledger"
	otherBoot := numbered(9, 0)
	otherBoot.Boot, otherBoot.Uptime = "fedcba9876543210fedcba9876543210", time.Millisecond
	type files struct{ volatile, ledger, previous, legacyVolatile, legacyCheckpoint []byte }
	v2 := version2(time.Date(2026, 3, 29, 1, 59, 59, 0, time.UTC)) // of run 9, an hour after the boot
	for name, test := range map[string]struct {
		files
		run  uint64 // 0: none
		lost bool   // whether totals may have been higher
		err  string // the end of it, {} for the state directory; empty: none
	}{
		"nothing":                       {files{}, 0, false, ""},
		"written through":               {files{ledger: through(5), previous: through(4)}, 5, false, ""},
		"damaged":                       {files{ledger: []byte(bad), previous: through(4)}, 4, true, "ledger.damaged: totals go on from the ledger of 2026-03-29T01:59:59Z"},
		"of a newer version":            {files{ledger: future(), previous: through(4)}, 4, true, "ledger.newer: totals go on from the ledger of 2026-03-29T01:59:59Z"},
		"gone":                          {files{previous: through(4)}, 4, true, "missing: {}/ledger: totals go on from the ledger of 2026-03-29T01:59:59Z"},
		"both damaged":                  {files{ledger: []byte(bad), previous: []byte(bad)}, 0, true, "ledger.previous.damaged: totals start anew from the kernel's counters"},
		"the one before damaged":        {files{ledger: through(5), previous: []byte(bad)}, 5, false, ""},
		"the one before newer, in time": {files{ledger: through(5), previous: through(6)}, 5, false, ""},

		"checkpoint":                    {files{volatile: between(7, 5), ledger: checkpoint(5), previous: checkpoint(5)}, 7, false, ""},
		"at a checkpoint":               {files{volatile: checkpoint(5), ledger: checkpoint(5), previous: checkpoint(5)}, 5, false, ""},
		"power cut":                     {files{ledger: checkpoint(5), previous: checkpoint(5)}, 5, true, "ledger-ID: totals go on from the checkpoint of 2026-03-29T01:59:59Z"},
		"ended before a checkpoint":     {files{volatile: checkpoint(5), ledger: checkpoint(2), previous: checkpoint(2)}, 5, false, ""},
		"ended in a checkpoint":         {files{volatile: checkpoint(5), ledger: checkpoint(2), previous: checkpoint(5)}, 5, false, ""},
		"ended in the first checkpoint": {files{volatile: checkpoint(5), ledger: through(4), previous: through(3)}, 5, false, ""},
		"volatile is older":             {files{volatile: between(4, 2), ledger: checkpoint(5), previous: checkpoint(5)}, 5, true, "ledger-ID: totals go on from the checkpoint of 2026-03-29T01:59:59Z"},
		"ended, now written through":    {files{volatile: between(4, 2), ledger: through(5), previous: checkpoint(2)}, 5, false, ""},
		"volatile damaged":              {files{volatile: []byte(bad), ledger: checkpoint(5), previous: checkpoint(5)}, 5, true, "ledger-ID.damaged: totals go on from the checkpoint of 2026-03-29T01:59:59Z"},
		"volatile of a newer version":   {files{volatile: future(), ledger: checkpoint(5), previous: checkpoint(5)}, 5, true, "ledger-ID.newer: totals go on from the checkpoint of 2026-03-29T01:59:59Z"},
		"checkpoint damaged":            {files{volatile: between(7, 5), ledger: []byte(bad), previous: checkpoint(5)}, 7, false, "ledger.damaged: nothing is lost"},
		"checkpoint of a newer version": {files{volatile: between(7, 5), ledger: future(), previous: checkpoint(5)}, 7, false, "ledger.newer: nothing is lost"},
		"checkpoint gone":               {files{volatile: between(7, 5), previous: checkpoint(5)}, 7, false, ""},
		"power cut, damaged":            {files{ledger: []byte(bad), previous: checkpoint(5)}, 5, true, "ledger.damaged: totals go on from the checkpoint of 2026-03-29T01:59:59Z"},
		"everything damaged":            {files{[]byte(bad), []byte(bad), []byte(bad), []byte(bad), []byte(bad)}, 0, true, "checkpoint.damaged: totals start anew from the kernel's counters"},
		"by the count of runs":          {files{volatile: between(7, 5), ledger: encode(otherBoot)}, 9, false, ""},

		"version 1":                     {files{ledger: golden(t, "ledger-v1")}, 0, false, ""},
		"version 2":                     {files{ledger: golden(t, "ledger-v2"), legacyCheckpoint: golden(t, "checkpoint-v2")}, 4, false, ""},
		"version 2, ended in the copy":  {files{ledger: golden(t, "ledger-v2"), previous: through(9999)}, 9999, false, ""},
		"version 2, kept in memory":     {files{legacyVolatile: golden(t, "ledger-v2"), legacyCheckpoint: golden(t, "checkpoint-v2")}, 4, false, ""},
		"version 2, power cut":          {files{legacyCheckpoint: golden(t, "checkpoint-v2")}, 3, true, "missing: {}/ledger: totals go on from the checkpoint of 2026-11-28T00:41:53Z"},
		"version 2, damaged":            {files{ledger: []byte(bad), legacyCheckpoint: v2}, 9, true, "ledger.damaged: totals go on from the checkpoint of 2026-03-29T01:59:59Z"},
		"version 2, ended in the first": {files{volatile: checkpoint(9999), legacyVolatile: v2, legacyCheckpoint: v2}, 9999, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			paths := Paths{Dir: t.TempDir(), Runtime: t.TempDir(), Interval: time.Minute}
			d, err := paths.Open(0)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			for path, content := range map[string][]byte{
				paths.volatile(d.instance): test.volatile,
				paths.ledger():             test.ledger,
				paths.previous():           test.previous,
				paths.legacyVolatile():     test.legacyVolatile,
				paths.legacyCheckpoint():   test.legacyCheckpoint,
			} {
				if content != nil {
					if err := os.WriteFile(path, content, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			before := [][]string{list(t, paths.Dir), list(t, paths.Runtime)}
			looked, lookErr := paths.LoadReadOnly()
			if diff := cmp.Diff(before, [][]string{list(t, paths.Dir), list(t, paths.Runtime)}); diff != "" {
				t.Errorf("a look changed the files (-before +after):\n%s", diff)
			}

			got, err := d.Load()
			text := ""
			if err != nil {
				text = strings.ReplaceAll(strings.ReplaceAll(err.Error(), d.instance, "ID"), paths.Dir, "{}")
			}
			if got.Run != test.run || got.Recovered != test.lost || !strings.HasSuffix(text, test.err) || (text == "") != (test.err == "") {
				t.Errorf("run %d, recovered: %v, error %q; want run %d, %v, %q", got.Run, got.Recovered, text, test.run, test.lost, test.err)
			}
			if nothing := got.Run == 0 && test.lost; nothing != (lookErr != nil) || lookErr == nil && cmp.Diff(got, looked, sameLedger) != "" {
				t.Errorf("a look finds another ledger, %v: %s", lookErr, cmp.Diff(got, looked, sameLedger))
			}
			mustContinue(t, d, got)
			for _, path := range []string{paths.legacyVolatile(), paths.legacyCheckpoint()} {
				if got := describe(t, path); got != "nothing" {
					t.Errorf("%s is left", path)
				}
			}
		})
	}
}

// mustContinue saves a ledger after the one that was loaded, first kept in memory
// and then written through, and expects to find each again.
func mustContinue(t *testing.T, d *Dir, last *state.Ledger) {
	t.Helper()
	for i, interval := range []time.Duration{time.Minute, time.Minute, 0, 0} {
		next := *last
		next.Run, next.Uptime, next.Recovered = last.Run+1, last.Uptime+time.Second, false
		switch {
		case interval == 0:
			next.Checkpoint = 0
		case i == 0 && last.Checkpoint == 0:
			next.Checkpoint = next.Uptime
		}
		d.paths.Interval = interval
		if err := d.Save(&next, noNames()); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Load(); err != nil || got.Run != next.Run || got.Recovered {
			t.Errorf("interval %v: loaded run %d, recovered: %v, error %v; saved was %d", interval, got.Run, got.Recovered, err, next.Run)
		}
		if f, err := parseFile(d.paths.ledger()); err != nil || f.head.Boot != next.Boot || f.head.Checkpoint != next.Checkpoint {
			t.Errorf("interval %v: the last checkpoint is not on the disk: %v", interval, err)
		}
		if _, err := parseFile(d.paths.previous()); err != nil && i > 1 {
			t.Errorf("interval %v: the one before is not on the disk: %v", interval, err)
		}
		last = &next
	}
	if got := describe(t, d.paths.volatile(d.instance)); got != "nothing" {
		t.Errorf("a ledger is left in the runtime directory")
	}
}

func parseFile(path string) (*ledgerFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, data)
}
