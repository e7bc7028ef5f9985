package vm_test

import (
	"testing"
	"time"

	"network-metrics-exporter/testdata/vm"
)

func TestTry(t *testing.T) {
	for _, r := range []string{"bookworm", "trixie"} {
		t.Run(r, func(t *testing.T) {
			disk := vm.Disk(t, r)
			start := time.Now()
			m := vm.Boot(t, vm.Config{Kernel: r, Disk: disk})
			t.Log(time.Since(start))
			t.Log(m.Output("systemctl", "is-system-running", "--wait"))
			t.Log(time.Since(start))
			t.Log(m.Output("systemd-analyze"))
			t.Log(m.Output("systemd-analyze", "blame"))
			t.Log(m.Output("systemctl", "--failed"))
			start = time.Now()
			t.Log(m.Output("systemctl", "daemon-reload"), time.Since(start))
			start = time.Now()
			t.Log(m.Output("sh", "-c", "systemctl poweroff"), time.Since(start))
			m.WaitOff(t)
			t.Log(time.Since(start))
		})
	}
}
