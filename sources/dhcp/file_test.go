package dhcp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// write makes a file that holds text and returns its path.
func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	fifo, socket := filepath.Join(dir, "fifo"), filepath.Join(dir, "socket")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	const regular = "want a regular file, "
	for path, want := range map[string]string{
		fifo:           regular + "not a FIFO",
		socket:         regular + "not a socket",
		dir:            regular + "not a directory",
		dir + "/":      "no such file or directory",
		"/dev/zero":    regular + "not a device",
		loop:           "too many levels of symbolic links",
		dir + "/none":  "no such file or directory",
		fifo + "/none": "not a directory",
	} {
		for _, kind := range []func(*File){
			func(f *File) { readHosts(f) },
			func(f *File) { readLeases(f, now) },
		} {
			f := File{Path: path}
			kind(&f)
			if diff := cmp.Diff(fmt.Sprintf("open %q: %s", path, want), message(f.Err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		}
	}
}

// TestOpenSafe has directories that others can write to, and links.
func TestOpenSafe(t *testing.T) {
	const lease = "0 02:00:5e:10:00:01 192.168.77.1 a *\n"
	dir := func(t *testing.T, mode fs.FileMode) string {
		path := filepath.Join(t.TempDir(), "dir")
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(t *testing.T, in, target string) string {
		path := filepath.Join(in, "link")
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		name string
		path func(t *testing.T) string
		want error
	}{
		{"the server's directory", func(t *testing.T) string { return write(t, dir(t, 0o755)+"/leases", lease) }, nil},
		{"its group's", func(t *testing.T) string { return write(t, dir(t, 0o775)+"/leases", lease) }, nil},
		{"everybody's", func(t *testing.T) string { return write(t, dir(t, 0o777)+"/leases", lease) }, errWorldWrites},
		{"everybody's, but none may remove another's", func(t *testing.T) string { return write(t, dir(t, 0o777|fs.ModeSticky)+"/leases", lease) }, nil},
		{"a link", func(t *testing.T) string {
			return link(t, dir(t, 0o755), write(t, dir(t, 0o755)+"/leases", lease))
		}, nil},
		{"a relative link", func(t *testing.T) string {
			d := dir(t, 0o755)
			write(t, d+"/leases", lease)
			return link(t, d, "../dir/leases")
		}, nil},
		{"a link in everybody's", func(t *testing.T) string {
			return link(t, dir(t, 0o777), write(t, dir(t, 0o755)+"/leases", lease))
		}, errWorldWrites},
		{"a link to everybody's", func(t *testing.T) string {
			return link(t, dir(t, 0o755), write(t, dir(t, 0o777)+"/leases", lease))
		}, errWorldWrites},
		{"a link to a device", func(t *testing.T) string { return link(t, dir(t, 0o755), "/dev/zero") }, errNotRegular},
		{"a link to nothing", func(t *testing.T) string { return link(t, dir(t, 0o755), "none") }, fs.ErrNotExist},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := File{Path: test.path(t)}
			records := readLeases(&f, now)
			if !errors.Is(f.Err, test.want) || len(records) == 1 != (test.want == nil) {
				t.Errorf("got %v, error %v, want %v", records, f.Err, test.want)
			}
		})
	}
}

// TestAnybodyPuts has files of several users in directories of several kinds.
func TestAnybodyPuts(t *testing.T) {
	const server, attacker = 101, 1001
	own := uint32(os.Geteuid())
	for _, test := range []struct {
		dirMode, dirUser, fileUser uint32
		want                       bool
	}{
		{0o755, 0, server, false},
		{0o755, server, 0, false},
		{0o775, server, attacker, false}, // of the server's group
		{0o1775, 0, attacker, false},
		{0o777, 0, 0, true},
		{0o702, server, server, true},
		{0o1777, 0, 0, false},
		{0o1777, server, server, false},
		{0o1777, server, own, false},
		{0o1777, 0, attacker, true},
	} {
		dir := unix.Stat_t{Mode: unix.S_IFDIR | test.dirMode, Uid: test.dirUser}
		file := unix.Stat_t{Mode: unix.S_IFREG | 0o644, Uid: test.fileUser}
		if got := anybodyPuts(&dir, &file); got != test.want {
			t.Errorf("%+v: got %t", test, got)
		}
	}
}

// TestReadForbidden has files and directories that may not be read.
func TestReadForbidden(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir+"/leases", "0 02:00:5e:10:00:01 192.168.77.1 a *\n")
	read := func() error {
		done := make(chan error)
		go func() {
			// Never unlocked: the thread ends with this goroutine.
			runtime.LockOSThread()
			f := File{Path: path}
			var noCapabilities [2]unix.CapUserData
			err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &noCapabilities[0])
			if err == nil {
				readLeases(&f, now)
				err = f.Err
			}
			done <- err
		}()
		return <-done
	}
	chmod := func(path string, mode fs.FileMode) {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	chmod(path, 0)
	if err := read(); !errors.Is(err, fs.ErrPermission) || errors.Is(err, errHidden) {
		t.Errorf("a file that may not be read: got %v", err)
	}
	chmod(dir, 0)
	defer chmod(dir, 0o700)
	if err := read(); !errors.Is(err, fs.ErrPermission) || !errors.Is(err, errHidden) {
		t.Errorf("a directory that may not be searched: got %v", err)
	}
	want := fmt.Sprintf("open %q: permission denied: its directory may not be searched", path)
	if diff := cmp.Diff(want, message(read())); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

// broken is a disk that fails in the middle of a file.
type broken string

func (b broken) ReadAt(p []byte, offset int64) (int, error) {
	return copy(p, b[offset:]), syscall.EIO
}

func TestLoadBroken(t *testing.T) {
	const text = "192.168.77.1 a\n192.168.77.2 b"
	for name, load := range map[string]func(io.ReaderAt, int64) (string, error){"start": load, "end": loadEnd} {
		got, err := load(broken(text), maxFile)
		if !errors.Is(err, syscall.EIO) || !strings.HasSuffix(text, got) || got == "" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// TestReadBounded has files of a tebibyte, most of it a hole.
func TestReadBounded(t *testing.T) {
	for name, head := range map[string]string{
		"dnsmasq": "0 02:00:5e:10:00:01 192.168.77.1 a *\n",
		"Kea":     "address,hwaddr,hostname\n192.168.77.1,02:00:5e:10:00:01,a\n",
		"JSON":    `{"version":1}` + "\n",
		"nothing": "",
	} {
		path := write(t, filepath.Join(t.TempDir(), "leases"), head)
		if err := os.Truncate(path, 1<<40); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []func(*File){
			func(f *File) { readHosts(f) },
			func(f *File) { readLeases(f, now) },
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f := File{Path: path}
			kind(&f)
			runtime.ReadMemStats(&after)
			if f.Err == nil {
				t.Errorf("%s: no error", name)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 5*maxFile {
				t.Errorf("%s: allocated %d bytes", name, got)
			}
		}
	}
}

// TestReadLarge holds that the newest leases of a file that a server appends to are
// read.
func TestReadLarge(t *testing.T) {
	const oldLease, newLease = "192.168.77.1,02:00:5e:10:00:01,old,3600\n", "192.168.77.2,02:00:5e:10:00:02,new,3600\n"
	kea := "address,hwaddr,hostname,valid_lifetime\n" + oldLease + strings.Repeat("192.168.77.3,02:00:5e:10:00:03,many,3600\n", maxFile/40) + newLease
	isc := func(addr, name string) string {
		return "lease " + addr + " {\n  binding state active;\n  hardware ethernet 02:00:5e:10:00:01;\n  client-hostname \"" + name + "\";\n}\n"
	}
	dnsmasq := "0 02:00:5e:10:00:01 192.168.77.1 first *\n"
	for _, test := range []struct {
		name, text string
		first      state.NameRecord
		records    int
		want       error
	}{
		{"Kea", kea, dhcp("192.168.77.2", "02:00:5e:10:00:02", "new"), 2, errKeptNewest},
		{"ISC dhcpd", isc("192.168.77.1", "old") + strings.Repeat(isc("192.168.77.3", "many"), maxFile/90) + isc("192.168.77.2", "new"),
			dhcp("192.168.77.2", "02:00:5e:10:00:01", "new"), 2, errKeptNewest},
		{"dnsmasq", dnsmasq + strings.Repeat("0 02:00:5e:10:00:01 192.168.77.2 many *\n", maxFile/39),
			dhcp("192.168.77.1", "02:00:5e:10:00:01", "first"), 2, errTooLarge},
		{"JSON", `{"version":1,"leases":[` + strings.Repeat("\n", maxFile) + "]}\n", state.NameRecord{}, 0, errTooLarge},
		{"one line", strings.Repeat("1", maxFile+1), state.NameRecord{}, 0, errTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := File{Path: write(t, filepath.Join(t.TempDir(), "leases"), test.text)}
			records := readLeases(&f, now)
			if !errors.Is(f.Err, test.want) {
				t.Errorf("got error %v, want %v", f.Err, test.want)
			}
			if len(records) != test.records || len(records) > 0 && records[0] != test.first {
				t.Errorf("got %d records, the first %v", len(records), records[:min(1, len(records))])
			}
		})
	}
}

// TestReadLargest has files of one byte less than too much, and of one more.
func TestReadLargest(t *testing.T) {
	for size, want := range map[int]error{maxFile: nil, maxFile + 1: errTooLarge} {
		f := File{Path: write(t, filepath.Join(t.TempDir(), "hosts"), strings.Repeat("# comment\n", size/10+1)[:size])}
		if readHosts(&f); !errors.Is(f.Err, want) {
			t.Errorf("%d bytes: got error %v, want %v", size, f.Err, want)
		}
	}
}
