package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// A fate is what happens between two runs, or a run.
type fate string

const (
	through     fate = "run, written through"
	minute      fate = "run, checkpoint each minute"
	tornThrough fate = "run, written through, killed after its ledger"
	torn        fate = "run, checkpoint each minute, killed after its ledger"
	zero        fate = "run; counters zeroed in place; run"
	flush       fate = "counters flushed"
	second      fate = "a second counter comes, or goes"
	powerCut    fate = "power cut"
	stop        fate = "runtime directory removed"
	flip        fate = "ledger damaged"
	blot        fate = "the ledger before, or the checkpoint's copy, damaged"
)

var fates = []fate{through, minute, tornThrough, torn, zero, flush, second, powerCut, stop, flip, blot}

const mtu = 1500

// machine is a router with two clients, and a kernel that is made up. The store
// and the arithmetic are real.
type machine struct {
	paths     Paths
	clients   []netip.Addr
	boot      int
	uptime    time.Duration
	table     uint64                           // handle of that of the counters
	second    bool                             // whether there is one more for each client
	counters  map[netip.Addr]map[uint64]uint64 // bytes by rule handle, received and sent alike
	made      map[state.CounterID]bool         // by earlier runs
	counted   map[netip.Addr]uint64            // bytes that any counter has ever counted
	published [2]map[netip.Addr]uint64         // the last bytes received, and those of the run before
	gone      bool                             // whether counters ever went that may have counted since the last sample
	goneNow   bool                             // whether they went since the last run
	harmed    bool                             // whether files did, since the last run
	recovered uint64                           // bytes by which a total may be too high
	losses    uint64                           // as published
	moves     int
}

func newMachine(t *testing.T, dir string) *machine {
	t.Helper()
	m := &machine{
		paths:     Paths{Dir: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run")},
		clients:   []netip.Addr{laptop, visitor},
		made:      make(map[state.CounterID]bool),
		counted:   make(map[netip.Addr]uint64),
		published: [2]map[netip.Addr]uint64{{}, {}},
	}
	m.reset()
	for _, path := range []string{m.paths.Dir, m.paths.Runtime} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *machine) reset() {
	m.counters = map[netip.Addr]map[uint64]uint64{laptop: {0: 0}, visitor: {0: 0}}
}

// flow lets the clients move bytes: much once, and then ever less, so
// that it does not make up for what was lost. One comes late.
func (m *machine) flow() {
	m.moves++
	for i, addr := range m.clients {
		n := uint64(100 - m.moves)
		switch {
		case i > 0 && m.moves < 3:
			continue
		case m.moves == 3:
			n = 10_000
		}
		for handle := range m.counters[addr] {
			bytes := n * (1 + 9*handle) * mtu
			m.counters[addr][handle] += bytes
			m.counted[addr] += bytes
		}
	}
}

// sample is what a run sees.
func (m *machine) sample() *state.Sample {
	m.uptime += 2 * time.Second
	now := &state.Sample{
		Instant:    state.Instant{Boot: fmt.Sprintf("%032d", m.boot), Uptime: m.uptime, Wall: time.Unix(1767225600, 0).Add(m.uptime)},
		Accounting: &state.Accounting{Layout: state.Rules},
	}
	a := now.Accounting
	for i, addr := range m.clients {
		for _, d := range []state.Direction{state.Rx, state.Tx} {
			for _, handle := range slices.Sorted(maps.Keys(m.counters[addr])) {
				bytes := m.counters[addr][handle]
				id := state.CounterID{Table: m.table, Object: handle*4 + uint64(2*i) + uint64(d)}
				a.Counters = append(a.Counters, state.Counter{Addr: addr, Direction: d, ID: id, Traffic: state.Traffic{Bytes: bytes, Packets: bytes / mtu}})
				a.Objects = append(a.Objects, id)
				if !m.made[id] {
					m.made[id] = true
					a.Made, a.Repaired = append(a.Made, id), true
				}
			}
		}
	}
	slices.SortFunc(a.Counters, state.Counter.Compare)
	slices.SortFunc(a.Objects, state.CounterID.Compare)
	slices.SortFunc(a.Made, state.CounterID.Compare)
	return now
}

// run does what main does, and returns a report to be published.
func (m *machine) run(interval time.Duration) (*state.Report, error) {
	m.paths.Interval = interval
	d, err := m.paths.Open(0)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	last, err := d.Load()
	lost := errors.As(err, new(*LostError))
	switch {
	case err != nil && !lost, lost && !m.harmed:
		return nil, err
	case last.Recovered && last.Run == 0:
		// The ledger and the one before were damaged at once.
		m.published = [2]map[netip.Addr]uint64{{}, {}}
		m.gone = true
		m.losses = 0
	case last.Recovered && last.Checkpoint == 0 && m.goneNow:
		m.published[0] = m.published[1] // one was damaged, and the counters are gone too
		m.gone = true
	case last.Recovered && last.Checkpoint != 0:
		m.recovered += 20_000 * mtu // what was moved in the minute before, or 1 MiB
	}
	m.harmed, m.goneNow = false, false
	networks := []netip.Prefix{netip.MustParsePrefix("192.168.10.0/24")}
	names := state.NewNameCache(d.Names)
	next, report := state.Compare(last, m.sample(), state.NewScope(networks, nil, nil), names, state.Config{
		Interval: 2 * time.Second, OnlineWindow: time.Minute, ForgetAfter: time.Hour, MaxClients: 10,
		Accounting: state.Rules, PeriodStart: 1, CheckpointInterval: interval,
	})
	if report.Losses < m.losses || last.Recovered && report.Losses == m.losses {
		return nil, fmt.Errorf("%d losses after %d: %v", report.Losses, m.losses, err)
	}
	return report, d.Save(next, names)
}

// publish holds a report to what was published before, and to the truth.
func (m *machine) publish(report *state.Report) error {
	m.losses = report.Losses
	m.published[1] = maps.Clone(m.published[0])
	for _, c := range report.Clients {
		rx, counted := c.Total[state.Rx].Bytes, m.counted[c.Addr]
		switch {
		case c.Rate[state.Rx] < 0 || c.Rate[state.Rx] > 200_000*mtu*8:
			return fmt.Errorf("%v: a rate of %v bit/s", c.Addr, c.Rate[state.Rx])
		case rx < m.published[0][c.Addr]:
			return fmt.Errorf("%v: %d bytes after %d", c.Addr, rx, m.published[0][c.Addr])
		case !m.gone && rx < counted:
			return fmt.Errorf("%v: %d bytes, but %d were moved", c.Addr, rx, counted)
		case rx > counted+m.recovered:
			return fmt.Errorf("%v: %d bytes, but %d were moved, and %d may have been lost", c.Addr, rx, counted, m.recovered)
		}
		m.published[0][c.Addr] = rx
	}
	return nil
}

// suffer lets one thing happen, and gives an error if it should not have ended
// as it did.
func (m *machine) suffer(f fate) error {
	m.flow()
	switch f {
	case through:
		return m.complete(0)
	case minute:
		return m.complete(time.Minute)
	case tornThrough:
		return m.tear(0)
	case torn:
		return m.tear(time.Minute)
	case zero:
		// Without the run, zeroes could not be told from counters that stood
		// still since the checkpoint, if the ledger is lost as well.
		if err := m.complete(time.Minute); err != nil {
			return err
		}
		m.gone, m.goneNow = true, true
		m.reset()
		m.second = false
		return m.complete(time.Minute)
	case flush:
		m.gone, m.goneNow = true, true
		m.reset()
		m.second = false
		m.table++
	case second:
		m.second = !m.second
		m.gone, m.goneNow = m.gone || !m.second, m.goneNow || !m.second
		for _, addr := range m.clients {
			delete(m.counters[addr], 1)
			if m.second {
				m.counters[addr][1] = 0
			}
		}
	case powerCut:
		m.gone, m.goneNow = true, true
		m.harmed = true
		m.reset()
		m.second = false
		m.boot++
		m.uptime = time.Minute
		return os.RemoveAll(m.volatile())
	case stop:
		m.harmed = true
		return os.RemoveAll(m.volatile())
	case flip:
		m.harmed = true
		return errors.Join(damage(m.paths.ledger()), damage(m.volatile()))
	case blot:
		m.harmed = true
		return damage(m.paths.previous())
	}
	return nil
}

// complete is a run that publishes.
func (m *machine) complete(interval time.Duration) error {
	report, err := m.run(interval)
	if err != nil {
		return err
	}
	return m.publish(report)
}

// volatile returns the path of the ledger in the runtime directory.
func (m *machine) volatile() string {
	instance, err := readInstance(filepath.Join(m.paths.Dir, instanceName))
	if err != nil {
		panic(err) // there was a run
	}
	return m.paths.volatile(instance)
}

// tear is a run that is killed when it has left its ledger: everything else is
// as it was.
func (m *machine) tear(interval time.Duration) error {
	later := []string{m.volatile()}
	if interval > 0 {
		later = []string{m.paths.ledger(), m.paths.previous()}
	}
	files := make(map[string][]byte)
	for _, path := range later {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		files[path] = data
	}
	harmed, goneNow := m.harmed, m.goneNow
	if _, err := m.run(interval); err != nil {
		return err
	}
	m.harmed, m.goneNow = harmed, goneNow // what it moved out of the way is there again
	for path, data := range files {
		if err := restore(path, data); err != nil {
			return err
		}
	}
	return nil
}

// restore makes a file what it was.
func restore(path string, data []byte) error {
	if data == nil {
		return os.RemoveAll(path)
	}
	return os.WriteFile(path, data, 0o600)
}

func damage(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 1
	return os.WriteFile(path, data, 0o600)
}

// TestEveryFate lets happen, after a few runs, all that can happen to the state in
// every order of three, and then has two more runs. No total falls, but where the
// ledger and the one before are damaged at once, or by one run's growth where one
// is and the counters are gone too. Nothing is missing where no counters went, and
// each total is exact where no run had to go on from a checkpoint.
func TestEveryFate(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		base := t.TempDir()
		if err := unix.Mount("tmpfs", base, "tmpfs", 0, "size=64m"); err != nil { // fsync(2) is free there
			t.Fatal(err)
		}
		defer unix.Unmount(base, 0)
		tried := 0
		var try func(order ...fate)
		try = func(order ...fate) {
			if len(order) < 3 {
				for _, f := range fates {
					try(append(slices.Clip(order), f)...)
				}
				return
			}
			tried++
			m := newMachine(t, filepath.Join(base, fmt.Sprint(tried)))
			order = slices.Concat([]fate{minute, minute, minute, second, through}, order, []fate{minute, through})
			for i, f := range order {
				if err := m.suffer(f); err != nil {
					t.Fatalf("%q: %v", order[:i+1], err)
				}
			}
			if err := os.RemoveAll(filepath.Dir(m.paths.Dir)); err != nil {
				t.Fatal(err)
			}
		}
		try()
	})
}
