package main

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"network-metrics-exporter/testdata/lab"
)

// TestFailingNetlink has the kernel refuse, interrupt and lose what it is asked,
// or be one without nf_tables, conntrack or even netlink: what can be published
// is, and the rest is told.
func TestFailingNetlink(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		d := installDurable(t, r)
		d.build(t)
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		d.must(t, "")
		var sent uint64
		before := make(series) // what was published last
		for _, fault := range []struct {
			err   string
			calls []string
		}{
			{"EPROTONOSUPPORT", []string{"socket"}}, // a kernel without netlink, or without nfnetlink
			{"EINVAL", []string{"sendto", "sendmsg"}},
			{"EPERM", []string{"sendto", "sendmsg"}},
			{"EINTR", []string{"sendto", "recvfrom"}}, // the others never wait, so that nothing interrupts them
			{"ENOBUFS", []string{"recvfrom", "recvmsg"}},
		} {
			for _, call := range fault.calls {
				d.inject(t, call, "error="+fault.err, func(status syscall.WaitStatus, log string) {
					if status != published {
						t.Fatalf("%s of %s: ended with %v and said:\n%s", fault.err, call, status, log)
					}
					sent += flow.Send(t, 1, 100)
					now := d.look(t)
					for key, up := range now {
						if strings.HasPrefix(key, "network_metrics_exporter_source_up") && up < before[key] && log == "" {
							t.Errorf("%s of %s: %s is 0, and not a word", fault.err, call, key)
						}
					}
					before = now
				})
			}
		}
		d.try(t, nil) // says what works again
		d.must(t, "").expect(t, series{up: float64(sent)})
	})
}

// TestWithoutIPv6 runs where IPv6 is switched off.
func TestWithoutIPv6(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		for _, interfaces := range []string{"all", "default", "br-lan", "lo"} {
			path := filepath.Join("/proc/sys/net/ipv6/conf", interfaces, "disable_ipv6")
			if err := os.WriteFile(path, []byte("1"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		i := install(t, r)
		i.run(t)
		sent := lab.UDP(t, "udp4", r.Laptop, r.Server).Send(t, 10, 1000)
		i.run(t).expect(t, series{up: float64(sent), `network_metrics_exporter_source_up{source="neighbor"}`: 1})
	})
}

// TestHostileLAN has somebody on the LAN send from made-up addresses by the
// thousand, and write a hundred megabytes into the lease file.
func TestHostileLAN(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		const addresses, most = 5000, 100
		i := install(t, r)
		limit := fmt.Sprint("--max-clients=", most)
		i.run(t, limit)
		sent := madeUp(t, r, addresses)

		leases, err := os.Create(filepath.Join(i.dir, "junk.leases"))
		if err != nil {
			t.Fatal(err)
		}
		junk := bufio.NewWriter(leases)
		for n := range 1 << 20 {
			fmt.Fprintf(junk, "%d 02:00:00:00:00:01 192.168.10.100 %090d *\n", n, n)
		}
		if err := junk.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := leases.Close(); err != nil {
			t.Fatal(err)
		}

		memory, log := i.processLogging(t, limit, "--leases="+leases.Name())
		if !strings.Contains(log, "junk.leases") || !strings.Contains(log, "no room for new clients") || strings.Count(log, "\n") != 2 {
			t.Errorf("the lease file and the made-up addresses are reported as:\n%s", log)
		}
		// The collector of garbage begins at 160 MiB.
		if memory > 200<<10 {
			t.Errorf("it took %d kB of memory", memory)
		}
		text, err := os.ReadFile(i.prom())
		if err != nil {
			t.Fatal(err)
		}
		all := parse(t, text)
		// A client has 14, a device 21, and there are some of the network.
		if len(all) > (14+21)*(most+1)+50 {
			t.Errorf("%d series for %d clients", len(all), most)
		}
		var total float64
		for key, value := range all {
			if strings.HasPrefix(key, `client_traffic_bytes{direction="tx"`) {
				total += value
			}
		}
		if total != float64(sent) {
			t.Errorf("%v bytes in all series, %d were sent", total, sent)
		}
		all.expect(t, series{"network_clients_known": most, `network_metrics_exporter_source_up{source="dhcp"}`: 0})
	})
}

// madeUp sends a packet from each of many IPv6 addresses that the laptop takes to
// be its own, and gives the IP bytes that crossed the network.
func madeUp(t *testing.T, r *lab.Router, addresses int) (bytes uint64) {
	t.Helper()
	const payload, window = 100, 16
	lab.Command(t, "ip", "netns", "exec", "laptop", "sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1")
	var server *net.UDPConn
	err := r.Server.Do(func() (err error) {
		server, err = net.ListenUDP("udp6", &net.UDPAddr{IP: r.Server.IPv6.AsSlice()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	to := server.LocalAddr().(*net.UDPAddr)
	buffer := make([]byte, payload)
	err = r.Laptop.Do(func() error {
		addr := netip.MustParseAddr("fd00:10::bad:0:0")
		for n := 1; n <= addresses; n++ {
			addr = addr.Next()
			conn, err := net.DialUDP("udp6", &net.UDPAddr{IP: addr.AsSlice()}, to)
			if err != nil {
				return err
			}
			_, err = conn.Write(buffer)
			conn.Close()
			if err != nil {
				return err
			}
			for range window {
				if n%window != 0 && n != addresses {
					break
				}
				if _, _, err := server.ReadFromUDP(buffer); err != nil {
					return err
				}
				if n == addresses && n%window != 0 {
					break
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return uint64(addresses) * (40 + 8 + payload)
}
