package nftables

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// converse sends known traffic both ways for each of the clients, over IPv4 and
// IPv6, and gives the counters that this has to make.
func converse(t *testing.T, server *lab.Host, clients ...*lab.Host) []state.Counter {
	t.Helper()
	var want []state.Counter
	for i, client := range clients {
		for network, addr := range map[string]netip.Addr{"udp4": client.IPv4, "udp6": client.IPv6} {
			flow := lab.UDP(t, network, client, server)
			up, down := 100+i, 50*(i+1)
			want = append(want,
				tx(addr.String(), uint64(up), flow.Send(t, up, 1000+i)),
				rx(addr.String(), uint64(down), flow.Reply(t, down, 1400)))
		}
	}
	return want
}

// total adds up the counters of a client, as state does.
func total(lists ...[]state.Counter) []state.Counter {
	sums := make(map[client]state.Traffic)
	for _, list := range lists {
		for _, c := range list {
			sum := sums[client{c.Addr, c.Direction}]
			sum.Bytes += c.Bytes
			sum.Packets += c.Packets
			sums[client{c.Addr, c.Direction}] = sum
		}
	}
	var counters []state.Counter
	for c, sum := range sums {
		counters = append(counters, state.Counter{Addr: c.addr, Direction: c.direction, Traffic: sum})
	}
	return counters
}

// In either layout every byte that is forwarded is counted, from a client's first
// packet and behind the lab's established accept; a flush loses what was counted
// until then and nothing after the run that follows it.
func TestAccountTraffic(t *testing.T) {
	t.Parallel()
	for _, layout := range []state.Layout{state.Sets, state.Rules} {
		t.Run(string(layout), func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				p := plan(layout)
				if a := mustAccount(t, p); len(counted(a)) != 0 {
					t.Errorf("counters before any traffic: %+v", a.Counters)
				}
				first := converse(t, r.Server, r.Clients()...)
				if diff := gocmp.Diff(first, counted(mustAccount(t, p)), alike); diff != "" {
					t.Errorf("counters (-want +got):\n%s", diff)
				}
				second := converse(t, r.Server, r.Clients()...)
				if diff := gocmp.Diff(total(first, second), counted(mustAccount(t, p)), alike); diff != "" {
					t.Errorf("counters after more (-want +got):\n%s", diff)
				}

				lab.Nft(t, "flush ruleset\n"+firewall)
				mustAccount(t, p)
				third := converse(t, r.Server, r.Clients()...)
				if diff := gocmp.Diff(third, counted(mustAccount(t, p)), alike); diff != "" {
					t.Errorf("counters after a flush (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What the firewall drops is not counted by sets, and what it accepts is, even if
// the rule that accepts stands in a table of its own.
func TestAccountDropped(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Nft(t, "table inet late { chain forward { type filter hook forward priority 299; udp dport 7 counter drop; counter accept; }; }")
		p := plan(state.Sets)
		mustAccount(t, p)
		want := converse(t, r.Server, r.Phone)
		const packets = 5
		err := r.Laptop.Do(func() error {
			for _, server := range []netip.Addr{r.Server.IPv4, r.Server.IPv6} {
				conn, err := net.Dial("udp", netip.AddrPortFrom(server, 7).String())
				if err != nil {
					return err
				}
				defer conn.Close()
				for range packets {
					if _, err := conn.Write(make([]byte, 100)); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		dropped := regexp.MustCompile(`counter packets 10 bytes \d+ drop`)
		for deadline := time.Now().Add(5 * time.Second); !dropped.MatchString(lab.Command(t, "nft", "list", "table", "inet", "late")); {
			if time.Now().After(deadline) {
				t.Fatal("packets to be dropped did not come")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if diff := gocmp.Diff(want, counted(mustAccount(t, p)), alike); diff != "" {
			t.Errorf("counters (-want +got):\n%s", diff)
		}
	})
}

// Every LAN is counted, also one that comes later, and so is a new network of
// the clients from the next run on; counters stay as they are. What comes in by
// another interface, or from an address of no network, is not counted.
func TestAccountNetworks(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		p := plan(state.Sets)
		p.Interfaces = append(p.Interfaces, "lan2")
		p.Networks = append(p.Networks, netip.MustParsePrefix("192.168.20.0/24"))
		mustAccount(t, p)

		guest := r.AddGuest(t, "lan2")

		first := converse(t, r.Server, r.Laptop, guest)
		want := slices.DeleteFunc(first, func(c state.Counter) bool { return c.Addr == guest.IPv6 })
		before := counted(mustAccount(t, p))
		if diff := gocmp.Diff(want, before, alike); diff != "" {
			t.Errorf("counters (-want +got):\n%s", diff)
		}

		p.Networks = append(p.Networks, netip.MustParsePrefix("fd00:20::/64"))
		g := generation(t)
		if diff := gocmp.Diff(ids(before), ids(counted(mustAccount(t, p)))); diff != "" {
			t.Errorf("IDs after another network came (-before +after):\n%s", diff)
		}
		if after := generation(t); after != g+1 {
			t.Errorf("%d transactions, want 1", after-g)
		}
		still(t, p)
		second := converse(t, r.Server, r.Laptop, guest)
		if diff := gocmp.Diff(total(want, second), counted(mustAccount(t, p)), alike); diff != "" {
			t.Errorf("counters after another network came (-want +got):\n%s", diff)
		}

		p.Interfaces = []string{"lan2"}
		p.Networks = p.Networks[:1]
		mustAccount(t, p)
		converse(t, r.Server, r.Laptop, guest)
		if diff := gocmp.Diff(total(want, second), counted(mustAccount(t, p)), alike); diff != "" {
			t.Errorf("counters after traffic of no client (-want +got):\n%s", diff)
		}
	})
}

// A change of the layout takes the former one's objects away and hands out what
// they had counted, so that nothing is lost.
func TestAccountSwitchesLayout(t *testing.T) {
	t.Parallel()
	for from, to := range map[state.Layout]state.Layout{state.Sets: state.Rules, state.Rules: state.Sets} {
		t.Run(string(from), func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				before := listing(t)
				mustAccount(t, plan(from))
				first := converse(t, r.Server, r.Clients()...)
				if diff := gocmp.Diff(first, counted(&state.Accounting{Counters: mustAccount(t, plan(to)).ReplacedCounters}), alike); diff != "" {
					t.Errorf("retired counters in the run that switches (-want +got):\n%s", diff)
				}
				switched := listing(t)
				second := converse(t, r.Server, r.Clients()...)
				if diff := gocmp.Diff(second, counted(mustAccount(t, plan(to))), alike); diff != "" {
					t.Errorf("counters in the run after that (-want +got):\n%s", diff)
				}

				if err := Teardown(); err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(before, listing(t)); diff != "" {
					t.Errorf("ruleset (-before +after teardown):\n%s", diff)
				}
				mustAccount(t, plan(to))
				if diff := gocmp.Diff(listing(t), switched); diff != "" {
					t.Errorf("ruleset (-made afresh +switched to):\n%s", diff)
				}
			})
		})
	}
}
