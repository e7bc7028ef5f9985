package store

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

// Replace puts what write writes in the place of the file at path: a reader finds
// the old file or the new one, whole, also after a power cut or an error. The file
// has the given permissions whatever it had before. Written by root it belongs to
// the owner of its directory, so that a run by hand does not lock the service out.
func Replace(path string, perm os.FileMode, write func(io.Writer) error) error {
	if err := replace(path, perm, write); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}

func replace(path string, perm os.FileMode, write func(io.Writer) error) error {
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
	if err := write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
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
