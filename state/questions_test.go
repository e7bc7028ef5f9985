package state

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestQuestions looks at whom DNS is asked about in the last of several runs.
func TestQuestions(t *testing.T) {
	there := []NeighborEntry{
		{Addr: laptop, MAC: laptopMAC, State: Reachable},
		{Addr: phone, MAC: phoneMAC, State: Reachable},
	}
	asked := func(at float64, answers ...NameRecord) step {
		return step{at: at, lan: there, names: answers, asked: []netip.Addr{laptop, phone}}
	}
	named := func(source NameSource) []NameRecord {
		return []NameRecord{{Addr: laptop, MAC: laptopMAC, Name: "lea", Source: source}}
	}
	both := []netip.Addr{laptop, phone}
	for _, test := range []struct {
		name  string
		steps []step
		want  []netip.Addr
	}{
		{"nobody was met yet", []step{{lan: there}}, nil},
		{"strangers", []step{{lan: there}, {at: 2, lan: there}}, both},
		{"one has a lease", []step{{lan: there, names: named(FromDHCP)}, {at: 2, lan: there, names: named(FromDHCP)}}, both[1:]},
		{"one gets a lease now, which the next run knows", []step{{lan: there}, {at: 2, lan: there, names: named(FromHosts)}}, both},
		{"one got a lease", []step{{lan: there}, {at: 2, lan: there, names: named(FromHosts)}, {at: 4, lan: there}}, both[1:]},
		{"one had a lease, and is remembered", []step{{lan: there, names: named(FromDHCP)}, {at: 2, lan: there}, {at: 4, lan: there}}, both},
		{"no answer", []step{{lan: there}, asked(2), {at: 601, lan: there}}, nil},
		{"no answer ten minutes ago", []step{{lan: there}, asked(2), {at: 602, lan: there}}, both},
		{"no answer, and the machine slept", []step{{lan: there}, asked(2), {at: 3600, lan: there}}, both},
		{"no answer, then a reboot", []step{{lan: there}, asked(2), {boot: "b", at: 60, lan: there}}, both},
		{"no answer, then another time namespace", []step{{lan: there}, asked(200), {at: -900, lan: there}}, nil},
		{"one answer", []step{{lan: there}, asked(2, named(FromDNS)...), {at: 602, lan: there}}, both[1:]},
		{"one answer six hours ago", []step{{lan: there}, asked(2, named(FromDNS)...), {at: 6*3600 + 2, lan: there}}, both},
		{"one has left the metrics", []step{{lan: there}, {at: 169 * 3600, lan: there[:1]}, {at: 169*3600 + 2, lan: there[:1]}}, both[:1]},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := config
			config.ReverseDNS = true
			ledger := &Ledger{}
			for _, s := range test.steps[:len(test.steps)-1] {
				now := s.sample()
				ledger, _ = Compare(ledger, now, NewScope(lan, now.LAN, nil), noNames(), config)
			}
			now := test.steps[len(test.steps)-1].sample()
			if got := ledger.Questions(now.Instant, config); !slices.Equal(got, test.want) {
				t.Errorf("asks about %v, want %v", got, test.want)
			}
		})
	}
}

// TestQuestionsAreFew has everybody's turn come, the longest unasked first.
func TestQuestionsAreFew(t *testing.T) {
	const clients = 5*maxQuestions + 1
	config := config
	config.ReverseDNS = true
	var there []NeighborEntry
	addr := netip.MustParseAddr("192.168.10.10")
	for i := range clients {
		there = append(there, NeighborEntry{Addr: addr, MAC: MAC{2, 5: byte(i)}, State: Reachable})
		addr = addr.Next()
	}
	times := make(map[netip.Addr]int)
	ledger := &Ledger{}
	scope := NewScope(lan, nil, nil)
	for i := range 600/2 + 8 { // runs of a bit more than ten minutes
		now := step{at: float64(2 * i), lan: there}.sample()
		now.Asked = ledger.Questions(now.Instant, config)
		if len(now.Asked) > maxQuestions {
			t.Fatalf("%d questions in a run", len(now.Asked))
		}
		for _, a := range now.Asked {
			times[a]++
		}
		ledger, _ = Compare(ledger, now, scope, noNames(), config)
		if i == 10 && len(times) != clients {
			t.Errorf("%d of %d clients were asked about", len(times), clients)
		}
	}
	for addr, n := range times {
		if n > 2 {
			t.Errorf("%v was asked about %d times in ten minutes", addr, n)
		}
	}
}

func TestFault(t *testing.T) {
	l := &Ledger{}
	if err := l.Fault(DNS); err != nil {
		t.Errorf("got %v of a source that was never asked", err)
	}
	l.recordErrors(&Sample{Results: []SourceResult{{Source: DNS, Err: errors.New("no answer")}}}, config)
	if err := l.Fault(DNS); err == nil || err.Error() != "no answer" {
		t.Errorf("got %v, want no answer", err)
	}
	l.recordErrors(&Sample{Results: []SourceResult{{Source: DNS, Duration: time.Millisecond}}}, config)
	if err := l.Fault(DNS); err != nil {
		t.Errorf("got %v of a source that works again", err)
	}
}

// A LAN interface that is missing is news once the machine has had time to boot.
func TestMissingInterface(t *testing.T) {
	missing := SourceResult{Source: Neighbor, Err: fmt.Errorf("find interface br-lan: %w", ErrNoInterface)}
	found := SourceResult{Source: Neighbor}
	other := SourceResult{Source: Neighbor, Err: errors.New("dump torn")}
	l := &Ledger{}
	for _, step := range []struct {
		uptime time.Duration
		result SourceResult
		want   []SourceResult
	}{
		{3 * time.Second, missing, nil},
		{5 * time.Second, found, nil},
		{7 * time.Second, other, []SourceResult{other}},
		{9 * time.Second, missing, nil},
		{11 * time.Second, found, []SourceResult{found}},
		{59 * time.Second, missing, nil},
		{61 * time.Second, missing, []SourceResult{missing}},
		{63 * time.Second, missing, nil},
		{65 * time.Second, found, []SourceResult{found}},
	} {
		got := l.recordErrors(&Sample{Instant: Instant{Uptime: step.uptime}, Results: []SourceResult{step.result}}, config)
		if diff := cmp.Diff(step.want, got, cmpopts.EquateErrors()); diff != "" {
			t.Errorf("%v after boot (-want +got):\n%s", step.uptime, diff)
		}
	}
}
