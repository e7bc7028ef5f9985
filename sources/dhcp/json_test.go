package dhcp

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// value reads any value.
func (r *jsonReader) value() any {
	switch r.next() {
	case '{':
		members := map[string]any{}
		r.object(func(name string) { members[name] = r.value() })
		return members
	case '[':
		elements := []any{}
		r.array(func() { elements = append(elements, r.value()) })
		return elements
	case '"':
		return r.string()
	}
	switch literal := r.literal(); literal {
	case "true", "false":
		return literal == "true"
	case "null":
		return nil
	default:
		n, _ := strconv.ParseFloat(literal, 64)
		return n
	}
}

// FuzzJSON holds the reader to encoding/json, wherever that is content.
func FuzzJSON(f *testing.F) {
	addFiles(f, networkdFilePath, adguardFilePath)
	f.Add([]byte(` {"a":[1,-2.5e1,true,false,null,"\u00fc\"",[],{}],"":{"b":"\\"}} `))
	f.Add([]byte(strings.Repeat("[", maxDepth+1)))
	f.Add([]byte(`{"a":}`))
	f.Add([]byte(`["\x"]`))
	f.Fuzz(func(t *testing.T, file []byte) {
		var want any
		wantErr := json.Unmarshal(file, &want)
		r := jsonReader{text: string(file)}
		got := r.value()
		deep := bytes.Count(file, []byte("[")) + bytes.Count(file, []byte("{"))
		if err := r.err(); wantErr == nil && utf8.Valid(file) && deep <= maxDepth {
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("error %v, value (-want +got):\n%s", err, diff)
			}
		}
		// What is read of other types is passed over.
		for _, read := range []func(*jsonReader){
			func(r *jsonReader) { r.object(func(string) { r.uint() }) },
			func(r *jsonReader) { r.array(func() { _ = r.string() }) },
			func(r *jsonReader) { r.array(func() { r.octets(make([]byte, 4)) }) },
			func(r *jsonReader) { r.bool() },
			(*jsonReader).skip,
		} {
			other := jsonReader{text: string(file)}
			read(&other)
			if (r.err() == nil) != (other.err() == nil) {
				t.Errorf("error %v, read otherwise %v", r.err(), other.err())
			}
		}
	})
}

func TestJSONDepth(t *testing.T) {
	for depth, want := range map[int]string{maxDepth: "", maxDepth + 1: "byte 33: want JSON", 1 << 20: "byte 33: want JSON"} {
		r := jsonReader{text: strings.Repeat("[", depth) + strings.Repeat("]", depth)}
		if r.skip(); message(r.err()) != want {
			t.Errorf("depth %d: got error %v, want %s", depth, r.err(), want)
		}
	}
}
