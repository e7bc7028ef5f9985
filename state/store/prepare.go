package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// MakeDirectories makes sure that there are directories at the paths, in their
// order, that files can be put in. It makes the last element of a path only: a
// further one that is missing is more likely a slip of the pen. A file system that
// is mounted read-only is no error of the path, and found out when it is written to.
// With an error MakeDirectories returns the path that it is about, and has made
// nothing.
func MakeDirectories(paths []string) (bad string, err error) {
	var made []string
	for _, path := range paths {
		switch err = os.Mkdir(path, 0o755); {
		case err == nil:
			made = append(made, path)
		case errors.Is(err, fs.ErrExist):
			err = canPutFiles(path)
		}
		if err != nil {
			for _, path := range slices.Backward(made) {
				os.Remove(path)
			}
			return path, err
		}
	}
	return "", nil
}

// canPutFiles returns an error if path is no directory that can be written to.
func canPutFiles(path string) error {
	// The final element would let a file pass for a directory.
	err := unix.Faccessat(unix.AT_FDCWD, path+"/.", unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if err != nil && err != unix.EROFS {
		return &fs.PathError{Op: "access", Path: path, Err: err}
	}
	return nil
}

// CheckOutput returns an error if what is at path, or what a link there leads to,
// is not a regular file: a device that is replaced by a file is gone for everybody.
// A link that leads nowhere is replaced like a file, and nothing at all is fine.
func CheckOutput(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is %s", path, kindOf(info.Mode()))
	}
	return nil
}

// kindOf names what is not a regular file.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeDevice != 0:
		return "a device"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	default:
		return "no regular file"
	}
}
