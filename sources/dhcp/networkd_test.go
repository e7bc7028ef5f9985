package dhcp

import (
	"strings"
	"testing"

	"network-metrics-exporter/state"
)

const networkdFilePath = "../../testdata/dhcp/systemd-networkd-257-2026-11-28.json"

func TestReadNetworkd(t *testing.T) {
	testRead(t, networkdFilePath, "systemd-networkd", []state.NameRecord{
		dhcp("192.168.77.12", "02:00:5e:10:00:03", "nas"), // which has a static lease
		dhcp("192.168.77.192", "02:00:5e:10:00:01", "phone"),
		dhcp("192.168.77.148", "02:00:5e:10:00:02", ""),
		dhcp("192.168.77.142", "02:00:5e:10:00:04", "tablet"),
	})
}

func TestParseNetworkd(t *testing.T) {
	const (
		head  = `{"BootID":"00112233445566778899aabbccddeeff","Address":[192,168,77,1],"PrefixLength":24,"Leases":[`
		phone = `{"ClientId":[1,2,0,94,16,0,1],"Address":[192,168,77,2],"Hostname":"phone","HardwareAddressType":1,"HardwareAddressLength":6,` +
			`"HardwareAddress":[2,0,94,16,0,1,0,0,0,0,0,0,0,0,0,0],"ExpirationUSec":3600000001,"ExpirationRealtimeUSec":1795827600000001}`
		tail = "]}\n"
	)
	with := func(changes ...string) string {
		return strings.NewReplacer(changes...).Replace(head + phone + tail)
	}
	named := []state.NameRecord{dhcp("192.168.77.2", "02:00:5e:10:00:01", "phone")}
	const (
		otherBoot = "00112233445566778899aabbccddeef0"
		want      = `want "Address" of 4 octets`
	)
	testParse(t, parser(networkdFormat), []parseTest{
		{name: "no lease", file: head + tail},
		{name: "a lease", file: head + phone + tail, want: named},
		{name: "as of systemd 258", file: with(`"Address":[192,168,77,2]`, `"Address":[192,168,77,2],"AddressString":"192.168.77.2"`), want: named},
		{name: "keys of later versions", file: with(`"PrefixLength":24`, `"PrefixLength":24,"More":{"Leases":[1]}`), want: named},
		{name: "ended in this boot", file: with("3600000001", "3599999999", "1795827600000001", "1895827600000001")},
		{name: "not ended in this boot, whatever the wall clock says", file: with("1795827600000001", "1"), want: named},
		{name: "ended, of another boot", file: with(now.Boot, otherBoot, "1795827600000001", "1795827599999999")},
		{name: "not ended, of another boot", file: with(now.Boot, otherBoot, "3600000001", "1"), want: named},
		{name: "without an end", file: with("3600000001", "18446744073709551615", "1795827600000001", "18446744073709551615"), want: named},
		{name: "without an end, of another boot", file: with(now.Boot, otherBoot, "1795827600000001", "18446744073709551615"), want: named},
		{name: "ends unsaid", file: with(`"ExpirationUSec":3600000001,"ExpirationRealtimeUSec":1795827600000001`, `"a":1`), want: named},
		{name: "no name", file: with(`"Hostname":"phone",`, ""), want: []state.NameRecord{dhcp("192.168.77.2", "02:00:5e:10:00:01", "")}},
		{name: "not padded, as of later versions", file: with("94,16,0,1,0,0,0,0,0,0,0,0,0,0]", "94,16,0,1]"), want: named},
		{name: "EUI-64", file: with(`"HardwareAddressLength":6`, `"HardwareAddressLength":8`), want: []state.NameRecord{dhcp("192.168.77.2", "", "phone")}},
		{name: "no MAC", file: with(`"HardwareAddressLength":6,`, "", `"HardwareAddress":[2,0,94,16,0,1,0,0,0,0,0,0,0,0,0,0],`, ""), want: []state.NameRecord{dhcp("192.168.77.2", "", "phone")}},
		{name: "InfiniBand", file: with(`"HardwareAddressType":1,`, `"HardwareAddressType":32,`), want: []state.NameRecord{dhcp("192.168.77.2", "", "phone")}},
		{name: "escapes", file: with(`"phone"`, `"K\u00fcche\u0000\""`), want: []state.NameRecord{dhcp("192.168.77.2", "02:00:5e:10:00:01", "Küche\x00\"")}},
		{name: "bad leases", file: head + phone + `,{"Hostname":"a"},{"Address":[192,168,77],"Hostname":"b"},{"Address":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1]}` + tail, want: named, err: "lease 2 and 2 more: " + want},
		{name: "a value of another type", file: with(`"Hostname":"phone"`, `"Hostname":7`), want: []state.NameRecord{dhcp("192.168.77.2", "02:00:5e:10:00:01", "")}},
		{name: "an octet that is none", file: with("[192,168,77,2]", "[192,168,77,256]"), err: "lease 1: " + want},
		{name: "cut in a lease", file: head + phone + "," + phone[:len(phone)-3], want: named, err: "byte 593: want JSON"},
		{name: "cut", file: head + phone, want: named, err: "byte 347: want JSON"},
	})
}

// Without a wall clock to trust only the boot clock ends a lease.
func TestNetworkdWithoutClock(t *testing.T) {
	lease := networkdLease{bootEnd: 1, clockEnd: 1}
	at := state.Instant{Boot: now.Boot, Uptime: now.Uptime}
	if !lease.ended(now.Boot, at) || lease.ended("another", at) {
		t.Errorf("ended: %t in this boot, %t in another", lease.ended(now.Boot, at), lease.ended("another", at))
	}
}

func FuzzNetworkd(f *testing.F) {
	addFiles(f, networkdFilePath)
	f.Add([]byte(`{"BootID":"00112233445566778899aabbccddeeff","Leases":[{"Address":[1,2,3,4],"HardwareAddress":"AgBeEAAB","HardwareAddressType":1,"ExpirationUSec":1e3},null,7]}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, r := range fuzzParse(t, networkdFormat, file) {
			if !r.Addr.Is4() {
				t.Errorf("got %+v", r)
			}
		}
	})
}

// BenchmarkNetworkd reads 10,000 leases.
func BenchmarkNetworkd(b *testing.B) {
	benchmark(b, networkdFormat, `{"BootID":"00112233445566778899aabbccddeeff","Leases":[`, `{"ClientId":[1,2,0,94,16,0,1],"Address":[OCTETS],"Hostname":"NAME","HardwareAddressType":1,"HardwareAddressLength":6,`+
		`"HardwareAddress":[2,0,94,16,0,1],"ExpirationUSec":3600000001,"ExpirationRealtimeUSec":1795827600000001},`, `{"Address":[192,168,0,1],"Hostname":"a"}]}`)
}
