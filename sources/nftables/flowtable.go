package nftables

import (
	"slices"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
)

// flowtable is one of any family.
type flowtable struct {
	family      uint8
	table, name string
	use         uint32 // how many rules add flows to it
	counts      bool   // has the flag counter (Linux 5.7): conntrack counts what passes
	devices     int
}

// Attributes of flowtables (linux/netfilter/nf_tables.h), and the flag of those
// whose packets conntrack counts.
const (
	nftaFlowtableTable    = 1
	nftaFlowtableName     = 2
	nftaFlowtableHook     = 3
	nftaFlowtableUse      = 4
	nftaFlowtableFlags    = 7
	nftaFlowtableHookDevs = 3
	nftFlowtableCounter   = 2
)

// parseFlowtable decodes the attributes of NFT_MSG_NEWFLOWTABLE.
func parseFlowtable(family uint8, attrs []byte) (flowtable, error) {
	f := flowtable{family: family}
	var err error
	for typ, value := range netlink.Attributes(attrs, &err) {
		switch typ {
		case nftaFlowtableTable:
			f.table = value.Text()
		case nftaFlowtableName:
			f.name = value.Text()
		case nftaFlowtableUse:
			f.use = value.Uint32()
		case nftaFlowtableFlags:
			f.counts = value.Uint32()&nftFlowtableCounter != 0
		case nftaFlowtableHook:
			for typ, h := range value.Nested() {
				if typ == nftaFlowtableHookDevs {
					for range h.Nested() {
						f.devices++
					}
				}
			}
		}
	}
	return f, err
}

// flowtableUse returns what the flowtables let pass by the counters of the forward
// hook: nothing, if no rule adds flows to one, if it has no devices, or if its
// table is dormant.
func (r *ruleset) flowtableUse() state.FlowtableUse {
	use := state.NoFlowtable
	for _, f := range r.flowtables {
		switch {
		case !r.passes(f):
		case f.counts:
			use = max(use, state.CountedFlowtable)
		default:
			use = state.UncountedFlowtable
		}
	}
	return use
}

// passes reports whether packets can take the flowtable.
func (r *ruleset) passes(f flowtable) bool {
	awake := slices.ContainsFunc(r.tables, func(t table) bool {
		return t.family == f.family && t.name == f.table && t.flags&tableDormant == 0
	})
	return isRouted(f.family) && awake && f.use > 0 && f.devices > 0
}

// isRouted reports whether a family has what IP packets pass that are forwarded.
func isRouted(family uint8) bool {
	return family == unix.NFPROTO_INET || family == unix.NFPROTO_IPV4 || family == unix.NFPROTO_IPV6
}
