package dhcp

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestServerFiles(t *testing.T) {
	conf := write(t, filepath.Join(t.TempDir(), "dnsmasq.conf"), "# dhcp-leasefile=/no\nport=53\ndhcp-leasefile = /var/lib/x/leases # mine\n")
	for _, test := range []struct{ process, args, want string }{
		{"dnsmasq", "--dhcp-leasefile=/a", "/a"},
		{"dnsmasq", "--dhcp-leasefile /a --port=0", "/a"},
		{"dnsmasq", "-l /a/../b", "/b"},
		{"dnsmasq", "-C " + conf, "/var/lib/x/leases"},
		{"dnsmasq", "--conf-file=" + conf + " --dhcp-leasefile=/a", "/a"},
		{"dnsmasq", "--conf-file=/dev/null", strings.Join(dnsmasqPaths, " ")},
		{"dnsmasq", "--conf-file=/dev/null --dhcp-leasefile=relative", strings.Join(dnsmasqPaths, " ")},
		{"dnsmasq", "--conf-file=/dev/null -l", strings.Join(dnsmasqPaths, " ")},
		{"pihole-FTL", "-f", strings.Join(dnsmasqPaths, " ")},
		{"kea-dhcp4", "-c /etc/kea/kea-dhcp4.conf", "/var/lib/kea/kea-leases4.csv"},
		{"kea-dhcp6", "", "/var/lib/kea/kea-leases6.csv"},
		{"systemd-networkd", "", strings.Join(networkdPaths, " ")},
		{"dhcpd", "-4 -cf /etc/dhcp/dhcpd.conf br-lan", "/var/lib/dhcp/dhcpd.leases"},
		{"dhcpd", "-4 -lf /run/dhcpd.leases br-lan", "/run/dhcpd.leases"},
		{"AdGuardHome", "-s run", "/opt/AdGuardHome/data/leases.json"},
		{"AdGuardHome", "--work-dir /var/lib/AdGuardHome/", "/var/lib/AdGuardHome/data/leases.json"},
		{"AdGuardHome", "-w /srv", "/srv/data/leases.json"},
	} {
		i := slices.IndexFunc(Servers(), func(s Server) bool { return s.Process == test.process })
		if i < 0 {
			t.Fatalf("no server %s", test.process)
		}
		if got := strings.Join(Servers()[i].Files(strings.Fields(test.args)), " "); got != test.want {
			t.Errorf("%s %s: got %s, want %s", test.process, test.args, got, test.want)
		}
	}
}

// TestServersAreRead holds that each default file belongs to a server.
func TestServersAreRead(t *testing.T) {
	var paths []string
	for _, s := range Servers() {
		paths = append(paths, s.paths...)
	}
	for _, path := range defaultLeases {
		if !slices.Contains(paths, path) {
			t.Errorf("no server writes %s", path)
		}
	}
	for _, path := range paths {
		if !slices.Contains(defaultLeases, path) {
			t.Errorf("nobody reads %s", path)
		}
	}
}
