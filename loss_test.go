package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/state/settings"
	"network-metrics-exporter/state/store"
	"network-metrics-exporter/testdata/lab"
)

// durable is an installation whose runs are processes, so that they can be
// killed, with what its readers have seen so far.
type durable struct {
	installation
	program string
	seen    series // counters that must not fall
	boots   int
}

func installDurable(t *testing.T, r *lab.Router) *durable {
	t.Helper()
	program, err := os.Executable() // this test is the program, see TestMain
	if err != nil {
		t.Fatal(err)
	}
	d := &durable{installation: install(t, r), program: program}
	for _, dir := range []string{d.state(), d.runtime(), filepath.Dir(d.prom())} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func (d *durable) runtime() string { return filepath.Join(d.dir, "run") }
func (d *durable) prom() string    { return filepath.Join(d.dir, "out", "network_metrics.prom") }
func (d *durable) state() string   { return filepath.Join(d.dir, "state") }

// command is a run with what is to go before it.
func (d *durable) command(before []string, flags ...string) *exec.Cmd {
	args := slices.Concat(before, []string{d.program}, d.args(flags...), []string{"--output=" + d.prom()})
	cmd := exec.Command(args[0], args[1:]...)
	// With one processor, system calls come in one order, or nearly.
	cmd.Env = append(os.Environ(), beProgram+"=1", "RUNTIME_DIRECTORY="+d.runtime(), "GOMAXPROCS=1")
	return cmd
}

// measure runs the program, which has to publish, and gives the memory that it took
// at most, in kB, and what it said.
func (d *durable) measure(t *testing.T, flags ...string) (memory int64, log string) {
	t.Helper()
	os.Setenv("RUNTIME_DIRECTORY", d.runtime())
	return measureMemory(t, d.program, append(d.args(flags...), "--output="+d.prom()))
}

// try runs the program and gives how it ended, and what it said.
func (d *durable) try(t *testing.T, before []string, flags ...string) (syscall.WaitStatus, string) {
	t.Helper()
	cmd := d.command(before, flags...)
	log, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus), string(log)
}

// must runs the program, which has to publish and to say no more than that.
func (d *durable) must(t *testing.T, says string, flags ...string) series {
	t.Helper()
	status, log := d.try(t, nil, flags...)
	if status != published || !strings.Contains(log, says) || strings.Count(log, "\n") != min(1, len(says)) {
		t.Fatalf("exit status %d; want 0 and %q, got:\n%s", status.ExitStatus(), says, log)
	}
	return d.look(t)
}

// look reads what was published, which has to be whole and not less than before.
func (d *durable) look(t *testing.T) series {
	t.Helper()
	text, err := os.ReadFile(d.prom())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	all, now := parse(t, text), make(series)
	for name, value := range all {
		switch metric, _, _ := strings.Cut(name, "{"); {
		case metric == "client_traffic_rate_bps" && value < 0:
			t.Fatalf("%s is %v", name, value)
		case metric == "client_traffic_bytes", metric == "client_traffic_packets", strings.HasSuffix(metric, "_total"):
			name, _, _ = strings.Cut(name, ",client=") // it is unknown without its source
			now[name] = value
		}
	}
	for name, before := range d.seen {
		if value, ok := now[name]; !ok || value < before {
			t.Fatalf("%s fell from %v to %v (there: %v)", name, before, value, ok)
		}
	}
	d.seen = now
	return all
}

// files gives the names of all files under the installation.
func (d *durable) files(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, strings.TrimPrefix(path, d.dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// debris gives those that no run left on purpose.
func (d *durable) debris(t *testing.T) (names []string) {
	t.Helper()
	return slices.DeleteFunc(d.files(t), func(name string) bool { return !strings.HasPrefix(filepath.Base(name), ".") })
}

// leave takes away what the installation made, so that another one can count.
func (d *durable) leave(t *testing.T) {
	t.Helper()
	lab.Nft(t, "delete table inet network_metrics")
}

// sweep has a run that follows the last one after a minute.
func (d *durable) sweep(t *testing.T, flags ...string) {
	t.Helper()
	for _, name := range d.debris(t) {
		before := time.Now().Add(-time.Minute)
		if err := os.Chtimes(filepath.Join(d.dir, name), before, before); err != nil {
			t.Fatal(err)
		}
	}
	d.must(t, "", flags...)
	if names := d.debris(t); len(names) > 0 {
		t.Errorf("left over: %q", names)
	}
	known := filepath.Join(d.runtime(), "flows-*")
	if files, err := filepath.Glob(known); err != nil || len(files) > 2 {
		t.Errorf("left over of what is known of flows: %q, %v", files, err)
	}
}

// up is what laptop has sent.
const (
	up   = `client_traffic_bytes{direction="tx",ip="192.168.10.100",client="laptop"}`
	down = `client_traffic_bytes{direction="rx",ip="192.168.10.100",client="laptop"}`
	loss = "network_metrics_exporter_state_losses_total"
)

// The ways to keep the state.
const (
	through     = "--checkpoint-interval=0"
	checkpoints = "--checkpoint-interval=60s"
	flows       = "--accounting=flows" // written through, and besides a file of what is known of flows
)

// each runs a test for each way to keep the state, on a router each.
func each(t *testing.T, f func(t *testing.T, d *durable, flow *lab.Flow, mode string)) {
	t.Parallel()
	for _, mode := range []string{through, checkpoints, flows} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				countFlows(t)
				f(t, installDurable(t, r), lab.UDP(t, "udp4", r.Laptop, r.Server), mode)
			})
		})
	}
}

// TestKilledAtRandom kills runs at any time of theirs.
func TestKilledAtRandom(t *testing.T) {
	each(t, func(t *testing.T, d *durable, flow *lab.Flow, mode string) {
		d.must(t, "", mode) // sets up what counts
		sent := uint64(0)
		start := time.Now()
		d.must(t, "", mode)
		length := time.Since(start)
		killed := 0
		for range 100 {
			sent += flow.Send(t, 1, 100)
			cmd := d.command(nil, mode)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(rand.N(length))
			cmd.Process.Kill()
			if cmd.Wait() != nil {
				killed++
			}
			d.look(t)
		}
		d.must(t, "", mode).expect(t, series{up: float64(sent), loss: 0})
		if killed == 0 {
			t.Error("none of 100 runs was killed")
		}
		d.sweep(t, mode)
	})
}

// calls are the system calls that change files, or tell what they hold.
var calls = []string{"openat", "read", "write", "fsync", "fchmod", "flock", "renameat", "unlinkat", "mkdirat", "getdents64"}

// build makes the program as it is delivered: without a dynamic loader, whose
// calls are none of ours.
func (d *durable) build(t *testing.T) {
	t.Helper()
	d.program = filepath.Join(t.TempDir(), settings.Program)
	cmd := exec.Command("go", "build", "-o", d.program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if log, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, log)
	}
}

// inject runs the program once for each call that it makes, with something done
// to that call; see strace(1). seen gets how each ended. As strace counts the calls of
// each thread, it may have been done to several: then the ledger may be gone, and the
// one before it or the counters too, so that the totals may fall. What is left is put
// in order before the next.
func (d *durable) inject(t *testing.T, call, fault string, seen func(status syscall.WaitStatus, log string), flags ...string) (times int) {
	t.Helper()
	lab.Need(t, "strace")
	const most = 200
	trace := filepath.Join(t.TempDir(), "trace")
	for n := 1; n < most; n++ {
		status, log := d.try(t, []string{"strace", "-f", "-qq", "-o", trace,
			"-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:%s:when=%d", call, fault, n)}, flags...)
		told, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		injected := bytes.Count(told, []byte("INJECTED"))
		if !status.Signaled() && injected == 0 {
			return n - 1
		}
		if injected > 1 {
			d.seen = nil
		}
		seen(status, log)
		if injected > 1 {
			d.try(t, nil, flags...)
			d.seen = nil
		}
	}
	t.Errorf("%s: more than %d times", call, most)
	return most
}

// TestKilledAtEachCall kills runs at each of their system calls that matters,
// before it is carried out.
func TestKilledAtEachCall(t *testing.T) {
	each(t, func(t *testing.T, d *durable, flow *lab.Flow, mode string) {
		d.build(t)
		d.must(t, "", mode)
		kills, sent := make(map[string]int), uint64(0)
		for _, call := range calls {
			kills[call] = d.inject(t, call, "signal=KILL", func(status syscall.WaitStatus, log string) {
				if !status.Signaled() || log != "" {
					t.Fatalf("%s: ended with %v and said:\n%s", call, status, log)
				}
				sent += flow.Send(t, 20, 1000) // enough for a checkpoint now and then
				d.look(t)
			}, mode)
		}
		d.must(t, "", mode).expect(t, series{up: float64(sent), loss: 0})
		t.Logf("killed at %v", kills)
		for _, call := range []string{"openat", "write", "fsync", "renameat"} {
			if kills[call] == 0 {
				t.Errorf("never killed at %s", call)
			}
		}
		d.sweep(t, mode)
	})
}

// TestFailingCalls has system calls fail, one after the other.
func TestFailingCalls(t *testing.T) {
	each(t, func(t *testing.T, d *durable, flow *lab.Flow, mode string) {
		d.build(t)
		d.must(t, "", mode)
		for _, fault := range []struct {
			err   string
			calls []string
		}{
			{"ENOSPC", []string{"openat", "write", "fsync", "renameat"}},
			{"EIO", []string{"openat", "read", "write", "fsync", "renameat", "getdents64", "flock"}},
			{"EINTR", []string{"openat", "read", "write", "fsync"}},
		} {
			for _, call := range fault.calls {
				d.inject(t, call, "error="+fault.err, func(status syscall.WaitStatus, log string) {
					if status.Signaled() || status.ExitStatus() > wrongUsage {
						t.Fatalf("%s of %s: ended with %v and said:\n%s", fault.err, call, status, log)
					}
					// strace counts for each thread: it may be one that would say so.
					if status.ExitStatus() != published && log == "" && call != "write" {
						t.Errorf("%s of %s: exit status %d, and not a word", fault.err, call, status.ExitStatus())
					}
					flow.Send(t, 20, 1000)
					d.look(t)
				}, mode)
			}
		}
		status, log := d.try(t, nil, mode) // says that sources work again, or nothing
		if status != published {
			t.Fatalf("exit status %d:\n%s", status.ExitStatus(), log)
		}
		d.sweep(t, mode)
	})
}

// TestParallelRuns has a timer and many people run the program at once.
func TestParallelRuns(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		for _, mode := range []string{through, checkpoints} {
			d := installDurable(t, r)
			d.must(t, "", mode)
			sent := flow.Send(t, 100, 1000)
			var group sync.WaitGroup
			logs := make([]string, 20)
			for n := range logs {
				group.Go(func() {
					_, logs[n] = d.try(t, nil, mode)
				})
			}
			ended := make(chan struct{})
			go func() {
				group.Wait()
				close(ended)
			}()
			for waiting := true; waiting; {
				select {
				case <-ended:
					waiting = false
				default:
					d.look(t)
				}
			}
			for _, log := range logs {
				// Who waits for too long gives up.
				if log != "" && !strings.Contains(log, "lock ") {
					t.Errorf("said:\n%s", log)
				}
			}
			if got := d.must(t, "", mode)[up]; got < float64(sent) {
				t.Errorf("%v bytes, want %d at least", got, sent)
			}
			d.sweep(t, mode)
			d.leave(t)
		}
	})
}

// reboot empties memory, the runtime directory and the kernel's counters, which a
// power cut does too.
func (d *durable) reboot(t *testing.T) {
	t.Helper()
	d.boots++
	os.Setenv("BOOT_ID", fmt.Sprintf("%032d", d.boots))
	lab.Nft(t, "delete table inet network_metrics")
	lab.Command(t, "conntrack", "-F")
	for _, name := range d.files(t) {
		if strings.HasPrefix(name, "run/") {
			if err := os.Remove(filepath.Join(d.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestPowerCut takes the power away: memory is empty, and the kernel counts from
// zero.
func TestPowerCut(t *testing.T) {
	const upRate = `client_traffic_rate_bps{direction="tx",ip="192.168.10.100",client="laptop"}`
	each(t, func(t *testing.T, d *durable, flow *lab.Flow, mode string) {
		d.must(t, "", mode).expect(t, series{up: 0, down: 0, loss: 0})
		total := float64(flow.Send(t, 100, 1000))
		d.must(t, "", mode).expect(t, series{up: total})
		checkpoint := d.read(t, "state/ledger")
		total += float64(flow.Send(t, 10, 1000))
		d.must(t, "", mode).expect(t, series{up: total, loss: 0})

		d.reboot(t)
		if mode != checkpoints {
			// Written through, nothing is lost but what came since the last run.
			d.must(t, "", mode).expect(t, series{up: total, down: 0, loss: 0, upRate: none})
			return
		}
		if !bytes.Equal(checkpoint, d.read(t, "state/ledger")) {
			t.Fatal("a run between two checkpoints has written to the state directory")
		}
		after := d.must(t, "totals go on from the checkpoint", mode)
		after.expect(t, series{loss: 1, down: 0, upRate: none})
		latest := after[up]
		// It has moved less than that in the last minute.
		if latest < total || latest > total+1<<20 {
			t.Errorf("%v bytes after a power cut, want %v at least and 1 MiB more at most", latest, total)
		}
		latest += float64(flow.Send(t, 50, 1000))
		d.must(t, "", mode).expect(t, series{up: latest, loss: 1})

		// At a shutdown, a last run writes everything through.
		latest += float64(flow.Send(t, 10, 1000))
		d.must(t, "").expect(t, series{up: latest, loss: 1})
		d.reboot(t)
		d.must(t, "", mode).expect(t, series{up: latest, loss: 1})

		// Without a reboot the kernel knows what memory does not.
		total = latest + float64(flow.Send(t, 10, 1000))
		d.must(t, "", mode).expect(t, series{up: total, loss: 1})
		total += float64(flow.Send(t, 1, 1000))
		if err := os.RemoveAll(d.runtime()); err != nil {
			t.Fatal(err)
		}
		after = d.must(t, "totals go on from the checkpoint", mode)
		after.expect(t, series{loss: 2})
		if latest = after[up]; latest < total || latest > total+1<<20 {
			t.Errorf("%v bytes after memory was lost, want %v at least and 1 MiB more at most", latest, total)
		}
	})
}

// TestPowerCutDuringDownload has more than a megabyte within the last minute, and a
// power cut then, or ten minutes later, which a time namespace makes pass.
func TestPowerCutDuringDownload(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		minutes int
		most    func(download float64) float64 // by what the total may be too high
	}{
		{"at once", 0, func(download float64) float64 { return download }},
		{"ten minutes later", 10, func(float64) float64 { return 1 << 20 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				d := installDurable(t, r)
				flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
				d.must(t, "", checkpoints)
				flow.Send(t, 1, 1)
				d.must(t, "", checkpoints)
				download := float64(flow.Reply(t, 3000, 1400))
				total := d.must(t, "", checkpoints)[down]
				if total != download {
					t.Fatalf("%v bytes, want %v", total, download)
				}
				if test.minutes > 0 {
					later := []string{"unshare", "--time", "--boottime", fmt.Sprint(60 * test.minutes), "--fork", "--"}
					if status, log := d.try(t, later, checkpoints); status != published || log != "" {
						t.Fatalf("exit status %d:\n%s", status.ExitStatus(), log)
					}
					d.look(t).expect(t, series{down: total})
				}
				d.reboot(t)
				got := d.must(t, "totals go on from the checkpoint", checkpoints)[down]
				if most := total + test.most(download); got < total || got > most {
					t.Errorf("%v bytes after a power cut, want %v at least and %v at most", got, total, most)
				}
			})
		})
	}
}

// future is a ledger of a version that is yet to come.
func future(ledger []byte) []byte {
	body := bytes.Replace(ledger[:len(ledger)-4], []byte(" ledger "), []byte(" ledger 9"), 1)
	return binary.BigEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func (d *durable) read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestObstacles puts things in the way of the files. A run that cannot save fails,
// says where, and leaves what was published; nothing is lost by that. Where there is
// room for two ledgers but not for a third one, a run that only adds to totals needs
// no more.
func TestObstacles(t *testing.T) {
	t.Parallel()
	mount := func(path, data string, flags uintptr) error { return unix.Mount("tmpfs", path, "tmpfs", flags, data) }
	unmount := func(path string) error { return unix.Unmount(path, 0) }
	fill := func(path string) error {
		err := os.WriteFile(filepath.Join(path, "fill"), make([]byte, 1<<20), 0o600)
		if !errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("it is not full: %w", err)
		}
		return nil
	}
	empty := func(path string) error { return os.Remove(filepath.Join(path, "fill")) }
	forbid := func(path string) error { return mount(path, "", unix.MS_REMOUNT|unix.MS_RDONLY) }
	allow := func(path string) error { return mount(path, "", unix.MS_REMOUNT) }
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		for n, test := range []struct {
			name      string
			mode      string
			file      string // that it is about, which a run has to name
			newcomer  bool   // one more client is there
			works     bool   // all the same
			put, take func(path string) error
		}{
			{"full", through, "state", false, true, fill, empty},
			{"full, and there is a new client", through, "state", true, false, fill, empty},
			{"full", checkpoints, "run", false, false, fill, empty},
			{"full, and a checkpoint is due", "--checkpoint-interval=1ms", "state", false, false, fill, empty},
			{"full", through, "out", false, false, fill, empty},
			{"read-only", through, "state", false, false, forbid, allow},
			{"read-only", through, "out", false, false, forbid, allow},
		} {
			t.Run(fmt.Sprintf("%s %s %s", test.file, test.name, test.mode), func(t *testing.T) {
				d := installDurable(t, r)
				for _, dir := range []string{"state", "run", "out"} {
					path := filepath.Join(d.dir, dir)
					if err := mount(path, "size=64k", 0); err != nil {
						t.Fatal(err)
					}
					defer unmount(path)
				}
				had := d.must(t, "", test.mode)[up]
				path := filepath.Join(d.dir, test.file)
				before := d.read(t, "out/network_metrics.prom")
				if err := test.put(path); err != nil {
					t.Fatal(err)
				}
				if test.newcomer {
					lab.Command(t, "ip", "neigh", "replace", fmt.Sprint("192.168.10.", 50+n), "dev", "br-lan", "lladdr", "02:00:5e:00:53:0a", "nud", "permanent")
				}
				sent := float64(flow.Send(t, 100, 1000))
				status, log := d.try(t, nil, test.mode)
				switch {
				case test.works:
					if status.ExitStatus() != published || log != "" {
						t.Errorf("exit status %d, want %d:\n%s", status.ExitStatus(), published, log)
					}
					d.look(t).expect(t, series{up: had + sent})
				case status.ExitStatus() != failed || !strings.Contains(log, path+"/") || strings.Count(log, "\n") != 1:
					t.Errorf("exit status %d, want %d and a line that names %s:\n%s", status.ExitStatus(), failed, path, log)
				case !bytes.Equal(before, d.read(t, "out/network_metrics.prom")):
					t.Error("what was published is not what it was")
				}
				if err := test.take(path); err != nil {
					t.Fatal(err)
				}
				d.must(t, "", test.mode).expect(t, series{up: had + sent, loss: 0})
				d.sweep(t, test.mode)
				d.leave(t)
			})
		}
	})
}

// TestInTheWay puts something else in the place of each file of the state.
func TestInTheWay(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		outside := filepath.Join(t.TempDir(), "outside")
		if err := os.WriteFile(outside, []byte("not ours"), 0o644); err != nil {
			t.Fatal(err)
		}
		things := map[string]func(path string, data []byte) error{
			"a directory": func(path string, _ []byte) error { return os.MkdirAll(filepath.Join(path, "full"), 0o755) },
			"a link":      func(path string, _ []byte) error { return os.Symlink(outside, path) },
			"a FIFO":      func(path string, _ []byte) error { return unix.Mkfifo(path, 0o600) },
			"a gigabyte": func(path string, _ []byte) error {
				return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<30))
			},
			"nothing at all":  func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
			"half of it":      func(path string, data []byte) error { return os.WriteFile(path, data[:len(data)/2], 0o600) },
			"a newer version": func(path string, data []byte) error { return os.WriteFile(path, future(data), 0o600) },
		}
		for _, name := range slices.Sorted(maps.Keys(things)) {
			t.Run(name, func(t *testing.T) {
				d := installDurable(t, r)
				had := d.must(t, "", through)[up]
				losses := 0.0
				volatile := filepath.Join(d.runtime(), "ledger-"+store.InstanceAt(d.state()))
				for _, path := range []string{d.ledger(), d.ledger() + ".previous", volatile, d.ledger() + ".damaged", d.ledger()} {
					data, err := os.ReadFile(filepath.Join(d.state(), "ledger"))
					if err != nil {
						t.Fatal(err)
					}
					if err := errors.Join(os.RemoveAll(path), things[name](path, data)); err != nil {
						t.Fatal(err)
					}
					says := ""
					switch path { // nobody looks at the others
					case d.ledger():
						says = "totals go on from the ledger of "
						losses++
					case volatile:
						says = "nothing is lost"
					}
					had += float64(flow.Send(t, 1, 100))
					d.must(t, says).expect(t, series{up: had, loss: losses})
					d.must(t, "")
				}
				d.sweep(t)
			})
		}
		if got, err := os.ReadFile(outside); err != nil || string(got) != "not ours" {
			t.Errorf("what links led to is %q (%v)", got, err)
		}
	})
}

// TestUnreadable is about state that belongs to another user.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		d := installDurable(t, r)
		had := d.must(t, "", through)[up] + float64(lab.UDP(t, "udp4", r.Laptop, r.Server).Send(t, 1, 100))
		// Without these, root is one of many. This thread ends with the test.
		runtime.LockOSThread()
		for _, capability := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		// Nobody looks at the ledger before the last one while that can be read.
		for losses, test := range []struct{ file, says string }{{"ledger.previous", ""}, {"ledger", "permission denied"}} {
			if err := os.Chmod(filepath.Join(d.state(), test.file), 0); err != nil {
				t.Fatal(err)
			}
			d.must(t, test.says).expect(t, series{up: had, loss: float64(losses)})
			d.must(t, "")
		}
	})
}
