package state

import (
	"cmp"
	"net/netip"
	"slices"
)

// maxClients bounds the addresses that are remembered, as devices may make up a
// new one each day, and hostile ones each second. It is twice what two sets of
// the kernel's hold.
const maxClients = 1 << 17

// bound forgets those who have been away for longest, if more than most are
// known. Who is in the metrics stays, and who has counters in the kernel: what
// these show would be taken for new.
func (l *Ledger) bound(most int, shown []netip.Addr) {
	excess := len(l.Clients) - most
	if excess <= 0 {
		return
	}
	var away []netip.Addr
	for addr, c := range l.Clients {
		_, own := slices.BinarySearchFunc(shown, addr, netip.Addr.Compare)
		if !own && len(c.Counted[Rx])+len(c.Counted[Tx]) == 0 {
			away = append(away, addr)
		}
	}
	slices.SortFunc(away, func(a, b netip.Addr) int {
		x, y := l.Clients[a], l.Clients[b]
		return cmp.Or(x.lastMet().Compare(y.lastMet()), a.Compare(b))
	})
	for _, addr := range away[:min(excess, len(away))] {
		delete(l.Clients, addr)
	}
}
