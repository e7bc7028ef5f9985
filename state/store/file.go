package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// read returns the content of a file of no more than limit bytes.
func read(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: it is a symbolic link", errDamaged)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: it is not a regular file", errDamaged)
	case info.Size() > limit:
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", errDamaged, info.Size(), limit)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return data, nil
}

// isUnusable reports whether an error of a file would come again.
func isUnusable(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, errNewer) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EIO)
}

// quarantine moves a file out of the way for what is wrong with it, and returns
// that with the path where the file is now.
func quarantine(path string, wrong error) (report, err error) {
	suffix := ".damaged"
	if errors.Is(wrong, errNewer) {
		suffix = ".newer"
	}
	kept := path + suffix
	err = os.Rename(path, kept)
	// Where something lies that a rename cannot replace, such as a directory,
	// there is another name.
	for n := 2; err != nil && n < 10 && !errors.Is(err, fs.ErrPermission); n++ {
		kept = fmt.Sprint(path, suffix, n)
		err = os.Rename(path, kept)
	}
	if err != nil {
		return nil, err
	}
	return fmt.Errorf("%w: it is kept as %s", wrong, kept), nil
}

// syncDir brings to the disk what was renamed or removed in a directory.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
