// Package nftables reads the clients' byte and packet counters.
package nftables

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"network-metrics-exporter/state"
)

// Where the rules that count are: a chain in a table of the family inet.
const (
	tableName = "filter"
	chainName = "CLIENT_TRAFFIC"
)

// maxAttempts bounds how often counters are read again because the ruleset was
// changed meanwhile.
const maxAttempts = 5

// Read gives the counters of the rules in chain CLIENT_TRAFFIC of table inet
// filter whose comment is tx_ or rx_ and an address, whoever made them. Rules
// without a counter or with another comment are passed over. It needs
// CAP_NET_ADMIN and Linux 4.16, and changes nothing.
func Read() (*state.Accounting, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	counters, err := readCounters(conn)
	if err != nil {
		return nil, err
	}
	flowtable, err := hasFlowtable(conn)
	return &state.Accounting{Counters: counters, Flowtable: flowtable}, err
}

// errNoChain tells that nothing is there that would count.
var errNoChain = errors.New("there is none: nothing counts the clients' traffic; the README tells which rules do")

// readCounters reads until no change of the ruleset came between: a dump that a
// change tore looks as if rules, or the chain, had gone.
func readCounters(conn *nftables.Conn) ([]state.Counter, error) {
	for range maxAttempts {
		before, err := readTable(tableName)
		if err != nil {
			return nil, err
		}
		rules, listErr := listRules(conn)
		after, err := readTable(tableName)
		if err != nil {
			return nil, err
		}
		if before == after {
			return counters(rules, before.handle), listErr
		}
	}
	return nil, fmt.Errorf("list rules of chain %s in table inet %s: the ruleset changed %d times meanwhile", chainName, tableName, maxAttempts)
}

// listRules lists the rules of the chain. To the kernel a chain that is not
// there is one without rules; to us it is an error.
func listRules(conn *nftables.Conn) ([]*nftables.Rule, error) {
	table := &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}
	rules, err := conn.GetRules(table, &nftables.Chain{Name: chainName})
	if err != nil {
		return nil, fmt.Errorf("list rules of chain %s in table inet %s: %w", chainName, tableName, err)
	}
	if len(rules) > 0 {
		return rules, nil
	}
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	if !slices.ContainsFunc(chains, func(c *nftables.Chain) bool {
		return c.Name == chainName && c.Table.Name == tableName
	}) {
		return nil, fmt.Errorf("find chain %s in table inet %s: %w", chainName, tableName, errNoChain)
	}
	return nil, nil
}

// counters takes the counters from the rules of a table.
func counters(rules []*nftables.Rule, table uint64) []state.Counter {
	var found []state.Counter
	for _, r := range rules {
		addr, direction, ok := parseComment(comment(r.UserData))
		if !ok {
			continue
		}
		for _, e := range r.Exprs {
			if c, ok := e.(*expr.Counter); ok {
				found = append(found, state.Counter{
					Addr:      addr,
					Direction: direction,
					Reading: state.Reading{
						ID:      state.CounterID{Table: table, Object: r.Handle},
						Traffic: state.Traffic{Bytes: c.Bytes, Packets: c.Packets},
					},
				})
				break // a second one in the rule counts the same packets
			}
		}
	}
	return found
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

// hasFlowtable reports whether there is a flowtable that forwarded packets could
// take, past the forward hook and so past every counter there.
func hasFlowtable(conn *nftables.Conn) (bool, error) {
	tables, err := conn.ListTables()
	if err != nil {
		return false, fmt.Errorf("list tables: %w", err)
	}
	for _, t := range tables {
		switch t.Family {
		case nftables.TableFamilyINet, nftables.TableFamilyIPv4, nftables.TableFamilyIPv6:
			flowtables, err := conn.ListFlowtables(t)
			if err != nil {
				return false, fmt.Errorf("list flowtables of table %s: %w", t.Name, err)
			}
			if len(flowtables) > 0 {
				return true, nil
			}
		}
	}
	return false, nil
}
