package nftables

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Flags of requests that make something.
const (
	create = netlink.Create
	atEnd  = netlink.Create | netlink.Append // of rules: behind the others
)

// maxBatch bounds the bytes of a transaction: less than net.core.wmem_max, up to
// which anyone may have a socket send. The sets layout takes that much only for
// 2,000 networks: it is made at once.
const maxBatch = 192 << 10

// batch is what is to be changed, in that order.
type batch struct {
	changes []netlink.Message
	err     error
	sets    uint32 // how many were added
}

func (b *batch) add(kind netlink.HeaderType, flags netlink.HeaderFlags, encode func(encoder)) {
	m, err := message(kind, flags, encode)
	b.err = errors.Join(b.err, err)
	b.changes = append(b.changes, m)
}

// commit makes the changes, in as few transactions as they fit into. It fails
// with errTorn if somebody else made one since that generation: what was to be
// done has to be worked out again.
func (b *batch) commit(k kernel, generation uint32) error {
	if b.err != nil {
		return b.err
	}
	for rest := b.changes; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && (n == 0 || size+len(rest[n].Data) <= maxBatch) {
			size += unix.SizeofNlMsghdr + len(rest[n].Data)
			n++
		}
		switch err := k.commit(generation, rest[:n]); {
		case errors.Is(err, unix.ERESTART):
			return errTorn
		case errors.Is(err, unix.EBUSY):
			return fmt.Errorf("change nftables: %w: rules of somebody else use what is to be taken away (nft list table inet %s)", err, ownTable)
		case err != nil:
			return fmt.Errorf("change nftables: %w", err)
		}
		rest = rest[n:]
		// The kernel passes 0 over, which stands for any (nf_tables_commit).
		generation = max(generation+1, 1)
	}
	return nil
}
