package settings

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/version"

	"network-metrics-exporter/state"
)

// workDir is the working directory in tests.
const workDir = "/home/admin"

// environment returns what os.Getenv would, from NAME=value.
func environment(variables ...string) func(string) string {
	return func(name string) string {
		for _, v := range variables {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// defaults returns the settings without a flag.
func defaults() *Settings {
	return &Settings{
		Config: state.Config{
			Interval: 2 * time.Second, OnlineWindow: 5 * time.Minute, ForgetAfter: 168 * time.Hour,
			MaxClients: 1024, ConntrackBudget: 5, Accounting: state.Sets, PeriodStart: 1,
		},
		Output:     "/run/network-metrics-exporter/network_metrics.prom",
		StateDir:   "/var/lib/network-metrics-exporter",
		RuntimeDir: "/run/network-metrics-exporter",
		Interfaces: []string{"br-lan"},
		Sort:       "traffic",
		Port:       9101,
	}
}

// same compares settings, but for Explicit, which has tests of its own, and when the
// program was built.
var same = cmp.Options{
	cmpopts.IgnoreUnexported(Settings{}),
	cmpopts.IgnoreFields(Settings{}, "Explicit", "Config.Built"),
	cmpopts.EquateComparable(netip.Prefix{}),
	cmpopts.EquateEmpty(),
	cmp.Transformer("log", func(c promslog.Config) string {
		if c.Level == nil {
			return "info logfmt"
		}
		return c.Level.String() + " " + c.Format.String()
	}),
}

func networks(texts ...string) (ps []netip.Prefix) {
	for _, text := range texts {
		ps = append(ps, netip.MustParsePrefix(text))
	}
	return ps
}

// TestParse reads flags and the environment, and again what is to be remembered of
// them.
func TestParse(t *testing.T) {
	for _, test := range []struct {
		name string
		env  []string
		args []string
		want func(*Settings)
	}{
		{"defaults", nil, nil, func(*Settings) {}},
		{"the original's environment",
			[]string{"UPDATE_INTERVAL=5", "NETWORK_PREFIX=192.168.10", "TRAFFIC_INTERFACE=eth1", "METRICS_PORT=9200"}, nil,
			func(s *Settings) {
				s.Interval, s.Networks, s.Interfaces = 5*time.Second, networks("192.168.10.0/24"), []string{"eth1"}
			}},
		{"several in the environment",
			[]string{"NETWORK_PREFIX=192.168.10 10.1.2.3/8 fd00::1/64", "TRAFFIC_INTERFACE= eth1\teth2 "}, nil,
			func(s *Settings) {
				s.Networks, s.Interfaces = networks("192.168.10.0/24", "10.0.0.0/8", "fd00::/64"), []string{"eth1", "eth2"}
			}},
		{"flags win over the environment",
			[]string{"UPDATE_INTERVAL=5", "TRAFFIC_INTERFACE=eth1"},
			[]string{"--interval=0.5", "--interface=br0", "--interface=br0.7"},
			func(s *Settings) {
				s.Interval, s.Interfaces = 500*time.Millisecond, []string{"br0", "br0.7"}
			}},
		{"variables that are empty or blank", []string{"UPDATE_INTERVAL=", "NETWORK_PREFIX= ", "TRAFFIC_INTERFACE=\t", "METRICS_PORT= "}, nil, func(*Settings) {}},
		{"a variable with blanks around", []string{"UPDATE_INTERVAL= 7 "}, nil, func(s *Settings) { s.Interval = 7 * time.Second }},
		{"a variable of another command", []string{"METRICS_PORT=http"}, nil, func(*Settings) {}},
		{"a runtime directory", []string{"RUNTIME_DIRECTORY=/run/a:/run/b"}, nil, func(s *Settings) { s.RuntimeDir = "/run/a" }},
		{"several interfaces that begin alike", nil, []string{"--interface=ppp*", "--interface=wg0"}, func(s *Settings) { s.Interfaces = []string{"ppp*", "wg0"} }},
		{"switches", nil, []string{"--reverse-dns", "--connections-by-protocol", "--wait"},
			func(s *Settings) { s.ReverseDNS, s.PerProtocol, s.Wait = true, true, true }},
		{"switches that are off", nil, []string{"--no-reverse-dns", "--wait", "--no-wait"}, func(*Settings) {}},
		{"values in words of their own", nil, []string{"--interval", "3", "--output", "-", "--hosts", "/c", "--hosts=/d"},
			func(s *Settings) { s.Interval, s.Output, s.Hosts = 3*time.Second, "-", []string{"/c", "/d"} }},
		{"files", nil, []string{"--leases=/a", "--leases=b=c", "--hosts=../c", "--output=x.prom", "--state-dir=./d"},
			func(s *Settings) {
				s.Leases, s.Hosts = []string{"/a", workDir + "/b=c"}, []string{"/home/c"}
				s.Output, s.StateDir = workDir+"/x.prom", workDir+"/d"
			}},
		{"durations", nil, []string{"--online-window=90s", "--forget-after=1w", "--checkpoint-interval=1m30s"},
			func(s *Settings) {
				s.OnlineWindow, s.ForgetAfter, s.CheckpointInterval = 90*time.Second, 168*time.Hour, 90*time.Second
			}},
		{"accounting", nil, []string{"--accounting=flows", "--max-clients=7", "--period-start=31", "--conntrack-budget=0.5"},
			func(s *Settings) { s.Accounting, s.MaxClients, s.PeriodStart, s.ConntrackBudget = "flows", 7, 31, 0.5 }},
		{"the last value counts", nil, []string{"--accounting=rules", "--interval=1", "--output=/a", "--accounting=off", "--interval=4", "--output=/b"},
			func(s *Settings) { s.Accounting, s.Interval, s.Output = state.Off, 4*time.Second, "/b" }},
		{"log", nil, []string{"--log.level=debug", "--log.format=json"}, func(s *Settings) {
			s.Log.Level, s.Log.Format = promslog.NewLevel(), promslog.NewFormat()
			if s.Log.Level.Set("debug") != nil || s.Log.Format.Set("json") != nil {
				panic("promslog knows neither debug nor json")
			}
		}},
	} {
		for _, command := range []Command{Bare, Sample} {
			t.Run(test.name+" "+string(command), func(t *testing.T) {
				args := test.args
				if command != Bare {
					args = append([]string{string(command)}, args...)
				}
				got, err := Parse(args, environment(test.env...), workDir)
				if err != nil {
					t.Fatal(err)
				}
				want := defaults()
				test.want(want)
				want.Command = command
				if diff := cmp.Diff(want, got, same); diff != "" {
					t.Errorf("settings (-want +got):\n%s", diff)
				}

				// What is remembered says it all, also to a run elsewhere, but for what
				// is only about this run.
				again, err := Parse([]string{"teardown"}, environment(), "/elsewhere")
				if err != nil {
					t.Fatal(err)
				}
				warnings, err := again.ApplyRemembered(got.Explicit)
				if err != nil || len(warnings) > 0 {
					t.Fatal(warnings, err)
				}
				fresh := defaults()
				want.Command, want.StateDir, want.RuntimeDir, want.Wait, want.Log = Teardown, fresh.StateDir, fresh.RuntimeDir, false, fresh.Log
				if port, _ := parsePort(environment(test.env...)("METRICS_PORT")); port != 0 {
					want.Port = port
				}
				if diff := cmp.Diff(want, again, same); diff != "" {
					t.Errorf("settings recalled (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestParseCommands reads the flags that only some commands have, before and
// behind the command.
func TestParseCommands(t *testing.T) {
	for _, test := range []struct {
		args string
		env  string
		want func(*Settings)
	}{
		{"show", "", func(s *Settings) { s.Command = Show }},
		{"show --json --sort=name --addresses", "", func(s *Settings) { s.Command, s.JSON, s.Sort, s.Addresses = Show, true, "name", true }},
		{"--addresses show", "", func(s *Settings) { s.Command, s.Addresses = Show, true }},
		{"check --json --port 9200", "", func(s *Settings) { s.Command, s.JSON, s.Port = Check, true, 9200 }},
		{"check", "METRICS_PORT=9200", func(s *Settings) { s.Command, s.Port = Check, 9200 }},
		{"teardown --interval=3", "", func(s *Settings) { s.Command, s.Interval = Teardown, 3*time.Second }},
	} {
		got, err := Parse(strings.Fields(test.args), environment(test.env), workDir)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		want := defaults()
		test.want(want)
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.args, diff)
		}
	}
}

// TestHelpAndVersion are asked for whatever else there is to say.
func TestHelpAndVersion(t *testing.T) {
	for _, test := range []struct {
		args string
		want *Settings
	}{
		{"--help", &Settings{Help: true}},
		{"-h", &Settings{Help: true}},
		{"show --interval=abc --help", &Settings{Command: Show, Help: true}},
		{"--help check", &Settings{Command: Check, Help: true}},
		{"--version", &Settings{Version: true}},
	} {
		got, err := Parse(strings.Fields(test.args), environment("UPDATE_INTERVAL=abc"), workDir)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
		} else if diff := cmp.Diff(test.want, got, same); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.args, diff)
		}
	}
}

// refused parses arguments that have to be refused by one line with all of the
// given texts.
func refused(t *testing.T, args []string, variable string, want ...string) {
	t.Helper()
	got, err := Parse(args, environment(variable), workDir)
	if err == nil {
		t.Errorf("%q, %q: accepted, with %+v", args, variable, got)
		return
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q, %q: %q is not in: %v", args, variable, text, err)
		}
	}
	if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%q: more than one line of text: %q", args, err)
	}
}

// TestMissingValue ends the command line with each flag, without its value, and
// puts each before another flag.
func TestMissingValue(t *testing.T) {
	tried := 0
	for _, f := range flags {
		if f.arg == "" {
			continue
		}
		for _, command := range []Command{Bare, Sample, Show, Check, Teardown} {
			if !f.of(command) {
				continue
			}
			tried++
			args := slices.DeleteFunc([]string{string(command)}, func(c string) bool { return c == "" })
			missing := "--" + f.name + ": its value is missing: want " + f.want
			refused(t, append(args, "--"+f.name), "", missing)
			refused(t, append(args, "--interval=2", "--wait", "--"+f.name), "", missing)
			refused(t, append(args, "--"+f.name, "--wait"), "", missing)
			refused(t, append([]string{"--" + f.name, "-2"}, args...), "", missing)
			// An empty one is no value either.
			refused(t, append(args, "--"+f.name, ""), "", "--"+f.name+"=: want "+f.want)
			refused(t, append(args, "--"+f.name+"="), "", "--"+f.name+"=: want "+f.want)
		}
	}
	if tried < len(flags) {
		t.Errorf("%d combinations for %d flags", tried, len(flags))
	}
}

// TestBadValues gives flags what they do not take, at the end of the command line,
// before good flags, and before a value that would count in its place.
func TestBadValues(t *testing.T) {
	for _, test := range []struct{ flag, want string }{
		{"--interval=0", "a number of seconds from 0.1 to 86400"},
		{"--interval=0.09", "a number of seconds from 0.1 to 86400"},
		{"--interval=-2", "a number of seconds"},
		{"--interval=NaN", "a number of seconds"},
		{"--interval=2s", "a number of seconds"},
		{"--interval=1000000", "a number of seconds"},
		{"--interval=abc", "a number of seconds"},
		{"--conntrack-budget=0", "a number of percent from 0.1 to 100"},
		{"--conntrack-budget=101", "a number of percent"},
		{"--conntrack-budget=NaN", "a number of percent"},
		{"--conntrack-budget=5%", "a number of percent"},
		{"--network=192.168.10.0/33", "a CIDR"},
		{"--network=192.168.10.1", "a CIDR"},
		{"--network=192.168", "the three octets"},
		{"--network=10", "the three octets"},
		{"--network=10.", "the three octets"},
		{"--network=192.168.", "a CIDR"},
		{"--network=.168.10", "a CIDR"},
		{"--network=300.168.10", "a CIDR"},
		{"--network=fd00::", "a CIDR"},
		{"--network=fd00", "a CIDR"},
		{"--network=::ffff:192.168.10.0/120", "a CIDR"},
		{"--network=fe80::1%br-lan/64", "a CIDR"},
		{"--interface=a/b", "an interface name"},
		{"--interface=sixteen-letters.", "an interface name"},
		{"--interface=sixteen-letters.*", "an interface name"},
		{"--interface=*", "an interface name"},
		{"--interface=.", "an interface name"},
		{"--interface=a:b", "an interface name"},
		{"--online-window=5", "a duration such as 5m"},
		{"--online-window=-5m", "a duration"},
		{"--forget-after=week", "a duration such as 168h"},
		{"--checkpoint-interval=60", "0, or a duration such as 60s"},
		{"--accounting=set", "sets, rules, flows or off"},
		{"--accounting=none", "sets, rules, flows or off"},
		{"--max-clients=0", "a number from 1 to 1000000"},
		{"--max-clients=many", "a number from 1"},
		{"--max-clients=1000001", "a number from 1"},
		{"--period-start=0", "a day of the month from 1 to 31"},
		{"--period-start=32", "a day of the month"},
		{"--state-dir=-", "a path"},
		{"--leases=-", "a path"},
		{"--log.level=loud", "debug, info, warn or error"},
		{"--log.format=xml", "logfmt or json"},
		{"--wait=true", "--wait or --no-wait, without a value"},
		{"--no-wait=", "--wait or --no-wait, without a value"},
		{"--nonsense", "unknown flag"},
		{"--nonsense=5", "unknown flag"},
		{"--no-interval", "unknown flag"},
		{"--no-interval=2", "unknown flag"},
		{"-interval=2", "unknown flag"},
		{"-x", "unknown flag"},
		{"-", "unknown flag"},
		{"--", "unknown flag"},
		{"nonsense", "want one of the commands sample, show, check and teardown"},
	} {
		want := []string{test.flag + ": ", test.want}
		refused(t, []string{test.flag}, "", want...)
		refused(t, []string{"--interval=2", "--output=/x", test.flag}, "", want...)
		refused(t, []string{test.flag, "--output=/x", "--interval=2", "--max-clients=9"}, "", want...)
		refused(t, []string{"sample", "--output=/x", test.flag}, "", want...)
		if name, value, ok := strings.Cut(test.flag, "="); ok && !strings.HasPrefix(value, "-") && !slices.Contains([]string{"unknown flag", "--wait or --no-wait, without a value"}, test.want) {
			refused(t, []string{"--output=/x", name, value}, "", want...)
		}
	}
}

// TestBadWords are refused in words that a terminal can show.
func TestBadWords(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{""}, `"": want one of the commands`},
		{[]string{"--wait", "a\nb"}, `a\nb: want one of the commands`},
		{[]string{"--interface=br\xfflan"}, `--interface=br\xfflan: want an interface name`},
		{[]string{"--interval=\x1b[31m"}, `--interval=\x1b[31m: want a number`},
		{[]string{"--\x1b[31m"}, `--\x1b[31m: unknown flag`},
		{[]string{"show", "check"}, "check: want one command, and show is one"},
		{[]string{"sample", "sample"}, "sample: want one command, and sample is one"},
		{[]string{"check", "--sort=name"}, "--sort=name: only the command show has this flag"},
		{[]string{"--json"}, "--json: only the command show or check has this flag"},
		{[]string{"sample", "--port=9101"}, "--port=9101: only the command check has this flag"},
		{[]string{"show", "--sort=size"}, "--sort=size: want traffic, download, upload, month, total, connections, seen, new, name or address"},
		{[]string{"check", "--port=0"}, "--port=0: want a port from 1 to 65535"},
		{[]string{"check", "--port=65536"}, "--port=65536: want a port from 1 to 65535"},
	} {
		refused(t, test.args, "", test.want)
	}
}

// TestBadVariables names them, and not the flags that they stand for.
func TestBadVariables(t *testing.T) {
	for _, test := range []struct{ variable, want string }{
		{"UPDATE_INTERVAL=abc", "UPDATE_INTERVAL=abc: want a number of seconds from 0.1 to 86400"},
		{"NETWORK_PREFIX=192.168.10 10", "NETWORK_PREFIX=10: want a CIDR"},
		{"TRAFFIC_INTERFACE=br-lan a/b", "TRAFFIC_INTERFACE=a/b: want an interface name"},
	} {
		for _, command := range []string{"sample", "show", "check", "teardown"} {
			refused(t, []string{command}, test.variable, test.want)
		}
	}
	refused(t, []string{"check"}, "METRICS_PORT=http", "METRICS_PORT=http: want a port from 1 to 65535")
}

// TestExplicit looks at what the next runs are told.
func TestExplicit(t *testing.T) {
	for _, test := range []struct {
		args, env string
		want      []string
	}{
		{"", "", nil},
		{"--state-dir=/s --wait --log.level=debug --log.format=json", "", nil},
		{"--interval=2 --interface=b --interface=a --no-reverse-dns --connections-by-protocol", "",
			[]string{"--interval=2", "--interface=b", "--interface=a", "--no-reverse-dns", "--connections-by-protocol"}},
		{"--output=x.prom --leases=../l", "", []string{"--output=" + workDir + "/x.prom", "--leases=/home/l"}},
		{"--output=-", "", []string{"--output=-"}},
		{"", "TRAFFIC_INTERFACE=eth1 eth2", []string{"--interface=eth1", "--interface=eth2"}},
		{"--interface=br0", "TRAFFIC_INTERFACE=eth1", []string{"--interface=br0"}},
		{"", "METRICS_PORT=9200", []string{"--port=9200"}},
		{"", "METRICS_PORT=http", nil},
		{"", "UPDATE_INTERVAL= ", nil},
	} {
		s, err := Parse(append(strings.Fields(test.args), "sample"), environment(test.env), workDir)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		if diff := cmp.Diff(test.want, s.Explicit); diff != "" {
			t.Errorf("%s, %s (-want +got):\n%s", test.args, test.env, diff)
		}
	}
}

// TestApplyRemembered fills in what a command is not given.
func TestApplyRemembered(t *testing.T) {
	remembered := []string{"--interval=5", "--interface=lan0", "--interface=guest0", "--accounting=rules", "--output=/x.prom", "--port=9200", "--reverse-dns"}
	for _, test := range []struct {
		name       string
		args, env  string
		remembered []string
		want       func(*Settings)
		warnings   []string
	}{
		{"show", "show", "", remembered, func(s *Settings) {
			s.Interval, s.Interfaces, s.Accounting, s.Output, s.Port, s.ReverseDNS = 5*time.Second, []string{"lan0", "guest0"}, state.Rules, "/x.prom", 9200, true
		}, nil},
		{"a bare run does not take the output", "", "", remembered, func(s *Settings) {
			s.Interval, s.Interfaces, s.Accounting, s.Port, s.ReverseDNS = 5*time.Second, []string{"lan0", "guest0"}, state.Rules, 9200, true
		}, nil},
		{"the command line comes first", "check --interval=7 --port=9300 --interface=br0 --no-reverse-dns", "", remembered, func(s *Settings) {
			s.Interval, s.Interfaces, s.Accounting, s.Output, s.Port = 7*time.Second, []string{"br0"}, state.Rules, "/x.prom", 9300
		}, nil},
		{"the environment comes last", "check", "UPDATE_INTERVAL=9", remembered, func(s *Settings) {
			s.Interval, s.Interfaces, s.Accounting, s.Output, s.Port, s.ReverseDNS = 5*time.Second, []string{"lan0", "guest0"}, state.Rules, "/x.prom", 9200, true
		}, nil},
		{"the environment, before the default", "check", "METRICS_PORT=9300", []string{"--interval=5"}, func(s *Settings) {
			s.Interval, s.Port = 5*time.Second, 9300
		}, nil},
		{"nothing but defaults", "teardown", "", []string{}, func(*Settings) {}, nil},
		{"flags of another version", "show", "", []string{"--colour=red", "--interval=5", "--no-wonder", "--max-clients=2000000", "nonsense", "", "--interval"},
			func(s *Settings) { s.Interval = 5 * time.Second },
			[]string{"--colour=red", "--no-wonder", "--max-clients=2000000", "nonsense", `""`, "--interval"}},
		{"a bare run that says the same", "--accounting=rules --interface=guest0 --interface=lan0 --interval=1", "TRAFFIC_INTERFACE=br0", remembered, func(s *Settings) {
			s.Interval, s.Interfaces, s.Accounting, s.Port, s.ReverseDNS = time.Second, []string{"guest0", "lan0"}, state.Rules, 9200, true
		}, nil},
		{"flags that are about one run", "show", "", []string{"--state-dir=/elsewhere", "--wait", "--log.level=error", "--json", "--interval=5"},
			func(s *Settings) { s.Interval = 5 * time.Second }, nil},
		{"several interfaces as version 0.1 wrote them", "show", "", []string{"--interface=eth1 eth2"},
			func(s *Settings) { s.Interfaces = []string{"eth1", "eth2"} }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Parse(strings.Fields(test.args), environment(test.env), workDir)
			if err != nil {
				t.Fatal(err)
			}
			command := got.Command
			warnings, err := got.ApplyRemembered(test.remembered)
			if err != nil {
				t.Fatal(err)
			}
			want := defaults()
			test.want(want)
			want.Command = command
			if diff := cmp.Diff(want, got, same); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.remembered, got.Explicit); diff != "" {
				t.Errorf("what is remembered has changed (-want +got):\n%s", diff)
			}
			if len(warnings) != len(test.warnings) {
				t.Fatalf("warnings %q, want %d", warnings, len(test.warnings))
			}
			for i, want := range test.warnings {
				if !strings.Contains(warnings[i], want+": ") {
					t.Errorf("warning %q, want one that names %s", warnings[i], want)
				}
			}
		})
	}
}

// TestBareKeepsAccounting refuses runs by hand that would change what a sample has
// set up, and names the command that may.
func TestBareKeepsAccounting(t *testing.T) {
	remembered := []string{"--interface=lan0", "--network=192.168.10"}
	for _, test := range []struct{ args, env, names string }{
		{"--accounting=rules", "", "--accounting=rules"},
		{"--accounting=off", "", "--accounting=off"},
		{"--interval=3 --interface=guest0 --output=-", "", "--interface=guest0"},
		{"--interface=lan0 --interface=guest0", "", "--interface"},
		{"--network=192.168.20.0/24", "", "--network=192.168.20.0/24"},
		{"--max-clients=5", "", "--max-clients=5"},
		{"--forget-after=1m", "", "--forget-after=1m"},
		{"--period-start=2", "", "--period-start=2"},
	} {
		s, err := Parse(strings.Fields(test.args), environment(test.env), workDir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.ApplyRemembered(remembered)
		if err == nil || !strings.HasPrefix(err.Error(), test.names) || !strings.Contains(err.Error(), "command sample") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one that names %s and sample", test.args, err, test.names)
		}
	}
	// A variable that the sample did not see.
	s, err := Parse(nil, environment("TRAFFIC_INTERFACE=eth1"), workDir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.ApplyRemembered([]string{"--interval=2"}); err == nil || !strings.HasPrefix(err.Error(), "TRAFFIC_INTERFACE=eth1: ") || !strings.Contains(err.Error(), "command sample") {
		t.Errorf("error %v, want one that names the variable and the sample", err)
	}
	for _, args := range []string{"", "--interface=lan0", "--network=192.168.10.0/24", "--accounting=sets --max-clients=1024 --period-start=1",
		"--interval=9 --wait --output=- --leases=/l --hosts=/h --reverse-dns --online-window=1m --connections-by-protocol --conntrack-budget=9 --checkpoint-interval=1m"} {
		s, err := Parse(strings.Fields(args), environment(), workDir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.ApplyRemembered(remembered); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// TestHelp holds the help to what it has to tell.
func TestHelp(t *testing.T) {
	for _, command := range []Command{Bare, Sample, Show, Check, Teardown} {
		text := Help(command)
		flat := strings.Join(strings.Fields(text), " ")
		for _, f := range flags {
			shown := command == Bare || f.of(command)
			if got := strings.Contains(text, " "+f.usage()+"\n") || strings.Contains(text, " "+f.usage()+" "); got != shown {
				t.Errorf("help of %q: %s is there: %v, want %v", command, f.usage(), got, shown)
			}
			if shown && (!strings.Contains(flat, f.usage()+" "+f.help+" (default ") || f.def != "" && !strings.Contains(flat, f.help+" (default "+f.def)) {
				t.Errorf("help of %q: %s without its meaning or its default", command, f.name)
			}
		}
		for line := range strings.Lines(text) {
			if len(line) > helpWidth+1 {
				t.Errorf("help of %q: a line of %d characters: %s", command, len(line)-1, line)
			}
		}
		for status := range 3 {
			if !strings.Contains(text, fmt.Sprintf("\n  %d  ", status)) {
				t.Errorf("help of %q: no exit status %d", command, status)
			}
		}
	}
	for _, c := range []Command{Sample, Show, Check, Teardown} {
		if !strings.Contains(Help(Bare), "\n  "+string(c)+" ") {
			t.Errorf("no command %s", c)
		}
	}
}

// FuzzParse parses any words: what is refused is refused in one line, and what is
// accepted is understood the same way when it is recalled.
func FuzzParse(f *testing.F) {
	f.Add("sample\x00--interval=2\x00--interface\x00br-lan", "192.168.10 fd00::/64", "--interval=5\x00--x")
	f.Add("--wait\x00--output\x00-\x00--no-reverse-dns", " ", "")
	f.Add("show\x00--sort=name\x00--json", "10", "--accounting=rules")
	f.Add("--accounting=rules", "", "--accounting=off\x00--network=fd00::1/8")
	f.Fuzz(func(t *testing.T, args, networks, remembered string) {
		s, err := Parse(strings.Split(args, "\x00"), environment("NETWORK_PREFIX="+networks), workDir)
		if err == nil && !s.Help && !s.Version {
			again, err := Parse([]string{"teardown"}, environment(), workDir)
			if err != nil {
				t.Fatal(err)
			}
			if warnings, err := again.ApplyRemembered(s.Explicit); err != nil || len(warnings) > 0 {
				t.Fatalf("%q: %q, %v", s.Explicit, warnings, err)
			}
			if diff := cmp.Diff(s, again, same, cmpopts.IgnoreFields(Settings{}, "Command", "StateDir", "Wait", "Log", "JSON", "Sort", "Addresses", "Port")); diff != "" {
				t.Errorf("%q recalled (-want +got):\n%s", s.Explicit, diff)
			}
			_, err = s.ApplyRemembered(strings.Split(remembered, "\x00"))
			oneLine(t, err)
		}
		oneLine(t, err)
	})
}

func oneLine(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		t.Errorf("not one line of text: %q", err)
	}
}

func TestBuilt(t *testing.T) {
	build := version.BuildDate
	t.Cleanup(func() { version.BuildDate = build })
	for date, want := range map[string]time.Time{
		"2027-01-02T03:04:05Z":  time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC),
		"":                      time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
		"20270102-03:04:05 UTC": time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
	} {
		version.BuildDate = date
		if got := built(); !got.Equal(want) {
			t.Errorf("built %q is %v, want %v", date, got, want)
		}
	}
}
