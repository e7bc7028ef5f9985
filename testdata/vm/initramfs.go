package vm

import (
	"bytes"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// An initramfs is an archive of the format "newc" of cpio(5), which the kernel unpacks
// into its first root file system
// (https://www.kernel.org/doc/html/latest/driver-api/early-userspace/buffer-format.html).
type initramfs struct {
	bytes.Buffer
	entries int
	dirs    map[string]bool
}

// init is the machine's first program.
//
//go:embed init.sh
var initScript []byte

func newInitramfs() *initramfs {
	archive := &initramfs{dirs: map[string]bool{".": true}}
	// Programs and libraries are found by either name.
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		archive.dir("usr/" + name)
		archive.entry(name, fs.ModeSymlink|0o777, []byte("usr/"+name))
	}
	archive.file("/init", 0o755, initScript)
	return archive
}

// entry appends a file, a directory or a symbolic link.
func (a *initramfs) entry(name string, mode fs.FileMode, data []byte) {
	const regular, directory, link = 0o100000, 0o040000, 0o120000 // inode(7)
	kind := regular
	switch {
	case mode.IsDir():
		kind = directory
	case mode&fs.ModeSymlink != 0:
		kind = link
	}
	a.entries++
	// Magic, inode, mode, owner, group, links, time, size, 4 numbers of devices, size of
	// the name with its final 0, checksum.
	fmt.Fprintf(a, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.entries, kind|int(mode.Perm()), 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	a.WriteString(name + "\x00")
	a.pad()
	a.Write(data)
	a.pad()
}

// pad fills the archive up to a multiple of 4 bytes.
func (a *initramfs) pad() {
	a.Write(make([]byte, -a.Len()&3))
}

// dir appends a directory, given without a leading slash, and those above it.
func (a *initramfs) dir(name string) {
	if !a.dirs[name] {
		a.dir(filepath.Dir(name))
		a.dirs[name] = true
		a.entry(name, fs.ModeDir|0o755, nil)
	}
}

// file appends a file, and the directories that it is in.
func (a *initramfs) file(path string, mode fs.FileMode, data []byte) {
	name := strings.TrimPrefix(path, "/")
	for _, link := range []string{"bin/", "sbin/", "lib/", "lib64/"} {
		if strings.HasPrefix(name, link) {
			name = "usr/" + name
		}
	}
	a.dir(filepath.Dir(name))
	a.entry(name, mode, data)
}

// copy appends a file of this machine.
func (a *initramfs) copy(path, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	a.file(path, info.Mode(), data)
	return nil
}

// tree appends all that is below a directory of this machine, as if that were the root.
func (a *initramfs) tree(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		return a.copy(strings.TrimPrefix(path, root), path)
	})
}

// programs appends programs of this machine and the libraries that they need.
func (a *initramfs) programs(names ...string) error {
	done := make(map[string]bool)
	add := func(path string) error {
		if done[path] {
			return nil
		}
		done[path] = true
		return a.copy(path, path)
	}
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			return err
		}
		if err := add(path); err != nil {
			return err
		}
		libraries, err := exec.Command("ldd", path).Output()
		if err != nil {
			continue // it is linked statically
		}
		for _, match := range regexp.MustCompile(`(?m)(?:=> |^\s+)(/\S+)`).FindAllSubmatch(libraries, -1) {
			if err := add(string(match[1])); err != nil {
				return fmt.Errorf("library of %s: %w", name, err)
			}
		}
	}
	return nil
}

// write writes the archive, closed, to a file.
func (a *initramfs) write(path string) error {
	a.entry("TRAILER!!!", 0, nil)
	return os.WriteFile(path, a.Bytes(), 0o600)
}
