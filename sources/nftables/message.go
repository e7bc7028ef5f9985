package nftables

import (
	"encoding/binary"
	"errors"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// sizeofNfgenmsg is that of struct nfgenmsg (linux/netfilter/nfnetlink.h), with
// which every message begins: family, version, and res_id.
const sizeofNfgenmsg = 4

// Attributes of linux/netfilter/nf_tables.h that golang.org/x/sys/unix lacks.
// A kernel that does not know one passes it over, and never sends it.
const (
	nftaTableHandle        = 4    // Linux 4.16
	nftaTableUserdata      = 6    // Linux 5.10
	nftaChainUserdata      = 12   // Linux 5.10
	nftaSetHandle          = 16   // Linux 4.16
	nftaSetCount           = 20   // Linux 6.17
	nftaSetElemExpressions = 0x0b // Linux 5.11
)

var (
	errTruncated = errors.New("message is cut short")
	errNumber    = errors.New("number of an unexpected size")
)

// encoder writes the attributes of a message. Numbers are big-endian.
type encoder struct{ *netlink.AttributeEncoder }

// nest encodes an attribute that consists of others.
func (e encoder) nest(kind uint16, encode func(encoder)) {
	e.Nested(kind, func(inner *netlink.AttributeEncoder) error {
		encode(encoder{inner})
		return nil
	})
}

// expressions encodes what a rule does.
func (e encoder) expressions(kind uint16, list []expr.Any) {
	e.nest(kind, func(e encoder) {
		for _, x := range list {
			e.Do(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, func() ([]byte, error) { return expr.Marshal(unix.NFPROTO_INET, x) })
		}
	})
}

// message makes one about the family inet, of type NFT_MSG_*.
func message(kind netlink.HeaderType, flags netlink.HeaderFlags, encode func(encoder)) (netlink.Message, error) {
	e := encoder{netlink.NewAttributeEncoder()}
	e.ByteOrder = binary.BigEndian
	encode(e)
	attrs, err := e.Encode()
	return netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | kind, Flags: netlink.Request | flags},
		Data:   append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, attrs...),
	}, err
}

// body gives the attributes of a reply.
func body(reply []byte) ([]byte, error) {
	if len(reply) < sizeofNfgenmsg {
		return nil, errTruncated
	}
	return reply[sizeofNfgenmsg:], nil
}

// attributes calls each with the type and the payload of every attribute, until
// one gives an error. It decodes in place: a dump of all that may be counted has
// half a million.
func attributes(b []byte, each func(kind uint16, data []byte) error) error {
	for len(b) > 0 {
		if len(b) < unix.SizeofNlAttr {
			return errTruncated
		}
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofNlAttr || length > len(b) {
			return errTruncated
		}
		kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if err := each(kind, b[unix.SizeofNlAttr:length]); err != nil {
			return err
		}
		b = b[min(align(length), len(b)):]
	}
	return nil
}

// align gives where what follows an attribute or a message begins.
func align(length int) int { return (length + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1) }

// uint32From decodes an attribute of type NLA_U32.
func uint32From(data []byte, into *uint32) error {
	if len(data) != 4 {
		return errNumber
	}
	*into = binary.BigEndian.Uint32(data)
	return nil
}

// uint64From decodes an attribute of type NLA_U64.
func uint64From(data []byte, into *uint64) error {
	if len(data) != 8 {
		return errNumber
	}
	*into = binary.BigEndian.Uint64(data)
	return nil
}

// text decodes an attribute of type NLA_STRING.
func text(data []byte) string { return unix.ByteSliceToString(data) }
