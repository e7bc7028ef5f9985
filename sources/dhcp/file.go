package dhcp

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// What is read of a file at most. dnsmasq gives out 1,000 leases unless it is
// told otherwise, and a lease takes 100 bytes: neither limit is near.
const (
	maxFile = 16 << 20
	maxLine = 4 << 10
)

// maxLinks bounds the symbolic links that are followed, as the kernel does
// (MAXSYMLINKS in linux/namei.h).
const maxLinks = 40

// Errors of a file that was not read, or not all of it.
var (
	// errHidden: it may not even be seen whether the file exists.
	errHidden      = fmt.Errorf("%w: its directory may not be searched", fs.ErrPermission)
	errTooLarge    = fmt.Errorf("larger than %d MiB, the rest was left out", maxFile>>20)
	errKeptNewest  = fmt.Errorf("larger than %d MiB, only the newest entries were read", maxFile>>20)
	errNotRegular  = errors.New("want a regular file")
	errWorldWrites = errors.New("want a directory that only root and the server's user can write to (chmod o-w)")
)

// open opens a regular file that only root, or whoever its directory belongs to,
// can have put there. It never waits: to open a FIFO would, and a device might do
// something. Of a symbolic link the directories of the link and of its target have
// to be safe. An error satisfies fs.ErrNotExist or fs.ErrPermission where it is of
// that kind.
func open(path string) (f *os.File, size int64, err error) {
	name := path
	for range maxLinks {
		var stat unix.Stat_t
		if name, f, err = openEntry(name, &stat); err != nil {
			return nil, 0, fmt.Errorf("open %q: %w", path, err)
		}
		if f != nil {
			return f, stat.Size, nil
		}
	}
	return nil, 0, fmt.Errorf("open %q: %w", path, unix.ELOOP)
}

// openEntry opens the file at path, or returns where it leads if it is a symbolic
// link.
func openEntry(path string, stat *unix.Stat_t) (next string, f *os.File, err error) {
	dirPath, base := filepath.Split(path)
	dir, err := unix.Open(filepath.Clean(dirPath), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, hidden(err)
	}
	defer unix.Close(dir)
	var dirStat unix.Stat_t
	if err := unix.Fstat(dir, &dirStat); err != nil {
		return "", nil, err
	}
	if err := unix.Fstatat(dir, base, stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return "", nil, hidden(err)
	}
	if anybodyPuts(&dirStat, stat) {
		return "", nil, errWorldWrites
	}
	if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(dir, base, target)
		if err != nil {
			return "", nil, err
		}
		if next = string(target[:n]); !filepath.IsAbs(next) {
			next = filepath.Join(dirPath, next)
		}
		return next, nil, nil
	}
	if err := regular(stat); err != nil {
		return "", nil, err
	}
	fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	f = os.NewFile(uintptr(fd), path)
	// It may have been replaced since it was looked at.
	if err := errors.Join(unix.Fstat(fd, stat), regular(stat)); err != nil {
		f.Close()
		return "", nil, err
	}
	return "", f, nil
}

// hidden tells a directory that may not be searched from a file that may not be
// read.
func hidden(err error) error {
	if err == unix.EACCES {
		return errHidden
	}
	return err
}

// anybodyPuts reports whether a file may be the work of any user of the machine.
// In a directory like /tmp, where all may make files and only remove their own, a
// file of root's, of the directory's owner or of our own is safe.
func anybodyPuts(dir, file *unix.Stat_t) bool {
	if dir.Mode&unix.S_IWOTH == 0 {
		return false
	}
	safe := file.Uid == 0 || file.Uid == dir.Uid || file.Uid == uint32(os.Geteuid())
	return dir.Mode&unix.S_ISVTX == 0 || !safe
}

// regular says what a file is if it is no regular one.
func regular(stat *unix.Stat_t) error {
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFDIR:
		return fmt.Errorf("%w, not a directory", errNotRegular)
	case unix.S_IFIFO:
		return fmt.Errorf("%w, not a FIFO", errNotRegular)
	case unix.S_IFSOCK:
		return fmt.Errorf("%w, not a socket", errNotRegular)
	default:
		return fmt.Errorf("%w, not a device", errNotRegular)
	}
}

// load reads a file of a size. Of one that is too large it returns the first whole
// lines together with errTooLarge.
//
// One read(2) gets a file whole, so that it is rare for dnsmasq, which writes in
// place, to change it meanwhile.
func load(f io.ReaderAt, size int64) (string, error) {
	text, err := section(f, 0, min(size, maxFile))
	if err == nil && size > maxFile {
		text, err = text[:strings.LastIndexByte(text, '\n')+1], errTooLarge
	}
	return text, err
}

// loadEnd returns the last whole lines of a file that is too large together with
// errKeptNewest.
func loadEnd(f io.ReaderAt, size int64) (string, error) {
	text, err := section(f, size-maxFile, maxFile)
	_, text, _ = strings.Cut(text, "\n") // the first line began before
	return text, cmp.Or(err, errKeptNewest)
}

// section reads n bytes from an offset on, or as many as there are. An error comes
// together with what was read before it.
func section(f io.ReaderAt, offset, n int64) (string, error) {
	var text strings.Builder
	text.Grow(int(n))
	_, err := io.Copy(&text, io.NewSectionReader(f, offset, n))
	return text.String(), err
}
