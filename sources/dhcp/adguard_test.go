package dhcp

import (
	"testing"

	"network-metrics-exporter/state"
)

const adguardFilePath = "../../testdata/dhcp/adguard-home-0.107.json"

func TestReadAdGuard(t *testing.T) {
	testRead(t, adguardFilePath, "AdGuard Home", []state.NameRecord{
		dhcp("192.168.77.100", "02:00:5e:10:00:01", "phone"),
		dhcp("2001:db8:77::100", "02:00:5e:10:00:01", "phone"),
		static("192.168.77.11", "02:00:5e:10:01:01", "printer"),
		dhcp("192.168.77.102", "02:00:5e:10:00:03", ""),
	})
}

func TestParseAdGuard(t *testing.T) {
	const (
		phone = `{"expires":"2026-11-28T02:00:01+01:00","ip":"192.168.77.2","hostname":"phone","mac":"02:00:5e:10:00:01","static":false}`
		nas   = `{"expires":"","ip":"192.168.77.3","hostname":"nas","mac":"02:00:5e:10:00:02","static":true}`
	)
	file := func(leases string) string { return `{"version":1,"leases":[` + leases + `]}` }
	named := []state.NameRecord{dhcp("192.168.77.2", "02:00:5e:10:00:01", "phone")}
	testParse(t, parser(adguardFormat), []parseTest{
		{name: "no lease", file: file("")},
		{name: "null", file: `{"leases":null,"version":1}`},
		{name: "a lease", file: file(phone), want: named},
		{name: "a static one", file: file(nas), want: []state.NameRecord{static("192.168.77.3", "02:00:5e:10:00:02", "nas")}},
		{name: "ended", file: file(`{"expires":"2026-11-28T01:59:59+01:00","ip":"192.168.77.2","hostname":"phone","mac":"02:00:5e:10:00:01","static":false}`)},
		{name: "no name", file: file(`{"expires":"2026-11-28T02:00:01Z","ip":"192.168.77.2","mac":"02:00:5e:10:00:01"}`), want: []state.NameRecord{dhcp("192.168.77.2", "02:00:5e:10:00:01", "")}},
		{name: "EUI-64", file: file(`{"expires":"2026-11-28T02:00:01Z","ip":"192.168.77.2","hostname":"a","mac":"02:00:5e:10:00:01:02:03"}`), want: []state.NameRecord{dhcp("192.168.77.2", "", "a")}},
		{name: "IPv4 as IPv6", file: file(`{"static":true,"ip":"::ffff:192.168.77.3","hostname":"nas","mac":"02:00:5e:10:00:02"}`), want: []state.NameRecord{static("192.168.77.3", "02:00:5e:10:00:02", "nas")}},
		{
			name: "bad leases",
			file: file(phone + `,{"ip":"192.168.77.9","mac":"02:00:5e:10:00:01","static":true,"ip":"x"},{"static":true,"ip":"fe80::1%a","mac":"02:00:5e:10:00:01"},` +
				`{"static":true,"ip":"192.168.77.9","mac":"x"},{"ip":"192.168.77.9","mac":"02:00:5e:10:00:01","expires":"soon"},null`),
			want: named,
			err:  `lease 2 and 4 more: want "ip", "mac" and "expires"`,
		},
		{name: "a value of another type", file: `{"leases":7}`, want: nil},
		{name: "cut", file: file(phone)[:50], err: "byte 35: want JSON"},
	})
}

// Without a clock to trust no lease ends.
func TestAdGuardWithoutClock(t *testing.T) {
	var leases leaseTable
	const text = `{"version":1,"leases":[{"expires":"2001-01-01T00:00:00Z","ip":"192.168.77.2","hostname":"phone","mac":"02:00:5e:10:00:01"}]}`
	if err := parseAdGuard(&leases, text, state.Instant{}); err != nil || len(leases.index) != 1 {
		t.Errorf("got %v, %v", leases.records, err)
	}
}

func FuzzAdGuard(f *testing.F) {
	addFiles(f, adguardFilePath)
	f.Add([]byte(`{"version":1,"leases":[{"static":true,"ip":"::ffff:1.2.3.4","mac":"1:2:3:4:5:6"},null,{"expires":"2026-11-28T02:00:01Z","ip":"fe80::1%a"}]}`))
	f.Fuzz(func(t *testing.T, file []byte) { fuzzParse(t, adguardFormat, file) })
}

// BenchmarkAdGuard reads 10,000 leases.
func BenchmarkAdGuard(b *testing.B) {
	benchmark(b, adguardFormat, `{"version":1,"leases":[`, `{"expires":"2026-11-28T02:00:01+01:00","ip":"ADDR","hostname":"NAME","mac":"MAC","static":false},`, `{"static":true,"ip":"192.168.77.3","hostname":"nas","mac":"02:00:5e:10:00:02"}]}`)
}
