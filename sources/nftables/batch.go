package nftables

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
)

// Flags of requests that make something.
const (
	create = unix.NLM_F_CREATE
	atEnd  = unix.NLM_F_CREATE | unix.NLM_F_APPEND // of rules: behind the others
)

// batch is what is to be changed, in that order.
type batch struct {
	changes []netlink.Message
	err     error
	sets    uint32 // how many were added
	// missing names what was not there and is made, for people.
	missing []string
}

func (b *batch) add(message, flags uint16, encode func(*netlink.Encoder)) {
	m, err := newMessage(unix.NFPROTO_INET, message, flags, encode)
	b.err = errors.Join(b.err, err)
	b.changes = append(b.changes, m)
}

// checkOwned refuses to change a table that only another program can change.
func (b *batch) checkOwned(c contents) error {
	if len(b.changes) > 0 && c.isOwned() {
		return fmt.Errorf(`table inet %s has "flags owner": only the program that made it can change it; choose another --accounting`, c.name)
	}
	return nil
}

// expressions encodes what a rule does.
func (b *batch) expressions(e *netlink.Encoder, typ uint16, list []expr.Any) {
	e.Nested(typ, func() {
		for _, x := range list {
			data, err := expr.Marshal(unix.NFPROTO_INET, x)
			b.err = errors.Join(b.err, err)
			e.Bytes(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, data)
		}
	})
}

// note takes down what is missing.
func (b *batch) note(format string, args ...any) {
	b.missing = append(b.missing, fmt.Sprintf(format, args...))
}

// commit makes the changes, in as few transactions as they fit into, and returns
// the generation that the ruleset then has. It fails with errOvertaken if somebody
// else made one since that generation: what was to be done has to be worked out
// again.
func (b *batch) commit(k kernel, generation uint32) (uint32, error) {
	if b.err != nil {
		return 0, b.err
	}
	for _, part := range b.transactions() {
		switch err := k.Commit(unix.NFNL_SUBSYS_NFTABLES, generation, part); {
		case errors.Is(err, unix.ERESTART):
			return 0, errOvertaken
		case errors.Is(err, unix.EBUSY):
			return 0, fmt.Errorf("change nftables: %w: rules that this program did not make use its sets or chains: delete them (nft list table inet %s)", err, ownTable)
		case errors.Is(err, unix.EOPNOTSUPP):
			return 0, fmt.Errorf("change nftables: %w (the sets need Linux 5.4: choose --accounting=rules)", err)
		case err != nil:
			return 0, fmt.Errorf("change nftables: %w", err)
		}
		generation = nextGeneration(generation)
	}
	return generation, nil
}

// transactions divides the changes. It fills the last transaction first: what has
// packets come to what was made, and no more to what goes, stands at the end and has
// to be done at once.
func (b *batch) transactions() (parts [][]netlink.Message) {
	end, size := len(b.changes), 0
	for i, change := range slices.Backward(b.changes) {
		if size += change.Size(); size > netlink.MaxBatch && i+1 < end {
			parts = append(parts, b.changes[i+1:end])
			end, size = i+1, change.Size()
		}
	}
	if end > 0 {
		parts = append(parts, b.changes[:end])
	}
	slices.Reverse(parts)
	return parts
}
