package table

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// gap stands between two columns.
const gap = "  "

// Escape sequences of ECMA-48, 8.3.117.
const (
	bold  = "\x1b[1m"
	faint = "\x1b[2m"
	green = "\x1b[32m"
	reset = "\x1b[m"
)

// grid is the text of a table. Its first column is that of the names.
type grid struct {
	columns []column
	color   bool
	rows    []row // without the titles
	widths  []int // of the columns, in cells
}

type row struct {
	line
	cells []string
}

func (g *grid) add(l line) {
	r := row{line: l}
	for _, c := range g.columns {
		r.cells = append(r.cells, c.cell(&l))
	}
	g.rows = append(g.rows, r)
}

// fit works out how wide the columns are, and reports whether a line is no wider
// than limit, 0 being none. Columns that may be cut are cut for that, those on the
// right first; names become as narrow as it takes.
func (g *grid) fit(limit int) bool {
	g.widths = make([]int, len(g.columns))
	excess := -limit - len(gap)
	for i, c := range g.columns {
		g.widths[i] = cells(c.title)
		for _, r := range g.rows {
			g.widths[i] = max(g.widths[i], cells(r.cells[i]))
		}
		excess += len(gap) + g.widths[i]
	}
	if limit == 0 {
		return true
	}
	for i, c := range slices.Backward(g.columns) {
		if c.least > 0 {
			cut := max(0, min(excess, g.widths[i]-c.least))
			g.widths[i] -= cut
			excess -= cut
		}
	}
	if excess <= 0 {
		return true
	}
	g.widths[0] = max(1, g.widths[0]-excess)
	return false
}

func (g *grid) write(to *strings.Builder) {
	titles := row{line: line{kind: totalLine}}
	for _, c := range g.columns {
		titles.cells = append(titles.cells, c.title)
	}
	for _, r := range slices.Insert(slices.Clone(g.rows), 0, titles) {
		g.writeRow(to, r)
	}
}

func (g *grid) writeRow(to *strings.Builder, r row) {
	for i, text := range r.cells {
		if i > 0 {
			to.WriteString(gap)
		}
		text = cut(text, g.widths[i])
		padding := strings.Repeat(" ", g.widths[i]-cells(text))
		if g.columns[i].right {
			text = padding + text
		} else if i < len(r.cells)-1 {
			text += padding
		}
		if style := g.columns[i].style(&r.line); g.color && style != "" && text != "" {
			text = style + text + reset
		}
		to.WriteString(text)
	}
	to.WriteByte('\n')
}

// style returns that of the cell of a line, empty for none.
func (c column) style(l *line) string {
	switch {
	case l.kind == totalLine:
		return bold
	case c.status && l.Online != nil && *l.Online:
		return green
	case l.kind == addressLine, c.status && l.Online != nil:
		return faint
	default:
		return ""
	}
}

// cells returns how much of a line a text takes.
func cells(text string) (n int) {
	for _, r := range text {
		n += cellsOf(r)
	}
	return n
}

// cellsOf returns the width of a character that can be seen (Unicode Standard
// Annex 11). Marks, and the vowels and finals of Korean, stand in the cell of the
// character before.
func cellsOf(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) || r >= 0x1160 && r <= 0x11ff {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// cut returns a text that is no wider than limit.
func cut(text string, limit int) string {
	if cells(text) <= limit {
		return text
	}
	n := 0
	for i, r := range text {
		if n += cellsOf(r); n > limit-1 {
			return text[:i] + "…"
		}
	}
	return text
}
