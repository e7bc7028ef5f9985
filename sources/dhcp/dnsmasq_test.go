package dhcp

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"network-metrics-exporter/state"
)

const leasesFile = "../../testdata/dhcp/dnsmasq-2.90-2026-11-22.leases"

func TestReadDnsmasq(t *testing.T) {
	testRead(t, leasesFile, "dnsmasq", []state.NameRecord{
		dhcp("192.168.77.14", "02:00:5e:10:01:04", "ring"),
		dhcp("192.168.77.12", "02:00:5e:10:01:02", "nas"),
		dhcp("192.168.77.11", "02:00:5e:10:01:01", "printer"),
		dhcp("192.168.77.178", "02:00:5e:10:00:03", "tv"),
		dhcp("192.168.77.177", "02:00:5e:10:00:02", ""),
		dhcp("192.168.77.176", "02:00:5e:10:00:01", "phone"),
		dhcp("2001:db8:77::12", "", "nas"),
		dhcp("2001:db8:77::1e0", "", "meter"),
		dhcp("2001:db8:77::1c2", "", "camera"),
		dhcp("2001:db8:77::131", "", "tablet"),
	})
}

func TestParseDnsmasq(t *testing.T) {
	const phone = "1795421785 02:00:5e:10:00:01 192.168.77.176 phone *\n"
	named := []state.NameRecord{dhcp("192.168.77.176", "02:00:5e:10:00:01", "phone")}

	tests := []parseTest{
		{name: "empty"},
		{name: "no name", file: "0 02:00:5e:10:00:01 192.168.77.176 * *\n", want: []state.NameRecord{dhcp("192.168.77.176", "02:00:5e:10:00:01", "")}},
		{name: "neither name nor MAC", file: "0 00- 192.168.77.176 * *\n0 1 2001:db8::1 * 00:03:00:01:02:00:5e:10:00:01\n"},
		{name: "ended long ago", file: "1 02:00:5e:10:00:01 192.168.77.176 phone *\n", want: named},
		{name: "blank lines", file: "\n" + phone + " \n", want: named},
		{name: "carriage return", file: strings.ReplaceAll(phone, "\n", "\r\n"), want: named},
		{
			name: "in the order of the file",
			file: strings.Replace(phone, "77.176", "77.180", 1) + phone + strings.Replace(phone, "77.176", "77.170", 1),
			want: []state.NameRecord{
				dhcp("192.168.77.180", "02:00:5e:10:00:01", "phone"), named[0], dhcp("192.168.77.170", "02:00:5e:10:00:01", "phone"),
			},
		},
		{name: "an address twice", file: strings.Replace(phone, "phone", "tablet", 1) + phone, want: named},
		{
			name: "as written",
			file: strings.Replace(phone, "phone", "Ph\xffne.|{}", 1),
			want: []state.NameRecord{dhcp("192.168.77.176", "02:00:5e:10:00:01", "Ph\xffne.|{}")},
		},
		{
			name: "no hardware address",
			file: "0 00- 192.168.77.1 a *\n",
			want: []state.NameRecord{dhcp("192.168.77.1", "", "a")},
		},
		{
			name: "hardware addresses of other kinds",
			file: "0 18-02:00:5e:ff:fe:10:00:01 192.168.77.1 firewire *\n" +
				"0 17-02:00:5e:10:00:01 192.168.77.2 type *\n" +
				"0 02:00:5e:10 192.168.77.3 length *\n",
			want: []state.NameRecord{
				dhcp("192.168.77.1", "", "firewire"),
				dhcp("192.168.77.2", "", "type"),
				dhcp("192.168.77.3", "", "length"),
			},
		},
		{
			name: "DUIDs",
			file: "0 1 2001:db8::1 none *\n" +
				"0 1 2001:db8::2 uuid 00:04:00:01:02:00:5e:10:00:01\n" +
				"0 1 2001:db8::3 infiniband 00:03:00:20:02:00:5e:10:00:01\n" +
				"0 1 2001:db8::4 short 00:03:00:01:02:00:5e:10:00\n" +
				"0 1 2001:db8::5 long 00:01:00:01:32:96:0a:19:02:00:5e:10:00:06:00\n" +
				"0 1 2001:db8::6 tiny 00:03:00\n" +
				"0 1 2001:db8::7 ll 00:03:00:01:02:00:5e:10:00:01\n" +
				"0 1 2001:db8::8 llt 00:01:00:01:32:96:0a:19:02:00:5e:10:00:06\n",
			want: []state.NameRecord{
				dhcp("2001:db8::1", "", "none"),
				dhcp("2001:db8::2", "", "uuid"),
				dhcp("2001:db8::3", "", "infiniband"),
				dhcp("2001:db8::4", "", "short"),
				dhcp("2001:db8::5", "", "long"),
				dhcp("2001:db8::6", "", "tiny"),
				dhcp("2001:db8::7", "", "ll"),
				dhcp("2001:db8::8", "", "llt"),
			},
		},
		{
			name: "IPv4 as IPv6",
			file: "0 1 ::ffff:192.168.77.176 phone 00:03:00:01:02:00:5e:10:00:01\n",
			want: []state.NameRecord{dhcp("192.168.77.176", "", "phone")},
		},
		{
			name: "later dnsmasq",
			file: phone + "duid 00:01\nagent-info 192.168.77.176 01:02\nvendorclass 192.168.77.176 75:64\n",
			want: named,
		},
		{name: "cut last line", file: phone + strings.TrimSuffix(phone, "\n"), want: named},
		{name: "cut bad line", file: phone + "17954", want: named},
		{
			name: "long line",
			file: "0 " + strings.Repeat("02:", maxLine) + " 192.168.77.1 a *\n" + phone,
			want: named,
			err:  `line 1: want "EXPIRY MAC IP NAME CLIENTID"`,
		},
		{
			name: "bad lines",
			file: phone + "\n" +
				"0 02:00:5e:10:00:01 192.168.77.176 phone\n" +
				"0 02:00:5e:10:00:01 192.168.77.176 phone * *\n" +
				"x 02:00:5e:10:00:01 192.168.77.176 phone *\n" +
				"0 02:00:5e:10:00:0g 192.168.77.176 phone *\n" +
				"0 02:00:5e:10:00:011 192.168.77.176 phone *\n" +
				"0 02:00:5e:10:00: 192.168.77.176 phone *\n" +
				"0 xx-02:00:5e:10:00:01 192.168.77.176 phone *\n" +
				"0 * 192.168.77.176 phone *\n" +
				"0 02:00:5e:10:00:01 192.168.77 phone *\n" +
				"0 1 fe80::1%eth0 phone *\n" +
				"0 02:00:5e:10:00:01 2001:db8::1 phone *\n",
			want: named,
			err:  `line 3 and 10 more: want "EXPIRY MAC IP NAME CLIENTID"`,
		},
	}
	testParse(t, parser(dnsmasqFormat), tests)
}

// TestCutDnsmasq sees the file as long as it is at any moment while dnsmasq
// writes it: what is there is believed, and nothing is wrong.
func TestCutDnsmasq(t *testing.T) {
	file, err := os.ReadFile(leasesFile)
	if err != nil {
		t.Fatal(err)
	}
	parse := parser(dnsmasqFormat)
	whole, err := parse(string(file))
	if err != nil {
		t.Fatal(err)
	}
	for n := range file {
		names, err := parse(string(file[:n]))
		if err != nil {
			t.Fatalf("first %d bytes: %v", n, err)
		}
		if format, known := detect(string(file[:n])); !known || format.name != "dnsmasq" && n > 0 {
			t.Fatalf("first %d bytes: the format is %q", n, format.name)
		}
		if len(names) > len(whole) || !slices.Equal(names, whole[:len(names)]) {
			t.Fatalf("first %d bytes: got %v", n, names)
		}
	}
}

func FuzzDnsmasq(f *testing.F) {
	addFiles(f, leasesFile)
	f.Add([]byte("0 18-02:00:5e:ff:fe:10:00:01 192.168.77.1 firewire *\n0 T1 ::ffff:1.2.3.4 a 00:03:00"))
	f.Add([]byte("0 00- 192.168.77.1 a *\r\nvendorclass 1.2.3.4 00\nduid 00\n\n0 1 fe80::1%eth0 phone *\n"))
	f.Add([]byte("0 02:00:5e:10:00:02 192.168.77.1 ring *\n0 00- 192.168.77.1 * *"))
	f.Fuzz(func(t *testing.T, file []byte) {
		records := fuzzParse(t, dnsmasqFormat, file)
		for _, r := range records {
			if r.Name == "*" || r.Addr.Is6() && !r.MAC.IsZero() {
				t.Errorf("got %+v", r)
			}
		}
		// The newline may complete a line, which then counts: it has a lease more, or
		// takes that of its address away, of which it says nothing.
		var more leaseTable
		if err := parseDnsmasq(&more, string(file)+"\nbad line\n", now); err == nil {
			t.Error("no error of a bad line")
		}
		if n := len(more.index); n < len(records)-1 || n > len(records)+1 {
			t.Errorf("got %v, with a bad line %d leases", records, n)
		}
	})
}

func BenchmarkDnsmasq(b *testing.B) {
	var file bytes.Buffer
	for i := range 10000 {
		fmt.Fprintf(&file, "1795421785 02:00:5e:10:%02x:%02x 10.0.%[1]d.%[2]d client-%[1]d-%[2]d 01:02:00:5e:10:%02[1]x:%02[2]x\n", i>>8, i&0xff)
	}
	b.SetBytes(int64(file.Len()))
	b.ReportAllocs()
	for b.Loop() {
		records, err := parser(dnsmasqFormat)(file.String())
		if err != nil || len(records) != 10000 {
			b.Fatal(len(records), err)
		}
	}
}
