package vm_test

import (
	"testing"

	"network-metrics-exporter/testdata/vm"
)

// TestMachine has commands run in a machine, and files written.
func TestMachine(t *testing.T) {
	m := vm.New(t, vm.Config{Kernel: "bookworm"})
	m.Boot(t)
	if got, want := m.Run(t, "sh", "-c", "echo one; echo two >&2"), "one\ntwo\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
	if got, want := m.Output("sh", "-c", "echo one; false"), "one\n"; got != want {
		t.Errorf("output %q of a command that fails, want %q", got, want)
	}
	m.Write(t, "/file", []byte("text"))
	if got, want := m.Run(t, "cat", "/file"), "text"; got != want {
		t.Errorf("/file is %q, want %q", got, want)
	}
	m.Output("poweroff", "-f")
	m.WaitOff(t)
}
