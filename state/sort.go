package state

import (
	"encoding/binary"
	"net/netip"
)

// SortByAddr sorts values by address; those of one address stay in their order. It
// is a radix sort: the addresses of a network differ in few of their bytes, and each
// value is moved once, where [slices.SortFunc] moves it a dozen times.
func SortByAddr[T any](values []T, addr func(*T) netip.Addr) {
	if len(values) < 2 {
		return
	}
	first := sortKeyOf(addr(&values[0]))
	var differ sortKey // the bits in which any differs from the first
	order, next := make([]int32, len(values)), make([]int32, len(values))
	for i := range values {
		order[i] = int32(i)
		key := sortKeyOf(addr(&values[i]))
		for word := range differ {
			differ[word] |= key[word] ^ first[word]
		}
	}
	words := make([]uint64, len(values)) // of the keys, the one that is looked at
	for word := len(differ) - 1; word >= 0; word-- {
		if differ[word] == 0 {
			continue
		}
		for i := range values {
			words[i] = sortKeyOf(addr(&values[i]))[word]
		}
		for shift := 0; shift < 64; shift += 8 {
			if byte(differ[word]>>shift) == 0 {
				continue
			}
			var starts [257]int32
			for _, w := range words {
				starts[int(byte(w>>shift))+1]++
			}
			for i := 1; i < len(starts); i++ {
				starts[i] += starts[i-1]
			}
			for _, at := range order {
				digit := byte(words[at] >> shift)
				next[starts[digit]] = at
				starts[digit]++
			}
			order, next = next, order
		}
	}
	permute(values, order)
}

// sortKey is an address as three numbers, in the order of their weight: its length, as
// netip.Addr.Compare has it, then its bits.
type sortKey [3]uint64

func sortKeyOf(a netip.Addr) sortKey {
	b := a.As16()
	return sortKey{uint64(a.BitLen()), binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// permute moves the value at order[i] to i, round each cycle of places once. It
// leaves order the identity.
func permute[T any](values []T, order []int32) {
	for i := range order {
		if int(order[i]) == i {
			continue
		}
		first, to := values[i], int32(i)
		for order[to] != int32(i) {
			from := order[to]
			values[to], order[to] = values[from], to
			to = from
		}
		values[to], order[to] = first, to
	}
}
