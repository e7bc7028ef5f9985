package settings

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"network-metrics-exporter/state"
)

// flag is one of the flags that the program has.
type flag struct {
	name string
	env  string // the variable that can set it; empty: none
	arg  string // what stands for its value in the help; empty: it is a switch
	def  string // its default, as a value; empty: none
	// unset says what holds by default where no value is: empty for a switch,
	// which is off.
	unset string
	help  string
	want  string // what a value has to be

	commands []Command // that have the flag; nil: all
	repeats  bool      // several values add up; otherwise the last one counts
	words    bool      // a value is several with spaces between
	path     bool      // a value is a path
	perRun   bool      // it says nothing about later runs
	notBare  bool      // a Bare run does not take it from the last sample

	set func(s *Settings, value string) bool // reports whether the value is good
}

// The values of a switch.
const (
	on  = "true"
	off = "false"
)

// flags are all flags but --help and --version, in the order of the help.
var flags = []flag{
	{name: "output", arg: "PATH", def: "/run/network-metrics-exporter/network_metrics.prom", path: true, notBare: true,
		help: "The file to replace, which node_exporter has to find; - prints to standard output instead.",
		want: "a path, or - for standard output",
		set:  flagVar(func(s *Settings) *string { return &s.Output }, parseOutput)},
	{name: "state-dir", arg: "DIR", def: "/var/lib/network-metrics-exporter", path: true, perRun: true,
		help: "Directory of totals, names and the previous sample.",
		want: "a path",
		set:  flagVar(func(s *Settings) *string { return &s.StateDir }, parsePath)},
	{name: "checkpoint-interval", arg: "DURATION", def: "0",
		help: "0: every run writes to the state directory; else the state is kept in /run and written there this often.",
		want: "0, or a duration such as 60s",
		set:  flagVar(func(s *Settings) *time.Duration { return &s.CheckpointInterval }, parseDuration)},
	{name: "conntrack-budget", arg: "PERCENT", def: "5",
		help: "CPU time that counting connections may take, in percent of one core; a dump that costs more is taken less often.",
		want: "a number of percent from 0.1 to 100",
		set:  flagVar(func(s *Settings) *float64 { return &s.ConntrackBudget }, parsePercent)},
	{name: "connections-by-protocol",
		help: "Count the connections of each client by protocol as well.",
		set:  flagVar(func(s *Settings) *bool { return &s.PerProtocol }, parseSwitch)},
	{name: "interface", env: "TRAFFIC_INTERFACE", arg: "NAME", def: "br-lan", repeats: true, words: true,
		help: "LAN interface: its neighbours are clients; a trailing * stands for every interface whose name begins so.",
		want: "an interface name of 1 to 15 characters, or the beginning of one and a trailing *, as ppp*",
		set:  flagList(func(s *Settings) *[]string { return &s.Interfaces }, parseInterface)},
	{name: "network", env: "NETWORK_PREFIX", arg: "CIDR", unset: "those of the LAN interfaces", repeats: true, words: true,
		help: "Network of the clients; if only IPv4 networks are given, those of IPv6 still come from the LAN interfaces, and the other way round.",
		want: "a CIDR such as 192.168.10.0/24 or fd00::/64, or the three octets 192.168.10",
		set:  flagList(func(s *Settings) *[]netip.Prefix { return &s.Networks }, parseNetwork)},
	{name: "accounting", arg: "LAYOUT", def: "sets",
		help: "How bytes are counted: sets and rules are put in place in nftables and kept there; flows counts TCP and UDP by conntrack, for routers with flow offload (a flowtable); off reads what is there and never writes to nftables.",
		want: "sets, rules, flows or off",
		set:  flagVar(func(s *Settings) *state.Layout { return &s.Accounting }, parseLayout)},
	{name: "leases", arg: "PATH", unset: "those of the usual DHCP servers that exist", repeats: true, path: true,
		help: "Lease file of a DHCP server, in any known format, instead of the usual files.",
		want: "a path",
		set:  flagList(func(s *Settings) *[]string { return &s.Leases }, parsePath)},
	{name: "hosts", arg: "PATH", unset: "/var/lib/dnsmasq/dhcp-hosts, if it exists", repeats: true, path: true,
		help: "File of static names, in the format of hosts(5), ethers(5) or dnsmasq's dhcp-host.",
		want: "a path",
		set:  flagList(func(s *Settings) *[]string { return &s.Hosts }, parsePath)},
	{name: "reverse-dns",
		help: "Ask the system's resolver for names that neither a lease nor a static entry gives.",
		set:  flagVar(func(s *Settings) *bool { return &s.ReverseDNS }, parseSwitch)},
	{name: "interval", env: "UPDATE_INTERVAL", arg: "SECONDS", def: "2",
		help: "Planned time between two runs.",
		want: "a number of seconds from 0.1 to 86400",
		set:  flagVar(func(s *Settings) *time.Duration { return &s.Interval }, parseSeconds)},
	{name: "wait", perRun: true,
		help: "With no earlier sample, take one, wait for the interval and take another, so that there are rates.",
		set:  flagVar(func(s *Settings) *bool { return &s.Wait }, parseSwitch)},
	{name: "online-window", arg: "DURATION", def: "5m",
		help: "How recent a sign of life makes a client online when the kernel's neighbour entry alone does not tell.",
		want: "a duration such as 5m",
		set:  flagVar(func(s *Settings) *time.Duration { return &s.OnlineWindow }, parseDuration)},
	{name: "max-clients", arg: "N", def: "1024",
		help: "How many clients, and how many devices, have series of their own; the others are added up in one series.",
		want: "a number from 1 to 1000000",
		set:  flagVar(func(s *Settings) *int { return &s.MaxClients }, parseCount)},
	{name: "forget-after", arg: "DURATION", def: "168h",
		help: "How long an absent client stays in the metrics.",
		want: "a duration such as 168h",
		set:  flagVar(func(s *Settings) *time.Duration { return &s.ForgetAfter }, parseDuration)},
	{name: "period-start", arg: "DAY", def: "1",
		help: "Day of the month on which the current period begins, at midnight local time; in shorter months their last day.",
		want: "a day of the month from 1 to 31",
		set:  flagVar(func(s *Settings) *int { return &s.PeriodStart }, parseDay)},
	{name: "log.level", arg: "LEVEL", def: "info", perRun: true,
		help: "Only log messages of this severity or above: debug, info, warn or error.",
		want: "debug, info, warn or error",
		set:  func(s *Settings, v string) bool { return s.Log.Level.Set(v) == nil }},
	{name: "log.format", arg: "FORMAT", def: "logfmt", perRun: true,
		help: "Format of log messages: logfmt or json.",
		want: "logfmt or json",
		set:  func(s *Settings, v string) bool { return s.Log.Format.Set(v) == nil }},

	{name: "json", commands: []Command{Show, Check}, perRun: true,
		help: "Print JSON, in base units.",
		set:  flagVar(func(s *Settings) *bool { return &s.JSON }, parseSwitch)},
	{name: "sort", arg: "ORDER", def: "traffic", commands: []Command{Show}, perRun: true,
		help: "Order of the devices: " + sortNames() + ".",
		want: sortNames(),
		set:  flagVar(func(s *Settings) *string { return &s.Sort }, parseSort)},
	{name: "addresses", commands: []Command{Show}, perRun: true,
		help: "Print the addresses of each device too.",
		set:  flagVar(func(s *Settings) *bool { return &s.Addresses }, parseSwitch)},
	{name: "port", env: "METRICS_PORT", arg: "PORT", def: "9101", commands: []Command{Check},
		help: "Port of the node_exporter that serves nothing but the file.",
		want: "a port from 1 to 65535",
		set:  flagVar(func(s *Settings) *uint16 { return &s.Port }, parsePort)},
}

// of reports whether a command has the flag.
func (f *flag) of(c Command) bool { return f.commands == nil || slices.Contains(f.commands, c) }

// find returns the flag of a name as it was written, without the dashes, and the
// value that a switch of that name has.
func find(name string) (f *flag, value string) {
	for i := range flags {
		switch f := &flags[i]; {
		case f.name == name:
			return f, on
		case f.arg == "" && strings.TrimPrefix(name, "no-") == f.name:
			return f, off
		}
	}
	return nil, ""
}

// flagVar returns a setter of a flag with one value: the last one counts.
func flagVar[T any](of func(*Settings) *T, parse func(string) (T, bool)) func(*Settings, string) bool {
	return func(s *Settings, value string) bool {
		v, ok := parse(value)
		*of(s) = v
		return ok
	}
}

// flagList returns a setter of a flag whose values add up.
func flagList[T any](of func(*Settings) *[]T, parse func(string) (T, bool)) func(*Settings, string) bool {
	return func(s *Settings, value string) bool {
		v, ok := parse(value)
		*of(s) = append(*of(s), v)
		return ok
	}
}
