package health

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

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
