package state

import (
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestCeiling(t *testing.T) {
	const most = math.MaxUint64
	tests := map[string]struct {
		now, then, last uint64
		lost            float64
		want            uint64
	}{
		"never moved":                      {want: 0},
		"small":                            {now: 100, then: 100, want: 200},
		"large":                            {now: 1 << 40, then: 1 << 40, want: 1<<40 + 1000},
		"moved much":                       {now: 5000, then: 2000, want: 11000},
		"room given":                       {now: 5000, then: 4999, last: 9000, want: 9001},
		"room given, half of it lost":      {now: 5000, then: 4999, last: 9000, lost: 0.5, want: 7001},
		"less room given than it needs":    {now: 5000, then: 3000, last: 5001, want: 9000},
		"no room left":                     {now: 5000, then: 4000, last: 5000, want: 7000},
		"passed":                           {now: 5000, then: 4000, last: 4500, want: 7000},
		"fell, as after another loss":      {now: 2000, then: 3000, last: 4000, lost: 1, want: 3000},
		"beyond what can be counted":       {now: most - 5, then: 0, want: most},
		"at what can be counted":           {now: most, then: most, want: most},
		"room beyond exact floating point": {now: 1, then: 1, last: most, want: most},
		"all of such room lost":            {now: 2000, then: 2000, last: most, lost: 1, want: 3000},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ceiling(test.now, 0, test.then, test.last, 1000, test.lost); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// TestCheckpoints counts, over six hours of two-second runs, the checkpoints that
// come before their time, and what they overstate by.
func TestCheckpoints(t *testing.T) {
	const interval, run, runs = time.Minute, 2 * time.Second, 6 * 3600 / 2
	random := rand.New(rand.NewPCG(1, 2))
	chatter := func(int) uint64 { return uint64(random.IntN(300)) }
	for _, test := range []struct {
		name    string
		clients int
		moves   func(run int) uint64 // bytes that a client moves
		forced  int                  // at most
		over    uint64               // bytes, at most
	}{
		{"idle", 20, func(int) uint64 { return 0 }, 0, 0},
		{"chatter", 20, chatter, 10, leastBytes},
		// A Mbit/s needs twice what it moves in a minute.
		{"steady", 20, func(int) uint64 { return 250_000 }, 5, 15_000_000},
		// A page of up to 6 MiB every other minute.
		{"browsing", 20, func(run int) uint64 {
			if random.IntN(60) > 0 {
				return chatter(run)
			}
			return uint64(random.IntN(6 << 20))
		}, 150, 50_000_000},
		// 100 Mbit/s, every other half hour.
		{"downloads", 1, func(run int) uint64 { return uint64(run / 900 % 2 * 25_000_000) }, 40, 1_500_000_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &Ledger{Instant: Instant{Boot: "0"}, Clients: make(map[netip.Addr]Client)}
			for addr := netip.MustParseAddr("192.168.10.9"); len(l.Clients) < test.clients; addr = addr.Next() {
				l.Clients[addr] = Client{}
			}
			c := l.Checkpoint(nil, interval)
			forced, over := 0, uint64(0)
			for n := range runs {
				l.Uptime += run
				for addr, client := range l.Clients {
					bytes := test.moves(n)
					client.add([2]Traffic{Tx: {Bytes: bytes, Packets: (bytes + 999) / 1000}})
					l.Clients[addr] = client
				}
				due := l.Uptime-c.Uptime >= interval
				if due || !c.Covers(l) {
					c = l.Checkpoint(c, interval)
				}
				if !due && c.Uptime == l.Uptime {
					forced++
				}
				for addr, client := range c.Clients {
					over = max(over, client.Ceiling[Tx].Bytes-l.Clients[addr].Total[Tx].Bytes)
				}
			}
			t.Logf("%d checkpoints before their time, %d bytes too much", forced, over)
			if forced > test.forced || over > test.over {
				t.Errorf("%d checkpoints before their time and %d bytes too much, want %d and %d at most", forced, over, test.forced, test.over)
			}
		})
	}
}

// TestBound drops those who have been away for longest, and nobody who is shown
// or counted.
func TestBound(t *testing.T) {
	addrs := make([]netip.Addr, 6)
	l := &Ledger{Clients: make(map[netip.Addr]Client)}
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{192, 168, 10, byte(9 - i)})
		l.Clients[addrs[i]] = Client{Since: time.Unix(int64(i), 0), Seen: time.Unix(int64(i), 0)}
	}
	counted := l.Clients[addrs[0]]
	counted.Counted[Rx] = []Reading{{}}
	l.Clients[addrs[0]] = counted
	shown := addrs[1:2]

	for _, test := range []struct {
		most int
		want []netip.Addr
	}{
		{7, addrs},
		{6, addrs},
		{5, []netip.Addr{addrs[0], addrs[1], addrs[3], addrs[4], addrs[5]}},
		{3, []netip.Addr{addrs[0], addrs[1], addrs[5]}},
		{0, []netip.Addr{addrs[0], addrs[1]}},
	} {
		l.bound(test.most, shown)
		if got := slices.Collect(maps.Keys(l.Clients)); !sameAddrs(got, test.want) {
			t.Errorf("of at most %d there are %v, want %v", test.most, got, test.want)
		}
	}
}

func sameAddrs(a, b []netip.Addr) bool {
	return slices.Equal(slices.SortedFunc(slices.Values(a), netip.Addr.Compare), slices.SortedFunc(slices.Values(b), netip.Addr.Compare))
}

// TestCovers changes a ledger after its checkpoint, one thing at a time.
func TestCovers(t *testing.T) {
	addr, stranger, fresh := netip.MustParseAddr("192.168.10.9"), netip.MustParseAddr("192.168.10.10"), netip.MustParseAddr("192.168.10.11")
	id := func(object uint64, bytes uint64) []Reading {
		return []Reading{{ID: CounterID{Table: 1, Object: object}, Traffic: Traffic{bytes, bytes}}}
	}
	ledger := func() *Ledger {
		return &Ledger{
			Other: Tally{Total: [2]Traffic{Rx: {1000, 10}}},
			Clients: map[netip.Addr]Client{
				addr:     {Tally: Tally{Total: [2]Traffic{Tx: {1000, 10}}}, Counted: [2][]Reading{Tx: id(1, 5)}, Since: time.Unix(1, 0)},
				stranger: {},
			},
		}
	}
	client := func(addr netip.Addr, change func(*Client)) func(*Ledger) {
		return func(l *Ledger) {
			c := l.Clients[addr]
			change(&c)
			l.Clients[addr] = c
		}
	}
	for name, test := range map[string]struct {
		change func(*Ledger)
		want   bool
	}{
		"nothing":                            {func(*Ledger) {}, true},
		"a reset":                            {func(l *Ledger) { l.Resets++ }, false},
		"a loss":                             {func(l *Ledger) { l.Losses++ }, false},
		"others at their ceiling":            {func(l *Ledger) { l.Other.Total[Rx] = Traffic{2000, 20} }, true},
		"others above, in bytes":             {func(l *Ledger) { l.Other.Total[Rx].Bytes = 2001 }, false},
		"others above, in packets":           {func(l *Ledger) { l.Other.Total[Rx].Packets = 21 }, false},
		"a client at its ceiling":            {client(addr, func(c *Client) { c.Total[Tx] = Traffic{2000, 20} }), true},
		"a client above it":                  {client(addr, func(c *Client) { c.Total[Tx].Bytes = 2001 }), false},
		"a client's floor above it":          {client(addr, func(c *Client) { c.Floor[Tx].Bytes = 2001 }), false},
		"a client's first bytes":             {client(addr, func(c *Client) { c.Total[Rx].Bytes = 1 }), false},
		"a counter that is new":              {client(addr, func(c *Client) { c.Counted[Rx] = id(2, 1) }), false},
		"one that has counted nothing":       {client(addr, func(c *Client) { c.Counted[Rx] = id(2, 0) }), true},
		"one that is no client's":            {client(stranger, func(c *Client) { c.Counted[Rx] = id(2, 1) }), true},
		"a client without traffic":           {client(fresh, func(c *Client) { c.Since = time.Unix(1, 0) }), true},
		"a client's counter that fell":       {client(addr, func(c *Client) { c.Counted[Tx] = id(1, 1) }), true},
		"a client's counter that is no more": {client(addr, func(c *Client) { c.Counted[Tx] = nil }), true},
	} {
		t.Run(name, func(t *testing.T) {
			l := ledger()
			c := l.Checkpoint(nil, time.Minute)
			test.change(l)
			if got := c.Covers(l); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
