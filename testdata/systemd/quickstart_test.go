package systemd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// quickStartCommands returns the commands that the README's quick start for Debian has
// the reader type, as they are printed.
func quickStartCommands(t *testing.T) (commands []string) {
	t.Helper()
	const most = 10
	text, err := os.ReadFile(filepath.Join(repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Quick start: Debian, Ubuntu\n")
	if !ok {
		t.Fatal("the README has no quick start for Debian")
	}
	section, _, _ = strings.Cut(section, "\n```") // Prometheus' settings come next
	for line := range strings.Lines(section) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			commands = append(commands, strings.TrimSuffix(command, "\n"))
		}
	}
	if len(commands) == 0 || len(commands) > most {
		t.Fatalf("the quick start for Debian has %d commands, want 1 to %d", len(commands), most)
	}
	return commands
}

// quickStart follows the README on a router whose LAN is br0, with nothing but the
// package in the user's home directory, until port 9101 names the devices. Debian's
// packages are in the image, because apt has no mirror in there. What it installs is
// gone afterwards.
func quickStart(t *testing.T, r *router, pkg string) {
	const user, home = "owner", "/home/owner"
	r.run(t, "systemctl", "start", "lan", "clients")
	r.run(t, "ip", "link", "set", "br-lan", "name", "br0")
	r.run(t, "useradd", "--create-home", "--shell=/bin/bash", user)
	r.write(t, "/etc/sudoers.d/"+user, user+" ALL=(ALL) NOPASSWD: ALL\n")
	text, err := os.ReadFile(pkg)
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, filepath.Join(home, filepath.Base(pkg)), string(text))

	var checked, metrics string
	for _, command := range quickStartCommands(t) {
		t.Logf("$ %s", command)
		// Asked whether to continue, the user presses Enter.
		output := r.run(t, "sh", "-c", `yes "" | sudo --login --user="$0" -- bash -c "$1"`, user, command)
		switch {
		case strings.Contains(command, " check"):
			checked = output
		case strings.HasPrefix(command, "curl "):
			metrics = output
		}
	}
	if !strings.HasPrefix(checked, "ok ") || regexp.MustCompile("(?m)^fail ").MatchString(checked) {
		t.Errorf("check printed failures, or nothing:\n%s", checked)
	}
	for _, want := range []string{
		`device_info{client="laptop",device="02:00:00:00:00:01",ip="192.168.10.100",mac_scope="local",source="dhcp"}`,
		`device_info{client="phone",device="02:00:00:00:00:02",ip="192.168.10.101",mac_scope="local",source="dhcp"}`,
	} {
		if series(metrics)[want] != 1 {
			t.Errorf("curl did not print %s 1:\n%s", want, metrics)
		}
	}

	r.run(t, "dpkg", "--purge", "network-metrics-exporter")
	r.run(t, "ip", "link", "set", "br0", "name", "br-lan")
	r.journal(t) // of what is gone
}
