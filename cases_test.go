package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/testdata/lab"
)

// byDevice are the totals of a device.
func byDevice(mac string, rx, tx uint64) series {
	return series{
		`device_traffic_bytes_total{direction="rx",device="` + mac + `"}`: float64(rx),
		`device_traffic_bytes_total{direction="tx",device="` + mac + `"}`: float64(tx),
	}
}

// byClient are the totals of an address.
func byClient(addr, name string, rx, tx float64) series {
	return series{
		`client_traffic_bytes{direction="rx",ip="` + addr + `",client="` + name + `"}`: rx,
		`client_traffic_bytes{direction="tx",ip="` + addr + `",client="` + name + `"}`: tx,
	}
}

const laptopMAC, guestMAC = "02:00:00:00:00:01", "02:00:00:00:00:0a"

// addGuest adds a host to br-lan, without an address.
func addGuest(t *testing.T) *lab.Host {
	t.Helper()
	lab.Command(t, "sh", "-ec", `
		ip netns add guest
		ip link add lan-guest type veth peer name eth0 address `+guestMAC+` netns guest
		ip link set lan-guest master br-lan up
		ip -n guest link set eth0 up`)
	return &lab.Host{Name: "guest"}
}

// TestAddressReused gives the address of a device that has moved much to another
// one, which is not to be shown with that.
func TestAddressReused(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		guest := addGuest(t)
		i := installation{t.TempDir(), filepath.Join(t.TempDir(), "leases")}
		write(t, i.leases, lease(laptopMAC, "192.168.10.100", "laptop"))
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		i.run(t)
		tx, rx := flow.Send(t, 500, 1400), flow.Reply(t, 1000, 1400)
		got := i.run(t)
		got.expect(t, byClient("192.168.10.100", "laptop", float64(rx), float64(tx)))
		got.expect(t, byDevice(laptopMAC, rx, tx))

		lab.Command(t, "sh", "-ec", `
			ip -n laptop link set eth0 down
			ip -n guest addr add 192.168.10.100/24 dev eth0
			ip -n guest route add default via 192.168.10.1
			ip neigh flush dev br-lan
			ip netns exec guest ping -q -c 1 192.168.10.1`)
		guest.IPv4 = r.Laptop.IPv4
		write(t, i.leases, lease(guestMAC, "192.168.10.100", "guest"))
		got = i.run(t)
		got.expect(t, byClient("192.168.10.100", "guest", 0, 0))
		got.expect(t, byClient("192.168.10.100", "laptop", none, none))
		got.expect(t, byDevice(laptopMAC, rx, tx))
		got.expect(t, byDevice(guestMAC, 0, 0))

		flow = lab.UDP(t, "udp4", guest, r.Server)
		guestTx, guestRx := flow.Send(t, 10, 1000), flow.Reply(t, 20, 1000)
		got = i.run(t)
		got.expect(t, byClient("192.168.10.100", "guest", float64(guestRx), float64(guestTx)))
		got.expect(t, byDevice(laptopMAC, rx, tx))
		got.expect(t, byDevice(guestMAC, guestRx, guestTx))
		clients, log := i.show(t)
		if c := clients["192.168.10.100"]; *c.TxBytes != guestTx || *c.Client != "guest" || log != "" {
			t.Errorf("show says %v, and %q", c, log)
		}
	})
}

// TestSleepProxy has another device answer for one that sleeps: what the address
// moved and moves stays that of the device which has the lease.
func TestSleepProxy(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		i.run(t)
		tx, rx := flow.Send(t, 100, 1000), flow.Reply(t, 200, 1000)
		i.run(t).expect(t, byDevice(laptopMAC, rx, tx))
		lab.Command(t, "sh", "-ec", `
			ip -n laptop link set eth0 down
			ip -n phone addr add 192.168.10.100/24 dev eth0
			ip neigh flush dev br-lan
			ip netns exec phone ping -q -c 1 -I 192.168.10.100 192.168.10.1`)
		proxy := *r.Phone
		proxy.IPv4 = r.Laptop.IPv4
		tx += lab.UDP(t, "udp4", &proxy, r.Server).Send(t, 5, 100)
		got := i.run(t)
		got.expect(t, byClient("192.168.10.100", "laptop", float64(rx), float64(tx)))
		got.expect(t, byDevice(laptopMAC, rx, tx))
		got.expect(t, byDevice("02:00:00:00:00:02", 0, 0))
		got.expect(t, series{`client_info{ip="192.168.10.100",client="laptop",mac="02:00:00:00:00:02",interface="br-lan",source="dhcp",mac_scope="local",device="` + laptopMAC + `"}`: 1})
	})
}

// TestPrefixRotation has a provider give another prefix, at once, and the first one
// again: nobody's totals fall, and the device's go on.
func TestPrefixRotation(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"sets", "rules"} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				const a, b = "2001:db8:a::100", "2001:db8:b::100"
				lab.Command(t, "sh", "-ec", `
					ip addr add 2001:db8:a::1/64 dev br-lan nodad
					ip -n laptop addr add `+a+`/64 dev eth0 nodad
					ip netns exec laptop ping -q -c 1 -I `+a+` 2001:db8:a::1`)
				i, flag := install(t, r), "--accounting="+layout
				on := func(addr string) *lab.Host {
					host := *r.Laptop
					host.IPv6 = netip.MustParseAddr(addr)
					return &host
				}
				flow := lab.UDP(t, "udp6", on(a), r.Server)
				i.run(t, flag)
				tx, rx := flow.Send(t, 100, 1000), flow.Reply(t, 200, 1000)
				i.run(t, flag).expect(t, byClient(a, "laptop", float64(rx), float64(tx)))

				// After the last run that knows of the first prefix.
				tx, rx = tx+flow.Send(t, 5, 1000), rx+flow.Reply(t, 6, 1000)
				lab.Command(t, "sh", "-ec", `
					ip addr del 2001:db8:a::1/64 dev br-lan
					ip addr add 2001:db8:b::1/64 dev br-lan nodad
					ip -n laptop addr add `+b+`/64 dev eth0 nodad
					ip netns exec laptop ping -q -c 1 -I `+b+` 2001:db8:b::1`)
				got := i.run(t, flag)
				got.expect(t, byClient(a, "laptop", float64(rx), float64(tx)))
				flowB := lab.UDP(t, "udp6", on(b), r.Server)
				txB, rxB := flowB.Send(t, 10, 1000), flowB.Reply(t, 20, 1000)
				got = i.run(t, flag)
				got.expect(t, byClient(a, "laptop", float64(rx), float64(tx)))
				got.expect(t, byClient(b, "laptop", float64(rxB), float64(txB)))
				got.expect(t, byDevice(laptopMAC, rx+rxB, tx+txB))

				lab.Command(t, "ip", "addr", "add", "2001:db8:a::1/64", "dev", "br-lan", "preferred_lft", "0", "nodad")
				i.run(t, flag)
				tx += flow.Send(t, 3, 1000)
				got = i.run(t, flag)
				got.expect(t, byClient(a, "laptop", float64(rx), float64(tx)))
				got.expect(t, byClient(b, "laptop", float64(rxB), float64(txB)))
				got.expect(t, byDevice(laptopMAC, rx+rxB, tx+txB))
			})
		})
	}
}

// TestOneDevice has four addresses of three networks: four clients, and one device
// where devices are counted, limited and shown.
func TestOneDevice(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Command(t, "sh", "-ec", `
			ip addr add 2001:db8:a::1/64 dev br-lan nodad
			for address in 2001:db8:a::100 2001:db8:a::dead; do
				ip -n laptop addr add $address/64 dev eth0 nodad
				ip netns exec laptop ping -q -c 1 -I $address 2001:db8:a::1
			done
			ip netns exec laptop ping -q -c 1 -I fd00:10::100 fd00:10::1`)
		i := install(t, r)
		i.run(t)
		got := i.run(t)
		// The phone and the printer have one address each.
		got.expect(t, series{"network_clients_known": 6, "network_clients_online": 6, "network_devices_known": 3, "network_devices_online": 3,
			`device_info{device="` + laptopMAC + `",client="laptop",ip="192.168.10.100",source="dhcp",mac_scope="local"}`: 1})
		if names := got.named("device_online"); len(names) != 3 {
			t.Errorf("devices: %q", names)
		}
		got = i.run(t, "--max-clients=3")
		got.expect(t, series{"network_clients_known": 3, "network_devices_known": 3})
	})
}

// TestSavedRuleset loads a ruleset that was saved with its counters, as nft list
// ruleset does: totals do not jump and rates are not absurd, however high the
// counters are.
func TestSavedRuleset(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"sets", "rules"} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				i, flag := install(t, r), "--accounting="+layout
				flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
				i.run(t, flag)
				tx, rx := flow.Send(t, 1000, 1400), flow.Reply(t, 1000, 1400)
				time.Sleep(interval)
				i.run(t, flag).expect(t, byClient("192.168.10.100", "laptop", float64(rx), float64(tx)))
				saved := "flush ruleset\n" + lab.Command(t, "nft", "list", "ruleset")
				if !strings.Contains(saved, fmt.Sprintf("packets 1000 bytes %d", tx)) {
					t.Fatalf("no counters in:\n%s", saved)
				}
				terabytes := regexp.MustCompile(`packets 1000 bytes \d+`).ReplaceAllString(saved, "packets 1500000000 bytes 2000000000000")

				const rates = `client_traffic_rate_bps{direction="tx",ip="192.168.10.100",client="laptop"}`
				for _, test := range []struct{ name, ruleset, boot string }{
					{"loaded", saved, ""}, {"loaded again", saved, ""}, {"of a router that moved terabytes", terabytes, ""},
					{"after a reboot", saved, strings.Repeat("1", 32)}, {"after a reboot of that router", terabytes, strings.Repeat("2", 32)},
				} {
					time.Sleep(interval)
					lab.Nft(t, test.ruleset)
					rate := 0.0
					if test.boot != "" {
						os.Setenv("BOOT_ID", test.boot)
						rate = none
					}
					got := i.run(t, flag)
					got.expect(t, byClient("192.168.10.100", "laptop", float64(rx), float64(tx)))
					got.expect(t, byDevice(laptopMAC, rx, tx))
					got.expect(t, series{rates: rate})
					tx, rx = tx+flow.Send(t, 10, 1000), rx+flow.Reply(t, 20, 1000)
					got = i.run(t, flag)
					if got.expect(t, byClient("192.168.10.100", "laptop", float64(rx), float64(tx))); t.Failed() {
						t.Fatalf("in the case: %s", test.name)
					}
				}
			})
		})
	}
}

// tunnel connects an interface without addresses of the link layer, like WireGuard's,
// with one of a host: the neighbour table says nothing about who is on it.
func tunnel(t *testing.T, name string, host *lab.Host) {
	t.Helper()
	open := func(fd *int) func() error {
		return func() (err error) {
			if *fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
				return err
			}
			request, err := unix.NewIfreq(name)
			if err != nil {
				return err
			}
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			return unix.IoctlIfreq(*fd, unix.TUNSETIFF, request)
		}
	}
	var here, there int
	if err := errors.Join(open(&here)(), host.Do(open(&there))); err != nil {
		lab.Unavailable(t, "make a tunnel: %v", err)
	}
	for _, pair := range [][2]int{{here, there}, {there, here}} {
		go func() { // it ends with the process
			packet := make([]byte, 65536)
			for {
				n, err := unix.Read(pair[0], packet)
				if err != nil {
					return
				}
				unix.Write(pair[1], packet[:n]) // what is down loses packets
			}
		}()
	}
}

// TestTunnelPeer has a client on a link without neighbours: it is there while it
// sends, also where the interface has an address alone and routes tell who is behind
// it.
func TestTunnelPeer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, addresses string }{
		{"a network", "ip addr add 10.8.0.1/24 dev wg0; ip addr add fd00:8::1/64 dev wg0 nodad"},
		{"routes", "ip addr add 10.8.0.1/32 dev wg0; ip addr add fd00:8::1/128 dev wg0 nodad; ip route add 10.8.0.2/32 dev wg0; ip route add fd00:8::2/128 dev wg0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				peer := &lab.Host{Name: "peer", IPv4: netip.MustParseAddr("10.8.0.2"), IPv6: netip.MustParseAddr("fd00:8::2")}
				lab.Command(t, "ip", "netns", "add", "peer")
				tunnel(t, "wg0", peer)
				lab.Nft(t, `add rule inet filter forward iifname "wg0" accept`)
				lab.Command(t, "sh", "-ec", "ip link set wg0 up\n"+test.addresses+`
					ip -n peer link set wg0 up
					ip -n peer addr add 10.8.0.2/24 dev wg0
					ip -n peer addr add fd00:8::2/64 dev wg0 nodad
					ip -n peer route add default dev wg0
					ip -n peer -6 route add default dev wg0`)
				i := install(t, r)
				hosts := filepath.Join(i.dir, "hosts")
				write(t, hosts, "10.8.0.2 roadwarrior\n")
				flags := []string{"--interface=br-lan", "--interface=wg0", "--hosts=" + hosts}
				i.run(t, flags...)
				v4, v6 := lab.UDP(t, "udp4", peer, r.Server), lab.UDP(t, "udp6", peer, r.Server)
				tx, rx := v4.Send(t, 10, 1000), v4.Reply(t, 20, 1000)
				tx6, rx6 := v6.Send(t, 30, 1000), v6.Reply(t, 40, 1000)
				got := i.run(t, flags...)
				got.expect(t, byClient("10.8.0.2", "roadwarrior", float64(rx), float64(tx)))
				got.expect(t, byClient("fd00:8::2", "unknown", float64(rx6), float64(tx6)))
				got.expect(t, byDevice("10.8.0.2", rx, tx))
				got.expect(t, byDevice("fd00:8::2", rx6, tx6))
				status := series{`client_status{ip="10.8.0.2",client="roadwarrior"}`: 1, `client_status{ip="fd00:8::2",client="unknown"}`: 1}
				got.expect(t, status)
				for key := range status {
					status[key] = 0
				}
				i.run(t, append(flags, "--online-window=1ms")...).expect(t, status)
				lab.CheckReaders(t, i.prom())
			})
		})
	}
}

// TestUpgrade goes on from what the version before left, in another boot: totals and
// names are those that it published.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := installation{dir: t.TempDir()}
		i.leases = filepath.Join(i.dir, "leases")
		write(t, i.leases, "")
		ledger, err := os.ReadFile("testdata/ledger-v2")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Dir(i.ledger()), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, i.ledger(), string(ledger))
		write(t, filepath.Join(filepath.Dir(i.ledger()), "client-names.cache"), "192.168.10.100|old name\n192.168.10.101|telephone|02:00:00:00:00:02|hosts\n")
		got := i.run(t)
		got.expect(t, byClient("192.168.10.100", "old name", 4268, 26524))
		got.expect(t, byClient("192.168.10.101", "telephone", 0, 0))
		got.expect(t, byClient("fd00:10::101", "telephone", 980, 740))
		got.expect(t, byDevice(laptopMAC, 4268, 26524))
		got.expect(t, byDevice("02:00:00:00:00:02", 980, 740))
		got.expect(t, series{"network_metrics_exporter_state_losses_total": 0, `device_first_seen_timestamp_seconds{device="` + laptopMAC + `"}`: 0})

		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		tx, rx := 26524+flow.Send(t, 10, 1000), 4268+flow.Reply(t, 20, 1000)
		write(t, i.leases, lease(laptopMAC, "192.168.10.100", "laptop"))
		got = i.run(t)
		got.expect(t, byClient("192.168.10.100", "laptop", float64(rx), float64(tx)))
		got.expect(t, byDevice(laptopMAC, rx, tx))
		lab.CheckReaders(t, i.prom())
	})
}

// TestPeriods begins a period by moving its first day to today, and takes that back.
func TestPeriods(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		now := time.Now()
		today := fmt.Sprint("--period-start=", now.Day())
		lastMonth := fmt.Sprint("--period-start=", now.AddDate(0, 0, 1).Day())
		period := func(which, scope, direction string) string {
			return fmt.Sprintf(`device_period_bytes{direction=%q,device=%q,period=%q,scope=%q}`, direction, laptopMAC, which, scope)
		}
		midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
		i := install(t, r)
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		i.run(t, lastMonth)
		tx, rx := float64(flow.Send(t, 10, 1000)), float64(flow.Reply(t, 20, 1000))
		i.run(t, lastMonth).expect(t, series{
			period("current", "all", "tx"): tx, period("current", "all", "rx"): rx, period("current", "local", "tx"): 0,
			period("previous", "all", "tx"): 0,
		})
		// Bytes belong to the period of the run that counted them.
		more := float64(flow.Send(t, 5, 1000))
		i.run(t, today).expect(t, series{
			period("current", "all", "tx"): more, period("current", "all", "rx"): 0,
			period("previous", "all", "tx"): tx, period("previous", "all", "rx"): rx, period("previous", "local", "rx"): 0,
			`network_period_start_timestamp_seconds{period="current"}`: float64(midnight.Unix()),
		})
		i.run(t, lastMonth).expect(t, series{
			period("current", "all", "tx"): tx + more, period("current", "all", "rx"): rx, period("previous", "all", "tx"): 0,
			up: tx + more,
		})
		lab.CheckReaders(t, i.prom())
	})
}
