package nftables

import (
	"encoding/binary"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// What Linux 6.18 says of a table inet filter with two chains on a little-endian
// machine: struct nfgenmsg, then name, number of chains, handle; and flags.
const (
	body = "\x01\x00\xbe\xef" +
		"\x0b\x00\x01\x00filter\x00\x00" +
		"\x08\x00\x03\x00\x00\x00\x00\x02" +
		"\x0c\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x05"
	flags = "\x08\x00\x02\x00\x00\x00\x00\x00"
)

func TestParseTable(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("NOT TESTED: the messages are of a little-endian machine")
	}
	for _, text := range []string{body, body + flags} {
		got, err := parseTable([]byte(text))
		if want := (table{handle: 0x105, generation: 0xbeef}); got != want || err != nil {
			t.Errorf("%q is read as %+v, %v, want %+v", text, got, err, want)
		}
	}
	for length := range len(body + flags) {
		if length == len(body) {
			continue
		}
		if got, err := parseTable([]byte(body + flags)[:length]); err == nil {
			t.Errorf("cut after %d bytes: got %+v, want an error", length, got)
		}
	}
	for _, handle := range []string{
		"\x04\x00\x04\x00",
		"\x08\x00\x04\x00\x00\x00\x00\x01",
		"\x0c\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		if got, err := parseTable([]byte(body[:4] + handle)); err == nil {
			t.Errorf("handle %q: got %+v, want an error", handle, got)
		}
	}
}

func FuzzParseTable(f *testing.F) {
	for _, length := range []int{0, 3, 4, 16, 24, len(body)} {
		f.Add([]byte(body[:length]))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseTable(data)
		if err != nil {
			return
		}
		want := table{generation: uint16(data[2])<<8 | uint16(data[3])}
		attrs, err := netlink.UnmarshalAttributes(data[4:])
		if err != nil {
			t.Fatalf("accepted what netlink refuses: %v", err)
		}
		for _, a := range attrs {
			if a.Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER) == nftaTableHandle {
				want.handle = binary.BigEndian.Uint64(a.Data)
			}
		}
		if got != want || got.handle == 0 {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}
