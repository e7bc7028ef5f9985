package state

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// bootTime is how long after a boot a LAN interface may be missing before that is
// news: timers start before networks do.
const bootTime = time.Minute

// recordErrors remembers what fails, and returns the results that are news.
func (l *Ledger) recordErrors(now *Sample, cfg Config) (news []SourceResult) {
	results := now.Results
	if now.Accounting != nil {
		results = append(slices.Clone(results), SourceResult{Source: coverage, Err: now.Accounting.gaps(cfg.Interval)})
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

// gaps tells what goes uncounted if a run is made once an interval, nil if nothing
// does.
func (a *Accounting) gaps(interval time.Duration) error {
	var gaps []error
	switch {
	case !a.IsBypassed():
	case a.Layout != Flows:
		gaps = append(gaps, errors.New("a flowtable (offload) lets packets pass uncounted: "+
			"use --accounting=flows, with sysctl net.netfilter.nf_conntrack_acct=1 and the flag counter on the flowtable"))
	default:
		gaps = append(gaps, errors.New("a flowtable (offload) lets packets pass uncounted: add the flag counter to it"))
	}
	if a.Layout == Flows && interval > maxFlowsAge {
		gaps = append(gaps, fmt.Errorf("connections that end between two runs lose their last bytes: "+
			"--interval=%v is too long for --accounting=flows, want %v or less", interval.Seconds(), maxFlowsAge.Seconds()))
	}
	if a.Full {
		where := `they are counted together, as client="other"`
		if a.Layout == Rules {
			where = "they are not counted"
		}
		gaps = append(gaps, fmt.Errorf("no room for new clients: %s: "+
			"raise --max-clients, or look for a host that scans or spoofs addresses", where))
	}
	return errors.Join(gaps...)
}
