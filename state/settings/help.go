package settings

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The columns of the help, in characters.
const (
	helpWidth  = 80
	helpIndent = 28 // of what a flag means
)

// commandHelp says what each command does, in the order of the help.
var commandHelp = []struct {
	command Command
	help    string
}{
	{Sample, "Take one sample with exactly these flags, save it and replace the file. This is what timers and cron run."},
	{Bare, "The same by hand: flags that are not given are as in the last sample, so that it never changes what the timer set up."},
	{Show, "Print the same numbers as a table. Reads only, saves nothing."},
	{Check, "Examine this machine: say what works, what does not, and how to fix it."},
	{Teardown, "Remove every nftables object that this program created, and nothing else."},
}

// Help returns what --help prints for a command; for Bare, which is the program
// without a command, that is everything.
func Help(command Command) string {
	var b strings.Builder
	usage := "[COMMAND]"
	if command != Bare {
		usage = string(command)
	}
	fmt.Fprintf(&b, "usage: %s %s [FLAGS]\n\n", Program, usage)
	if command == Bare {
		wrap(&b, "", 0, "Per-client network metrics for Linux routers: takes one sample and replaces one file for node_exporter's textfile collector.")
		b.WriteString("\nCommands:\n")
	}
	for _, c := range commandHelp {
		switch {
		case command != Bare && command != c.command:
		case command != Bare:
			wrap(&b, "", 0, c.help)
		case c.command == Bare:
			wrap(&b, "  (none)", 12, c.help)
		default:
			wrap(&b, "  "+string(c.command), 12, c.help)
		}
	}
	for _, c := range []Command{Show, Check} {
		if command == c || command == Bare {
			fmt.Fprintf(&b, "\nFlags of %s:\n", c)
			writeFlags(&b, func(f *flag) bool { return f.commands != nil && f.of(c) })
		}
	}
	b.WriteString("\nFlags:\n")
	wrap(&b, "  -h, --help", helpIndent, "Print this help, or that of a command.")
	wrap(&b, "      --version", helpIndent, "Print the version.")
	writeFlags(&b, func(f *flag) bool { return f.commands == nil })
	b.WriteString("\n")
	wrap(&b, "", 0, "A flag that is not given has the value that it had in the last sample (sample itself does not look there), else that of its environment variable, else its default. If a flag with one value is given twice, the last one counts.")
	b.WriteString("\nExit status:\n" +
		"  0  the file was replaced, even if a source failed: the file says so\n" +
		"  1  nothing was published or shown, or check found a failure\n" +
		"  2  wrong usage: nothing was touched\n")
	return b.String()
}

// writeFlags writes a paragraph for each flag that is wanted.
func writeFlags(b *strings.Builder, wanted func(*flag) bool) {
	for i := range flags {
		if f := &flags[i]; wanted(f) {
			wrap(b, "      "+f.usage(), helpIndent, f.help+f.facts())
		}
	}
}

// usage returns the flag as the help writes it.
func (f *flag) usage() string {
	switch {
	case f.arg == "":
		return "--[no-]" + f.name
	case f.repeats:
		return "--" + f.name + "=" + f.arg + " ..."
	default:
		return "--" + f.name + "=" + f.arg
	}
}

// facts returns the default and the variable of the flag, in parentheses.
func (f *flag) facts() string {
	def := cmp.Or(f.def, f.unset, "off")
	if f.env == "" {
		return " (default " + def + ")"
	}
	return " (default " + def + ", or $" + f.env + ")"
}

// wrap writes a text behind a label, from the column of indent on.
func wrap(b *strings.Builder, label string, indent int, text string) {
	line := label
	if label != "" && len(label)+2 > indent {
		b.WriteString(label + "\n")
		line = ""
	}
	empty := true // so far the line has no word of the text
	for _, word := range strings.Fields(text) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > helpWidth {
			b.WriteString(line + "\n")
			line, empty = "", true
		}
		if empty {
			line += strings.Repeat(" ", max(0, indent-len(line))) + word
			empty = false
		} else {
			line += " " + word
		}
	}
	b.WriteString(line + "\n")
}
