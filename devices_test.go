package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/testdata/lab"
)

// The devices of the table: an address, a MAC and, for some, an IPv6 address each.
const (
	anna4, anna6, annaMAC = "192.168.10.50", "fd00:10::50", "00:00:5e:00:53:50"
	bob4, bob6, bobMAC    = "192.168.10.51", "fd00:10::51", "02:00:5e:00:53:51"
	carol4, carolMAC      = "192.168.10.52", "02:00:5e:00:53:52"
	spare4, spare6        = "192.168.10.60", "fd00:10::60" // addresses that devices move to
)

// at has an address answer with a MAC.
func at(address, mac string) string {
	return "ip neigh replace " + address + " dev br-lan lladdr " + mac + " nud reachable\n"
}

// gone has nobody answer at an address any more.
func gone(address string) string { return "ip neigh del " + address + " dev br-lan\n" }

// lease is a line of dnsmasq's lease file, of a lease that ends in 2030.
func lease(mac, address, name string) string {
	return "1900000000 " + mac + " " + address + " " + name + " *\n"
}

// scope is the value of mac_scope for a MAC of the table.
func scope(mac string) string {
	switch {
	case !strings.Contains(mac, ":") || strings.Contains(mac, "::"):
		return ""
	case strings.HasPrefix(mac, "02:"):
		return "local"
	default:
		return "universal"
	}
}

// client is the client_info series of an address of br-lan that answers with a MAC
// and belongs to a device.
func client(address, name, mac, source, device string) string {
	return fmt.Sprintf("client_info{ip=%q,client=%q,mac=%q,interface=\"br-lan\",source=%q,mac_scope=%q,device=%q}",
		address, name, mac, source, scope(mac), device)
}

// device is the device_info series of a device.
func device(id, name, address, source string) string {
	return fmt.Sprintf("device_info{device=%q,client=%q,ip=%q,source=%q,mac_scope=%q}", id, name, address, source, scope(id))
}

// A deviceRun is one run of the program and what it publishes.
type deviceRun struct {
	sh            string            // commands, run before
	leases, hosts string            // files that are given by flags, if they are not empty
	files         map[string]string // other files, by their paths; $DIR is a directory of the test's own
	flags         []string          // with $DIR
	cache         string            // client-names.cache, written before, if it is not empty
	want          []string          // all client_info series
	devices       []string          // all device_info series, if there are any here
	log           string            // part of the one line that is said; the source dhcp is down then
}

// TestDevices is the table of whose an address is and what it is called: each case
// begins with nothing known, no neighbours and none of the default files.
func TestDevices(t *testing.T) {
	t.Parallel()
	const (
		kea4 = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n"
		kea6 = "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source\n"
		isc  = "# The format of this file is documented in the dhcpd.leases(5) manual page.\nauthoring-byte-order little-endian;\n\n"
	)
	keaRow := func(address, mac, name, state string) string {
		return address + "," + mac + ",,3600,1900000000,1,0,0," + name + "," + state + ",,0\n"
	}
	iscLease := func(address, mac, name, binding, ends string) string {
		return "lease " + address + " {\n  starts 4 2025/11/20 10:00:00;\n  ends " + ends + ";\n  binding state " + binding + ";\n  next binding state free;\n" +
			"  hardware ethernet " + mac + ";\n  client-hostname \"" + name + "\";\n}\n"
	}
	networkd := func(address, mac, name, ends string) string {
		octets := func(text, separator string, base int) string {
			var numbers []string
			for part := range strings.SplitSeq(text, separator) {
				var n int
				fmt.Sscanf(part, map[int]string{10: "%d", 16: "%x"}[base], &n)
				numbers = append(numbers, fmt.Sprint(n))
			}
			return strings.Join(numbers, ",")
		}
		return `{"BootID":"00112233445566778899aabbccddeeff","Address":[192,168,10,1],"PrefixLength":24,"Leases":[{"ClientId":[1,2],"Address":[` + octets(address, ".", 10) +
			`],"Hostname":"` + name + `","HardwareAddressType":1,"HardwareAddressLength":6,"HardwareAddress":[` + octets(mac, ":", 16) +
			`],"ExpirationUSec":1122528802999,"ExpirationRealtimeUSec":` + ends + `}]}` + "\n"
	}
	adguard := func(leases ...string) string {
		return `{"version":1,"leases":[` + strings.Join(leases, ",") + "]}\n"
	}
	adguardLease := func(address, mac, name, expires string) string {
		return fmt.Sprintf(`{"expires":%q,"ip":%q,"hostname":%q,"mac":%q,"static":%t}`, expires, address, name, mac, expires == "")
	}
	const (
		future, past         = "5 2030/03/15 17:46:40", "4 2001/09/06 01:46:40" // as ISC dhcpd writes them
		futureUSec, pastUSec = "1900000000000000", "1000000000000000"
	)
	// One MAC, that of a repeater, for all three.
	repeater := at(anna4, annaMAC) + at(bob4, annaMAC) + at(carol4, annaMAC)
	allThree := at(anna4, annaMAC) + at(bob4, bobMAC) + at(carol4, carolMAC)

	for _, test := range []struct {
		name string
		runs []deviceRun
	}{
		// Whose an address is.
		{"nobody says anything", []deviceRun{{sh: allThree,
			want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC), client(bob4, "unknown", bobMAC, "none", bobMAC), client(carol4, "unknown", carolMAC, "none", carolMAC)},
			devices: []string{device(annaMAC, "unknown", anna4, "none"), device(bobMAC, "unknown", bob4, "none"),
				device(carolMAC, "unknown", carol4, "none")}}}},
		{"a lease", []deviceRun{{sh: at(anna4, annaMAC), leases: lease(annaMAC, anna4, "anna"),
			want:    []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)},
			devices: []string{device(annaMAC, "anna", anna4, "dhcp")}}}},
		{"a lease of nobody who is there", []deviceRun{{sh: at(anna4, annaMAC), leases: lease(bobMAC, bob4, "bob"),
			want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC)}}}},
		{"behind a repeater, with their own leases", []deviceRun{{sh: repeater,
			leases: lease(annaMAC, anna4, "repeater") + lease(bobMAC, bob4, "television") + lease(carolMAC, carol4, "console"),
			want: []string{client(anna4, "repeater", annaMAC, "dhcp", annaMAC), client(bob4, "television", annaMAC, "dhcp", bobMAC),
				client(carol4, "console", annaMAC, "dhcp", carolMAC)},
			devices: []string{device(annaMAC, "repeater", anna4, "dhcp"), device(bobMAC, "television", bob4, "dhcp"), device(carolMAC, "console", carol4, "dhcp")}}}},
		{"behind a repeater that puts its own MAC into DHCP", []deviceRun{{sh: repeater,
			leases: lease(annaMAC, anna4, "repeater") + lease(annaMAC, bob4, "television") + lease(annaMAC, carol4, "console"),
			want: []string{client(anna4, "repeater", annaMAC, "dhcp", annaMAC), client(bob4, "television", annaMAC, "dhcp", annaMAC),
				client(carol4, "console", annaMAC, "dhcp", annaMAC)}}}},
		{"behind a repeater, a static entry for one", []deviceRun{{sh: repeater, hosts: bob4 + " television\n",
			want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC), client(bob4, "television", annaMAC, "hosts", annaMAC),
				client(carol4, "unknown", annaMAC, "none", annaMAC)}}}},
		{"behind a repeater, a static entry that is taken out", []deviceRun{
			{sh: repeater, hosts: bob4 + " television\n", want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC),
				client(bob4, "television", annaMAC, "hosts", annaMAC), client(carol4, "unknown", annaMAC, "none", annaMAC)}},
			{hosts: "# nobody\n", want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC),
				client(bob4, "unknown", annaMAC, "none", annaMAC), client(carol4, "unknown", annaMAC, "none", annaMAC)}},
		}},
		{"behind a repeater, static entries with their MACs", []deviceRun{{sh: repeater,
			hosts: annaMAC + "," + anna4 + ",repeater\n" + bobMAC + "," + bob4 + ",television\n" + carolMAC + "," + carol4 + ",console\n",
			want: []string{client(anna4, "repeater", annaMAC, "hosts", annaMAC), client(bob4, "television", annaMAC, "hosts", bobMAC),
				client(carol4, "console", annaMAC, "hosts", carolMAC)}}}},
		{"behind a repeater, a lease without a name", []deviceRun{{sh: at(bob4, annaMAC), leases: lease(bobMAC, bob4, "*"),
			want:    []string{client(bob4, "unknown", annaMAC, "none", bobMAC)},
			devices: []string{device(bobMAC, "unknown", bob4, "none")}}}},
		{"behind a repeater, an address in ethers", []deviceRun{{sh: at(bob4, annaMAC), hosts: bobMAC + " " + bob4 + "\n",
			want: []string{client(bob4, "unknown", annaMAC, "none", bobMAC)}}}},
		{"a sleep proxy answers", []deviceRun{
			{sh: at(anna4, annaMAC) + at(bob4, bobMAC), leases: lease(annaMAC, anna4, "mac") + lease(bobMAC, bob4, "appletv"),
				want: []string{client(anna4, "mac", annaMAC, "dhcp", annaMAC), client(bob4, "appletv", bobMAC, "dhcp", bobMAC)}},
			{sh: at(anna4, bobMAC), leases: lease(annaMAC, anna4, "mac") + lease(bobMAC, bob4, "appletv"),
				want:    []string{client(anna4, "mac", bobMAC, "dhcp", annaMAC), client(bob4, "appletv", bobMAC, "dhcp", bobMAC)},
				devices: []string{device(annaMAC, "mac", anna4, "dhcp"), device(bobMAC, "appletv", bob4, "dhcp")}},
		}},
		{"another MAC answers", []deviceRun{
			{sh: at(anna4, annaMAC), want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC)}},
			{sh: at(anna4, bobMAC), want: []string{client(anna4, "unknown", bobMAC, "none", bobMAC)}},
		}},
		{"another MAC answers where a lease was", []deviceRun{
			{sh: at(anna4, annaMAC), leases: lease(annaMAC, anna4, "anna"), want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)}},
			{sh: at(anna4, bobMAC), leases: "\n", want: []string{client(anna4, "anna", bobMAC, "cache", annaMAC)}},
		}},
		{"a lease passes to another device", []deviceRun{
			{sh: at(anna4, annaMAC), leases: lease(annaMAC, anna4, "anna"), want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)}},
			{sh: at(anna4, bobMAC), leases: lease(bobMAC, anna4, "bob"), want: []string{client(anna4, "bob", bobMAC, "dhcp", bobMAC)}},
			{sh: at(anna4, bobMAC), leases: lease(bobMAC, anna4, "*"), want: []string{client(anna4, "bob", bobMAC, "cache", bobMAC)}},
		}},
		{"a lease ends", []deviceRun{
			{sh: at(bob4, annaMAC), leases: lease(bobMAC, bob4, "bob"), want: []string{client(bob4, "bob", annaMAC, "dhcp", bobMAC)}},
			{leases: "\n", want: []string{client(bob4, "bob", annaMAC, "cache", bobMAC)}},
		}},
		{"a source that fails", []deviceRun{
			{sh: at(bob4, annaMAC), leases: lease(bobMAC, bob4, "bob"), want: []string{client(bob4, "bob", annaMAC, "dhcp", bobMAC)}},
			{leases: "nonsense\n", want: []string{client(bob4, "bob", annaMAC, "cache", bobMAC)}, log: "looks like text of another kind"},
		}},
		{"a DUID gives no MAC", []deviceRun{{sh: at(bob6, bobMAC) + at(anna4, annaMAC),
			leases: "duid 00:01\n1900000000 1 " + bob6 + " bob 00:03:00:01:" + annaMAC + "\n",
			want:   []string{client(anna4, "unknown", annaMAC, "none", annaMAC), client(bob6, "bob", bobMAC, "dhcp", bobMAC)}}}},
		{"IPv4 and IPv6 are one device", []deviceRun{{sh: at(anna4, annaMAC) + at(anna6, annaMAC), leases: lease(annaMAC, anna4, "anna"),
			want:    []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC), client(anna6, "anna", annaMAC, "dhcp", annaMAC)},
			devices: []string{device(annaMAC, "anna", anna4, "dhcp")}}}},
		{"IPv6 alone", []deviceRun{{sh: at(bob6, bobMAC),
			want:    []string{client(bob6, "unknown", bobMAC, "none", bobMAC)},
			devices: []string{device(bobMAC, "unknown", bob6, "none")}}}},

		// What it is called.
		{"another IPv4 address of the device", []deviceRun{{sh: at(anna4, annaMAC) + at(spare4, annaMAC), leases: lease(annaMAC, anna4, "anna"),
			want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC), client(spare4, "unknown", annaMAC, "none", annaMAC)}}}},
		{"a static name for an address", []deviceRun{{sh: at(anna4, annaMAC) + at(anna6, annaMAC), hosts: anna4 + " printer\n",
			want: []string{client(anna4, "printer", annaMAC, "hosts", annaMAC), client(anna6, "printer", annaMAC, "hosts", annaMAC)}}}}, // which is remembered of the device
		{"a static name for an IPv6 address", []deviceRun{{sh: at(anna4, annaMAC) + at(anna6, annaMAC), hosts: anna6 + " six\n",
			want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC), client(anna6, "six", annaMAC, "hosts", annaMAC)}}}},
		{"a static name before a lease", []deviceRun{{sh: at(anna4, annaMAC), leases: lease(annaMAC, anna4, "anna"), hosts: anna4 + " printer\n",
			want: []string{client(anna4, "printer", annaMAC, "hosts", annaMAC)}}}},
		{"a static name stays with its address", []deviceRun{
			{sh: at(anna4, annaMAC), hosts: anna4 + " printer\n", want: []string{client(anna4, "printer", annaMAC, "hosts", annaMAC)}},
			{sh: at(anna4, bobMAC) + at(spare4, annaMAC), hosts: anna4 + " printer\n", leases: lease(annaMAC, spare4, "anna"),
				want: []string{client(anna4, "printer", bobMAC, "hosts", bobMAC), client(spare4, "anna", annaMAC, "dhcp", annaMAC)}},
		}},
		{"a device in ethers", []deviceRun{{sh: at(anna4, annaMAC) + at(spare4, annaMAC) + at(anna6, annaMAC), hosts: annaMAC + " anna\n",
			want: []string{client(anna4, "anna", annaMAC, "hosts", annaMAC), client(anna6, "anna", annaMAC, "hosts", annaMAC),
				client(spare4, "anna", annaMAC, "hosts", annaMAC)}}}},
		{"a device in dhcp-host", []deviceRun{{sh: at(anna4, annaMAC) + at(spare6, annaMAC), hosts: "dhcp-host=" + annaMAC + ",anna,12h\n",
			want: []string{client(anna4, "anna", annaMAC, "hosts", annaMAC), client(spare6, "anna", annaMAC, "hosts", annaMAC)}}}},
		{"a lease for the address before a name for the device", []deviceRun{{sh: at(anna4, annaMAC), hosts: annaMAC + " device\n", leases: lease(annaMAC, anna4, "anna"),
			want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)}}}},
		{"a device with an address in dhcp-host", []deviceRun{{sh: at(anna4, annaMAC) + at(anna6, annaMAC), hosts: annaMAC + "," + anna4 + ",anna\n",
			want: []string{client(anna4, "anna", annaMAC, "hosts", annaMAC), client(anna6, "anna", annaMAC, "hosts", annaMAC)}}}},
		{"a device with an IPv6 address in dhcp-host", []deviceRun{{sh: at(anna4, annaMAC) + at(anna6, annaMAC), hosts: annaMAC + ",[" + anna6 + "],anna\n",
			want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC), client(anna6, "anna", annaMAC, "hosts", annaMAC)}}}},
		{"two MACs of a device in dhcp-host", []deviceRun{{sh: at(anna4, annaMAC) + at(bob6, bobMAC), hosts: annaMAC + "," + bobMAC + "," + anna4 + ",laptop\n",
			want: []string{client(anna4, "laptop", annaMAC, "hosts", annaMAC), client(bob6, "laptop", bobMAC, "hosts", bobMAC)}}}},
		{"two devices of one name", []deviceRun{{sh: at(anna4, annaMAC) + at(bob4, bobMAC), leases: lease(annaMAC, anna4, "phone") + lease(bobMAC, bob4, "phone"),
			want:    []string{client(anna4, "phone", annaMAC, "dhcp", annaMAC), client(bob4, "phone", bobMAC, "dhcp", bobMAC)},
			devices: []string{device(annaMAC, "phone", anna4, "dhcp"), device(bobMAC, "phone", bob4, "dhcp")}}}},

		// What is remembered.
		{"a device that moves", []deviceRun{
			{sh: at(anna4, annaMAC), leases: lease(annaMAC, anna4, "anna"), want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)}},
			{sh: gone(anna4) + at(spare4, annaMAC), leases: lease(annaMAC, spare4, "*"),
				want: []string{client(anna4, "anna", annaMAC, "cache", annaMAC), client(spare4, "anna", annaMAC, "cache", annaMAC)}},
		}},
		{"an IPv6 address that comes later", []deviceRun{
			{sh: at(anna4, annaMAC), leases: lease(annaMAC, anna4, "anna"), want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)}},
			{sh: at(anna6, annaMAC), leases: "\n", want: []string{client(anna4, "anna", annaMAC, "cache", annaMAC), client(anna6, "anna", annaMAC, "cache", annaMAC)}},
		}},
		{"the original's cache", []deviceRun{{sh: at(anna4, annaMAC) + at(bob4, bobMAC), cache: anna4 + "|old\n",
			want: []string{client(anna4, "old", annaMAC, "cache", annaMAC), client(bob4, "unknown", bobMAC, "none", bobMAC)}}}},
		{"a server corrects the cache", []deviceRun{{sh: at(anna4, annaMAC), cache: anna4 + "|old\n", leases: lease(annaMAC, anna4, "anna"),
			want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)}}}},

		// Where the servers keep their leases: nothing is given.
		{"dnsmasq on NixOS", []deviceRun{{sh: at(anna4, annaMAC), files: map[string]string{"/var/lib/dnsmasq/dnsmasq.leases": lease(annaMAC, anna4, "anna")},
			want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)}}}},
		{"dnsmasq on Debian", []deviceRun{{sh: at(anna4, annaMAC), files: map[string]string{"/var/lib/misc/dnsmasq.leases": lease(annaMAC, anna4, "anna")},
			want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)}}}},
		{"Pi-hole", []deviceRun{{sh: at(anna4, annaMAC), files: map[string]string{"/etc/pihole/dhcp.leases": lease(annaMAC, anna4, "anna")},
			want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)}}}},
		{"Kea", []deviceRun{{sh: at(anna4, annaMAC) + at(bob6, bobMAC), files: map[string]string{
			"/var/lib/kea/kea-leases4.csv": kea4 + keaRow(anna4, annaMAC, "anna", "0"),
			"/var/lib/kea/kea-leases6.csv": kea6 + bob6 + ",00:03:00:01:" + annaMAC + ",3600,1900000000,1,3600,0,1,128,0,0,bob.," + annaMAC + ",0,,1,2\n",
		}, want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC), client(bob6, "bob", bobMAC, "dhcp", bobMAC)}}}},
		{"Kea, in the middle of tidying up", []deviceRun{{sh: allThree, files: map[string]string{
			"/var/lib/kea/kea-leases4.csv":   kea4 + keaRow(anna4, annaMAC, "anna", "0"),
			"/var/lib/kea/kea-leases4.csv.1": kea4 + keaRow(anna4, annaMAC, "old", "0") + keaRow(bob4, bobMAC, "bob", "0"),
			"/var/lib/kea/kea-leases4.csv.2": kea4 + keaRow(bob4, bobMAC, "old", "0") + keaRow(carol4, carolMAC, "carol", "0"),
		}, want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC), client(bob4, "bob", bobMAC, "dhcp", bobMAC), client(carol4, "carol", carolMAC, "dhcp", carolMAC)}}}},
		{"systemd-networkd", []deviceRun{{sh: allThree, files: map[string]string{
			"/var/lib/systemd/network/dhcp-server-lease/br-lan": networkd(anna4, annaMAC, "anna", futureUSec),
			"/var/lib/systemd/network/dhcp-server-lease/eth1":   networkd(bob4, bobMAC, "bob", futureUSec),
			"/run/systemd/netif/dhcp-server-lease/eth2":         networkd(carol4, carolMAC, "carol", futureUSec),
		}, want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC), client(bob4, "bob", bobMAC, "dhcp", bobMAC), client(carol4, "carol", carolMAC, "dhcp", carolMAC)}}}},
		{"ISC dhcpd", []deviceRun{{sh: at(anna4, annaMAC), files: map[string]string{"/var/lib/dhcp/dhcpd.leases": isc + iscLease(anna4, annaMAC, "anna", "active", future)},
			want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)}}}},
		{"AdGuard Home", []deviceRun{{sh: at(anna4, annaMAC) + at(bob4, bobMAC), files: map[string]string{
			"/opt/AdGuardHome/data/leases.json": adguard(adguardLease(anna4, annaMAC, "anna", "2030-03-17T17:46:40Z"), adguardLease(bob4, bobMAC, "bob", "")),
		}, want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC), client(bob4, "bob", bobMAC, "hosts", bobMAC)}}}},
		{"several servers", []deviceRun{{sh: at(anna4, annaMAC) + at(bob4, bobMAC), files: map[string]string{
			"/var/lib/misc/dnsmasq.leases":                      lease(annaMAC, anna4, "anna"),
			"/var/lib/systemd/network/dhcp-server-lease/br-lan": networkd(bob4, bobMAC, "bob", futureUSec),
		}, want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC), client(bob4, "bob", bobMAC, "dhcp", bobMAC)}}}},
		{"static names of dnsmasq", []deviceRun{{sh: at(anna4, annaMAC), files: map[string]string{"/var/lib/dnsmasq/dhcp-hosts": annaMAC + ",anna," + anna4 + "\n"},
			want: []string{client(anna4, "anna", annaMAC, "hosts", annaMAC)}}}},
		{"no server", []deviceRun{{sh: at(anna4, annaMAC), want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC)}}}},

		// What their files say, told apart by content.
		{"ISC dhcpd, the last entry counts", []deviceRun{{sh: allThree,
			leases: isc + iscLease(anna4, annaMAC, "old", "active", future) + iscLease(bob4, bobMAC, "bob", "active", future) +
				iscLease(anna4, annaMAC, "anna", "active", future) + iscLease(bob4, bobMAC, "bob", "free", past) + iscLease(carol4, carolMAC, "carol", "active", past),
			want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC), client(bob4, "unknown", bobMAC, "none", bobMAC), client(carol4, "unknown", carolMAC, "none", carolMAC)}}}},
		{"systemd-networkd, ended", []deviceRun{{sh: at(anna4, annaMAC), leases: networkd(anna4, annaMAC, "anna", pastUSec),
			want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC)}}}},
		{"systemd-networkd, a hostile name", []deviceRun{{sh: at(anna4, annaMAC), leases: networkd(anna4, annaMAC, `a|b\"\\\u0001\u202e`, futureUSec),
			want: []string{client(anna4, "a_b____", annaMAC, "dhcp", annaMAC)}}}},
		{"AdGuard Home, ended", []deviceRun{{sh: at(anna4, annaMAC), leases: adguard(adguardLease(anna4, annaMAC, "anna", "2001-09-09T01:46:40Z")),
			want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC)}}}},
		{"Kea, declined and reclaimed", []deviceRun{{sh: allThree,
			leases: kea4 + keaRow(anna4, annaMAC, "anna", "0") + keaRow(bob4, bobMAC, "bob", "1") + keaRow(carol4, carolMAC, "carol", "0") + keaRow(carol4, carolMAC, "carol", "2"),
			want:   []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC), client(bob4, "unknown", bobMAC, "none", bobMAC), client(carol4, "unknown", carolMAC, "none", carolMAC)}}}},
		{"Kea, more than can be read", []deviceRun{{sh: at(anna4, annaMAC),
			leases: kea4 + keaRow(anna4, annaMAC, "old", "0") + strings.Repeat(keaRow(bob4, bobMAC, "many", "0"), 300_000) + keaRow(anna4, annaMAC, "anna", "0"),
			want:   []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)}, log: "larger than 16 MiB, only the newest entries were read"}}},
		{"Pi-hole's static leases", []deviceRun{{sh: at(anna4, annaMAC) + at(bob4, bobMAC),
			hosts: "dhcp-host=" + strings.ToUpper(annaMAC) + "," + anna4 + ",anna\ndhcp-host=" + strings.ToUpper(bobMAC) + "," + bob4 + ",bob\n",
			want:  []string{client(anna4, "anna", annaMAC, "hosts", annaMAC), client(bob4, "bob", bobMAC, "hosts", bobMAC)}}}},
		{"odhcpd's hosts", []deviceRun{{sh: at(anna4, annaMAC) + at(anna6, annaMAC),
			hosts: anna6 + "\tanna.lan\tanna\n# br-lan 00010001 1a2c6dc1 anna 1900000000 100 128 " + anna6 + "/128\n" + anna4 + "\tanna.lan\tanna\n",
			want:  []string{client(anna4, "anna.lan", annaMAC, "hosts", annaMAC), client(anna6, "anna.lan", annaMAC, "hosts", annaMAC)}}}},

		// What cannot be read.
		{"a file that is not there", []deviceRun{{sh: at(anna4, annaMAC), flags: []string{"--leases=$DIR/none"},
			want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC)}, log: "no such file"}}},
		{"a FIFO", []deviceRun{{sh: at(anna4, annaMAC), flags: []string{"--leases=$DIR/fifo"},
			want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC)}, log: "want a regular file, not a FIFO"}}},
		{"a directory that everybody writes to", []deviceRun{{sh: at(anna4, annaMAC), files: map[string]string{"$DIR/open/leases": lease(annaMAC, anna4, "liar")},
			flags: []string{"--leases=$DIR/open/leases"}, want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC)}, log: "only root and the server's user"}}},
		{"static names given as leases", []deviceRun{{sh: at(anna4, annaMAC), leases: anna4 + " anna\n",
			want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC)}, log: "--hosts=PATH"}}},
		{"leases given as static names", []deviceRun{{sh: at(anna4, annaMAC), hosts: lease(annaMAC, anna4, "anna"),
			want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC)}, log: "--leases=PATH"}}},
		{"leases of another program", []deviceRun{{sh: at(anna4, annaMAC), leases: "[\n  {\n    \"ip-address\": \"" + anna4 + "\"\n  }\n]\n",
			want: []string{client(anna4, "unknown", annaMAC, "none", annaMAC)}, log: "looks like JSON of another program"}}},
		{"one bad line", []deviceRun{{sh: at(anna4, annaMAC), leases: lease(annaMAC, anna4, "anna") + "0 bad line\n",
			want: []string{client(anna4, "anna", annaMAC, "dhcp", annaMAC)}, log: "line 2"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			lab.Namespace(t, func(t *testing.T) {
				lab.Need(t, "ip", "mount")
				lab.Command(t, "sh", "-ec", neighbours+`
					for dir in /var/lib /etc /run /opt; do mount -t tmpfs -o mode=755 tmpfs $dir; done`)
				dir := t.TempDir()
				if err := makeOddFiles(dir); err != nil {
					t.Fatal(err)
				}
				for n, run := range test.runs {
					run.check(t, dir)
					if t.Failed() {
						t.Fatalf("in run %d; neighbours:\n%s", n, lab.Command(t, "ip", "-s", "neigh"))
					}
				}
			})
		})
	}
}

// makeOddFiles makes what is no place for leases.
func makeOddFiles(dir string) error {
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		return err
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		return err
	}
	return os.Chmod(open, 0o777)
}

// check runs the program and compares what it publishes.
func (r deviceRun) check(t *testing.T, dir string) {
	t.Helper()
	i := installation{dir: dir}
	stateDir := filepath.Join(dir, "state")
	args := []string{"sample", "--output=" + i.prom(), "--state-dir=" + stateDir}
	given := map[string]string{"leases": r.leases, "hosts": r.hosts}
	for _, flag := range []string{"leases", "hosts"} {
		if given[flag] != "" {
			path := filepath.Join(dir, flag)
			write(t, path, given[flag])
			args = append(args, "--"+flag+"="+path)
		}
	}
	for _, flag := range r.flags {
		args = append(args, strings.ReplaceAll(flag, "$DIR", dir))
	}
	for path, text := range r.files {
		path = strings.ReplaceAll(path, "$DIR", dir)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, text)
	}
	if r.cache != "" {
		if err := os.MkdirAll(stateDir, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(stateDir, "client-names.cache"), r.cache)
	}
	lab.Command(t, "sh", "-ec", r.sh)

	var stdout, stderr strings.Builder
	if status := run(args, &stdout, &stderr); status != published {
		t.Fatalf("exit status %d, stderr:\n%s", status, &stderr)
	}
	if log := stderr.String(); !strings.Contains(log, r.log) || strings.Count(log, "\n") != min(1, len(r.log)) {
		t.Errorf("it says %q, want %q", log, r.log)
	}
	text, err := os.ReadFile(i.prom())
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, text)
	up := 1.0
	if r.log != "" {
		up = 0
	}
	got.expect(t, series{`network_metrics_exporter_source_up{source="dhcp"}`: up, "network_clients_known": float64(len(r.want))})
	slices.Sort(r.want)
	if diff := cmp.Diff(r.want, got.named("client_info")); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	if slices.Sort(r.devices); r.devices != nil {
		if diff := cmp.Diff(r.devices, got.named("device_info")); diff != "" {
			t.Errorf("devices (-want +got):\n%s", diff)
		}
		got.expect(t, series{"network_devices_known": float64(len(r.devices))})
	}
	lab.CheckReaders(t, i.prom())
}

// named returns the series of a metric, sorted.
func (s series) named(metric string) []string {
	var names []string
	for name := range s {
		if strings.HasPrefix(name, metric+"{") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
