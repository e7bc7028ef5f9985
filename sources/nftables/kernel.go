package nftables

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
)

// Attributes of linux/netfilter/nf_tables.h that golang.org/x/sys/unix lacks.
// A kernel that does not know one passes it over, and never sends it.
const (
	nftaTableHandle        = 4    // Linux 4.16
	nftaTableUserdata      = 6    // Linux 5.10
	nftaChainUserdata      = 12   // Linux 5.10
	nftaSetHandle          = 16   // Linux 4.16
	nftaSetCount           = 20   // Linux 6.17
	nftaSetElemExpressions = 0x0b // Linux 5.11
)

// kernel is asked for the ruleset and told to change it: a *netlink.Conn, or what
// a test puts before one.
type kernel interface {
	Dump(question netlink.Message, answer uint16, each func(body []byte) error) error
	Get(question netlink.Message, answer uint16) (body []byte, err error)
	Commit(subsystem uint8, generation uint32, changes []netlink.Message) error
}

func open() (*netlink.Conn, error) {
	conn, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", withCure(err))
	}
	return conn, nil
}

// withCure adds to an error of the kernel what the user can do about it.
func withCure(err error) error {
	// nfnetlink answers EINVAL or EOPNOTSUPP for a subsystem that is neither there
	// nor can be loaded; without nfnetlink itself there is not even a socket.
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return fmt.Errorf("%w (the kernel has no nftables: modprobe nf_tables)", err)
	}
	return err
}

// messageType is that of a message NFT_MSG_*.
func messageType(message uint16) uint16 { return unix.NFNL_SUBSYS_NFTABLES<<8 | message }

// newMessage encodes a message NFT_MSG_* about a family.
func newMessage(family uint8, message, flags uint16, encode func(*netlink.Encoder)) (netlink.Message, error) {
	e := netlink.NewNfEncoder(family)
	encode(e)
	body, err := e.Body()
	return netlink.Message{Type: messageType(message), Flags: flags, Body: body}, err
}

// dump asks for all objects of a family that fit the question.
func dump[T any](k kernel, family uint8, get, answer uint16, encode func(*netlink.Encoder), parse func(family uint8, attrs []byte) (T, error)) ([]T, error) {
	question, err := newMessage(family, get, 0, encode)
	if err != nil {
		return nil, err
	}
	var objects []T
	err = k.Dump(question, messageType(answer), func(body []byte) error {
		family, attrs, err := splitBody(body)
		if err != nil {
			return err
		}
		object, err := parse(family, attrs)
		objects = append(objects, object)
		return err
	})
	return objects, err
}

var errTruncated = errors.New("message without header")

// splitBody returns the family and the attributes of a message.
func splitBody(body []byte) (family uint8, attrs []byte, err error) {
	if len(body) < netlink.SizeofNfgenmsg {
		return 0, nil, errTruncated
	}
	return body[0], body[netlink.SizeofNfgenmsg:], nil
}

// everything is a question that names nothing.
func everything(*netlink.Encoder) {}

// maxAttempts bounds how often a thing is tried again because the ruleset was
// changed meanwhile. What we change ourselves counts too.
const maxAttempts = 6

// errOvertaken tells that somebody else changed the ruleset before a transaction
// that was worked out from what it was.
var errOvertaken = errors.New("overtaken by another transaction (NFNL_BATCH_GENID)")

// steadily calls try until the ruleset did not change from its start to its end.
// So whatever try changes, it sees that again and finds it done.
func steadily(k kernel, try func(generation uint32) error) error {
	for range maxAttempts {
		before, err := readGeneration(k)
		if err != nil {
			return err
		}
		tryErr := try(before)
		after, err := readGeneration(k)
		if err != nil {
			return err
		}
		if before == after && !errors.Is(tryErr, netlink.ErrTorn) && !errors.Is(tryErr, errOvertaken) {
			return tryErr
		}
	}
	return fmt.Errorf("the ruleset of nftables changed %d times meanwhile", maxAttempts)
}

// readGeneration returns the number of the ruleset's state: each change adds to it.
func readGeneration(k kernel) (uint32, error) {
	question, err := newMessage(unix.NFPROTO_UNSPEC, unix.NFT_MSG_GETGEN, 0, everything)
	if err != nil {
		return 0, err
	}
	body, err := k.Get(question, messageType(unix.NFT_MSG_NEWGEN))
	if err != nil {
		return 0, fmt.Errorf("read the generation of nftables: %w", withCure(err))
	}
	return parseGeneration(body)
}

// parseGeneration decodes NFT_MSG_NEWGEN.
func parseGeneration(body []byte) (generation uint32, err error) {
	_, attrs, err := splitBody(body)
	for typ, value := range netlink.Attributes(attrs, &err) {
		if typ == unix.NFTA_GEN_ID {
			generation = value.Uint32()
		}
	}
	return generation, err
}

// nextGeneration returns the one that a transaction makes. The kernel passes 0
// over, which stands for any (nf_tables_commit).
func nextGeneration(generation uint32) uint32 { return max(generation+1, 1) }
