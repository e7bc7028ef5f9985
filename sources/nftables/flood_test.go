package nftables

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// witness counts what the clients' networks exchange with the rest, right behind
// the accounting and by none of its means.
const witness = `
	table inet witness {
		counter tx { }
		counter rx { }
		chain forward {
			type filter hook forward priority 301
			iifname "br-lan" counter name tx
			oifname "br-lan" counter name rx
		}
	}`

// witnessed returns what it counted, by direction.
func witnessed(t *testing.T) (sum [2]state.Traffic) {
	t.Helper()
	for d := range sum {
		text := lab.Command(t, "nft", "list", "counter", "inet", "witness", state.Direction(d).String())
		numbers := regexp.MustCompile(`packets (\d+) bytes (\d+)`).FindStringSubmatch(text)
		if numbers == nil {
			t.Fatalf("no counter in %s", text)
		}
		sum[d].Packets, _ = strconv.ParseUint(numbers[1], 10, 64)
		sum[d].Bytes, _ = strconv.ParseUint(numbers[2], 10, 64)
	}
	return sum
}

// moved adds up counters by direction.
func moved(counters []state.Counter) (sum [2]state.Traffic) {
	for _, c := range counters {
		sum[c.Direction].Bytes += c.Bytes
		sum[c.Direction].Packets += c.Packets
	}
	return sum
}

// A stranger who pings every address of the LAN makes no element. Every byte is in
// one counter, and who comes afterwards counts from the first packet.
func TestFloodFromOutside(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Nft(t, "insert rule inet filter forward icmpv6 type echo-request accept"+witness+lab.EndOfFlood)
		p := plan(state.Sets)
		p.Clients = nil
		mustAccount(t, p)
		want := converse(t, r.Server, r.Laptop)
		lab.PingAll(t, r.Server, "fd00:10::", 66_000)
		a := mustAccount(t, p)
		if diff := gocmp.Diff(want, counted(a), alike); diff != "" {
			t.Errorf("counters (-want +got):\n%s", diff)
		}
		if a.Full {
			t.Error("a set is full")
		}
		if other := otherTraffic(a.Counters); other[state.Rx].Packets < 60_000 || other[state.Tx].Packets != 0 {
			t.Errorf("others moved %+v, want 66,000 packets to them", other)
		}
		if got, want := moved(a.Counters), witnessed(t); got != want {
			t.Errorf("counted %+v, want %+v", got, want)
		}
		want = append(want, converse(t, r.Server, r.Phone)...)
		if diff := gocmp.Diff(want, counted(mustAccount(t, p)), alike); diff != "" {
			t.Errorf("counters with a new client (-want +got):\n%s", diff)
		}
	})
}

// A client who makes up tens of thousands of addresses fills a set and no more:
// every byte is in one counter, and those who have an element go on. What state
// then has deleted makes room.
func TestFloodFromInside(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Nft(t, witness+lab.EndOfFlood)
		p := plan(state.Sets)
		p.Clients, p.MaxClients = p.Clients[:2], 64 // the laptop
		mustAccount(t, p)
		lab.Spoof(t, r.Printer, "fd00:10::", 60_000, r.Server.IPv6)
		want := converse(t, r.Server, r.Laptop)
		late := converse(t, r.Server, r.Phone)
		a := mustAccount(t, p)
		known := func(a *state.Accounting, hosts ...*lab.Host) []state.Counter {
			return slices.DeleteFunc(counted(a), func(c state.Counter) bool {
				return !slices.ContainsFunc(hosts, func(h *lab.Host) bool { return c.Addr == h.IPv4 || c.Addr == h.IPv6 })
			})
		}
		if diff := gocmp.Diff(want, known(a, r.Laptop), alike); diff != "" {
			t.Errorf("counters of who was known (-want +got):\n%s", diff)
		}
		late = slices.DeleteFunc(late, func(c state.Counter) bool { return c.Addr.Is6() }) // there was no place
		if diff := gocmp.Diff(late, known(a, r.Phone), alike); diff != "" {
			t.Errorf("counters of who was not (-want +got):\n%s", diff)
		}
		if n := len(a.Counters) - strays(a); !a.Full || n > 3*128 {
			t.Errorf("%d counters, full: %t", n, a.Full)
		}
		if got, want := moved(a.Counters), witnessed(t); got != want || want[state.Tx].Packets < 50_000 {
			t.Errorf("counted %+v, want %+v", got, want)
		}

		p.Last = a
		deleted, err := Forget(slices.DeleteFunc(slices.Clone(a.Counters), func(c state.Counter) bool {
			return !c.Addr.IsValid() || slices.Contains(want, state.Counter{Addr: c.Addr, Direction: c.Direction, Traffic: c.Traffic})
		}), a)
		if err != nil || len(deleted) < 100 {
			t.Fatalf("%d deleted, %v", len(deleted), err)
		}
		p.Last.Counters = slices.DeleteFunc(slices.Clone(a.Counters), func(c state.Counter) bool { return slices.Contains(deleted, c) })
		if a := mustAccount(t, p); a.Full {
			t.Error("still full")
		}
		again := converse(t, r.Server, r.Phone)
		got := known(mustAccount(t, p), r.Phone)
		if diff := gocmp.Diff(again, got, alike); diff != "" {
			t.Errorf("counters with room again (-want +got):\n%s", diff)
		}
	})
}

// Elements of somebody else, and that he changes the ruleset now and then, keep no
// run from success.
func TestBusyRuleset(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		p := plan(state.Sets)
		p.Clients, p.MaxClients = nil, 33_000
		mustAccount(t, p)
		fill(t, "client_tx", 0, 60_000)
		stop, done := make(chan struct{}), make(chan error)
		go func() { done <- changeUntil(stop) }()
		for range 5 {
			a, err := Account(p)
			if err != nil {
				t.Error(err)
				break
			}
			if n := len(counted(a)); n != 60_000 {
				t.Errorf("%d counters, want 60,000", n)
			}
			p.Last = a
		}
		close(stop)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// changeUntil makes five transactions a second.
func changeUntil(stop chan struct{}) error {
	k, err := open()
	if err != nil {
		return err
	}
	defer k.Close()
	for n := 0; ; n++ {
		var b batch
		b.addTable(fmt.Sprint("other", n))
		if _, err := b.commit(k, 0); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		case <-time.After(time.Second / 5):
		}
	}
}
