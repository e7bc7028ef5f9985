// Package terminal asks what an output can show.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Output says how text is to be laid out for an output.
type Output struct {
	Terminal bool // whether it is a terminal
	Width    int  // of its lines, in cells; 0: no limit
	Color    bool // whether it shows colours, by the sequences of ECMA-48
}

// Inspect asks the kernel about an output. What is no terminal may be shown on one by
// another program: watch(1) tells its width in the variable COLUMNS. The variables
// NO_COLOR, of any value, and TERM=dumb keep colours away.
func Inspect(w io.Writer, getenv func(string) string) Output {
	f, ok := w.(*os.File)
	if ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		ok = err == nil
	}
	if !ok {
		width, _ := strconv.Atoi(getenv("COLUMNS"))
		return Output{Width: max(width, 0)}
	}
	o := Output{Terminal: true, Color: getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
		o.Width = int(size.Col)
	}
	return o
}

// Countdown waits. If it is seen on a terminal, a line there says for how long yet
// and, in the words of text, why; it leaves nothing behind.
func Countdown(w io.Writer, wait time.Duration, text string) {
	if !Inspect(w, os.Getenv).Terminal {
		time.Sleep(wait)
		return
	}
	end := time.Now().Add(wait)
	for left := wait; left > 0; left = time.Until(end) {
		fmt.Fprintf(w, "\r%s %.1f s \x1b[K", text, left.Seconds())
		time.Sleep(min(left, 100*time.Millisecond))
	}
	fmt.Fprint(w, "\r\x1b[K")
}
