package nftables

import (
	"bytes"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
)

// nfDrop is NF_DROP of linux/netfilter.h.
const nfDrop = 0

// rule is what is needed of a rule. google/nftables decodes whole ones, and none
// at all if it does not know all that is in them.
type rule struct {
	family    uint8 // NFPROTO_*
	table     string
	chain     string
	handle    uint64
	comment   string
	hidden    string        // what only we write: see udataHidden
	client    client        // whom the comment says that it counts
	named     bool          // whether the comment says so
	counts    bool          // has a counter
	traffic   state.Traffic // that of the first counter: of two, both count the same
	jump      string        // the chain that it jumps or goes to
	maps      []string      // the verdict maps that it looks up
	accepts   bool          // may end the way of a packet that is let through
	conntrack bool          // makes the kernel track connections
}

// countsClient reports whether the rule counts somebody.
func (r *rule) countsClient() bool { return r.named && r.counts }

// ruleParser decodes rules, one after the other of which have much in common.
type ruleParser struct{ table, chain, hidden string }

// parse decodes the attributes of NFT_MSG_NEWRULE.
func (p *ruleParser) parse(family uint8, attrs []byte) (rule, error) {
	r := rule{family: family}
	var err error
	for typ, value := range netlink.Attributes(attrs, &err) {
		switch typ {
		case unix.NFTA_RULE_TABLE:
			r.table = again(&p.table, bytes.TrimSuffix(value.Bytes, []byte{0}))
		case unix.NFTA_RULE_CHAIN:
			r.chain = again(&p.chain, bytes.TrimSuffix(value.Bytes, []byte{0}))
		case unix.NFTA_RULE_HANDLE:
			r.handle = value.Uint64()
		case unix.NFTA_RULE_USERDATA:
			r.comment, r.hidden = comment(value.Bytes), again(&p.hidden, udata(value.Bytes, udataHidden))
			r.client.addr, r.client.direction, r.named = parseComment(r.comment)
		case unix.NFTA_RULE_EXPRESSIONS:
			for _, expression := range value.Nested() {
				r.addExpression(expression)
			}
		}
	}
	return r, err
}

// again returns the text as a string, the same one if it was the last one too.
func again(last *string, text []byte) string {
	if *last != string(text) {
		*last = string(text)
	}
	return *last
}

// addExpression decodes what counts and what decides the way of a packet.
func (r *rule) addExpression(expression netlink.Value) {
	name, data := splitExpression(expression)
	switch string(name) {
	case "counter":
		if !r.counts {
			r.counts, r.traffic = true, parseCounter(data)
		}
	case "immediate":
		r.addImmediate(data)
	case "lookup":
		r.addLookup(data)
	case "queue": // whose program may accept
		r.accepts = true
	case "ct", "nat", "masq", "redir", "connlimit", "flow_offload", "synproxy":
		r.conntrack = true
	case "match": // of iptables-nft
		for typ, value := range data.Nested() {
			r.conntrack = r.conntrack || typ == unix.NFTA_MATCH_NAME && usesConntrack(value.Text())
		}
	}
}

// usesConntrack reports whether a match of xtables is about connections.
func usesConntrack(match string) bool {
	return match == "conntrack" || match == "state" || match == "connmark"
}

// splitExpression returns the name of an expression and what belongs to it.
func splitExpression(expression netlink.Value) (name []byte, data netlink.Value) {
	for typ, value := range expression.Nested() {
		switch typ {
		case unix.NFTA_EXPR_NAME:
			name = bytes.TrimSuffix(value.Bytes, []byte{0})
		case unix.NFTA_EXPR_DATA:
			data = value
		}
	}
	return name, data
}

// parseCounter decodes the data of an expression of that name.
func parseCounter(data netlink.Value) state.Traffic {
	var t state.Traffic
	for typ, value := range data.Nested() {
		switch typ {
		case unix.NFTA_COUNTER_BYTES:
			t.Bytes = value.Uint64()
		case unix.NFTA_COUNTER_PACKETS:
			t.Packets = value.Uint64()
		}
	}
	return t
}

// addImmediate looks for a verdict.
func (r *rule) addImmediate(data netlink.Value) {
	for typ, value := range data.Nested() {
		if typ == unix.NFTA_IMMEDIATE_DATA {
			code, target, ok := parseVerdict(value)
			r.jump = target
			r.accepts = r.accepts || ok && code != unix.NFT_CONTINUE && code != nfDrop
		}
	}
}

// parseVerdict decodes data that may be a verdict, and the chain that it leads to.
func parseVerdict(data netlink.Value) (code int32, target string, ok bool) {
	for typ, value := range data.Nested() {
		if typ != unix.NFTA_DATA_VERDICT {
			continue
		}
		for typ, verdict := range value.Nested() {
			switch typ {
			case unix.NFTA_VERDICT_CODE:
				code, ok = int32(verdict.Uint32()), true
			case unix.NFTA_VERDICT_CHAIN:
				target = verdict.Text()
			}
		}
	}
	return code, target, ok
}

// addLookup looks for a verdict map, which may give any verdict.
func (r *rule) addLookup(data netlink.Value) {
	var name []byte
	verdict := false
	for typ, value := range data.Nested() {
		switch typ {
		case unix.NFTA_LOOKUP_SET:
			name = value.Bytes
		case unix.NFTA_LOOKUP_DREG:
			verdict = value.Uint32() == unix.NFT_REG_VERDICT
		}
	}
	if verdict {
		r.maps = append(r.maps, unix.ByteSliceToString(name))
		r.accepts = true
	}
}

// addRule makes a rule, in front of the others or atEnd.
func (b *batch) addRule(table, chain string, where uint16, userdata []byte, expressions ...expr.Any) {
	b.add(unix.NFT_MSG_NEWRULE, where, func(e *netlink.Encoder) {
		e.Text(unix.NFTA_RULE_TABLE, table)
		e.Text(unix.NFTA_RULE_CHAIN, chain)
		b.expressions(e, unix.NFTA_RULE_EXPRESSIONS, expressions)
		e.Bytes(unix.NFTA_RULE_USERDATA, userdata)
	})
}

func (b *batch) deleteRule(table string, r rule) {
	b.add(unix.NFT_MSG_DELRULE, 0, func(e *netlink.Encoder) {
		e.Text(unix.NFTA_RULE_TABLE, table)
		e.Text(unix.NFTA_RULE_CHAIN, r.chain)
		e.Uint64(unix.NFTA_RULE_HANDLE, r.handle)
	})
}
