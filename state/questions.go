package state

import (
	"cmp"
	"errors"
	"maps"
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

// Questions gives the addresses that DNS is to be asked about in this run: those
// of clients whom nobody else names, at most maxQuestions, the longest unasked
// first. A client that was met in this run is asked about in the next.
func Questions(last *Ledger, now *Sample, scope Scope, cfg Config) []netip.Addr {
	asked := last.Asked
	if last.Boot != now.Boot || last.Uptime > now.Uptime {
		asked = nil
	}
	names := newNamer(last, now.Names, cfg)
	var due []netip.Addr
	for _, addr := range last.shown(nil, scope, cfg) {
		pause := askAgain
		switch _, source := names.name(addr, last.Clients[addr].MAC); source {
		case FromNone:
		case FromDNS:
			pause = askAfresh
		default:
			continue
		}
		if at, ok := asked[addr]; !ok || now.Uptime-at >= pause {
			due = append(due, addr)
		}
	}
	slices.SortFunc(due, func(a, b netip.Addr) int { return cmp.Or(cmp.Compare(asked[a], asked[b]), a.Compare(b)) })
	return due[:min(len(due), maxQuestions)]
}

// noteAsked notes which addresses DNS was asked about in this run.
func (l *Ledger) noteAsked(addrs []netip.Addr) {
	if len(addrs) == 0 {
		return
	}
	asked := maps.Clone(l.Asked)
	if asked == nil {
		asked = make(map[netip.Addr]time.Duration, len(addrs))
	}
	maps.DeleteFunc(asked, func(_ netip.Addr, at time.Duration) bool { return l.Uptime-at >= askAfresh })
	for _, addr := range addrs {
		asked[addr] = l.Uptime
	}
	l.Asked = asked
}

// Fault gives the error that a source had when it was last asked, nil if it had
// none.
func (l *Ledger) Fault(source Source) error {
	if text, ok := l.Faults[source]; ok {
		return errors.New(text)
	}
	return nil
}
