// Command network-metrics-exporter measures who uses how much of a router's
// network, right now, and who is there. Each start takes one sample, compares it
// with that of the start before, and replaces one file of metrics.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/clock"
	"network-metrics-exporter/sources/conntrack"
	"network-metrics-exporter/sources/dhcp"
	"network-metrics-exporter/sources/dns"
	"network-metrics-exporter/sources/health"
	"network-metrics-exporter/sources/neighbor"
	"network-metrics-exporter/sources/nftables"
	"network-metrics-exporter/state"
	"network-metrics-exporter/state/metrics"
	"network-metrics-exporter/state/store"
	"network-metrics-exporter/state/table"
)

const program = "network-metrics-exporter"

// Exit statuses.
const (
	published  = 0 // the .prom file was replaced, even if a source failed: the file says so
	failed     = 1 // nothing was published or shown, or an examination failed
	wrongUsage = 2
)

// memoryLimit is where garbage begins to be collected, in bytes.
const memoryLimit = 160 << 20

// lockPatience is how long a run waits for another one: far longer than that
// takes, and no longer than the timer's interval.
const lockPatience = 2 * time.Second

func main() {
	// A run is over before it would pay to collect garbage, but for networks of
	// tens of thousands of clients.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryLimit)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program, for main and for tests. It gives the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	e := exporter{start: time.Now(), stdout: stdout, stderr: stderr}
	done, err := e.parse(args)
	switch {
	case err != nil || done:
	case e.command == sample:
		err = e.makeDirectories()
	default:
		err = e.recall(args)
	}
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return wrongUsage
	case done:
		return published
	}
	e.logging.Writer = stderr
	e.log = promslog.New(&e.logging)

	switch e.command {
	case show:
		err = e.show()
	case check:
		err = e.check()
	case teardown:
		err = e.teardown()
	default:
		err = e.sample()
	}
	if err != nil {
		return failed
	}
	return published
}

// exporter is one start of the program.
type exporter struct {
	settings
	start          time.Time
	stdout, stderr io.Writer
	log            *slog.Logger
	last           *state.Ledger // what the last run left, for the commands that only look
	lastErr        error         // why it is not known
}

// sample is the command that has no name: it publishes one file.
func (e *exporter) sample() error {
	wrote, err := e.once(e.wait)
	if err == nil && !wrote {
		time.Sleep(e.Interval)
		_, err = e.once(false)
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
		e.log.Warn("totals not known", "err", e.lastErr)
	}
	now, scope, err := e.ask(e.last)
	last := e.last
	if err == nil && now.Accounting != nil && !e.recent(now) {
		// Rates since a sample of long ago would not be those of now.
		last, _ = state.Compare(last, now, scope, e.Config)
		e.pause()
		now, scope, err = e.ask(last)
	}
	if err != nil {
		e.log.Error("nothing shown", "err", err)
		return err
	}
	_, report := state.Compare(last, now, scope, e.Config)
	for _, p := range report.Probes {
		if p.Err != nil {
			e.log.Warn(string(p.Source)+" fails", "err", p.Err)
		}
	}
	options := table.Options{
		Sort: e.sort,
		// What the kernel has counted since the last run is no total without it.
		Totals: e.lastErr == nil && (last.Boot != "" || now.Accounting != nil),
	}
	options.Width, options.Color = screen(e.stdout)
	write := table.Write
	if e.json {
		write = table.WriteJSON
	}
	return write(e.stdout, report, options)
}

// recent reports whether the last run is a base for the rates of a sample.
func (e *exporter) recent(now *state.Sample) bool {
	age := now.Uptime - e.last.Uptime
	return e.last.Boot == now.Boot && len(e.last.Marks) > 0 && age >= 0 && age <= e.Overdue()
}

// pause waits for an interval, and says so on a terminal.
func (e *exporter) pause() {
	end := time.Now().Add(e.Interval)
	if _, ok := terminal(e.stderr); !ok {
		time.Sleep(e.Interval)
		return
	}
	for left := e.Interval; left > 0; left = time.Until(end) {
		fmt.Fprintf(e.stderr, "\rno sample of the last %v: measuring for %.1f s \x1b[K", e.Overdue(), left.Seconds())
		time.Sleep(min(left, 100*time.Millisecond))
	}
	fmt.Fprint(e.stderr, "\r\x1b[K")
}

// check examines the machine and prints what it finds, a line each.
func (e *exporter) check() error {
	now, _, err := e.ask(e.last)
	if err != nil {
		e.log.Error("nothing examined", "err", err)
		return err
	}
	_, read, _ := dhcp.Read(now.Instant, e.leases, e.hosts)
	var files []health.NameFile
	for _, f := range read {
		files = append(files, health.NameFile{Kind: string(f.Kind), Path: f.Path, Given: f.Given, Names: make([]state.Assignment, f.Records), Err: f.Err})
	}
	findings := health.Examine(health.Machine{
		Config:     e.Config,
		Interfaces: e.interfaces,
		Networks:   e.networks,
		Accounting: e.accounting,
		Output:     e.output,
		StateDir:   e.place.Dir,
		Port:       e.port,
		Files:      files,
		Sample:     now,
		Last:       e.last,
		LastErr:    e.lastErr,
	})
	if e.json {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(findings)
	} else {
		err = e.printFindings(findings)
	}
	if slices.ContainsFunc(findings, func(f health.Finding) bool { return f.Status == health.Fail }) {
		err = errors.Join(err, errors.New("an examination failed"))
	}
	return err
}

func (e *exporter) printFindings(findings []health.Finding) error {
	colors := map[health.Status]string{health.OK: "\x1b[32m", health.Warn: "\x1b[33m", health.Fail: "\x1b[31m"}
	_, colored := screen(e.stdout)
	var text bytes.Buffer
	for _, f := range findings {
		status := fmt.Sprintf("%-4s", f.Status)
		if colored {
			status = colors[f.Status] + status + "\x1b[m"
		}
		line := f.Name + ": " + f.Found
		if f.Cure != "" {
			line += " (" + f.Cure + ")"
		}
		fmt.Fprintf(&text, "%s  %s\n", status, printable(line))
	}
	_, err := e.stdout.Write(text.Bytes())
	return err
}

// printable keeps what others wrote, such as the names of files, to its line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, text)
}

// screen tells how wide the lines of an output may be, 0 if that is unlimited,
// and whether it shows colours. watch(1) tells its own width in COLUMNS.
func screen(w io.Writer) (width int, colored bool) {
	fd, ok := terminal(w)
	if !ok {
		width, _ = strconv.Atoi(os.Getenv("COLUMNS"))
		return max(width, 0), false
	}
	if size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil {
		width = int(size.Col)
	}
	return width, os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// terminal reports whether an output is one.
func terminal(w io.Writer) (fd int, ok bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return int(f.Fd()), err == nil
}

// teardown removes what the accounting made. It waits for a run that is at work,
// which would put it back.
func (e *exporter) teardown() error {
	dir, err := e.place.Open(lockPatience)
	if err == nil {
		defer dir.Close()
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = withCapability(nftables.Teardown())
	}
	if err != nil {
		e.log.Error("accounting not removed", "err", err)
	}
	return err
}

// once takes a sample from start to end. It saves before it publishes, so that
// no total is ever seen that a later run does not know of. With needRates a
// sample that has nothing to be compared with is saved and not published.
func (e *exporter) once(needRates bool) (wrote bool, err error) {
	dir, err := e.place.Open(lockPatience)
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
	last.Names, err = dir.LoadNames()
	if bad := (*store.BadNamesError)(nil); errors.As(err, &bad) {
		e.log.Warn("names lost", "err", err)
	} else if err != nil {
		return false, err
	}

	now, scope, err := e.ask(last)
	if err != nil {
		return false, err
	}
	next, report := state.Compare(last, now, scope, e.Config)
	next.Settings = e.given
	if e.accounting != state.Off && len(report.Idle) > 0 {
		deleted, err := nftables.Forget(report.Idle, report.Accounting.Layout)
		if err != nil {
			e.log.Warn("idle counters not deleted", "err", err)
		}
		next.Forget(deleted)
	}
	if err := dir.Save(next); err != nil {
		return false, err
	}
	for _, c := range report.Changes {
		if c.Err != nil {
			e.log.Warn(string(c.Source)+" fails", "err", c.Err)
		} else {
			e.log.Info(string(c.Source) + " works again")
		}
	}
	if needRates && !report.Rates {
		return false, nil
	}
	render := func(to io.Writer) error {
		return metrics.Render(to, report, metrics.Run{
			Duration:  time.Since(e.start),
			Version:   cmp.Or(version.Version, "devel"),
			GoVersion: version.GoVersion,
			Protocols: e.protocols,
		})
	}
	if e.output == "-" {
		err = render(e.stdout)
	} else {
		err = store.Replace(e.output, 0o644, render)
	}
	return err == nil, err
}

// ask takes a sample. A source that fails takes no other one down: it fails only
// if the clocks cannot be read.
func (e *exporter) ask(last *state.Ledger) (*state.Sample, state.Scope, error) {
	var s state.Sample
	s.LAN = probe(&s, state.Neighbor, func() (*state.Neighborhood, error) { return neighbor.Read(e.interfaces) })
	scope := state.NewScope(e.networks, e.interfaces, s.LAN, last.Networks)
	begun, err := clock.Read()
	if err != nil {
		return nil, scope, err
	}
	held := last.HeldFlows(begun, scope, e.Config)
	s.Conntrack = probe(&s, state.Conntrack, func() (*state.Flows, error) { return conntrack.Read(scope.Contains, held) })
	// The clock is read beside the counters, as rates are theirs.
	if s.Instant, err = clock.Read(); err != nil {
		return nil, scope, err
	}
	if s.Conntrack != nil && held == nil {
		s.Conntrack.Uptime = s.Uptime
	}
	plan := nftables.Plan{Layout: e.accounting, Interfaces: e.interfaces, Networks: scope.Networks}
	if plan.Layout == state.Rules {
		plan.Clients = scope.Present(s.LAN, s.Conntrack, e.ForgetAfter)
	}
	s.Accounting = probe(&s, state.NFTables, func() (*state.Accounting, error) {
		if e.command != sample {
			return nftables.Look(last.Layout)
		}
		return nftables.Account(plan)
	})
	s.Names = probe(&s, state.DHCP, func() ([]state.Assignment, error) { return e.names(s.Instant) })
	if e.ReverseDNS {
		s.Asked = state.Questions(last, &s, scope, e.Config)
		s.Names = append(s.Names, probe(&s, state.DNS, func() ([]state.Assignment, error) {
			if len(s.Asked) == 0 {
				return nil, last.Fault(state.DNS) // it works as little as before
			}
			return dns.Names(s.Asked)
		})...)
	}
	return &s, scope, nil
}

// probe asks a source and notes how that went.
func probe[T any](s *state.Sample, source state.Source, read func() (T, error)) T {
	start := time.Now()
	got, err := read()
	s.Probes = append(s.Probes, state.Probe{Source: source, Duration: time.Since(start), Err: withCapability(err)})
	return got
}

// withCapability says what a refusal by the kernel is cured by.
func withCapability(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: it takes CAP_NET_ADMIN, which root has", err)
	}
	return err
}

// names gives what the files say that name clients.
func (e *exporter) names(now state.Instant) ([]state.Assignment, error) {
	records, _, err := dhcp.Read(now, e.leases, e.hosts)
	var names []state.Assignment
	for _, r := range records {
		if r.Name != "" {
			names = append(names, state.Assignment{Addr: r.Addr, MAC: r.MAC, Name: r.Name, Source: r.Source})
		}
	}
	return names, err
}

// The commands. The one that has no name takes a sample.
const (
	sample   = "sample"
	show     = "show"
	check    = "check"
	teardown = "teardown"
)

// settings are what the command line says.
type settings struct {
	state.Config
	command       string
	given         []string // the flags that were set, but for those of the moment
	output        string
	place         store.Place
	interfaces    []string
	networks      []netip.Prefix
	accounting    state.Layout
	leases, hosts []string
	protocols     bool // flows are told by protocol as well
	wait          bool
	json          bool       // of show and check
	sort          table.Sort // of show
	port          uint16     // of check
	logging       promslog.Config
}

// parse reads the command line. Done means that the user was told what was asked
// for, help or version, and nothing is left to do.
func (e *exporter) parse(args []string) (done bool, err error) {
	sortNames := strings.Join(sorts(), ", ")
	app := kingpin.New(program, "Per-client network metrics for Linux routers: takes one sample and replaces one file for node_exporter's textfile collector.")
	app.UsageWriter(e.stdout)
	app.ErrorWriter(io.Discard) // run says what went wrong
	app.Terminate(func(int) { done = true })
	app.HelpFlag.Short('h')
	app.Version(version.Print(program))
	promslogflag.AddFlags(app, &e.logging)
	app.Command(sample, "Take one sample, compare it with the one before, and replace the file. This is what happens without a command.").Default().Hidden()
	showCommand := app.Command(show, "Print the same numbers as a table. Reads only, saves nothing.")
	showCommand.Flag("json", "As JSON, in base units.").BoolVar(&e.json)
	single(showCommand, "sort", "Order of the devices: "+sortNames+".", sortNames,
		parseSort, &e.sort).Default(string(table.Traffic))
	checkCommand := app.Command(check, "Examine this machine: say what works, what does not, and what cures it.")
	checkCommand.Flag("json", "As JSON.").BoolVar(&e.json)
	single(checkCommand, "port", "Where the node_exporter listens that serves nothing but the file.", "a port from 1 to 65535",
		parsePort, &e.port).Envar("METRICS_PORT").Default("9101")
	app.Command(teardown, "Remove every nftables object that the accounting made, and nothing else.")

	app.Flag("output", "The file to replace, which node_exporter has to find; - for standard output.").
		Default("/run/network-metrics-exporter/network_metrics.prom").StringVar(&e.output)
	app.Flag("state-dir", "Where to keep what the next run has to know.").
		Default("/var/lib/network-metrics-exporter").StringVar(&e.place.Dir)
	single(app, "checkpoint-interval", "How long the state may live in memory, on /run, between two checkpoints on the disk; 0: every run writes to the disk.", "0 or a duration such as 60s",
		parseDuration, &e.place.Interval).Default("0")
	single(app, "conntrack-budget", "CPU time that counting flows may take, in percent of one core; what costs more is done less often.", "a number of percent from 0.1 to 100",
		parsePercent, &e.ConntrackBudget).Default("5").PlaceHolder("PERCENT")
	app.Flag("connections-by-protocol", "Tell the flows of each client by protocol as well.").BoolVar(&e.protocols)
	list(app, "interface", "LAN interface: whose neighbours are clients. Repeatable.", "a name of an interface, of 1 to 15 characters",
		parseInterface, &e.interfaces).Envar("TRAFFIC_INTERFACE").Default("br-lan")
	list(app, "network", "Network of the clients, instead of those configured on the LAN interfaces. Repeatable.", "a CIDR such as 192.168.10.0/24 or fd00::/64",
		parseNetwork, &e.networks).Envar("NETWORK_PREFIX").PlaceHolder("CIDR")
	single(app, "accounting", "How bytes are counted: in sets or by rules, which are set up and kept up; off reads what is there and writes nothing.", "sets, rules or off",
		parseLayout, &e.accounting).Default(string(state.Sets))
	app.Flag("leases", "File of dnsmasq's or Kea's leases. Repeatable.").
		PlaceHolder("PATH").StringsVar(&e.leases)
	app.Flag("hosts", "File of static names, in the format of hosts(5) or of dnsmasq's dhcp-host. Repeatable.").
		PlaceHolder("PATH").StringsVar(&e.hosts)
	app.Flag("reverse-dns", "Ask the system's resolver for the names of clients that nobody else names.").BoolVar(&e.ReverseDNS)
	single(app, "interval", "Planned time between two runs.", "a number of seconds from 0.1 to 86400",
		parseSeconds, &e.Interval).Envar("UPDATE_INTERVAL").Default("2")
	app.Flag("wait", "With no earlier sample, take one, wait for the interval and take another, so that there are rates.").BoolVar(&e.wait)
	single(app, "online-window", "How recent a sign of life makes a client online that the kernel is not sure of.", "a duration such as 5m",
		parseDuration, &e.OnlineWindow).Default("5m")
	single(app, "max-clients", "How many clients have series of their own: the smallest beyond it are added up as one named other.", "a number from 1 to 1000000",
		parseCount, &e.MaxClients).Default("1024")
	single(app, "forget-after", "How long an absent client stays in the metrics.", "a duration such as 168h",
		parseDuration, &e.ForgetAfter).Default("168h")

	e.place.Runtime, _, _ = strings.Cut(cmp.Or(os.Getenv("RUNTIME_DIRECTORY"), "/run/network-metrics-exporter"), ":") // systemd.exec(5)
	e.command, err = app.Parse(args)
	if err == nil && !done {
		e.given, err = given(app, args)
	}
	if done {
		err = nil
	}
	return done, err
}

// momentary are the flags that say nothing of other runs.
var momentary = []string{"state-dir", "wait", "log.level", "log.format"}

// given gives the flags that the command line or the environment set, as they
// can be given again: --name=value, --name or --no-name.
func given(app *kingpin.Application, args []string) ([]string, error) {
	context, err := app.ParseContext(args)
	if err != nil {
		return nil, err
	}
	var flags []string
	set := make(map[string]bool)
	for _, element := range context.Elements {
		clause, ok := element.Clause.(*kingpin.FlagClause)
		if !ok || element.Value == nil {
			continue
		}
		flag := clause.Model()
		set[flag.Name] = true
		switch {
		case !flag.IsBoolFlag():
			flags = append(flags, "--"+flag.Name+"="+*element.Value)
		case *element.Value == "true":
			flags = append(flags, "--"+flag.Name)
		default:
			flags = append(flags, "--no-"+flag.Name)
		}
	}
	for _, flag := range app.Model().Flags {
		if text := os.Getenv(flag.Envar); flag.Envar != "" && text != "" && !set[flag.Name] {
			flags = append(flags, "--"+flag.Name+"="+text)
		}
	}
	return slices.DeleteFunc(flags, func(flag string) bool { return slices.Contains(momentary, flagName(flag)) }), nil
}

// flagName takes the name out of --name=value, --name or --no-name.
func flagName(flag string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
	return strings.TrimPrefix(name, "no-")
}

// recall fills in what the command line does not say from the settings of the
// last run, and does without them where they cannot be read.
func (e *exporter) recall(args []string) error {
	last, err := e.place.Peek()
	if err != nil {
		e.last, e.lastErr = &state.Ledger{}, err
		return nil
	}
	e.last = last
	remembered := slices.DeleteFunc(slices.Clone(last.Settings), func(flag string) bool {
		return slices.ContainsFunc(e.given, func(own string) bool { return flagName(own) == flagName(flag) })
	})
	e.settings = settings{}
	_, err = e.parse(append(remembered, args...))
	return err
}

// value is a flag's value, which knows what it wants.
type value struct {
	name, want string
	take       func(text string) bool
	many       bool
}

// Set is the only place where a bad value is answered.
func (v value) Set(text string) error {
	if !v.take(text) {
		return fmt.Errorf("--%s=%s: want %s", v.name, text, v.want)
	}
	return nil
}

func (v value) String() string     { return "" }
func (v value) IsCumulative() bool { return v.many }

// flagger is what can have flags: the program or a command.
type flagger interface {
	Flag(name, help string) *kingpin.FlagClause
}

// single defines a flag that has one value.
func single[T any](app flagger, name, help, want string, parse func(string) (T, bool), into *T) *kingpin.FlagClause {
	flag := app.Flag(name, help)
	flag.SetValue(value{name: name, want: want, take: func(text string) bool {
		v, ok := parse(text)
		*into = v
		return ok
	}})
	return flag
}

// list defines a flag that may be repeated. Its environment variable takes
// several values with spaces between.
func list[T any](app flagger, name, help, want string, parse func(string) (T, bool), into *[]T) *kingpin.FlagClause {
	flag := app.Flag(name, help)
	flag.SetValue(value{name: name, want: want, many: true, take: func(text string) bool {
		words := strings.Fields(text)
		for _, word := range words {
			v, ok := parse(word)
			if !ok {
				return false
			}
			*into = append(*into, v)
		}
		return len(words) > 0
	}})
	return flag
}

// parseInterface accepts what the kernel does (dev_valid_name in net/core/dev.c)
// as far as a label can show it.
func parseInterface(text string) (string, bool) {
	ok := text != "" && len(text) < unix.IFNAMSIZ && text != "." && text != ".." &&
		!strings.ContainsFunc(text, func(r rune) bool {
			return r == '/' || r == ':' || r == unicode.ReplacementChar || !unicode.IsPrint(r)
		})
	return text, ok
}

// parseNetwork reads a CIDR, or the first octets of an IPv4 network, which is
// how the original spells 192.168.10.0/24: 192.168.10.
func parseNetwork(text string) (netip.Prefix, bool) {
	if octets := strings.Count(text, ".") + 1; octets < 4 && !strings.ContainsAny(text, "/:") {
		text = fmt.Sprintf("%s%s/%d", text, strings.Repeat(".0", 4-octets), 8*octets)
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err == nil && !p.Addr().Is4In6()
}

func parseSeconds(text string) (time.Duration, bool) {
	s, err := strconv.ParseFloat(text, 64)
	return time.Duration(s * float64(time.Second)), err == nil && s >= 0.1 && s <= 86400
}

func parseLayout(text string) (state.Layout, bool) {
	layout := state.Layout(text)
	return layout, layout == state.Sets || layout == state.Rules || layout == state.Off
}

func sorts() []string {
	var names []string
	for _, s := range table.Sorts() {
		names = append(names, string(s))
	}
	return names
}

func parseSort(text string) (table.Sort, bool) {
	return table.Sort(text), slices.Contains(sorts(), text)
}

func parsePort(text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && n > 0
}

func parseCount(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 1 && n <= 1_000_000
}

func parsePercent(text string) (float64, bool) {
	p, err := strconv.ParseFloat(text, 64)
	return p, err == nil && p >= 0.1 && p <= 100
}

func parseDuration(text string) (time.Duration, bool) {
	d, err := model.ParseDuration(text)
	return time.Duration(d), err == nil
}

// makeDirectories makes sure of the directories that files are to be put in.
func (s *settings) makeDirectories() error {
	if err := makeDirectory(s.place.Dir); err != nil {
		return fmt.Errorf("--state-dir=%s: want a directory that can be written to: %w", s.place.Dir, err)
	}
	if s.place.Interval > 0 {
		if err := makeDirectory(s.place.Runtime); err != nil {
			return fmt.Errorf("--checkpoint-interval=%v: want a directory in memory that can be written to: %w", s.place.Interval, err)
		}
	}
	if s.output == "-" {
		return nil
	}
	err := makeDirectory(filepath.Dir(s.output))
	if info, statErr := os.Lstat(s.output); err == nil && statErr == nil && info.IsDir() {
		err = &fs.PathError{Op: "replace", Path: s.output, Err: unix.EISDIR}
	}
	if err != nil {
		return fmt.Errorf("--output=%s: want a file in a directory that can be written to: %w", s.output, err)
	}
	return nil
}

// makeDirectory makes the last element of a path, and no other one, which would
// hide a slip of the pen.
func makeDirectory(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := unix.Faccessat(unix.AT_FDCWD, path+"/.", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil && err != unix.EROFS {
		return &fs.PathError{Op: "access", Path: path, Err: err}
	}
	return nil
}
