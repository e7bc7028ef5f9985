package nftables

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nltest"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// The library is the oracle of what attributes there are.
func FuzzAttributes(f *testing.F) {
	whole := nltest.MustMarshalAttributes([]netlink.Attribute{{Type: 1, Data: []byte("a")}, {Type: unix.NLA_F_NESTED | 2}, {Type: 3, Data: make([]byte, 9)}})
	for length := range len(whole) + 1 {
		f.Add(whole[:length])
	}
	f.Add([]byte{3, 0, 1, 0})
	f.Add([]byte{0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var got []netlink.Attribute
		err := attributes(data, func(kind uint16, data []byte) error {
			got = append(got, netlink.Attribute{Type: kind, Data: bytes.Clone(data)})
			return nil
		})
		if err != nil {
			return
		}
		want, err := netlink.UnmarshalAttributes(data)
		if err != nil {
			// It also refuses what merely lacks padding at the end.
			if len(data)%unix.NLA_ALIGNTO == 0 {
				t.Errorf("accepted what the library refuses: %v", err)
			}
			return
		}
		for i := range want {
			want[i].Length = 0
			want[i].Type &^= unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER
		}
		if len(got) != len(want) {
			t.Fatalf("%d attributes, want %d", len(got), len(want))
		}
		for i := range want {
			if got[i].Type != want[i].Type || !bytes.Equal(got[i].Data, want[i].Data) {
				t.Errorf("attribute %d is %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}

// Whatever the bytes, nothing panics, and a message that is accepted is accepted
// as the whole that it is.
func FuzzParse(f *testing.F) {
	var b batch
	b.addForwardChain(ownTable, trafficChain, ownPriority)
	b.newSet(ownTable, "client_tx", unix.NFT_SET_EVAL, 7, 4, bigEndian, setSize)
	b.addElements(ownTable, "client_tx", 1, []element{{key: []byte{192, 168, 10, 1}, flags: 1}})
	b.addRule(filterTable, forwardChain, atEnd, markedData("tx_192.168.10.1"), setRules(plan(state.Sets))[0].expressions(&b)...)
	for _, m := range b.changes {
		f.Add(m.Data[sizeofNfgenmsg:])
	}
	f.Fuzz(func(t *testing.T, attrs []byte) {
		_, chainErr := parseChain(attrs)
		_, setErr := parseSet(attrs)
		_, ruleErr := parseRule(attrs)
		_, generationErr := parseGeneration(attrs)
		elementErr := eachElement(attrs, func(element) {})
		whole := attributes(attrs, func(uint16, []byte) error { return nil })
		for _, err := range []error{chainErr, setErr, ruleErr, generationErr, elementErr} {
			if err == nil && whole != nil {
				t.Errorf("accepted: %v", whole)
			}
		}
	})
}

// What is written is read as what it was.
func TestParseWritten(t *testing.T) {
	var b batch
	b.addForwardChain(ownTable, trafficChain, -5)
	b.newSet(ownTable, "client_tx6", unix.NFT_SET_EVAL, 8, 16, bigEndian, 7)
	elements := []element{{key: []byte{1, 2, 3, 4}}, {key: []byte{5, 6, 7, 8}, flags: 1}}
	b.addElements(ownTable, "client_tx", 0, elements)
	if b.err != nil {
		t.Fatal(b.err)
	}
	unexported := cmp.AllowUnexported(chain{}, set{}, element{})
	gotChain, err := parseChain(b.changes[0].Data[sizeofNfgenmsg:])
	wantChain := chain{table: ownTable, name: trafficChain, ours: true, kind: "filter", hook: unix.NF_INET_FORWARD, priority: -5}
	if diff := cmp.Diff(wantChain, gotChain, unexported); diff != "" || err != nil {
		t.Errorf("chain, %v (-want +got):\n%s", err, diff)
	}
	gotSet, err := parseSet(b.changes[1].Data[sizeofNfgenmsg:])
	wantSet := set{name: "client_tx6", flags: unix.NFT_SET_EVAL, keyType: 8, size: 7}
	if diff := cmp.Diff(wantSet, gotSet, unexported); diff != "" || err != nil {
		t.Errorf("set, %v (-want +got):\n%s", err, diff)
	}
	var gotElements []element
	err = eachElement(b.changes[2].Data[sizeofNfgenmsg:], func(x element) { gotElements = append(gotElements, x) })
	if diff := cmp.Diff(elements, gotElements, unexported); diff != "" || err != nil {
		t.Errorf("elements, %v (-want +got):\n%s", err, diff)
	}
}

func TestReplies(t *testing.T) {
	message := func(kind netlink.HeaderType, flags netlink.HeaderFlags, sequence uint32, data ...byte) []byte {
		m := netlink.Message{Header: netlink.Header{Type: kind, Flags: flags, Sequence: sequence}, Data: data}
		m.Header.Length = uint32(unix.SizeofNlMsghdr + len(data))
		b, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	failure := func(err unix.Errno) []byte { return binary.NativeEndian.AppendUint32(nil, -uint32(err)) }
	join := func(messages ...[]byte) []byte { return bytes.Join(messages, nil) }
	const kind = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN
	part, last := message(kind, netlink.Multi, 7, 1, 2, 3, 4), message(netlink.Done, netlink.Multi, 7, 0, 0, 0, 0)
	tests := []struct {
		name     string
		datagram []byte
		replies  int
		done     bool
		err      error // nil: none; errTruncated; any other: that one
	}{
		{"parts of a dump", join(part, part), 2, false, nil},
		{"end of a dump", join(part, last), 1, true, nil},
		{"a single answer", message(kind, 0, 7, 1, 2, 3, 4), 1, true, nil},
		{"nothing after the end", join(last, part), 0, true, nil},
		{"acknowledgement", message(netlink.Error, 0, 7, 0, 0, 0, 0), 0, true, nil},
		{"error", message(netlink.Error, 0, 7, failure(unix.EPERM)...), 0, true, unix.EPERM},
		{"error at the end of a dump", message(netlink.Done, netlink.Multi, 7, failure(unix.ENOENT)...), 0, true, unix.ENOENT},
		{"error without number", message(netlink.Error, 0, 7), 0, true, errTruncated},
		{"of an earlier request", join(message(netlink.Error, 0, 6, failure(unix.EPERM)...), part), 1, false, nil},
		{"header cut short", part[:15], 0, false, errTruncated},
		{"message cut short", part[:len(part)-1], 0, false, errTruncated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			done, err := replies(tt.datagram, 7, func(netlink.Message) { n++ })
			if n != tt.replies || done != tt.done || !errors.Is(err, tt.err) {
				t.Errorf("%d replies, %t, %v, want %d, %t, %v", n, done, err, tt.replies, tt.done, tt.err)
			}
		})
	}
}
