package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
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

type names = map[state.Bearer]state.Name

// sameNames tells no difference between none and an empty map.
var sameNames = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(state.Bearer{}, state.Name{})}

var (
	lea = state.Bearer{Addr: laptop, MAC: state.MAC{2, 0, 0, 0, 0, 9}}
	pho = state.Bearer{Addr: phone, MAC: state.MAC{2, 0, 0, 0, 0, 1}}
	vis = state.Bearer{Addr: visitor}
)

func someNames() names {
	return names{
		lea:                               {Text: "lea", Source: state.FromDHCP},
		pho:                               {Text: "pho", Source: state.FromHosts},
		vis:                               {Text: "visitor's Büro", Source: state.FromCache},
		{Addr: laptop, MAC: state.MAC{2}}: {Text: "lea.lan", Source: state.FromDNS},
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
	cached := func(b state.Bearer, text string) names {
		return names{b: {Text: text, Source: state.FromCache}}
	}
	for _, test := range []struct {
		name string
		file string
		want names
		err  string
	}{
		{"nothing", "", nil, ""},
		{"the original's", "192.168.10.100|visitor\n", cached(vis, "visitor"), ""},
		{"no newline", "192.168.10.100|visitor", cached(vis, "visitor"), ""},
		{"white space", "\n \r\n 192.168.10.100 | visitor \r\n", cached(vis, "visitor"), ""},
		{"fields to come", "192.168.10.100|visitor|02:00:00:00:00:01|dhcp|more|\n", names{
			{Addr: visitor, MAC: state.MAC{2, 0, 0, 0, 0, 1}}: {Text: "visitor", Source: state.FromDHCP}}, ""},
		{"a source to come", "192.168.10.100|visitor||mdns\n", cached(vis, "visitor"), ""},
		{"a source that is none", "192.168.10.100|visitor||none\n", cached(vis, "visitor"), ""},
		{"upper case", "2001:DB8::1:2|pho|02:00:00:00:00:0A|dns\n", names{
			{Addr: phone, MAC: state.MAC{2, 0, 0, 0, 0, 10}}: {Text: "pho", Source: state.FromDNS}}, ""},
		{"IPv4 in IPv6", "::ffff:192.168.10.100|visitor\n", cached(vis, "visitor"), ""},
		{"twice", "192.168.10.100|one\n192.168.10.100|two\n", cached(vis, "two"), ""},
		{"hostile", "192.168.10.100|\xff\u202e\"\\\x00\n", cached(vis, "_____"), ""},
		{"300 characters", "192.168.10.100|" + strings.Repeat("x", 300), cached(vis, strings.Repeat("x", 255)), ""},
		{"a bad line", "192.168.10.100|visitor\nlaptop\n", cached(vis, "visitor"), want + `line 2: want "IP|NAME"`},
		{
			"bad lines",
			"192.168.10|a\n\n192.168.10.100|visitor\nfe80::1%eth0|a\n192.168.10.9|\n192.168.10.9| |\n|a\n192.168.10.9\n192.168.10.9|a|02:00\n192.168.10.9|a|02:00:00:00:00:00:00:01\n# a\n\x00\x00\n",
			cached(vis, "visitor"), want + `line 1 and 9 more: want "IP|NAME", on 65536 lines at most`,
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
	many := make(names)
	addr := netip.MustParseAddr("fd00:1111:2222:3333:4444:5555:6666:0")
	for range state.MaxNames {
		many[state.Bearer{Addr: addr, MAC: state.MAC{0x55}}] = state.Name{Text: strings.Repeat("x", 255), Source: state.FromHosts}
		addr = addr.Next()
	}
	file := encodeNames(many)
	if len(file) > maxNamesFile {
		t.Errorf("%d bytes, more than are read", len(file))
	}
	got, err := decodeNames(file)
	if err != nil || len(got) != len(many) {
		t.Errorf("%d names and %v, want %d", len(got), err, len(many))
	}
	file = fmt.Appendf(file, "%v|one too many\n", addr)
	if got, err = decodeNames(file); !errors.Is(err, errDamaged) || len(got) != len(many) {
		t.Errorf("%d names and %v, want %d and an error", len(got), err, len(many))
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
		for b, name := range got {
			if !b.Addr.IsValid() || b.Addr.Is4In6() || name.Text == "" || !utf8.ValidString(name.Text) || state.CleanName(name.Text) != name.Text {
				t.Errorf("got %v: %+v", b, name)
			}
		}
		again, err := decodeNames(encodeNames(got))
		if err != nil || !maps.Equal(again, got) {
			t.Errorf("read and written back (-first +second), %v:\n%s", err, cmp.Diff(got, again, sameNames))
		}
	})
}

// TestLoadNames puts things in the place of the file of names.
func TestLoadNames(t *testing.T) {
	file := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	visitorOnly := names{vis: {Text: "visitor", Source: state.FromCache}}
	for _, test := range []struct {
		name  string
		put   func(path string) error
		want  names
		aside bool // it is kept aside
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
			path := filepath.Join(d.path, namesName)
			if err := test.put(path); err != nil {
				t.Fatal(err)
			}
			before := describe(t, path)
			if l, err := at(d.path).Peek(); err != nil || !maps.Equal(l.Names, test.want) {
				t.Errorf("a look at it gives %v, %v", l, err)
			}
			if after := describe(t, path); after != before {
				t.Errorf("a look changed it from %s to %s", before, after)
			}

			got, err := d.LoadNames()
			if diff := cmp.Diff(test.want, got, sameNames); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if !test.aside {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var bad *BadNamesError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), path+":") || !strings.Contains(err.Error(), path+".damaged:") {
				t.Errorf("got error %q, want one that names %s and %[2]s.damaged", err, path)
			}
			if after := describe(t, path+".damaged"); after != before {
				t.Errorf("kept aside is %s, in its place was %s", after, before)
			}

			// It is said once, even if the run fails after that.
			got, err = openAgain(t, d).LoadNames()
			if err != nil {
				t.Errorf("the second time: %v", err)
			}
			if diff := cmp.Diff(test.want, got, sameNames); diff != "" {
				t.Errorf("names the second time (-want +got):\n%s", diff)
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
	return openDir(t, d.path)
}

// TestSaveNames writes the file when its content changes, and then only.
func TestSaveNames(t *testing.T) {
	d := openDir(t, t.TempDir())
	path := filepath.Join(d.path, namesName)
	inode := func() uint64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o644 {
			t.Errorf("its mode is %v, want 0644", info.Mode())
		}
		return info.Sys().(*syscall.Stat_t).Ino
	}
	save := func(l *state.Ledger) {
		t.Helper()
		if err := d.Save(l); err != nil {
			t.Fatal(err)
		}
	}
	save(&state.Ledger{})
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("without names: %v", err)
	}
	save(&state.Ledger{Names: someNames(), Renamed: true})
	first := inode()
	file, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(file, encodeNames(someNames())) {
		t.Errorf("%v, written:\n%s", err, file)
	}

	d = openAgain(t, d)
	l := &state.Ledger{}
	if l.Names, err = d.LoadNames(); err != nil {
		t.Fatal(err)
	}
	save(l)
	l.Renamed = true // to what they were before
	save(l)
	if inode() != first {
		t.Error("it was written again without need")
	}
	delete(l.Names, vis)
	save(&state.Ledger{Names: l.Names})
	if inode() != first {
		t.Error("it was written though nobody said that names have changed")
	}
	save(l)
	if inode() == first {
		t.Error("a change was not written")
	}
	if got, err := openAgain(t, d).LoadNames(); err != nil || len(got) != len(someNames())-1 {
		t.Errorf("read again: %v, %v", got, err)
	}
}

// TestNamesFirst has a run end between the names and the ledger: the names are
// there, and no total is.
func TestNamesFirst(t *testing.T) {
	d := openDir(t, t.TempDir())
	if err := os.MkdirAll(filepath.Join(d.ledger, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Save(&state.Ledger{Names: someNames(), Renamed: true}); err == nil {
		t.Fatal("no error of a ledger that cannot be written")
	}
	got, err := openAgain(t, d).LoadNames()
	if diff := cmp.Diff(someNames(), got, sameNames); diff != "" || err != nil {
		t.Errorf("%v, names (-want +got):\n%s", err, diff)
	}
}

// BenchmarkLoadNames reads the names, as each run does.
func BenchmarkLoadNames(b *testing.B) {
	for _, n := range []int{100, 65000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			many := make(names, n)
			addr := netip.MustParseAddr("10.0.0.0")
			for i := range n {
				many[state.Bearer{Addr: addr, MAC: state.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}}] = state.Name{Text: fmt.Sprint("client-", i), Source: state.FromDHCP}
				addr = addr.Next()
			}
			file := encodeNames(many)
			b.ReportAllocs()
			for b.Loop() {
				if got, err := decodeNames(file); err != nil || len(got) != n {
					b.Fatal(len(got), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/client")
		})
	}
}
