package table

import (
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// gap stands between two columns.
const gap = "  "

// leastName is how narrow names may become before columns are left out, in cells.
const leastName = 12

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
	rows    [][]string // without the titles; the last one is the total
	widths  []int      // of the columns, in cells
}

func (g *grid) add(l line, now time.Time) {
	var row []string
	for _, c := range g.columns {
		row = append(row, c.cell(l, now))
	}
	g.rows = append(g.rows, row)
}

// fit works out how wide the columns are, and reports whether a line is no wider
// than limit. Names are cut for that.
func (g *grid) fit(limit int) bool {
	g.widths = make([]int, len(g.columns))
	line := -len(gap)
	for i, c := range g.columns {
		g.widths[i] = cells(c.title)
		for _, row := range g.rows {
			g.widths[i] = max(g.widths[i], cells(row[i]))
		}
		line += len(gap) + g.widths[i]
	}
	if limit == 0 || line <= limit {
		return true
	}
	room := g.widths[0] - (line - limit)
	g.widths[0] = max(room, 1)
	return room >= leastName
}

func (g *grid) write(to *strings.Builder) {
	var titles []string
	for _, c := range g.columns {
		titles = append(titles, c.title)
	}
	g.writeRow(to, titles, bold)
	for i, row := range g.rows {
		style := ""
		if i == len(g.rows)-1 {
			style = bold
		}
		g.writeRow(to, row, style)
	}
}

func (g *grid) writeRow(to *strings.Builder, row []string, style string) {
	for i, text := range row {
		if i > 0 {
			to.WriteString(gap)
		}
		if i == 0 {
			text = cut(text, g.widths[0])
		}
		padding := strings.Repeat(" ", max(0, g.widths[i]-cells(text)))
		if g.columns[i].right {
			text = padding + text
		} else if i < len(row)-1 {
			text += padding
		}
		to.WriteString(g.styled(text, g.columns[i].style(row[i], style)))
	}
	to.WriteByte('\n')
}

func (g *grid) styled(text, style string) string {
	if !g.color || style == "" || text == "" {
		return text
	}
	return style + text + reset
}

// cells gives how much of a line a text takes.
func cells(text string) (n int) {
	for _, r := range text {
		n += cellsOf(r)
	}
	return n
}

// cellsOf gives the width of a character that can be seen (Unicode Standard
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

// cut makes a text no wider than limit.
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
