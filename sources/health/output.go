package health

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

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
	return []Finding{directory(name, "--output=PATH", filepath.Dir(m.Output))}
}

// stateDir looks at the directory that remembers.
func (m Machine) stateDir() []Finding {
	return []Finding{directory("state", "--state-dir=DIR", m.StateDir)}
}

func directory(name, flag, path string) Finding {
	if err := unix.Faccessat(unix.AT_FDCWD, path+"/.", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		cure := "run it as the owner of " + path + " or as root, or " + flag
		if errors.Is(err, fs.ErrNotExist) {
			cure = "mkdir " + path + ", or " + flag
		}
		return fail(name, cure, "%s cannot be written to: %v", path, err)
	}
	return ok(name, "%s can be written to", path)
}

// sample looks at how long ago the last run was.
func (m Machine) sample() []Finding {
	const name, cure = "sample", "systemctl enable --now network-metrics-exporter.timer, or run the program every interval in another way"
	age := m.Sample.Uptime - m.Last.Uptime
	switch {
	case m.LastErr != nil:
		return []Finding{fail(name, "let it be read, or run the program once, which puts a damaged one aside", "%v", m.LastErr)}
	case m.Last.Boot == "":
		return []Finding{fail(name, cure, "none was ever taken")}
	case m.Last.Boot != m.Sample.Boot || age < 0:
		return []Finding{fail(name, cure, "none was taken since the machine started")}
	case age > m.Overdue():
		return []Finding{fail(name, cure, "the last one is %v old, which is more than ten intervals of %v", age.Round(time.Second), m.Interval)}
	}
	return []Finding{ok(name, "the last one is %v old", age.Round(10*time.Millisecond))}
}

// textfile looks at how long ago it was replaced.
func (m Machine) textfile() []Finding {
	const name = "textfile"
	if m.Output == stdout {
		return nil
	}
	cure := "run the program with --output=" + m.Output
	info, err := os.Stat(m.Output)
	if err != nil {
		return []Finding{fail(name, cure, "%v", err)}
	}
	if age := m.Sample.Wall.Sub(info.ModTime()); age > m.Overdue() {
		return []Finding{fail(name, cure, "%s is %v old, which is more than ten intervals of %v", m.Output, age.Round(time.Second), m.Interval)}
	}
	return []Finding{ok(name, "%s is up to date", m.Output)}
}

// reader looks at whether node_exporter can read the textfile: as the user that it
// runs as, if it does, else as somebody with no rights of his own.
func (m Machine) reader() []Finding {
	const name = "reader"
	if m.Output == stdout {
		return nil
	}
	if filepath.Ext(m.Output) != ".prom" {
		return []Finding{warn(name, "--output=PATH", "node_exporter passes %s by: its name does not end in .prom", m.Output)}
	}
	who, err := "everybody", user{}.canRead(m.Output)
	for _, p := range m.named(readers) {
		who = fmt.Sprintf("node_exporter (process %d, user %d)", p.pid, p.uid)
		if err = p.canRead(m.Output); err == nil {
			break // which one is to read it, nobody knows
		}
	}
	if err != nil {
		return []Finding{warn(name, "chmod, or --output=PATH", "%s cannot be read by %s: %v", m.Output, who, err)}
	}
	return []Finding{ok(name, "%s can be read by %s", m.Output, who)}
}

// user is who a process runs as. The zero user has the rights of all others.
type user struct {
	known bool
	uid   uint32
	gids  []uint32
}

// canRead looks at the permissions of a file, of the directories that it is in,
// and of those above. The file need not be there.
func (u user) canRead(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	for parent := dir; ; parent = filepath.Dir(parent) {
		need := uint32(1) // to pass
		if parent == dir {
			need |= 4 // and to list
		}
		if err := u.may(parent, need); err != nil {
			return err
		}
		if parent == "/" {
			break
		}
	}
	if err := u.may(path, 4); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// may holds the bits of rwx that are needed against those of a file (inode(7)).
func (u user) may(path string, need uint32) error {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	bits := stat.Mode
	switch {
	case u.known && u.uid == 0:
		return nil
	case u.known && u.uid == stat.Uid:
		bits >>= 6
	case slices.Contains(u.gids, stat.Gid):
		bits >>= 3
	}
	if bits&need != need {
		return fmt.Errorf("%s is %v", path, fs.FileMode(stat.Mode&0o777)|typeOf(stat.Mode))
	}
	return nil
}

func typeOf(mode uint32) fs.FileMode {
	if mode&unix.S_IFMT == unix.S_IFDIR {
		return fs.ModeDir
	}
	return 0
}
