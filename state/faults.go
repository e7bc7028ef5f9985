package state

import (
	"errors"
	"maps"
	"slices"
	"time"
)

// bootTime is how long after a boot a LAN interface may be missing before that is
// news: timers start before networks do.
const bootTime = time.Minute

// recordErrors remembers what fails, and returns the results that are news.
func (l *Ledger) recordErrors(now *Sample) (news []SourceResult) {
	results := now.Results
	if now.Accounting != nil {
		results = append(slices.Clone(results), SourceResult{Source: coverage, Err: now.Accounting.gaps()})
	}
	faults := maps.Clone(l.Faults)
	if faults == nil {
		faults = make(map[Source]string)
	}
	for _, r := range results {
		if now.Uptime < bootTime && errors.Is(r.Err, ErrNoInterface) {
			continue
		}
		delete(faults, r.Source)
		if r.Err != nil {
			faults[r.Source] = r.Err.Error()
		}
		if faults[r.Source] != l.Faults[r.Source] {
			news = append(news, r)
		}
	}
	l.Faults = faults
	return news
}

// coverage stands among the sources for the accounting as a whole: it fails
// where counters that can be read do not count everything.
const coverage Source = "accounting"

// gaps tells what goes uncounted, nil if nothing does.
func (a *Accounting) gaps() error {
	var gaps []error
	switch {
	case a.Flowtable == NoFlowtable:
	case a.Layout != Flows:
		gaps = append(gaps, errors.New("a flowtable (offload) lets packets pass uncounted: "+
			"use --accounting=flows, with sysctl net.netfilter.nf_conntrack_acct=1 and the flag counter on the flowtable"))
	case a.Flowtable == UncountedFlowtable:
		gaps = append(gaps, errors.New("a flowtable (offload) lets packets pass uncounted: add the flag counter to it"))
	}
	if a.Full {
		gaps = append(gaps, errors.New("no room for new clients, which are counted in the series of other: "+
			"raise --max-clients, or look for a host that scans or spoofs addresses"))
	}
	return errors.Join(gaps...)
}
