package dhcp

import (
	"fmt"
	"strings"
)

// eachLine calls read with every line, without the white space around it, and
// returns an error that tells of those of which it returned false, or which are
// longer than maxLine. With wholeLines the last line counts only if it has its
// newline: else it is still being written.
func eachLine(text, want string, wholeLines bool, read func(line string) bool) error {
	bad := badEntries{what: "line", want: want}
	for line := range strings.Lines(text) {
		bad.read++
		if wholeLines && !strings.HasSuffix(line, "\n") {
			break
		}
		if len(line) > maxLine || !read(strings.TrimSpace(line)) {
			bad.add()
		}
	}
	return bad.err()
}

// badEntries remembers the entries of a file that were left out.
type badEntries struct {
	what  string // an entry is called so
	want  string // a good entry
	read  int    // entries read so far
	first int    // the number of the first bad one, from 1
	count int
}

// add tells that the last entry read is bad.
func (b *badEntries) add() {
	if b.count++; b.count == 1 {
		b.first = b.read
	}
}

// err is nil if there were none.
func (b *badEntries) err() error {
	switch b.count {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s %d: want %s", b.what, b.first, b.want)
	default:
		return fmt.Errorf("%s %d and %d more: want %s", b.what, b.first, b.count-1, b.want)
	}
}
