package nftables

import (
	"encoding/binary"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// What Linux 6.18 says of a table inet filter with two chains on a little-endian
// machine: name, number of chains, handle; and flags.
const (
	tableAttrs = "\x0b\x00\x01\x00filter\x00\x00" +
		"\x08\x00\x03\x00\x00\x00\x00\x02" +
		"\x0c\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x05"
	tableFlags = "\x08\x00\x02\x00\x00\x00\x00\x00"
)

func TestParseTable(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("NOT TESTED: the messages are of a little-endian machine")
	}
	for _, text := range []string{tableAttrs, tableAttrs + tableFlags} {
		got, err := parseTable(unix.NFPROTO_INET, []byte(text))
		if want := (table{family: unix.NFPROTO_INET, name: "filter", use: 2, handle: 0x105}); got != want || err != nil {
			t.Errorf("%q is read as %+v, %v, want %+v", text, got, err, want)
		}
	}
	for length := range len(tableAttrs + tableFlags) {
		if length == len(tableAttrs) {
			continue
		}
		if got, err := parseTable(unix.NFPROTO_INET, []byte(tableAttrs + tableFlags)[:length]); err == nil {
			t.Errorf("cut after %d bytes: got %+v, want an error", length, got)
		}
	}
	for _, handle := range []string{
		"\x04\x00\x04\x00",
		"\x08\x00\x04\x00\x00\x00\x00\x01",
		"\x0c\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		if got, err := parseTable(unix.NFPROTO_INET, []byte(handle)); err == nil {
			t.Errorf("handle %q: got %+v, want an error", handle, got)
		}
	}
}

func FuzzParseTable(f *testing.F) {
	for _, length := range []int{0, 3, 12, 20, len(tableAttrs)} {
		f.Add([]byte(tableAttrs[:length]))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseTable(unix.NFPROTO_INET, data)
		if err != nil {
			return
		}
		attrs, err := netlink.UnmarshalAttributes(data)
		if err != nil {
			t.Fatalf("accepted what netlink refuses: %v", err)
		}
		var want uint64
		for _, a := range attrs {
			if a.Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER) == nftaTableHandle {
				want = binary.BigEndian.Uint64(a.Data)
			}
		}
		if got.handle != want || want == 0 {
			t.Errorf("got handle %d, want %d", got.handle, want)
		}
	})
}
