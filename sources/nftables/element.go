package nftables

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
)

// setCounters is what the elements of a client set count.
type setCounters struct {
	counters []state.Counter // sorted by address
	plain    []netip.Addr    // those without a counter, which somebody else put there
}

// elements is how many there are.
func (s *setCounters) elements() int { return len(s.counters) + len(s.plain) }

// lacking returns those addresses of a family that the set has no element for.
func (s *setCounters) lacking(addrs []netip.Addr, of family) (lacking []netip.Addr) {
	next := 0 // as most often both are sorted
	for _, addr := range addrs {
		if familyOf(addr) != of {
			continue
		}
		at, found := next, next < len(s.counters) && s.counters[next].Addr == addr
		if !found {
			at, found = slices.BinarySearchFunc(s.counters, addr, func(c state.Counter, addr netip.Addr) int { return c.Addr.Compare(addr) })
		}
		if found {
			next = at + 1
		} else if !slices.Contains(s.plain, addr) {
			lacking = append(lacking, addr)
		}
	}
	return lacking
}

// readSet reads the counters of a client set. Known are those that the last run
// read, of whatever set: an element of theirs that is missing in the dump is asked
// for by itself. For nothing tells of all dumps that are not whole: while the hash
// table of a set grows or shrinks, which happens some time after elements came or
// went, a dump misses elements without NLM_F_DUMP_INTR and in the same generation.
// Their number tells of most, if the kernel gives it, but not where new ones came
// meanwhile. To find a single element the kernel looks into both tables.
func readSet(k kernel, table string, template state.Counter, s set, known []state.Counter) (setCounters, error) {
	var read setCounters
	question, err := elementQuestion(table, s.name, nil)
	if err != nil {
		return read, err
	}
	expected := 0
	for _, c := range known {
		if c.ID == template.ID {
			expected++
		}
	}
	err = netlink.Retry(func() error {
		read = setCounters{counters: make([]state.Counter, 0, expected)}
		return k.Dump(question, messageType(unix.NFT_MSG_NEWSETELEM), func(body []byte) error {
			return read.add(body, template)
		})
	})
	if err == nil {
		read.sort()
		err = read.addMissing(k, table, template, s, known)
	}
	if err == nil && read.elements() < int(s.count) {
		err = netlink.ErrTorn
	}
	if err != nil {
		return read, fmt.Errorf("list elements of set %s in table inet %s: %w", s.name, table, err)
	}
	return read, nil
}

// elementQuestion asks for one element, or with a dump for all if the key is nil.
func elementQuestion(table, set string, key []byte) (netlink.Message, error) {
	return newMessage(unix.NFPROTO_INET, unix.NFT_MSG_GETSETELEM, 0, func(e *netlink.Encoder) {
		e.Text(unix.NFTA_SET_ELEM_LIST_TABLE, table)
		e.Text(unix.NFTA_SET_ELEM_LIST_SET, set)
		if key == nil {
			return
		}
		e.Nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
			e.Nested(unix.NFTA_LIST_ELEM, func() {
				e.Nested(unix.NFTA_SET_ELEM_KEY, func() { e.Bytes(unix.NFTA_DATA_VALUE, key) })
			})
		})
	})
}

// add decodes NFT_MSG_NEWSETELEM.
func (s *setCounters) add(body []byte, template state.Counter) error {
	_, attrs, err := splitBody(body)
	for typ, value := range netlink.Attributes(attrs, &err) {
		if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			continue
		}
		for _, element := range value.Nested() {
			if c, counts := parseElement(element, template); counts {
				s.counters = append(s.counters, c)
			} else {
				s.plain = append(s.plain, c.Addr)
			}
		}
	}
	return err
}

// parseElement decodes an element whose key is an address. Of several counters,
// all of which count the same, the first is taken.
func parseElement(element netlink.Value, template state.Counter) (c state.Counter, counts bool) {
	c = template
	counter := func(expression netlink.Value) {
		if name, data := splitExpression(expression); string(name) == "counter" && !counts {
			c.Traffic, counts = parseCounter(data), true
		}
	}
	for typ, value := range element.Nested() {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			for typ, key := range value.Nested() {
				if typ == unix.NFTA_DATA_VALUE {
					c.Addr = key.Addr()
				}
			}
		case unix.NFTA_SET_ELEM_EXPR:
			counter(value)
		case nftaSetElemExpressions:
			for _, expression := range value.Nested() {
				counter(expression)
			}
		}
	}
	return c, counts && c.Addr.IsValid()
}

// sort sorts by address. What the kernel came upon twice, as the set grew
// meanwhile, has counted more the second time.
func (s *setCounters) sort() {
	state.SortByAddr(s.counters, func(c *state.Counter) netip.Addr { return c.Addr })
	sorted := s.counters[:0]
	for _, c := range s.counters {
		if n := len(sorted); n == 0 || sorted[n-1].Addr != c.Addr {
			sorted = append(sorted, c)
		} else if c.Packets > sorted[n-1].Packets {
			sorted[n-1] = c
		}
	}
	s.counters = sorted
}

// addMissing adds the elements that the last run knew, that are there and that the
// dump missed.
func (s *setCounters) addMissing(k kernel, table string, template state.Counter, of set, known []state.Counter) error {
	found, next := len(s.counters), 0
	for _, c := range known {
		if c.ID != template.ID || !c.Addr.IsValid() {
			continue
		}
		// Both are sorted.
		for next < found && s.counters[next].Addr.Less(c.Addr) {
			next++
		}
		if next < found && s.counters[next].Addr == c.Addr {
			continue
		}
		question, err := elementQuestion(table, of.name, c.Addr.AsSlice())
		if err != nil {
			return err
		}
		body, err := k.Get(question, messageType(unix.NFT_MSG_NEWSETELEM))
		if errors.Is(err, unix.ENOENT) {
			continue // somebody deleted it
		}
		if err == nil {
			err = s.add(body, template)
		}
		if err != nil {
			return fmt.Errorf("get element %v: %w", c.Addr, err)
		}
	}
	if len(s.counters) > found {
		s.sort()
	}
	return nil
}
