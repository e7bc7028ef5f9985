package store

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// Replace puts what content writes in the place of the file at path: a reader
// finds the old file or the new one, whole, also after a power cut or an error.
// The file has the given permissions whatever it had before. Written by root it
// belongs to the owner of its directory, so that a run by hand does not lock the
// service out.
func Replace(path string, perm os.FileMode, content func(io.Writer) error) error {
	return replace(path, perm, content, time.Minute)
}

// replaceLocked is Replace for a file that nobody writes without the lock: what
// others left half written, they have left for good.
func replaceLocked(path string, perm os.FileMode, data []byte) error {
	return replace(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}, 0)
}

// replace is Replace for one who knows from which age on a file that was not put
// in its place never will be.
func replace(path string, perm os.FileMode, content func(io.Writer) error, debris time.Duration) error {
	sweep(path, debris)
	if err := write(path, perm, content); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}

func write(path string, perm os.FileMode, content func(io.Writer) error) error {
	dir := filepath.Dir(path)
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(perm))
	if err != nil {
		return err
	}
	defer f.Cleanup() // does nothing once the file is in its place
	if err := own(f.File, dir); err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(f, 64<<10)
	if err := content(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// sweep removes what was left by runs that were killed before they put a file in
// the place of path: files of the names that renameio gives, last changed that
// long ago. Another program may be about to put its own there: a younger one is
// its business. What cannot be removed harms nobody.
func sweep(path string, age time.Duration) {
	dir, name := filepath.Dir(path), filepath.Base(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), "."+name)
		if !ours || number == "" || strings.Trim(number, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()).Abs() >= age {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// own gives a file that root has made to the owner of its directory.
func own(f *os.File, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 && owner.Gid == 0 {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}
