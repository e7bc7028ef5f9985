// Package release tests what `make release` makes.
package release

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
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

// TestRelease makes a release twice, in two places: the same bytes have to come
// out, for every architecture a program that runs and needs no library, and
// packages that Debian's tools accept.
func TestRelease(t *testing.T) {
	lab.Need(t, "dpkg-deb", "qemu-mips-static")
	var sums [2]string
	var dist string
	for n := range sums {
		tree := t.TempDir()
		command(t, "../..", "bash", "-c", `tar -c --exclude=./.git --exclude=./.cache --exclude=./dist . | tar -x -C "$1"`, "bash", tree)
		dist = filepath.Join(tree, "elsewhere", "dist")
		command(t, tree, "systemd/release.sh", "v1.2.3-4-gabcdef0", dist)
		data, err := os.ReadFile(filepath.Join(dist, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums[n] = string(data)
	}
	if diff := cmp.Diff(sums[0], sums[1]); diff != "" {
		t.Errorf("checksums of two releases of the same tree:\n%s", diff)
	}
	command(t, dist, "sha256sum", "--check", "--strict", "SHA256SUMS")

	for arch, emulator := range architectures {
		name := "network-metrics-exporter-1.2.3-4-gabcdef0-linux-" + arch
		command(t, dist, "tar", "-xzf", name+".tar.gz")
		program := filepath.Join(dist, name, "network-metrics-exporter")
		if said := command(t, dist, "qemu-"+emulator+"-static", program, "--version"); !strings.Contains(said, "1.2.3-4-gabcdef0") {
			t.Errorf("%s: --version says %q", arch, said)
		}
		file, err := elf.Open(program)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if libraries, err := file.ImportedLibraries(); len(libraries) > 0 || err != nil {
			t.Errorf("%s: it needs %q, %v", arch, libraries, err)
		}
		if modules, err := os.ReadFile(filepath.Join(dist, name+".sbom.txt")); err != nil || !strings.Contains(string(modules), "github.com/google/nftables") {
			t.Errorf("%s: bill of materials:\n%s%v", arch, modules, err)
		}
	}

	packages, err := filepath.Glob(filepath.Join(dist, "*.deb"))
	if err != nil || len(packages) != 5 { // Debian has dropped mips
		t.Fatalf("packages %q, %v: want 5", packages, err)
	}
	for _, path := range packages {
		fields := command(t, dist, "dpkg-deb", "--field", path, "Package", "Version", "Architecture")
		if !strings.HasPrefix(fields, "Package: network-metrics-exporter\nVersion: 1.2.3+4+gabcdef0\n") {
			t.Errorf("%s:\n%s", path, fields)
		}
		contents := command(t, dist, "dpkg-deb", "--contents", path)
		for _, file := range []string{
			"-rwxr-xr-x root/root", "./usr/bin/network-metrics-exporter\n", "./usr/lib/systemd/system/network-metrics-exporter.timer\n",
			"./usr/lib/sysusers.d/network-metrics-exporter.conf\n", "./etc/default/network-metrics-exporter\n",
		} {
			if !strings.Contains(contents, file) {
				t.Errorf("%s has no %q:\n%s", path, file, contents)
			}
		}
	}
}
