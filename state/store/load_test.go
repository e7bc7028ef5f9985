package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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
