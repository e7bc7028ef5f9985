package nftables

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// listCounters gives the counters of the chain's rules; the table's handle
// becomes part of their IDs. To the kernel a chain that is not there is one
// without rules; to us it is an error.
func listCounters(ask execute, table uint64) ([]state.Counter, error) {
	question, err := request(unix.NFT_MSG_GETRULE, netlink.Dump,
		name(unix.NFTA_RULE_TABLE, tableName), name(unix.NFTA_RULE_CHAIN, chainName))
	if err != nil {
		return nil, err
	}
	rules, err := ask(question)
	if err != nil {
		return nil, fmt.Errorf("list rules of %s: %w", place, err)
	}
	if len(rules) == 0 {
		return nil, findChain(ask)
	}
	var counters []state.Counter
	for _, m := range rules {
		r, err := parseRule(m.Data)
		if err != nil {
			return nil, fmt.Errorf("read rule of %s: %w", place, err)
		}
		addr, direction, ok := parseComment(comment(r.userdata))
		if !ok || r.counter == nil {
			continue
		}
		counters = append(counters, state.Counter{
			Addr:      addr,
			Direction: direction,
			Reading: state.Reading{
				ID:      state.CounterID{Table: table, Object: r.handle},
				Traffic: state.Traffic{Bytes: r.counter.Bytes, Packets: r.counter.Packets},
			},
		})
	}
	return counters, nil
}

// findChain fails if the chain is not there.
func findChain(ask execute) error {
	question, err := request(unix.NFT_MSG_GETCHAIN, 0,
		name(unix.NFTA_CHAIN_TABLE, tableName), name(unix.NFTA_CHAIN_NAME, chainName))
	if err != nil {
		return err
	}
	switch _, err := ask(question); {
	case errors.Is(err, unix.ENOENT):
		return errNoChain
	case err != nil:
		return fmt.Errorf("read %s: %w", place, err)
	}
	return nil
}

// rule is what is needed of a rule. google/nftables decodes whole ones, and none
// at all if it does not know all that is in them.
type rule struct {
	handle   uint64
	userdata []byte
	counter  *expr.Counter // nil: it has none; of two the first, as they count the same
}

// parseRule decodes the body of NFT_MSG_NEWRULE.
func parseRule(body []byte) (rule, error) {
	attrs, err := attributes(body)
	if err != nil {
		return rule{}, err
	}
	var r rule
	for attrs.Next() {
		switch attrs.Type() {
		case unix.NFTA_RULE_HANDLE:
			r.handle = attrs.Uint64()
		case unix.NFTA_RULE_USERDATA:
			r.userdata = attrs.Bytes()
		case unix.NFTA_RULE_EXPRESSIONS:
			attrs.Nested(r.parseExpressions)
		}
	}
	return r, attrs.Err()
}

// parseExpressions looks for the counter in a list of expressions.
func (r *rule) parseExpressions(list *netlink.AttributeDecoder) error {
	for list.Next() {
		list.Nested(func(expression *netlink.AttributeDecoder) error {
			var kind string
			for expression.Next() {
				switch expression.Type() {
				case unix.NFTA_EXPR_NAME:
					kind = expression.String()
				case unix.NFTA_EXPR_DATA:
					if kind == "counter" && r.counter == nil {
						r.counter = &expr.Counter{}
						expression.Do(func(data []byte) error {
							return expr.Unmarshal(unix.NFPROTO_INET, data, r.counter)
						})
					}
				}
			}
			return nil
		})
	}
	return nil
}

// comment takes the comment from a rule's NFTA_RULE_USERDATA: a list of type,
// length and value, in which type 0 is the comment, ended by a NUL
// (NFTNL_UDATA_RULE_COMMENT in libnftnl/udata.h). Any program may have written
// anything there.
func comment(userdata []byte) string {
	for len(userdata) >= 2 {
		kind, length := userdata[0], int(userdata[1])
		if userdata = userdata[2:]; length > len(userdata) {
			break
		}
		if kind == 0 {
			return strings.TrimSuffix(string(userdata[:length]), "\x00")
		}
		userdata = userdata[length:]
	}
	return ""
}

// parseComment reads "tx_192.168.10.100" or "rx_2001:db8::1".
func parseComment(s string) (addr netip.Addr, d state.Direction, ok bool) {
	prefix, text, _ := strings.Cut(s, "_")
	switch prefix {
	case state.Rx.String():
		d = state.Rx
	case state.Tx.String():
		d = state.Tx
	default:
		return netip.Addr{}, 0, false
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, 0, false
	}
	return addr.Unmap(), d, true
}
