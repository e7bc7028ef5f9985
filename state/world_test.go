package state

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// A world is a router that runs the program a number of times while all around it
// changes: a model of the kernel's counters, of the files that the state is in, and
// of what was published.
type world struct {
	*rand.Rand
	t    *testing.T
	seed uint64
	cfg  Config

	// The kernel.
	boot     int
	uptime   time.Duration
	wall     time.Time
	elements map[elementKey]Traffic
	set      uint64 // handle of the sets; each flush makes new ones
	made     bool   // the sets were made since the last run
	networks []netip.Prefix

	// The files. volatile is lost with a boot.
	durable, spare, volatile *Ledger

	// What was published by the last run, and what has to hold of the next one.
	clients, devices map[string][2]uint64
	moved            [2]uint64                // since the last run
	history          map[netip.Addr][]segment // what each address moved in this boot
	lost             bool                     // there is nothing to go on from
	lostRun          bool                     // the growth of the last run is nowhere any more
}

type elementKey struct {
	addr netip.Addr
	d    Direction
}

type segment struct {
	at    time.Duration
	bytes uint64
}

const worldClients = 6

func worldAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 10, byte(100 + i)}) }

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		Rand: rand.New(rand.NewPCG(seed, 14)), t: t, seed: seed, cfg: config,
		uptime: 1000 * time.Second, wall: noon, elements: make(map[elementKey]Traffic), set: 1, made: true, networks: lan,
		history: make(map[netip.Addr][]segment),
	}
	w.cfg.Accounting = Sets
	if w.IntN(2) == 0 {
		w.cfg.CheckpointInterval = time.Minute
	}
	return w
}

// move sends packets for a while.
func (w *world) move() {
	step := 2 * time.Second
	if w.IntN(40) == 0 {
		step = time.Duration(w.IntN(300)) * time.Hour
	}
	w.uptime += step
	w.wall = w.wall.Add(step)
	for i := range worldClients {
		addr := worldAddr(i)
		if w.IntN(3) > 0 {
			continue
		}
		for d := range 2 {
			bytes := w.Uint64N(1 << w.IntN(26))
			if bytes == 0 || d == int(Rx) && w.elements[elementKey{addr, Tx}] == (Traffic{}) {
				continue // an address gets an element only once it has sent
			}
			e := w.elements[elementKey{addr, Direction(d)}]
			w.elements[elementKey{addr, Direction(d)}] = e.plus(Traffic{bytes, 1 + bytes/1000})
			w.moved[d] += bytes
			w.history[addr] = append(w.history[addr], segment{w.uptime, bytes})
		}
	}
}

// happen lets something happen to the machine or to the files.
func (w *world) happen() {
	switch w.IntN(30) {
	case 0: // the ruleset is flushed: what came since the last run is lost
		w.flush()
	case 1: // an orderly reboot: the last run wrote its ledger to the disk
		if w.volatile != nil {
			w.durable = w.volatile
			clone := *w.durable
			clone.Checkpoint = 0
			w.durable = &clone
		}
		w.reboot()
	case 2: // a power cut
		w.reboot()
	case 3: // what is kept in memory is lost
		w.volatile = nil
	case 4: // the ledger on the disk is damaged
		w.damage()
	case 5: // and the kernel's counters are gone as well
		w.damage()
		w.reboot()
		w.lostRun = true
	case 6:
		w.durable, w.spare, w.volatile, w.lost = nil, nil, nil, true
	case 7:
		w.wall = w.wall.Add(time.Duration(w.IntN(400)-200) * time.Hour)
	case 8:
		w.wall = time.Unix(int64(w.IntN(100)), 0)
	case 9:
		w.wall = noon.Add(w.uptime)
	case 10:
		w.cfg.MaxClients = 1 + w.IntN(2*worldClients)
	case 11:
		w.networks = lan[:1+w.IntN(2)]
	case 12:
		w.cfg.CheckpointInterval = time.Duration(w.IntN(2)) * time.Minute
	}
}

func (w *world) flush() {
	clear(w.elements)
	w.set++
	w.made = true
	w.moved = [2]uint64{} // what came since the last run is lost
}

func (w *world) reboot() {
	w.flush()
	w.boot++
	w.uptime = time.Duration(10+w.IntN(100)) * time.Second
	w.volatile = nil
	clear(w.history)
}

func (w *world) damage() {
	if w.volatile == nil {
		w.durable = nil
	}
}

// load finds the ledger to go on from, as the store does.
func (w *world) load() *Ledger {
	if w.volatile != nil {
		return w.volatile
	}
	last, damaged := w.durable, w.durable == nil
	if damaged {
		last = w.spare
	}
	if last == nil {
		w.lost = true
		return &Ledger{Recovered: true}
	}
	if damaged || last.Checkpoint != 0 {
		recovered := *last
		recovered.Recovered = true
		recovered.Losses++
		return &recovered
	}
	return last
}

// save keeps a ledger as the store does: a checkpoint is there twice.
func (w *world) save(l *Ledger) {
	switch {
	case w.cfg.CheckpointInterval == 0:
		w.spare, w.durable, w.volatile = w.durable, l, nil
		if w.spare == nil || l.Twice {
			w.spare = l
		}
	case l.IsCheckpoint():
		w.spare, w.durable, w.volatile = l, l, l
	default:
		w.volatile = l
	}
}

func (w *world) run(n int) {
	last := w.load()
	now := &Sample{
		Instant: Instant{Boot: fmt.Sprint(w.boot), Uptime: w.uptime, Wall: w.wall},
		LAN:     &LAN{},
		Accounting: &Accounting{
			Layout:  Sets,
			Objects: []CounterID{{1, 2 * w.set}, {1, 2*w.set + 1}},
		},
	}
	if w.made {
		now.Accounting.Made = now.Accounting.Objects
	}
	for e, traffic := range w.elements {
		now.Accounting.Counters = append(now.Accounting.Counters, Counter{e.addr, e.d, CounterID{1, 2*w.set + uint64(e.d)}, traffic})
	}
	slices.SortFunc(now.Accounting.Counters, Counter.Compare)
	for i := range worldClients / 2 {
		if w.IntN(4) > 0 {
			now.LAN.Neighbors = append(now.LAN.Neighbors, NeighborEntry{Addr: worldAddr(i), MAC: MAC{2, 5: byte(i % 2)}, State: Stale, Confirmed: time.Duration(w.IntN(400)) * time.Second})
		}
	}
	next, report := Compare(copyOf(last), now, NewScope(w.networks, nil, last.Networks), noNames(), w.cfg)
	w.made = false
	w.checkSeries(n, report)
	if !last.Recovered {
		w.checkSums(n, last, next)
	}
	w.checkReserves(n, next)
	for _, c := range report.Evict {
		delete(w.elements, elementKey{c.Addr, c.Direction})
	}
	next.ForgetReadings(report.Evict)
	w.save(next)
	w.moved, w.lost, w.lostRun = [2]uint64{}, false, false
}

// checkSums holds what the totals grew by to what was moved.
func (w *world) checkSums(n int, last, next *Ledger) {
	var clients, devices [2]uint64
	for d := range clients {
		clients[d] = next.Other.Total[d].Bytes - last.Other.Total[d].Bytes
		devices[d] = next.OtherDevice.Total[d].Bytes - last.OtherDevice.Total[d].Bytes
		for i := range next.Clients {
			clients[d] += next.Clients[i].Total[d].Bytes
			if j, found := slices.BinarySearchFunc(last.Clients, next.Clients[i].Addr, func(c Client, a netip.Addr) int { return c.Addr.Compare(a) }); found {
				clients[d] -= last.Clients[j].Total[d].Bytes
			}
		}
		for i := range next.Devices {
			devices[d] += next.Devices[i].Total[d].Bytes
		}
		for i := range last.Devices {
			if device := &last.Devices[i]; !isPruned(device, next) {
				devices[d] -= device.Total[d].Bytes
			}
		}
	}
	if clients != w.moved || devices != w.moved {
		w.t.Fatalf("world %d, run %d: clients grew by %v, devices by %v, %v was moved", w.seed, n, clients, devices, w.moved)
	}
}

// isPruned reports whether a device is remembered no more, neither as it was nor
// as the MAC that its address turned out to have.
func isPruned(device *Device, next *Ledger) bool {
	_, there := slices.BinarySearchFunc(next.Devices, device.ID, compareIDs)
	hasMAC := slices.ContainsFunc(next.Clients, func(c Client) bool { return c.Addr == device.ID.Addr && !c.Device.MAC.IsZero() })
	return !there && !hasMAC
}

// checkReserves holds the room above each client's total to what it moved in the
// minute before. A slot of the window, and the least time between two checkpoints,
// are the tolerance.
func (w *world) checkReserves(n int, l *Ledger) {
	for i := range l.Clients {
		c := &l.Clients[i]
		var moved uint64
		for _, s := range w.history[c.Addr] {
			if w.uptime-s.at <= window+slotLength+leastCheckpoint {
				moved += s.bytes
			}
		}
		for d := range c.Reserved {
			if c.Reserved[d].Bytes > c.Total[d].Bytes+max(moved, leastReserveBytes) {
				w.t.Fatalf("world %d, run %d: %d bytes are reserved above %v's total, which moved %d in a minute", w.seed, n,
					c.Reserved[d].Bytes-c.Total[d].Bytes, c.Addr, moved)
			}
		}
	}
}

// checkSeries holds what a run published to what the last one did.
func (w *world) checkSeries(n int, r *Report) {
	clients, devices := make(map[string][2]uint64), make(map[string][2]uint64)
	for _, c := range r.Clients {
		clients[c.Addr.String()] = [2]uint64{c.Total[Rx].Bytes, c.Total[Tx].Bytes}
	}
	if r.Other != nil {
		clients[""] = [2]uint64{r.Other.Total[Rx].Bytes, r.Other.Total[Tx].Bytes}
	}
	for _, d := range r.Devices {
		devices[d.ID.String()] = d.Total
	}
	if r.OtherDevice != nil {
		devices[""] = r.OtherDevice.Total
	}
	for _, series := range []struct {
		name        string
		before, now map[string][2]uint64
	}{{"client", w.clients, clients}, {"device", w.devices, devices}} {
		if len(series.now) > 2*(w.cfg.MaxClients+1) {
			w.t.Fatalf("world %d, run %d: %d series of each %s", w.seed, n, len(series.now), series.name)
		}
		if w.lost || w.lostRun {
			continue
		}
		for name, before := range series.before {
			now, ok := series.now[name]
			for d := range before {
				if ok && now[d] < before[d] {
					w.t.Fatalf("world %d, run %d: %s %q fell from %d to %d", w.seed, n, series.name, name, before[d], now[d])
				}
			}
		}
	}
	w.clients, w.devices = clients, devices
}

// TestNoCounterFalls plays many worlds of 120 runs; with -short, as for emulated
// processors, few.
func TestNoCounterFalls(t *testing.T) {
	const shards = 4
	worlds := uint64(3000)
	if testing.Short() {
		worlds = 20
	}
	for shard := range uint64(shards) {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			for seed := shard; seed < worlds; seed += shards {
				w := newWorld(t, seed)
				for n := range 120 {
					w.move()
					w.happen()
					w.run(n)
				}
			}
		})
	}
}
