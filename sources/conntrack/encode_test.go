package conntrack

import (
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/sources/netlink/netlinktest"
)

// attr encodes an attribute, nested one that consists of attributes.
var attr, nested = netlinktest.Attribute, netlinktest.Nested

// tupleAttr encodes CTA_TUPLE_ORIG or CTA_TUPLE_REPLY as the kernel orders it.
func tupleAttr(typ uint16, protocol uint8, src, dst string) []byte {
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

// status encodes CTA_STATUS.
func status(bits uint32) []byte {
	return attr(ctaStatus, binary.BigEndian.AppendUint32(nil, bits))
}

// counters encodes CTA_COUNTERS_ORIG or CTA_COUNTERS_REPLY.
func counters(typ uint16, packets, bytes uint64) []byte {
	return nested(typ,
		attr(ctaCountersPackets, binary.BigEndian.AppendUint64(nil, packets)),
		attr(ctaCountersBytes, binary.BigEndian.AppendUint64(nil, bytes)))
}

// newFlow encodes one flow of the answer to a dump.
func newFlow(attrs ...[]byte) []byte {
	header := []byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 0}
	return netlinktest.Message(ctNew, unix.NLM_F_MULTI, 1, append([][]byte{header}, attrs...)...)
}

// captured returns what the kernel answered to a dump, see testdata/README.md.
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

// connect returns a connection to a kernel that answers with these datagrams.
func connect(tb testing.TB, datagrams ...netlinktest.Datagram) *netlink.Conn {
	tb.Helper()
	conn, err := netlink.NewConn(netlinktest.Open(&netlinktest.Socket{Answer: datagrams}))
	if err != nil {
		tb.Fatal(err)
	}
	return conn
}

// capturedFlows returns the attributes of each captured flow.
func capturedFlows(tb testing.TB) (flows [][]byte) {
	tb.Helper()
	err := connect(tb, netlinktest.Datagram{Bytes: captured(tb)}).Dump(netlink.Message{}, ctNew, func(body []byte) error {
		flows = append(flows, slices.Clone(body[netlink.SizeofNfgenmsg:]))
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return flows
}
