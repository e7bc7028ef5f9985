package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// table is what tells one state of a table from another one.
type table struct {
	handle uint64 // NFTA_TABLE_HANDLE: never given twice in a boot
	// generation is of the whole ruleset: the lower 16 bits of a number that
	// each change adds to.
	generation uint16
}

// nftaTableHandle is NFTA_TABLE_HANDLE of linux/netfilter/nf_tables.h, since
// Linux 4.16.
const nftaTableHandle = 4

// readTable asks for the table. google/nftables gives neither handle nor
// generation.
func readTable(ask execute) (table, error) {
	question, err := request(unix.NFT_MSG_GETTABLE, 0, name(unix.NFTA_TABLE_NAME, tableName))
	if err != nil {
		return table{}, err
	}
	replies, err := ask(question)
	switch {
	case errors.Is(err, unix.ENOENT):
		return table{}, errNoChain
	case err == nil && len(replies) != 1:
		err = fmt.Errorf("%d replies, want 1", len(replies))
	}
	var t table
	if err == nil {
		t, err = parseTable(replies[0].Data)
	}
	if err != nil {
		return table{}, fmt.Errorf("read table inet %s: %w", tableName, err)
	}
	return t, nil
}

// parseTable decodes the body of NFT_MSG_NEWTABLE.
func parseTable(body []byte) (table, error) {
	attrs, err := attributes(body)
	if err != nil {
		return table{}, err
	}
	t := table{generation: binary.BigEndian.Uint16(body[2:])}
	for attrs.Next() {
		if attrs.Type() == nftaTableHandle {
			t.handle = attrs.Uint64()
		}
	}
	if err := attrs.Err(); err != nil {
		return table{}, err
	}
	if t.handle == 0 {
		return table{}, errors.New("no handle, which Linux 4.16 and later give")
	}
	return t, nil
}
