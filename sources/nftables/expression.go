package nftables

import (
	"encoding/binary"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// returns ends the chain.
func returns() expr.Any { return &expr.Verdict{Kind: expr.VerdictReturn} }

func jumpTo(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain} }

func counts() expr.Any { return &expr.Counter{} }

// addTo counts in the element of the client's address, makes it if need be, and
// returns. If there is no place for it the rule ends.
func addTo(c clientSet) []expr.Any {
	return []expr.Any{
		c.family.load(clientEnd(c.direction), c.family.length),
		&expr.Dynset{SrcRegKey: 1, SetName: c.name, Operation: unix.NFT_DYNSET_OP_ADD, Exprs: []expr.Any{&expr.Counter{}}},
		returns(),
	}
}

// countSilent counts what is sent to addresses that never sent anything, and
// returns.
func countSilent(f family) []expr.Any {
	return []expr.Any{
		f.load(destination, f.length),
		&expr.Lookup{SourceRegister: 1, SetName: newClientSet(state.Tx, f, false).name, Invert: true},
		&expr.Counter{},
		returns(),
	}
}

func nativeUint32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
