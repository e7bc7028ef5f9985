package nftables

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"

	"network-metrics-exporter/state"
)

// programName is the comment of tables and chains that are ours. The comments of
// rules of ours begin with it, but for those that count a client.
const programName = "network-metrics-exporter"

// Types of what is in NFTA_*_USERDATA: 0 is the comment of a table, a chain or a
// rule alike (libnftnl/udata.h).
const (
	udataComment = 0
	// udataHidden is ours alone, and says so: nft(8) neither shows it nor minds it.
	// With it go rules that stand among those of somebody else.
	udataHidden = 0xe0
)

// maxComment is how long a comment may be for nft(8).
const maxComment = 128

// commentData makes userdata that hold a comment.
func commentData(comment string) []byte {
	return append(append([]byte{udataComment, byte(len(comment) + 1)}, comment...), 0)
}

// markedData makes userdata that hold a comment and, for nobody but us, another.
func markedData(comment, hidden string) []byte {
	return append(append(commentData(comment), udataHidden, byte(len(hidden))), hidden...)
}

// comment takes the comment from userdata.
func comment(userdata []byte) string {
	return strings.TrimSuffix(string(udata(userdata, udataComment)), "\x00")
}

// isOurs reports whether a comment is one of those that begin with our name.
func isOurs(comment string) bool {
	rest, ok := strings.CutPrefix(comment, programName)
	return ok && (rest == "" || rest[0] == ' ')
}

// ruleComment says what a rule is for, so that the next run can tell by it whether
// that is still what is wanted: words that are the same in every plan, then what
// the plan decides. If that is too long for a comment, a digest stands for it.
func ruleComment(room int, words string, decided []string) string {
	long := strings.Join(append([]string{words}, decided...), " ")
	if len(long) <= room {
		return long
	}
	digest := fnv.New64a()
	digest.Write([]byte(long))
	return fmt.Sprintf("%s %016x", words, digest.Sum64())
}

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
