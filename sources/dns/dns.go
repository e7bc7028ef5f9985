// Package dns asks the system's resolver for the names of addresses.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"network-metrics-exporter/state"
)

// timeout is how long all answers together may take. An answer from a resolver
// on the router or beside it takes a few milliseconds.
const timeout = 200 * time.Millisecond

// Names asks for the names of all addresses at once, and waits no longer than
// 200 ms in all. What a resolver does not know is no error. It is one if nothing
// that was asked had an answer: its text does not change while that lasts.
func Names(addrs []netip.Addr) ([]state.NameRecord, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	type answer struct {
		addr  netip.Addr
		names []string
		err   error
	}
	answers := make(chan answer, len(addrs))
	// Go's own resolver heeds the deadline, which that of the C library does not.
	resolver := &net.Resolver{PreferGo: true}
	for _, addr := range addrs {
		go func() {
			names, err := resolver.LookupAddr(ctx, addr.String())
			answers <- answer{addr, names, err}
		}()
	}
	var names []state.NameRecord
	var answered bool
	for range addrs {
		select {
		case a := <-answers:
			// An error that comes with names tells of others that are no names.
			if missing := (*net.DNSError)(nil); len(a.names) > 0 || errors.As(a.err, &missing) && missing.IsNotFound {
				answered = true
			}
			if len(a.names) > 0 {
				// Servers give several in any order.
				name := strings.TrimSuffix(slices.Min(a.names), ".")
				names = append(names, state.NameRecord{Addr: a.addr, Name: name, Source: state.FromDNS})
			}
		case <-ctx.Done():
		}
	}
	if !answered && len(addrs) > 0 {
		return nil, fmt.Errorf("ask the resolver of /etc/resolv.conf for names: no usable answer within %v", timeout)
	}
	return names, nil
}
