package state

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sanitize keeps a text that somebody else wrote, such as the name of a file or of
// an interface, to its place in a line: what is not UTF-8, cannot be seen or turns
// the writing direction becomes an underscore.
func Sanitize(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, text)
}
