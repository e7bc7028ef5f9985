package state

import (
	"testing"
	"unicode/utf8"
)

func TestSanitize(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"br-lan":                       "br-lan",
		`C:\"the" | 日本語 🖥️`:            `C:\"the" | 日本語 🖥️`,
		"\x1b[31mred\r\n":              "_[31mred__",
		"\u202eevil\u2066\u200f\u2028": "_evil___",
		"not \xff\xc3( UTF-8":          "not __( UTF-8",
		"\ufffd\x00":                   "__",
	} {
		got := Sanitize(text)
		if got != want || !utf8.ValidString(got) {
			t.Errorf("Sanitize(%q) = %q, want %q", text, got, want)
		}
		if again := Sanitize(got); again != got {
			t.Errorf("Sanitize(%q) = %q, want no change", got, again)
		}
	}
}
