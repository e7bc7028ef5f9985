package health

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"network-metrics-exporter/sources/dhcp"
)

// names looks at the files that name clients.
func (m Machine) names() []Finding {
	var findings []Finding
	var tried []string // default lease files that are not there
	for _, f := range m.Files {
		absent := errors.Is(f.Err, fs.ErrNotExist) && !f.Given
		if absent && f.Kind == dhcp.Leases {
			tried = append(tried, f.Path)
			continue
		}
		findings = append(findings, m.nameFile(f))
	}
	haveLeases := slices.ContainsFunc(findings, func(f Finding) bool { return f.Name == string(dhcp.Leases) })
	if len(tried) > 0 && !haveLeases {
		findings = append(findings, warn(string(dhcp.Leases), m.host.setting("leases", "PATH"),
			"no names from DHCP: none of the usual files is there, %s", strings.Join(tried, " ")))
	}
	return findings
}

func (m Machine) nameFile(f dhcp.File) Finding {
	name := string(f.Kind)
	cure := m.host.setting(name, "PATH")
	missing := errors.Is(f.Err, fs.ErrNotExist)
	switch {
	case f.Err == nil:
		return ok(name, "%s (%s) has %d entries", f.Path, f.Format, f.Records)
	case missing && !f.Given:
		return ok(name, "%s is not there, and need not be", f.Path)
	case errors.Is(f.Err, fs.ErrPermission):
		return m.forbidden(f)
	case f.Records > 0:
		return warn(name, "correct the file", "%s has %d entries; %v", f.Path, f.Records, f.Err)
	case missing:
		return fail(name, cure+", or make the file", "%v", f.Err)
	default:
		return fail(name, "correct the file, or "+cure, "%v", f.Err)
	}
}

// forbidden is what comes of a file that may not be read.
func (m Machine) forbidden(f dhcp.File) Finding {
	cure := "chmod o+r " + f.Path
	if m.host != byHand {
		cure = m.host.inService("SupplementaryGroups", "GROUP") + ", which is the group of the file (ls -l " + f.Path + ")"
	}
	if f.Given {
		return fail(string(f.Kind), cure, "%v", f.Err)
	}
	return warn(string(f.Kind), cure, "%v", f.Err)
}

// servers looks for DHCP servers that run and whose leases are not read.
func (m Machine) servers() []Finding {
	const name = "dhcp"
	var findings []Finding
	for _, s := range dhcp.Servers() {
		for _, p := range m.named(s.Process) {
			if unread := m.unread(s.Files(p.args)); unread != "" {
				findings = append(findings, warn(name, m.host.setting(string(dhcp.Leases), m.leasesAnd(unread)...),
					"%s (process %d) keeps its leases in %s, which is not read", s.Name, p.pid, unread))
			}
		}
	}
	return orOK(findings, name, "no DHCP server keeps leases in a file that is not read")
}

// unread returns the first file of a server's that exists, if none of them is among
// those that were to be read. A server that only answers DNS has none.
func (m Machine) unread(paths []string) string {
	found := ""
	for _, path := range paths {
		files := []string{path}
		if strings.HasSuffix(path, "*") {
			files, _ = filepath.Glob(path) // the pattern is good
		}
		for _, file := range files {
			if slices.ContainsFunc(m.Files, func(f dhcp.File) bool { return sameFile(f.Path, file) }) {
				return ""
			}
			if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
				found = cmp.Or(found, file)
			}
		}
	}
	return found
}

// sameFile reports whether two paths lead to one file.
func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// leasesAnd returns the lease files that are read, and another one.
func (m Machine) leasesAnd(path string) []string {
	var paths []string
	for _, f := range m.Files {
		if f.Kind == dhcp.Leases && !errors.Is(f.Err, fs.ErrNotExist) {
			paths = append(paths, f.Path)
		}
	}
	return append(paths, path)
}
