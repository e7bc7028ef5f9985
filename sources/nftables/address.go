package nftables

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// family is what the two versions of IP differ in.
type family struct {
	name    string // as nft(8) writes it
	suffix  string // of the names of its sets
	proto   byte   // NFPROTO_*
	keyType uint32 // of sets: nft(8)'s number of the data type
	keyName string // and its name
	length  uint32 // of an address
	source  uint32 // where that is in the header; the destination follows
}

var (
	ipv4 = family{name: "ip", proto: unix.NFPROTO_IPV4, keyType: 7, keyName: "ipv4_addr", length: 4, source: 12}
	ipv6 = family{name: "ip6", suffix: "6", proto: unix.NFPROTO_IPV6, keyType: 8, keyName: "ipv6_addr", length: 16, source: 8}
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

// networksName is the name of the set of networks, where there are several.
func (f family) networksName() string { return "networks" + f.suffix }

// protocol matches packets of the family. The registers of expressions are all
// number 1: each is used at once.
func (f family) protocol() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		equals([]byte{f.proto}),
	}
}

// end is an address in a packet's header.
type end uint8

const (
	source end = iota
	destination
)

// clientEnd returns the end that is the client.
func clientEnd(d state.Direction) end {
	if d == state.Rx {
		return destination
	}
	return source
}

// load loads the first bytes of an address.
func (f family) load(e end, length uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: f.source + uint32(e)*f.length, Len: length}
}

func equals(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

// is matches packets from a client, or to it.
func (f family) is(addr netip.Addr, d state.Direction) []expr.Any {
	return append(f.protocol(), f.load(clientEnd(d), f.length), equals(addr.AsSlice()))
}

// within matches packets of which an end is in one of the networks, which outermost
// returned. Of the family is what the caller has to see to.
func (f family) within(networks []netip.Prefix, e end) []expr.Any {
	if len(networks) > 1 {
		return []expr.Any{f.load(e, f.length), &expr.Lookup{SourceRegister: 1, SetName: f.networksName()}}
	}
	p := networks[0]
	whole, rest := p.Bits()/8, p.Bits()%8
	network := p.Addr().AsSlice()
	switch {
	case p.Bits() == 0:
		return nil
	case rest == 0: // shorter, and what nft(8) does too
		return []expr.Any{f.load(e, uint32(whole)), equals(network[:whole])}
	}
	mask := make([]byte, f.length)
	copy(mask, bytes.Repeat([]byte{0xff}, whole))
	mask[whole] = 0xff << (8 - rest)
	return []expr.Any{
		f.load(e, f.length),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: f.length, Mask: mask, Xor: make([]byte, f.length)},
		equals(network),
	}
}

// outermost returns those networks of the family that are not part of another one,
// in order.
func (f family) outermost(networks []netip.Prefix) []netip.Prefix {
	var own []netip.Prefix
	for _, p := range networks {
		if familyOf(p.Addr()) == f {
			own = append(own, p.Masked())
		}
	}
	slices.SortFunc(own, netip.Prefix.Compare) // a network comes before its parts
	var outer []netip.Prefix
	for _, p := range own {
		if len(outer) == 0 || !outer[len(outer)-1].Contains(p.Addr()) {
			outer = append(outer, p)
		}
	}
	return outer
}

// interval is a range of addresses. It ends before end, or if that is not valid
// with the last address that there is.
type interval struct{ start, end netip.Addr }

// intervals returns the ranges of networks that outermost returned. Those that touch
// become one, as nft(8) has them.
func intervals(networks []netip.Prefix) []interval {
	var list []interval
	for _, p := range networks {
		end := last(p).Next()
		if n := len(list); n > 0 && list[n-1].end == p.Addr() {
			list[n-1].end = end
			continue
		}
		list = append(list, interval{p.Addr(), end})
	}
	return list
}

// last returns the last address of a network.
func last(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for i := range bytes {
		if host := 8*(i+1) - p.Bits(); host > 0 {
			bytes[i] |= byte(1<<min(host, 8) - 1)
		}
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}
