package health

import (
	"errors"
	"io/fs"

	"network-metrics-exporter/state"
)

// NameFile is a file that names clients, and what came of reading it.
type NameFile struct {
	Kind  string // "leases" or "hosts", as in the flag
	Path  string
	Given bool // by the user: else it need not exist
	Names []state.Assignment
	Err   error
}

// names looks at the files that name clients.
func (m Machine) names() []Finding {
	var findings []Finding
	for _, f := range m.Files {
		findings = append(findings, f.examine())
	}
	return findings
}

func (f NameFile) examine() Finding {
	cure := "--" + f.Kind + "=PATH"
	missing := errors.Is(f.Err, fs.ErrNotExist)
	switch {
	case f.Err == nil:
		return ok(f.Kind, "%s names %d", f.Path, len(f.Names))
	case missing && !f.Given && f.Kind == "hosts":
		return ok(f.Kind, "%s is not there, and need not be", f.Path)
	case missing && !f.Given:
		return warn(f.Kind, cure, "%s is not there: no names from DHCP", f.Path)
	case len(f.Names) > 0 || !f.Given:
		return warn(f.Kind, "correct the file", "%d names; %v", len(f.Names), f.Err)
	case missing || errors.Is(f.Err, fs.ErrPermission):
		return fail(f.Kind, cure+", or let it be read", "%v", f.Err)
	default:
		return fail(f.Kind, "correct the file", "%v", f.Err)
	}
}
