package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state/settings"
	"network-metrics-exporter/state/table"
	"network-metrics-exporter/testdata/lab"
	"network-metrics-exporter/testdata/strict"
)

// beProgram, set in the environment, makes the test binary the program: for
// tests that need a process.
const beProgram = "BE_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(beProgram) {
	case "":
		os.Exit(m.Run())
	case measured:
		os.Exit(measure())
	default:
		main()
	}
}

// run runs the program in this process, which stays who it is.
func run(args []string, stdout, stderr io.Writer) int {
	e := exporter{start: time.Now(), stdout: stdout, stderr: stderr, becomeOwner: func(string) error { return nil }}
	return e.run(args)
}

// rules are the original's accounting rules for two clients. The printer has
// none.
const rules = `
table inet filter {
	chain CLIENT_TRAFFIC {
		ip saddr 192.168.10.100 counter comment "tx_192.168.10.100"
		ip daddr 192.168.10.100 counter comment "rx_192.168.10.100"
		ip saddr 192.168.10.101 counter comment "tx_192.168.10.101"
		ip daddr 192.168.10.101 counter comment "rx_192.168.10.101"
		ip6 saddr fd00:10::100 counter comment "tx_fd00:10::100"
		ip6 daddr fd00:10::100 counter comment "rx_fd00:10::100"
	}
}
insert rule inet filter forward jump CLIENT_TRAFFIC
`

// interval is that of the runs in tests.
const interval = 400 * time.Millisecond

// an installation is where a test runs the program.
type installation struct {
	dir    string
	leases string
}

func install(t *testing.T, r *lab.Router) installation {
	t.Helper()
	return installation{t.TempDir(), r.Leases}
}

func (i installation) prom() string   { return filepath.Join(i.dir, "network_metrics.prom") }
func (i installation) ledger() string { return filepath.Join(i.dir, "state", "ledger") }

// args gives the command line of a sample with further flags behind it.
func (i installation) args(flags ...string) []string { return i.command("sample", flags...) }

// command gives the command line of a command.
func (i installation) command(name string, flags ...string) []string {
	return append([]string{
		name,
		"--output=" + i.prom(),
		"--state-dir=" + filepath.Join(i.dir, "state"),
		"--leases=" + i.leases,
		fmt.Sprint("--interval=", interval.Seconds()),
		"--conntrack-budget=100", // every run counts, however slow the machine is
	}, flags...)
}

// run runs the program and gives the metrics that it wrote, which have to be
// strictly what node_exporter reads.
func (i installation) run(t *testing.T, flags ...string) series {
	t.Helper()
	metrics, log := i.runLogging(t, flags...)
	if log != "" {
		t.Errorf("a good run said:\n%s", log)
	}
	return metrics
}

// runLogging is run for when the program is to say something on stderr.
func (i installation) runLogging(t *testing.T, flags ...string) (metrics series, log string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run(i.args(flags...), &stdout, &stderr); status != published || stdout.Len() > 0 {
		t.Fatalf("exit status %d, want %d; stdout %q, stderr:\n%s", status, published, &stdout, &stderr)
	}
	text, err := os.ReadFile(i.prom())
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, text), stderr.String()
}

// series are the values of an exposition, by name and labels as they are
// written: client_status{ip="192.168.10.100",client="laptop"}.
type series map[string]float64

func parse(t *testing.T, text []byte) series {
	t.Helper()
	families, err := strict.Parse(text)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	s := make(series)
	for name, family := range families {
		for _, m := range family.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			key := name
			if len(labels) > 0 {
				key += "{" + strings.Join(labels, ",") + "}"
			}
			if family.GetType() == dto.MetricType_COUNTER {
				s[key] = m.Counter.GetValue()
			} else {
				s[key] = m.Gauge.GetValue()
			}
		}
	}
	return s
}

// expect compares some of the series; NaN stands for one that must not be.
func (s series) expect(t *testing.T, want series) {
	t.Helper()
	for key, value := range want {
		got, ok := s[key]
		switch {
		case math.IsNaN(value) && ok:
			t.Errorf("%s is %v, want none", key, got)
		case !math.IsNaN(value) && !ok:
			t.Errorf("%s is missing, want %v", key, value)
		case !math.IsNaN(value) && got != value:
			t.Errorf("%s is %v, want %v", key, got, value)
		}
	}
}

var none = math.NaN()

// TestMainJob holds the program to what it is for, on a router with real
// traffic.
func TestMainJob(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Command(t, "ip", "neigh", "add", "192.168.10.77", "dev", "br-lan", "lladdr", "00:1b:63:00:00:77", "nud", "permanent")
		lab.Command(t, "conntrack", "-F")
		i := install(t, r)

		first := i.run(t)
		first.expect(t, series{
			`client_traffic_bytes{direction="rx",ip="192.168.10.100",client="laptop"}`:    0,
			`client_traffic_bytes{direction="tx",ip="192.168.10.100",client="laptop"}`:    0,
			`client_traffic_rate_bps{direction="tx",ip="192.168.10.100",client="laptop"}`: none,
		})

		lab.Command(t, "ip", "neigh", "replace", "192.168.10.102", "dev", "br-lan", "nud", "failed")
		time.Sleep(interval)
		v4 := lab.UDP(t, "udp4", r.Laptop, r.Server)
		up, down := v4.Send(t, 500, 1000), v4.Reply(t, 900, 1400)
		v6 := lab.UDP(t, "udp6", r.Laptop, r.Server)
		up6, down6 := v6.Send(t, 10, 1), v6.Reply(t, 20, 1200)
		for range 3 {
			lab.TCP(t, "tcp4", r.Phone, r.Server)
		}
		closed := lab.TCP(t, "tcp4", r.Phone, r.Server)
		if err := closed.Close(); err != nil {
			t.Fatal(err)
		}
		// The router sees the last packet a moment later.
		for n := 0; !strings.Contains(lab.Command(t, "conntrack", "-L", "-p", "tcp"), "TIME_WAIT"); n++ {
			if n == 100 {
				t.Fatal("a connection that was closed is not in TIME_WAIT")
			}
			time.Sleep(10 * time.Millisecond)
		}

		second := i.run(t)
		elapsed := second["network_metrics_exporter_last_run_timestamp_seconds"] - first["network_metrics_exporter_last_run_timestamp_seconds"]
		second.expect(t, series{
			`client_traffic_bytes{direction="rx",ip="192.168.10.100",client="laptop"}`:   float64(down),
			`client_traffic_bytes{direction="tx",ip="192.168.10.100",client="laptop"}`:   float64(up),
			`client_traffic_bytes{direction="rx",ip="fd00:10::100",client="laptop"}`:     float64(down6),
			`client_traffic_bytes{direction="tx",ip="fd00:10::100",client="laptop"}`:     float64(up6),
			`client_traffic_packets{direction="rx",ip="192.168.10.100",client="laptop"}`: 900,
			`client_traffic_packets{direction="tx",ip="192.168.10.100",client="laptop"}`: 500,
			`client_traffic_packets{direction="rx",ip="fd00:10::100",client="laptop"}`:   20,
			`client_traffic_packets{direction="tx",ip="fd00:10::100",client="laptop"}`:   10,
			`client_traffic_bytes{direction="rx",ip="192.168.10.102",client="printer"}`:  0,
			`client_traffic_bytes{direction="tx",ip="192.168.10.102",client="printer"}`:  0,

			`client_active_connections{ip="192.168.10.100",client="laptop"}`:  1,
			`client_active_connections{ip="fd00:10::100",client="laptop"}`:    1,
			`client_active_connections{ip="192.168.10.101",client="phone"}`:   3,
			`client_active_connections{ip="192.168.10.102",client="printer"}`: 0,
			`client_active_connections{ip="192.168.10.77",client="unknown"}`:  0,

			`client_status{ip="192.168.10.100",client="laptop"}`:  1,
			`client_status{ip="192.168.10.77",client="unknown"}`:  1,
			`client_status{ip="192.168.10.102",client="printer"}`: 0,

			`client_info{ip="192.168.10.100",client="laptop",mac="02:00:00:00:00:01",interface="br-lan",source="dhcp",mac_scope="local",device="02:00:00:00:00:01"}`:     1,
			`client_info{ip="fd00:10::100",client="laptop",mac="02:00:00:00:00:01",interface="br-lan",source="dhcp",mac_scope="local",device="02:00:00:00:00:01"}`:       1,
			`client_info{ip="192.168.10.77",client="unknown",mac="00:1b:63:00:00:77",interface="br-lan",source="none",mac_scope="universal",device="00:1b:63:00:00:77"}`: 1,

			`device_info{device="02:00:00:00:00:01",client="laptop",ip="192.168.10.100",source="dhcp",mac_scope="local"}`: 1,
			`device_traffic_bytes_total{direction="rx",device="02:00:00:00:00:01"}`:                                       float64(down + down6),
			`device_traffic_bytes_total{direction="tx",device="02:00:00:00:00:01"}`:                                       float64(up + up6),
			`device_local_traffic_bytes_total{direction="tx",device="02:00:00:00:00:01"}`:                                 0,
			`device_period_bytes{direction="tx",device="02:00:00:00:00:01",period="current",scope="all"}`:                 float64(up + up6),
			`device_active_connections{device="02:00:00:00:00:01"}`:                                                       2,
			`device_online{device="02:00:00:00:00:01"}`:                                                                   1,
			`device_online{device="02:00:00:00:00:03"}`:                                                                   0,

			"network_devices_known":                                   4,
			"network_devices_online":                                  3,
			`network_metrics_exporter_accounting_info{layout="sets"}`: 1,
			"network_metrics_exporter_accounting_repairs_total":       0,
			"network_clients_known":                                   5,
			"network_clients_online":                                  4,
			"network_metrics_exporter_accounting_resets_total":        0,
			"network_metrics_exporter_flowtable_active":               0,
			"network_metrics_exporter_conntrack_age_seconds":          0,
			`network_metrics_exporter_source_up{source="neighbor"}`:   1,
			`network_metrics_exporter_source_up{source="nftables"}`:   1,
			`network_metrics_exporter_source_up{source="conntrack"}`:  1,
			`network_metrics_exporter_source_up{source="dhcp"}`:       1,
		})
		for labels, bytes := range map[string]uint64{
			`{direction="rx",ip="192.168.10.100",client="laptop"}`: down,
			`{direction="tx",ip="192.168.10.100",client="laptop"}`: up,
			`{direction="rx",ip="fd00:10::100",client="laptop"}`:   down6,
			`{direction="tx",ip="fd00:10::100",client="laptop"}`:   up6,
		} {
			// The timestamps of the two samples are in milliseconds.
			for _, name := range []string{"client_traffic_rate_bps", "client_traffic_rate_peak_bps", "client_traffic_rate_avg_bps"} {
				got, want := second[name+labels], float64(bytes)*8/elapsed
				if math.Abs(got-want) > want/100+1 {
					t.Errorf("%s%s is %v, want %d bytes in %v s: %v", name, labels, got, bytes, elapsed, want)
				}
			}
		}
		// Two UDP flows and four TCP connections.
		if entries := second["network_conntrack_entries"]; entries < 6 || entries > second["network_conntrack_limit"] {
			t.Errorf("%v entries in conntrack, want 6 at least and %v at most", entries, second["network_conntrack_limit"])
		}

		// What is over is not forgotten at once.
		time.Sleep(interval)
		const laptop = `{direction="rx",ip="192.168.10.100",client="laptop"}`
		i.run(t).expect(t, series{
			"client_traffic_rate_bps" + laptop:      0,
			"client_traffic_rate_peak_bps" + laptop: second["client_traffic_rate_peak_bps"+laptop],
		})
	})
}

// TestNAT counts flows whose tuples NAT has changed.
func TestNAT(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		// Port 8080 of the router is the phone's, from outside and, by a
		// hairpin, from the LAN.
		lab.Nft(t, `
			table ip nat {
				chain prerouting {
					type nat hook prerouting priority dstnat; policy accept;
					ip daddr 203.0.113.1 tcp dport 8080 dnat to 192.168.10.101
				}
			}
			add rule ip nat postrouting iifname "br-lan" oifname "br-lan" masquerade
			insert rule inet filter forward tcp dport 8080 accept
		`)
		lab.Command(t, "conntrack", "-F")
		i := install(t, r)
		lab.TCPVia(t, netip.MustParseAddrPort("203.0.113.1:8080"), r.Server, r.Phone)
		lab.TCPVia(t, netip.MustParseAddrPort("203.0.113.1:8080"), r.Laptop, r.Phone)
		i.run(t).expect(t, series{
			`client_active_connections{ip="192.168.10.100",client="laptop"}`: 1,
			`client_active_connections{ip="192.168.10.101",client="phone"}`:  2,
		})
	})
}

// TestConntrackBudget has a table that costs more to read than the budget allows:
// its counts are published again, with their age, until the budget is raised.
func TestConntrackBudget(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Command(t, "conntrack", "-F")
		c, err := conntrack.Dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		add := func(protocol uint8, port uint16) {
			t.Helper()
			f := conntrack.NewFlow(protocol, conntrack.StatusConfirmed|conntrack.StatusSeenReply, r.Laptop.IPv4, r.Server.IPv4, port, 443, 3600, 0)
			if protocol == unix.IPPROTO_TCP {
				f.ProtoInfo.TCP = &conntrack.ProtoInfoTCP{State: 3}
			}
			if err := c.Create(f); err != nil {
				t.Fatal(err)
			}
		}
		// They cost milliseconds: their counts last for seconds.
		const flows = 8000
		for n := range flows {
			add(unix.IPPROTO_UDP, uint16(1024+n))
		}
		const (
			laptop = `{ip="192.168.10.100",client="laptop"`
			active = "client_active_connections" + laptop + "}"
			age    = "network_metrics_exporter_conntrack_age_seconds"
		)
		i := install(t, r)
		const frugal = "--conntrack-budget=0.1"
		first := i.run(t, frugal)
		first.expect(t, series{active: flows, age: 0, "client_connections" + laptop + `,protocol="udp"}`: none})

		add(unix.IPPROTO_TCP, 80)
		second := i.run(t, frugal)
		second.expect(t, series{
			active: flows,
			"network_metrics_exporter_source_up{source=\"conntrack\"}": 1,
		})
		// The timestamps are in milliseconds.
		const timestamp = "network_metrics_exporter_last_run_timestamp_seconds"
		if want := second[timestamp] - first[timestamp]; math.Abs(second[age]-want) > 0.002 {
			t.Errorf("the counts are %v s old, want %v s", second[age], want)
		}
		if got, before := second["network_conntrack_entries"], first["network_conntrack_entries"]; got <= before {
			t.Errorf("%v entries after %v, and one was added", got, before)
		}

		i.run(t, "--conntrack-budget=100", "--connections-by-protocol").expect(t, series{
			active: flows + 1,
			age:    0,
			"client_connections" + laptop + `,protocol="udp"}`:   flows,
			"client_connections" + laptop + `,protocol="tcp"}`:   1,
			"client_connections" + laptop + `,protocol="icmp"}`:  0,
			"client_connections" + laptop + `,protocol="other"}`: 0,
		})
	})
}

// TestTotalsNeverFall takes away what counts, in every way that users do.
func TestTotalsNeverFall(t *testing.T) {
	t.Parallel()
	const up = `client_traffic_bytes{direction="tx",ip="192.168.10.101",client="phone"}`
	const resets = "network_metrics_exporter_accounting_resets_total"
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Nft(t, rules)
		i := install(t, r)
		flow := lab.UDP(t, "udp4", r.Phone, r.Server)
		total := flow.Send(t, 100, 1000)
		i.run(t, "--accounting=off").expect(t, series{up: float64(total), resets: 0})

		ruleset := lab.Command(t, "nft", "-s", "list", "ruleset")
		for n, test := range []struct{ name, nft string }{
			{"flushed chain", "flush chain inet filter CLIENT_TRAFFIC\n" + strings.Split(rules, "insert")[0]},
			{"new table of the same ruleset", "flush ruleset\n" + ruleset},
			{"rule added again", `add rule inet filter CLIENT_TRAFFIC ip saddr 192.168.10.101 counter comment "tx_192.168.10.101"`},
		} {
			lab.Nft(t, test.nft)
			// More than ever before, so that the new counter exceeds the old.
			sent := flow.Send(t, 200*(n+1), 1000)
			total += sent
			if test.name == "rule added again" {
				total += sent // two rules with one comment add up
			}
			got := i.run(t, "--accounting=off")
			if got[up] != float64(total) {
				t.Fatalf("%s: %v bytes, want %d", test.name, got[up], total)
			}
		}

		lab.Nft(t, "flush ruleset")
		got, log := i.runLogging(t, "--accounting=off")
		got.expect(t, series{
			up: float64(total),
			`network_metrics_exporter_source_up{source="nftables"}`: 0,
		})
		if !strings.Contains(log, "CLIENT_TRAFFIC") || strings.Count(log, "\n") != 1 {
			t.Errorf("a flushed ruleset is reported as:\n%s", log)
		}
		if _, log := i.runLogging(t, "--accounting=off"); log != "" {
			t.Errorf("it is reported again:\n%s", log)
		}
		lab.Nft(t, ruleset)
		total += flow.Send(t, 10, 10)
		got, log = i.runLogging(t, "--accounting=off")
		got.expect(t, series{up: float64(total), `network_metrics_exporter_source_up{source="nftables"}`: 1})
		if got[resets] < 3 {
			t.Errorf("%v resets, want 3 at least", got[resets])
		}
		if !strings.Contains(log, "nftables works again") || strings.Count(log, "\n") != 1 {
			t.Errorf("its return is reported as:\n%s", log)
		}
	})
}

// TestDamagedState gives the program a ledger that it cannot use.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		for _, test := range []struct {
			name   string
			damage func([]byte) []byte
			want   string
		}{
			{"cut short", func(b []byte) []byte { return b[:len(b)/2] }, "ledger.damaged"},
			{"empty", func([]byte) []byte { return nil }, "ledger.damaged"},
			{"a flipped bit", func(b []byte) []byte { b[len(b)/2] ^= 4; return b }, "ledger.damaged"},
		} {
			t.Run(test.name, func(t *testing.T) {
				i := install(t, r)
				i.run(t)
				good, err := os.ReadFile(i.ledger())
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(i.ledger(), test.damage(good), 0o600); err != nil {
					t.Fatal(err)
				}
				if _, log := i.runLogging(t); !strings.Contains(log, test.want) || strings.Count(log, "\n") != 1 {
					t.Errorf("reported as:\n%s", log)
				}
				i.run(t) // in silence
				if _, err := os.Stat(filepath.Join(i.dir, "state", test.want)); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// TestSourcesFail takes one source after the other away.
func TestSourcesFail(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Nft(t, rules)
		total := lab.UDP(t, "udp4", r.Laptop, r.Server).Send(t, 100, 1000)
		const bytes = `client_traffic_bytes{direction="tx",ip="192.168.10.100",client="laptop"}`
		for _, test := range []struct {
			name  string
			flags []string
			log   string
			want  series
		}{
			{"a lease file that is not there", []string{"--leases=/run/no.leases"}, "/run/no.leases", series{
				`network_metrics_exporter_source_up{source="dhcp"}`: 0,
				bytes: float64(total), // the other lease file named it
			}},
			{"an interface that is not there", []string{"--interface=br-lan", "--interface=br-guest"}, "br-guest", series{
				`network_metrics_exporter_source_up{source="neighbor"}`: 0,
				`client_status{ip="192.168.10.100",client="laptop"}`:    1,
				bytes: float64(total),
			}},
		} {
			t.Run(test.name, func(t *testing.T) {
				i := install(t, r)
				for _, log := range []string{test.log, ""} {
					got, said := i.runLogging(t, append(test.flags, "--accounting=off")...)
					got.expect(t, test.want)
					if !strings.Contains(said, log) || strings.Count(said, "\n") != min(1, len(log)) {
						t.Errorf("reported as:\n%s", said)
					}
				}
				if _, said := i.runLogging(t, "--accounting=off"); strings.Count(said, "\n") != 1 || !strings.Contains(said, "works again") {
					t.Errorf("recovery is reported as:\n%s", said)
				}
			})
		}
	})
}

// TestUsualFiles names the files that a machine need not have.
func TestUsualFiles(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		got, said := install(t, r).runLogging(t, "--leases=/var/lib/dnsmasq/dnsmasq.leases", "--hosts=/var/lib/dnsmasq/dhcp-hosts")
		if got.expect(t, series{`network_metrics_exporter_source_up{source="dhcp"}`: 1}); said != "" {
			t.Errorf("reported as:\n%s", said)
		}
	})
}

// TestWithoutRights runs the program as somebody who has no power over the
// network.
func TestWithoutRights(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		stdout, log, status := withoutRights(t, i.args()...)
		if status != published || len(stdout) > 0 || strings.Count(log, "\n") != 2 || strings.Count(log, "CAP_NET_ADMIN") != 2 {
			t.Fatalf("exit status %d, want a line for each source with CAP_NET_ADMIN:\n%s", status, log)
		}
		text, err := os.ReadFile(i.prom())
		if err != nil {
			t.Fatal(err)
		}
		parse(t, text).expect(t, series{
			`network_metrics_exporter_source_up{source="nftables"}`:                    0,
			`network_metrics_exporter_source_up{source="conntrack"}`:                   0,
			`network_metrics_exporter_source_up{source="neighbor"}`:                    1,
			`network_metrics_exporter_source_up{source="dhcp"}`:                        1,
			`client_status{ip="192.168.10.100",client="laptop"}`:                       1,
			`client_active_connections{ip="192.168.10.100",client="laptop"}`:           none,
			`client_traffic_bytes{direction="tx",ip="192.168.10.100",client="laptop"}`: 0,
		})
	})
}

// withoutRights runs the program without the rights of root that it has use for.
func withoutRights(t *testing.T, args ...string) (stdout []byte, stderr string, status int) {
	t.Helper()
	// What a thread drops from its bounding set, no program has that it starts.
	// This thread ends with the test.
	runtime.LockOSThread()
	for _, capability := range []uintptr{unix.CAP_NET_ADMIN, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), beProgram+"=1")
	cmd.Stderr = &said
	stdout, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout, said.String(), cmd.ProcessState.ExitCode()
}

// TestWait takes a single run, by hand, that has rates at once.
func TestWait(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		var stdout, stderr bytes.Buffer
		args := i.args("--wait", "--output=-")
		if status := run(args, &stdout, &stderr); status != published || stderr.Len() > 0 {
			t.Fatalf("exit status %d, stderr %q", status, &stderr)
		}
		parse(t, stdout.Bytes()).expect(t, series{
			`client_traffic_rate_bps{direction="tx",ip="192.168.10.100",client="laptop"}`: 0,
		})
		if _, err := os.Stat(i.prom()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want none beside standard output", i.prom(), err)
		}
	})
}

// TestFile looks at the file that readers get.
func TestFile(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		if err := os.WriteFile(i.prom(), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		syscall.Umask(0o077)
		i.run(t)
		info, err := os.Stat(i.prom())
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o644 {
			t.Errorf("its mode is %v, want 0644", info.Mode())
		}
		entries, err := os.ReadDir(i.dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if want := []string{"network_metrics.prom", "state"}; !slices.Equal(names, want) {
			t.Errorf("its directory has %q, want %q", names, want)
		}
	})
}

// TestBadUsage gives command lines that are refused, each by a line that names the
// flag, the value and what is wanted, before anything is touched. What is wrong
// stands at their end.
func TestBadUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	fifo := filepath.Join(filepath.Dir(file), "fifo")
	link := filepath.Join(filepath.Dir(file), "link")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), syscall.Mkfifo(fifo, 0o600), os.Symlink("/dev/null", link)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		flag, want string
	}{
		{"--interval=0", "number of seconds from 0.1 to 86400"},
		{"--interval=abc", "number of seconds from 0.1 to 86400"},
		{"--interval", "number of seconds from 0.1 to 86400"},
		{"--conntrack-budget=5%", "number of percent"},
		{"--conntrack-budget", "number of percent"},
		{"--network=10", "CIDR"},
		{"--network=192.168", "CIDR"},
		{"--network=", "CIDR"},
		{"--network", "CIDR"},
		{"--interface=a/b", "interface name"},
		{"--interface", "interface name"},
		{"--online-window=5", "duration"},
		{"--online-window", "duration"},
		{"--forget-after=week", "duration"},
		{"--forget-after", "duration"},
		{"--checkpoint-interval=60", "duration"},
		{"--checkpoint-interval", "duration"},
		{"--accounting=set", "sets, rules, flows or off"},
		{"--accounting", "sets, rules, flows or off"},
		{"--max-clients=many", "number from 1"},
		{"--max-clients", "number from 1"},
		{"--period-start=32", "day of the month from 1 to 31"},
		{"--period-start", "day of the month from 1 to 31"},
		{"--leases=", "path"},
		{"--leases", "path"},
		{"--hosts", "path"},
		{"--log.level=loud", "debug, info, warn or error"},
		{"--log.level", "debug, info, warn or error"},
		{"--log.format", "logfmt or json"},
		{"--output", "path, or - for standard output"},
		{"--output=" + file + "/x.prom", "not a directory"},
		{"--output=/proc/none/x.prom", "no such file or directory"},
		{"--output=" + filepath.Dir(file), "is a directory"},
		{"--output=/dev/null", "is a device"},
		{"--output=" + fifo, "is a FIFO"},
		{"--output=" + link, "is a device"},
		{"--state-dir", "path"},
		{"--state-dir=" + file, "not a directory"},
		{"--state-dir=" + filepath.Dir(file) + "/none/state", "no such file or directory"},
		{"--wait=yes", "--wait or --no-wait"},
		{"--nonsense", "--help"},
		{"nonsense", "sample, show, check and teardown"},
	} {
		t.Run(test.flag, func(t *testing.T) {
			for _, command := range []string{"sample", ""} {
				dir := t.TempDir()
				args := []string{"--output=" + dir + "/x.prom", "--state-dir=" + dir + "/state", test.flag}
				if command != "" {
					args = append([]string{command}, args...)
				}
				var stdout, stderr bytes.Buffer
				if status := run(args, &stdout, &stderr); status != wrongUsage {
					t.Errorf("exit status %d, want %d", status, wrongUsage)
				}
				said := stderr.String()
				if !strings.Contains(said, test.want) || !strings.Contains(said, test.flag) || strings.Count(said, "\n") != 1 || stdout.Len() > 0 {
					t.Errorf("want a line with %q; stdout %q, stderr:\n%s", test.want, &stdout, said)
				}
				if left := files(t, dir); len(left) != 1 {
					t.Errorf("it left %q", left)
				}
			}
		})
	}
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		t.Errorf("/dev/null is %v, %v", info.Mode(), err)
	}
}

// TestSorts holds the settings to the orders that the table knows.
func TestSorts(t *testing.T) {
	var known []string
	for _, s := range table.Sorts() {
		known = append(known, string(s))
	}
	if diff := cmp.Diff(known, settings.Sorts()); diff != "" {
		t.Errorf("orders (-table +settings):\n%s", diff)
	}
}
