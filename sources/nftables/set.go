package nftables

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
)

// set is one of a table of the family inet.
type set struct {
	name    string
	handle  uint64 // NFTA_SET_HANDLE: never given twice in a table
	flags   uint32 // NFT_SET_*
	keyType uint32 // nft(8)'s number of the data type
	size    uint32 // how many elements it takes; 0: any number
	count   uint32 // how many it has; 0 also if the kernel does not tell
}

// parseSet decodes the attributes of NFT_MSG_NEWSET.
func parseSet(_ uint8, attrs []byte) (set, error) {
	var s set
	var err error
	for typ, value := range netlink.Attributes(attrs, &err) {
		switch typ {
		case unix.NFTA_SET_NAME:
			s.name = value.Text()
		case nftaSetHandle:
			s.handle = value.Uint64()
		case unix.NFTA_SET_FLAGS:
			s.flags = value.Uint32()
		case unix.NFTA_SET_KEY_TYPE:
			s.keyType = value.Uint32()
		case nftaSetCount:
			s.count = value.Uint32()
		case unix.NFTA_SET_DESC:
			for typ, d := range value.Nested() {
				if typ == unix.NFTA_SET_DESC_SIZE {
					s.size = d.Uint32()
				}
			}
		}
	}
	return s, err
}

// Types of NFTA_SET_USERDATA, and of values for it (libnftnl/udata.h and nft's
// datatype.h). nft(8) shows keys in the byte order that is said there.
const (
	udataSetKeyByteOrder = 0
	hostEndian           = 1
	bigEndian            = 2
)

// Numbers that nft(8) has for data types.
const (
	protocolType      = 12 // inet_proto
	interfaceNameType = 41 // ifname
)

// newSet makes a set, for any number of elements if the size is 0, and returns the number that it has in this transaction.
func (b *batch) newSet(table, name string, flags, keyType, keyLength, byteOrder, size uint32) (id uint32) {
	b.sets++
	id = b.sets
	b.add(unix.NFT_MSG_NEWSET, create, func(e *netlink.Encoder) {
		e.Text(unix.NFTA_SET_TABLE, table)
		e.Text(unix.NFTA_SET_NAME, name)
		e.Uint32(unix.NFTA_SET_FLAGS, flags)
		e.Uint32(unix.NFTA_SET_KEY_TYPE, keyType)
		e.Uint32(unix.NFTA_SET_KEY_LEN, keyLength)
		e.Uint32(unix.NFTA_SET_ID, id)
		if size != 0 {
			e.Nested(unix.NFTA_SET_DESC, func() { e.Uint32(unix.NFTA_SET_DESC_SIZE, size) })
		}
		e.Bytes(unix.NFTA_SET_USERDATA, binary.NativeEndian.AppendUint32([]byte{udataSetKeyByteOrder, 4}, byteOrder))
	})
	return id
}

// anonymous is the name of a set that is part of a rule; the kernel puts a number
// there.
const anonymous = "__set%d"

// addAnonymous makes a set for the next rule. The flags are beside those of all
// anonymous sets.
func (b *batch) addAnonymous(table string, flags, keyType, keyLength, byteOrder uint32, elements []element) (id uint32) {
	id = b.newSet(table, anonymous, flags|unix.NFT_SET_ANONYMOUS|unix.NFT_SET_CONSTANT, keyType, keyLength, byteOrder, uint32(len(elements)))
	b.elements(unix.NFT_MSG_NEWSETELEM, table, anonymous, id, elements)
	return id
}

// addNames makes a set of names of interfaces for the next rule.
func (b *batch) addNames(table string, names []string) (id uint32) {
	var elements []element
	for _, name := range names {
		elements = append(elements, element{key: interfaceKey(name)})
	}
	return b.addAnonymous(table, 0, interfaceNameType, unix.IFNAMSIZ, hostEndian, elements)
}

// addNetworks makes the set of a family's networks.
func (b *batch) addNetworks(table string, f family, networks []netip.Prefix) {
	var elements []element
	for _, r := range intervals(networks) {
		elements = append(elements, element{key: r.start.AsSlice()})
		if r.end.IsValid() {
			elements = append(elements, element{key: r.end.AsSlice(), flags: unix.NFT_SET_ELEM_INTERVAL_END})
		}
	}
	id := b.newSet(table, f.networksName(), unix.NFT_SET_INTERVAL, f.keyType, f.length, bigEndian, 0)
	b.elements(unix.NFT_MSG_NEWSETELEM, table, f.networksName(), id, elements)
}

// interfaceKey is a name as the kernel compares it.
func interfaceKey(name string) []byte {
	return append([]byte(name), make([]byte, unix.IFNAMSIZ-len(name))...)
}

func (b *batch) deleteSet(table, name string) {
	b.add(unix.NFT_MSG_DELSET, 0, func(e *netlink.Encoder) {
		e.Text(unix.NFTA_SET_TABLE, table)
		e.Text(unix.NFTA_SET_NAME, name)
	})
}

// element is one of a set that is to be made or deleted.
type element struct {
	key    []byte
	flags  uint32 // NFT_SET_ELEM_*
	counts bool   // is made with a counter
}

// maxElements is how many elements a message takes: an attribute has at most
// 64 KiB, and an element less than 100 bytes.
const maxElements = 500

// elements changes those of a set. The id is that of a set that this transaction
// makes, or 0.
func (b *batch) elements(message uint16, table, set string, id uint32, elements []element) {
	for part := range slices.Chunk(elements, maxElements) {
		b.add(message, create, func(e *netlink.Encoder) {
			e.Text(unix.NFTA_SET_ELEM_LIST_TABLE, table)
			e.Text(unix.NFTA_SET_ELEM_LIST_SET, set)
			if id != 0 {
				e.Uint32(unix.NFTA_SET_ELEM_LIST_SET_ID, id)
			}
			e.Nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
				for _, x := range part {
					e.Nested(unix.NFTA_LIST_ELEM, func() { b.element(e, x) })
				}
			})
		})
	}
}

func (b *batch) element(e *netlink.Encoder, x element) {
	e.Nested(unix.NFTA_SET_ELEM_KEY, func() { e.Bytes(unix.NFTA_DATA_VALUE, x.key) })
	if x.flags != 0 {
		e.Uint32(unix.NFTA_SET_ELEM_FLAGS, x.flags)
	}
	if x.counts {
		data, err := expr.Marshal(unix.NFPROTO_INET, &expr.Counter{})
		b.err = errors.Join(b.err, err)
		e.Bytes(unix.NFTA_SET_ELEM_EXPR|unix.NLA_F_NESTED, data)
	}
}
