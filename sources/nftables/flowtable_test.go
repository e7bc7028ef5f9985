package nftables

import (
	"testing"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink/netlinktest"
	"network-metrics-exporter/state"
)

// flowtableAttrs makes the attributes of NFT_MSG_NEWFLOWTABLE. Few kernels are
// built with flowtables (CONFIG_NF_FLOW_TABLE).
func flowtableAttrs(use, flags byte, devices ...string) []byte {
	var names [][]byte
	for _, d := range devices {
		names = append(names, netlinktest.Attribute(1, []byte(d+"\x00")))
	}
	attrs := netlinktest.Attribute(nftaFlowtableTable, []byte("filter\x00"))
	attrs = append(attrs, netlinktest.Attribute(nftaFlowtableName, []byte("f\x00"))...)
	attrs = append(attrs, netlinktest.Attribute(nftaFlowtableUse, []byte{0, 0, 0, use})...)
	attrs = append(attrs, netlinktest.Attribute(nftaFlowtableFlags, []byte{0, 0, 0, flags})...)
	return append(attrs, netlinktest.Nested(nftaFlowtableHook,
		netlinktest.Attribute(1, []byte{0, 0, 0, 0}),
		netlinktest.Nested(nftaFlowtableHookDevs, names...))...)
}

// A flowtable lets packets pass only if a rule adds flows to it, it has devices,
// and its table is awake; the worst of several is told.
func TestFlowtableUse(t *testing.T) {
	type parsed struct {
		family byte
		attrs  []byte
	}
	const inet, ipv4, ipv6 = unix.NFPROTO_INET, unix.NFPROTO_IPV4, unix.NFPROTO_IPV6
	bypass, counted := flowtableAttrs(1, 0, "br-lan", "wan"), flowtableAttrs(2, 2, "wan")
	tests := []struct {
		name       string
		flowtables []parsed
		dormant    bool
		want       state.FlowtableUse
	}{
		{name: "none"},
		{name: "inet", flowtables: []parsed{{inet, bypass}}, want: state.UncountedFlowtable},
		{name: "ip", flowtables: []parsed{{unix.NFPROTO_ARP, bypass}, {ipv4, bypass}}, want: state.UncountedFlowtable},
		{name: "ip6", flowtables: []parsed{{ipv6, bypass}, {ipv6, bypass}}, want: state.UncountedFlowtable},
		{name: "not of routers", flowtables: []parsed{{unix.NFPROTO_ARP, bypass}, {unix.NFPROTO_BRIDGE, bypass}, {unix.NFPROTO_NETDEV, bypass}}},
		{name: "counted", flowtables: []parsed{{inet, counted}}, want: state.CountedFlowtable},
		{name: "hardware offload, counted", flowtables: []parsed{{inet, flowtableAttrs(1, 3, "wan")}}, want: state.CountedFlowtable},
		{name: "hardware offload", flowtables: []parsed{{inet, flowtableAttrs(1, 1, "wan")}}, want: state.UncountedFlowtable},
		{name: "one of each", flowtables: []parsed{{inet, bypass}, {inet, counted}}, want: state.UncountedFlowtable},
		{name: "one of each, the other way round", flowtables: []parsed{{inet, counted}, {inet, bypass}}, want: state.UncountedFlowtable},
		{name: "no rule adds to it", flowtables: []parsed{{inet, flowtableAttrs(0, 0, "wan")}, {inet, counted}}, want: state.CountedFlowtable},
		{name: "no devices", flowtables: []parsed{{inet, flowtableAttrs(1, 0)}}},
		{name: "dormant", flowtables: []parsed{{inet, bypass}}, dormant: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &ruleset{}
			for family := range byte(16) {
				x := table{family: family, name: "filter"}
				if tt.dormant {
					x.flags = tableDormant
				}
				r.tables = append(r.tables, x)
			}
			for _, p := range tt.flowtables {
				f, err := parseFlowtable(p.family, p.attrs)
				if err != nil || f.table != "filter" || f.name != "f" {
					t.Fatalf("%+v, %v", f, err)
				}
				r.flowtables = append(r.flowtables, f)
			}
			if got := r.flowtableUse(); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
