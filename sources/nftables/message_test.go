package nftables

import (
	"net/netip"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
)

// Whatever the bytes, nothing panics, and a message that is accepted is accepted
// as the whole that it is.
func FuzzParse(f *testing.F) {
	var b batch
	b.addForwardChain(ownTable, trafficChain, ownPriority)
	b.newSet(ownTable, "client_tx", unix.NFT_SET_EVAL, 7, 4, bigEndian, 2048)
	b.elements(unix.NFT_MSG_NEWSETELEM, ownTable, "client_tx", 1, []element{{key: []byte{192, 168, 10, 1}, flags: 1}})
	for _, r := range newSetsLayout(plan(state.Flows)).rules() {
		b.addRule(ownTable, r.chain, atEnd, markedData(r.comment, programName), r.expressions(&b)...)
	}
	for _, m := range b.changes {
		f.Add(m.Body[netlink.SizeofNfgenmsg:])
	}
	f.Fuzz(func(t *testing.T, attrs []byte) {
		_, chainErr := parseChain(unix.NFPROTO_INET, attrs)
		_, setErr := parseSet(unix.NFPROTO_INET, attrs)
		_, ruleErr := new(ruleParser).parse(unix.NFPROTO_INET, attrs)
		_, flowtableErr := parseFlowtable(unix.NFPROTO_INET, attrs)
		_, verdictErr := parseVerdicts(unix.NFPROTO_INET, attrs)
		body := append([]byte{unix.NFPROTO_INET, 0, 0, 0}, attrs...)
		_, generationErr := parseGeneration(body)
		var read setCounters
		elementErr := read.add(body, state.Counter{})
		var whole error
		for range netlink.Attributes(attrs, &whole) {
		}
		for _, err := range []error{chainErr, setErr, ruleErr, flowtableErr, verdictErr, generationErr, elementErr} {
			if err == nil && whole != nil {
				t.Errorf("accepted: %v", whole)
			}
		}
	})
}

// What is written is read as what it was.
func TestParseWritten(t *testing.T) {
	var b batch
	b.addForwardChain(ownTable, trafficChain, -5)
	b.newSet(ownTable, "client_tx6", unix.NFT_SET_EVAL, 8, 16, bigEndian, 7)
	b.elements(unix.NFT_MSG_NEWSETELEM, ownTable, "client_tx", 0,
		[]element{{key: []byte{1, 2, 3, 4}, counts: true}, {key: []byte{5, 6, 7, 8}, flags: 1}})
	b.addRule(ownTable, sentChain, atEnd, markedData("a", "b"), counts(), jumpTo(trafficChain))
	if b.err != nil {
		t.Fatal(b.err)
	}
	attrs := func(i int) []byte { return b.changes[i].Body[netlink.SizeofNfgenmsg:] }
	unexported := gocmp.Options{gocmp.AllowUnexported(chain{}, set{}, rule{}, client{}), equal}
	gotChain, err := parseChain(unix.NFPROTO_INET, attrs(0))
	wantChain := chain{family: unix.NFPROTO_INET, table: ownTable, name: trafficChain, ours: true, kind: "filter", hook: unix.NF_INET_FORWARD, priority: -5}
	if diff := gocmp.Diff(wantChain, gotChain, unexported); diff != "" || err != nil {
		t.Errorf("chain, %v (-want +got):\n%s", err, diff)
	}
	gotSet, err := parseSet(unix.NFPROTO_INET, attrs(1))
	wantSet := set{name: "client_tx6", flags: unix.NFT_SET_EVAL, keyType: 8, size: 7}
	if diff := gocmp.Diff(wantSet, gotSet, unexported); diff != "" || err != nil {
		t.Errorf("set, %v (-want +got):\n%s", err, diff)
	}
	var got setCounters
	template := state.Counter{Direction: state.Tx, ID: state.CounterID{Table: 1, Object: 2}}
	err = got.add(b.changes[2].Body, template)
	template.Addr = netip.MustParseAddr("1.2.3.4")
	if diff := gocmp.Diff([]state.Counter{template}, got.counters, equal); diff != "" || err != nil || got.elements() != 2 {
		t.Errorf("%d elements, %v (-want +got):\n%s", got.elements(), err, diff)
	}
	gotRule, err := new(ruleParser).parse(unix.NFPROTO_INET, attrs(3))
	wantRule := rule{family: unix.NFPROTO_INET, table: ownTable, chain: sentChain, comment: "a", hidden: "b", counts: true, jump: trafficChain, accepts: true}
	if diff := gocmp.Diff(wantRule, gotRule, unexported); diff != "" || err != nil {
		t.Errorf("rule, %v (-want +got):\n%s", err, diff)
	}
}
