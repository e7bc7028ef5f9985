package nftables

import (
	"net/netip"
	"strings"

	"network-metrics-exporter/state"
)

// mark is the comment of tables, chains and the jump that are ours. The comment
// of a rule of ours in the sets layout begins with it.
const mark = "network-metrics-exporter"

// Types of what is in NFTA_*_USERDATA: 0 is the comment of a table, a chain or a
// rule alike (libnftnl/udata.h).
const (
	udataComment = 0
	// udataMark is ours alone, and says so: nft(8) neither shows it nor minds it.
	// With it go rules that stand among those of somebody else.
	udataMark = 0xe0
)

// maxComment is how long a comment may be for nft(8).
const maxComment = 128

// userdata makes what holds a comment.
func commentData(comment string) []byte {
	return append(append([]byte{udataComment, byte(len(comment) + 1)}, comment...), 0)
}

// markedData makes what holds a comment and says that the rule is ours.
func markedData(comment string) []byte {
	return append(append(commentData(comment), udataMark, byte(len(mark))), mark...)
}

// comment takes the comment from userdata.
func comment(userdata []byte) string {
	return strings.TrimSuffix(string(udata(userdata, udataComment)), "\x00")
}

// marked reports whether the userdata say that the rule is ours.
func marked(userdata []byte) bool { return string(udata(userdata, udataMark)) == mark }

// udata finds the value of a type in a list of type, length and value. Any
// program may have written anything there.
func udata(userdata []byte, wanted byte) []byte {
	for len(userdata) >= 2 {
		kind, length := userdata[0], int(userdata[1])
		if userdata = userdata[2:]; length > len(userdata) {
			break
		}
		if kind == wanted {
			return userdata[:length]
		}
		userdata = userdata[length:]
	}
	return nil
}

// clientComment is what a rule's comment says of what it counts:
// "tx_192.168.10.100" or "rx_2001:db8::1".
func clientComment(addr netip.Addr, d state.Direction) string {
	return d.String() + "_" + addr.String()
}

// parseComment reads what clientComment writes, however the address is spelt.
func parseComment(s string) (addr netip.Addr, d state.Direction, ok bool) {
	prefix, text, _ := strings.Cut(s, "_")
	switch prefix {
	case state.Rx.String():
		d = state.Rx
	case state.Tx.String():
		d = state.Tx
	default:
		return netip.Addr{}, 0, false
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, 0, false
	}
	return addr.Unmap(), d, true
}
