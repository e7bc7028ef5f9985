package health

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// stdout is the --output that is no file.
const stdout = "-"

// output looks at the directory that the textfile is put in.
func (m Machine) output() []Finding {
	const name = "output"
	if m.Output == stdout {
		return []Finding{ok(name, "standard output")}
	}
	return []Finding{m.directory(name, m.host.setting("output", "DIR/network_metrics.prom"), filepath.Dir(m.Output))}
}

// stateDir looks at the directory that remembers.
func (m Machine) stateDir() []Finding {
	return []Finding{m.directory("state", m.host.setting("state-dir", "DIR"), m.StateDir)}
}

func (m Machine) directory(name, setting, path string) Finding {
	if err := unix.Faccessat(unix.AT_FDCWD, path+"/.", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		cure := "run it as the owner of " + path + " or as root, or " + setting
		if errors.Is(err, fs.ErrNotExist) {
			cure = "mkdir " + path + ", or " + setting
		}
		return fail(name, cure, "%s cannot be written to: %v", path, err)
	}
	return ok(name, "%s can be written to", path)
}

// reader looks at whether node_exporter can read the textfile: as the user that it
// runs as, if it does, else as somebody with no rights of his own.
func (m Machine) reader() []Finding {
	const name = "reader"
	if m.Output == stdout {
		return nil
	}
	if filepath.Ext(m.Output) != ".prom" {
		return []Finding{warn(name, m.host.setting("output", "DIR/network_metrics.prom"), "node_exporter passes %s by: its name does not end in .prom", m.Output)}
	}
	who, err := "everybody", user{}.canRead(m.Output)
	for _, p := range m.named(exporters...) {
		who = fmt.Sprintf("node_exporter (process %d, user %d)", p.pid, p.uid)
		if err = p.canRead(m.Output); err == nil {
			break // which one is to read it, nobody knows
		}
	}
	if err != nil {
		return []Finding{warn(name, "chmod a+rX of what is named, or "+m.host.setting("output", "DIR/network_metrics.prom"), "%s cannot be read by %s: %v", m.Output, who, err)}
	}
	return []Finding{ok(name, "%s can be read by %s", m.Output, who)}
}
