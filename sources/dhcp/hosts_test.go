package dhcp

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
)

const (
	hostsFile        = "../../testdata/dhcp/debian-12.hosts"
	dhcpHostsFile    = "../../testdata/dhcp/dnsmasq-2.90-2026-11-22.dhcp-hosts"
	badDHCPHostsFile = "../../testdata/dhcp/dnsmasq-2.90-2026-11-22.bad-dhcp-hosts"
)

// static is a record of a hosts file.
func static(addr, mac, name string) state.NameRecord {
	return record(addr, mac, name, state.FromHosts)
}

func TestReadHosts(t *testing.T) {
	tests := []struct {
		path string
		want []state.NameRecord
		err  string
	}{
		{
			path: hostsFile,
			want: []state.NameRecord{
				static("192.168.77.41", "", "kitchen.lab.example"),
				static("192.168.77.42", "", "My_Speaker"),
				static("2001:db8:77::42", "", "My_Speaker"),
			},
		},
		{
			path: dhcpHostsFile,
			want: []state.NameRecord{
				static("192.168.77.11", "02:00:5e:10:01:01", "printer"),
				static("192.168.77.12", "02:00:5e:10:01:02", "nas"),
				static("2001:db8:77::12", "02:00:5e:10:01:02", "nas"),
				static("192.168.77.13", "", "laptop"),
				static("", "02:00:5e:10:01:03", "laptop"),
				static("", "02:00:5e:10:01:13", "laptop"),
				static("192.168.77.14", "02:00:5e:10:01:04", "ring"),
				static("192.168.77.15", "", "by-id"),
				static("192.168.77.16", "", "by-text"),
				static("192.168.77.17", "02:00:5e:10:01:07", "address-first"),
				static("", "02:00:5e:10:01:08", "no-address"),
				static("192.168.77.19", "", "by-name"),
				static("2001:db8:77::20", "", "v6-only"),
				static("2001:db8:77::21", "", "v6-only"),
				static("", "02:00:5e:10:01:16", "suffix"),
				static("", "02:00:5e:10:01:17", "range"),
				static("192.168.77.18", "02:00:5e:10:01:18", "host.example.org"),
				static("192.168.77.29", "02:00:5e:10:01:19", "short"),
				static("192.168.77.30", "02:00:5e:10:01:20", ""),
				static("192.168.77.31", "02:00:5e:10:01:21", "spaces"),
			},
		},
		{
			path: badDHCPHostsFile,
			want: []state.NameRecord{static("192.168.77.5", "", "name2"), static("192.168.77.6", "", "mac")},
			err:  `parse "` + badDHCPHostsFile + `": line 1 and 4 more: want ` + wantHosts,
		},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			f := File{Path: tt.path}
			got := readHosts(&f)
			if diff := cmp.Diff(tt.err, message(f.Err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, got, equal); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if f.Format != "hosts" {
				t.Errorf("the format is %q", f.Format)
			}
		})
	}
}

func TestParseHosts(t *testing.T) {
	const want = "want " + wantHosts
	kitchen := []state.NameRecord{static("192.168.77.41", "", "kitchen")}

	tests := []parseTest{
		{name: "empty"},
		{name: "comments", file: "#\n # 192.168.77.41 kitchen\n\t\n192.168.77.41 # kitchen\n"},
		{name: "comment in name", file: "192.168.77.41 kitchen#1\n", want: kitchen},
		{name: "no newline", file: "192.168.77.41\tkitchen", want: kitchen},
		{name: "carriage return", file: "192.168.77.41 kitchen\r\n", want: kitchen},
		{name: "IPv4 as IPv6", file: "::ffff:192.168.77.41 kitchen\n", want: kitchen},
		{name: "not of clients", file: "127.0.1.1 a\n::1 b\n::ffff:127.0.0.1 c\nff02::1 d\n239.1.1.1 e\n0.0.0.0 f\n:: g\n"},
		{name: "zone", file: "fe80::1%eth0 a\n192.168.77.41 kitchen\n", want: kitchen, err: "line 1: " + want},
		{name: "bad address", file: "192.168.77.256 a\n2001:db8::g b\n", err: "line 1 and 1 more: " + want},
		{name: "long line", file: "192.168.77.41 kitchen" + strings.Repeat(" alias", maxLine) + "\n", err: "line 1: " + want},
		{name: "longest line", file: "192.168.77.41 kitchen" + strings.Repeat(" ", maxLine-22) + "\n", want: kitchen},

		{
			name: "dnsmasq.conf",
			file: "dhcp-host=02:00:5e:10:01:01,a\ndhcp-host = 02:00:5e:10:01:02 , b\ndhcp-range=192.168.77.2,192.168.77.9,1h\n",
			want: []state.NameRecord{static("", "02:00:5e:10:01:01", "a"), static("", "02:00:5e:10:01:02", "b")},
			err:  "line 3: " + want,
		},
		{name: "nobody", file: "name\nname,ignore\n192.168.77.2,12h\n02:00:5e:10:01:01,[2001:db8::1],ignore\nid:a,name\n,\n02:00:5e:10:01:01,02:00:5e:10:01:02,192.168.77.1\n"},
		{name: "ignored by the server", file: "02:00:5e:10:01:01,a,192.168.77.1,ignore\n", want: []state.NameRecord{static("", "02:00:5e:10:01:01", "a")}},
		{name: "address without a name", file: "02:00:5e:10:01:01,192.168.77.1,[2001:db8::1]\n", want: []state.NameRecord{
			static("192.168.77.1", "02:00:5e:10:01:01", ""), static("2001:db8::1", "02:00:5e:10:01:01", ""),
		}},
		{name: "ethers", file: "02:00:5E:10:01:01 phone\n2:0:5e:10:1:2\ttv # in the hall\n02:00:5e:10:01:03 192.168.77.3\n02:00:5e:10:01:04 127.0.0.1\n", want: []state.NameRecord{
			static("", "02:00:5e:10:01:01", "phone"), static("", "02:00:5e:10:01:02", "tv"), static("192.168.77.3", "02:00:5e:10:01:03", ""),
		}},
		{name: "bad ethers", file: "02:00:5e:10:01:01 fe80::1%eth0\n02:00:5e:10:01 a\n02:00:5e:10:01:01 a b\n02:00:5e:10:01:01:02 a\n00:00:00:00:00:00 a\n", err: "line 1 and 4 more: " + want},
		{name: "zero MAC", file: "00:00:00:00:00:00,a\n"},
		{name: "other hardware", file: "20-02:00:5e:10:01:01,a\n02:00:5e:10,b\n"},
		{
			name: "wildcard and address",
			file: "02:00:5e:10:01:*,02:00:5e:10:01:01,a\n02:00:5e:10:01:*,b,192.168.77.2\n",
			want: []state.NameRecord{static("", "02:00:5e:10:01:01", "a"), static("192.168.77.2", "", "b")},
		},
		{
			name: "IPv6 of several MACs",
			file: "02:00:5e:10:01:01,02:00:5e:10:01:02,a,[2001:db8::1]\n",
			want: []state.NameRecord{
				static("2001:db8::1", "", "a"),
				static("", "02:00:5e:10:01:01", "a"),
				static("", "02:00:5e:10:01:02", "a"),
			},
		},
		{name: "last counts", file: "a,b,192.168.77.1,192.168.77.2\n", want: []state.NameRecord{static("192.168.77.2", "", "b")}},
		{name: "loopback", file: "02:00:5e:10:01:01,a,127.0.0.1,[::1],[ff02::1]\n", want: []state.NameRecord{static("", "02:00:5e:10:01:01", "a")}},
		{name: "no times", file: "w,192.168.77.1\n1hs,192.168.77.2\n", want: []state.NameRecord{static("192.168.77.1", "", "w"), static("192.168.77.2", "", "1hs")}},
		{name: "tags with #", file: "set:a#b,tag:c,net:d,ID:e,Name,192.168.77.1\t# f\n", want: []state.NameRecord{static("192.168.77.1", "", "Name")}},
		{name: "beyond ASCII", file: "küche,192.168.77.1\n", want: []state.NameRecord{static("192.168.77.1", "", "küche")}},
		{
			name: "bad fields",
			file: "a b,192.168.77.1\na,[2001:db8::1\na,[192.168.77.1]\na,[fe80::1%eth0]\na,[2001:db8::/129]\na,[192.168.77.0/24]\n" +
				"a,2001:db8::1,x\n02:00:5e:10:01:1*,a\n02-00:5e:10:01:01:zz,a\n\"a\",192.168.77.1\n",
			err: "line 1 and 9 more: " + want,
		},
	}
	testParse(t, parseHosts, tests)
}

func FuzzHosts(f *testing.F) {
	addFiles(f, hostsFile, dhcpHostsFile, badDHCPHostsFile)
	f.Add([]byte("fe80::1%eth0 a\ndhcp-host=00:00:00:00:00:00,[::ffff:1.2.3.4],a,[fe80::1%b],0.0.0.0"))
	f.Add([]byte("02:00:5e:10:01:01 phone\n2:0:5e:10:1:2\t192.168.77.1\n02:00:5e:10:01:01,1.2.3.4"))
	f.Fuzz(func(t *testing.T, file []byte) {
		records, err := parseHosts(string(file))
		checkError(t, err)
		checkRecords(t, records)
		for _, r := range records {
			if r.Source != state.FromHosts || r.Addr.IsValid() && !mayBeClient(r.Addr) {
				t.Errorf("got %+v", r)
			}
		}
		if fields := 1 + bytes.Count(file, []byte("\n")) + bytes.Count(file, []byte(",")); len(records) > fields {
			t.Errorf("got %d records of %d fields", len(records), fields)
		}
		more, err := parseHosts(string(file) + "\nbad line\n")
		if err == nil {
			t.Error("no error of a bad line")
		}
		if !slices.Equal(more, records) {
			t.Errorf("got %v, with a bad line %v", records, more)
		}
	})
}
