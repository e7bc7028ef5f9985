package vm_test

import (
	"strings"
	"testing"

	"network-metrics-exporter/testdata/vm"
)

func TestBoot(t *testing.T) {
	for _, kernel := range []struct{ release, version string }{{"bookworm", "6.1."}, {"trixie", "6.12."}} {
		t.Run(kernel.release, func(t *testing.T) {
			m := vm.Boot(t, vm.Config{Kernel: kernel.release, Programs: []string{"nft"}})
			if version := m.Run(t, "uname", "-r"); !strings.HasPrefix(version, kernel.version) {
				t.Errorf("kernel %swant %s", version, kernel.version)
			}
			m.Run(t, "nft", "add table inet x; add chain inet x y { type filter hook forward priority 0; }; add rule inet x y ct state established counter")
			t.Log(m.Run(t, "nft", "list", "ruleset"))
		})
	}
}
