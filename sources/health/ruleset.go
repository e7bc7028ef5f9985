package health

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// place is where an object of nftables is.
type place struct {
	family       uint8 // NFPROTO_*
	table, chain string
}

func (p place) String() string {
	families := map[uint8]string{unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6",
		unix.NFPROTO_ARP: "arp", unix.NFPROTO_BRIDGE: "bridge", unix.NFPROTO_NETDEV: "netdev"}
	text := families[p.family] + " " + p.table
	if p.chain != "" {
		text += " " + p.chain
	}
	return text
}

// ruleset is what is needed of everything that nftables has.
type ruleset struct {
	chains     map[place]chain
	rules      []rule // in the order in which packets meet them, chain by chain
	sets       map[named]bool
	flowtables []named
}

// named is an object of a table, place.chain being empty.
type named struct {
	place
	name string
}

type chain struct {
	forward  bool // a base chain of the hook forward
	priority int32
}

type rule struct {
	place
	comment string
	counter bool
	jump    string // the chain that it jumps or goes to
	passes  bool   // whether the rules below never see some packets that may be accepted
}

// errTorn tells that the ruleset was changed while it was read.
var errTorn = errors.New("the ruleset of nftables was changed meanwhile")

// readRuleset reads all tables of all families.
func readRuleset() (ruleset, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return ruleset{}, fmt.Errorf("open nftables: %w", err)
	}
	defer conn.Close()
	var r ruleset
	for range 5 {
		r = ruleset{chains: make(map[place]chain), sets: make(map[named]bool)}
		if err = r.read(conn); !errors.Is(err, errTorn) {
			break
		}
	}
	return r, err
}

func (r *ruleset) read(conn *netlink.Conn) error {
	for _, kind := range []struct {
		get netlink.HeaderType
		add func(family uint8, attrs *netlink.AttributeDecoder)
	}{
		{unix.NFT_MSG_GETCHAIN, r.addChain},
		{unix.NFT_MSG_GETRULE, r.addRule},
		{unix.NFT_MSG_GETSET, r.addSet},
		{unix.NFT_MSG_GETFLOWTABLE, r.addFlowtable},
	} {
		if err := dump(conn, kind.get, kind.add); err != nil {
			return err
		}
	}
	return nil
}

// dump asks for all objects of a kind.
func dump(conn *netlink.Conn, kind netlink.HeaderType, add func(family uint8, attrs *netlink.AttributeDecoder)) error {
	replies, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | kind, Flags: netlink.Request | netlink.Dump},
		Data:   []byte{unix.NFPROTO_UNSPEC, unix.NFNETLINK_V0, 0, 0}, // struct nfgenmsg
	})
	if err != nil {
		return fmt.Errorf("list nftables: %w", err)
	}
	for _, m := range replies {
		if m.Header.Flags&netlink.DumpInterrupted != 0 {
			return errTorn
		}
		if len(m.Data) < 4 {
			return errors.New("list nftables: message is cut short")
		}
		attrs, err := netlink.NewAttributeDecoder(m.Data[4:])
		if err != nil {
			return fmt.Errorf("list nftables: %w", err)
		}
		attrs.ByteOrder = binary.BigEndian
		add(m.Data[0], attrs)
		if err := attrs.Err(); err != nil {
			return fmt.Errorf("list nftables: %w", err)
		}
	}
	return nil
}

func (r *ruleset) addChain(family uint8, attrs *netlink.AttributeDecoder) {
	at, c := place{family: family}, chain{}
	for attrs.Next() {
		switch attrs.Type() {
		case unix.NFTA_CHAIN_TABLE:
			at.table = attrs.String()
		case unix.NFTA_CHAIN_NAME:
			at.chain = attrs.String()
		case unix.NFTA_CHAIN_HOOK:
			attrs.Nested(func(hook *netlink.AttributeDecoder) error {
				for hook.Next() {
					switch hook.Type() {
					case unix.NFTA_HOOK_HOOKNUM:
						c.forward = hook.Uint32() == unix.NF_INET_FORWARD
					case unix.NFTA_HOOK_PRIORITY:
						c.priority = int32(hook.Uint32())
					}
				}
				return nil
			})
		}
	}
	r.chains[at] = c
}

func (r *ruleset) addSet(family uint8, attrs *netlink.AttributeDecoder) {
	r.sets[parseNamed(family, attrs)] = true
}

func (r *ruleset) addFlowtable(family uint8, attrs *netlink.AttributeDecoder) {
	r.flowtables = append(r.flowtables, parseNamed(family, attrs))
}

// NFTA_SET_TABLE and _NAME, and so NFTA_FLOWTABLE_TABLE and _NAME, of
// linux/netfilter/nf_tables.h.
const (
	nftaTable = 1
	nftaName  = 2
)

func parseNamed(family uint8, attrs *netlink.AttributeDecoder) named {
	n := named{place: place{family: family}}
	for attrs.Next() {
		switch attrs.Type() {
		case nftaTable:
			n.table = attrs.String()
		case nftaName:
			n.name = attrs.String()
		}
	}
	return n
}

func (r *ruleset) addRule(family uint8, attrs *netlink.AttributeDecoder) {
	u := rule{place: place{family: family}}
	for attrs.Next() {
		switch attrs.Type() {
		case unix.NFTA_RULE_TABLE:
			u.table = attrs.String()
		case unix.NFTA_RULE_CHAIN:
			u.chain = attrs.String()
		case unix.NFTA_RULE_USERDATA:
			u.comment = comment(attrs.Bytes())
		case unix.NFTA_RULE_EXPRESSIONS:
			attrs.Nested(func(list *netlink.AttributeDecoder) error {
				for list.Next() {
					list.Nested(u.addExpression)
				}
				return nil
			})
		}
	}
	r.rules = append(r.rules, u)
}

// addExpression looks for what counts and for what ends the way of a packet.
func (u *rule) addExpression(expression *netlink.AttributeDecoder) error {
	var kind string
	for expression.Next() {
		switch expression.Type() {
		case unix.NFTA_EXPR_NAME:
			kind = expression.String()
			u.counter = u.counter || kind == "counter"
			u.passes = u.passes || kind == "queue" // whose program may accept
		case unix.NFTA_EXPR_DATA:
			switch kind {
			case "immediate":
				expression.Nested(u.addImmediate)
			case "lookup":
				expression.Nested(u.addLookup)
			}
		}
	}
	return nil
}

func (u *rule) addImmediate(immediate *netlink.AttributeDecoder) error {
	for immediate.Next() {
		if immediate.Type() != unix.NFTA_IMMEDIATE_DATA {
			continue
		}
		immediate.Nested(func(data *netlink.AttributeDecoder) error {
			for data.Next() {
				if data.Type() == unix.NFTA_DATA_VERDICT {
					data.Nested(u.addVerdict)
				}
			}
			return nil
		})
	}
	return nil
}

func (u *rule) addVerdict(verdict *netlink.AttributeDecoder) error {
	for verdict.Next() {
		switch verdict.Type() {
		case unix.NFTA_VERDICT_CODE:
			code := int32(verdict.Uint32())
			u.passes = u.passes || code != unix.NFT_CONTINUE && code != nfDrop
		case unix.NFTA_VERDICT_CHAIN:
			u.jump = verdict.String()
		}
	}
	return nil
}

// nfDrop is NF_DROP of linux/netfilter.h.
const nfDrop = 0

// addLookup looks for a verdict map, which may give any verdict.
func (u *rule) addLookup(lookup *netlink.AttributeDecoder) error {
	for lookup.Next() {
		if lookup.Type() == unix.NFTA_LOOKUP_DREG && lookup.Uint32() == unix.NFT_REG_VERDICT {
			u.passes = true
		}
	}
	return nil
}

// comment takes the comment from NFTA_RULE_USERDATA: a list of type, length and
// value, in which type 0 is the comment (NFTNL_UDATA_RULE_COMMENT in
// libnftnl/udata.h). Any program may have written anything there.
func comment(userdata []byte) string {
	for len(userdata) >= 2 && len(userdata) >= 2+int(userdata[1]) {
		end := 2 + int(userdata[1])
		if userdata[0] == 0 {
			return strings.TrimSuffix(string(userdata[2:end]), "\x00")
		}
		userdata = userdata[end:]
	}
	return ""
}

// counts reports whether a comment is one that says what a rule counts, such as
// tx_192.168.10.100.
func counts(comment string) bool {
	direction, text, _ := strings.Cut(comment, "_")
	addr, err := netip.ParseAddr(text)
	return (direction == "tx" || direction == "rx") && err == nil && addr.Zone() == ""
}
