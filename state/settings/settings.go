// Package settings turns the command line, the environment and what the last
// sample was told into the settings of one run, and those back into text that the
// next run can be told. It reads no files and asks no system: whether a path or an
// interface exists is for others to find out.
package settings

import (
	"cmp"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/version"

	"network-metrics-exporter/state"
)

// Program is the name that users call.
const Program = "network-metrics-exporter"

// Command is what the program is told to do.
type Command string

// The commands. Of a Bare run the command line names none.
const (
	Bare     Command = ""
	Sample   Command = "sample"
	Show     Command = "show"
	Check    Command = "check"
	Teardown Command = "teardown"
)

// Samples reports whether the command takes a sample that is saved and published.
func (c Command) Samples() bool { return c == Bare || c == Sample }

// Stdout is the Output that stands for standard output.
const Stdout = "-"

// Settings are what one run goes by.
type Settings struct {
	state.Config
	Command Command
	// Help or Version is set if that is all that was asked for; of the other
	// fields only Command is then set.
	Help, Version bool

	Output     string // path of the .prom file, or Stdout
	StateDir   string // path of the state directory
	RuntimeDir string // path of the directory that a reboot empties

	Interfaces  []string       // of the LAN, with a trailing * if only the beginning is given; never empty
	Networks    []netip.Prefix // of the clients; nil: those of Interfaces
	Leases      []string       // paths of lease files; nil: where the usual DHCP servers keep them
	Hosts       []string       // paths of files of static names
	PerProtocol bool           // count the connections of each protocol too
	Wait        bool           // take a second sample where there is none to compare with

	JSON      bool   // of Show and Check: print JSON
	Sort      string // of Show: order of the devices, one of Sorts
	Addresses bool   // of Show: print the addresses of each device too
	Port      uint16 // of Check: where a node_exporter serves the file

	Log promslog.Config // without its Writer

	// Explicit are the flags that the next runs have to know, each as it can be
	// given again: --name=value, --name or --no-name. They are not about this run
	// alone, and neither left at their default.
	Explicit []string

	workDir     string
	commandLine []explicitFlag
	environment []explicitFlag // that of the flags that Command has
}

// Parse reads the command line, without the program's name, and the environment.
// Relative paths are below workDir; if that is empty, they stay relative. An error
// fits on one line and names the flag, or the variable that it came from, its value
// and what is expected.
func Parse(args []string, getenv func(string) string, workDir string) (*Settings, error) {
	line, err := readCommandLine(args, workDir)
	if err != nil {
		return nil, err
	}
	if line.help || line.version {
		return &Settings{Command: line.command, Help: line.help, Version: line.version}, nil
	}
	environment, others := readEnvironment(getenv, line.command)
	s, err := build(line.command, environment, line.flags)
	if err != nil {
		return nil, err
	}
	s.RuntimeDir = runtimeDir(getenv)
	s.workDir, s.commandLine, s.environment = workDir, line.flags, environment
	s.Explicit = lasting(line.flags, slices.Concat(environment, others))
	return s, nil
}

// Directories returns the directories that a sample puts files in, each with the
// flag that says so.
func (s *Settings) Directories() map[string]string {
	flags := map[string]string{s.StateDir: "--state-dir=" + s.StateDir}
	if s.CheckpointInterval > 0 {
		flags[s.RuntimeDir] = fmt.Sprint("--checkpoint-interval=", s.CheckpointInterval)
	}
	if s.Accounting == state.Flows {
		flags[s.RuntimeDir] = fmt.Sprint("--accounting=", s.Accounting)
	}
	if s.Output != Stdout {
		flags[filepath.Dir(s.Output)] = "--output=" + s.Output
	}
	return flags
}

// runtimeDir returns the directory that systemd made for the service, of which
// there can be several with colons between (systemd.exec(5)), or its usual path.
func runtimeDir(getenv func(string) string) string {
	dir, _, _ := strings.Cut(strings.TrimSpace(getenv("RUNTIME_DIRECTORY")), ":")
	return cmp.Or(dir, "/run/"+Program)
}

// ApplyRemembered takes what the command line does not say from the Explicit of the
// last sample, and only then from the environment and the defaults. It is for every
// command but Sample. A flag that this version does not know, or whose value it does
// not take, is ignored with a warning. It is an error if a Bare run would change
// the accounting.
func (s *Settings) ApplyRemembered(remembered []string) (warnings []string, err error) {
	var last, taken []explicitFlag
	for _, text := range remembered {
		flags, err := readRemembered(text, s.workDir)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("flag of the last sample ignored: %v", err))
		}
		for _, f := range flags {
			if f.perRun {
				continue
			}
			last = append(last, f)
			if !f.notBare || s.Command != Bare {
				taken = append(taken, f)
			}
		}
	}
	next, err := build(s.Command, s.environment, taken, s.commandLine)
	if err != nil {
		return nil, err
	}
	if s.Command == Bare {
		before, err := build(Bare, last)
		if err != nil {
			return nil, err
		}
		if err := sameAccounting(before, next, slices.Concat(s.commandLine, s.environment)); err != nil {
			return nil, err
		}
	}
	next.RuntimeDir, next.Explicit = s.RuntimeDir, remembered
	next.workDir, next.commandLine, next.environment = s.workDir, s.commandLine, s.environment
	*s = *next
	return warnings, nil
}

// build works out the settings of a command. Of each flag the values of the last
// layer that has it count, the default if none has: all values if the flag can be
// repeated, else the last one.
func build(command Command, layers ...[]explicitFlag) (*Settings, error) {
	s := newSettings()
	s.Command = command
	for i := range flags {
		f := &flags[i]
		var values []explicitFlag
		if f.def != "" {
			values = []explicitFlag{{flag: f, value: f.def}}
		}
		for _, layer := range layers {
			set := slices.DeleteFunc(slices.Clone(layer), func(e explicitFlag) bool { return e.flag != f })
			if len(set) > 0 {
				values = set
			}
		}
		for _, v := range values {
			if !f.set(s, v.value) {
				return nil, v.bad()
			}
		}
	}
	return s, nil
}

// newSettings returns settings that values can be put into.
func newSettings() *Settings {
	return &Settings{
		Config: state.Config{Built: built()},
		Log:    promslog.Config{Level: promslog.NewLevel(), Format: promslog.NewFormat()},
	}
}

// built returns when the program was built, as its build says, or when this version
// of it was made.
func built() time.Time {
	date, err := time.Parse(time.RFC3339, version.BuildDate)
	if err != nil {
		return time.Date(2026, time.November, 22, 0, 0, 0, 0, time.UTC)
	}
	return date
}

// sameAccounting returns an error that names the first of the flags for which the
// two settings differ in what is counted, and for whom.
func sameAccounting(before, next *Settings, explicit []explicitFlag) error {
	same := map[string]bool{
		"accounting":   before.Accounting == next.Accounting,
		"interface":    sameElements(before.Interfaces, next.Interfaces, strings.Compare),
		"network":      sameElements(before.Networks, next.Networks, netip.Prefix.Compare),
		"max-clients":  before.MaxClients == next.MaxClients,
		"forget-after": before.ForgetAfter == next.ForgetAfter,
		"period-start": before.PeriodStart == next.PeriodStart,
	}
	for _, f := range explicit {
		if is, ok := same[f.name]; ok && !is {
			return fmt.Errorf("%s: the last sample had another value, and a run by hand does not change what is counted: leave it out, or use the command sample with all flags", sanitize(f.String()))
		}
	}
	return nil
}

// sameElements reports whether two lists have the same elements, in whatever order.
func sameElements[T comparable](a, b []T, compare func(a, b T) int) bool {
	sorted := func(list []T) []T { return slices.Compact(slices.SortedFunc(slices.Values(list), compare)) }
	return slices.Equal(sorted(a), sorted(b))
}

// lasting returns the flags that later runs have to know: those of the command line,
// and those of the environment that it does not override.
func lasting(commandLine, environment []explicitFlag) []string {
	var texts []string
	overridden := make(map[string]bool)
	for _, f := range commandLine {
		overridden[f.name] = true
		if !f.perRun {
			texts = append(texts, f.asFlag())
		}
	}
	for _, f := range environment {
		if !f.perRun && !overridden[f.name] {
			texts = append(texts, f.asFlag())
		}
	}
	return texts
}
