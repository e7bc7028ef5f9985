package dhcp

import (
	"os"
	"slices"
	"strings"
	"testing"

	"network-metrics-exporter/state"
)

const (
	isc4File = "../../testdata/dhcp/isc-dhcpd-4.4.3-2026-11-28.leases"
	isc6File = "../../testdata/dhcp/isc-dhcpd-4.4.3-2026-11-28.leases6"
)

func TestReadISC(t *testing.T) {
	testRead(t, isc4File, "ISC dhcpd", []state.NameRecord{
		dhcp("192.168.77.100", "02:00:5e:10:00:01", "phone-2"),
		dhcp("192.168.77.103", "02:00:5e:10:00:04", ""),
		dhcp("192.168.77.101", "02:00:5e:10:00:02", "b&c"),
		// 192.168.77.102 ended, 192.168.77.104 was given back.
	})
	testRead(t, isc6File, "ISC dhcpd", nil) // neither names nor MACs
}

func TestParseISC(t *testing.T) {
	const (
		head  = "# The format of this file is documented in the dhcpd.leases(5) manual page.\nauthoring-byte-order little-endian;\n\n"
		phone = "lease 192.168.77.1 {\n  starts 5 2026/11/27 10:00:00;\n  ends 0 2026/11/29 10:00:00;\n  binding state active;\n  next binding state free;\n" +
			"  rewind binding state free;\n  hardware ethernet 02:00:5e:10:00:01;\n  client-hostname \"phone\";\n}\n"
		tablet = "ia-na \"\\001\\000\\020^\" {\n  cltt 6 2026/11/28 00:21:32;\n  iaaddr 2001:db8:77::1 {\n    binding state active;\n    preferred-life 2250;\n" +
			"    max-life 3600;\n    ends 6 2026/11/28 01:21:32;\n    set ddns-fwd-name = \"tablet.lan\";\n  }\n}\n\n"
	)
	with := func(changes ...string) string { return head + strings.NewReplacer(changes...).Replace(phone) }
	named := []state.NameRecord{dhcp("192.168.77.1", "02:00:5e:10:00:01", "phone")}
	nameless := []state.NameRecord{dhcp("192.168.77.1", "02:00:5e:10:00:01", "")}
	const want = `want "lease ADDRESS {" or "hardware ethernet MAC;"`
	testParse(t, parser(iscFormat), []parseTest{
		{name: "no lease", file: head},
		{name: "a lease", file: head + phone, want: named},
		{name: "no name", file: with("  client-hostname \"phone\";\n", ""), want: nameless},
		{name: "no MAC", file: with("  hardware ethernet 02:00:5e:10:00:01;\n", ""), want: []state.NameRecord{dhcp("192.168.77.1", "", "phone")}},
		{name: "neither", file: head + "lease 192.168.77.1 {\n  binding state active;\n}\n"},
		{name: "the last one counts", file: with("phone", "old") + phone, want: named},
		{name: "freed", file: head + phone + "lease 192.168.77.1 {\n  binding state free;\n}\n"},
		{name: "abandoned", file: with("state active", "state abandoned")},
		{name: "active, and free next", file: with("next binding state free", "next binding state expired"), want: named},
		{name: "the newest first", file: with("77.1", "77.2") + phone + strings.ReplaceAll(phone, "77.1", "77.3"), want: []state.NameRecord{
			dhcp("192.168.77.3", "02:00:5e:10:00:01", "phone"), named[0], dhcp("192.168.77.2", "02:00:5e:10:00:01", "phone"),
		}},
		{name: "ended", file: with("2026/11/29 10", "2026/11/28 00")},
		{name: "ended in seconds", file: with("0 2026/11/29 10:00:00;", "epoch 1795824000; # Sat Nov 28 00:00:00 2026")},
		{name: "ends in seconds", file: with("0 2026/11/29 10:00:00;", "epoch 1795831200; # Sat Nov 28 02:00:00 2026"), want: named},
		{name: "does not end", file: with("0 2026/11/29 10:00:00", "never"), want: named},
		{name: "an end that makes no sense", file: with("0 2026/11/29 10:00:00", "soon"), want: named},
		{name: "ended and renewed", file: with("2026/11/29 10", "2026/11/28 00") + phone, want: named},
		{name: "InfiniBand", file: with("ethernet 02:00:5e:10:00:01", "infiniband 80:00:02:08"), want: []state.NameRecord{dhcp("192.168.77.1", "", "phone")}},
		{name: "another kind of address", file: with("ethernet", "unknown-32"), want: []state.NameRecord{dhcp("192.168.77.1", "", "phone")}},
		{name: "what is to be executed", file: with("}\n", "  on expiry or release {\n    if (1 = 1) {\n      client-hostname \"liar\";\n    } else {\n      ends never;\n    }\n  }\n}\n"), want: named},
		{name: "escapes", file: with(`"phone"`, `"a\"b\\c\303\274\8\""`), want: []state.NameRecord{dhcp("192.168.77.1", "02:00:5e:10:00:01", `a"b\cü8"`)}},
		{name: "of DNS", file: with("client-hostname", "set ddns-fwd-name ="), want: named},
		{name: "of the client, and of DNS", file: with("}\n", "  set ddns-fwd-name = \"phone.lan\";\n}\n"), want: named},
		{name: "DHCPv6", file: head + tablet, want: []state.NameRecord{dhcp("2001:db8:77::1", "", "tablet.lan")}},
		{name: "DHCPv6, expired", file: head + strings.ReplaceAll(tablet, "active", "expired")},
		{name: "DHCPv6, two addresses", file: head + strings.Replace(tablet, "  }\n", "  }\n  iaaddr 2001:db8:77::2 {\n    set ddns-fwd-name = \"b\";\n  }\n", 1), want: []state.NameRecord{
			dhcp("2001:db8:77::2", "", "b"), dhcp("2001:db8:77::1", "", "tablet.lan"),
		}},
		{name: "DHCPv6, a prefix", file: head + strings.Replace(tablet, "iaaddr 2001:db8:77::1", "iaprefix 2001:db8:7800::/56", 1)},
		{name: "other declarations", file: head + "host tv {\n  dynamic;\n  hardware ethernet 02:00:5e:10:00:09;\n}\nfailover peer \"a\" state {\n  my state normal at 6 2026/11/28 00:21:32;\n}\n" + phone, want: named},
		{name: "carriage returns", file: strings.ReplaceAll(head+phone, "\n", "\r\n"), want: named},
		{name: "cut", file: head + phone + phone[:60], want: named},
		{name: "cut, and written again", file: head + phone[:60] + "\n" + phone, want: named},
		{name: "its beginning is missing", file: phone[60:] + phone, want: named},
		{
			name: "bad lines",
			file: head + strings.Replace(phone, "192.168.77.1", "192.168.77", 1) + strings.Replace(phone, "00:01", "00:zz", 1) + "lease fe80::1%eth0 {\n}\n",
			want: []state.NameRecord{dhcp("192.168.77.1", "", "phone")},
			err:  "line 4 and 2 more: " + want,
		},
	})
}

// Without a clock to trust no lease ends.
func TestISCWithoutClock(t *testing.T) {
	file, err := os.ReadFile(isc4File)
	if err != nil {
		t.Fatal(err)
	}
	var leases leaseTable
	if err := parseISC(&leases, string(file), state.Instant{Uptime: 1}); err != nil || len(leases.index) != 3 {
		t.Errorf("got %v, %v", leases.records, err)
	}
}

// TestCutISC sees the file as long as it is at any moment while dhcpd writes it.
func TestCutISC(t *testing.T) {
	file, err := os.ReadFile(isc4File)
	if err != nil {
		t.Fatal(err)
	}
	for n := range file {
		records, err := parser(iscFormat)(string(file[:n]))
		if err != nil {
			t.Fatalf("first %d bytes: %v", n, err)
		}
		for _, r := range records {
			if r.MAC.IsZero() || !slices.Contains([]string{"", "phone", "phone-2", "b&c", "gone"}, r.Name) {
				t.Fatalf("first %d bytes: got %+v", n, r)
			}
		}
	}
}

func FuzzISC(f *testing.F) {
	addFiles(f, isc4File, isc6File)
	f.Add([]byte("lease 1.2.3.4 {\nends epoch 1;\non x {\n} else {\n}\nclient-hostname \"\\8\\303\\\"\";\nhardware ethernet 1:2:3:4:5:6;\n}\niaaddr ::1 {\nset ddns-fwd-name = \"a\n}"))
	f.Fuzz(func(t *testing.T, file []byte) { fuzzParse(t, iscFormat, file) })
}

// BenchmarkISC reads 10,000 leases.
func BenchmarkISC(b *testing.B) {
	benchmark(b, iscFormat, "authoring-byte-order little-endian;\n", "lease ADDR {\n  starts 6 2026/11/28 00:21:25;\n  ends 6 2026/11/28 01:21:25;\n  cltt 6 2026/11/28 00:21:25;\n  binding state active;\n  next binding state free;\n  rewind binding state free;\n  hardware ethernet MAC;\n  uid \"\\001\\002\\000^\\020\\000\\001\";\n  set vendor-class-identifier = \"udhcp 1.35.0\";\n  client-hostname \"NAME\";\n}\n", "")
}
