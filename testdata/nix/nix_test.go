// Package nix_test evaluates what is in nix/ and flake.nix without nixpkgs: a
// stand-in for its lib does (lib.nix), and nixos.nix has those options of NixOS
// that the module may define. What it cannot do is build: the virtual machines of
// nix/tests are evaluated and no more.
package nix_test

import (
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/testdata/lab"
)

// root is that of the repository.
const root = "../.."

// store is where the packages of pkgs.nix are said to be.
const store = "/nix/store/00000000000000000000000000000000-"

// A system is what the module makes of a configuration: see eval.nix.
type system struct {
	Failed, Warnings, Defined, Tmpfiles []string
	KernelModules                       []string
	Sysctl                              map[string]int
	Etc                                 map[string]string
	Firewall                            map[string][]int
	Options                             map[string]struct {
		Description string
		Text        *string // of the default, where it is an expression
		Value       any
	}
	Units    map[string]string
	WantedBy map[string][]string
}

// configure evaluates the module with a configuration in Nix.
func configure(t *testing.T, configuration string) (*system, error) {
	t.Helper()
	var s system
	err := lab.Nix(t, fmt.Sprintf("import ./eval.nix { configuration = { %s }; }", configuration), &s)
	for _, messages := range [][]string{s.Failed, s.Warnings} {
		for i := range messages {
			messages[i] = strings.Join(strings.Fields(messages[i]), " ")
		}
	}
	return &s, err
}

// router is a configuration of the service, enabled.
func router(settings string) string {
	return "services.network-metrics-exporter = { enable = true; " + settings + " };"
}

// mustConfigure is configure where there is no error and no assertion that fails.
func mustConfigure(t *testing.T, configuration string) *system {
	t.Helper()
	s, err := configure(t, configuration)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Failed) > 0 {
		t.Fatalf("assertions fail: %q", s.Failed)
	}
	return s
}

const service = "network-metrics-exporter.service"

// command gives the arguments of a line such as ExecStart of a unit, without the
// program, and fails the test if they are not quoted.
func (s *system) command(t *testing.T, unit, key string) []string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^` + key + `=-?(".*")$`).FindStringSubmatch(s.Units[unit])
	if line == nil {
		t.Fatalf("%s has no %s:\n%s", unit, key, s.Units[unit])
	}
	var words []string
	for _, word := range strings.Split(line[1], `" "`) {
		words = append(words, strings.Trim(word, `"`))
	}
	return words[1:]
}

// original is a configuration as the original's README has it.
const original = `
	services.network-metrics-exporter = {
		enable = true;
		port = 9101;
		updateInterval = 2;
		openFirewall = false;
		enableNftablesIntegration = true;
		networkPrefix = "192.168.10";
		trafficInterface = "br-lan";
	};`

// TestConfigurations gives good ones.
func TestConfigurations(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, configuration string
		flags               []string // that the program is started with
		without             []string // and starts of those that it is not
		listen              string
		firewall            map[string][]int
		clients             string // the file of static ones
		warning             string
	}{
		{name: "defaults", configuration: router(""),
			flags: []string{"--output=/run/network-metrics-exporter/network_metrics.prom", "--accounting=sets", "--interval=2", "--interface=br-lan",
				"--network=192.168.10", "--period-start=1", "--checkpoint-interval=0"},
			without: []string{"--reverse-dns", "--leases", "--hosts"}, listen: "localhost:9101"},
		{name: "the original's", configuration: original,
			flags: []string{"--accounting=sets", "--interval=2", "--interface=br-lan", "--network=192.168.10"}, listen: "localhost:9101"},
		{name: "the original's, other values", configuration: router(`port = 9200; updateInterval = 5; openFirewall = true; networkPrefix = "10.0.7"; trafficInterface = "eth0";`),
			flags: []string{"--interval=5", "--interface=eth0", "--network=10.0.7"}, without: []string{"--network=192", "--interface=br"},
			listen: ":9200", firewall: map[string][]int{"eth0": {9200}}},
		{name: "rules of one's own", configuration: router("enableNftablesIntegration = false;"), flags: []string{"--accounting=off"}},
		{name: "rules of one's own, twice", configuration: router(`enableNftablesIntegration = false; accounting = "off";`), flags: []string{"--accounting=off"}},
		{name: "the original's layout", configuration: router(`accounting = "rules";`), flags: []string{"--accounting=rules"}},
		{name: "flows", configuration: router(`accounting = "flows"; periodStart = 31;`) + `
			networking.nftables.tables.offload = { family = "inet"; content = "flowtable f { hook ingress priority 0; devices = { eth0, eth1 }; counter; }"; };`,
			flags: []string{"--accounting=flows", "--period-start=31"}},
		{name: "a flowtable that does not count", configuration: router(`accounting = "flows";`) + `
			networking.nftables.ruleset = "table inet filter { flowtable f {\n hook ingress priority 0\n devices = { counter0, lan }\n }\n chain c { counter } }";`,
			warning: "Add `counter;` to the flowtable"},
		{name: "a flowtable past the sets", configuration: router("") + `
			networking.nftables.tables.offload = { family = "inet"; content = "flowtable f { devices = { a }; counter; }"; };`,
			warning: `set it to "flows"`},
		{name: "Kea", configuration: router("keaLeases = true;") + `
			services.kea.dhcp4 = { enable = true; settings.lease-database = { type = "memfile"; name = "/var/lib/kea/dhcp4.leases"; }; };
			services.kea.dhcp6.enable = true;`,
			flags: []string{"--leases=/var/lib/kea/dhcp4.leases", "--leases=/var/lib/kea/kea-leases6.csv"}},
		{name: "no Kea", configuration: router("keaLeases = true;"), without: []string{"--leases"}, warning: "neither services.kea.dhcp4 nor"},
		{name: "several networks", configuration: router(`interfaces = [ "br-lan" "br-guest" "lan.7" ]; networks = [ "192.168.10.0/24" "fd00:10::/64" ]; openFirewall = true;`),
			flags:    []string{"--interface=br-lan", "--interface=br-guest", "--interface=lan.7", "--network=192.168.10.0/24", "--network=fd00:10::/64"},
			firewall: map[string][]int{"br-lan": {9101}, "br-guest": {9101}, "lan.7": {9101}}, listen: ":9101"},
		{name: "the interfaces' networks", configuration: router("networks = [ ];"), without: []string{"--network"}},
		{name: "files", configuration: router(`leases = [ "/a" "/b" ]; hosts = [ "/c" ];`), flags: []string{"--leases=/a", "--leases=/b", "--hosts=/c"},
			without: []string{"--hosts=/var", "--leases=/var"}},
		{name: "an address", configuration: router(`listenAddress = "192.168.10.1";`), listen: "192.168.10.1:9101"},
		{name: "an IPv6 address", configuration: router(`listenAddress = "fd00:10::1";`), listen: "[fd00:10::1]:9101"},
		{name: "checkpoints", configuration: router(`checkpointInterval = "1m30s";`), flags: []string{"--checkpoint-interval=1m30s"}},
		{name: "more", configuration: router(`reverseDns = true; extraFlags = [ "--online-window=10m" "--max-clients=64" ];`),
			flags: []string{"--reverse-dns", "--online-window=10m", "--max-clients=64"}},
		{name: "what systemd would take for itself", configuration: router(`leases = [ "/a b/$x/100%" ];`), flags: []string{"--leases=/a b/$$x/100%%"}},
		{name: "a package", configuration: router(`package = { type = "derivation"; outPath = "/p"; meta.mainProgram = "x"; };`)},
		{name: "static clients", configuration: router(`staticClients = {
				a = { ip = "192.168.10.2"; mac = "02-00-5E-10-00-01"; hostname = "nas"; deviceType = "computer"; };
				b = { ip = "192.168.10.3"; mac = null; hostname = "TV, big #2"; };
				c = { ip = "192.168.10.4"; mac = "02:00:5e:10:00:02"; hostname = "12h"; };
				d = { ip = "fd00::5"; mac = "02:00:5e:10:00:03"; hostname = "cam"; };
			};`),
			flags:   []string{"--hosts=/etc/network-metrics-exporter/static-clients"},
			clients: "02:00:5E:10:00:01,nas,192.168.10.2\n192.168.10.3 TV__big__2\n192.168.10.4 12h\n02:00:5e:10:00:03,cam,[fd00::5]\n"},
		{name: "a node_exporter beside it", configuration: router("") + "services.prometheus.exporters.node.enable = true;", listen: "localhost:9101"},
		{name: "a node_exporter that serves it", configuration: router(`textfileDirectory = "/var/lib/textfiles";`) + `
			services.prometheus.exporters.node = { enable = true; port = 9101; extraFlags = [ "--collector.textfile.directory=/var/lib/textfiles" ]; };`,
			flags: []string{"--output=/var/lib/textfiles/network_metrics.prom"}},
		{name: "a ruleset made by hand", configuration: router("openFirewall = true;") + `
			networking.firewall.enable = false; networking.nftables = { enable = true; ruleset = "table inet filter { }"; };`,
			listen: ":9101", firewall: map[string][]int{"br-lan": {9101}}, warning: "openFirewall opens nothing, as networking.firewall.enable is false"},
		{name: "a port that nobody serves", configuration: router(`openFirewall = true; textfileDirectory = "/t";`), warning: "openFirewall opens nothing, as services.network-metrics-exporter.textfileDirectory"},
		{name: "a port for nobody", configuration: router(`openFirewall = true; listenAddress = "127.0.0.1";`), listen: "127.0.0.1:9101",
			firewall: map[string][]int{"br-lan": {9101}}, warning: "listenAddress is"},
		{name: "a node_exporter that looks elsewhere", configuration: router(`textfileDirectory = "/t";`) + "services.prometheus.exporters.node.enable = true;",
			warning: `add "--collector.textfile.directory=/t"`},
		{name: "another network", configuration: router("") + `networking.interfaces.br-lan.ipv4.addresses = [ { address = "192.168.100.1"; prefixLength = 24; } ];`,
			warning: "Set services.network-metrics-exporter.networks to [ ]"},
		{name: "the network", configuration: router("") + `networking.interfaces.br-lan.ipv4.addresses = [ { address = "192.168.10.1"; prefixLength = 24; } ];`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := mustConfigure(t, test.configuration)
			flags := s.command(t, service, "ExecStart")
			for _, flag := range test.flags {
				if !slices.Contains(flags, flag) {
					t.Errorf("it is started without %s: %q", flag, flags)
				}
			}
			for _, flag := range flags {
				if slices.ContainsFunc(test.without, func(start string) bool { return strings.HasPrefix(flag, start) }) {
					t.Errorf("it is started with %s", flag)
				}
			}
			if test.listen != "" {
				if flag := "--web.listen-address=" + test.listen; !slices.Contains(s.command(t, "network-metrics-exporter-http.service", "ExecStart"), flag) {
					t.Errorf("no %s in\n%s", flag, s.Units["network-metrics-exporter-http.service"])
				}
			}
			if diff := cmp.Diff(test.firewall, s.Firewall); len(test.firewall)+len(s.Firewall) > 0 && diff != "" {
				t.Errorf("open ports (-want +got):\n%s", diff)
			}
			if got := s.Etc["network-metrics-exporter/static-clients"]; got != test.clients {
				t.Errorf("static clients are\n%swant\n%s", got, test.clients)
			}
			switch {
			case test.warning == "" && len(s.Warnings) > 0:
				t.Errorf("warnings: %q", s.Warnings)
			case test.warning != "" && (len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], test.warning)):
				t.Errorf("warnings: %q, want one of %q", s.Warnings, test.warning)
			}
		})
	}
}

// TestBadConfigurations gives those that are refused, each for a reason that names
// the option.
func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		settings string
		want     []string // parts of the error, or of the only assertion that fails
	}{
		{`port = 65536;`, []string{".port'", "between 0 and 65535"}},
		{`port = "9101";`, []string{".port'", "between 0 and 65535"}},
		{`port = 0;`, []string{".port is 0", "a port that Prometheus"}},
		{`updateInterval = 0;`, []string{".updateInterval'", "between 1 and 3600"}},
		{`updateInterval = 3601;`, []string{".updateInterval'", "between 1 and 3600"}},
		{`updateInterval = 2.5;`, []string{".updateInterval'", "between 1 and 3600"}},
		{`openFirewall = "yes";`, []string{".openFirewall'", "boolean"}},
		{`accounting = "iptables";`, []string{".accounting'", `"sets", "rules", "flows", "off"`}},
		{`networkPrefix = "192.168.10.";`, []string{".networkPrefix'", "network (three octets"}},
		{`networkPrefix = "192.168";`, []string{".networkPrefix'", "network (three octets"}},
		{`networkPrefix = "192.168.256";`, []string{".networkPrefix'", "network (three octets"}},
		{`networkPrefix = "192.168.10.1";`, []string{".networkPrefix'", "network (three octets"}},
		{`networks = [ "192.168.10.0/33" ];`, []string{".networks.", "network (three octets"}},
		{`networks = [ "fd00::/129" ];`, []string{".networks.", "network (three octets"}},
		{`networks = "192.168.10.0/24";`, []string{".networks'", "list of network"}},
		{`trafficInterface = "sixteen-letters.";`, []string{".trafficInterface'", "network interface"}},
		{`trafficInterface = "br lan";`, []string{".trafficInterface'", "network interface"}},
		{`interfaces = [ "br/lan" ];`, []string{".interfaces.", "network interface"}},
		{`interfaces = [ ];`, []string{".interfaces'", "non-empty"}},
		{`leases = [ "dnsmasq.leases" ];`, []string{".leases.", "absolute path"}},
		{`textfileDirectory = "textfiles";`, []string{".textfileDirectory'", "absolute path"}},
		{`periodStart = 0;`, []string{".periodStart'", "between 1 and 31"}},
		{`periodStart = 32;`, []string{".periodStart'", "between 1 and 31"}},
		{`checkpointInterval = "60";`, []string{".checkpointInterval'", "duration such as 60s"}},
		{`checkpointInterval = 60;`, []string{".checkpointInterval'", "duration such as 60s"}},
		{`package = "network-metrics-exporter";`, []string{".package'", "package"}},
		{`staticClients.a = { ip = "192.168.10"; hostname = "a"; };`, []string{".staticClients.a.ip'", "IP address"}},
		{`staticClients.a = { ip = "192.168.10.2"; hostname = " "; };`, []string{".staticClients.a.hostname'", "non-empty"}},
		{`staticClients.a = { ip = "192.168.10.2"; hostname = "a"; mac = "02:00"; };`, []string{".staticClients.a.mac'", "MAC address"}},
		{`staticClients.a = { ip = "192.168.10.2"; };`, []string{".staticClients.a.hostname'", "not defined"}},
		{`staticClients.a = { ip = "192.168.10.2"; hostname = "a"; name = "a"; };`, []string{".staticClients.a.name'", "does not exist"}},
		{`interval = 2;`, []string{".interval'", "does not exist"}},
		{`}; services.prometheus.exporters.node = { enable = true; port = 9101;`, []string{"exporter.port is 9101", "exporters.node has", "textfileDirectory"}},
		{`enableNftablesIntegration = false; accounting = "sets";`, []string{".accounting is \"sets\"", ".enableNftablesIntegration is false", "remove one"}},
		{`extraFlags = [ "--interval=5" ];`, []string{".extraFlags has --interval", "set services.network-metrics-exporter.updateInterval"}},
		{`extraFlags = [ "--period-start=5" ];`, []string{".extraFlags has --period-start", ".periodStart instead"}},
		{`extraFlags = [ "--reverse-dns" ];`, []string{".extraFlags has --reverse-dns", ".reverseDns instead"}},
	} {
		t.Run(test.settings, func(t *testing.T) {
			t.Parallel()
			s, err := configure(t, router(test.settings))
			var said string
			switch {
			case err != nil:
				said = err.Error()
			case len(s.Failed) == 1:
				said = s.Failed[0]
			default:
				t.Fatalf("it is taken; assertions that fail: %q", s.Failed)
			}
			for _, want := range test.want {
				if !strings.Contains(said, want) {
					t.Errorf("want %q in:\n%s", want, said)
				}
			}
		})
	}
}

// TestDisabled imports the module and does not enable it.
func TestDisabled(t *testing.T) {
	t.Parallel()
	s := mustConfigure(t, "")
	if len(s.Units)+len(s.Etc)+len(s.Tmpfiles)+len(s.Firewall) > 0 {
		t.Errorf("it makes %+v", s)
	}
}

// TestFlows has the kernel count what passes by nftables, unless that was decided
// otherwise.
func TestFlows(t *testing.T) {
	t.Parallel()
	const acct = "net.netfilter.nf_conntrack_acct"
	for _, test := range []struct {
		configuration string
		want          map[string]int
	}{
		{router(""), map[string]int{}},
		{router(`accounting = "flows";`), map[string]int{acct: 1}},
		{router(`accounting = "flows";`) + `boot.kernel.sysctl."` + acct + `" = 0;`, map[string]int{acct: 0}},
	} {
		s := mustConfigure(t, test.configuration)
		if diff := cmp.Diff(test.want, s.Sysctl); diff != "" {
			t.Errorf("%s: sysctl (-want +got):\n%s", test.configuration, diff)
		}
		if slices.Contains(s.KernelModules, "nf_conntrack") != (len(test.want) > 0) {
			t.Errorf("%s: modules %q", test.configuration, s.KernelModules)
		}
	}
}

// TestOptionsDefined compares the options of NixOS that the module defines with
// those that it may.
func TestOptionsDefined(t *testing.T) {
	t.Parallel()
	want := []string{
		"assertions",
		"boot.kernel.sysctl",             // accounting = "flows"
		"boot.kernelModules",             // for it
		"environment.etc",                // static clients
		"environment.systemPackages",     // show and check
		"networking.firewall.interfaces", // openFirewall
		"systemd.services",
		"systemd.timers",
		"systemd.tmpfiles.settings",
		"users.groups",
		"users.users",
		"warnings",
	}
	if diff := cmp.Diff(want, mustConfigure(t, router("")).Defined); diff != "" {
		t.Errorf("options of NixOS (-want +defined):\n%s", diff)
	}
}

// differences are the settings in which the units of NixOS are not those of
// systemd/, and why.
var differences = map[string]string{
	"Install.WantedBy":        "NixOS ignores the section: it is the option wantedBy",
	"Service.EnvironmentFile": "options take the place of a file of settings",
	"Service.Environment":     "so do they for what it does not set",
	"Service.ExecStart":       "programs are in the store, flags come from options",
	"Service.ExecStop":        "likewise",
	"Service.ExecStopPost":    "likewise",
}

// settings gives the lines of unit files as Section.Key=Value.
func settings(texts ...string) []string {
	var found []string
	section := ""
	for _, text := range texts {
		for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
			line = strings.TrimSpace(line)
			switch {
			case strings.HasPrefix(line, "["):
				section = strings.Trim(line, "[]")
			case line != "" && !strings.HasPrefix(line, "#"):
				found = append(found, section+"."+line)
			}
		}
	}
	return found
}

// shipped reads files of systemd/.
func shipped(t *testing.T, names ...string) []string {
	t.Helper()
	var texts []string
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, "systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// TestUnitsAreThoseOfSystemd compares the units of a router that is like the
// defaults of the units.
func TestUnitsAreThoseOfSystemd(t *testing.T) {
	t.Parallel()
	s := mustConfigure(t, router(""))
	paths, err := filepath.Glob(filepath.Join(root, "systemd", "*.[st]*[er]"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	var names []string
	for _, path := range paths {
		name := filepath.Base(path)
		files := []string{name}
		switch name {
		case "network-metrics-exporter.service", "network-metrics-exporter-stop.service":
			files = append(files, name+".d/sandbox.conf")
		}
		names = append(names, name)
		want, got := settings(shipped(t, files...)...), settings(s.Units[name])
		for _, line := range slices.Concat(want, got) {
			key, _, _ := strings.Cut(line, "=")
			if slices.Contains(want, line) && slices.Contains(got, line) {
				continue
			}
			if seen[key] = true; differences[key] == "" {
				t.Errorf("%s: %s is only on one side", name, line)
			}
		}
	}
	for key := range differences {
		if !seen[key] {
			t.Errorf("%s does not differ: it is in the list of differences", key)
		}
	}
	names = append(names, "network-metrics-exporter-accounting.service")
	slices.Sort(names)
	if diff := cmp.Diff(names, slices.Sorted(maps.Keys(s.Units))); diff != "" {
		t.Errorf("units (-systemd/ and that of NixOS alone +NixOS):\n%s", diff)
	}
	if !slices.Contains(settings(s.Units[service]), "Service.Environment=BOOT_ID=%b") {
		t.Errorf("the boot's ID is not told:\n%s", s.Units[service])
	}

	teardown := settings(s.Units["network-metrics-exporter-accounting.service"])
	for _, line := range append(settings(shipped(t, service+".d/sandbox.conf")...),
		"Unit.Before=network-metrics-exporter-stop.service", // it ends after the last sample
		"Unit.X-RestartIfChanged=false",                     // an upgrade is no end
	) {
		if !slices.Contains(teardown, line) {
			t.Errorf("the unit of the teardown has no %s", line)
		}
	}

	for unit, key := range map[string]string{"network-metrics-exporter-http.service": "ExecStart", "network-metrics-exporter-stop.service": "ExecStopPost"} {
		var want []string
		for _, line := range settings(shipped(t, unit)...) {
			if command, ok := strings.CutPrefix(line, "Service."+key+"="); ok {
				want = strings.Fields(strings.TrimSuffix(command, "'")) // which a shell reads
			}
		}
		// What is not in both is the program, and where it listens.
		own := func(words []string) []string {
			return slices.DeleteFunc(words, func(word string) bool {
				return !regexp.MustCompile(`^(--|-f|/run)`).MatchString(word) || strings.HasPrefix(word, "--web.listen-address=")
			})
		}
		if diff := cmp.Diff(own(want), own(s.command(t, unit, key))); diff != "" {
			t.Errorf("arguments in %s (-systemd/ +NixOS):\n%s", unit, diff)
		}
	}

	wantedBy := map[string][]string{
		"network-metrics-exporter.timer":              {"timers.target"},
		"network-metrics-exporter-http.service":       {"multi-user.target"},
		"network-metrics-exporter-accounting.service": {"multi-user.target"},
	}
	if diff := cmp.Diff(wantedBy, s.WantedBy); diff != "" {
		t.Errorf("wanted by (-want +got):\n%s", diff)
	}
	for unit, targets := range s.WantedBy {
		if install := "Install.WantedBy=" + targets[0]; !strings.Contains(unit, "accounting") && !slices.Contains(settings(shipped(t, unit)...), install) {
			t.Errorf("%s has no %s", unit, install)
		}
	}
	if want := settings(shipped(t, "tmpfiles.d/network-metrics-exporter.conf")...); !strings.HasPrefix("."+s.Tmpfiles[0], want[0]) {
		t.Errorf("tmpfiles %q, want %q", s.Tmpfiles, want)
	}
}

// TestSchedule compares the timer with what the generator of systemd/ makes of the
// same interval.
func TestSchedule(t *testing.T) {
	t.Parallel()
	lab.Need(t, "systemd-analyze")
	for _, seconds := range []int{1, 2, 4, 7, 20, 45, 60, 90, 3600} {
		t.Run(fmt.Sprint(seconds), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			environment := filepath.Join(dir, "environment")
			if err := os.WriteFile(environment, fmt.Appendf(nil, "UPDATE_INTERVAL=%d\n", seconds), 0o600); err != nil {
				t.Fatal(err)
			}
			generator := shipped(t, "system-generators/network-metrics-exporter-generator")[0]
			generator = strings.ReplaceAll(generator, "/etc/default/network-metrics-exporter", environment)
			lab.Command(t, "sh", "-c", generator, "generator", dir)
			dropin, err := os.ReadFile(filepath.Join(dir, "network-metrics-exporter.timer.d", "10-update-interval.conf"))
			if err != nil {
				t.Fatal(err)
			}

			timer := mustConfigure(t, router(fmt.Sprintf("updateInterval = %d;", seconds))).Units["network-metrics-exporter.timer"]
			var want, got []string
			for _, line := range settings(string(dropin)) {
				if _, value, _ := strings.Cut(line, "="); value != "" && strings.Contains(line, ".On") {
					want = append(want, line)
				}
			}
			for _, line := range settings(timer) {
				if strings.Contains(line, ".On") {
					got = append(got, line)
				}
				if calendar, ok := strings.CutPrefix(line, "Timer.OnCalendar="); ok {
					lab.Command(t, "systemd-analyze", "calendar", calendar)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("timer (-generator +NixOS):\n%s", diff)
			}
		})
	}
}

// TestUnitsAreSound puts the units before systemd-analyze, with the same bounds as
// those of systemd/.
func TestUnitsAreSound(t *testing.T) {
	t.Parallel()
	for name, configuration := range map[string]string{
		"served":                router("openFirewall = true;"),
		"textfile":              router(`textfileDirectory = "/var/lib/textfiles"; accounting = "rules"; updateInterval = 7;`),
		"rules of one's own":    router("enableNftablesIntegration = false; updateInterval = 60;"),
		"signs in a file name ": router(`hosts = [ "/a b/%n/$HOME/\"quoted\"" ];`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab.Need(t, "systemd-analyze")
			s := mustConfigure(t, configuration)
			dir := t.TempDir()
			program := regexp.MustCompile(regexp.QuoteMeta(store) + `[^"]*`)
			verify := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no")
			verify.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
			for unit, text := range s.Units {
				// It wants the programs to be there.
				text = program.ReplaceAllString(text, "/bin/true")
				path := filepath.Join(dir, unit)
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				verify.Args = append(verify.Args, path)
			}
			if complaints, err := verify.CombinedOutput(); err != nil || len(complaints) > 0 {
				t.Errorf("verify: %v\n%s", err, complaints)
			}
			for unit := range s.Units {
				threshold := "25"
				switch {
				case strings.HasSuffix(unit, ".timer"):
					continue
				case strings.Contains(unit, "-http"):
					threshold = "20"
				}
				lab.Command(t, "systemd-analyze", "security", "--offline=true", "--threshold="+threshold, filepath.Join(dir, unit))
			}
		})
	}
}

// TestTextfileDirectory has systemd-tmpfiles make the directory that the metrics
// go to, and give access to it.
func TestTextfileDirectory(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		lab.Need(t, "systemd-tmpfiles")
		if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		s := mustConfigure(t, router(`textfileDirectory = "/run/textfiles";`))
		// Here root is the only user there is.
		lines := strings.ReplaceAll(strings.Join(s.Tmpfiles, "\n"), "network-metrics-exporter", "root")
		if err := os.WriteFile("/run/tmpfiles.conf", []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // at each boot
			lab.Command(t, "systemd-tmpfiles", "--create", "/run/tmpfiles.conf")
		}
		// The mode of one with an ACL shows its mask as that of the group.
		info, err := os.Stat("/run/textfiles")
		if err != nil {
			t.Fatal(err)
		}
		if want := fs.ModeDir | 0o775; info.Mode() != want {
			t.Errorf("mode %v, want %v", info.Mode(), want)
		}
		if line := settings(s.Units[service]); !slices.Contains(line, "Service.ReadWritePaths=/run/textfiles") {
			t.Errorf("it may not write there:\n%s", s.Units[service])
		}
	})
}

// knowsFlags has the program read every flag that the module starts it with.
func knowsFlags(t *testing.T, program string) {
	t.Helper()
	s := mustConfigure(t, router(`reverseDns = true; staticClients.a = { ip = "192.168.10.2"; hostname = "a"; };`))
	// What comes after --version is not read.
	flags := append(s.command(t, service, "ExecStart"), "--version")
	lab.Command(t, program, flags...)
	lab.Command(t, program, append(s.command(t, "network-metrics-exporter-accounting.service", "ExecStop"), "--version")...)
}

// build builds a tree's program, as nix/package.nix does, into a directory.
func build(t *testing.T, tree, into string, flags ...string) (program string) {
	t.Helper()
	program = filepath.Join(into, "network-metrics-exporter")
	goTool(t, slices.Concat([]string{"build", "-C", tree, "-trimpath", "-o", program}, flags, []string{"."})...)
	return program
}

// goTool runs go, for as long as that takes, and gives what it printed.
func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, output)
	}
	return string(output)
}

// A flake is what flake.nix of this directory gives of it.
type flake struct {
	Inputs  map[string]struct{ URL string }
	Outputs map[string]any
	Systems map[string][]string
	Package struct {
		Pname, Version, VendorHash, Overlaid string
		Files, Ldflags                       []string
		PostInstall                          string
		Env                                  struct{ Namespaces string }
		Meta                                 struct {
			Description, MainProgram string
			License                  struct{ SpdxID string }
			Platforms                []string
		}
	}
	Test struct {
		Name, TestScript string
		Machines         map[string]struct {
			VLANs            []int
			Addresses        map[string][]string
			Failed, Warnings []string
			Units            []string
		}
	}
}

func evaluateFlake(t *testing.T) *flake {
	t.Helper()
	var f flake
	if err := lab.Nix(t, "import ./flake.nix { }", &f); err != nil {
		t.Fatal(err)
	}
	return &f
}

// TestFlake looks at what the flake offers.
func TestFlake(t *testing.T) {
	t.Parallel()
	f := evaluateFlake(t)
	systems := []any{"aarch64-linux", "x86_64-linux"}
	want := map[string]any{
		"packages":     systems,
		"checks":       systems,
		"formatter":    systems,
		"overlays":     []any{"default"},
		"nixosModules": []any{"default", "network-metrics-exporter"},
	}
	if diff := cmp.Diff(want, f.Outputs); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	if f.Package.Overlaid != f.Package.Version {
		t.Errorf("the overlay has version %s, the package %s", f.Package.Overlaid, f.Package.Version)
	}
	changelog := read(t, "CHANGELOG.md")
	released := regexp.MustCompile(`(?m)^## (\d\S*)`).FindStringSubmatch(changelog)
	if released == nil || f.Package.Version != released[1]+"+abc1234" {
		t.Errorf("version %s, want the newest of the changelog, %q, and the commit", f.Package.Version, released)
	}
	if meta := f.Package.Meta; meta.MainProgram != "network-metrics-exporter" || meta.License.SpdxID != "MIT" ||
		meta.Description == "" || !slices.Contains(meta.Platforms, "aarch64-linux") {
		t.Errorf("meta %+v", meta)
	}
}

// TestVM evaluates the test of virtual machines, which takes nixpkgs to run, as far
// as that goes without: its machines have no option that NixOS has not, no
// assertion of the module fails, and its script is Python.
func TestVM(t *testing.T) {
	t.Parallel()
	lab.Need(t, "python3")
	f := evaluateFlake(t)
	for name, machine := range f.Test.Machines {
		if len(machine.Failed)+len(machine.Warnings) > 0 {
			t.Errorf("%s: %q %q", name, machine.Failed, machine.Warnings)
		}
		if routes := name == "router"; routes != (len(machine.Units) > 0) || routes != (len(machine.VLANs) == 2) {
			t.Errorf("%s has units %q and networks %v", name, machine.Units, machine.VLANs)
		}
	}
	if got := slices.Sorted(maps.Keys(f.Test.Machines)); !slices.Equal(got, []string{"laptop", "phone", "router", "server"}) {
		t.Errorf("machines %q", got)
	}
	lab.Command(t, "python3", "-c", "import ast, sys; ast.parse(sys.argv[1])", f.Test.TestScript)
}

// TestPackage builds and tests what nix/package.nix takes of the tree, in the way
// of buildGoModule: with the libraries in vendor, and tests as somebody without
// rights, network and programs.
func TestPackage(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nix")
	f := evaluateFlake(t)
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	for _, file := range f.Package.Files {
		name, err := filepath.Rel(must(filepath.Abs(root)), file)
		if err != nil {
			t.Fatal(err)
		}
		into := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(into), 0o755); err != nil {
			t.Fatal(err)
		}
		lab.Command(t, "cp", "-r", file, into)
	}

	vendor := filepath.Join(tree, "vendor")
	goTool(t, "-C", tree, "mod", "vendor", "-o", vendor)
	hash := lab.Command(t, "nix", "--extra-experimental-features", "nix-command", "hash", "path", vendor)
	if hash = strings.TrimSpace(hash); hash != f.Package.VendorHash {
		t.Errorf("vendorHash of nix/package.nix is %s, want %s", f.Package.VendorHash, hash)
	}

	program := build(t, tree, dir, "-mod=vendor", "-ldflags="+strings.Join(f.Package.Ldflags, " "))
	version := lab.Command(t, program, "--version")
	for _, want := range []string{"version " + f.Package.Version + " ", "2026-11-28T01:30:59Z"} {
		if !strings.Contains(version, want) {
			t.Errorf("want %s in:\n%s", want, version)
		}
	}
	installs(t, tree, f.Package.PostInstall)
	knowsFlags(t, program)

	// Whoever that is has to get at it.
	temporary := filepath.Join(dir, "tmp")
	if err := errors.Join(os.Mkdir(temporary, 0o777), os.Chmod(temporary, 0o777), os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(goTool(t, "list", "-C", tree, "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}", "./...")) {
		test := filepath.Join(path, "package.test")
		goTool(t, "test", "-C", path, "-c", "-mod=vendor", "-trimpath", "-vet=off", "-o", test)
		cmd := exec.CommandContext(t.Context(), test, "-test.timeout=5m")
		cmd.Dir = path
		cmd.Env = []string{"HOME=/homeless-shelter", "PATH=/nowhere", "TMPDIR=" + temporary, "NAMESPACES=" + f.Package.Env.Namespaces}
		cmd.SysProcAttr = nobody()
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", path, err, output)
		}
	}
}

// installs has a shell do what a package does when its program is installed; what
// nixpkgs' installShellFiles is, only looks whether the files are there.
func installs(t *testing.T, tree, script string) {
	t.Helper()
	out := t.TempDir()
	const functions = `
		installManPage() { ls "$@" >/dev/null; }
		installShellCompletion() { ls $(printf '%s\n' "$@" | grep /) >/dev/null; }
	`
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", functions+script)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "out="+out)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("postInstall: %v\n%s", err, output)
	}
	units := filepath.Join(out, "lib", "systemd", "system")
	for _, name := range []string{service, "network-metrics-exporter-stop.service"} {
		text := must(os.ReadFile(filepath.Join(units, name)))
		if line := regexp.MustCompile(`(?m)^Exec(Start|Stop)=-?(.*) sample `).FindStringSubmatch(string(text)); line == nil || line[2] != out+"/bin/network-metrics-exporter" {
			t.Errorf("%s starts %q", name, line)
		}
	}
	for _, path := range []string{
		filepath.Join(units, "network-metrics-exporter.timer"), filepath.Join(units, service+".d", "sandbox.conf"),
		filepath.Join(out, "share", "network-metrics-exporter", "grafana", "dashboard.json"),
	} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// nobody has a process be a user without rights, in a network of its own that has
// no links up.
func nobody() *syscall.SysProcAttr {
	const nobody = 65534
	if os.Geteuid() == 0 {
		return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getegid(), Size: 1}},
	}
}

// must is for what cannot fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// read reads a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocumentedOptions compares the documented table of options with those of the
// module.
func TestDocumentedOptions(t *testing.T) {
	t.Parallel()
	section := read(t, manual)
	s := mustConfigure(t, "")
	var names []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `(.*?)` \\|").FindAllStringSubmatch(section, -1) {
		name, text := row[1], row[2]
		names = append(names, name)
		option := s.Options[name]
		if option.Text != nil {
			if text != *option.Text {
				t.Errorf("%s: the default is documented as %s, and as %s in the module", name, text, *option.Text)
			}
			continue
		}
		var value any
		if err := lab.Nix(t, text, &value); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(option.Value, value); diff != "" {
			t.Errorf("default of %s (-module +documented):\n%s", name, diff)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(s.Options)), names); diff != "" {
		t.Errorf("options (-module +documented):\n%s", diff)
	}
	for name, option := range s.Options {
		if !regexp.MustCompile(`(?s)^[A-Z].*\.\s*$`).MatchString(option.Description) {
			t.Errorf("%s is described as %q", name, option.Description)
		}
	}
}

// manual is the documentation of the module.
const manual = "docs/nixos.md"

// blocks returns the pieces of Nix in a document.
func blocks(t *testing.T, path string) (texts []string) {
	t.Helper()
	for _, block := range regexp.MustCompile("(?s)```nix\n(.*?)```").FindAllStringSubmatch(read(t, path), -1) {
		texts = append(texts, block[1])
	}
	return texts
}

// TestQuickStart takes the configuration out of the README.
func TestQuickStart(t *testing.T) {
	t.Parallel()
	all := blocks(t, "README.md")
	if len(all) != 1 {
		t.Fatalf("the README has %d blocks of Nix, want one", len(all))
	}
	s := mustConfigure(t, fmt.Sprintf(`imports = [ (
		let
			network-metrics-exporter = (import ../../flake.nix).outputs { self = { }; nixpkgs.lib = import ./lib.nix; };
		in
		{ %s }
	) ];`, all[0]))
	if flags := strings.Join(s.command(t, service, "ExecStart"), " "); !strings.Contains(flags, "--interface=br-lan") || strings.Contains(flags, "--network") {
		t.Errorf("started with %s", flags)
	}
}

// TestDocumentedConfigurations takes the configurations out of the documentation.
func TestDocumentedConfigurations(t *testing.T) {
	t.Parallel()
	blocks := blocks(t, manual)
	if len(blocks) != 3 {
		t.Fatalf("%s has %d blocks of Nix, want a flake, a flowtable and Kea", manual, len(blocks))
	}
	path := filepath.Join(t.TempDir(), "flake.nix")
	if err := os.WriteFile(path, []byte(blocks[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustConfigure(t, fmt.Sprintf(`imports =
		let
			flake = import %s;
			router = (flake.outputs {
				nixpkgs.lib.nixosSystem = system: system;
				network-metrics-exporter = (import ../../flake.nix).outputs { self = { }; nixpkgs.lib = import ./lib.nix; };
			}).nixosConfigurations.router;
		in
		# configuration.nix is yours
		map (module: if builtins.isPath module then { } else module) router.modules
		++ [ { %s } { %s } ];`, path, blocks[1], blocks[2]))
	if len(s.Warnings) > 0 || s.Sysctl["net.netfilter.nf_conntrack_acct"] != 1 {
		t.Errorf("warnings %q, sysctl %v", s.Warnings, s.Sysctl)
	}
	flags := strings.Join(s.command(t, service, "ExecStart"), " ")
	if !strings.Contains(flags, "--interface=br-lan --leases=/var/lib/kea/dhcp4.leases ") {
		t.Errorf("started with %s", flags)
	}
	for _, unit := range []string{service, "network-metrics-exporter-stop.service"} {
		for _, capability := range []string{"CAP_NET_ADMIN", "CAP_DAC_READ_SEARCH"} {
			if line := "Service.AmbientCapabilities=" + capability; !slices.Contains(settings(s.Units[unit]), line) {
				t.Errorf("no %s in\n%s", line, s.Units[unit])
			}
		}
	}
}

// TestGo holds the go line of go.mod to the Go that builds packages in the oldest
// release of NixOS that the documentation names: buildGoModule gets no other.
func TestGo(t *testing.T) {
	t.Parallel()
	goOf := map[string]string{ // of a release as it came out
		"25.05": "go1.24.3",
		"25.11": "go1.25.4",
		"26.05": "go1.26.3",
	}
	var oldest string
	for _, release := range regexp.MustCompile(`NixOS (\d\d\.\d\d)`).FindAllStringSubmatch(read(t, "README.md")+read(t, manual), -1) {
		if oldest == "" || release[1] < oldest {
			oldest = release[1]
		}
	}
	if goOf[oldest] == "" {
		t.Fatalf("the documentation names NixOS %q, of which no Go is known here", oldest)
	}
	line := regexp.MustCompile(`(?m)^go (.*)$`).FindStringSubmatch(read(t, "go.mod"))
	if version.Compare("go"+line[1], goOf[oldest]) > 0 {
		t.Errorf("go.mod wants Go %s: NixOS %s has %s", line[1], oldest, goOf[oldest])
	}
	if input := evaluateFlake(t).Inputs["nixpkgs"].URL; !strings.HasSuffix(input, "/nixos-"+oldest) {
		t.Errorf("the flake is made for %s, the documentation for NixOS %s", input, oldest)
	}
}

// TestParse has Nix read every file.
func TestParse(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nix-instantiate")
	files := strings.Fields(lab.Command(t, "find", root, "-name", "*.nix", "-not", "-path", "*/.cache/*"))
	if len(files) < 4 {
		t.Fatalf("found %q", files)
	}
	for _, file := range files {
		lab.Command(t, "nix-instantiate", "--store", "dummy://", "--option", "build-users-group", "", "--parse", file)
	}
}
