package dhcp

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
)

const (
	kea4File = "../../testdata/dhcp/kea-2.2.0-2026-11-22.leases4.csv" // with .1 and .2 beside it
	kea6File = "../../testdata/dhcp/kea-2.2.0-2026-11-22.leases6.csv"
)

func TestReadKea(t *testing.T) {
	testRead(t, kea4File, "Kea", []state.NameRecord{
		dhcp("192.168.77.102", "02:00:5e:10:00:04", "late"),
		dhcp("192.168.77.100", "02:00:5e:10:00:01", "phone-2"), // in .1; in .2 it is phone
		dhcp("192.168.77.12", "02:00:5e:10:00:03", "nas"),      // in .2
		// 192.168.77.101 was given back; in .2 it has a name.
	})
	testRead(t, kea6File, "Kea", []state.NameRecord{
		dhcp("2001:db8:77::102", "", "meter"),
		dhcp("2001:db8:77::101", "", "tablet"),
		dhcp("2001:db8:77::100", "", "phone"),
	})
}

// read reads a lease file and what is beside it.
func read(path string) ([]state.NameRecord, error) {
	f := File{Path: path}
	records := readLeases(&f, now)
	return records, f.Err
}

// TestReadKeaAside has each address named by the files that are written there.
func TestReadKeaAside(t *testing.T) {
	const header = "address,hwaddr,valid_lifetime,hostname,state\n"
	for _, test := range []struct {
		name  string
		files map[string]string // by what is appended to the name
		want  []string
	}{
		{"alone", map[string]string{"": "main"}, []string{"main"}},
		{"put aside", map[string]string{"": "", ".1": "input", ".2": "previous"}, []string{"input"}},
		{"tidied up before", map[string]string{"": "", ".2": "previous"}, []string{"previous"}},
		{"nearly tidied up", map[string]string{"": "", ".completed": "completed", ".2": "previous"}, []string{"completed"}},
		{"at work", map[string]string{"": "", ".1": "input", ".output": "output"}, []string{"input"}},
		{"later here", map[string]string{"": "main", ".1": "input", ".completed": "completed", ".2": "previous"}, []string{"main"}},
		{"given back here", map[string]string{"": "-", ".1": "input", ".2": "previous"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kea-leases4.csv")
			for suffix, name := range test.files {
				file := header
				switch name {
				case "":
				case "-":
					file += "192.168.77.1,02:00:5e:10:00:01,0,,0\n"
				default:
					file += "192.168.77.1,02:00:5e:10:00:01,3600," + name + ",0\n"
				}
				if err := os.WriteFile(path+suffix, []byte(file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			names, err := read(path)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range names {
				got = append(got, a.Name)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestReadKeaLatest has a device with an address in each file: where it is now
// comes first.
func TestReadKeaLatest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kea-leases4.csv")
	for suffix, hosts := range map[string]string{"": "56", ".1": "4", ".2": "123"} {
		file := "address,hwaddr,hostname\n"
		for _, host := range hosts {
			file += fmt.Sprintf("192.168.77.%c,02:00:5e:10:00:01,at-%[1]c\n", host)
		}
		if err := os.WriteFile(path+suffix, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range names {
		got = append(got, a.Name)
	}
	if want := []string{"at-6", "at-5", "at-4", "at-3", "at-2", "at-1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestReadKeaAsideBad has a file beside the lease file that is none.
func TestReadKeaAsideBad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kea-leases4.csv")
	for suffix, file := range map[string]string{
		"":   "address,hwaddr,hostname\n192.168.77.1,,phone\n",
		".1": "address,hwaddr,hostname\n192.168.77.2,,tv\nbad\n",
	} {
		if err := os.WriteFile(path+suffix, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(path+".2", 0o700); err != nil {
		t.Fatal(err)
	}
	names, err := read(path)
	want := []state.NameRecord{dhcp("192.168.77.1", "", "phone"), dhcp("192.168.77.2", "", "tv")}
	if diff := cmp.Diff(want, names, equal); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	wantErr := fmt.Sprintf("open %q: want a regular file, not a directory\nparse %q: line 3: want %s", path+".2", path+".1", wantKea)
	if diff := cmp.Diff(wantErr, message(err)); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

func TestParseKea(t *testing.T) {
	const (
		v4 = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n"
		v6 = "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source\n"
		// The rows of 192.168.77.1 and 2001:db8::1, the latter up to its MAC.
		phone  = "192.168.77.1,02:00:5e:10:00:01,01:02:00:5e:10:00:01,3600,1795386908,1,0,0,phone,0,\n"
		tablet = "2001:db8::1,00:03:00:01:02:00:5e:10:00:06,3600,1795386900,1,3600,0,1578106882,128,0,0,tablet.,"
	)
	named := []state.NameRecord{dhcp("192.168.77.1", "02:00:5e:10:00:01", "phone")}
	nameless := []state.NameRecord{dhcp("192.168.77.1", "02:00:5e:10:00:01", "")}
	row := func(fields ...string) string { return strings.NewReplacer(fields...).Replace(phone) }
	tests := []parseTest{
		{name: "no row", file: v4},
		{name: "a row", file: v4 + phone, want: named},
		{name: "blank lines", file: v4 + "\n" + phone + " \n", want: named},
		{name: "carriage returns", file: strings.ReplaceAll(v4+phone, "\n", "\r\n"), want: named},
		{name: "without a state, as before Kea 1.0", file: "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname\n" +
			strings.TrimSuffix(phone, ",0,\n") + "\n", want: named},
		{name: "with a pool, as from Kea 2.4", file: strings.TrimSuffix(v4, "\n") + ",pool_id\n" + strings.TrimSuffix(phone, "\n") + ",0\n", want: named},
		{name: "columns in another order", file: "address,state,hostname,hwaddr\n192.168.77.1,0,phone,02:00:5e:10:00:01\n", want: named},
		{name: "superseded", file: v4 + row("phone", "old") + phone, want: named},
		{name: "superseded by a row without a name", file: v4 + phone + row("phone", ""), want: nameless},
		{name: "declined", file: v4 + phone + row("phone,0", "phone,1")},
		{name: "expired and reclaimed", file: v4 + phone + row("phone,0", "phone,2")},
		{name: "a state of a later version", file: v4 + phone + row("phone,0", "phone,9")},
		{name: "declined, and given out again", file: v4 + row("phone,0", "phone,1") + phone, want: named},
		{name: "given back", file: v4 + phone + row(",3600,", ",0,")},
		{name: "without an end", file: v4 + row(",3600,", ",4294967295,"), want: named},
		{name: "ended long ago", file: v4 + row("1795386908", "1"), want: named},
		{name: "no MAC", file: v4 + row(",02:00:5e:10:00:01", ","), want: []state.NameRecord{dhcp("192.168.77.1", "", "phone")}},
		{name: "the latest first", file: v4 + row("77.1", "77.2") + phone + row("77.1", "77.3") + row("77.1", "77.2"), want: []state.NameRecord{
			dhcp("192.168.77.2", "02:00:5e:10:00:01", "phone"), dhcp("192.168.77.3", "02:00:5e:10:00:01", "phone"), named[0],
		}},
		{name: "escapes", file: v4 + row("phone", "a&#x2cb&#x26#x41&#x4&#xzz&&#x0a&#xC3&#xbc&#x"), want: []state.NameRecord{
			dhcp("192.168.77.1", "02:00:5e:10:00:01", "a,b&#x41&#x4&#xzz&\nü&#x"),
		}},
		{name: "quotes are nothing special", file: v4 + row("phone", `"phone"`), want: []state.NameRecord{
			dhcp("192.168.77.1", "02:00:5e:10:00:01", `"phone"`),
		}},
		{name: "a domain", file: v4 + row("phone", "phone.example.org."), want: []state.NameRecord{
			dhcp("192.168.77.1", "02:00:5e:10:00:01", "phone.example.org"),
		}},
		{name: "the root domain", file: v4 + row("phone", "."), want: nameless},
		{name: "neither name nor MAC", file: v4 + phone + row("phone", "", ",02:00:5e:10:00:01", ",")},
		{name: "user context", file: v4 + row("phone,0,", `phone,0,{ "a": 1&#x2c "b": 2 }`), want: named},
		{name: "DHCPv6, MAC of the DUID", file: v6 + tablet + "02:00:5e:10:00:06,0,,1,2\n", want: []state.NameRecord{dhcp("2001:db8::1", "", "tablet")}},
		{name: "DHCPv6, MAC of the link", file: v6 + tablet + "02:00:5e:10:00:07,0,,1,4\n", want: []state.NameRecord{dhcp("2001:db8::1", "02:00:5e:10:00:07", "tablet")}},
		{name: "DHCPv6, MAC of unknown origin", file: v6 + tablet + "02:00:5e:10:00:07,0,,1,0\n", want: []state.NameRecord{dhcp("2001:db8::1", "", "tablet")}},
		{name: "DHCPv6, MAC of unsaid origin", file: "address,duid,hostname,hwaddr\n2001:db8::1,00:03,tablet,02:00:5e:10:00:07\n", want: []state.NameRecord{dhcp("2001:db8::1", "", "tablet")}},
		{name: "DHCPv6, no MAC", file: v6 + tablet + ",0,,,\n", want: []state.NameRecord{dhcp("2001:db8::1", "", "tablet")}},
		{name: "DHCPv6, InfiniBand", file: v6 + tablet + "02:00:5e:10:00:07,0,,32,1\n", want: []state.NameRecord{dhcp("2001:db8::1", "", "tablet")}},
		{name: "DHCPv6, a prefix", file: v6 + strings.Replace(tablet, ",3600,0,", ",3600,2,", 1) + ",0,,,\n"},
		{name: "cut last line", file: v4 + phone + row("77.1", "77.2")[:70], want: named},
		{name: "cut header", file: v4[:30]},
		{
			name: "bad rows",
			file: v4 + phone + "\nx\n" + row("192.168.77.1", "192.168.77") + row("192.168.77.1", "fe80::1%eth0") +
				row(",0,\n", ",0\n") + row(",0,\n", ",0,,\n") + row("00:01", "00:zz") + strings.Replace(phone, "192.168.77.1", "", 1) + v4,
			want: named,
			err:  "line 4 and 7 more: want " + wantKea,
		},
		{name: "a header without names", file: "address,hwaddr\n192.168.77.1,02:00:5e:10:00:01\n", want: nameless, err: "line 1: want " + wantKea},
	}
	testParse(t, parser(keaFormat), tests)
}

// TestCutKea sees the file as long as it is at any moment while Kea writes it.
func TestCutKea(t *testing.T) {
	file, err := os.ReadFile(kea6File)
	if err != nil {
		t.Fatal(err)
	}
	for n := range file {
		names, err := parser(keaFormat)(string(file[:n]))
		if err != nil {
			t.Fatalf("first %d bytes: %v", n, err)
		}
		if format, known := detect(string(file[:n])); !known || format.name != "Kea" && n > 0 {
			t.Fatalf("first %d bytes: the format is %q", n, format.name)
		}
		for _, a := range names {
			if a.Name != "phone" && a.Name != "tablet" && a.Name != "meter" {
				t.Fatalf("first %d bytes: got %v", n, names)
			}
		}
	}
}

func FuzzKea(f *testing.F) {
	addFiles(f, kea4File, kea4File+".1", kea4File+".2", kea6File)
	f.Add([]byte("address,address,hostname,state,hwaddr,hwtype,valid_lifetime\n::ffff:1.2.3.4,1,a&#x2c&#x,0,0:0,6,1\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		records := fuzzParse(t, keaFormat, file)
		if lines := bytes.Count(file, []byte("\n")); len(records) > lines {
			t.Errorf("got %d records of %d lines", len(records), lines)
		}
		if _, err := parser(keaFormat)("address,hostname\n" + string(file) + "\nbad row,\n"); err == nil {
			t.Error("no error of a bad row")
		}
	})
}

// BenchmarkKea reads an hour of 1,000 leases that are renewed every six minutes.
func BenchmarkKea(b *testing.B) {
	file := bytes.NewBufferString("address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n")
	for i := range 10000 {
		client := i % 1000
		fmt.Fprintf(file, "10.0.%[1]d.%[2]d,02:00:5e:10:%02[1]x:%02[2]x,01:02:00:5e:10:%02[1]x:%02[2]x,720,%[3]d,1,0,0,client-%[1]d-%[2]d,0,\n", client>>8, client&0xff, 1795386908+i)
	}
	b.SetBytes(int64(file.Len()))
	b.ReportAllocs()
	for b.Loop() {
		names, err := parser(keaFormat)(file.String())
		if err != nil || len(names) != 1000 {
			b.Fatal(len(names), err)
		}
	}
}
