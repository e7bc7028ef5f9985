package state

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// How DNS is asked for names.
const (
	// maxQuestions are asked in one run.
	maxQuestions = 8
	// askAgain is when an address that DNS knew no name of is asked about again.
	askAgain = 10 * time.Minute
	// askAfresh is when a name that DNS gave is asked for again.
	askAfresh = 6 * time.Hour
)

// Questions returns the addresses that DNS is to be asked about in this run: those
// of clients whom nobody else named in the last run, at most maxQuestions, the
// longest unasked first.
func (l *Ledger) Questions(now Instant, cfg Config) []netip.Addr {
	steady := l.steadyTime(now, cfg.Trusts(now.Wall), cfg)
	var due []*Client
	for i := range l.Clients {
		c := &l.Clients[i]
		pause := askAgain
		switch c.Source {
		case FromHosts, FromDHCP:
			continue
		case FromDNS:
			pause = askAfresh
		}
		if c.HasSeries && (c.Asked == 0 || steady-c.Asked >= pause) {
			due = append(due, c)
		}
	}
	slices.SortFunc(due, func(a, b *Client) int { return cmp.Or(cmp.Compare(a.Asked, b.Asked), a.Addr.Compare(b.Addr)) })
	var addrs []netip.Addr
	for _, c := range due[:min(len(due), maxQuestions)] {
		addrs = append(addrs, c.Addr)
	}
	return addrs
}
