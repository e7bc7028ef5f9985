package settings

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// explicitFlag is a flag with a value that it was given, and its origin.
type explicitFlag struct {
	*flag
	value       string
	fromEnviron bool
}

// asFlag returns the flag as it can be given again.
func (f explicitFlag) asFlag() string {
	switch {
	case f.arg != "":
		return "--" + f.name + "=" + f.value
	case f.value == off:
		return "--no-" + f.name
	case f.value == on:
		return "--" + f.name
	default: // a value that a switch does not take
		return "--" + f.name + "=" + f.value
	}
}

// String returns the flag as it was given.
func (f explicitFlag) String() string {
	if f.fromEnviron {
		return f.env + "=" + f.value
	}
	return f.asFlag()
}

// bad returns the error that says so of the value.
func (f explicitFlag) bad() error {
	return fmt.Errorf("%s: want %s", sanitize(f.String()), f.wanted())
}

// good reports whether the flag takes the value.
func (f explicitFlag) good() bool { return f.set(newSettings(), f.value) }

// wanted says what a value has to be.
func (f *flag) wanted() string {
	if f.arg == "" {
		return fmt.Sprintf("--%[1]s or --no-%[1]s, without a value", f.name)
	}
	return f.want
}

// sanitize returns a text that stays on its line and steers no terminal.
func sanitize(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		text = strconv.Quote(text)
		return text[1 : len(text)-1]
	}
	return text
}

// commandLine is what a command line says.
type commandLine struct {
	command       Command
	flags         []explicitFlag // in the order given
	help, version bool
}

// readCommandLine tells flags, their values and the command apart. The command may
// stand anywhere between the flags.
func readCommandLine(args []string, workDir string) (line commandLine, err error) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "-h" || arg == "--help":
			line.help = true
		case arg == "--version":
			line.version = true
		case strings.HasPrefix(arg, "-"):
			var next *string
			if i+1 < len(args) {
				next = &args[i+1]
			}
			flags, used, err := readFlag(arg, next, workDir)
			if err != nil {
				return line, err
			}
			if used {
				i++
			}
			line.flags = append(line.flags, flags...)
		case !slices.Contains([]Command{Sample, Show, Check, Teardown}, Command(arg)):
			return line, fmt.Errorf("%s: want one of the commands sample, show, check and teardown, or a flag (see --help)", word(arg))
		case line.command != Bare:
			return line, fmt.Errorf("%s: want one command, and %s is one", word(arg), line.command)
		default:
			line.command = Command(arg)
		}
	}
	for _, f := range line.flags {
		if !f.of(line.command) {
			return line, fmt.Errorf("%s: only the command %s has this flag", sanitize(f.String()), commandNames(f.commands))
		}
	}
	return line, nil
}

// readFlag reads one flag, whose value may be the next argument. That is nil if
// there is none.
func readFlag(arg string, next *string, workDir string) (flags []explicitFlag, usedNext bool, err error) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
	f, switched := find(name)
	switch {
	case f == nil || !strings.HasPrefix(arg, "--"):
		return nil, false, fmt.Errorf("%s: unknown flag: want one of those that --help lists", word(arg))
	case f.arg == "" && !hasValue:
		value = switched
	case f.arg == "": // on and off are no words for users
		return nil, false, fmt.Errorf("%s: want %s", sanitize(arg), f.wanted())
	case !hasValue && (next == nil || strings.HasPrefix(*next, "-") && *next != Stdout):
		return nil, false, fmt.Errorf("%s: its value is missing: want %s", arg, f.wanted())
	case !hasValue:
		value, usedNext = *next, true
	}
	return f.values(value, false, workDir), usedNext, nil
}

// values returns the flag with each of the values that a text has, and paths made
// absolute.
func (f *flag) values(text string, fromEnviron bool, workDir string) []explicitFlag {
	texts := []string{text}
	if words := strings.Fields(text); f.words && len(words) > 0 {
		texts = words
	}
	var all []explicitFlag
	for _, value := range texts {
		if f.path && value != "" && value != Stdout && workDir != "" && !filepath.IsAbs(value) {
			value = filepath.Join(workDir, value)
		}
		all = append(all, explicitFlag{f, value, fromEnviron})
	}
	return all
}

// readEnvironment returns the flags that variables set. A variable that is empty or
// blank is not set. Those of other commands are only for the next runs to know: a
// bad value is no concern of this one, and left out.
func readEnvironment(getenv func(string) string, command Command) (ofCommand, others []explicitFlag) {
	for i := range flags {
		f := &flags[i]
		if f.env == "" {
			continue
		}
		text := strings.TrimSpace(getenv(f.env))
		switch set := f.values(text, true, ""); {
		case text == "":
		case f.of(command):
			ofCommand = append(ofCommand, set...)
		case !slices.ContainsFunc(set, func(e explicitFlag) bool { return !e.good() }):
			others = append(others, set...)
		}
	}
	return ofCommand, others
}

// readRemembered reads a flag as Explicit has it. An error says what is wrong with
// its name or its value.
func readRemembered(text, workDir string) ([]explicitFlag, error) {
	flags, _, err := readFlag(text, nil, workDir)
	if err != nil {
		return nil, err
	}
	for _, f := range flags {
		if !f.good() {
			return nil, f.bad()
		}
	}
	return flags, nil
}

// word returns an argument as a message shows it, also if it is empty.
func word(arg string) string {
	if arg == "" {
		return `""`
	}
	return sanitize(arg)
}

// commandNames lists commands, of which there are one or two.
func commandNames(commands []Command) string {
	var names []string
	for _, c := range commands {
		names = append(names, string(c))
	}
	return strings.Join(names, " or ")
}
