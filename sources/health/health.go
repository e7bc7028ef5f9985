// Package health examines the machine for what keeps the program from doing its
// work. It only looks: nothing is changed, started or loaded.
package health

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// Status is how an examination came out.
type Status string

// What an examination can come to. A machine with a Fail does not publish what it
// should; with a Warn it does, but not all, or not for everybody.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Finding is what one examination found. Found may hold what others wrote, such as
// the names of files.
type Finding struct {
	Name   string `json:"name"` // of the examination; several findings may share it
	Status Status `json:"status"`
	Found  string `json:"found"`
	Cure   string `json:"cure"` // the command or the flag; empty if nothing is to be cured
}

// Machine is what is to be examined: what the settings say, and what the program's
// sources found.
type Machine struct {
	state.Config
	Interfaces       []string
	Networks         []netip.Prefix // as given by --network
	Accounting       state.Layout
	Output, StateDir string
	Port             uint16    // where node_exporter serves nothing but our file
	Processes        []Process // as Processes found them
	Files            []NameFile
	Sample           *state.Sample // of this moment
	Last             *state.Ledger // of the last run
	LastErr          error         // why Last is not known
}

// Examine makes all examinations.
func Examine(m Machine) []Finding {
	var findings []Finding
	for _, examine := range []func() []Finding{
		m.capability, m.modules, m.interfaces, m.networks,
		m.nftables, m.conntrack,
		m.names,
		m.output, m.reader, m.stateDir, m.sample, m.textfile,
		m.units, m.others, m.port,
	} {
		findings = append(findings, examine()...)
	}
	return findings
}

// probe gives how asking a source went.
func (m Machine) probe(source state.Source) error {
	for _, p := range m.Sample.Probes {
		if p.Source == source {
			return p.Err
		}
	}
	return errors.New("it was not asked")
}

func ok(name, found string, args ...any) Finding {
	return Finding{name, OK, fmt.Sprintf(found, args...), ""}
}

func warn(name, cure, found string, args ...any) Finding {
	return Finding{name, Warn, fmt.Sprintf(found, args...), cure}
}

// unknown is what an examination comes to that could not be made.
func unknown(name string, err error) Finding {
	cure := "try again"
	if errors.Is(err, unix.EPERM) {
		cure = asRoot
	}
	return warn(name, cure, "not known: %v", err)
}

func fail(name, cure, found string, args ...any) Finding {
	return Finding{name, Fail, fmt.Sprintf(found, args...), cure}
}
