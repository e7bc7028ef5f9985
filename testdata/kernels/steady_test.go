package kernels

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"network-metrics-exporter/testdata/lab"
)

// exchanges opens a flow each of TCP and UDP, of IPv4 and IPv6, between a client and the
// server, and returns what has them exchange packets. Each is answered before a
// flowtable can take it.
func exchanges(t *testing.T) (all []func() error) {
	t.Helper()
	laptop := client("laptop", 10)
	for _, version := range []string{"4", "6"} {
		udp := lab.UDP(t, "udp"+version, laptop, server)
		udp.Send(t, 1, 100)
		udp.Reply(t, 1, 100)
		tcp := lab.TCP(t, "tcp"+version, laptop, server)
		all = append(all,
			func() error { return udp.Burst(3, 1000) },
			func() error { return errors.Join(send(tcp.From, tcp.To, 2000), send(tcp.To, tcp.From, 5000)) })
	}
	return all
}

// steadily makes exchanges, over and over, until stop is called.
func steadily(t *testing.T, all []func() error) (stop func()) {
	t.Helper()
	var stopped atomic.Bool
	ended := make(chan error, 1)
	go func() {
		var err error
		for err == nil && !stopped.Load() {
			for _, exchange := range all {
				err = errors.Join(err, exchange())
			}
			time.Sleep(5 * time.Millisecond)
		}
		ended <- err
	}()
	return func() {
		t.Helper()
		stopped.Store(true)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}

// reloadedFlowtable has somebody delete the flowtable and make it anew every three
// seconds, while flows go through it and runs are two seconds apart.
func reloadedFlowtable(t *testing.T) {
	x := countsFlows(t)
	countArrivals(t, "lan")
	stop := steadily(t, exchanges(t))
	for second := range 12 {
		time.Sleep(time.Second)
		if second%3 == 2 {
			awaitOffload(t, true)
			reload(t)
		}
		if second%2 == 1 {
			x.run(t)
		}
	}
	awaitOffload(t, true)
	stop()
	x.countsArrivals(t)
}

// reload has nft delete the flowtable of an offloadingHome and make it anew.
func reload(t *testing.T) {
	t.Helper()
	lab.Nft(t, "delete table inet filter\n"+offloading)
}

// awaitOffload waits until flows of both families are in a flowtable, or none is.
func awaitOffload(t *testing.T, want bool) {
	t.Helper()
	var entries string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		entries = ""
		offloaded := 0
		for _, family := range []string{"ipv4", "ipv6"} {
			text := lab.Command(t, "conntrack", "-L", "-f", family)
			if entries += text; strings.Contains(text, "[OFFLOAD]") {
				offloaded++
			}
		}
		if want && offloaded == 2 || !want && offloaded == 0 {
			return
		}
	}
	t.Fatalf("in the flowtable, want %t:\n%s", want, entries)
}

// unansweredFlows are in the flowtable before anybody answers them, if ever. Linux 6.12
// drops their conntrack entries with the flowtable: what comes between the run before
// and the run after that may be lost, and nothing else. Linux 6.1 keeps them.
func unansweredFlows(t *testing.T) {
	x := countsFlows(t)
	laptop := client("laptop", 10)
	type conversation struct {
		network  string
		answered bool
		flow     *lab.Flow
	}
	var conversations []conversation
	for _, network := range []string{"udp4", "udp6"} {
		for _, answered := range []bool{false, true} {
			conversations = append(conversations, conversation{network, answered, lab.UDP(t, network, laptop, server)})
		}
	}
	exchange := func(sum totals) {
		for _, c := range conversations {
			sum.add(c.network, laptop, server, c.flow.Send(t, 20, 1000))
			if c.answered {
				sum.add(c.network, server, laptop, c.flow.Reply(t, 30, 700))
			}
		}
	}
	least, most := make(totals), make(totals)
	for range 3 {
		exchange(least)
		x.run(t)
		awaitOffload(t, true)
		exchange(most)
		reload(t)
		exchange(most)
		x.run(t)
	}
	exchange(least)
	x.run(t)
	for key := range least {
		most[key] += least[key]
	}
	if strings.HasPrefix(lab.Command(t, "uname", "-r"), "6.1.") {
		least = most
	}
	for key := range most {
		if got := x.totals[key]; got < least[key] || got > most[key] {
			t.Errorf("%s: counted %d bytes, want %d at least and %d at most", key, got, least[key], most[key])
		}
	}
}
