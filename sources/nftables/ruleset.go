package nftables

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// errTorn: the ruleset was changed while it was read, so that objects may be
// missing in what was read, or be there twice.
var errTorn = errors.New("dump torn by a concurrent change (NLM_F_DUMP_INTR)")

// maxAttempts bounds how often a thing is tried again because the ruleset was
// changed meanwhile. What we change ourselves counts too.
const maxAttempts = 6

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
		if before == after && !errors.Is(tryErr, errTorn) {
			return tryErr
		}
	}
	return fmt.Errorf("the ruleset of nftables changed %d times meanwhile", maxAttempts)
}

// readGeneration gives the number of the ruleset's state: each change adds to it.
func readGeneration(k kernel) (uint32, error) {
	generations, err := list(k, unix.NFT_MSG_GETGEN, 0, func(encoder) {}, parseGeneration)
	if err == nil && len(generations) != 1 {
		err = fmt.Errorf("%d replies, want 1", len(generations))
	}
	if err != nil {
		return 0, fmt.Errorf("read the generation of nftables: %w", withCure(err))
	}
	return generations[0], nil
}

// parseGeneration decodes the body of NFT_MSG_NEWGEN.
func parseGeneration(attrs []byte) (generation uint32, err error) {
	err = attributes(attrs, func(kind uint16, data []byte) error {
		if kind == unix.NFTA_GEN_ID {
			return uint32From(data, &generation)
		}
		return nil
	})
	return generation, err
}

// list asks for objects: one, or with netlink.Dump all that fit.
func list[T any](k kernel, kind netlink.HeaderType, flags netlink.HeaderFlags, encode func(encoder), parse func(attrs []byte) (T, error)) ([]T, error) {
	question, err := message(kind, flags, encode)
	if err != nil {
		return nil, err
	}
	var objects []T
	err = k.ask(question, func(reply netlink.Message) error {
		if reply.Header.Flags&netlink.DumpInterrupted != 0 {
			return errTorn
		}
		attrs, err := body(reply.Data)
		if err != nil {
			return err
		}
		object, err := parse(attrs)
		objects = append(objects, object)
		return err
	})
	return objects, err
}

// contents is a table and what is in it, as far as it concerns us.
type contents struct {
	*table // nil: there is none
	chains map[string]chain
	sets   map[string]set
	rules  map[string][]rule // of the chains that ours are or should be in
}

// survey reads the two tables that we may have something in.
func survey(k kernel) (own, filter contents, err error) {
	tables, err := list(k, unix.NFT_MSG_GETTABLE, netlink.Dump, func(encoder) {}, parseTable)
	if err != nil {
		return own, filter, fmt.Errorf("list tables: %w", err)
	}
	for _, t := range tables {
		switch t.name {
		case ownTable:
			own.table = &t
		case filterTable:
			filter.table = &t
		}
	}
	chains, err := list(k, unix.NFT_MSG_GETCHAIN, netlink.Dump, func(encoder) {}, parseChain)
	if err != nil {
		return own, filter, fmt.Errorf("list chains: %w", err)
	}
	for _, of := range []*contents{&own, &filter} {
		of.chains, of.sets, of.rules = make(map[string]chain), make(map[string]set), make(map[string][]rule)
		for _, c := range chains {
			if of.table != nil && c.table == of.name {
				of.chains[c.name] = c
			}
		}
	}
	if own.table != nil {
		if err := own.readSets(k); err != nil {
			return own, filter, err
		}
	}
	// Without the chain that counts, none of ours is in another one.
	for _, of := range []*contents{&own, &filter} {
		if _, ok := of.chains[trafficChain]; !ok {
			continue
		}
		for _, name := range []string{trafficChain, forwardChain} {
			if _, ok := of.chains[name]; ok {
				if err := of.readRules(k, name); err != nil {
					return own, filter, err
				}
			}
		}
	}
	return own, filter, nil
}

func (c *contents) readSets(k kernel) error {
	sets, err := list(k, unix.NFT_MSG_GETSET, netlink.Dump, func(e encoder) {
		e.String(unix.NFTA_SET_TABLE, c.name)
	}, parseSet)
	if err != nil {
		return fmt.Errorf("list sets of table inet %s: %w", c.name, err)
	}
	for _, s := range sets {
		c.sets[s.name] = s
	}
	return nil
}

func (c *contents) readRules(k kernel, chain string) error {
	rules, err := list(k, unix.NFT_MSG_GETRULE, netlink.Dump, func(e encoder) {
		e.String(unix.NFTA_RULE_TABLE, c.name)
		e.String(unix.NFTA_RULE_CHAIN, chain)
	}, parseRule)
	if err != nil {
		return fmt.Errorf("list rules of chain %s in table inet %s: %w", chain, c.name, err)
	}
	c.rules[chain] = rules
	return nil
}

// hasFlowtable reports whether there is a flowtable that forwarded packets could
// take, past the forward hook and so past every counter there.
func hasFlowtable(k kernel) (bool, error) {
	question, err := message(unix.NFT_MSG_GETFLOWTABLE, netlink.Dump, func(encoder) {})
	if err != nil {
		return false, err
	}
	question.Data[0] = unix.NFPROTO_UNSPEC // those of every family
	found := false
	err = k.ask(question, func(reply netlink.Message) error {
		if len(reply.Data) < sizeofNfgenmsg {
			return errTruncated
		}
		switch reply.Data[0] {
		case unix.NFPROTO_INET, unix.NFPROTO_IPV4, unix.NFPROTO_IPV6:
			found = true
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("list flowtables: %w", err)
	}
	return found, nil
}
