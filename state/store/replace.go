package store

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// Replace puts what content writes in the place of the file at path: a reader
// finds the old file or the new one, whole, also after a power cut or an error.
// The file has the given permissions whatever it had before.
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

// replaceDurably replaces a file for good: without the directory on the disk a
// power cut could bring back the total of before, after a higher one was published.
func replaceDurably(path string, data []byte) error {
	if err := replaceLocked(path, 0o600, data); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// replace is Replace for one who knows from which age on a temporary file never
// will replace anything.
func replace(path string, perm os.FileMode, content func(io.Writer) error, minAge time.Duration) error {
	removeStaleTemps(path, minAge)
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
	buffered := bufio.NewWriterSize(f, 64<<10)
	if err := content(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// removeStaleTemps removes what was left by runs that were killed before they
// replaced the file at path: files of the names that renameio gives, last changed
// at least that long ago. Another program may be about to replace the same file: a
// younger one is its business. What cannot be removed harms nobody.
func removeStaleTemps(path string, minAge time.Duration) {
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
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()).Abs() >= minAge {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
