package health

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"network-metrics-exporter/sources/dhcp"
)

// process is a program that runs, of those that an examination looks for.
type process struct {
	name string   // as /proc/PID/comm has it
	args []string // its command line
	pid  int
	user
}

// maxComm is what /proc/PID/comm has of a name at most: TASK_COMM_LEN of
// linux/sched.h without the NUL.
const maxComm = 15

// The programs that an examination looks for, besides the DHCP servers.
var (
	exporters = []string{"node_exporter", "prometheus-node-exporter"}
	resetters = []string{"nlbwmon"}
)

// comm returns what /proc/PID/comm has of the name of a program.
func comm(program string) string { return program[:min(len(program), maxComm)] }

// findProcesses finds, by their names, the programs in this network namespace that
// an examination looks for: those of others, in containers say, have nothing to do
// with this machine's clients.
func findProcesses() []process {
	wanted := make(map[string]bool)
	for _, program := range slices.Concat(exporters, resetters) {
		wanted[comm(program)] = true
	}
	for _, s := range dhcp.Servers() {
		wanted[comm(s.Process)] = true
	}
	// What /proc/PID/net has is a file of its own in each network namespace. Whoever
	// has no right to look at /proc/PID/ns can look at that.
	own, err := os.Stat("/proc/self/net/dev")
	if err != nil {
		return nil
	}
	var found []process
	paths, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, path := range paths {
		text, err := os.ReadFile(path + "/comm")
		name := strings.TrimSuffix(string(text), "\n")
		if err != nil || !wanted[name] {
			continue
		}
		if network, err := os.Stat(path + "/net/dev"); err != nil || !os.SameFile(network, own) {
			continue
		}
		// It may have ended.
		status, statusErr := os.ReadFile(path + "/status")
		line, lineErr := os.ReadFile(path + "/cmdline") // each argument ends with a NUL
		pid, pidErr := strconv.Atoi(filepath.Base(path))
		if statusErr != nil || lineErr != nil || pidErr != nil {
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		found = append(found, process{name, args, pid, parseUser(string(status))})
	}
	return found
}

// named returns the processes of some programs.
func (m Machine) named(programs ...string) []process {
	return slices.DeleteFunc(slices.Clone(m.processes), func(p process) bool {
		return !slices.ContainsFunc(programs, func(program string) bool { return comm(program) == p.name })
	})
}

// options returns the values that a command line gives to an option, behind an equals
// sign or as the next argument.
func (p process) options(option string) (values []string) {
	for i, arg := range p.args {
		switch rest, ok := strings.CutPrefix(arg, option); {
		case !ok:
		case rest == "" && i+1 < len(p.args):
			values = append(values, p.args[i+1])
		case strings.HasPrefix(rest, "="):
			values = append(values, rest[1:])
		}
	}
	return values
}

// parseUser takes who a process runs as from /proc/PID/status (proc(5)): file
// system user and group, and the further groups.
func parseUser(status string) user {
	var u user
	for line := range strings.Lines(status) {
		key, rest, _ := strings.Cut(line, ":")
		ids := numbers(rest)
		switch {
		case key == "Uid" && len(ids) == 4:
			u.known, u.uid = true, ids[3]
		case key == "Gid" && len(ids) == 4:
			u.gids = append(u.gids, ids[3])
		case key == "Groups":
			u.gids = append(u.gids, ids...)
		}
	}
	return u
}

func numbers(text string) (ns []uint32) {
	for field := range strings.FieldsSeq(text) {
		if n, err := strconv.ParseUint(field, 10, 32); err == nil {
			ns = append(ns, uint32(n))
		}
	}
	return ns
}

// resetters looks for programs that spoil what they share with others.
func (m Machine) resetters() []Finding {
	const name = "nlbwmon"
	for _, p := range m.named(resetters...) {
		return []Finding{warn(name, "systemctl disable --now nlbwmon",
			"nlbwmon (process %d) zeroes the counters of conntrack, under every other program that reads them", p.pid)}
	}
	return []Finding{ok(name, "nothing zeroes the counters of conntrack")}
}
