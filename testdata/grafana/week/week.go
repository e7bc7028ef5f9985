// Package week makes up what a Prometheus has after a week of three routers: one
// with 200 devices, which move data in bursts, and two small ones that something
// is wrong with. It knows how much each device really moved.
package week

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Step is the time between two scrapes, and Devices is how many devices the
// larger router has.
const (
	Step    = 3 * time.Minute
	Devices = 200
	scrapes = int(7*24*time.Hour/Step) + 1
)

// Jobs of Prometheus. Both scrape the larger router: two node_exporters serve
// its file, and Elsewhere has done so for the last three hours.
const (
	Job       = "network-metrics"
	Elsewhere = "node"
)

// Routers, by their label instance.
const (
	Home   = "home"
	Dead   = "cabin"  // nothing was scraped in the last hour
	Frozen = "garage" // its file has not been replaced in the last ten minutes, and has no local traffic
)

// Devices of Home that are of interest. All others have a name of their own.
const (
	Renamed   = "02:00:5e:10:00:00" // "laptop" for half the week, then "work-laptop"
	Phone     = "02:00:5e:10:00:01" // two devices are called "phone"
	OtherOne  = "02:00:5e:10:00:02"
	Nameless  = "02:00:5e:10:00:03"
	Readdress = "02:00:5e:10:00:04" // it has another address for the second half of the week
	NAS       = "02:00:5e:10:00:05" // most of its traffic is local
	Gone      = "02:00:5e:10:00:06" // it was switched off four days before the end, and left the metrics two days later
	New       = "02:00:5e:10:00:c7" // it came 30 minutes before the end, and moved 500 MB before its first scrape
	Address   = "192.168.10.206"    // a device without a MAC
	Other     = ""                  // what belongs to no device
)

// NewBefore is what New had received before its first scrape.
const NewBefore = 500e6

// End returns when the week ends, in the middle of a day and of a period.
func End() time.Time { return time.Date(2026, 3, 11, 18, 0, 0, 0, time.UTC) }

// PeriodStart returns when the current period began, within the week.
func PeriodStart() time.Time { return time.Date(2026, 3, 6, 0, 0, 0, 0, time.UTC) }

// Directions returns the values of the label direction: to the device, and from it.
func Directions() []string { return []string{"rx", "tx"} }

// Week is the made-up data. The same data is made each time.
type Week struct{ routers []router }

type router struct {
	instance string
	last     int // scrape
	lastRun  int // scrape
	devices  []*device
}

// device is what the metrics say of one. Scrapes count from the week's begin;
// totals are by direction and scrape.
type device struct {
	id                 string
	names              []name // from the oldest on; none if it belongs to nobody
	first, last        int    // scrapes with the device
	seen               time.Time
	total, local, peak [2][]uint64
	base               uint64 // of each direction, moved before the week
}

type name struct {
	from       int // scrape
	client, ip string
}

// Make makes up a week.
func Make() *Week {
	random := rand.New(rand.NewPCG(18, 200))
	home := router{instance: Home, last: scrapes - 1, lastRun: scrapes - 1}
	for i := range Devices {
		home.devices = append(home.devices, homeDevice(i))
	}
	home.devices = append(home.devices, &device{id: Other, last: scrapes - 1})
	w := &Week{[]router{
		home,
		{Dead, back(time.Hour), back(time.Hour), []*device{homeDevice(100), homeDevice(101)}},
		{Frozen, scrapes - 1, back(10 * time.Minute), []*device{homeDevice(102), homeDevice(103)}},
	}}
	for _, r := range w.routers {
		for i, d := range r.devices {
			d.move(random, i)
		}
	}
	return w
}

// called returns the names of the first devices.
func called() []string {
	return []string{"laptop", "phone", "phone", "unknown", "tv", "nas", "old-pc", "tablet", "console", "desktop", "camera", "doorbell", "printer"}
}

// homeDevice makes the device of a number, as yet without traffic.
func homeDevice(i int) *device {
	d := &device{
		id:    fmt.Sprintf("02:00:5e:10:00:%02x", i),
		names: []name{{0, fmt.Sprintf("sensor-%d", i), fmt.Sprintf("192.168.10.%d", 10+i)}},
		last:  scrapes - 1,
		seen:  End().AddDate(0, -2, i%30),
		base:  uint64(Devices-i) * 3e8,
	}
	if i == Devices-2 {
		d.id = Address
	}
	if i < len(called()) {
		d.names[0].client = called()[i]
	}
	switch d.id {
	case Renamed:
		d.names = append(d.names, name{scrapes / 2, "work-laptop", d.names[0].ip})
	case Address:
		d.names[0].client = "unknown"
	case Readdress:
		d.names = append(d.names, name{scrapes / 2, d.names[0].client, "192.168.10.250"})
	case Gone:
		d.last = back(48 * time.Hour)
	case New:
		d.first = back(30 * time.Minute)
		d.seen = at(d.first)
		d.base = NewBefore
	}
	return d
}

// move lets a device, the rank-th of its router by what it moves, send and
// receive for as long as it is there: nothing for most of the time, then for
// minutes as fast as it can.
func (d *device) move(random *rand.Rand, rank int) {
	fastest := 2e9 / math.Pow(float64(2+rank), 1.4) // bytes in a Step
	off := scrapes                                  // scrape
	if d.id == Gone {
		off = back(4 * 24 * time.Hour)
		fastest *= 4
	}
	burst, speed := 0, 0.0 // scrapes left of it, and bytes in each
	for direction := range d.total {
		d.total[direction] = make([]uint64, scrapes)
		d.local[direction] = make([]uint64, scrapes)
		d.peak[direction] = make([]uint64, scrapes)
	}
	for i := range scrapes {
		if burst == 0 && random.IntN(rarity(at(i))) == 0 {
			burst, speed = 1+random.IntN(15), fastest*random.Float64()
		}
		var moved float64
		if burst > 0 {
			burst--
			moved = speed * random.Float64()
		}
		for direction, share := range [2]float64{1, 0.1} { // rx, tx
			grew, before, beforeLocal := uint64(0), d.base, uint64(0)
			if i > d.first {
				before, beforeLocal = d.total[direction][i-1], d.local[direction][i-1]
			}
			if d.first < i && i < off {
				grew = uint64(moved*share) + 200
			}
			d.total[direction][i] = before + grew
			d.local[direction][i] = beforeLocal
			if d.id == NAS {
				d.local[direction][i] += grew / 4 * 3
			}
			// A quarter of the time was idle.
			d.peak[direction][i] = grew * 8 / uint64(Step.Seconds()) * 4 / 3
		}
	}
}

// rarity returns how many scrapes there are for each burst, on average: fewest in the
// evening.
func rarity(t time.Time) int {
	switch hour := t.Hour(); {
	case hour < 7:
		return 150
	case hour < 17:
		return 50
	}
	return 25
}

// back returns the scrape a while before the end.
func back(d time.Duration) int { return scrapes - 1 - int(d/Step) }

// at returns when a scrape was made.
func at(scrape int) time.Time { return End().Add(-Step * time.Duration(scrapes-1-scrape)) }

// scrape returns the last one that was made by a time of the week.
func scrape(t time.Time) int {
	return min(max(scrapes-1-int((End().Sub(t)+Step-1)/Step), 0), scrapes-1)
}

// Traffic is an amount of bytes.
type Traffic struct{ All, Local uint64 }

// Internet returns what is not local.
func (t Traffic) Internet() float64 { return float64(t.All - t.Local) }

// Moved returns what a device of Home moved in a direction between two times of the
// week, from its first scrape to its last.
func (w *Week) Moved(id, direction string, from, to time.Time) Traffic {
	d := w.device(id)
	i := slices.Index(Directions(), direction)
	first, last := max(scrape(from), d.first), min(scrape(to), d.last)
	if first > last {
		return Traffic{}
	}
	return Traffic{d.total[i][last] - d.total[i][first], d.local[i][last] - d.local[i][first]}
}

// Peak returns the highest rate of a device of Home, in bits per second, since a time
// of the week.
func (w *Week) Peak(id, direction string, since time.Time) float64 {
	return float64(slices.Max(w.device(id).peak[slices.Index(Directions(), direction)][scrape(since):]))
}

func (w *Week) device(id string) *device {
	devices := w.routers[0].devices
	return devices[slices.IndexFunc(devices, func(d *device) bool { return d.id == id })]
}

// IDs returns the devices of Home, Other the last.
func (w *Week) IDs() []string {
	var ids []string
	for _, d := range w.routers[0].devices {
		ids = append(ids, d.id)
	}
	return ids
}
