package nftables

import (
	"encoding/binary"
	"errors"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
	"golang.org/x/sys/unix"
)

// sizeofNfgenmsg is that of struct nfgenmsg (linux/netfilter/nfnetlink.h), with
// which every message begins: family, version, and res_id, the ruleset's
// generation in a reply.
const sizeofNfgenmsg = 4

// request makes a message of type NFT_MSG_* about the family inet.
func request(kind netlink.HeaderType, flags netlink.HeaderFlags, attrs ...netlink.Attribute) (netlink.Message, error) {
	encoded, err := netlink.MarshalAttributes(attrs)
	return netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | kind, Flags: netlink.Request | flags},
		Data:   append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, encoded...),
	}, err
}

// name makes an attribute of type NFTA_* that holds a name.
func name(kind uint16, text string) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: nlenc.Bytes(text)}
}

// attributes gives those of a reply. Their numbers are big-endian.
func attributes(reply []byte) (*netlink.AttributeDecoder, error) {
	if len(reply) < sizeofNfgenmsg {
		return nil, errors.New("message is cut short")
	}
	attrs, err := netlink.NewAttributeDecoder(reply[sizeofNfgenmsg:])
	if err != nil {
		return nil, err
	}
	attrs.ByteOrder = binary.BigEndian
	return attrs, nil
}
