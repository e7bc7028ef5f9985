package systemd

import "testing"

func TestMachine(t *testing.T) {
	m := newMachine(t)
	t.Log(m.run(t, "systemctl", "list-units", "--no-pager"))
	t.Log(m.run(t, "cat", "/proc/sys/kernel/random/boot_id"))
	m.cutPower(t)
	m.boot(t, nil)
	t.Log(m.run(t, "cat", "/proc/sys/kernel/random/boot_id"))
	m.shutDown(t)
	m.boot(t, nil)
	t.Log(m.run(t, "journalctl", "--no-pager", "-n", "50"))
}
