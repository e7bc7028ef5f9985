package kernels

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"network-metrics-exporter/testdata/lab"
)

// flowtable has packets pass the forward chain by. It is said that they do, and what
// is counted is what comes that way.
func flowtable(t *testing.T) {
	home(t)
	lab.Nft(t, `
		table inet filter {
			flowtable f { hook ingress priority filter; devices = { lan, wan }; }
			counter tx { }
			counter rx { }
			chain forward {
				type filter hook forward priority filter; policy accept;
				ip saddr 192.168.10.100 counter name tx
				ip daddr 192.168.10.100 counter name rx
				meta l4proto { tcp, udp } flow add @f
			}
		}`)
	laptop := client("laptop", 10)
	x := newExporter(t, "lan")
	x.run(t, "lets packets pass uncounted")
	if got := x.values["network_metrics_exporter_flowtable_active"]; got != 1 {
		t.Errorf("network_metrics_exporter_flowtable_active is %v, want 1", got)
	}
	output, _ := exec.CommandContext(t.Context(), program, "check", "--state-dir="+x.dir, "--interface=lan").CombinedOutput()
	if !regexp.MustCompile(`(?m)^\S+ +flowtable: .*\bf\b`).Match(output) || strings.Contains(string(output), "ok    flowtable") {
		t.Errorf("check finds no fault with the flowtable:\n%s", output)
	}

	flow := lab.UDP(t, "udp4", laptop, server)
	sent, received := flow.Send(t, 1, 1000), flow.Reply(t, 1, 1000)
	for range 5 {
		sent += flow.Send(t, 100, 1000)
		received += flow.Reply(t, 200, 1000)
	}
	x.run(t)
	for direction, truth := range map[string]uint64{"tx": sent, "rx": received} {
		forwarded := namedCounter(t, direction)
		if got := x.totals[fmt.Sprint(direction, " ", laptop.IPv4)]; got != forwarded {
			t.Errorf("%s: counted %d, want %d, which passed the forward chain", direction, got, forwarded)
		}
		if forwarded == 0 || forwarded > truth/2 {
			t.Errorf("%s: %d of %d bytes passed the forward chain: there was no flowtable at work", direction, forwarded, truth)
		}
	}
}

// countedFlowtable has conntrack count what passes the forward chain by.
func countedFlowtable(t *testing.T) {
	home(t)
	lab.Nft(t, offloading)
	countConntrack(t)
	x := newExporter(t, "lan")
	x.flags = append(x.flags, flowsFlags...)
	x.counts(t, pairs{{client("laptop", 10), server}})
}

// idleFlowtables are there, and no packet can take them: they are no cause to complain,
// and every byte is counted.
func idleFlowtables(t *testing.T) {
	for name, ruleset := range map[string]string{
		"no rule adds to it": `
			table inet idle {
				flowtable f { hook ingress priority filter; devices = { lan, wan }; }
			}`,
		"without devices": `
			table inet idle {
				flowtable f { hook ingress priority filter; }
				chain forward {
					type filter hook forward priority filter
					meta l4proto { tcp, udp } flow add @f
				}
			}`,
		"dormant": `
			table inet idle {
				flags dormant
				flowtable f { hook ingress priority filter; devices = { lan, wan }; }
				chain forward {
					type filter hook forward priority filter
					meta l4proto { tcp, udp } flow add @f
				}
			}`,
	} {
		t.Run(name, func(t *testing.T) {
			lab.Namespace(t, func(t *testing.T) {
				home(t)
				lab.Nft(t, ruleset)
				x := newExporter(t, "lan")
				x.counts(t, pairs{{client("laptop", 10), server}})
				if got := x.values["network_metrics_exporter_flowtable_active"]; got != 0 {
					t.Errorf("network_metrics_exporter_flowtable_active is %v, want 0", got)
				}
			})
		})
	}
}

// home has a client on lan, and the server on wan.
func home(t *testing.T) {
	t.Helper()
	build(t, `
		wan
		host laptop
		cable laptop lan
		lan lan 10
		address laptop eth0 10`)
}

// namedCounter gives the bytes of a counter of table inet filter.
func namedCounter(t *testing.T, name string) uint64 {
	t.Helper()
	return counterBytes(t, "inet", "filter", name)
}

// counterBytes gives the bytes of a counter of nftables.
func counterBytes(t *testing.T, family, table, name string) uint64 {
	t.Helper()
	text := lab.Command(t, "nft", "list", "counter", family, table, name)
	match := regexp.MustCompile(`bytes (\d+)`).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("no bytes in:\n%s", text)
	}
	bytes, err := strconv.ParseUint(match[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
