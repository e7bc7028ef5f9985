package nftables

import (
	"errors"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
)

// Flags of NFTA_TABLE_FLAGS (linux/netfilter/nf_tables.h).
const (
	tableDormant = 1 // its chains are registered at no hook
	tableOwner   = 2 // only the program that made it can change it (Linux 5.12)
)

// table is one of any family.
type table struct {
	family uint8 // NFPROTO_*
	name   string
	handle uint64 // never given twice in a boot
	flags  uint32
	use    uint32 // how many chains, sets and other objects are in it
	ours   bool   // bears our name
}

// isOwned reports whether another program alone can change the table, so that
// nothing in it is ours.
func (t *table) isOwned() bool { return t != nil && t.flags&tableOwner != 0 }

// parseTable decodes the attributes of NFT_MSG_NEWTABLE.
func parseTable(family uint8, attrs []byte) (table, error) {
	t := table{family: family}
	var err error
	for typ, value := range netlink.Attributes(attrs, &err) {
		switch typ {
		case unix.NFTA_TABLE_NAME:
			t.name = value.Text()
		case nftaTableHandle:
			t.handle = value.Uint64()
		case unix.NFTA_TABLE_FLAGS:
			t.flags = value.Uint32()
		case unix.NFTA_TABLE_USE:
			t.use = value.Uint32()
		case nftaTableUserdata:
			t.ours = comment(value.Bytes) == programName
		}
	}
	if err == nil && t.handle == 0 {
		err = errors.New("a table without handle, which Linux 4.16 and later give")
	}
	return t, err
}

// addTable makes a table that bears our name, or wakes a dormant one.
func (b *batch) addTable(name string) {
	b.add(unix.NFT_MSG_NEWTABLE, create, func(e *netlink.Encoder) {
		e.Text(unix.NFTA_TABLE_NAME, name)
		e.Uint32(unix.NFTA_TABLE_FLAGS, 0)
		e.Bytes(nftaTableUserdata, commentData(programName))
	})
}

// deleteTable deletes a table and all that is in it.
func (b *batch) deleteTable(name string) {
	b.add(unix.NFT_MSG_DELTABLE, 0, func(e *netlink.Encoder) { e.Text(unix.NFTA_TABLE_NAME, name) })
}
