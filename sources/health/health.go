// Package health examines the machine for what keeps the program from counting all
// that it should, and others from seeing it. It judges what the program's sources
// found, so that it cannot disagree with them, and asks besides what no sample needs.
// It only looks: nothing is changed, started or loaded.
package health

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/dhcp"
	"network-metrics-exporter/sources/neighbor"
	"network-metrics-exporter/sources/nftables"
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
	Cure   string `json:"cure"` // the command or the setting; empty if nothing is to be cured
}

// Machine is what is to be examined: what the settings say, and what the program's
// sources found.
type Machine struct {
	state.Config
	Interfaces       []string       // as given by --interface
	Networks         []netip.Prefix // as given by --network
	Output, StateDir string
	Port             uint16            // where node_exporter serves nothing but our file
	Files            []dhcp.File       // what was read for names
	Sample           *state.Sample     // of this moment
	Ruleset          *nftables.Ruleset // nil: it could not be read, as Sample.Results tells
	Last             *state.Ledger     // of the last run; its zero value if LastErr is set
	LastErr          error             // why Last is not known

	host      host
	processes []process
	links     []neighbor.Link
	linksErr  error
}

// Examine makes all examinations.
func Examine(m Machine) []Finding {
	m.host, m.processes = findHost(), findProcesses()
	var lan []string
	if m.Sample.LAN != nil {
		lan = m.Sample.LAN.Interfaces
	}
	m.links, m.linksErr = neighbor.Links(lan)
	var findings []Finding
	for _, examine := range []func() []Finding{
		m.capability, m.modules,
		m.interfaces, m.networks, m.forwarding, m.bridges,
		m.accounting, m.jump, m.rules, m.flowtables, m.conntrack, m.clients, m.repairs,
		m.names, m.servers,
		m.output, m.reader, m.stateDir, m.sample, m.sources, m.textfile,
		m.units, m.resetters, m.page,
	} {
		findings = append(findings, examine()...)
	}
	return findings
}

// result returns how asking a source went.
func (m Machine) result(source state.Source) error {
	for _, r := range m.Sample.Results {
		if r.Source == source {
			return r.Err
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

func fail(name, cure, found string, args ...any) Finding {
	return Finding{name, Fail, fmt.Sprintf(found, args...), cure}
}

// unknown is what an examination comes to that could not be made.
func unknown(name string, err error) Finding {
	cure := "run the command again"
	if errors.Is(err, unix.EPERM) {
		cure = asRoot
	}
	return warn(name, cure, "not known: %v", err)
}

// orOK returns the findings or, if there are none, that all is well.
func orOK(findings []Finding, name, found string, args ...any) []Finding {
	if len(findings) == 0 {
		return []Finding{ok(name, found, args...)}
	}
	return findings
}
