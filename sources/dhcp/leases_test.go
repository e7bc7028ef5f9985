package dhcp

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
)

const leasesFile = "../../testdata/dhcp/dnsmasq-2.90-2026-11-22.leases"

// dhcp is an assignment that a lease makes. An empty addr or mac stands for none.
func dhcp(addr, mac, name string) state.Assignment {
	return assignment(addr, mac, name, state.FromDHCP)
}

func assignment(addr, mac, name string, source state.NameSource) state.Assignment {
	a := state.Assignment{Name: name, Source: source}
	if addr != "" {
		a.Addr = netip.MustParseAddr(addr)
	}
	if mac != "" {
		hw, err := net.ParseMAC(mac)
		if err != nil {
			panic(err)
		}
		a.MAC = state.MAC(hw)
	}
	return a
}

// equal has cmp compare addresses as == does.
var equal = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestReadLeases(t *testing.T) {
	want := []state.Assignment{
		dhcp("192.168.77.14", "02:00:5e:10:01:04", "ring"),
		dhcp("192.168.77.12", "02:00:5e:10:01:02", "nas"),
		dhcp("192.168.77.11", "02:00:5e:10:01:01", "printer"),
		dhcp("192.168.77.178", "02:00:5e:10:00:03", "tv"),
		dhcp("192.168.77.176", "02:00:5e:10:00:01", "phone"),
		byDUID("2001:db8:77::12", "02:00:5e:10:01:02", "nas"),
		dhcp("2001:db8:77::1e0", "", "meter"),
		byDUID("2001:db8:77::1c2", "02:00:5e:10:00:07", "camera"),
		byDUID("2001:db8:77::131", "02:00:5e:10:00:06", "tablet"),
	}
	got, err := ReadLeases(leasesFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestParseLeases(t *testing.T) {
	const phone = "1795421785 02:00:5e:10:00:01 192.168.77.176 phone *\n"
	named := []state.Assignment{dhcp("192.168.77.176", "02:00:5e:10:00:01", "phone")}

	tests := []parseTest{
		{name: "empty"},
		{name: "no name", file: "0 02:00:5e:10:00:01 192.168.77.176 * *\n"},
		{name: "ended long ago", file: "1 02:00:5e:10:00:01 192.168.77.176 phone *\n", want: named},
		{name: "blank lines", file: "\n" + phone + " \n", want: named},
		{name: "carriage return", file: strings.ReplaceAll(phone, "\n", "\r\n"), want: named},
		{
			name: "order of file",
			file: phone + strings.Replace(phone, "phone", "tablet", 1),
			want: append(named, dhcp("192.168.77.176", "02:00:5e:10:00:01", "tablet")),
		},
		{
			name: "as written",
			file: strings.Replace(phone, "phone", "Ph\xffne.|{}", 1),
			want: []state.Assignment{dhcp("192.168.77.176", "02:00:5e:10:00:01", "Ph\xffne.|{}")},
		},
		{
			name: "no hardware address",
			file: "0 00- 192.168.77.1 a *\n",
			want: []state.Assignment{dhcp("192.168.77.1", "", "a")},
		},
		{
			name: "hardware addresses of other kinds",
			file: "0 18-02:00:5e:ff:fe:10:00:01 192.168.77.1 firewire *\n" +
				"0 17-02:00:5e:10:00:01 192.168.77.2 type *\n" +
				"0 02:00:5e:10 192.168.77.3 length *\n",
			want: []state.Assignment{
				dhcp("192.168.77.1", "", "firewire"),
				dhcp("192.168.77.2", "", "type"),
				dhcp("192.168.77.3", "", "length"),
			},
		},
		{
			name: "DUIDs without a MAC",
			file: "0 1 2001:db8::1 none *\n" +
				"0 1 2001:db8::2 uuid 00:04:00:01:02:00:5e:10:00:01\n" +
				"0 1 2001:db8::3 infiniband 00:03:00:20:02:00:5e:10:00:01\n" +
				"0 1 2001:db8::4 short 00:03:00:01:02:00:5e:10:00\n" +
				"0 1 2001:db8::5 long 00:01:00:01:32:96:0a:19:02:00:5e:10:00:06:00\n" +
				"0 1 2001:db8::6 tiny 00:03:00\n",
			want: []state.Assignment{
				dhcp("2001:db8::1", "", "none"),
				dhcp("2001:db8::2", "", "uuid"),
				dhcp("2001:db8::3", "", "infiniband"),
				dhcp("2001:db8::4", "", "short"),
				dhcp("2001:db8::5", "", "long"),
				dhcp("2001:db8::6", "", "tiny"),
			},
		},
		{
			name: "IPv4 as IPv6",
			file: "0 1 ::ffff:192.168.77.176 phone 00:03:00:01:02:00:5e:10:00:01\n",
			want: []state.Assignment{byDUID("192.168.77.176", "02:00:5e:10:00:01", "phone")},
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
			file: "0 " + strings.Repeat("02:", bufferSize) + " 192.168.77.1 a *\n" + phone,
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
	testParse(t, parseLeases, tests)
}

// TestCutLeases sees the file as long as it is at any moment while dnsmasq
// writes it: what is there is believed, and nothing is wrong.
func TestCutLeases(t *testing.T) {
	file, err := os.ReadFile(leasesFile)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := parseLeases(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for n := range file {
		names, err := parseLeases(bytes.NewReader(file[:n]))
		if err != nil {
			t.Errorf("first %d bytes: %v", n, err)
		}
		if len(names) > len(whole) || !slices.Equal(names, whole[:len(names)]) {
			t.Errorf("first %d bytes: got %v", n, names)
		}
	}
}

func FuzzLeases(f *testing.F) {
	file, err := os.ReadFile(leasesFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte("0 18-02:00:5e:ff:fe:10:00:01 192.168.77.1 firewire *\n0 T1 ::ffff:1.2.3.4 a 00:03:00"))
	f.Add([]byte("0 00- 192.168.77.1 a *\r\nvendorclass 1.2.3.4 00\nduid 00\n\n0 1 fe80::1%eth0 phone *\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		names, err := parseLeases(bytes.NewReader(file))
		checkError(t, err)
		checkNames(t, names)
		for _, a := range names {
			if !a.Addr.IsValid() || a.Name == "*" || a.Source != state.FromDHCP {
				t.Errorf("got %+v", a)
			}
		}
		if lines := bytes.Count(file, []byte("\n")); len(names) > lines {
			t.Errorf("got %d names of %d lines", len(names), lines)
		}

		// The newline may complete a line, which then counts.
		more, err := parseLeases(strings.NewReader(string(file) + "\nbad line\n"))
		if err == nil {
			t.Error("no error of a bad line")
		}
		if len(more) < len(names) || len(more) > len(names)+1 || !slices.Equal(more[:len(names)], names) {
			t.Errorf("got %v, with a bad line %v", names, more)
		}
	})
}

func BenchmarkLeases(b *testing.B) {
	var file bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&file, "1795421785 02:00:5e:10:%02x:%02x 10.0.%[1]d.%[2]d client-%[1]d-%[2]d 01:02:00:5e:10:%02[1]x:%02[2]x\n", i>>8, i&0xff)
	}
	b.SetBytes(int64(file.Len()))
	b.ReportAllocs()
	for b.Loop() {
		names, err := parseLeases(bytes.NewReader(file.Bytes()))
		if err != nil || len(names) != 1000 {
			b.Fatal(len(names), err)
		}
	}
}
