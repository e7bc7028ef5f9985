package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/testdata/lab"
)

// laptopBytes are the laptop's series of IPv4 and IPv6.
func laptopBytes(rx, tx, rx6, tx6 uint64) series {
	return series{
		`client_traffic_bytes{direction="rx",ip="192.168.10.100",client="laptop"}`: float64(rx),
		`client_traffic_bytes{direction="tx",ip="192.168.10.100",client="laptop"}`: float64(tx),
		`client_traffic_bytes{direction="rx",ip="fd00:10::100",client="laptop"}`:   float64(rx6),
		`client_traffic_bytes{direction="tx",ip="fd00:10::100",client="laptop"}`:   float64(tx6),
	}
}

// TestAccounting leaves the counting to the program: it has to be exact from the
// first packet after the first run, whatever is taken away between runs, and to
// leave nothing behind.
func TestAccounting(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"sets", "rules"} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				before := lab.Command(t, "nft", "-s", "list", "ruleset")
				i := install(t, r)
				flag := "--accounting=" + layout
				v4, v6 := lab.UDP(t, "udp4", r.Laptop, r.Server), lab.UDP(t, "udp6", r.Laptop, r.Server)
				v6.Send(t, 1, 1) // rules are for those that the neighbour table knows
				i.run(t, flag)

				var rx, tx, rx6, tx6 uint64
				for n, take := range []string{
					"",
					"flush ruleset\n" + before,
					map[string]string{"sets": "delete table inet network_metrics", "rules": "flush chain inet filter CLIENT_TRAFFIC"}[layout],
				} {
					lab.Nft(t, take)
					i.run(t, flag) // heals
					tx, tx6 = tx+v4.Send(t, 10+n, 1000), tx6+v6.Send(t, 20+n, 100)
					rx, rx6 = rx+v4.Reply(t, 30+n, 1000), rx6+v6.Reply(t, 40+n, 100)
					got := i.run(t, flag)
					got.expect(t, laptopBytes(rx, tx, rx6, tx6))
					// The first time there was nothing to lose.
					got.expect(t, series{"network_metrics_exporter_accounting_resets_total": float64(n)})
				}

				// The command knows from the last run where the state is used.
				var stdout, stderr bytes.Buffer
				if status := run([]string{"teardown", "--state-dir=" + i.dir + "/state"}, &stdout, &stderr); status != published || stdout.Len()+stderr.Len() > 0 {
					t.Fatalf("teardown: exit status %d\n%s%s", status, &stdout, &stderr)
				}
				if diff := cmp.Diff(before, lab.Command(t, "nft", "-s", "list", "ruleset")); diff != "" {
					t.Errorf("ruleset after teardown (-before +after):\n%s", diff)
				}
			})
		})
	}
}

// TestLayoutSwitch counts with one layout after the other. A client that comes just
// before a change is counted as well, from its first packet.
func TestLayoutSwitch(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		countFlows(t)
		lab.Command(t, "ip", "neighbor", "flush", "dev", "br-lan", "nud", "all")
		i := install(t, r)
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		flow.Send(t, 1, 1)
		var tx uint64
		i.run(t, "--accounting=sets")
		newcomers := map[string]*lab.Host{"rules": r.Phone, "flows": r.Printer}
		before := "sets"
		for _, layout := range []string{"rules", "off", "sets", "off", "sets", "flows", "rules"} {
			want := series{"network_metrics_exporter_accounting_resets_total": 0, "network_metrics_exporter_accounting_repairs_total": 0}
			if host := newcomers[layout]; host != nil {
				delete(newcomers, layout)
				lab.Command(t, "ip", "netns", "exec", host.Name, "ping", "-q", "-c", "1", "192.168.10.1")
				i.run(t, "--accounting="+before)
				want[fmt.Sprintf(`client_traffic_bytes{direction="tx",ip="%v",client="%s"}`, host.IPv4, host.Name)] =
					float64(lab.UDP(t, "udp4", host, r.Server).Send(t, 10, 1000))
			}
			tx += flow.Send(t, 10, 1000)
			want[`client_traffic_bytes{direction="tx",ip="192.168.10.100",client="laptop"}`] = float64(tx)
			i.run(t, "--accounting="+layout).expect(t, want)
			before = layout
		}
	})
}

// TestSetsBesideRules has off read rules that somebody made, while the sets of an
// earlier run go on counting: what those show is not counted again when they go.
func TestSetsBesideRules(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		i.run(t, "--accounting=sets")
		tx := flow.Send(t, 10, 1000)
		i.run(t, "--accounting=sets")
		lab.Nft(t, rules)
		for _, layout := range []string{"off", "rules", "rules"} {
			i.run(t, "--accounting="+layout).expect(t, series{up: float64(tx)})
			tx += flow.Send(t, 10, 1000)
		}
	})
}

// TestMaxClients gives the two smaller of three clients one series to share.
func TestMaxClients(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		i.run(t)
		var sent [3]uint64
		for n, host := range r.Clients() {
			sent[n] = lab.UDP(t, "udp4", host, r.Server).Send(t, 10*(n+1), 1000)
		}
		got := i.run(t, "--max-clients=1")
		got.expect(t, series{
			`client_traffic_bytes{direction="tx",ip="192.168.10.102",client="printer"}`: float64(sent[2]),
			`client_traffic_bytes{direction="tx",ip="",client="other"}`:                 float64(sent[0] + sent[1]),
			"network_clients_known": 1,
		})
		for key := range got {
			if strings.HasPrefix(key, "client_") && !strings.Contains(key, `client="other"`) && !strings.Contains(key, "192.168.10.102") {
				t.Errorf("%s has a series of its own", key)
			}
		}
		// Back with a series of their own, nothing is counted twice.
		i.run(t).expect(t, series{
			`client_traffic_bytes{direction="tx",ip="192.168.10.100",client="laptop"}`: 0,
			`client_traffic_bytes{direction="tx",ip="",client="other"}`:                float64(sent[0] + sent[1]),
		})
	})
}
