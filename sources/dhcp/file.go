package dhcp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"network-metrics-exporter/state"
)

// What is read of a file at most. dnsmasq gives out 1,000 leases unless it is
// told otherwise, and a lease takes 100 bytes: neither limit is near.
const (
	maxFile = 16 << 20
	maxLine = 4 << 10
)

// bufferSize is what one read(2) asks for. It holds most files whole, so that
// it is rare for dnsmasq to rewrite a file between two reads of it.
const bufferSize = 64 << 10

// Errors of a file that was not read, or not to its end.
var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = fmt.Errorf("larger than %d MiB, the rest was left out", maxFile>>20)
)

// readFile opens path, which is a kind of file, for parse. An error of open is
// passed on bare.
func readFile(kind, path string, parse func(io.Reader) ([]state.Assignment, error)) ([]state.Assignment, error) {
	// Opening a FIFO would wait for a writer without O_NONBLOCK, which a
	// regular file ignores.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %q: %w", kind, path, err)
	}
	names, err := parse(f)
	if err != nil {
		err = fmt.Errorf("parse %s %q: %w", kind, path, err)
	}
	return names, err
}

// A syntax is how a file of one record a line is written.
type syntax struct {
	want string // a good line, as an error shows it

	// wholeLines: a last line without newline is still being written.
	wholeLines bool

	// line appends what a line says, without the white space around it, to
	// names. It reports false, and appends nothing, if the line is not of
	// this syntax.
	line func(names []state.Assignment, line string) ([]state.Assignment, bool)
}

// parse reads all lines of r. Those that are not of the syntax are left out and
// reported in one error.
func (s syntax) parse(r io.Reader) ([]state.Assignment, error) {
	var (
		names []state.Assignment
		bad   badLines
		b     = bufio.NewReaderSize(io.LimitReader(r, maxFile+1), bufferSize)
		size  = 0
	)
	for number := 1; ; number++ {
		line, n, err := readLine(b)
		if size += n; size > maxFile {
			return names, errTooLarge // and this line is cut
		}
		if err != nil && err != io.EOF {
			return names, err
		}
		if ended := err == nil; ended || n > 0 && !s.wholeLines {
			ok := n <= maxLine
			if ok {
				names, ok = s.line(names, strings.TrimSpace(line))
			}
			if !ok {
				bad.add(number)
			}
		}
		if err == io.EOF {
			return names, bad.err(s.want)
		}
	}
}

// readLine reads a line and tells its length, newline included. A line longer
// than maxLine is read to its end, but only its length is told. The error is
// io.EOF if there was no newline.
func readLine(b *bufio.Reader) (line string, n int, err error) {
	part, err := b.ReadSlice('\n')
	n = len(part)
	if n <= maxLine {
		line = string(part)
	}
	for err == bufio.ErrBufferFull {
		part, err = b.ReadSlice('\n')
		n += len(part)
	}
	return line, n, err
}

// badLines remembers the lines that were left out.
type badLines struct {
	first int // its number, from 1
	count int
}

func (b *badLines) add(number int) {
	if b.count++; b.count == 1 {
		b.first = number
	}
}

// err is nil if there were none.
func (b *badLines) err(want string) error {
	switch b.count {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("line %d: want %s", b.first, want)
	default:
		return fmt.Errorf("line %d and %d more: want %s", b.first, b.count-1, want)
	}
}
