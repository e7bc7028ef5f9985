package netlink_test

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	library "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/sources/netlink/netlinktest"
)

// decoded has a field for each kind of value.
type decoded struct {
	Uint8        uint8
	Uint16       uint16
	Uint32       uint32
	Uint64       uint64
	NativeUint32 uint32
	Text         string
	Addrs        []netip.Addr
	Bytes        []byte
	Nested       []uint16 // types
}

func decode(b []byte) (d decoded, err error) {
	for typ, value := range netlink.Attributes(b, &err) {
		switch typ {
		case 1:
			d.Uint8 = value.Uint8()
		case 2:
			d.Uint16 = value.Uint16()
		case 3:
			d.Uint32 = value.Uint32()
		case 4:
			d.Uint64 = value.Uint64()
		case 5:
			d.NativeUint32 = value.NativeUint32()
		case 6:
			d.Text = value.Text()
		case 7:
			d.Addrs = append(d.Addrs, value.Addr())
		case 8:
			d.Bytes = bytes.Clone(value.Bytes)
		case 9:
			for typ := range value.Nested() {
				d.Nested = append(d.Nested, typ)
			}
		}
	}
	return d, err
}

func TestAttributes(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("192.168.10.1"), netip.MustParseAddr("fd00:10::1")}
	want := decoded{
		Uint8: 0x12, Uint16: 0x1234, Uint32: 0x12345678, Uint64: 0x123456789abcdef0, NativeUint32: 0x12345678,
		Text: "text", Addrs: addrs, Bytes: []byte{1, 2, 3, 4, 5}, Nested: []uint16{1, 2},
	}
	e := netlink.NewNfEncoder(unix.NFPROTO_INET)
	e.Uint8(1, want.Uint8)
	e.Uint16(2|unix.NLA_F_NET_BYTEORDER, want.Uint16)
	e.Uint32(3, want.Uint32)
	e.Uint64(4, want.Uint64)
	e.NativeUint32(5, want.NativeUint32)
	e.Text(6, want.Text)
	for _, a := range addrs {
		e.Bytes(7, a.AsSlice())
	}
	e.Bytes(8, want.Bytes)
	e.Nested(9, func() {
		e.Uint8(1, 0)
		e.Nested(2, func() {})
	})
	body, err := e.Body()
	if err != nil {
		t.Fatal(err)
	}
	if e.Len() != len(body) {
		t.Errorf("length %d, want %d", e.Len(), len(body))
	}
	if diff := cmp.Diff([]byte{unix.NFPROTO_INET, 0, 0, 0}, body[:netlink.SizeofNfgenmsg]); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	got, err := decode(body[netlink.SizeofNfgenmsg:])
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
		t.Errorf("decoded, %v (-want +got):\n%s", err, diff)
	}
}

func TestAttributesMalformed(t *testing.T) {
	attribute, nested := netlinktest.Attribute, netlinktest.Nested
	for _, tc := range []struct {
		name  string
		attrs []byte
		err   string
	}{
		{"shorter than its header", []byte{3, 0, 1, 0}, "malformed attribute"},
		{"of length 0", []byte{0, 0, 0, 0}, "malformed attribute"},
		{"longer than the message", []byte{0xff, 0xff, 1, 0}, "malformed attribute"},
		{"header cut short", []byte{4, 0, 1}, "malformed attribute"},
		{"nested", nested(9, []byte{3, 0, 1, 0}), "malformed attribute"},
		{"number of no bytes", attribute(1), "attribute of 0 bytes, want 1"},
		{"number of 3 bytes", attribute(3, []byte{1, 2, 3}), "attribute of 3 bytes, want 4"},
		{"number of 9 bytes", attribute(4, make([]byte, 9)), "attribute of 9 bytes, want 8"},
		{"address of 5 bytes", attribute(7, make([]byte, 5)), "address of 5 bytes"},
		{"the first of two errors", slices.Concat(attribute(2), attribute(7)), "attribute of 0 bytes, want 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := decode(tc.attrs); errorText(err) != tc.err {
				t.Errorf("error %v, want %s", err, tc.err)
			}
		})
	}
}

func TestAttributesAllocateNothing(t *testing.T) {
	attrs := netlinktest.Nested(9, netlinktest.Attribute(1, []byte{1}), netlinktest.Attribute(2, []byte{1, 2}))
	var err error
	sum := 0
	if n := testing.AllocsPerRun(100, func() {
		for _, value := range netlink.Attributes(attrs, &err) {
			for typ, value := range value.Nested() {
				if typ == 1 {
					sum += int(value.Uint8())
				}
			}
		}
	}); n != 0 || err != nil || sum == 0 {
		t.Errorf("%v allocations, sum %d, error %v", n, sum, err)
	}
}

// An attribute has 65,535 bytes at most, those that it consists of included.
func TestEncoderLimit(t *testing.T) {
	for _, tc := range []struct {
		size int
		err  string
	}{{65531, ""}, {65532, "encode attribute 7: 65536 bytes are more than 65535"}} {
		e := netlink.NewEncoder()
		e.Bytes(7|unix.NLA_F_NET_BYTEORDER, make([]byte, tc.size))
		if _, err := e.Body(); errorText(err) != tc.err {
			t.Errorf("%d bytes: error %v, want %q", tc.size, err, tc.err)
		}
	}
	e := netlink.NewEncoder()
	e.Nested(8, func() {
		for range 2 {
			e.Bytes(7, make([]byte, 40000))
		}
	})
	if _, err := e.Body(); errorText(err) != "encode attribute 8: 80012 bytes are more than 65535" {
		t.Errorf("nested: error %v", err)
	}
}

// The library is the oracle of what attributes there are.
func FuzzAttributes(f *testing.F) {
	whole := slices.Concat(netlinktest.Attribute(1, []byte("a")), netlinktest.Nested(2), netlinktest.Attribute(3, make([]byte, 9)))
	for length := range len(whole) + 1 {
		f.Add(whole[:length])
	}
	f.Add([]byte{3, 0, 1, 0})
	f.Add([]byte{0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		var got []library.Attribute
		var err error
		for typ, value := range netlink.Attributes(b, &err) {
			got = append(got, library.Attribute{Type: typ, Data: bytes.Clone(value.Bytes)})
		}
		if !bytes.Equal(before, b) {
			t.Fatal("input changed")
		}
		if _, decodeErr := decode(b); decodeErr == nil && err != nil {
			t.Errorf("decoded in spite of %v", err)
		}
		if err != nil {
			return
		}
		want, err := library.UnmarshalAttributes(b)
		if err != nil {
			// It also refuses what merely lacks padding at the end.
			if len(b)%unix.NLA_ALIGNTO == 0 {
				t.Errorf("accepted what the library refuses: %v", err)
			}
			return
		}
		for i := range want {
			want[i].Length = 0
			want[i].Type &^= unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("attributes (-library +got):\n%s", diff)
		}
	})
}

// What is encoded is decoded as what it was, by the library too.
func FuzzEncoder(f *testing.F) {
	f.Add(uint16(1), []byte("value"), "text", uint64(1)<<63)
	f.Fuzz(func(t *testing.T, typ uint16, value []byte, text string, number uint64) {
		typ &^= unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER
		text = strings.ReplaceAll(text, "\x00", "")
		e := netlink.NewEncoder()
		e.Nested(typ, func() {
			e.Bytes(typ, value)
			e.Text(typ, text)
			e.Uint64(typ, number)
		})
		body, err := e.Body()
		if err != nil {
			if len(value)+len(text) < 65000 {
				t.Error(err)
			}
			return
		}
		var values []netlink.Value
		for outer, value := range netlink.Attributes(body, &err) {
			for inner, value := range value.Nested() {
				if outer != typ || inner != typ {
					t.Errorf("types %d and %d, want %d", outer, inner, typ)
				}
				values = append(values, value)
			}
		}
		if err != nil || len(values) != 3 || !bytes.Equal(values[0].Bytes, value) || values[1].Text() != text || values[2].Uint64() != number {
			t.Errorf("%v, error %v, want %x, %q, %d", values, err, value, text, number)
		}
		if _, err := library.UnmarshalAttributes(body); err != nil {
			t.Errorf("the library refuses it: %v", err)
		}
	})
}
