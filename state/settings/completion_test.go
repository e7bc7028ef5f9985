package settings

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestCompletions compares what shells complete with the flags that there are.
func TestCompletions(t *testing.T) {
	for name, want := range map[string]string{
		"network-metrics-exporter.bash": bashCompletion(),
		"_network-metrics-exporter":     zshCompletion(),
		"network-metrics-exporter.fish": fishCompletion(),
	} {
		hold(t, "../../systemd/completions/"+name, want)
	}
}

// namedCommands are those that a command line can have.
func namedCommands() string {
	var names []string
	for _, c := range commandHelp {
		if c.command != Bare {
			names = append(names, string(c.command))
		}
	}
	return strings.Join(names, " ")
}

// choices gives the values of a flag that has only a few, with spaces between.
func (f *flag) choices() string {
	if f.arg == "" || !regexp.MustCompile(`^[a-z]+(, [a-z]+)* or [a-z]+$`).MatchString(f.want) {
		return ""
	}
	return strings.NewReplacer(", ", " ", " or ", " ").Replace(f.want)
}

// summary is the help up to its first full stop, without signs that shells heed.
func (f *flag) summary() string {
	text, _, _ := strings.Cut(f.help, ";")
	return strings.ReplaceAll(strings.TrimSuffix(text, "."), "'", "’")
}

// bashCompletion gives the file for bash-completion.
func bashCompletion() string {
	words := []string{"--help", "--version"}
	var paths, others []string
	var cases strings.Builder
	for i := range flags {
		f := &flags[i]
		switch {
		case f.arg == "":
			words = append(words, "--"+f.name, "--no-"+f.name)
			continue
		case f.path:
			paths = append(paths, "--"+f.name)
		case f.name == "interface":
			fmt.Fprintf(&cases, "\t--%s) words=$(cd /sys/class/net && echo *) ;;\n", f.name)
		case f.choices() != "":
			fmt.Fprintf(&cases, "\t--%s) words='%s' ;;\n", f.name, f.choices())
		default:
			others = append(others, "--"+f.name)
		}
		words = append(words, "--"+f.name+"=")
	}
	return `# Written by: go test ./state/settings -run TestCompletions -update
_network_metrics_exporter() {
	local cur=$2 prev=$3 words
	# --flag=value is three words to bash.
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case $prev in
	` + strings.Join(paths, " | ") + `)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	` + strings.Join(others, " | ") + `) return ;;
` + cases.String() + `	*)
		words='` + namedCommands() + `'
		[[ $cur != -* ]] || words='` + strings.Join(words, " ") + `'
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
}
complete -F _network_metrics_exporter network-metrics-exporter
`
}

// zshCompletion gives the file for zsh.
func zshCompletion() string {
	lines := []string{
		"#compdef network-metrics-exporter",
		"# Written by: go test ./state/settings -run TestCompletions -update",
		"_arguments \\",
		"\t'1:command:(" + namedCommands() + ")' \\",
		"\t'(- *)'{-h,--help}'[Print a help]' \\",
		"\t'(- *)--version[Print the version]' \\",
	}
	for i := range flags {
		f := &flags[i]
		action := " "
		switch {
		case f.arg == "":
			lines = append(lines,
				fmt.Sprintf("\t'(--no-%s)--%[1]s[%s]' \\", f.name, f.summary()),
				fmt.Sprintf("\t'(--%s)--no-%[1]s[Not that]' \\", f.name))
			continue
		case f.path:
			action = "_files"
		case f.name == "interface":
			action = "_net_interfaces"
		case f.choices() != "":
			action = "(" + f.choices() + ")"
		}
		star := ""
		if f.repeats {
			star = "*"
		}
		lines = append(lines, fmt.Sprintf("\t'%s--%s=[%s]:%s:%s' \\", star, f.name, f.summary(), f.arg, action))
	}
	last := len(lines) - 1
	lines[last] = strings.TrimSuffix(lines[last], " \\")
	return strings.Join(lines, "\n") + "\n"
}

// fishCompletion gives the file for fish.
func fishCompletion() string {
	const complete = "complete -c network-metrics-exporter"
	lines := []string{"# Written by: go test ./state/settings -run TestCompletions -update", complete + " -f"}
	for _, c := range commandHelp {
		if c.command != Bare {
			lines = append(lines, fmt.Sprintf("%s -n __fish_use_subcommand -a %s -d '%s'", complete, c.command, c.help))
		}
	}
	lines = append(lines, complete+" -s h -l help -d 'Print a help'", complete+" -l version -d 'Print the version'")
	for i := range flags {
		f := &flags[i]
		of := ""
		if f.commands != nil {
			var names []string
			for _, c := range f.commands {
				names = append(names, string(c))
			}
			of = " -n '__fish_seen_subcommand_from " + strings.Join(names, " ") + "'"
		}
		value := ""
		switch {
		case f.arg == "":
			lines = append(lines, fmt.Sprintf("%s%s -l no-%s", complete, of, f.name))
		case f.path:
			value = " -rF"
		case f.name == "interface":
			value = " -x -a '(__fish_print_interfaces)'"
		case f.choices() != "":
			value = " -x -a '" + f.choices() + "'"
		default:
			value = " -x"
		}
		lines = append(lines, fmt.Sprintf("%s%s -l %s%s -d '%s'", complete, of, f.name, value, f.summary()))
	}
	return strings.Join(lines, "\n") + "\n"
}
