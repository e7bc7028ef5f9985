package main

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"network-metrics-exporter/testdata/lab"
)

// TestFloods has a stranger ping 66,000 addresses of the LAN, and a client send from
// 60,000 that it makes up. Clients that have series keep counting to the byte; who
// comes two runs afterwards counts from the first packet; no run takes much memory
// or writes much; and ten minutes later everything is as it was.
func TestFloods(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"sets", "flows"} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				countFlows(t)
				lab.Nft(t, "insert rule inet filter forward icmpv6 type echo-request accept\n"+witness+lab.EndOfFlood)
				d := installDurable(t, r)
				d.build(t)
				f := flooded{durable: d, layout: "--accounting=" + layout}
				v4, v6 := lab.UDP(t, "udp4", r.Laptop, r.Server), lab.UDP(t, "udp6", r.Laptop, r.Server)
				f.sample(t)
				for _, flow := range []*lab.Flow{v4, v6} {
					flow.Send(t, 10, 100)
					flow.Reply(t, 10, 100)
				}
				before := f.cost(t, f.sample(t))

				// While it lasts.
				done := make(chan error)
				go func() {
					for range 100 {
						if err := v4.Burst(10, 1000); err != nil {
							done <- err
							return
						}
						if err := v6.Burst(10, 1000); err != nil {
							done <- err
							return
						}
						time.Sleep(5 * time.Millisecond)
					}
					done <- nil
				}()
				for n := range 3 {
					lab.PingAll(t, r.Server, fmt.Sprintf("fd00:10:0:0:%x::", 1+n), 22_000)
					lab.Spoof(t, r.Printer, fmt.Sprintf("fd00:10:0:0:%x::", 17+n), 20_000, r.Server.IPv6)
					f.sample(t)
				}
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				settle(t)
				f.sample(t).expect(t, witnessed(t))

				// Two runs afterwards.
				f.sample(t)
				f.sample(t)
				newcomer := *r.Phone
				newcomer.IPv4, newcomer.IPv6 = netip.MustParseAddr("192.168.10.200"), netip.MustParseAddr("fd00:10::200")
				lab.Command(t, "ip", "-n", "phone", "addr", "add", "192.168.10.200/24", "dev", "eth0")
				lab.Command(t, "ip", "-n", "phone", "addr", "add", "fd00:10::200/64", "dev", "eth0", "nodad")
				want := make(series)
				for _, client := range []struct{ network, name string }{
					{"udp4", "unknown"}, {"udp6", "phone"}, // the IPv6 address is called what its device is
				} {
					flow := lab.UDP(t, client.network, &newcomer, r.Server)
					addr := newcomer.IPv4
					if client.network == "udp6" {
						addr = newcomer.IPv6
					}
					tx, rx := flow.Send(t, 10, 1000), flow.Reply(t, 20, 1000)
					maps.Copy(want, byClient(addr.String(), client.name, float64(rx), float64(tx)))
				}
				got := f.sample(t)
				got.expect(t, want)

				// Ten minutes later, but for the newcomer.
				f.later(t)
				after := f.cost(t, f.later(t))
				// It has two addresses, and there are series of all others.
				most := cost{before.state + 700, before.series + 3*14 + 3*21, before.elements + 4}
				if after.state > most.state || after.series > most.series || after.elements > most.elements {
					t.Errorf("costs went from %+v to %+v, want %+v at most", before, after, most)
				}
				lab.CheckReaders(t, d.prom())
			})
		})
	}
}

// flooded is an installation whose runs are held to what they may cost.
type flooded struct {
	*durable
	layout string
}

// sample is a run, which may say that sets are full.
func (f flooded) sample(t *testing.T) series {
	t.Helper()
	memory, log := f.measure(t, f.layout)
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "accounting") {
			t.Errorf("it says:\n%s", line)
		}
	}
	if most := int64(32 << 10); memory > most {
		t.Errorf("a run took %d kB of memory, want %d at most", memory, most)
	}
	if size := f.size(t); size > 1<<20 {
		t.Errorf("%d bytes of state, want a MiB at most", size)
	}
	return f.lookAtClients(t)
}

// lookAtClients is look without the addresses that somebody made up, which may go.
func (f flooded) lookAtClients(t *testing.T) series {
	t.Helper()
	for key := range f.seen {
		if madeUpAddress.MatchString(key) {
			delete(f.seen, key)
		}
	}
	return f.look(t)
}

// madeUpAddress is in the labels of addresses that somebody made up.
var madeUpAddress = regexp.MustCompile(`="fd00:10::[0-9a-f]+:`)

// size is what the state directory holds.
func (f flooded) size(t *testing.T) (bytes int64) {
	t.Helper()
	entries, err := os.ReadDir(f.state())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	return bytes
}

// cost is what a run costs later ones, and its readers.
type cost struct {
	state            int64 // bytes of the ledger
	series, elements int
}

// cost looks at what a run left.
func (f flooded) cost(t *testing.T, published series) cost {
	t.Helper()
	info, err := os.Stat(filepath.Join(f.state(), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	elements := strings.Count(lab.Command(t, "nft", "list", "table", "inet", "network_metrics"), " counter packets ")
	return cost{info.Size(), len(published), elements}
}

// later is a run ten minutes later, which a time namespace makes pass.
func (f flooded) later(t *testing.T) series {
	t.Helper()
	status, log := f.try(t, []string{"unshare", "--time", "--boottime", "600", "--fork", "--"}, f.layout)
	if status != published {
		t.Fatalf("exit status %d:\n%s", status.ExitStatus(), log)
	}
	return f.lookAtClients(t)
}
