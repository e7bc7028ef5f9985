package nftables

import (
	"errors"

	"golang.org/x/sys/unix"
)

// table is one of the family inet.
type table struct {
	name   string
	handle uint64 // never given twice in a boot
	use    uint32 // how many chains, sets and other objects are in it
	ours   bool   // bears our mark
}

// parseTable decodes the body of NFT_MSG_NEWTABLE.
func parseTable(attrs []byte) (table, error) {
	var t table
	err := attributes(attrs, func(kind uint16, data []byte) error {
		switch kind {
		case unix.NFTA_TABLE_NAME:
			t.name = text(data)
		case nftaTableHandle:
			return uint64From(data, &t.handle)
		case unix.NFTA_TABLE_USE:
			return uint32From(data, &t.use)
		case nftaTableUserdata:
			t.ours = comment(data) == mark
		}
		return nil
	})
	if err == nil && t.handle == 0 {
		err = errors.New("a table without handle, which Linux 4.16 and later give")
	}
	return t, err
}

// addTable makes a table that bears our mark.
func (b *batch) addTable(name string) {
	b.add(unix.NFT_MSG_NEWTABLE, create, func(e encoder) {
		e.String(unix.NFTA_TABLE_NAME, name)
		e.Uint32(unix.NFTA_TABLE_FLAGS, 0)
		e.Bytes(nftaTableUserdata, commentData(mark))
	})
}

// deleteTable deletes a table and all that is in it.
func (b *batch) deleteTable(name string) {
	b.add(unix.NFT_MSG_DELTABLE, 0, func(e encoder) { e.String(unix.NFTA_TABLE_NAME, name) })
}
