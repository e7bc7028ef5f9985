package nftables

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Owner is an instance of this program: what it made is its own.
type Owner struct {
	// ID is random and kept in the state directory: 16 to 32 hexadecimal digits,
	// in lower case. Empty: nobody.
	ID   string
	Path string // of the state directory, absolute
}

// cut ends a path of which a comment does not hold the whole.
const cut = "…"

// whole reports whether the path is all of it.
func (o Owner) whole() bool { return !strings.HasSuffix(o.Path, cut) }

// comment says whose a rule is, and what it is for.
func (o Owner) comment(words string, decided ...string) string {
	head := programName
	if o.ID != "" {
		head += " " + o.ID
	}
	// Half of what is left is the path's, or more.
	if words != "" {
		head += " " + ruleComment((maxComment-len(head))/2, words, decided)
	}
	if o.ID == "" {
		return head
	}
	return head + " " + quotable(o.Path, maxComment-len(head)-1)
}

// quotable returns as much of a path as fits and stands in nft(8)'s quotes.
func quotable(path string, room int) string {
	end := strings.IndexFunc(path, func(r rune) bool { return r == '"' || r == utf8.RuneError || !unicode.IsPrint(r) })
	if end < 0 && len(path) <= room {
		return path
	}
	if end < 0 {
		end = len(path)
	}
	end = min(end, room-len(cut))
	for !utf8.ValidString(path[:end]) {
		end--
	}
	return path[:end] + cut
}

// parseOwner reads what comment writes.
func parseOwner(comment string) (o Owner, ok bool) {
	rest, ok := strings.CutPrefix(comment, programName+" ")
	if !ok {
		return Owner{}, false
	}
	o.ID, rest, _ = strings.Cut(rest, " ")
	slash := strings.IndexByte(" "+rest, '/') // no name of an interface has one
	if len(o.ID) < 16 || len(o.ID) > 32 || strings.Trim(o.ID, "0123456789abcdef") != "" || slash < 0 {
		return Owner{}, false
	}
	o.Path = rest[slash-1:]
	return o, true
}

// owners returns those whom the objects of either layout name.
func (r *ruleset) owners() []Owner {
	var owners []Owner
	add := func(comment string) {
		if o, ok := parseOwner(comment); ok {
			owners = append(owners, o)
		}
	}
	for _, u := range r.own.rules[trafficChain] {
		add(u.comment)
	}
	for _, u := range r.filter.rules[forwardChain] {
		if u.jump == trafficChain {
			add(u.comment)
		}
	}
	for _, u := range r.filter.rules[trafficChain] {
		add(u.hidden)
	}
	return owners
}

// checkOwner refuses what belongs to another instance that still exists.
func (r *ruleset) checkOwner(p Plan) error {
	for _, o := range r.owners() {
		if o.ID == p.Owner.ID || o.whole() && !p.OwnerAlive(o) {
			continue
		}
		return fmt.Errorf("what counts the clients' traffic belongs to another instance of this program, with ID %s and --state-dir=%s:"+
			" run %s teardown --state-dir=%[2]s, or choose --accounting=off", o.ID, o.Path, programName)
	}
	return nil
}
