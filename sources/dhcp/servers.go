package dhcp

import (
	"cmp"
	"path/filepath"
	"strings"
)

// Server is a program that gives out leases which can be read.
type Server struct {
	Name    string // as in File.Format
	Process string // what its processes are called
	// paths are those of its lease files unless it is told otherwise.
	paths []string
	// told returns the lease file that a command line names, if it does.
	told func(args []string) string
}

// Servers returns the servers whose leases can be read.
func Servers() []Server {
	return []Server{
		{dnsmasqFormat.name, "dnsmasq", dnsmasqPaths, dnsmasqTold},
		{dnsmasqFormat.name, "pihole-FTL", dnsmasqPaths, nil},
		{keaFormat.name, "kea-dhcp4", keaPaths[:1], nil},
		{keaFormat.name, "kea-dhcp6", keaPaths[1:], nil},
		{networkdFormat.name, "systemd-networkd", networkdPaths, nil},
		{iscFormat.name, "dhcpd", iscPaths, func(args []string) string { return option(args, "-lf") }},
		{adguardFormat.name, "AdGuardHome", adguardPaths, adguardTold},
	}
}

// Files returns where a server with a command line keeps its leases: the file that
// the command line names, or else the default files of the server, of which one that
// ends in an asterisk stands for all files of a directory.
func (s Server) Files(args []string) []string {
	if s.told != nil {
		if path := s.told(args); filepath.IsAbs(path) {
			return []string{filepath.Clean(path)}
		}
	}
	return s.paths
}

// dnsmasqTold knows dnsmasq's command line and, if that says nothing, the one
// configuration file that it names or that is the default.
func dnsmasqTold(args []string) string {
	if path := option(args, "--dhcp-leasefile", "-l"); path != "" {
		return path
	}
	f, size, err := open(cmp.Or(option(args, "--conf-file", "-C"), "/etc/dnsmasq.conf"))
	if err != nil {
		return ""
	}
	defer f.Close()
	text, _ := load(f, size)
	path := ""
	for line := range strings.Lines(text) {
		if key, value, _ := strings.Cut(line, "="); strings.TrimSpace(key) == "dhcp-leasefile" {
			value, _, _ = strings.Cut(value, "#")
			path = strings.TrimSpace(value)
		}
	}
	return path
}

// adguardTold knows AdGuard Home's working directory.
func adguardTold(args []string) string {
	if dir := option(args, "--work-dir", "-w"); dir != "" {
		return filepath.Join(dir, "data/leases.json")
	}
	return ""
}

// option returns the last value that a command line gives to one of the options, as
// the next argument or, of a long one, behind an equals sign.
func option(args []string, names ...string) (value string) {
	for i, arg := range args {
		for _, name := range names {
			switch rest, ok := strings.CutPrefix(arg, name); {
			case !ok:
			case rest == "" && i+1 < len(args):
				value = args[i+1]
			case strings.HasPrefix(rest, "="):
				value = rest[1:]
			}
		}
	}
	return value
}
