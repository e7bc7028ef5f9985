// Command network-metrics-exporter measures who uses how much of a router's
// network, right now, and who is there. Each start takes one sample, compares it
// with that of the start before, and replaces one file of metrics.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/version"

	"network-metrics-exporter/sources/clock"
	"network-metrics-exporter/sources/conntrack"
	"network-metrics-exporter/sources/dhcp"
	"network-metrics-exporter/sources/dns"
	"network-metrics-exporter/sources/health"
	"network-metrics-exporter/sources/neighbor"
	"network-metrics-exporter/sources/nftables"
	"network-metrics-exporter/sources/terminal"
	"network-metrics-exporter/sources/wireguard"
	"network-metrics-exporter/state"
	"network-metrics-exporter/state/metrics"
	"network-metrics-exporter/state/settings"
	"network-metrics-exporter/state/store"
	"network-metrics-exporter/state/table"
)

// Exit statuses.
const (
	published  = 0 // the .prom file was replaced, even if a source failed: the file says so
	failed     = 1 // nothing was published or shown, or an examination failed
	wrongUsage = 2
)

// lockTimeout is how long a run waits for another one: far longer than that
// takes, and no longer than the timer's interval.
const lockTimeout = 2 * time.Second

func main() {
	// A run is over before it would pay to collect garbage, but for networks of
	// tens of thousands of clients.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(160 << 20)
	e := exporter{start: time.Now(), stdout: os.Stdout, stderr: os.Stderr, becomeOwner: store.BecomeOwner}
	os.Exit(e.run(os.Args[1:]))
}

// exporter is one start of the program.
type exporter struct {
	*settings.Settings
	start          time.Time
	stdout, stderr io.Writer
	becomeOwner    func(dir string) error // store.BecomeOwner; tests, which share their process, stay who they are
	log            *slog.Logger
	last           *state.Ledger     // what the last run left, for all commands but sample
	lastErr        error             // why it is not known
	flows          *state.FlowMemory // what is remembered of single flows; nil: nothing yet

	// What check examines besides.
	ruleset *nftables.Ruleset
	files   []dhcp.File
}

// run does what the command line says and returns the exit status.
func (e *exporter) run(args []string) int {
	workDir, _ := os.Getwd() // without it relative paths stay relative
	var err error
	if e.Settings, err = settings.Parse(args, os.Getenv, workDir); err != nil {
		return e.refuse(wrongUsage, err)
	}
	switch {
	case e.Help:
		fmt.Fprint(e.stdout, settings.Help(e.Command))
		return published
	case e.Version:
		fmt.Fprintln(e.stdout, version.Print(settings.Program))
		return published
	}
	if err := e.becomeOwner(e.StateDir); err != nil {
		return e.refuse(failed, err)
	}
	e.Log.Writer = e.stderr
	e.log = promslog.New(&e.Log)
	if e.Command != settings.Sample {
		if err := e.loadSettings(); err != nil {
			return e.refuse(wrongUsage, err)
		}
	}
	if e.Command.Samples() {
		if err := e.prepare(); err != nil {
			return e.refuse(wrongUsage, err)
		}
	}
	// Each logs the error that it returns.
	execute := map[settings.Command]func() error{
		settings.Bare:     e.sample,
		settings.Sample:   e.sample,
		settings.Show:     e.show,
		settings.Check:    e.check,
		settings.Teardown: e.teardown,
	}
	if err := execute[e.Command](); err != nil {
		return failed
	}
	return published
}

// refuse says why nothing was begun.
func (e *exporter) refuse(status int, err error) int {
	fmt.Fprintf(e.stderr, "%s: %v\n", settings.Program, err)
	return status
}

// loadSettings takes what the command line does not say from the settings of the
// last sample, and does without them where they cannot be read.
func (e *exporter) loadSettings() error {
	e.last, e.lastErr = e.paths().LoadReadOnly()
	if e.last.Boot == "" { // there was none, or it is not known
		return nil
	}
	warnings, err := e.ApplyRemembered(e.last.Settings)
	for _, warning := range warnings {
		e.log.Warn(warning)
	}
	return err
}

// paths returns where the state is kept.
func (e *exporter) paths() store.Paths {
	return store.Paths{Dir: e.StateDir, Runtime: e.RuntimeDir, Interval: e.CheckpointInterval}
}

// prepare makes sure that files can be put where the settings say.
func (e *exporter) prepare() error {
	if e.Output != settings.Stdout {
		if err := store.CheckOutput(e.Output); err != nil {
			return fmt.Errorf("--output=%s: want a regular file, or a path where nothing is: %w", e.Output, err)
		}
	}
	flags := e.Directories()
	if dir, err := store.MakeDirectories(slices.Sorted(maps.Keys(flags))); err != nil {
		return fmt.Errorf("%s: want a directory that user %d can write to: %w", flags[dir], os.Geteuid(), err)
	}
	return nil
}

// sample publishes one file.
func (e *exporter) sample() error {
	if e.lastErr != nil { // by hand: it might change what the timer set up
		e.log.Error("nothing published: the settings of the last sample cannot be read, and only the command sample goes on without them", "err", e.lastErr)
		return e.lastErr
	}
	wrote, err := e.sampleAndPublish(e.Wait)
	if err == nil && !wrote {
		time.Sleep(e.Interval)
		_, err = e.sampleAndPublish(false)
	}
	if err != nil {
		e.log.Error("nothing published", "err", err)
	}
	return err
}

// show prints what a run would publish. It only reads, so that it can run beside
// the timer at any time: what it finds is neither saved nor published.
func (e *exporter) show() error {
	if e.lastErr != nil {
		e.log.Warn("totals unknown: the state cannot be read", "err", e.lastErr)
	}
	names := state.NewNameCache(e.paths().NamesReadOnly)
	last := e.last
	now, scope, err := e.collect(last, store.InstanceAt(e.StateDir))
	if err == nil && now.Accounting != nil && !last.IsRecent(now.Instant, e.Config) {
		// Rates since a sample of long ago would not be those of now.
		last, _ = state.Compare(last, now, scope, names, e.Config)
		terminal.Countdown(e.stderr, e.Interval, fmt.Sprintf("no sample of the last %v: measuring for", e.Overdue()))
		now, scope, err = e.collect(last, store.InstanceAt(e.StateDir))
	}
	if err != nil {
		e.log.Error("nothing shown", "err", err)
		return err
	}
	_, report := state.Compare(last, now, scope, names, e.Config)
	e.logResults(slices.DeleteFunc(report.Results, func(r state.SourceResult) bool { return r.Err == nil }))
	output := terminal.Inspect(e.stdout, os.Getenv)
	return table.Write(e.stdout, report, table.Options{
		Sort: table.Sort(e.Sort), Addresses: e.Addresses, JSON: e.JSON,
		Width: output.Width, Color: output.Color,
		// What the kernel has counted since the last run is no total without it.
		Totals: e.lastErr == nil && (last.Boot != "" || now.Accounting != nil),
	})
}

// check examines the machine and prints what it finds, a line each.
func (e *exporter) check() error {
	e.last.Flows = nil // an examination holds nothing back
	now, _, err := e.collect(e.last, store.InstanceAt(e.StateDir))
	if err != nil {
		e.log.Error("nothing examined", "err", err)
		return err
	}
	findings := health.Examine(health.Machine{
		Config: e.Config, Interfaces: e.Interfaces, Networks: e.Networks, Output: e.Output, StateDir: e.StateDir, Port: e.Port,
		Files: e.files, Ruleset: e.ruleset, Sample: now, Last: e.last, LastErr: e.lastErr,
	})
	return health.Report(e.stdout, findings, e.JSON, terminal.Inspect(e.stdout, os.Getenv).Color)
}

// teardown removes what the accounting made. It waits for a run that is at work,
// which would put it back.
func (e *exporter) teardown() error {
	dir, err := e.paths().Open(lockTimeout)
	if err == nil {
		defer dir.Close()
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = health.WithCapability(nftables.Teardown())
	}
	if err != nil {
		e.log.Error("accounting not removed", "err", err)
	}
	return err
}

// sampleAndPublish takes a sample from start to end. It saves before it publishes,
// so that no total is ever seen that a later run does not know of. With needRates a
// sample that has nothing to be compared with is saved and not published.
func (e *exporter) sampleAndPublish(needRates bool) (wrote bool, err error) {
	dir, err := e.paths().Open(lockTimeout)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	last, err := dir.Load()
	if lost := (*store.LostError)(nil); errors.As(err, &lost) {
		e.log.Warn("state incomplete", "err", err)
	} else if err != nil {
		return false, err
	}
	now, scope, err := e.collect(last, dir.Instance())
	if err != nil {
		return false, err
	}
	names := state.NewNameCache(dir.Names)
	next, report := state.Compare(last, now, scope, names, e.Config)
	next.Settings = e.Explicit
	deleted, err := nftables.Forget(report.Evict, report.Accounting)
	if err != nil {
		e.log.Warn("idle counters not deleted", "err", err)
	}
	next.ForgetReadings(deleted)
	if err := e.save(dir, next, names, now.FlowMemory); err != nil {
		return false, err
	}
	e.logResults(report.Changes)
	if needRates && !report.Rates {
		return false, nil
	}
	err = e.publish(report)
	return err == nil, err
}

// logResults says which sources fail, or fail no more.
func (e *exporter) logResults(results []state.SourceResult) {
	for _, r := range results {
		if r.Err != nil {
			e.log.Warn(string(r.Source)+" fails", "err", r.Err)
		} else {
			e.log.Info(string(r.Source) + " works again")
		}
	}
}

// save leaves everything to the next run.
func (e *exporter) save(dir *store.Dir, next *state.Ledger, names *state.NameCache, flows *state.FlowMemory) error {
	if err := dir.SaveFlows(next, flows); err != nil && e.Accounting == state.Flows {
		return err
	}
	if err := dir.Save(next, names); err != nil {
		return err
	}
	if err := dir.NamesError(); err != nil {
		e.log.Warn("remembered names incomplete", "err", err)
	}
	return nil
}

// publish replaces the file of metrics, or prints it.
func (e *exporter) publish(report *state.Report) error {
	render := func(to io.Writer) error {
		return metrics.Render(to, report, metrics.Run{
			Duration: time.Since(e.start), Protocols: e.PerProtocol,
			Version: cmp.Or(version.Version, "devel"), GoVersion: version.GoVersion,
		})
	}
	if e.Output == settings.Stdout {
		return render(e.stdout)
	}
	return store.Replace(e.Output, 0o644, render)
}

// collect takes a sample. A source that fails takes no other one down: it fails only
// if the clocks cannot be read.
func (e *exporter) collect(last *state.Ledger, instance string) (*state.Sample, state.Scope, error) {
	var s state.Sample
	s.LAN = collectFrom(&s, state.Neighbor, func() (*state.LAN, error) { return readLAN(e.Interfaces, len(last.Clients)) })
	scope := state.NewScope(e.Networks, s.LAN, last.Networks)
	begun, err := clock.Read()
	if err != nil {
		return nil, scope, err
	}
	held := last.HeldFlows(begun, scope, e.Config)
	if e.flows == nil {
		if e.flows, err = e.paths().FlowFiles().Load(last.FlowFileOf(begun)); err != nil {
			e.log.Warn("what connections moved since the last run is lost", "err", err)
		}
	}
	counter := last.FlowCounter(begun, scope, e.flows, e.Config)
	readFlows := func() (*state.TrackedFlows, error) { return conntrack.Read(scope.Contains, held, counter) }
	if !counter.IsBase() {
		s.Conntrack = collectFrom(&s, state.Conntrack, readFlows)
	}
	s.Held = held != nil && e.Accounting == state.Flows
	s.Accounting = collectFrom(&s, state.NFTables, func() (*state.Accounting, error) {
		if s.Held {
			return nil, last.Fault(state.NFTables) // it works as it did
		}
		return e.account(nftables.Plan{
			Layout: e.Accounting, Interfaces: e.Interfaces, Networks: scope.Networks, MaxClients: e.MaxClients,
			Clients:    last.ClientsToCount(s.LAN, s.Conntrack, scope, e.Config),
			Owner:      nftables.Owner{ID: instance, Path: e.StateDir},
			OwnerAlive: func(o nftables.Owner) bool { return store.InstanceAt(o.Path) == o.ID },
			Last:       last.ReadingsOf(begun),
		})
	})
	// Right after the counters, as rates are theirs.
	if s.Instant, err = clock.Read(); err != nil {
		return nil, scope, err
	}
	if counter.IsBase() { // what came until now was the former layout's to count
		s.Conntrack = collectFrom(&s, state.Conntrack, readFlows)
	}
	s.TakeFlows(counter, held)
	e.flows = cmp.Or(s.FlowMemory, e.flows)
	s.Names = collectFrom(&s, state.DHCP, func() (names []state.NameRecord, err error) {
		names, e.files, err = dhcp.Read(e.Trusted(s.Instant), e.Leases, e.Hosts)
		return names, err
	})
	if e.ReverseDNS {
		s.Asked = last.Questions(s.Instant, e.Config)
		s.Names = append(s.Names, collectFrom(&s, state.DNS, func() ([]state.NameRecord, error) {
			if len(s.Asked) == 0 {
				return nil, last.Fault(state.DNS) // it works as it did
			}
			return dns.Names(s.Asked)
		})...)
	}
	return &s, scope, nil
}

// readLAN asks for the LAN and for its WireGuard peers.
func readLAN(interfaces []string, expected int) (*state.LAN, error) {
	lan, err := neighbor.Read(interfaces, expected)
	if lan == nil {
		return nil, err
	}
	var peersErr error
	lan.Peers, peersErr = wireguard.Read(lan.Interfaces)
	return lan, errors.Join(err, peersErr)
}

// account puts in place what counts, if the command may, and reads it.
func (e *exporter) account(plan nftables.Plan) (*state.Accounting, error) {
	if e.Command.Samples() {
		return nftables.Account(plan)
	}
	var err error
	if e.ruleset, err = nftables.Look(plan); err != nil {
		return nil, err
	}
	return e.ruleset.Accounting, e.ruleset.Fault
}

// collectFrom asks a source and notes how that went.
func collectFrom[T any](s *state.Sample, source state.Source, read func() (T, error)) T {
	start := time.Now()
	got, err := read()
	s.Results = append(s.Results, state.SourceResult{Source: source, Duration: time.Since(start), Err: health.WithCapability(err)})
	return got
}
