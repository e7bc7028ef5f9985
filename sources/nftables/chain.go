package nftables

import (
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
)

// nfAccept is NF_ACCEPT of linux/netfilter.h.
const nfAccept = 1

// chain is one of a table of any family.
type chain struct {
	family      uint8 // NFPROTO_*
	table, name string
	use         uint32 // how many rules are in it, and jump or go to it
	ours        bool   // bears our name
	kind        string // type of a base chain; "": it is none
	hook        uint32 // NF_INET_*
	priority    int32
}

// forwards reports whether it is a base chain that sees what is forwarded.
func (c chain) forwards() bool { return c.kind == "filter" && c.hook == unix.NF_INET_FORWARD }

// parseChain decodes the attributes of NFT_MSG_NEWCHAIN.
func parseChain(family uint8, attrs []byte) (chain, error) {
	c := chain{family: family}
	var err error
	for typ, value := range netlink.Attributes(attrs, &err) {
		switch typ {
		case unix.NFTA_CHAIN_TABLE:
			c.table = value.Text()
		case unix.NFTA_CHAIN_NAME:
			c.name = value.Text()
		case unix.NFTA_CHAIN_USE:
			c.use = value.Uint32()
		case unix.NFTA_CHAIN_TYPE:
			c.kind = value.Text()
		case nftaChainUserdata:
			c.ours = comment(value.Bytes) == programName
		case unix.NFTA_CHAIN_HOOK:
			for typ, h := range value.Nested() {
				switch typ {
				case unix.NFTA_HOOK_HOOKNUM:
					c.hook = h.Uint32()
				case unix.NFTA_HOOK_PRIORITY:
					c.priority = int32(h.Uint32())
				}
			}
		}
	}
	return c, err
}

// addChain makes a chain that bears our name.
func (b *batch) addChain(table, name string) { b.newChain(table, name, everything) }

// addForwardChain makes a base chain that filters what is forwarded, and bears
// our name.
func (b *batch) addForwardChain(table, name string, priority int32) {
	b.newChain(table, name, func(e *netlink.Encoder) {
		e.Nested(unix.NFTA_CHAIN_HOOK, func() {
			e.Uint32(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_FORWARD)
			e.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(priority))
		})
		e.Text(unix.NFTA_CHAIN_TYPE, "filter")
		e.Uint32(unix.NFTA_CHAIN_POLICY, nfAccept)
	})
}

func (b *batch) newChain(table, name string, base func(*netlink.Encoder)) {
	b.add(unix.NFT_MSG_NEWCHAIN, create, func(e *netlink.Encoder) {
		e.Text(unix.NFTA_CHAIN_TABLE, table)
		e.Text(unix.NFTA_CHAIN_NAME, name)
		base(e)
		e.Bytes(nftaChainUserdata, commentData(programName))
	})
}

// deleteChain deletes a chain and its rules.
func (b *batch) deleteChain(c chain) {
	b.add(unix.NFT_MSG_DELCHAIN, 0, func(e *netlink.Encoder) {
		e.Text(unix.NFTA_CHAIN_TABLE, c.table)
		e.Text(unix.NFTA_CHAIN_NAME, c.name)
	})
}
