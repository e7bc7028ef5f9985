package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"network-metrics-exporter/testdata/lab"
)

// witness is what nftables counts of the laptop by counters of the test's own, right
// behind the accounting.
const witness = `
table inet witness {
	counter tx4 { }
	counter rx4 { }
	counter tx6 { }
	counter rx6 { }
	chain forward {
		type filter hook forward priority 301;
		ip saddr 192.168.10.100 counter name tx4
		ip daddr 192.168.10.100 counter name rx4
		ip6 saddr fd00:10::100 counter name tx6
		ip6 daddr fd00:10::100 counter name rx6
	}
}
`

// witnessed returns the laptop's series as the witness has them.
func witnessed(t *testing.T) series {
	t.Helper()
	want := make(series)
	for name, labels := range map[string]string{
		"tx4": `{direction="tx",ip="192.168.10.100",client="laptop"}`,
		"rx4": `{direction="rx",ip="192.168.10.100",client="laptop"}`,
		"tx6": `{direction="tx",ip="fd00:10::100",client="laptop"}`,
		"rx6": `{direction="rx",ip="fd00:10::100",client="laptop"}`,
	} {
		text := lab.Command(t, "nft", "list", "counter", "inet", "witness", name)
		numbers := regexp.MustCompile(`packets (\d+) bytes (\d+)`).FindStringSubmatch(text)
		if numbers == nil {
			t.Fatalf("no counter in %s", text)
		}
		for i, metric := range []string{"client_traffic_packets", "client_traffic_bytes"} {
			value, err := strconv.ParseFloat(numbers[1+i], 64)
			if err != nil {
				t.Fatal(err)
			}
			want[metric+labels] = value
		}
		direction := name[:2]
		want[`device_traffic_bytes_total{direction="`+direction+`",device="02:00:00:00:00:01"}`] += want["client_traffic_bytes"+labels]
	}
	return want
}

// countFlows has conntrack count, and those of the program's processes and of this
// one keep what they remember of flows in a directory of the test's own.
func countFlows(t *testing.T) (runtimeDir string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_acct", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	// Rules and series are for those that the neighbour table knows.
	lab.Command(t, "ip", "netns", "exec", "laptop", "ping", "-q", "-c", "1", "fd00:10::1")
	lab.Command(t, "conntrack", "-F")
	runtimeDir = filepath.Join(t.TempDir(), "run")
	if err := os.Setenv("RUNTIME_DIRECTORY", runtimeDir); err != nil {
		t.Fatal(err)
	}
	return runtimeDir
}

// converse has a host send and receive by every protocol, and waits for the end.
func converse(t *testing.T, from, to *lab.Host) {
	t.Helper()
	for _, network := range []string{"udp4", "udp6"} {
		flow := lab.UDP(t, network, from, to)
		flow.Send(t, 30, 700)
		flow.Reply(t, 50, 1200)
	}
	for _, addr := range []netip.Addr{to.IPv4, to.IPv6} {
		lab.Command(t, "ip", "netns", "exec", from.Name, "ping", "-q", "-c", "5", "-i", "0.01", "-s", "500", addr.String())
	}
	for _, network := range []string{"tcp4", "tcp6"} {
		c := lab.TCP(t, network, from, to)
		if _, err := c.From.Write(make([]byte, 20_000)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.To.Write(make([]byte, 300_000)); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 2)
		for end, n := range map[interface{ Read([]byte) (int, error) }]int{c.To: 20_000, c.From: 300_000} {
			go func() {
				buffer := make([]byte, n)
				for n > 0 {
					got, err := end.Read(buffer)
					if err != nil {
						done <- err
						return
					}
					n -= got
				}
				done <- nil
			}()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// The router sees the last packets a moment later.
	for n := 0; strings.Count(lab.Command(t, "conntrack", "-L", "-p", "tcp", "-f", "ipv4")+lab.Command(t, "conntrack", "-L", "-p", "tcp", "-f", "ipv6"), "ESTABLISHED") > 0; n++ {
		if n == 100 {
			t.Fatal("a connection that was closed is still established")
		}
		time.Sleep(10 * time.Millisecond)
	}
	settle(t)
}

// settle waits until nothing is on its way any more.
func settle(t *testing.T) {
	t.Helper()
	for before, now := series(nil), witnessed(t); fmt.Sprint(before) != fmt.Sprint(now); before, now = now, witnessed(t) {
		time.Sleep(50 * time.Millisecond)
	}
}

// TestFlows counts by conntrack what TCP and UDP move and by sets the rest: to the
// byte what nftables counts, from one layout to the other and back.
func TestFlows(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		runtimeDir := countFlows(t)
		lab.Nft(t, witness)
		i := install(t, r)
		long := lab.UDP(t, "udp4", r.Laptop, r.Server) // goes on through all of it
		files := []int{1, 2, 2, 1, 0, 1, 2, 1}         // this run's, and what the one before left
		for n, layout := range []string{"flows", "flows", "flows", "sets", "sets", "flows", "flows", "sets"} {
			if n > 0 {
				long.Send(t, 10+n, 1000)
				long.Reply(t, 20+n, 1000)
				converse(t, r.Laptop, r.Server)
			}
			got := i.run(t, "--accounting="+layout)
			want := witnessed(t)
			want[`network_metrics_exporter_accounting_info{layout="`+layout+`"}`] = 1
			want["network_metrics_exporter_accounting_resets_total"] = 0
			if got.expect(t, want); t.Failed() {
				t.Fatalf("in run %d, %s", n, layout)
			}
			left, err := filepath.Glob(filepath.Join(runtimeDir, "flows-*"))
			if err != nil || len(left) != files[n] {
				t.Errorf("after run %d, with %s: files %q, %v, want %d", n, layout, left, err, files[n])
			}
		}
		lab.CheckReaders(t, i.prom())
	})
}

// TestFlowsWithoutNeighbors has the neighbour table fail: which flows are the
// router's own is then not known, and what they move is left for later.
func TestFlowsWithoutNeighbors(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		countFlows(t)
		lab.Nft(t, witness)
		d := installDurable(t, r)
		d.must(t, "", flows)
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		flow.Send(t, 10, 1000)
		d.must(t, "", flows).expect(t, witnessed(t))

		// What the laptop says to the router, and the router to the laptop.
		router := &lab.Host{Name: "laptop", IPv4: netip.MustParseAddr("192.168.10.1")}
		lab.Command(t, "ip", "netns", "exec", "laptop", "ping", "-q", "-c", "1", router.IPv4.String())
		own := ownFlow(t, r.Laptop, router.IPv4)
		flow.Send(t, 20, 1000)
		// Neighbours are asked for by the first socket of NETLINK_ROUTE.
		status, log := d.try(t, []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=socket", "-e", "inject=socket:error=EMFILE:when=1"}, flows)
		if status != published || !strings.Contains(log, "neighbor fails") {
			t.Fatalf("exit status %d, and it says\n%s", status.ExitStatus(), log)
		}
		own()
		_, log = d.try(t, nil, flows)
		if !strings.Contains(log, "neighbor works again") {
			t.Errorf("it says\n%s", log)
		}
		d.look(t).expect(t, witnessed(t))
	})
}

// ownFlow sends from a host to the router itself, and returns a function that does
// so again.
func ownFlow(t *testing.T, from *lab.Host, router netip.Addr) (again func()) {
	t.Helper()
	port := 40_000
	send := func() {
		lab.Command(t, "ip", "netns", "exec", from.Name, "bash", "-c",
			fmt.Sprintf("for n in {1..20}; do echo {1..100} >/dev/udp/%v/%d || true; done", router, port))
	}
	send()
	return send
}

// TestFlowsAreLost takes away what is remembered of flows: what they moved since the
// last run is lost then, and nothing is counted twice.
func TestFlowsAreLost(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		runtimeDir := countFlows(t)
		i := install(t, r)
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		i.run(t, flows)
		total := flow.Send(t, 10, 1000)
		i.run(t, flows).expect(t, series{up: float64(total)})
		if err := os.RemoveAll(runtimeDir); err != nil {
			t.Fatal(err)
		}
		flow.Send(t, 20, 1000)
		got, log := i.runLogging(t, flows)
		if got.expect(t, series{up: float64(total)}); strings.Count(log, "\n") != 1 || !strings.Contains(log, "flows-") {
			t.Errorf("it says:\n%s", log)
		}
		total += flow.Send(t, 30, 1000)
		i.run(t, flows).expect(t, series{up: float64(total)})
	})
}

// TestShowFlows looks long after the last run, and so takes two samples: what flows
// moved before the first one is in the totals once, and in no rate.
func TestShowFlows(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		countFlows(t)
		i := install(t, r)
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		i.run(t, flows)
		total := flow.Send(t, 10, 1000)
		i.run(t, flows)
		total += flow.Send(t, 500, 1000)
		time.Sleep(time.Second) // ten intervals
		clients, log := i.show(t, "--interval=0.1")
		if laptop := clients["192.168.10.100"]; *laptop.TxBytes != total || *laptop.TxRate != 0 || log != "" {
			t.Errorf("%d bytes were sent a second ago, show says %v, and %q", total, laptop, log)
		}
		i.run(t, flows).expect(t, series{up: float64(total)})
	})
}

// TestWithoutRuntimeDir has no directory that a reboot empties: only what needs one
// asks for it.
func TestWithoutRuntimeDir(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		if err := os.Setenv("RUNTIME_DIRECTORY", "/nowhere/run"); err != nil {
			t.Fatal(err)
		}
		i := install(t, r)
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		for _, layout := range []string{"sets", "rules", "off"} {
			flow.Send(t, 1, 1)
			flow.Reply(t, 1, 1)
			i.run(t, "--accounting="+layout)
		}
		for _, flag := range []string{flows, checkpoints} {
			var stdout, stderr strings.Builder
			if status := run(i.args(flag), &stdout, &stderr); status != wrongUsage || !strings.Contains(stderr.String(), strings.TrimSuffix(flag, "60s")) || strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("%s: exit status %d, want %d:\n%s", flag, status, wrongUsage, &stderr)
			}
		}
	})
}

// TestLocalTraffic tells what two LANs exchange with each other from what they
// exchange with the internet, to the byte.
func TestLocalTraffic(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"sets", "flows", "rules"} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				countFlows(t)
				guest := r.AddGuest(t, "guest0")
				i := install(t, r)
				flags := []string{"--interface=br-lan", "--interface=guest0", "--accounting=" + layout}
				remote, local := lab.UDP(t, "udp4", r.Laptop, r.Server), lab.UDP(t, "udp4", r.Laptop, guest)
				local6 := lab.UDP(t, "udp6", guest, r.Laptop)
				remote.Send(t, 1, 1)
				local6.Send(t, 1, 1) // rules are for those that the neighbour table knows
				local.Send(t, 1, 1)
				lab.Command(t, "conntrack", "-F")
				i.run(t, flags...)
				before := i.run(t, flags...)

				var sent, received, sentLocal, receivedLocal uint64
				for range 2 {
					sent += remote.Send(t, 10, 1000)
					received += remote.Reply(t, 20, 1000)
					sentLocal += local.Send(t, 30, 500) + local6.Reply(t, 5, 800)
					receivedLocal += local.Reply(t, 40, 600) + local6.Send(t, 6, 900)
				}
				ping := lab.Command(t, "ip", "netns", "exec", "laptop", "ping", "-q", "-c", "3", "-i", "0.01", "-s", "100", guest.IPv4.String())
				if !strings.Contains(ping, " 3 received") {
					t.Fatal(ping)
				}
				sentLocal, receivedLocal = sentLocal+3*128, receivedLocal+3*128
				got := i.run(t, flags...)
				const laptop, other = `device="02:00:00:00:00:01"`, `device="02:00:00:00:00:09"`
				want := series{
					`device_traffic_bytes_total{direction="tx",` + laptop + `}`: float64(sent + sentLocal),
					`device_traffic_bytes_total{direction="rx",` + laptop + `}`: float64(received + receivedLocal),
					`device_traffic_bytes_total{direction="tx",` + other + `}`:  float64(receivedLocal),
					`device_traffic_bytes_total{direction="rx",` + other + `}`:  float64(sentLocal),

					`device_local_traffic_bytes_total{direction="tx",` + laptop + `}`: float64(sentLocal),
					`device_local_traffic_bytes_total{direction="rx",` + laptop + `}`: float64(receivedLocal),
					`device_local_traffic_bytes_total{direction="tx",` + other + `}`:  float64(receivedLocal),
					`device_local_traffic_bytes_total{direction="rx",` + other + `}`:  float64(sentLocal),
				}
				for key, value := range want {
					if strings.Contains(key, "local") && layout == "rules" {
						want[key] = none
					} else {
						want[key] = value + before[key]
					}
				}
				got.expect(t, want)
				if layout == "rules" {
					if local := slices.Concat(got.named("device_local_traffic_bytes_total"), slices.DeleteFunc(got.named("device_period_bytes"), func(s string) bool { return !strings.Contains(s, `scope="local"`) })); len(local) > 0 {
						t.Errorf("rules do not tell what is local: %q", local)
					}
				}
				lab.CheckReaders(t, i.prom())
			})
		})
	}
}
