package conntrack

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// attr encodes an attribute whose value is the parts in a row.
func attr(typ uint16, parts ...[]byte) []byte {
	value := bytes.Join(parts, nil)
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, value...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

// nested encodes an attribute of attributes.
func nested(typ uint16, attrs ...[]byte) []byte {
	return attr(typ|unix.NLA_F_NESTED, attrs...)
}

// tuple encodes CTA_TUPLE_ORIG or CTA_TUPLE_REPLY as the kernel orders it.
func tuple(typ uint16, protocol uint8, src, dst string) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	srcType := uint16(ctaIPv4Src)
	if s.Is6() {
		srcType = ctaIPv6Src
	}
	return nested(typ,
		nested(ctaTupleIP, attr(srcType, s.AsSlice()), attr(srcType+1, d.AsSlice())),
		nested(2, attr(1, []byte{protocol}), attr(2, []byte{0x30, 0x39}), attr(3, []byte{0, 80})))
}

// tcpInfo encodes CTA_PROTOINFO.
func tcpInfo(state uint8) []byte {
	return nested(ctaProtoInfo, nested(ctaProtoInfoTCP,
		attr(ctaProtoInfoTCPState, []byte{state}), attr(2, []byte{7}), attr(4, []byte{3, 0})))
}

// message encodes a netlink message.
func message(typ, flags uint16, seq uint32, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 4711) // our port
	b = append(b, body...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

// newFlow encodes one flow of the answer to a dump.
func newFlow(attrs ...[]byte) []byte {
	header := []byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 0}
	return message(ctNew, unix.NLM_F_MULTI, sequence, append([][]byte{header}, attrs...)...)
}

// code encodes the body of NLMSG_DONE and the beginning of that of NLMSG_ERROR.
func code(n int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }

// done encodes the end of a dump.
func done() []byte { return message(unix.NLMSG_DONE, unix.NLM_F_MULTI, sequence, code(0)) }

// captured gives what the kernel answered to a dump, see testdata/README.md.
func captured(tb testing.TB) []byte {
	tb.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		tb.Skip("testdata/flows.bin is little-endian")
	}
	b, err := os.ReadFile("testdata/flows.bin")
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// capturedFlows gives the attributes of each captured flow.
func capturedFlows(tb testing.TB) (flows [][]byte) {
	tb.Helper()
	_, err := request{answer: ctNew}.messages(captured(tb), func(attrs []byte) error {
		flows = append(flows, attrs)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return flows
}
