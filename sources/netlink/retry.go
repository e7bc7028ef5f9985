package netlink

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxTries is how often something is tried until nothing changed meanwhile.
const maxTries = 6

// Retry calls try, which starts from nothing, until it neither was disturbed by a
// concurrent change (ErrTorn) nor lost messages (unix.ENOBUFS), at most six times.
// It does not wait in between: it was bad luck if something changed in these few
// milliseconds, and what always does is better reported than waited for.
func Retry(try func() error) error {
	for n := 1; ; n++ {
		err := try()
		if !errors.Is(err, ErrTorn) && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		if n == maxTries {
			return fmt.Errorf("%w, %d times in a row", err, n)
		}
	}
}
