package dhcp

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
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

// TestOpenOfOthers has another user's file in a directory like /tmp, and directories
// and files that may not be looked at.
func TestOpenOfOthers(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		lab.Need(t, "setpriv")
	})
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
