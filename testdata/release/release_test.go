// Package release tests what `make release` makes.
package release

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/testdata/lab"
)

// architectures are those of a release, and the emulator of qemu-user for each.
var architectures = map[string]string{
	"amd64": "x86_64", "arm64": "aarch64", "arm": "arm", "mips": "mips", "mipsle": "mipsel", "riscv64": "riscv64",
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1767225600")
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, output)
	}
	return string(output)
}

// The version of the tests, as version.sh has it and as packages do.
const (
	version = "1.2.3-git20261125.5d3dad0"
	debian  = "1.2.3~git20261125.5d3dad0-1"
	alpine  = "1.2.3_alpha20261125-r1"
)

// copied copies a tree of the project.
func copied(t *testing.T, from string) (tree string) {
	t.Helper()
	tree = t.TempDir()
	command(t, from, "bash", "-c", `tar -c --exclude=./.git --exclude=./.cache --exclude=./dist . | tar -x -C "$1"`, "bash", tree)
	return tree
}

// release makes a release of a tree, and gives the directory that it is in.
func release(t *testing.T, tree string, architectures ...string) (dist string) {
	t.Helper()
	dist = filepath.Join(t.TempDir(), "elsewhere", "dist")
	command(t, tree, "systemd/release.sh", append([]string{"v" + version, dist}, architectures...)...)
	command(t, dist, "sha256sum", "--check", "--strict", "SHA256SUMS")
	return dist
}

// TestRelease makes a release: for every architecture a program that runs and needs
// no library, and packages that the tools of their systems accept. Of one of them
// the same bytes have to come out in another place.
func TestRelease(t *testing.T) {
	lab.Need(t, "dpkg-deb", "lintian", "qemu-mips-static", "rpm")
	tree := copied(t, "../..")
	dist := release(t, tree)
	again := release(t, copied(t, tree), "amd64")
	sums := read(t, filepath.Join(dist, "SHA256SUMS"))
	for line := range strings.Lines(read(t, filepath.Join(again, "SHA256SUMS"))) {
		if !strings.Contains(sums, line) {
			t.Errorf("from another place there are other bytes: %s", line)
		}
	}

	for arch, emulator := range architectures {
		name := "network-metrics-exporter-" + version + "-linux-" + arch
		command(t, dist, "tar", "-xzf", name+".tar.gz")
		program := filepath.Join(dist, name, "network-metrics-exporter")
		said := command(t, dist, "qemu-"+emulator+"-static", program, "--version")
		for _, want := range []string{version, "2026-01-01T00:00:00Z"} {
			if !strings.Contains(said, want) {
				t.Errorf("%s: want %s in what --version says:\n%s", arch, want, said)
			}
		}
		file, err := elf.Open(program)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if libraries, err := file.ImportedLibraries(); len(libraries) > 0 || err != nil {
			t.Errorf("%s: it needs %q, %v", arch, libraries, err)
		}
		if modules := read(t, filepath.Join(dist, name+".sbom.txt")); !strings.Contains(modules, "github.com/google/nftables") {
			t.Errorf("%s: bill of materials:\n%s", arch, modules)
		}
	}

	want := []string{ // Debian has dropped mips; Red Hat and Alpine never had mipsle
		"network-metrics-exporter-1.2.3~git20261125.5d3dad0-1.aarch64.rpm",
		"network-metrics-exporter-1.2.3~git20261125.5d3dad0-1.armv6hl.rpm",
		"network-metrics-exporter-1.2.3~git20261125.5d3dad0-1.riscv64.rpm",
		"network-metrics-exporter-1.2.3~git20261125.5d3dad0-1.x86_64.rpm",
		"network-metrics-exporter_" + alpine + "_aarch64.apk",
		"network-metrics-exporter_" + alpine + "_armhf.apk",
		"network-metrics-exporter_" + alpine + "_riscv64.apk",
		"network-metrics-exporter_" + alpine + "_x86_64.apk",
		"network-metrics-exporter_" + debian + "_amd64.deb",
		"network-metrics-exporter_" + debian + "_arm64.deb",
		"network-metrics-exporter_" + debian + "_armhf.deb",
		"network-metrics-exporter_" + debian + "_mipsel.deb",
		"network-metrics-exporter_" + debian + "_riscv64.deb",
	}
	if diff := cmp.Diff(want, strings.Fields(command(t, dist, "bash", "-c", "LC_ALL=C; printf '%s\n' *.rpm *.apk *.deb"))); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	debianPackages(t, dist)
	otherPackages(t, dist)
}

// packaged are the files of each package.
var packaged = []string{
	"/etc/default/network-metrics-exporter",
	"/usr/bin/network-metrics-exporter",
	"/usr/lib/systemd/system-generators/network-metrics-exporter-generator",
	"/usr/lib/systemd/system/network-metrics-exporter-http.service",
	"/usr/lib/systemd/system/network-metrics-exporter-stop.service",
	"/usr/lib/systemd/system/network-metrics-exporter-stop.service.d/sandbox.conf",
	"/usr/lib/systemd/system/network-metrics-exporter.service",
	"/usr/lib/systemd/system/network-metrics-exporter.service.d/sandbox.conf",
	"/usr/lib/systemd/system/network-metrics-exporter.timer",
	"/usr/lib/sysusers.d/network-metrics-exporter.conf",
	"/usr/lib/tmpfiles.d/network-metrics-exporter.conf",
	"/usr/share/bash-completion/completions/network-metrics-exporter",
	"/usr/share/doc/network-metrics-exporter/README.md",
	"/usr/share/doc/network-metrics-exporter/changelog.gz",
	"/usr/share/doc/network-metrics-exporter/copyright",
	"/usr/share/doc/network-metrics-exporter/libraries.gz",
	"/usr/share/fish/vendor_completions.d/network-metrics-exporter.fish",
	"/usr/share/man/man8/network-metrics-exporter.8.gz",
	"/usr/share/network-metrics-exporter/grafana/alerts.yml",
	"/usr/share/network-metrics-exporter/grafana/dashboard.json",
	"/usr/share/network-metrics-exporter/grafana/provisioning/dashboards/network-metrics.yml",
	"/usr/share/network-metrics-exporter/grafana/recording.yml",
	"/usr/share/zsh/site-functions/_network-metrics-exporter",
}

// has compares a list of files with those that each package has.
func has(t *testing.T, name, list string) {
	t.Helper()
	for _, file := range packaged {
		if !regexp.MustCompile(`(?m)^\.?/?` + regexp.QuoteMeta(file[1:]) + `$`).MatchString(list) {
			t.Errorf("%s has no %s:\n%s", name, file, list)
		}
	}
}

// debianPackages looks into those of Debian.
func debianPackages(t *testing.T, dist string) {
	packages, err := filepath.Glob(filepath.Join(dist, "*.deb"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range packages {
		fields := command(t, dist, "dpkg-deb", "--field", path, "Package", "Version", "Maintainer")
		if !regexp.MustCompile(`^Package: network-metrics-exporter\nVersion: ` + regexp.QuoteMeta(debian) + `\nMaintainer: .+@.+\n$`).MatchString(fields) {
			t.Errorf("%s:\n%s", path, fields)
		}
		tree := t.TempDir()
		command(t, tree, "dpkg-deb", "--raw-extract", path, tree)
		has(t, path, command(t, tree, "find", ".", "-type", "f"))
		command(t, tree, "md5sum", "--check", "--strict", "--quiet", "DEBIAN/md5sums")
		if got := read(t, filepath.Join(tree, "DEBIAN", "conffiles")); got != "/etc/default/network-metrics-exporter\n" {
			t.Errorf("%s: conffiles are %q", path, got)
		}
		if owners := command(t, dist, "bash", "-c", `dpkg-deb --fsys-tarfile "$0" | tar -tv --numeric-owner | grep -v ' 0/0 '; true`, path); owners != "" {
			t.Errorf("%s: not root's:\n%s", path, owners)
		}
	}
	// Its messages are about the package, and none is for us alone.
	if said := command(t, dist, "lintian", "--allow-root", "--fail-on=error,warning", "--tag-display-limit=0",
		"network-metrics-exporter_"+debian+"_amd64.deb"); regexp.MustCompile(`(?m)^[EW]:`).MatchString(said) {
		t.Errorf("lintian:\n%s", said)
	}
	overrides := read(t, "../../systemd/package/lintian-overrides")
	if !regexp.MustCompile(`^(#.*\n(#.*\n)*network-metrics-exporter: .*\n)+$`).MatchString(overrides) {
		t.Errorf("overrides without an explanation:\n%s", overrides)
	}
}

// otherPackages looks into those of Red Hat and Alpine.
func otherPackages(t *testing.T, dist string) {
	path := filepath.Join(dist, "network-metrics-exporter-1.2.3~git20261125.5d3dad0-1.x86_64.rpm")
	has(t, path, command(t, dist, "rpm", "-qpl", path))
	for query, want := range map[string]string{
		"--configfiles": "/etc/default/network-metrics-exporter\n",
		"--scripts":     "systemd-sysusers network-metrics-exporter.conf",
		"--changelog":   "network-metrics-exporter maintainers",
	} {
		if got := command(t, dist, "rpm", "-qp", query, path); !strings.Contains(got, want) {
			t.Errorf("rpm -qp %s: want %q in\n%s", query, want, got)
		}
	}

	path = filepath.Join(dist, "network-metrics-exporter_"+alpine+"_x86_64.apk")
	has(t, path, command(t, dist, "tar", "-tf", path))
	// Three members, the last without the end of a tar archive before it.
	if info := command(t, dist, "tar", "-xOzf", path, "--ignore-zeros", ".PKGINFO"); !strings.Contains(info, "pkgver = "+alpine+"\n") {
		t.Errorf("%s:\n%s", path, info)
	}
}

// TestVersion follows a repository from the first commit to one after a release. No
// package outranks the next one, for dpkg nor for rpm.
func TestVersion(t *testing.T) {
	lab.Need(t, "dpkg", "git", "rpm")
	tree := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		return command(t, tree, "git", append([]string{"-c", "user.name=test", "-c", "user.email=test@example.org"}, args...)...)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	version := func() string {
		t.Helper()
		return strings.TrimSpace(command(t, tree, "systemd/version.sh"))
	}
	t.Setenv("GIT_COMMITTER_DATE", "2026-11-25T23:30:00-0300") // the day after, in UTC
	command(t, "../..", "install", "-D", "-t", filepath.Join(tree, "systemd"), "systemd/version.sh")
	write("CHANGELOG.md", "# Changelog\n\n## 0.2.0 - 2026-11-28\n\n- a\n\n## 0.1.0 - 2026-11-24\n\n- b\n")
	if got := version(); got != "0.2.0-unknown" {
		t.Errorf("outside of a repository: %s", got)
	}

	git("init", "--quiet")
	git("add", ".")
	var versions []string
	for _, step := range []struct {
		tag, want string
	}{
		{"", `0\.2\.0-git20261126\.[0-9a-f]{7}`},
		{"v0.2.0-rc1", `0\.2\.0-rc1`},
		{"v0.2.0", `0\.2\.0`},
		{"", `0\.2\.1-git20261126\.[0-9a-f]{7}`},
	} {
		git("commit", "--quiet", "--allow-empty", "--message=x")
		if step.tag != "" {
			git("tag", step.tag)
		}
		got := version()
		if !regexp.MustCompile(`^` + step.want + `$`).MatchString(got) {
			t.Errorf("version %s, want %s", got, step.want)
		}
		versions = append(versions, strings.Replace(got, "-", "~", 1)+"-1")
	}
	for i, newer := range versions[1:] {
		command(t, tree, "dpkg", "--compare-versions", versions[i], "lt", newer)
		if order := command(t, tree, "rpm", "--eval", fmt.Sprintf("%%{lua: print(rpm.vercmp('%s', '%s'))}", versions[i], newer)); order != "-1\n" {
			t.Errorf("rpm has %s before %s: %s", newer, versions[i], order)
		}
	}
	write("CHANGELOG.md", "## 0.2.0 - 2026-11-28\n")
	if got := version(); !strings.HasSuffix(got, "+changed") {
		t.Errorf("with a change that is not committed: %s", got)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
