package nftables

import (
	"bytes"
	"net/netip"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// rule is what is needed of a rule. google/nftables decodes whole ones, and none
// at all if it does not know all that is in them.
type rule struct {
	handle  uint64
	comment string
	marked  bool          // says itself that it is ours
	counts  bool          // has a counter
	traffic state.Traffic // that of the first counter: of two, both count the same
	jump    string        // the chain that it jumps or goes to
}

// client gives whom the rule counts.
func (r rule) client() (addr netip.Addr, d state.Direction, ok bool) {
	if !r.counts {
		return netip.Addr{}, 0, false
	}
	return parseComment(r.comment)
}

// parseRule decodes the body of NFT_MSG_NEWRULE.
func parseRule(attrs []byte) (rule, error) {
	var r rule
	err := attributes(attrs, func(kind uint16, data []byte) error {
		switch kind {
		case unix.NFTA_RULE_HANDLE:
			return uint64From(data, &r.handle)
		case unix.NFTA_RULE_USERDATA:
			r.comment, r.marked = comment(data), marked(data)
		case unix.NFTA_RULE_EXPRESSIONS:
			return attributes(data, r.parseExpression)
		}
		return nil
	})
	return r, err
}

// parseExpression decodes an element of a list of expressions if it is a counter
// or a verdict.
func (r *rule) parseExpression(_ uint16, expression []byte) error {
	name, data, err := splitExpression(expression)
	switch {
	case err != nil:
		return err
	case string(name) == "counter" && !r.counts:
		r.counts = true
		r.traffic, err = parseCounter(data)
	case string(name) == "immediate":
		err = r.parseImmediate(data)
	}
	return err
}

// splitExpression gives the name of an expression and what belongs to it.
func splitExpression(expression []byte) (name, data []byte, err error) {
	err = attributes(expression, func(kind uint16, value []byte) error {
		switch kind {
		case unix.NFTA_EXPR_NAME:
			name = bytes.TrimSuffix(value, []byte{0})
		case unix.NFTA_EXPR_DATA:
			data = value
		}
		return nil
	})
	return name, data, err
}

// parseCounter decodes the data of an expression of that name.
func parseCounter(data []byte) (state.Traffic, error) {
	var t state.Traffic
	err := attributes(data, func(kind uint16, data []byte) error {
		switch kind {
		case unix.NFTA_COUNTER_BYTES:
			return uint64From(data, &t.Bytes)
		case unix.NFTA_COUNTER_PACKETS:
			return uint64From(data, &t.Packets)
		}
		return nil
	})
	return t, err
}

// parseImmediate looks for a jump.
func (r *rule) parseImmediate(data []byte) error {
	path := []uint16{unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT, unix.NFTA_VERDICT_CHAIN}
	var descend func(kind uint16, data []byte) error
	descend = func(kind uint16, data []byte) error {
		if kind != path[0] {
			return nil
		}
		if len(path) == 1 {
			r.jump = text(data)
			return nil
		}
		path = path[1:]
		return attributes(data, descend)
	}
	return attributes(data, descend)
}

// addRule makes a rule, in front of the others or atEnd.
func (b *batch) addRule(table, chain string, where netlink.HeaderFlags, userdata []byte, expressions ...expr.Any) {
	b.add(unix.NFT_MSG_NEWRULE, where, func(e encoder) {
		e.String(unix.NFTA_RULE_TABLE, table)
		e.String(unix.NFTA_RULE_CHAIN, chain)
		e.expressions(unix.NFTA_RULE_EXPRESSIONS, expressions)
		e.Bytes(unix.NFTA_RULE_USERDATA, userdata)
	})
}

func (b *batch) deleteRule(table, chain string, r rule) {
	b.add(unix.NFT_MSG_DELRULE, 0, func(e encoder) {
		e.String(unix.NFTA_RULE_TABLE, table)
		e.String(unix.NFTA_RULE_CHAIN, chain)
		e.Uint64(unix.NFTA_RULE_HANDLE, r.handle)
	})
}
