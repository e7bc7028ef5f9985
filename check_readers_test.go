package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/health"
	"network-metrics-exporter/testdata/lab"
)

// serveTextfiles starts a node_exporter that listens on an address and serves the
// files in a directory, until the test ends or stop is called.
func serveTextfiles(t *testing.T, addr, dir string) (stop func()) {
	t.Helper()
	lab.Need(t, "prometheus-node-exporter")
	cmd := exec.Command("prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
		"--collector.textfile.directory="+dir, "--web.listen-address="+addr)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(stop)
	for n := 0; ; n++ {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return stop
		}
		if n == 1000 {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestCheckPrograms runs programs that matter beside ours.
func TestCheckPrograms(t *testing.T) {
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		lab.Need(t, "prometheus-node-exporter")
		r := newRouter(t, l)
		r.expect(t, "reader", health.OK, "by everybody")
		r.expect(t, "port", health.Warn, "nothing serves "+prom+" on port 9101 or 9100: dial tcp")

		port := func(addr string) string {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			return "--port=" + port
		}
		elsewhere := t.TempDir()
		other := port(lab.StartNodeExporter(t, elsewhere))
		r.expect(t, "port", health.Fail, "without our metrics", other)
		write(t, elsewhere+"/old.prom", read(t, prom))
		r.run(t)
		r.expect(t, "port", health.Fail, "serves another file than "+prom+", or an older one: its last run was ", other)
		ours := port(lab.StartNodeExporter(t, outputDir))
		r.expect(t, "port", health.OK, "serves "+prom, ours)
		r.expect(t, "reader", health.OK, "by node_exporter (process ")
		t.Setenv("METRICS_PORT", strings.TrimPrefix(ours, "--port="))
		r.expect(t, "port", health.OK, "serves "+prom)

		// METRICS_ADDRESS=192.168.10.1
		stop := serveTextfiles(t, "192.168.10.1:9102", outputDir)
		r.expect(t, "port", health.OK, "http://192.168.10.1:9102/metrics serves "+prom, "--port=9102")
		stop()

		r.expect(t, "nlbwmon", health.OK, "")
		path, err := exec.LookPath("sleep")
		if err != nil {
			t.Fatal(err)
		}
		nlbwmon := filepath.Join(t.TempDir(), "nlbwmon")
		lab.Command(t, "cp", path, nlbwmon)
		cmd := exec.Command(nlbwmon, "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r.expect(t, "nlbwmon", health.Warn, "zeroes the counters of conntrack")
		cmd.Process.Kill()
		cmd.Wait()
		r.expect(t, "nlbwmon", health.OK, "")
	})
}

// TestCheckReaders has node_exporter run as on a machine that is scraped for other
// things too, on port 9100.
func TestCheckReaders(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		r := newRouter(t, l)
		elsewhere := t.TempDir()
		stop := serveTextfiles(t, "127.0.0.1:9100", elsewhere)
		r.expect(t, "port", health.Fail, "http://127.0.0.1:9100/metrics answers 200 OK, without our metrics (ln -s "+prom+" "+elsewhere+"/)")

		// A container is often given the file alone: what is mounted is the file of
		// that moment, and a run replaces it.
		write(t, elsewhere+"/x.prom", "")
		if err := unix.Mount(prom, elsewhere+"/x.prom", "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		r.expect(t, "port", health.OK, "http://127.0.0.1:9100/metrics serves "+prom)
		r.run(t)
		r.expect(t, "port", health.Fail, "serves another file than "+prom+", or an older one")
		if err := unix.Unmount(elsewhere+"/x.prom", 0); err != nil {
			t.Fatal(err)
		}
		r.expect(t, "port", health.Fail, "without our metrics")

		// The cure that it names.
		if err := os.Symlink(prom, elsewhere+"/network_metrics.prom"); err != nil {
			t.Fatal(err)
		}
		r.expect(t, "port", health.OK, "http://127.0.0.1:9100/metrics serves "+prom)
		stop()

		// Somebody else's program has the port.
		listener, err := net.Listen("tcp", "127.0.0.1:9100")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				conn.Write([]byte("HTTP/1.0 401 Unauthorized\r\n\r\n"))
				conn.Close()
			}
		}()
		r.expect(t, "port", health.Warn, "not known what is served: http://127.0.0.1:9100/metrics answers 401 Unauthorized")
	})
}

// TestCheckDebian is where Debian's dnsmasq keeps its leases, without a flag.
func TestCheckDebian(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		r := newRouter(t, l)
		back := move(t, leases)
		r.expect(t, "leases", health.Warn, "none of the usual files is there, /var/lib/dnsmasq/dnsmasq.leases /var/lib/misc/dnsmasq.leases ")
		if err := os.MkdirAll("/var/lib/misc", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(l.Leases, "/var/lib/misc/dnsmasq.leases"); err != nil {
			t.Fatal(err)
		}
		r.expect(t, "leases", health.OK, "/var/lib/misc/dnsmasq.leases (dnsmasq) has 3 entries")
		r.expect(t, "dhcp", health.OK, "")
		back()
		r.expect(t, "dhcp", health.OK, "")
	})
}

// docker is what dockerd 27 puts into nftables by way of iptables-nft, with a
// container whose port 8080 is published.
const docker = `
table ip nat {
	chain DOCKER { iifname "docker0" return; tcp dport 8080 dnat to 172.17.0.2:80; }
	chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER; }
	chain POSTROUTING { type nat hook postrouting priority srcnat; oifname != "docker0" ip saddr 172.17.0.0/16 masquerade; }
}
table ip filter {
	chain DOCKER { iifname != "docker0" oifname "docker0" ip daddr 172.17.0.2 tcp dport 80 accept; }
	chain DOCKER-USER { return; }
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		jump DOCKER-USER
		oifname "docker0" ct state related,established accept
		oifname "docker0" jump DOCKER
		iifname "docker0" oifname != "docker0" accept
		iifname "br-lan" accept
		oifname "br-lan" accept
	}
}`

// TestCheckHealthy finds nothing on machines that are well.
func TestCheckHealthy(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, l *lab.Router) {
		r := newRouter(t, l)
		serveTextfiles(t, "127.0.0.1:9101", outputDir)
		lab.Command(t, "ip", "route", "add", "default", "via", "203.0.113.2", "dev", "wan")
		healthy := func(machine string) {
			t.Helper()
			var document, stderr bytes.Buffer
			if status := run([]string{"check", "--json"}, &document, &stderr); status != 0 || stderr.Len() > 0 {
				t.Errorf("%s: exit status %d: %s", machine, status, &stderr)
			}
			var findings []health.Finding
			if err := json.Unmarshal(document.Bytes(), &findings); err != nil {
				t.Fatal(err)
			}
			for _, f := range findings {
				if f.Status != health.OK || f.Cure != "" {
					t.Errorf("%s: %+v", machine, f)
				}
			}
		}
		write(t, "/proc/sys/net/netfilter/nf_conntrack_acct", "1") // as flows needs
		healthy("a router")
		for _, layout := range []string{"rules", "flows", "sets"} {
			r.run(t, "--accounting="+layout, "--interval=5")
			healthy("a router that counts by " + layout)
		}
		lab.Command(t, "sh", "-c", `
			ip link add docker0 type bridge
			ip addr add 172.17.0.1/16 dev docker0
			ip link set docker0 up
			ip netns add container
			ip link add veth1 up master docker0 type veth peer name eth0 netns container`)
		lab.Nft(t, docker)
		r.run(t)
		healthy("a router with Docker")
		serveTextfiles(t, "127.0.0.1:9100", t.TempDir()) // for the machine's own metrics
		healthy("a router with a node_exporter of its own")

		if err := unix.Mount("tmpfs", "/etc", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		write(t, "/etc/NIXOS", "")
		write(t, "/etc/systemd/system/network-metrics-exporter.service", "")
		write(t, "/etc/systemd/system/network-metrics-exporter.timer", "")
		healthy("NixOS")
	})
}
