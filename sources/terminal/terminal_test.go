package terminal

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a pseudo terminal (pty(7)) that is so wide.
func openTerminal(t *testing.T, width uint16) (display, program *os.File) {
	t.Helper()
	display, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { display.Close() })
	fd := int(display.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: width}); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return display, program
}

func TestInspect(t *testing.T) {
	_, program := openTerminal(t, 60)
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, test := range []struct {
		name string
		w    io.Writer
		env  map[string]string
		want Output
	}{
		{"a terminal", program, map[string]string{"TERM": "xterm"}, Output{true, 60, true}},
		{"its own width counts", program, map[string]string{"COLUMNS": "24"}, Output{true, 60, true}},
		{"no colours", program, map[string]string{"TERM": "xterm", "NO_COLOR": "0"}, Output{true, 60, false}},
		{"a dumb terminal", program, map[string]string{"TERM": "dumb"}, Output{true, 60, false}},
		{"a file", file, nil, Output{}},
		{"a file, for a terminal", file, map[string]string{"COLUMNS": "24"}, Output{Width: 24}},
		{"memory", new(bytes.Buffer), map[string]string{"COLUMNS": "-1", "TERM": "xterm"}, Output{}},
		{"memory, for nobody knows what", new(bytes.Buffer), map[string]string{"COLUMNS": "wide"}, Output{}},
	} {
		if got := Inspect(test.w, func(name string) string { return test.env[name] }); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

// TestCountdown writes to a terminal and to nothing else.
func TestCountdown(t *testing.T) {
	var quiet bytes.Buffer
	Countdown(&quiet, time.Millisecond, "measuring for")
	if quiet.Len() > 0 {
		t.Errorf("without a terminal it wrote %q", &quiet)
	}
	display, program := openTerminal(t, 60)
	Countdown(program, 10*time.Millisecond, "measuring for")
	program.Close()
	text, _ := io.ReadAll(display) // EIO once the other end is closed
	if got := string(text); !strings.HasPrefix(got, "\rmeasuring for 0.0 s \x1b[K") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("on a terminal it wrote %q", got)
	}
}
