package dhcp

import (
	"encoding/json"
	"errors"
	"fmt"
)

// decodeJSON reads a file of JSON, except for values that are of the wrong type. Its
// error tells where the first one is and, other than that of encoding/json, quotes
// nothing.
func decodeJSON(text string, into any) error {
	err := json.Unmarshal([]byte(text), into)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return fmt.Errorf("byte %d: want JSON", syntax.Offset)
	}
	if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
		return fmt.Errorf("byte %d: want a value of another type", kind.Offset)
	}
	return err
}
