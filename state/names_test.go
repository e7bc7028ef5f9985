package state

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanName(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"laptop", "laptop"},
		{"Bob's iPhone", "Bob's iPhone"},
		{"Büro-Drucker", "Büro-Drucker"},
		{"電視", "電視"},
		{"a|b", "a_b"},
		{`a"b\c`, "a_b_c"},
		{"a\nb\r\tc\x00d", "a_b__c_d"},
		{"a\xff\xfeb", "a__b"},
		{"a\u202eb\u200fc\u200bd\u2028e", "a_b_c_d_e"},
		{"a\u00a0b", "a_b"},
		{"  padded ", "padded"},
		{"", ""},
		{"unknown", "unknown_"},
		{"other", "other_"},
		{strings.Repeat(" ", 300) + "x", "x"},
		{" ", ""},
		{strings.Repeat("x", 300), strings.Repeat("x", 255)},
		{strings.Repeat("ü", 128), strings.Repeat("ü", 127)},
	} {
		if got := CleanName(test.name); got != test.want {
			t.Errorf("CleanName(%q) is %q, want %q", test.name, got, test.want)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	f.Add("Bob's iPhone")
	f.Add("a|\"\\\n\x00\xff\u202e\ufffd " + strings.Repeat("ü", 200))
	f.Fuzz(func(t *testing.T, name string) {
		clean := CleanName(name)
		if !utf8.ValidString(clean) || len(clean) > maxName || strings.ContainsAny(clean, "\n\r\x00|\"\\") {
			t.Errorf("CleanName(%q) is %q", name, clean)
		}
		if again := CleanName(clean); again != clean {
			t.Errorf("CleanName(%q) is %q: a clean name was changed", clean, again)
		}
	})
}

func TestMAC(t *testing.T) {
	for _, test := range []struct {
		mac   MAC
		want  string
		local bool
	}{
		{laptopMAC, "00:1b:63:00:00:01", false},
		{phoneMAC, "02:00:00:00:00:02", true},
		{MAC{}, "", false},
	} {
		if test.mac.String() != test.want || test.mac.IsLocal() != test.local {
			t.Errorf("%v is %q, local %v; want %q, %v", [6]byte(test.mac), test.mac, test.mac.IsLocal(), test.want, test.local)
		}
	}
}
