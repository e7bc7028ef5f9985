package nftables

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nltest"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

func TestComment(t *testing.T) {
	tests := []struct {
		name, userdata, want string
	}{
		{"none", "", ""},
		{"nft's", "\x00\x0btx_1.2.3.4\x00", "tx_1.2.3.4"},
		{"no NUL at the end", "\x00\x0atx_1.2.3.4", "tx_1.2.3.4"},
		{"two NULs at the end", "\x00\x03a\x00\x00", "a\x00"},
		{"NUL within", "\x00\x04a\x00b\x00", "a\x00b"},
		{"empty", "\x00\x00", ""},
		{"only NUL", "\x00\x01\x00", ""},
		{"longest", "\x00\xff" + strings.Repeat("a", 255), strings.Repeat("a", 255)},
		{"after another type", "\x01\x02xy\x00\x02b\x00", "b"},
		{"after an empty one of another type", "\x01\x00\x00\x02b\x00", "b"},
		{"first of two", "\x00\x02a\x00\x00\x02b\x00", "a"},
		{"something after it", "\x00\x02a\x00\x07\xffx", "a"},
		{"another type only", "\x01\x02a\x00", ""},
		{"not UTF-8", "\x00\x03\xff\xfe\x00", "\xff\xfe"},
		{"type alone", "\x00", ""},
		{"length alone", "\x00\x01", ""},
		{"cut short", "\x00\x05abcd", ""},
		{"cut short in another type", "\x01\x03ab", ""},
		{"one byte after another type", "\x01\x01a\x00", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := comment([]byte(tt.userdata)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzComment(f *testing.F) {
	for _, seed := range []string{"", "\x00\x0btx_1.2.3.4\x00", "\x01\x02xy\x00\x02b\x00", "\x00\x05abcd", "\x00", "\x01\x03ab"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, want := comment(data), oracle(data); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// oracle gives the comment that google/nftables finds, and none where that
// panics because the data are cut short.
func oracle(data []byte) (s string) {
	defer func() {
		if recover() != nil {
			s = ""
		}
	}()
	s, _ = userdata.GetString(slices.Clip(data), userdata.TypeComment)
	return s
}

func TestParseComment(t *testing.T) {
	tests := []struct {
		text      string
		addr      string // "": refused
		direction state.Direction
	}{
		{"tx_192.168.10.100", "192.168.10.100", state.Tx},
		{"rx_192.168.10.100", "192.168.10.100", state.Rx},
		{"rx_2001:db8::1", "2001:db8::1", state.Rx},
		{"tx_2001:DB8:0:0::1", "2001:db8::1", state.Tx},
		{"tx_::ffff:192.168.10.100", "192.168.10.100", state.Tx},
		{"tx_0.0.0.0", "0.0.0.0", state.Tx},
		{"tx_::", "::", state.Tx},
		{text: ""},
		{text: "_"},
		{text: "tx"},
		{text: "tx_"},
		{text: "tx192.168.10.100"},
		{text: "tx-192.168.10.100"},
		{text: "tx__192.168.10.100"},
		{text: "tx_192.168.10"},
		{text: "tx_192.168.10.256"},
		{text: "tx_192.168.010.1"},
		{text: "tx_192.168.10.0/24"},
		{text: "tx_192.168.10.100 "},
		{text: "tx_ 192.168.10.100"},
		{text: " tx_192.168.10.100"},
		{text: "tx_192.168.10.100\x00"},
		{text: "tx_192.168.10.100:80"},
		{text: "tx_[2001:db8::1]"},
		{text: "tx_2001:db8:::1"},
		{text: "tx_fe80::1%br-lan"},
		{text: "tx_fe80::1%"},
		{text: "tx_phone"},
		{text: "TX_192.168.10.100"},
		{text: "Tx_192.168.10.100"},
		{text: "dx_192.168.10.100"},
		{text: "192.168.10.100"},
		{text: "192.168.10.100_tx"},
		{text: "my tx_192.168.10.100"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			var want netip.Addr
			if tt.addr != "" {
				want = netip.MustParseAddr(tt.addr)
			}
			addr, d, ok := parseComment(tt.text)
			if addr != want || d != tt.direction || ok != want.IsValid() {
				t.Errorf("got %v, %v, %t, want %v, %v", addr, d, ok, want, tt.direction)
			}
		})
	}
}

// What is accepted is an address as the other sources have it, and the
// comment written anew means the same.
func FuzzParseComment(f *testing.F) {
	for _, seed := range []string{"", "tx_", "tx_192.168.10.100", "rx_2001:db8::1", "tx_fe80::1%br-lan", "tx_::ffff:1.2.3.4", "TX_::"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		addr, d, ok := parseComment(text)
		if !ok {
			if addr.IsValid() || d != 0 {
				t.Errorf("refused, with %v, %v", addr, d)
			}
			return
		}
		if !addr.IsValid() || addr.Zone() != "" || addr.Is4In6() {
			t.Errorf("accepted %v", addr)
		}
		again := d.String() + "_" + addr.String()
		if addr2, d2, ok := parseComment(again); addr2 != addr || d2 != d || !ok {
			t.Errorf("read as %v, %v; %q is read as %v, %v, %t", addr, d, again, addr2, d2, ok)
		}
	})
}

// ruleBody makes the body of NFT_MSG_NEWRULE, as little of it as is read.
func ruleBody(tb testing.TB, handle uint64, userdata string, expressions ...netlink.Attribute) []byte {
	tb.Helper()
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_RULE_HANDLE, Data: binary.BigEndian.AppendUint64(nil, handle)},
		{Type: unix.NFTA_RULE_EXPRESSIONS | netlink.Nested, Data: nltest.MustMarshalAttributes(expressions)},
		{Type: unix.NFTA_RULE_USERDATA, Data: []byte(userdata)},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return attrs
}

// expression makes an element of a list of expressions.
func expression(kind string, data ...netlink.Attribute) netlink.Attribute {
	return netlink.Attribute{Type: unix.NFTA_LIST_ELEM | netlink.Nested, Data: nltest.MustMarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_EXPR_NAME, Data: []byte(kind + "\x00")},
		{Type: unix.NFTA_EXPR_DATA | netlink.Nested, Data: nltest.MustMarshalAttributes(data)},
	})}
}

// counting makes a counter.
func counting(bytes, packets uint64) netlink.Attribute {
	return expression("counter",
		netlink.Attribute{Type: unix.NFTA_COUNTER_BYTES, Data: binary.BigEndian.AppendUint64(nil, bytes)},
		netlink.Attribute{Type: unix.NFTA_COUNTER_PACKETS, Data: binary.BigEndian.AppendUint64(nil, packets)})
}

func TestParseRule(t *testing.T) {
	other := expression("unheard-of", netlink.Attribute{Type: unix.NFTA_COUNTER_BYTES, Data: []byte{1}})
	for _, test := range []struct {
		name        string
		expressions []netlink.Attribute
		want        *state.Traffic
	}{
		{"no expressions", nil, nil},
		{"no counter", []netlink.Attribute{other}, nil},
		{"a counter after others", []netlink.Attribute{other, other, counting(1<<63, 2)}, &state.Traffic{Bytes: 1 << 63, Packets: 2}},
		{"the first of two counters", []netlink.Attribute{counting(1, 2), counting(3, 4)}, &state.Traffic{Bytes: 1, Packets: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := new(ruleParser).parse(0, ruleBody(t, 7, "\x00\x02a\x00", test.expressions...))
			if err != nil {
				t.Fatal(err)
			}
			want := rule{handle: 7, comment: "a", counts: test.want != nil}
			if test.want != nil {
				want.traffic = *test.want
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(rule{}, client{}), equal); diff != "" {
				t.Errorf("rule (-want +got):\n%s", diff)
			}
		})
	}
	for _, bad := range []netlink.Attribute{
		expression("counter", netlink.Attribute{Type: unix.NFTA_COUNTER_BYTES, Data: []byte{1}}),
		{Type: unix.NFTA_LIST_ELEM, Data: []byte{1}},
	} {
		if got, err := new(ruleParser).parse(0, ruleBody(t, 7, "", bad)); err == nil {
			t.Errorf("%v: got %+v, want an error", bad, got)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	whole := ruleBody(f, 7, "\x00\x02a\x00", expression("unheard-of"), counting(1, 2))
	for length := range len(whole) + 1 {
		f.Add(whole[:length])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := new(ruleParser).parse(0, body)
		if err != nil {
			return
		}
		attrs, err := netlink.UnmarshalAttributes(body)
		if err != nil {
			t.Fatalf("accepted what the library refuses: %v", err)
		}
		var handle uint64
		for _, a := range attrs {
			if a.Type&^(netlink.Nested|netlink.NetByteOrder) == unix.NFTA_RULE_HANDLE {
				handle = binary.BigEndian.Uint64(a.Data)
			}
		}
		if got.handle != handle {
			t.Errorf("handle %d, want %d", got.handle, handle)
		}
	})
}

// A program that takes packets out of a queue may accept them, as nobody can see.
func TestParseQueue(t *testing.T) {
	for name, want := range map[string]bool{"queue": true, "counter": false} {
		got, err := new(ruleParser).parse(0, ruleBody(t, 7, "", expression(name)))
		if err != nil || got.accepts != want {
			t.Errorf("%s: %v, accepts %t, want %t", name, err, got.accepts, want)
		}
	}
}
