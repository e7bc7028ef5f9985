package main

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/health"
	"network-metrics-exporter/testdata/lab"
)

// TestCheckNetwork makes every cause that is in the machine's network, sees it told,
// takes it away and sees that all is well.
func TestCheckNetwork(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		r := newRouter(t, l)
		const uplink = "ip route add default via 203.0.113.2 dev wan"
		for _, test := range []struct {
			cause      string
			make, undo string // commands of the shell
			flags      []string
			name       string
			status     health.Status
			found      string
		}{
			{"a port of a bridge", "", "", []string{"--interface=lan-laptop"}, "interface", health.Fail,
				`lan-laptop is a port of the bridge br-lan: the clients are neighbours of the bridge (set TRAFFIC_INTERFACE="br-lan" in /etc/default/network-metrics-exporter)`},
			{"the WAN", uplink, "ip route del default", []string{"--interface=br-lan", "--interface=wan"}, "interface", health.Warn,
				"wan is where the default route leads"},
			{"the WAN, which is not given", uplink, "ip route del default", nil, "interface", health.OK, "br-lan is there"},
			{"the WAN by IPv6", "ip route add default via 2001:db8::2 dev wan", "ip -6 route del default", []string{"--interface=wan"}, "interface", health.Warn,
				"wan is where the default route leads"},
			{"an interface that is down", "ip link add guest0 type bridge", "ip link del guest0", []string{"--interface=br-lan", "--interface=guest0"}, "interface", health.Fail,
				"guest0 is down (ip link set guest0 up)"},
			{"a pattern", "", "", []string{"--interface=br-*"}, "interface", health.OK, "br-lan is there"},
			{"a pattern that nothing has now", "", "", []string{"--interface=br-lan", "--interface=ppp*"}, "interface", health.OK, "br-lan is there"},
			{"only a pattern that nothing has", "", "", []string{"--interface=ppp*"}, "interface", health.Fail, "ppp* does not exist; there is: br-lan wan"},

			{"a network of an interface that is not given", "", "", []string{"--network=192.168.10.0/24", "--network=203.0.113.0/24"}, "network", health.Warn,
				"203.0.113.0/24 is the network of wan, which is not among the LAN interfaces"},
			{"a neighbour by IPv6 without a prefix", "ip neigh add 2001:db8:77::5 lladdr 02:00:00:00:00:05 dev br-lan nud permanent",
				"ip neigh del 2001:db8:77::5 dev br-lan", nil, "network", health.Warn,
				`2001:db8:77::5 is a neighbour on br-lan, which has no address in its network: it is no client (set NETWORK_PREFIX="2001:db8:77::/64 fd00:10::/64" in`},
			{"a tunnel with an address that is alone", "ip link add wg0 up type bridge; ip addr add 10.8.0.1/32 dev wg0", "ip link del wg0",
				[]string{"--interface=br-lan", "--interface=wg0"}, "network", health.Warn, "no clients behind wg0: its address 10.8.0.1 is alone"},
			{"a tunnel with routes", "ip link add wg0 up type bridge; ip addr add 10.8.0.1/32 dev wg0; ip route add 10.8.0.0/24 dev wg0", "ip link del wg0",
				[]string{"--interface=br-lan", "--interface=wg0"}, "network", health.OK, "10.8.0.0/24"},
			{"a link to a single peer", "ip link add ppp0 up type bridge; ip addr add 10.9.0.1 peer 10.9.0.2/32 dev ppp0", "ip link del ppp0",
				[]string{"--interface=br-lan", "--interface=ppp0"}, "network", health.OK, "10.9.0.2/32"},

			{"IPv4 is not forwarded", "echo 0 >/proc/sys/net/ipv4/ip_forward", "echo 1 >/proc/sys/net/ipv4/ip_forward", nil, "forwarding", health.Fail,
				"IPv4 of br-lan is not forwarded (net.ipv4.conf.br-lan.forwarding is 0) (sysctl -w net.ipv4.ip_forward=1"},
			{"IPv4 of the LAN is not forwarded", "echo 0 >/proc/sys/net/ipv4/conf/br-lan/forwarding", "echo 1 >/proc/sys/net/ipv4/conf/br-lan/forwarding",
				nil, "forwarding", health.Fail, "IPv4 of br-lan"},
			{"IPv6 is not forwarded", "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding; ip addr add 2001:db8:1::1/64 dev br-lan",
				"echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; ip addr del 2001:db8:1::1/64 dev br-lan", nil, "forwarding", health.Warn, "br-lan has a global address"},
			{"only a site's IPv6", "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding", nil, "forwarding", health.OK, ""},
		} {
			t.Run(test.cause, func(t *testing.T) {
				lab.Command(t, "sh", "-c", test.make)
				r.expect(t, test.name, test.status, test.found, test.flags...)
				lab.Command(t, "sh", "-c", test.undo)
				r.expect(t, test.name, health.OK, "")
			})
		}
	})
}

// TestCheckBridge has what is bridged pass the firewall, as dockerd does where it
// finds br_netfilter.
func TestCheckBridge(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		const call = "/proc/sys/net/bridge/bridge-nf-call-iptables"
		if _, err := os.Stat(call); err != nil {
			lab.Unavailable(t, "br_netfilter: %v", err)
		}
		r := newRouter(t, l)
		r.expect(t, "bridge", health.OK, "")
		write(t, call, "1")
		r.expect(t, "bridge", health.Warn,
			"what devices of br-lan send each other is counted too: the firewall sees it (net.bridge.bridge-nf-call-iptables is 1, as Docker sets it) (sysctl -w net.bridge.bridge-nf-call-iptables=0")
		// With one port there is nobody to send anything to.
		for _, client := range []string{"phone", "printer"} {
			lab.Command(t, "ip", "link", "set", "lan-"+client, "nomaster")
		}
		r.expect(t, "bridge", health.OK, "")
		for _, client := range []string{"phone", "printer"} {
			lab.Command(t, "ip", "link", "set", "lan-"+client, "master", "br-lan")
		}
		r.expect(t, "bridge", health.Warn, "br-lan")
		write(t, call, "0")
		r.expect(t, "bridge", health.OK, "")
	})
}

// TestCheckRuns makes the causes that the runs have found.
func TestCheckRuns(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		r := newRouter(t, l)

		// Something flushes the ruleset.
		r.expect(t, "repairs", health.OK, "0 of 1 runs")
		for range 3 {
			lab.Nft(t, "delete table inet network_metrics")
			r.run(t)
		}
		r.expect(t, "repairs", health.OK, "3 of 4 runs found gone what counts")
		lab.Nft(t, "delete table inet network_metrics")
		r.expect(t, "repairs", health.Warn, "something flushes the ruleset again and again: 3 of 4 runs")
		r.run(t)
		r.expect(t, "repairs", health.OK, "4 of 5 runs")

		// Nothing tracks connections.
		ruleset := lab.Command(t, "nft", "list", "table", "inet", "filter") + lab.Command(t, "nft", "list", "table", "ip", "nat")
		lab.Nft(t, "delete table inet filter; delete table ip nat")
		r.expect(t, "conntrack", health.Warn, "no rule makes the kernel track connections")
		lab.Nft(t, ruleset)
		r.expect(t, "conntrack", health.OK, "entries are taken")

		// There are more clients than may have series, and sets that are full.
		for host := range 3 {
			lab.Command(t, "ip", "neigh", "replace", fmt.Sprint("192.168.10.", 50+host), "lladdr", fmt.Sprint("02:00:00:00:00:5", host), "dev", "br-lan", "nud", "reachable")
		}
		r.run(t, "--max-clients=2")
		r.expect(t, "clients", health.Warn, "of which only 2 have series")
		lab.Command(t, "sh", "-c", "for i in 1 2 3 4; do nft add element inet network_metrics client_rx { 192.168.10.20$i } 2>/dev/null || true; done")
		r.expect(t, "clients", health.Warn, "have series", "--max-clients=2")
		r.expect(t, "clients", health.Warn, "set client_rx of table inet network_metrics is full", "--max-clients=100")
		r.run(t)
		r.expect(t, "clients", health.OK, "of at most 1024")

		// A source failed in the last run, and fails no more.
		if err := os.Chmod(l.Leases, 0); err != nil {
			t.Fatal(err)
		}
		r.run(t, "--leases=/run/none")
		r.expect(t, "source", health.Warn, "in the last run dhcp failed: ")
		if err := os.Chmod(l.Leases, 0o644); err != nil {
			t.Fatal(err)
		}
		r.run(t)
		r.expect(t, "source", health.OK, "")

		// Conntrack has to count bytes, if the layout is flows.
		const acct = "/proc/sys/net/netfilter/nf_conntrack_acct"
		write(t, acct, "0")
		r.expect(t, "flowtable", health.OK, "")
		r.expect(t, "flowtable", health.Fail, "conntrack counts no bytes", "--accounting=flows")
		write(t, acct, "1")
		r.expect(t, "flowtable", health.OK, "", "--accounting=flows", "--interval=5")
		r.expect(t, "flowtable", health.Warn, "runs are 1m0s apart, more than 8s", "--accounting=flows")

		// A firewall comes after what counts.
		lab.Nft(t, "add table ip late; add chain ip late f { type filter hook forward priority 400; }")
		r.expect(t, "accounting", health.Warn, "chain ip late f, of priority 400, comes after what counts: what it drops was counted")
		lab.Nft(t, "delete table ip late")
		r.expect(t, "accounting", health.OK, "")

		// The accounting is another installation's.
		other := t.TempDir()
		r.expect(t, "accounting", health.Fail, "belongs to another instance", "--state-dir="+other)
		r.expect(t, "accounting", health.Fail, "(network-metrics-exporter teardown --state-dir="+stateDir, "--state-dir="+other)
	})
}

// TestCheckNixOS tells cures as options of a NixOS configuration.
func TestCheckNixOS(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		r := newRouter(t, l)
		if err := unix.Mount("tmpfs", "/etc", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		write(t, "/etc/NIXOS", "")
		for _, test := range []struct {
			flags      []string
			name, cure string
			status     health.Status
		}{
			{[]string{"--interface=lan-laptop", "--interface=br-lan"}, "interface", `services.network-metrics-exporter.interfaces = [ "br-lan" ];`, health.Fail},
			{[]string{"--network=192.168.10.0/25"}, "network", `services.network-metrics-exporter.networks = [ "192.168.10.0/24" ];`, health.Warn},
			{[]string{"--leases=/run/none"}, "dhcp", `services.network-metrics-exporter.leases = [ "/run/dnsmasq.leases" ];`, health.Warn},
			{[]string{"--accounting=rules"}, "accounting", "systemctl start network-metrics-exporter.service", health.Fail},
		} {
			r.expect(t, test.name, test.status, "("+test.cure, test.flags...)
		}
		write(t, "/proc/sys/net/ipv4/ip_forward", "0")
		r.expect(t, "forwarding", health.Fail, `(boot.kernel.sysctl."net.ipv4.ip_forward" = 1;)`)
	})
}
