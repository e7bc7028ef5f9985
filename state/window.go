package state

import (
	"math"
	"slices"
	"time"
)

// The window is what the peaks and averages of a client are taken over: a
// minute, which moves on by a bucket at a time. A single interval that is longer
// than it is the window.
const (
	window = time.Minute
	bucket = 10 * time.Second
)

// Burst is what a client moved in one bucket of the window.
type Burst struct {
	Bucket time.Duration // one of Ledger.Buckets
	Bytes  [2]uint64     // by Direction
	Peak   [2]uint64     // highest rate that was published, bits per second rounded up
}

// slide lets the window end with this sample, which has been counted but is no
// mark yet. Base is what its rates are taken from, -1 if it has none.
func (l *Ledger) slide(base int) {
	last := len(l.Marks) - 1
	if last < 0 || l.Marks[last] == l.Uptime {
		return // nothing is known of before, or no time has passed
	}
	if len(l.Buckets) == 0 || l.Marks[last]/bucket != l.Uptime/bucket {
		l.Buckets = append(slices.Clip(l.Buckets), l.Marks[last])
	}
	for len(l.Buckets) > 1 && l.Uptime-l.Buckets[0] > window {
		l.Buckets = l.Buckets[1:]
	}
	current := l.Buckets[len(l.Buckets)-1]
	for addr, c := range l.Clients {
		for len(c.Bursts) > 0 && c.Bursts[0].Bucket < l.Buckets[0] {
			c.Bursts = c.Bursts[1:]
		}
		b := Burst{Bucket: current}
		for d, before := range c.Marks[last] {
			if total := c.Total[d].Bytes; total > before {
				b.Bytes[d] = total - before
			}
		}
		if base >= 0 {
			for d, bps := range c.rate(base, l.Uptime-l.Marks[base]) {
				b.Peak[d] = uint64(math.Ceil(min(bps, math.MaxInt64)))
			}
		}
		if b != (Burst{Bucket: current}) {
			c.Bursts = join(c.Bursts, b)
		}
		l.Clients[addr] = c
	}
}

// join gives the bursts with one more at their end, as one if they are of the
// same bucket. It leaves the slice that it was given alone.
func join(bursts []Burst, b Burst) []Burst {
	if n := len(bursts) - 1; n >= 0 && bursts[n].Bucket == b.Bucket {
		for d := range b.Bytes {
			b.Bytes[d] += bursts[n].Bytes[d]
			b.Peak[d] = max(b.Peak[d], bursts[n].Peak[d])
		}
		bursts = bursts[:n]
	}
	return append(slices.Clip(bursts), b)
}

// overWindow gives a client's highest and its average rate over the window, in
// bits per second by direction.
func (l *Ledger) overWindow(c Client) (peak, average [2]float64) {
	for _, b := range c.Bursts {
		for d := range peak {
			peak[d] = max(peak[d], float64(b.Peak[d]))
			average[d] += float64(b.Bytes[d]) * 8 / (l.Uptime - l.Buckets[0]).Seconds()
		}
	}
	return peak, average
}
