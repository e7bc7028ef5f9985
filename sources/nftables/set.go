package nftables

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
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

// parseSet decodes the body of NFT_MSG_NEWSET.
func parseSet(attrs []byte) (set, error) {
	var s set
	err := attributes(attrs, func(kind uint16, data []byte) error {
		switch kind {
		case unix.NFTA_SET_NAME:
			s.name = text(data)
		case nftaSetHandle:
			return uint64From(data, &s.handle)
		case unix.NFTA_SET_FLAGS:
			return uint32From(data, &s.flags)
		case unix.NFTA_SET_KEY_TYPE:
			return uint32From(data, &s.keyType)
		case nftaSetCount:
			return uint32From(data, &s.count)
		case unix.NFTA_SET_DESC:
			return attributes(data, func(kind uint16, data []byte) error {
				if kind == unix.NFTA_SET_DESC_SIZE {
					return uint32From(data, &s.size)
				}
				return nil
			})
		}
		return nil
	})
	return s, err
}

// Types of NFTA_SET_USERDATA, and of values for it (libnftnl/udata.h and nft's
// datatype.h). nft(8) shows keys in the byte order that is said there.
const (
	udataSetKeyByteOrder = 0
	hostEndian           = 1
	bigEndian            = 2
)

// ifnameType is nft(8)'s number of the data type of interface names.
const ifnameType = 41

// newSet makes a set and gives the number that it has in this transaction.
func (b *batch) newSet(table, name string, flags, keyType, keyLength, byteOrder, size uint32) (id uint32) {
	b.sets++
	id = b.sets
	b.add(unix.NFT_MSG_NEWSET, create, func(e encoder) {
		e.String(unix.NFTA_SET_TABLE, table)
		e.String(unix.NFTA_SET_NAME, name)
		e.Uint32(unix.NFTA_SET_FLAGS, flags)
		e.Uint32(unix.NFTA_SET_KEY_TYPE, keyType)
		e.Uint32(unix.NFTA_SET_KEY_LEN, keyLength)
		e.Uint32(unix.NFTA_SET_ID, id)
		e.nest(unix.NFTA_SET_DESC, func(e encoder) { e.Uint32(unix.NFTA_SET_DESC_SIZE, size) })
		e.Bytes(unix.NFTA_SET_USERDATA, binary.NativeEndian.AppendUint32([]byte{udataSetKeyByteOrder, 4}, byteOrder))
	})
	return id
}

// anonymous is the name of a set that is part of a rule; the kernel puts a number
// there.
const anonymous = "__set%d"

// addNames makes a set of names of interfaces for the next rule.
func (b *batch) addNames(table string, names []string) (id uint32) {
	id = b.newSet(table, anonymous, unix.NFT_SET_ANONYMOUS|unix.NFT_SET_CONSTANT, ifnameType, unix.IFNAMSIZ, hostEndian, uint32(len(names)))
	var elements []element
	for _, name := range names {
		elements = append(elements, element{key: interfaceKey(name)})
	}
	b.addElements(table, anonymous, id, elements)
	return id
}

// addIntervals makes a set of ranges of addresses for the next rule.
func (b *batch) addIntervals(table string, f family, ranges []interval) (id uint32) {
	var elements []element
	for _, r := range ranges {
		elements = append(elements, element{key: r.start.AsSlice()})
		if r.end.IsValid() {
			elements = append(elements, element{key: r.end.AsSlice(), flags: unix.NFT_SET_ELEM_INTERVAL_END})
		}
	}
	id = b.newSet(table, anonymous, unix.NFT_SET_ANONYMOUS|unix.NFT_SET_CONSTANT|unix.NFT_SET_INTERVAL,
		f.keyType, f.length, bigEndian, uint32(len(elements)))
	b.addElements(table, anonymous, id, elements)
	return id
}

// interfaceKey is a name as the kernel compares it.
func interfaceKey(name string) []byte {
	return append([]byte(name), make([]byte, unix.IFNAMSIZ-len(name))...)
}

func (b *batch) deleteSet(table, name string) {
	b.add(unix.NFT_MSG_DELSET, 0, func(e encoder) {
		e.String(unix.NFTA_SET_TABLE, table)
		e.String(unix.NFTA_SET_NAME, name)
	})
}

// element is one of a set.
type element struct {
	key     []byte
	flags   uint32 // NFT_SET_ELEM_*
	counts  bool   // has a counter
	traffic state.Traffic
}

// maxElements is how many elements a message takes: an attribute has at most
// 64 KiB, and an element up to 36 bytes.
const maxElements = 1000

func (b *batch) addElements(table, set string, id uint32, elements []element) {
	b.elements(unix.NFT_MSG_NEWSETELEM, table, set, id, elements)
}

func (b *batch) deleteElements(table, set string, elements []element) {
	b.elements(unix.NFT_MSG_DELSETELEM, table, set, 0, elements)
}

func (b *batch) elements(kind netlink.HeaderType, table, set string, id uint32, elements []element) {
	for part := range slices.Chunk(elements, maxElements) {
		b.add(kind, create, func(e encoder) {
			e.String(unix.NFTA_SET_ELEM_LIST_TABLE, table)
			e.String(unix.NFTA_SET_ELEM_LIST_SET, set)
			e.Uint32(unix.NFTA_SET_ELEM_LIST_SET_ID, id)
			e.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(e encoder) {
				for _, x := range part {
					e.nest(unix.NFTA_LIST_ELEM, func(e encoder) {
						e.nest(unix.NFTA_SET_ELEM_KEY, func(e encoder) { e.Bytes(unix.NFTA_DATA_VALUE, x.key) })
						if x.flags != 0 {
							e.Uint32(unix.NFTA_SET_ELEM_FLAGS, x.flags)
						}
					})
				}
			})
		})
	}
}

// readTraffic gives what the elements of a set count, and how many there are.
func readTraffic(k kernel, table string, s set) (traffic map[netip.Addr]state.Traffic, elements int, err error) {
	traffic = make(map[netip.Addr]state.Traffic, s.count)
	others := 0 // without counter: somebody put them there
	_, err = list(k, unix.NFT_MSG_GETSETELEM, netlink.Dump, func(e encoder) {
		e.String(unix.NFTA_SET_ELEM_LIST_TABLE, table)
		e.String(unix.NFTA_SET_ELEM_LIST_SET, s.name)
	}, func(attrs []byte) (struct{}, error) {
		return struct{}{}, eachElement(attrs, func(x element) {
			// What the kernel came upon twice, as the set grew meanwhile, has
			// counted more the second time.
			if addr, ok := netip.AddrFromSlice(x.key); ok && x.counts {
				traffic[addr] = x.traffic
			} else {
				others++
			}
		})
	})
	elements = len(traffic) + others
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("list elements of set %s in table inet %s: %w", s.name, table, err)
	case elements < int(s.count):
		// The set was rehashed under the kernel's hands, which nothing else tells.
		return nil, 0, errTorn
	}
	return traffic, elements, nil
}

// eachElement decodes the body of NFT_MSG_NEWSETELEM.
func eachElement(attrs []byte, each func(element)) error {
	return attributes(attrs, func(kind uint16, elements []byte) error {
		if kind != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return nil
		}
		return attributes(elements, func(_ uint16, attrs []byte) error {
			x, err := parseElement(attrs)
			if err == nil {
				each(x)
			}
			return err
		})
	})
}

func parseElement(attrs []byte) (element, error) {
	var x element
	err := attributes(attrs, func(kind uint16, data []byte) error {
		switch kind {
		case unix.NFTA_SET_ELEM_KEY:
			return attributes(data, func(kind uint16, value []byte) error {
				if kind == unix.NFTA_DATA_VALUE {
					x.key = value
				}
				return nil
			})
		case unix.NFTA_SET_ELEM_FLAGS:
			return uint32From(data, &x.flags)
		case unix.NFTA_SET_ELEM_EXPR:
			return x.parseExpression(0, data)
		case nftaSetElemExpressions:
			return attributes(data, x.parseExpression)
		}
		return nil
	})
	return x, err
}

func (x *element) parseExpression(_ uint16, expression []byte) error {
	name, data, err := splitExpression(expression)
	if err == nil && string(name) == "counter" && !x.counts {
		x.counts = true
		x.traffic, err = parseCounter(data)
	}
	return err
}
