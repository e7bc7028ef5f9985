package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// at is where the state is kept in most tests: in dir, written through.
func at(dir string) Place { return Place{Dir: dir, Runtime: filepath.Join(dir, "none")} }

// openDir locks a state directory until the test ends.
func openDir(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := at(path).Open(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// future is the ledger of a version that is yet to come.
func future() []byte { return sealed([]byte(magic + "3\nwho knows what")) }

func TestLoad(t *testing.T) {
	sound := encode(fullLedger())
	flipped := bytes.Clone(sound)
	flipped[len(flipped)/2] ^= 0x10
	file := func(data []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, data, 0o600) }
	}
	tests := map[string]struct {
		put   func(path string) error // puts it in the ledger's place
		want  *state.Ledger
		aside string // what is appended to its name, if it is kept aside
	}{
		"none":                   {put: func(string) error { return nil }, want: &state.Ledger{}},
		"sound":                  {put: file(sound), want: fullLedger()},
		"damaged":                {put: file(flipped), aside: ".damaged"},
		"cut short":              {put: file(sound[:len(sound)-1]), aside: ".damaged"},
		"empty":                  {put: file(nil), aside: ".damaged"},
		"another's":              {put: file([]byte("192.168.10.9|laptop\n")), aside: ".damaged"},
		"newer":                  {put: file(future()), aside: ".newer"},
		"newer, damaged":         {put: file(append(future(), 0)), aside: ".damaged"},
		"directory":              {put: func(path string) error { return os.MkdirAll(filepath.Join(path, "kept"), 0o700) }, aside: ".damaged"},
		"FIFO":                   {put: func(path string) error { return syscall.Mkfifo(path, 0o600) }, aside: ".damaged"},
		"dangling link":          {put: func(path string) error { return os.Symlink("nowhere", path) }, aside: ".damaged"},
		"link to a sound":        {put: func(path string) error { return linkTo(path, sound) }, aside: ".damaged"},
		"larger than any memory": {put: func(path string) error { return sparse(path, 1<<40) }, aside: ".damaged"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := openDir(t, t.TempDir())
			path := filepath.Join(d.path, ledgerName)
			if err := test.put(path); err != nil {
				t.Fatal(err)
			}
			before := describe(t, path)

			got, err := d.Load()
			if test.aside == "" {
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got, sameLedger); diff != "" {
					t.Errorf("ledger (-want +got):\n%s", diff)
				}
				return
			}
			aside := path + test.aside
			if !errors.As(err, new(*LostError)) || !strings.Contains(err.Error(), path+":") || !strings.Contains(err.Error(), aside+": totals start anew") {
				t.Errorf("got error %q, want one that names %s and %s", err, path, aside)
			}
			if diff := cmp.Diff(&state.Ledger{Losses: 1}, got, sameLedger); diff != "" {
				t.Errorf("ledger in place of what was kept aside (-want +got):\n%s", diff)
			}
			if after := describe(t, aside); after != before {
				t.Errorf("kept aside is %s, in its place was %s", after, before)
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
			if err := d.Save(fullLedger()); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Load(); err != nil {
				t.Error(err)
			}
		})
	}
}

// linkTo makes path a link to a file elsewhere.
func linkTo(path string, data []byte) error {
	target := path + "-elsewhere"
	if err := os.WriteFile(target, data, 0o600); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

// sparse makes a file of that size that takes no room.
func sparse(path string, size int64) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// describe tells all that has to stay as it was of what lies at path.
func describe(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "nothing"
	}
	if err != nil {
		t.Fatal(err)
	}
	var content string
	switch {
	case info.Mode().IsRegular() && info.Size() < 1<<20:
		var data []byte
		data, err = os.ReadFile(path)
		content = string(data)
	case info.Mode()&fs.ModeSymlink != 0:
		content, err = os.Readlink(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fs.FormatFileInfo(info)[:len(info.Mode().String())] + " " + content
}

// TestLoadTwice is about a second damaged ledger: the newer one is what is kept,
// and nothing accumulates.
func TestLoadTwice(t *testing.T) {
	d := openDir(t, t.TempDir())
	path := filepath.Join(d.path, ledgerName)
	for _, content := range []string{"the first", "the second"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Load(); !errors.As(err, new(*LostError)) {
			t.Fatalf("got error %v, want a LostError", err)
		}
		got, err := os.ReadFile(path + ".damaged")
		if err != nil || string(got) != content {
			t.Errorf("kept aside is %q (%v), want %q", got, err, content)
		}
	}
	if diff := cmp.Diff([]string{"ledger.damaged", "lock"}, list(t, d.path)); diff != "" {
		t.Errorf("files in the directory (-want +got):\n%s", diff)
	}
}

// list gives the names in a directory.
func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSave(t *testing.T) {
	d := openDir(t, t.TempDir())
	for run, want := range []*state.Ledger{fullLedger(), {}, ledgerOf(1000)} {
		want.Run = uint64(run)
		if err := d.Save(want); err != nil {
			t.Fatal(err)
		}
		got, err := d.Load()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, sameLedger); diff != "" {
			t.Errorf("loaded differs from saved (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff([]string{"checkpoint", "ledger", "lock"}, list(t, d.path)); diff != "" {
		t.Errorf("files in the directory (-want +got):\n%s", diff)
	}
}

func TestSavePermissions(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077, 0o777} {
		dir := t.TempDir()
		before := syscall.Umask(umask)
		d, err := at(dir).Open(time.Minute)
		if err == nil {
			err = d.Save(&state.Ledger{})
			d.Close()
		}
		syscall.Umask(before)
		if err != nil {
			t.Fatal(err)
		}
		if got := permissions(t, filepath.Join(dir, ledgerName)); got != 0o600 {
			t.Errorf("with umask %03o the ledger has mode %03o, want 600", umask, got)
		}
		if got := permissions(t, filepath.Join(dir, lockName)); got&^0o600 != 0 {
			t.Errorf("with umask %03o the lock has mode %03o, want no more than 600", umask, got)
		}
	}
}

func permissions(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestSaveFails(t *testing.T) {
	t.Run("a directory in the ledger's place", func(t *testing.T) {
		d := openDir(t, t.TempDir())
		path := filepath.Join(d.path, ledgerName)
		if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := d.Save(fullLedger()); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got error %v, want one that names %s", err, path)
		}
		if diff := cmp.Diff([]string{"ledger", "lock"}, list(t, d.path)); diff != "" {
			t.Errorf("files in the directory (-want +got):\n%s", diff)
		}
	})
	t.Run("the state directory is gone", func(t *testing.T) {
		d := openDir(t, filepath.Join(t.TempDir()))
		if err := os.RemoveAll(d.path); err != nil {
			t.Fatal(err)
		}
		if err := d.Save(fullLedger()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), d.path) {
			t.Errorf("got error %v, want one that names %s", err, d.path)
		}
		if got := describe(t, d.path); got != "nothing" {
			t.Errorf("the directory has come back as %s", got)
		}
	})
}

func TestOpenWaits(t *testing.T) {
	dir := t.TempDir()
	first := openDir(t, dir)
	if _, err := at(dir).Open(30 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "lock "+dir) {
		t.Fatalf("while another one holds it: got error %v, want one about the lock", err)
	}
	if _, err := at(dir).Open(0); err == nil || !strings.Contains(err.Error(), "lock "+dir) {
		t.Fatalf("without patience: got error %v, want one about the lock", err)
	}

	opened := make(chan error)
	go func() {
		second, err := at(dir).Open(time.Minute)
		if err == nil {
			second.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("two had the lock at once: %v", err)
	case <-time.After(50 * time.Millisecond): // Open has begun to wait, most likely
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("once it was given free: %v", err)
	}
}

// holdVariable names the directory that a child of this test is to hold.
const holdVariable = "STORE_TEST_HOLD"

// TestOpenAfterKill shows that no lock outlives the process that took it.
func TestOpenAfterKill(t *testing.T) {
	if dir := os.Getenv(holdVariable); dir != "" { // the child
		openDir(t, dir)
		os.Stdout.WriteString("held\n")
		select {}
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestOpenAfterKill$", "-test.timeout=60s")
	child.Env = append(os.Environ(), holdVariable+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); errors.Is(err, syscall.ENOEXEC) {
		lab.Unavailable(t, "start this binary, which is for another processor: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len("held\n"))
	_, err = out.Read(said)
	_, held := at(dir).Open(0)
	child.Process.Kill()
	child.Wait()
	if err != nil || string(said) != "held\n" {
		t.Fatalf("the child said %q: %v", said, err)
	}
	if held == nil || !strings.Contains(held.Error(), "lock") {
		t.Errorf("while a child held it: got error %v, want one about the lock", held)
	}
	openDir(t, dir)
}

func TestOpenRefuses(t *testing.T) {
	tests := map[string]func(dir string) (lock string, err error){
		"no directory": func(dir string) (string, error) { return filepath.Join(dir, "missing", lockName), nil },
		"a file in the directory's place": func(dir string) (string, error) {
			return filepath.Join(dir, "file", lockName), os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
		},
		"a directory in the lock's place": func(dir string) (string, error) {
			return filepath.Join(dir, lockName), os.Mkdir(filepath.Join(dir, lockName), 0o700)
		},
		"a link in the lock's place": func(dir string) (string, error) {
			return filepath.Join(dir, lockName), os.Symlink("elsewhere", filepath.Join(dir, lockName))
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			lock, err := prepare(dir)
			if err != nil {
				t.Fatal(err)
			}
			before := list(t, dir)
			if _, err := at(filepath.Dir(lock)).Open(time.Minute); err == nil || !strings.Contains(err.Error(), lock) {
				t.Errorf("got error %v, want one that names %s", err, lock)
			}
			if diff := cmp.Diff(before, list(t, dir)); diff != "" {
				t.Errorf("files in the directory (-want +got):\n%s", diff)
			}
		})
	}
}

// BenchmarkSave gives what a day of runs every two seconds brings to the disk, in
// the pages that the kernel counts for this process (proc_pid_io(5)), on clients
// of whom each loads a page every other minute. What a file system needs for
// itself comes on top.
func BenchmarkSave(b *testing.B) {
	memory := b.TempDir()
	if err := unix.Mount("tmpfs", memory, "tmpfs", 0, ""); err != nil {
		b.Fatal(err)
	}
	defer unix.Unmount(memory, 0)
	for _, interval := range []time.Duration{0, time.Minute} {
		for _, n := range []int{20, 250} {
			b.Run(fmt.Sprintf("checkpoint-interval=%v/clients=%d", interval, n), func(b *testing.B) {
				d, err := Place{Dir: b.TempDir(), Runtime: memory, Interval: interval}.Open(0)
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				random := rand.New(rand.NewPCG(1, 2))
				l := ledgerOf(n)
				before := written(b)
				for b.Loop() {
					l.Run++
					l.Uptime += 2 * time.Second
					for addr, c := range l.Clients {
						bytes := random.Uint64N(300)
						if random.IntN(60) == 0 {
							bytes = random.Uint64N(6 << 20)
						}
						c.Total[state.Rx].Bytes += bytes
						l.Clients[addr] = c
					}
					if err := d.Save(l); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(written(b)-before)/float64(b.N)*43200/1e6, "MB/day")
			})
		}
	}
}

// written is how many bytes this process had the kernel write to a disk.
func written(b *testing.B) (bytes uint64) {
	text, err := os.ReadFile("/proc/self/io")
	if err == nil {
		_, text, _ := strings.Cut(string(text), "\nwrite_bytes: ")
		_, err = fmt.Sscan(text, &bytes)
	}
	if err != nil {
		b.Fatal(err)
	}
	return bytes
}

// TestCheckpointSchedule tells when a checkpoint is made.
func TestCheckpointSchedule(t *testing.T) {
	const boot, other = "0123456789abcdef0123456789abcdef", "00000000000000000000000000000000"
	for _, test := range []struct {
		name     string
		interval time.Duration
		boot     string
		uptime   time.Duration
		bytes    uint64 // of the client, who had a million when the last one was made
		want     bool
	}{
		{"written through, soon", 0, boot, time.Hour + 10*time.Minute - 1, 1_000_000, false},
		{"written through, in time", 0, boot, time.Hour + 10*time.Minute, 1_000_000, true},
		{"soon", time.Minute, boot, time.Hour + time.Minute - 1, 1_000_000, false},
		{"in time", time.Minute, boot, time.Hour + time.Minute, 1_000_000, true},
		{"another boot", time.Minute, other, time.Hour + time.Second, 1_000_000, true},
		{"another time namespace", time.Minute, boot, time.Second, 1_000_000, true},
		{"at the ceiling", time.Minute, boot, time.Hour + time.Second, 2_000_000, false},
		{"above the ceiling", time.Minute, boot, time.Hour + time.Second, 2_000_001, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			place := at(t.TempDir())
			place.Runtime, place.Interval = t.TempDir(), test.interval
			ledger := func(boot string, uptime time.Duration, bytes uint64) *state.Ledger {
				return &state.Ledger{
					Instant: state.Instant{Boot: boot, Uptime: uptime},
					Clients: map[netip.Addr]state.Client{laptop: {Tally: state.Tally{Total: [2]state.Traffic{{Bytes: bytes}}}}},
				}
			}
			var found [2]string
			for i, l := range []*state.Ledger{ledger(boot, time.Hour, 1_000_000), ledger(test.boot, test.uptime, test.bytes)} {
				d, err := place.Open(0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := d.Load(); err != nil {
					t.Fatal(err)
				}
				if err := d.Save(l); err != nil {
					t.Fatal(err)
				}
				d.Close()
				found[i] = describe(t, filepath.Join(place.Dir, checkpointName))
			}
			if got := found[0] != found[1]; got != test.want {
				t.Errorf("a checkpoint was made: %v, want %v", got, test.want)
			}
		})
	}
}

// TestPlace keeps state directories apart, and those together that are the same.
func TestPlace(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	for _, err := range []error{os.Mkdir(filepath.Join(dir, "a"), 0o700), os.Mkdir(filepath.Join(dir, "b"), 0o700), os.Symlink("a", link)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ledger := func(path string) string {
		_, volatile := Place{Dir: path, Runtime: "/run/x"}.ledgers()
		return volatile
	}
	a, b := ledger(filepath.Join(dir, "a")), ledger(filepath.Join(dir, "b"))
	if a == b || !strings.HasPrefix(a, "/run/x/ledger-") {
		t.Errorf("the ledgers of two directories are %s and %s", a, b)
	}
	for _, path := range []string{link, filepath.Join(dir, "b", "..", "a"), filepath.Join(dir, "a") + "/"} {
		if got := ledger(path); got != a {
			t.Errorf("the ledger of %s is %s, want %s", path, got, a)
		}
	}
}

// TestPeek looks at what runs leave, and changes nothing.
func TestPeek(t *testing.T) {
	place := at(t.TempDir())
	place.Runtime, place.Interval = t.TempDir(), time.Minute
	peek := func(want uint64, checkpoint bool) {
		t.Helper()
		before := [][]string{list(t, place.Dir), list(t, place.Runtime)}
		got, err := place.Peek()
		if err != nil || got.Resets != want || got.Ceilings != checkpoint {
			t.Errorf("got %v resets in a checkpoint: %v (%v), want %d: %v", got.Resets, got.Ceilings, err, want, checkpoint)
		}
		if diff := cmp.Diff(before, [][]string{list(t, place.Dir), list(t, place.Runtime)}); diff != "" {
			t.Errorf("files (-before +after):\n%s", diff)
		}
	}
	peek(0, false)
	l := fullLedger()
	for i := range 3 {
		place.Interval = time.Duration(i%2) * time.Minute
		d, err := place.Open(0)
		if err != nil {
			t.Fatal(err)
		}
		l.Run, l.Resets, l.Uptime = l.Run+1, uint64(i+1), l.Uptime+time.Second
		if err := d.Save(l); err != nil {
			t.Fatal(err)
		}
		d.Close()
		peek(l.Resets, false)
	}
	path := filepath.Join(place.Dir, ledgerName)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	peek(l.Resets, true)
	if err := os.Remove(filepath.Join(place.Dir, checkpointName)); err != nil {
		t.Fatal(err)
	}
	if l, err := place.Peek(); l != nil || !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("got ledger %v and error %v, want one that names %s", l, err, path)
	}
}

// TestSaveRefuses is about a ledger that Load would not take.
func TestSaveRefuses(t *testing.T) {
	d := openDir(t, t.TempDir())
	l := &state.Ledger{Settings: []string{strings.Repeat("x", maxLedger)}}
	if err := d.Save(l); err == nil || !strings.Contains(err.Error(), filepath.Join(d.path, ledgerName)) {
		t.Errorf("got error %v, want one that names the ledger", err)
	}
	if diff := cmp.Diff([]string{"lock"}, list(t, d.path)); diff != "" {
		t.Errorf("files in the directory (-want +got):\n%s", diff)
	}
}
