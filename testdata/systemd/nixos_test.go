package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"network-metrics-exporter/testdata/lab"
)

const accounting = "network-metrics-exporter-accounting.service"

// TestNixOS has the units at work that nix/module.nix makes, and does to them what
// nixos-rebuild does. NixOS itself is not there, and its firewall's part is played
// by nft.
func TestNixOS(t *testing.T) {
	var nixos struct {
		Units    map[string]string
		WantedBy map[string][]string
		Tmpfiles []string
	}
	err := lab.Nix(t, `import ../nix/eval.nix {
		configuration.services.network-metrics-exporter = { enable = true; updateInterval = 1; networks = [ ]; checkpointInterval = "60s"; };
	}`, &nixos)
	if err != nil {
		t.Fatal(err)
	}
	m := newContainer(t)
	r := &router{m}
	m.fillStore(t, nixos.Units)
	for unit, text := range nixos.Units {
		r.write(t, filepath.Join("/etc/systemd/system", unit), text)
		for _, target := range nixos.WantedBy[unit] {
			wants := m.path("/etc/systemd/system/" + target + ".wants")
			if err := os.MkdirAll(wants, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("../"+unit, filepath.Join(wants, unit)); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.run(t, "useradd", "--system", "--user-group", "network-metrics-exporter")
	r.write(t, "/etc/tmpfiles.d/00-nixos.conf", strings.Join(nixos.Tmpfiles, "\n")+"\n")
	r.run(t, "systemd-tmpfiles", "--create", "/etc/tmpfiles.d/00-nixos.conf")
	enable := func() {
		r.run(t, "systemctl", "daemon-reload")
		r.run(t, "systemctl", "start", "multi-user.target", "timers.target")
	}
	enable()
	r.startLAN(t)
	r.until(t, "the laptop is served", func() bool {
		return r.served(t)[tx] >= 0 && r.served(t)[`client_status{client="laptop",ip="192.168.10.100"}`] == 1
	})

	// sends has what the laptop sends from now on counted to the byte.
	sends := func(when string) {
		t.Helper()
		want := r.served(t)[tx] + r.send(t)
		r.until(t, "what the laptop sent is served "+when, func() bool { return r.served(t)[tx] >= want })
		if got := r.served(t)[tx]; got != want {
			t.Errorf("total %v %s, want %v", got, when, want)
		}
	}
	counting := func() bool { return strings.Contains(r.run(t, "nft", "list", "tables"), "inet network_metrics") }
	sends("at first")

	// nftables.service of NixOS, with flushRuleset and with tables.
	for _, ruleset := range []string{
		"flush ruleset",
		"table inet nixos-fw {}; delete table inet nixos-fw; table inet nixos-fw { chain forward { type filter hook forward priority filter; policy accept; }; }",
	} {
		r.run(t, "nft", ruleset)
		r.samples(t, 2) // the second one begins after the first had put it back
		sends("after " + ruleset)
	}

	// An upgrade stops the units that it changes, and starts what targets want.
	before := r.totals(t)
	r.run(t, "systemctl", "stop", timer, service, stop, http)
	if !counting() {
		t.Error("an upgrade takes the accounting down")
	}
	sent := r.send(t)
	enable()
	if got, want := r.totals(t)[tx], before[tx]+sent; got != want {
		t.Errorf("total %v after an upgrade, want %v", got, want)
	}

	// A disabled service stops all units in one go.
	before = r.totals(t)
	sent = r.send(t)
	r.run(t, "systemctl", "stop", timer, service, stop, http, accounting)
	if counting() {
		t.Error("a disabled service leaves the accounting")
	}
	if _, ok := r.read(t, prom); ok {
		t.Error("a disabled service leaves its metrics")
	}
	enable()
	if got, want := r.totals(t)[tx], before[tx]+sent; got != want {
		t.Errorf("total %v when enabled again, want %v", got, want)
	}
	r.run(t, "journalctl", "--sync")
	for line := range strings.Lines(r.output("journalctl", "--quiet", "--no-pager", "--identifier=network-metrics-exporter")) {
		// The LAN was late.
		if !strings.Contains(line, "msg=\"neighbor ") {
			t.Errorf("in the journal: %s", line)
		}
	}
}

// fillStore puts the programs where the units look for them.
func (m *container) fillStore(t *testing.T, units map[string]string) {
	t.Helper()
	own := filepath.Join(t.TempDir(), "network-metrics-exporter")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-C", repository, "-o", own, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	programs := map[string]string{"network-metrics-exporter": own, "node_exporter": "prometheus-node-exporter", "rm": "rm"}
	for _, unit := range units {
		for _, path := range regexp.MustCompile(`/nix/store/[^"]*/bin/[^"]*`).FindAllString(unit, -1) {
			found, err := exec.LookPath(programs[filepath.Base(path)])
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			lab.Command(t, "install", "-D", found, m.path(path))
		}
	}
}
