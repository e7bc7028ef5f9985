package settings

import (
	goflag "flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = goflag.Bool("update", false, "write the man page and the completions anew")

// manual is the man page.
const manual = "../../docs/network-metrics-exporter.8"

// TestManual compares the man page with the tables that --help is made of.
func TestManual(t *testing.T) {
	text := readFile(t, manual)
	want := text
	for heading, section := range map[string]string{"COMMANDS": manualCommands(), "OPTIONS": manualOptions()} {
		pattern := regexp.MustCompile(`(?s)\n\.SH ` + heading + `\n.*?\.SH `)
		if !pattern.MatchString(want) {
			t.Fatalf("%s has no section %s", manual, heading)
		}
		want = pattern.ReplaceAllLiteralString(want, "\n.SH "+heading+"\n"+section+".SH ")
	}
	hold(t, manual, want)

	_, statuses, _ := strings.Cut(Help(Bare), "Exit status:\n")
	for line := range strings.Lines(statuses) {
		meaning := strings.ToLower(strings.TrimSpace(line[3:]))
		if !strings.Contains(strings.ToLower(want), meaning+".\n") {
			t.Errorf("%s does not say of an exit status: %s", manual, meaning)
		}
	}
}

// manualCommands is a section of the man page.
func manualCommands() string {
	var b strings.Builder
	for _, c := range commandHelp {
		name := `.B ` + string(c.command)
		if c.command == Bare {
			name = "(none)"
		}
		fmt.Fprintf(&b, ".TP\n%s\n%s\n", name, roff(c.help))
	}
	return b.String()
}

// manualOptions is a section of the man page.
func manualOptions() string {
	var b strings.Builder
	b.WriteString(roff("An option that is not given has the value that it had in the last sample (sample itself does not look there), else that of its environment variable, else its default. If an option with one value is given twice, the last one counts.") + "\n")
	b.WriteString(".TP\n.BR \\-h ,\\  \\-\\-help\nPrint a help, or that of a command.\n.TP\n.B \\-\\-version\nPrint the version.\n")
	for i := range flags {
		f := &flags[i]
		only := ""
		if f.commands != nil {
			var names []string
			for _, c := range f.commands {
				names = append(names, string(c))
			}
			only = " Only " + strings.Join(names, " and ") + " have this option."
			if len(names) == 1 {
				only = " Only " + names[0] + " has this option."
			}
		}
		name, arg, _ := strings.Cut(f.usage(), "=")
		fmt.Fprintf(&b, ".TP\n.BI %s", roff(name))
		if arg != "" {
			arg, more, _ := strings.Cut(arg, " ")
			fmt.Fprintf(&b, "= %s", arg)
			if more != "" {
				fmt.Fprintf(&b, ` "\fR %s"`, more)
			}
		}
		fmt.Fprintf(&b, "\n%s\n", roff(f.help+f.facts()+only))
	}
	return b.String()
}

// roff escapes a text for a line of a man page: a minus that is to be copied is no
// hyphen.
func roff(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// hold compares a file with what it has to be, or makes it that.
func hold(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, readFile(t, path)); diff != "" {
		t.Errorf("%s (-flags +file): go test ./state/settings -update writes it anew\n%s", path, diff)
	}
}
