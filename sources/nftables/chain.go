package nftables

import "golang.org/x/sys/unix"

// nfAccept is NF_ACCEPT of linux/netfilter.h.
const nfAccept = 1

// chain is one of a table of the family inet.
type chain struct {
	table, name string
	use         uint32 // how many rules are in it and jump to it
	ours        bool   // bears our mark
	kind        string // type of a base chain; "": it is none
	hook        uint32 // NF_INET_*
	priority    int32
}

// forwards reports whether it is a base chain that filters what is forwarded, at
// that priority.
func (c chain) forwards(priority int32) bool {
	return c.kind == "filter" && c.hook == unix.NF_INET_FORWARD && c.priority == priority
}

// parseChain decodes the body of NFT_MSG_NEWCHAIN.
func parseChain(attrs []byte) (chain, error) {
	var c chain
	err := attributes(attrs, func(kind uint16, data []byte) error {
		switch kind {
		case unix.NFTA_CHAIN_TABLE:
			c.table = text(data)
		case unix.NFTA_CHAIN_NAME:
			c.name = text(data)
		case unix.NFTA_CHAIN_USE:
			return uint32From(data, &c.use)
		case unix.NFTA_CHAIN_TYPE:
			c.kind = text(data)
		case nftaChainUserdata:
			c.ours = comment(data) == mark
		case unix.NFTA_CHAIN_HOOK:
			return attributes(data, c.parseHook)
		}
		return nil
	})
	return c, err
}

func (c *chain) parseHook(kind uint16, data []byte) error {
	switch kind {
	case unix.NFTA_HOOK_HOOKNUM:
		return uint32From(data, &c.hook)
	case unix.NFTA_HOOK_PRIORITY:
		var bits uint32
		err := uint32From(data, &bits)
		c.priority = int32(bits)
		return err
	}
	return nil
}

// addChain makes a chain that bears our mark.
func (b *batch) addChain(table, name string) { b.newChain(table, name, func(encoder) {}) }

// addForwardChain makes a base chain that filters what is forwarded, and bears
// our mark.
func (b *batch) addForwardChain(table, name string, priority int32) {
	b.newChain(table, name, func(e encoder) {
		e.nest(unix.NFTA_CHAIN_HOOK, func(e encoder) {
			e.Uint32(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_FORWARD)
			e.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(priority))
		})
		e.String(unix.NFTA_CHAIN_TYPE, "filter")
		e.Uint32(unix.NFTA_CHAIN_POLICY, nfAccept)
	})
}

func (b *batch) newChain(table, name string, base func(encoder)) {
	b.add(unix.NFT_MSG_NEWCHAIN, create, func(e encoder) {
		e.String(unix.NFTA_CHAIN_TABLE, table)
		e.String(unix.NFTA_CHAIN_NAME, name)
		base(e)
		e.Bytes(nftaChainUserdata, commentData(mark))
	})
}

// deleteChain deletes a chain and its rules.
func (b *batch) deleteChain(c chain) {
	b.add(unix.NFT_MSG_DELCHAIN, 0, func(e encoder) {
		e.String(unix.NFTA_CHAIN_TABLE, c.table)
		e.String(unix.NFTA_CHAIN_NAME, c.name)
	})
}
