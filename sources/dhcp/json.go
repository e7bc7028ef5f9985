package dhcp

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// jsonReader reads JSON (RFC 8259) value by value, in a quarter of the time that
// encoding/json takes: lease files are read in every run. A value that is of another
// type than what is read is passed over, and counts as the zero value.
type jsonReader struct {
	text  string
	pos   int
	depth int
	bad   bool // at pos stands what is no JSON
}

// maxDepth bounds how deep values lie in one another.
const maxDepth = 32

// err says where the text is no JSON. It is to be called after the last value.
func (r *jsonReader) err() error {
	if r.next() == 0 && !r.bad && r.pos == len(r.text) {
		return nil
	}
	return fmt.Errorf("byte %d: want JSON", r.pos+1)
}

// next returns the byte with which the next value or mark begins, without passing
// it. It is 0 at the end, where nothing can be read any more.
func (r *jsonReader) next() byte {
	for !r.bad && r.pos < len(r.text) {
		switch c := r.text[r.pos]; c {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

// fail stops at what is no JSON.
func (r *jsonReader) fail() { r.bad = true }

// pass passes a mark. It reports false, and stops, if another one is there.
func (r *jsonReader) pass(mark byte) bool {
	if r.next() != mark {
		r.fail()
		return false
	}
	r.pos++
	return true
}

// object calls member for each member of an object, with its value to be read.
func (r *jsonReader) object(member func(name string)) {
	r.list('{', '}', func() {
		if r.next() != '"' {
			r.fail()
			return
		}
		if name := r.string(); r.pass(':') {
			member(name)
		}
	})
}

// array calls element for each element of an array, to be read.
func (r *jsonReader) array(element func()) { r.list('[', ']', element) }

func (r *jsonReader) list(opening, closing byte, element func()) {
	if r.next() != opening {
		r.skip()
		return
	}
	if r.depth == maxDepth {
		r.fail()
		return
	}
	r.depth++
	defer func() { r.depth-- }()
	r.pos++
	for more := r.next() != closing; more; {
		element()
		if more = r.next() == ','; more {
			r.pos++
		}
	}
	r.pass(closing)
}

// string reads a string.
func (r *jsonReader) string() string {
	if r.next() != '"' {
		r.skip()
		return ""
	}
	begin := r.pos
	end := strings.IndexByte(r.text[begin+1:], '"')
	if end < 0 {
		r.fail()
		return ""
	}
	if s := r.text[begin+1 : begin+1+end]; !strings.Contains(s, `\`) {
		r.pos += end + 2
		return s
	}
	var s string
	d := json.NewDecoder(strings.NewReader(r.text[begin:]))
	if err := d.Decode(&s); err != nil {
		r.fail()
		return ""
	}
	r.pos += int(d.InputOffset())
	return s
}

// uint reads a number that is neither negative nor a fraction.
func (r *jsonReader) uint() uint64 {
	n, err := strconv.ParseUint(r.literal(), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// bool reads true or false.
func (r *jsonReader) bool() bool { return r.literal() == "true" }

// octets reads an array of numbers up to 255 and returns how many there were. That
// is -1 if one of them is none, or if there are more than there is room for.
func (r *jsonReader) octets(into []byte) int {
	n := 0
	r.array(func() {
		value := r.uint()
		if n < 0 || n == len(into) || value > 255 {
			n = -1
			return
		}
		into[n] = byte(value)
		n++
	})
	return n
}

// literal reads a number, true, false or null. It is empty if another value was
// there.
func (r *jsonReader) literal() string {
	switch r.next() {
	case '{', '[', '"':
		r.skip()
		return ""
	}
	begin := r.pos
	for !r.bad && r.pos < len(r.text) && !endsLiteral(r.text[r.pos]) {
		r.pos++
	}
	if r.pos == begin {
		r.fail()
	}
	return r.text[begin:r.pos]
}

// endsLiteral reports whether a byte can be no part of a literal.
func endsLiteral(c byte) bool {
	switch c {
	case ',', ':', ']', '}', '"', '{', '[', ' ', '\t', '\r', '\n':
		return true
	default:
		return false
	}
}

// skip passes over a value.
func (r *jsonReader) skip() {
	switch r.next() {
	case '{':
		r.object(func(string) { r.skip() })
	case '[':
		r.array(r.skip)
	case '"':
		r.string()
	default:
		r.literal()
	}
}

// firstKey returns the first name in a JSON object.
func firstKey(text string) string {
	r := jsonReader{text: text}
	if !r.pass('{') || r.next() != '"' {
		return ""
	}
	return r.string()
}
