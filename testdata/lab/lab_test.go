package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"network-metrics-exporter/testdata/lab"
)

func TestNamesComeByDHCP(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		leases, err := os.ReadFile(r.Leases)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range r.Clients() {
			if want := fmt.Sprintf(" %v %v %s ", h.MAC, h.IPv4, h.Name); !strings.Contains(string(leases), want) {
				t.Errorf("no %q in the leases:\n%s", want, leases)
			}
		}
	})
}

func TestFlowIsCountedToTheByte(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		for _, tt := range []struct {
			network, family   string
			packets, payloads int
		}{
			{"udp4", "ip", 1000, 1400},
			{"udp4", "ip", 100, 1},
			{"udp6", "ip6", 1000, 1400},
			{"udp6", "ip6", 100, 0},
		} {
			address := r.Phone.IPv4
			if tt.family == "ip6" {
				address = r.Phone.IPv6
			}
			lab.Nft(t, fmt.Sprintf(`
				table inet test
				delete table inet test
				table inet test {
					counter up { }
					counter down { }
					chain forward {
						type filter hook forward priority filter + 1
						%[1]s saddr %[2]s counter name up
						%[1]s daddr %[2]s counter name down
					}
				}`, tt.family, address))
			flow := lab.UDP(t, tt.network, r.Phone, r.Server)
			up := flow.Send(t, tt.packets, tt.payloads)
			down := flow.Reply(t, 2*tt.packets, tt.payloads)
			if got := counter(t, "up"); got != up {
				t.Errorf("%+v: the router counted %d bytes up, want %d", tt, got, up)
			}
			if got := counter(t, "down"); got != down {
				t.Errorf("%+v: the router counted %d bytes down, want %d", tt, got, down)
			}
		}
	})
}

// counter returns the bytes of a named counter of table inet test.
func counter(t *testing.T, name string) uint64 {
	t.Helper()
	output := lab.Command(t, "nft", "list", "counter", "inet", "test", name)
	match := regexp.MustCompile(`bytes (\d+)`).FindStringSubmatch(output)
	if match == nil {
		t.Fatalf("no bytes in %q", output)
	}
	bytes, err := strconv.ParseUint(match[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestConnectionIsTracked(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		for _, tt := range []struct{ network, family, client string }{
			{"tcp4", "ipv4", r.Laptop.IPv4.String()},
			{"tcp6", "ipv6", r.Laptop.IPv6.String()},
		} {
			list := func(state string) int {
				return strings.Count(lab.Command(t, "conntrack", "-L", "-f", tt.family, "-p", "tcp", "-s", tt.client, "--state", state), "\n")
			}
			var held []*lab.Connection
			for range 3 {
				held = append(held, lab.TCP(t, tt.network, r.Laptop, r.Server))
			}
			if got := list("ESTABLISHED"); got != 3 {
				t.Errorf("%s: %d connections tracked, want 3", tt.network, got)
			}
			for _, c := range held {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
			for deadline := time.Now().Add(5 * time.Second); list("TIME_WAIT") != 3; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s: the router did not see the connections close", tt.network)
				}
			}
			if got := list("ESTABLISHED"); got != 0 {
				t.Errorf("%s: %d connections tracked after they closed, want 0", tt.network, got)
			}
		}
	})
}

// The firewall admits nothing from the WAN that no client asked for.
func TestFirewall(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Nft(t, `
			table inet test {
				counter knocked { }
				chain prerouting {
					type filter hook prerouting priority filter
					iifname wan udp dport 9 counter name knocked
				}
				counter admitted { }
				chain postrouting {
					type filter hook postrouting priority filter
					oifname br-lan udp dport 9 counter name admitted
				}
			}`)
		lab.Command(t, "ip", "netns", "exec", "server", "bash", "-c",
			fmt.Sprintf("echo -n knock >/dev/udp/%v/9", r.Laptop.IPv6))
		if got, want := counter(t, "knocked"), uint64(40+8+5); got != want {
			t.Errorf("%d bytes at the door, want %d", got, want)
		}
		if got := counter(t, "admitted"); got != 0 {
			t.Errorf("%d bytes let in, want none", got)
		}
	})
}

// A second lab is built beside the first, with the same names and addresses.
func TestLabsDoNotMeet(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs("lab.sh")
	if err != nil {
		t.Fatal(err)
	}
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Nft(t, `
			table inet test {
				counter forwarded { }
				chain forward {
					type filter hook forward priority filter + 1
					counter name forwarded
				}
			}`)
		before := lab.Command(t, "ip", "-o", "link")
		lab.Command(t, "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", script+
			fmt.Sprintf(" && ip netns exec laptop bash -c 'echo knock >/dev/udp/%v/9'", r.Server.IPv4))
		if got := counter(t, "forwarded"); got != 0 {
			t.Errorf("%d bytes of one lab were forwarded in the other", got)
		}
		if after := lab.Command(t, "ip", "-o", "link"); after != before {
			t.Errorf("one lab changed the other's links from\n%s\nto\n%s", before, after)
		}
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		if want, got := flow.Send(t, 10, 100), counter(t, "forwarded"); got != want {
			t.Errorf("%d bytes forwarded, want %d", got, want)
		}
	})
}
