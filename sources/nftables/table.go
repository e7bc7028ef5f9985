package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// table is what tells one state of a table from another one.
type table struct {
	handle uint64 // NFTA_TABLE_HANDLE: never given twice in a boot
	// generation is of the whole ruleset: the lower 16 bits of a number that
	// each change adds to (nfgenmsg.res_id).
	generation uint16
}

// nftaTableHandle is NFTA_TABLE_HANDLE of linux/netfilter/nf_tables.h, since
// Linux 4.16.
const nftaTableHandle = 4

// readTable asks for a table of the family inet. google/nftables gives neither
// handle nor generation.
func readTable(name string) (table, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return table{}, fmt.Errorf("open nftables: %w", err)
	}
	defer conn.Close()
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_TABLE_NAME, Data: []byte(name + "\x00")}})
	if err != nil {
		return table{}, err
	}
	replies, err := conn.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE,
			Flags: netlink.Request,
		},
		Data: append([]byte{byte(nftables.TableFamilyINet), unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	switch {
	case errors.Is(err, unix.ENOENT):
		return table{}, fmt.Errorf("find chain %s in table inet %s: %w", chainName, name, errNoChain)
	case err != nil:
		return table{}, fmt.Errorf("read table inet %s: %w", name, err)
	case len(replies) != 1:
		return table{}, fmt.Errorf("read table inet %s: %d replies, want 1", name, len(replies))
	}
	t, err := parseTable(replies[0].Data)
	if err != nil {
		return table{}, fmt.Errorf("read table inet %s: %w", name, err)
	}
	return t, nil
}

// parseTable decodes the body of NFT_MSG_NEWTABLE: struct nfgenmsg
// (linux/netfilter/nfnetlink.h) and attributes.
func parseTable(body []byte) (table, error) {
	const header = 4
	if len(body) < header {
		return table{}, errors.New("message is cut short")
	}
	attrs, err := netlink.NewAttributeDecoder(body[header:])
	if err != nil {
		return table{}, err
	}
	attrs.ByteOrder = binary.BigEndian
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
