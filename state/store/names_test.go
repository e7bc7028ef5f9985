package store

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"network-metrics-exporter/state"
)

// sameNames tells no difference between none and an empty list.
var sameNames = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})}

func someNames() []state.CachedName {
	return []state.CachedName{
		{Addr: laptop, MAC: state.MAC{2}, Name: "lea.lan", Source: state.FromDNS},
		{Addr: laptop, MAC: state.MAC{2, 0, 0, 0, 0, 9}, Name: "lea", Source: state.FromDHCP},
		{Addr: visitor, Name: "visitor's Büro", Source: state.FromCache},
		{Addr: phone, MAC: state.MAC{2, 0, 0, 0, 0, 1}, Name: "pho", Source: state.FromHosts},
	}
}

func TestNamesFile(t *testing.T) {
	const file = `192.168.10.9|lea.lan|02:00:00:00:00:00|dns
192.168.10.9|lea|02:00:00:00:00:09|dhcp
192.168.10.100|visitor's Büro||cache
2001:db8::1:2|pho|02:00:00:00:00:01|hosts
`
	if diff := cmp.Diff(file, string(encodeNames(someNames()))); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	got, err := decodeNames([]byte(file))
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(someNames(), got, sameNames); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestDecodeNames(t *testing.T) {
	const want = "file is damaged: "
	cached := func(name string) []state.CachedName {
		return []state.CachedName{{Addr: visitor, Name: name, Source: state.FromCache}}
	}
	ofMAC := func(addr netip.Addr, last byte, name string, source state.NameSource) []state.CachedName {
		return []state.CachedName{{Addr: addr, MAC: state.MAC{2, 0, 0, 0, 0, last}, Name: name, Source: source}}
	}
	for _, test := range []struct {
		name string
		file string
		want []state.CachedName
		err  string
	}{
		{"nothing", "", nil, ""},
		{"the original's", "192.168.10.100|visitor\n", cached("visitor"), ""},
		{"no newline", "192.168.10.100|visitor", cached("visitor"), ""},
		{"white space", "\n \r\n 192.168.10.100 | visitor \r\n", cached("visitor"), ""},
		{"fields to come", "192.168.10.100|visitor|02:00:00:00:00:01|dhcp|more|\n", ofMAC(visitor, 1, "visitor", state.FromDHCP), ""},
		{"a source to come", "192.168.10.100|visitor||mdns\n", cached("visitor"), ""},
		{"a source that is none", "192.168.10.100|visitor||none\n", cached("visitor"), ""},
		{"upper case", "2001:DB8::1:2|pho|02:00:00:00:00:0A|dns\n", ofMAC(phone, 10, "pho", state.FromDNS), ""},
		{"a device at two addresses", "192.168.10.9|one|02:00:00:00:00:0a|dns\n2001:DB8::1:2|two|02:00:00:00:00:0A|dhcp\n", ofMAC(phone, 10, "two", state.FromDHCP), ""},
		{"IPv4 in IPv6", "::ffff:192.168.10.100|visitor\n", cached("visitor"), ""},
		{"twice", "192.168.10.100|one\n192.168.10.100|two\n", cached("two"), ""},
		{"hostile", "192.168.10.100|\xff\u202e\"\\\x00\n", cached("_____"), ""},
		{"300 characters", "192.168.10.100|" + strings.Repeat("x", 300), cached(strings.Repeat("x", 255)), ""},
		{"a bad line", "192.168.10.100|visitor\nlaptop\n", cached("visitor"), want + `line 2: want "IP|NAME"`},
		{
			"bad lines",
			"192.168.10|a\n\n192.168.10.100|visitor\nfe80::1%eth0|a\n192.168.10.9|\n192.168.10.9| |\n|a\n192.168.10.9\n192.168.10.9|a|02:00\n192.168.10.9|a|02:00:00:00:00:00:00:01\n# a\n\x00\x00\n",
			cached("visitor"), want + `line 1 and 9 more: want "IP|NAME", on 8192 lines at most`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := decodeNames([]byte(test.file))
			if diff := cmp.Diff(test.want, got, sameNames); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			var text string
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff(test.err, text); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMostNames reads as many names as are remembered, as long as names are, and
// no more than that.
func TestMostNames(t *testing.T) {
	var many []state.CachedName
	addr := netip.MustParseAddr("fd00:1111:2222:3333:4444:5555:6666:0")
	for i := range state.MaxNames {
		mac := state.MAC{0x55, 4: byte(i >> 8), 5: byte(i)}
		many = append(many, state.CachedName{Addr: addr, MAC: mac, Name: strings.Repeat("x", 255), Source: state.FromHosts})
		addr = addr.Next()
	}
	file := encodeNames(many)
	if len(file) > maxNamesFile/8 { // version 2 kept eight times as many
		t.Errorf("%d bytes, more than an eighth of what is read", len(file))
	}
	got, err := decodeNames(file)
	if diff := cmp.Diff(many, got, sameNames); diff != "" || err != nil {
		t.Errorf("%v, names (-want +got):\n%s", err, diff)
	}
	file = fmt.Appendf(file, "%v|again|%v\n%v|one too many\n", addr, many[0].MAC, addr)
	if got, err = decodeNames(file); !errors.Is(err, errDamaged) || len(got) != len(many) || got[0].Name != "again" {
		t.Errorf("%d names, of which the first is %v, and %v, want %d and an error", len(got), got[0], err, len(many))
	}
}

// FuzzNames: what is read of any file is written so that it is read again.
func FuzzNames(f *testing.F) {
	f.Add(encodeNames(someNames()))
	f.Add([]byte("192.168.10.9|laptop\n::ffff:1.2.3.4|a|02:00:00:00:00:01|hosts|x\nfe80::1%a|b\n\n|"))
	f.Add([]byte("1.2.3.4|\xff\u202e\"\\ \x00\u2028b|00:00:00:00:00:00|cache\r\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := decodeNames(file)
		if err != nil && (!errors.Is(err, errDamaged) || strings.ContainsAny(err.Error(), "\n\r\x00")) {
			t.Errorf("got error %q", err)
		}
		for _, n := range got {
			if !n.Addr.IsValid() || n.Addr.Is4In6() || n.Name == "" || !utf8.ValidString(n.Name) || state.CleanName(n.Name) != n.Name {
				t.Errorf("got %+v", n)
			}
		}
		again, err := decodeNames(encodeNames(got))
		if diff := cmp.Diff(got, again, sameNames); err != nil || diff != "" {
			t.Errorf("read and written back (-first +second), %v:\n%s", err, diff)
		}
	})
}

// TestNames puts things in the place of the file of names.
func TestNames(t *testing.T) {
	file := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	visitorOnly := []state.CachedName{{Addr: visitor, Name: "visitor", Source: state.FromCache}}
	for _, test := range []struct {
		name string
		make func(path string) error
		want []state.CachedName
		bad  bool
	}{
		{"none", func(string) error { return nil }, nil, false},
		{"empty", file(""), nil, false},
		{"the original's", file("192.168.10.100|visitor\n"), visitorOnly, false},
		{"a bad line", file("192.168.10.100|visitor\nbad\n"), visitorOnly, true},
		{"bad lines only", file("bad\n"), nil, true},
		{"directory", func(path string) error { return os.MkdirAll(filepath.Join(path, "kept"), 0o700) }, nil, true},
		{"FIFO", func(path string) error { return syscall.Mkfifo(path, 0o600) }, nil, true},
		{"link", func(path string) error { return linkTo(path, []byte("192.168.10.100|visitor\n")) }, nil, true},
		{"larger than any memory", func(path string) error { return sparse(path, 1<<40) }, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := openDir(t, t.TempDir())
			path := filepath.Join(d.paths.Dir, namesName)
			if err := test.make(path); err != nil {
				t.Fatal(err)
			}
			before := describe(t, path)
			if diff := cmp.Diff(test.want, d.paths.NamesReadOnly(), sameNames); diff != "" {
				t.Errorf("a look at it (-want +got):\n%s", diff)
			}
			if after := describe(t, path); after != before {
				t.Errorf("a look changed it from %s to %s", before, after)
			}

			if diff := cmp.Diff(test.want, d.Names(), sameNames); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			err := d.NamesError()
			if !test.bad {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, new(*BadNamesError)) || !strings.Contains(err.Error(), path+":") || !strings.Contains(err.Error(), path+".damaged:") {
				t.Errorf("got error %q, want one that names %s and %[2]s.damaged", err, path)
			}
			if after := describe(t, path+".damaged"); after != before {
				t.Errorf("kept is %s, in its place was %s", after, before)
			}

			// It is said once, even if the run fails after that.
			d = openAgain(t, d)
			if diff := cmp.Diff(test.want, d.Names(), sameNames); diff != "" || d.NamesError() != nil {
				t.Errorf("the second time: %v, names (-want +got):\n%s", d.NamesError(), diff)
			}
		})
	}
}

// openAgain opens a directory as the next run does.
func openAgain(t *testing.T, d *Dir) *Dir {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return openDir(t, d.paths.Dir)
}

// TestSaveNames writes the file when a name changes, and then only.
func TestSaveNames(t *testing.T) {
	d := openDir(t, t.TempDir())
	path := filepath.Join(d.paths.Dir, namesName)
	save := func(names *state.NameCache) string {
		t.Helper()
		if err := d.Save(throughLedger(), names); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return "none"
		} else if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o644 {
			t.Errorf("its mode is %v, want 0644", info.Mode())
		}
		return fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino, info.ModTime().UnixNano())
	}
	if got := save(noNames()); got != "none" {
		t.Errorf("without names there is a file, %s", got)
	}
	first := save(changedNames(t, "lea"))
	if file, err := os.ReadFile(path); err != nil || string(file) != "192.168.10.9|lea|00:00:5e:00:53:01|dhcp\n" {
		t.Errorf("%v, written:\n%s", err, file)
	}

	d = openAgain(t, d)
	if got := d.Names(); len(got) != 1 || got[0].Name != "lea" {
		t.Errorf("read again: %v", got)
	}
	if save(changedNames(t, "lea")) != first {
		t.Error("it was written again without need")
	}
	if save(noNames()) != first {
		t.Error("it was written though no name changed")
	}
	if save(changedNames(t, "leah")) == first {
		t.Error("a change was not written")
	}
}

// TestNamesUnread has a file that cannot be read this time: it is not replaced.
func TestNamesUnread(t *testing.T) {
	d := openDir(t, t.TempDir())
	path := filepath.Join(d.paths.Dir, namesName)
	if err := os.WriteFile(path, []byte("192.168.10.100|visitor\nbad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 9 { // in the way of all names that it could be given
		suffix := fmt.Sprint(n + 1)
		if n == 0 {
			suffix = ""
		}
		if err := os.MkdirAll(filepath.Join(path+".damaged"+suffix, "full"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	before := describe(t, path)
	if got := d.Names(); len(got) != 1 || d.NamesError() == nil || errors.As(d.NamesError(), new(*BadNamesError)) {
		t.Errorf("%v, %v", got, d.NamesError())
	}
	if err := d.Save(throughLedger(), changedNames(t, "lea")); err != nil {
		t.Fatal(err)
	}
	if after := describe(t, path); after != before {
		t.Errorf("it was %s and is %s", before, after)
	}
}

// BenchmarkDecodeNames reads the names, as a run does that needs one.
func BenchmarkDecodeNames(b *testing.B) {
	for _, n := range []int{100, state.MaxNames} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var many []state.CachedName
			addr := netip.MustParseAddr("10.0.0.0")
			for i := range n {
				many = append(many, state.CachedName{Addr: addr, MAC: state.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}, Name: fmt.Sprint("client-", i), Source: state.FromDHCP})
				addr = addr.Next()
			}
			file := encodeNames(many)
			b.ReportAllocs()
			for b.Loop() {
				if got, err := decodeNames(file); err != nil || len(got) != n {
					b.Fatal(len(got), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/name")
		})
	}
}
