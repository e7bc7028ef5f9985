package store

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// TestKeepPrevious is about the ledger before the last one, and what may be in its
// place.
func TestKeepPrevious(t *testing.T) {
	for name, obstacle := range map[string]func(path string) error{
		"nothing":         func(path string) error { return os.Remove(path) },
		"a file":          func(path string) error { return nil },
		"an empty folder": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"a full folder": func(path string) error {
			return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700))
		},
		"a dangling link": func(path string) error { return errors.Join(os.Remove(path), os.Symlink("nowhere", path)) },
		"the ledger itself": func(path string) error {
			return errors.Join(os.Remove(path), os.Link(strings.TrimSuffix(path, ".previous"), path))
		},
	} {
		for _, twice := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", twice: ", twice), func(t *testing.T) {
				d := openDir(t, t.TempDir())
				for run := range uint64(3) {
					l := numbered(run+1, 0)
					if run == 2 {
						l.Twice = twice
						if err := obstacle(d.paths.previous()); err != nil {
							t.Fatal(err)
						}
					}
					if err := d.Save(l, noNames()); err != nil {
						t.Fatal(err)
					}
				}
				wantPrevious := uint64(2)
				if twice {
					wantPrevious = 3
				}
				for path, want := range map[string]uint64{d.paths.ledger(): 3, d.paths.previous(): wantPrevious} {
					if f, err := parseFile(path); err != nil || f.head.Run != want {
						t.Errorf("%s: %+v, %v, want run %d", path, f, err, want)
					}
				}
				want := []string{"instance", "ledger", "ledger.previous", "lock"}
				if name == "a full folder" || name == "an empty folder" && twice {
					want = []string{"instance", "ledger", "ledger.previous", "ledger.previous.damaged", "lock"}
				}
				if diff := cmp.Diff(want, list(t, d.paths.Dir)); diff != "" {
					t.Errorf("files in the directory (-want +got):\n%s", diff)
				}
			})
		}
	}
	t.Run("while there is no ledger", func(t *testing.T) {
		d := openDir(t, t.TempDir())
		for run := range uint64(2) {
			if err := d.Save(numbered(run+1, 0), noNames()); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(d.paths.ledger()); err != nil {
			t.Fatal(err)
		}
		if err := d.Save(numbered(3, 0), noNames()); err != nil {
			t.Fatal(err)
		}
		if f, err := parseFile(d.paths.previous()); err != nil || f.head.Run != 1 {
			t.Errorf("%+v, %v: the one that was left is not run 1", f, err)
		}
	})
}

// TestSaveInOrder has each file in turn be one that cannot be replaced: those that
// come later are as they were, so that a run that ends there has published nothing
// that the next one does not know of.
func TestSaveInOrder(t *testing.T) {
	for _, test := range []struct {
		interval time.Duration
		order    []string // of the files, - stands for that in the runtime directory
	}{
		{0, []string{namesName, ledgerName}},
		{time.Minute, []string{namesName, "-", previousName, ledgerName}},
	} {
		for stop, name := range test.order {
			if name == previousName {
				continue // whatever is there is moved out of the way
			}
			t.Run(fmt.Sprint(test.interval, " ", name), func(t *testing.T) {
				paths := Paths{Dir: t.TempDir(), Runtime: t.TempDir(), Interval: test.interval}
				d, err := paths.Open(0)
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				path := func(name string) string {
					if name == "-" {
						return paths.volatile(d.instance)
					}
					return filepath.Join(paths.Dir, name)
				}
				save := func(run uint64) error {
					l := numbered(run, 0)
					if test.interval > 0 {
						l.Checkpoint = l.Uptime
					}
					return d.Save(l, changedNames(t, fmt.Sprint("name", run)))
				}
				if err := save(1); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(os.Remove(path(name)), os.MkdirAll(filepath.Join(path(name), "in the way"), 0o700)); err != nil {
					t.Fatal(err)
				}
				before := make(map[string]string)
				for _, name := range test.order {
					before[name] = describe(t, path(name))
				}
				if err := save(2); err == nil || !strings.Contains(err.Error(), path(name)) {
					t.Errorf("error %v, want one that names %s", err, path(name))
				}
				for i, name := range test.order {
					if changed := describe(t, path(name)) != before[name]; changed != (i < stop) {
						t.Errorf("%s was changed: %v", name, changed)
					}
				}
			})
		}
	}
}

// changedNames returns a cache into which a run put a name.
func changedNames(t *testing.T, name string) *state.NameCache {
	t.Helper()
	names := noNames()
	now := &state.Sample{
		Instant: state.Instant{Boot: "b", Uptime: time.Hour, Wall: time.Unix(1767225600, 0)},
		LAN:     &state.LAN{Neighbors: []state.NeighborEntry{{Addr: laptop, MAC: laptopMAC, Interface: "br-lan", State: state.Reachable}}},
		Names:   []state.NameRecord{{Addr: laptop, MAC: laptopMAC, Name: name, Source: state.FromDHCP}},
	}
	scope := state.NewScope(fullLedger().Networks, nil, nil)
	state.Compare(&state.Ledger{}, now, scope, names, state.Config{Interval: 2 * time.Second, ForgetAfter: time.Hour, OnlineWindow: time.Minute, MaxClients: 10, PeriodStart: 1})
	if !names.Changed() {
		t.Fatal("no name was learnt")
	}
	return names
}

// killVariable names the state directory in which a child of this test is to save
// ledgers until it is killed.
const killVariable = "STORE_TEST_KILL"

// TestSaveKilled kills a process again and again while it saves. Whenever that is,
// the next one finds the last ledger that was saved to its end or the one that was
// being saved, and nothing is lost.
func TestSaveKilled(t *testing.T) {
	if dir := os.Getenv(killVariable); dir != "" { // the child
		saveForever(t, dir)
	}
	base := t.TempDir()
	dir := filepath.Join(base, "state")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(filepath.Join(base, "run"), 0o700)); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 40 {
		saved := killAfter(t, dir, 1+random.IntN(8), time.Duration(random.IntN(3000))*time.Microsecond)
		d, err := killPaths(dir, 0).Open(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		l, err := d.Load()
		if err != nil || l.Recovered || l.Run < saved || l.Run > saved+1 {
			t.Errorf("loaded run %d, recovered: %v, error %v; run %d was saved", l.Run, l.Recovered, err, saved)
		}
		d.Close()
	}
}

// killPaths returns the paths of a run, every fifth of which is written through.
func killPaths(dir string, run uint64) Paths {
	p := Paths{Dir: dir, Runtime: filepath.Join(filepath.Dir(dir), "run"), Interval: time.Minute}
	if run%5 == 0 {
		p.Interval = 0
	}
	return p
}

func saveForever(t *testing.T, dir string) {
	for run := uint64(0); ; {
		d, err := killPaths(dir, run+1).Open(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		last, err := d.Load()
		if err != nil {
			t.Fatal(err)
		}
		if run == last.Run || run == 0 {
			run = last.Run + 1
			d.paths.Interval = killPaths(dir, run).Interval
		}
		l := numbered(run, 0)
		switch {
		case d.paths.Interval == 0:
		case last.Checkpoint == 0 || run%3 == 0:
			l.Checkpoint = l.Uptime
		default:
			l.Checkpoint = last.Checkpoint
		}
		if err := d.Save(l, noNames()); err != nil {
			t.Fatal(err)
		}
		fmt.Println("saved", run)
		d.Close()
	}
}

// killAfter starts a child, kills it some time after it has saved so many ledgers,
// and returns which was the last one that it said it saved.
func killAfter(t *testing.T, dir string, ledgers int, more time.Duration) (saved uint64) {
	t.Helper()
	child, out := startTest(t, "TestSaveKilled", killVariable+"="+dir)
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if _, err := fmt.Sscanf(lines.Text(), "saved %d", &saved); err != nil {
			t.Errorf("the child said %q", lines.Text())
		}
		if n+1 == ledgers {
			time.AfterFunc(more, func() { child.Process.Kill() })
		}
	}
	child.Wait()
	return saved
}

// BenchmarkSave and BenchmarkLoad give what a run costs that leaves the ledger in
// memory: no disk is waited for.
func BenchmarkSave(b *testing.B) {
	benchmarkRun(b, func(d *Dir, l *state.Ledger) error { return d.Save(l, noNames()) })
}

func BenchmarkLoad(b *testing.B) {
	benchmarkRun(b, func(d *Dir, l *state.Ledger) error {
		_, err := d.Load()
		return err
	})
}

func benchmarkRun(b *testing.B, run func(*Dir, *state.Ledger) error) {
	for _, n := range []int{50, 1000, 10_000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			memory := b.TempDir()
			if err := unix.Mount("tmpfs", memory, "tmpfs", 0, ""); err != nil {
				b.Fatal(err)
			}
			defer unix.Unmount(memory, 0)
			d, err := Paths{Dir: b.TempDir(), Runtime: memory, Interval: time.Minute}.Open(0)
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			l := ledgerOf(n)
			l.Checkpoint = l.Uptime
			if err := d.Save(l, noNames()); err != nil {
				b.Fatal(err)
			}
			l.Run, l.Uptime = l.Run+1, l.Uptime+2*time.Second
			if err := d.Save(l, noNames()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := run(d, l); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/client")
		})
	}
}
