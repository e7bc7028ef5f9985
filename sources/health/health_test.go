package health

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/neighbor"
	"network-metrics-exporter/sources/nftables"
	"network-metrics-exporter/state"
)

// The examinations are tested on a real kernel by main. Here are those whose cause
// cannot be made in a namespace: a kernel without modules, a table that is full, a
// flowtable or a VLAN where the kernel was built without, a machine that ran for
// long.

// expect compares findings with what they have to say, a status and a part of the
// line each.
func expect(t *testing.T, findings []Finding, want ...string) {
	t.Helper()
	for i, f := range findings {
		line := fmt.Sprintf("%s %s: %s (%s)", f.Status, f.Name, f.Found, f.Cure)
		if i >= len(want) {
			t.Errorf("unexpected: %s", line)
			continue
		}
		status, text, _ := strings.Cut(want[i], " ")
		if string(f.Status) != status || !strings.Contains(line, text) {
			t.Errorf("want %s and %q: %s", status, text, line)
		}
		if (f.Cure == "") != (f.Status == OK) {
			t.Errorf("cure %q of: %s", f.Cure, line)
		}
	}
	if len(findings) < len(want) {
		t.Errorf("%d findings, want %q", len(findings), want)
	}
}

func TestModule(t *testing.T) {
	const module = "no_such_module"
	for _, test := range []struct {
		err  error
		host host
		want string
	}{
		{nil, byUnits, "ok no_such_module is built into the kernel"},
		{unix.EPROTONOSUPPORT, byUnits, "fail (modprobe no_such_module, and its name in a file in /etc/modules-load.d)"},
		{fmt.Errorf("dump: %w", unix.EINVAL), byNixOS, `fail (boot.kernelModules = [ "no_such_module" ];)`},
		{unix.EPERM, byUnits, "warn ask no_such_module: operation not permitted (run it as root (sudo), or"},
		{errors.New("there is no chain"), byUnits, "ok built in"}, // something has answered
	} {
		expect(t, []Finding{Machine{host: test.host}.module(module, test.err)}, test.want)
	}
	entries, err := os.ReadDir("/sys/module")
	if err != nil || len(entries) == 0 {
		t.Fatalf("no modules: %v", err)
	}
	expect(t, []Finding{Machine{}.module(entries[0].Name(), unix.EINVAL)}, "ok "+entries[0].Name()+" is loaded")
}

func TestConntrack(t *testing.T) {
	for _, test := range []struct {
		entries, limit uint32
		tracked        bool
		want           string
	}{
		{0, 100, true, "ok 0 of 100"},
		{0, 100, false, "warn no rule makes the kernel track connections"},
		{79, 100, false, "ok 79 of 100"}, // rules that nftables does not show
		{80, 100, true, "warn nearly full, at 80 of 100 entries (sysctl -w net.netfilter.nf_conntrack_max=200"},
		{1 << 31, 0, true, "ok of 0"},
		{1 << 31, 1 << 31, true, "warn nf_conntrack_max=4294967296"},
	} {
		m := Machine{
			Sample:  &state.Sample{Conntrack: &state.TrackedFlows{Entries: test.entries, Limit: test.limit}},
			Ruleset: &nftables.Ruleset{Conntrack: test.tracked},
		}
		expect(t, m.conntrack(), test.want)
	}
	m := Machine{Sample: &state.Sample{Results: []state.SourceResult{{Source: state.Conntrack, Err: unix.EPERM}}}}
	expect(t, m.conntrack(), "warn not known: operation not permitted (run it as root")
}

func TestFlowtables(t *testing.T) {
	const missing = "flowtable fast of table inet filter"
	for _, test := range []struct {
		layout         state.Layout
		passes, counts bool
		want           string
	}{
		{state.Sets, false, false, "ok no flowtable lets packets pass uncounted"}, // no rule adds flows to it
		{state.Sets, true, true, "fail " + missing + " (offload) lets packets pass uncounted (--accounting=flows; sysctl -w net.netfilter.nf_conntrack_acct=1"},
		{state.Rules, true, false, "fail " + missing + " (offload)"},
		{state.Off, true, false, "fail (--accounting=flows; "},
	} {
		m := Machine{
			Config:  state.Config{Accounting: test.layout},
			Ruleset: &nftables.Ruleset{Flowtables: []nftables.Flowtable{{Table: rulesTable, Name: "fast", Passes: test.passes, Counts: test.counts}}},
		}
		expect(t, m.flowtables(), test.want)
	}
	// In flows the kernel has to count too, which is a parameter of this machine.
	for counts, want := range map[bool]int{true: 0, false: 1} {
		m := Machine{
			Config:  state.Config{Accounting: state.Flows},
			Ruleset: &nftables.Ruleset{Flowtables: []nftables.Flowtable{{Table: rulesTable, Name: "fast", Passes: true, Counts: counts}}},
		}
		lacking := 0
		for _, f := range m.flowtables() {
			if strings.Contains(f.Found, missing+" lets packets pass uncounted: it lacks the flag counter") && f.Status == Fail {
				lacking++
			}
		}
		if lacking != want {
			t.Errorf("flag counter %t: %d findings, want %d: %+v", counts, lacking, want, m.flowtables())
		}
	}
}

func TestVLANs(t *testing.T) {
	lan := &state.LAN{
		Interfaces: []string{"br-lan"},
		Addrs:      []state.InterfaceAddr{{Interface: "br-lan.10", Addr: netip.MustParseAddr("192.168.10.1"), Network: netip.MustParsePrefix("192.168.10.0/24")}},
	}
	m := Machine{
		Interfaces: []string{"br-lan"},
		Sample:     &state.Sample{LAN: lan},
		links:      []neighbor.Link{{Name: "br-lan", Kind: "bridge", Up: true}, {Name: "br-lan.10", Kind: "vlan", Up: true, Lower: "br-lan"}},
		host:       byUnits,
	}
	const want = `warn no clients: br-lan has no address, but br-lan.10, a VLAN on it, has one (set TRAFFIC_INTERFACE="br-lan.10" in /etc/default/network-metrics-exporter)`
	expect(t, m.networks(), want)
	m.Networks = []netip.Prefix{netip.MustParsePrefix("192.168.10.0/24")} // which does not help
	expect(t, m.networks(), "warn 192.168.10.0/24 is the network of br-lan.10", want)

	m.Networks, m.Interfaces, lan.Interfaces = nil, []string{"br-lan.10"}, []string{"br-lan.10"}
	expect(t, m.networks(), "ok clients are those in 192.168.10.0/24")
}

func TestRepairs(t *testing.T) {
	for _, test := range []struct {
		runs, repairs uint64
		missing       []string
		want          string
	}{
		{1_000_000, 0, nil, "ok 0 of 1000000"},
		{13, 9, nil, "ok 9 of 13"}, // that it came to rest is seen
		{13, 10, nil, "warn 10 of 13 runs found gone"},
		{1_000_000, 10_000, nil, "ok 10000 of"},
		{1_000_000, 10_001, nil, "warn 10001 of"},
		{1_000_000, 2, []string{"set client_tx"}, "ok 2 of"},        // a reload
		{1_000_000, 3, []string{"rule tx_192.168.10.7"}, "ok 3 of"}, // a new client
		{1_000_000, 3, []string{"set client_tx"}, "warn something flushes the ruleset again and again"},
	} {
		m := Machine{
			Config:  state.Config{Accounting: state.Sets, Interval: time.Second},
			Last:    &state.Ledger{Instant: state.Instant{Boot: "b", Uptime: time.Minute}, Baselines: []time.Duration{time.Minute}, Run: test.runs, Repairs: test.repairs},
			Sample:  &state.Sample{Instant: state.Instant{Boot: "b", Uptime: time.Minute + time.Second}},
			Ruleset: &nftables.Ruleset{Missing: test.missing},
		}
		expect(t, m.repairs(), test.want)
		m.Last.Repairs, m.Last.Resets = 0, test.repairs // of rules that somebody else makes
		expect(t, m.repairs(), test.want)
		m.Sample.Boot = "c" // no run yet has put it back
		if len(test.missing) > 0 {
			expect(t, m.repairs(), "ok")
		}
	}
}

func TestSettings(t *testing.T) {
	for _, test := range []struct {
		flag                 string
		values               []string
		byHand, units, nixOS string
	}{
		{"interface", []string{"br-lan", "wg0"}, "--interface=br-lan --interface=wg0",
			`set TRAFFIC_INTERFACE="br-lan wg0" in /etc/default/network-metrics-exporter`,
			`services.network-metrics-exporter.interfaces = [ "br-lan" "wg0" ];`},
		{"network", []string{"fd00::/64"}, "--network=fd00::/64",
			`set NETWORK_PREFIX="fd00::/64" in /etc/default/network-metrics-exporter`,
			`services.network-metrics-exporter.networks = [ "fd00::/64" ];`},
		{"accounting", []string{"flows"}, "--accounting=flows",
			"add --accounting=flows to ARGS in /etc/default/network-metrics-exporter",
			`services.network-metrics-exporter.accounting = "flows";`},
		{"max-clients", []string{"2048"}, "--max-clients=2048",
			"add --max-clients=2048 to ARGS in /etc/default/network-metrics-exporter",
			`services.network-metrics-exporter.extraFlags = [ "--max-clients=2048" ];`},
		{"port", []string{"9200"}, "--port=9200",
			`set METRICS_PORT="9200" in /etc/default/network-metrics-exporter`,
			"services.network-metrics-exporter.port = 9200;"},
		{"leases", []string{"/a", "/b"}, "--leases=/a --leases=/b",
			"add --leases=/a --leases=/b to ARGS in /etc/default/network-metrics-exporter",
			`services.network-metrics-exporter.leases = [ "/a" "/b" ];`},
		{"output", []string{"/srv/text/network_metrics.prom"}, "--output=/srv/text/network_metrics.prom",
			"add --output=/srv/text/network_metrics.prom to ARGS in /etc/default/network-metrics-exporter",
			`services.network-metrics-exporter.textfileDirectory = "/srv/text";`},
	} {
		got := []string{byHand.setting(test.flag, test.values...), byUnits.setting(test.flag, test.values...), byNixOS.setting(test.flag, test.values...)}
		if diff := cmp.Diff([]string{test.byHand, test.units, test.nixOS}, got); diff != "" {
			t.Errorf("--%s (-want +got):\n%s", test.flag, diff)
		}
	}
}

func TestOptions(t *testing.T) {
	p := process{args: []string{"node_exporter", "--web.listen-address=:9100", "--web.listen-address", "[::1]:9200", "--web.listen-address-x=1", "--web.listen-address"}}
	if diff := cmp.Diff([]string{":9100", "[::1]:9200"}, p.listens()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{":9100"}, process{args: []string{"node_exporter"}}.listens()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseUser(t *testing.T) {
	got := parseUser("Name:\tnode_exporter\nUid:\t1\t2\t3\t106\nGid:\t4\t5\t6\t112\nGroups:\t4 27 \nNSpid:\t9\n")
	want := user{known: true, uid: 106, gids: []uint32{112, 4, 27}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(user{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := parseUser("Uid:\tnobody\n"); got.known {
		t.Errorf("%+v", got)
	}
}

func TestMay(t *testing.T) {
	path := t.TempDir() + "/file"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	for _, test := range []struct {
		mode os.FileMode
		user user
		want bool
	}{
		{0o604, user{}, true},
		{0o640, user{}, false},
		{0o640, user{known: true, uid: uid + 1, gids: []uint32{gid}}, true},
		{0o604, user{known: true, uid: uid + 1, gids: []uint32{gid}}, false},
		{0o604, user{known: true, uid: uid + 1, gids: []uint32{gid + 1}}, true},
		{0o000, user{known: true}, true}, // root
	} {
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		if err := test.user.may(path, 4); (err == nil) != test.want {
			t.Errorf("%v for %+v: %v, want %v", test.mode, test.user, err, test.want)
		}
	}
}
