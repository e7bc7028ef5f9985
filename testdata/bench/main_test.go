package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"network-metrics-exporter/testdata/lab"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == measureCommand {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestMeasure measures the smallest size, lest the benchmark breaks unseen. How
// fast that is does not matter.
func TestMeasure(t *testing.T) {
	lab.Namespace(t, func(t *testing.T) {
		lab.Need(t, "ip")
		program := filepath.Join(t.TempDir(), "program")
		if out, err := exec.Command("go", "build", "-o", program, "../..").CombinedOutput(); err != nil {
			t.Fatalf("build the program: %v\n%s", err, out)
		}
		r, err := sizes[0].measure(program)
		if err != nil {
			t.Fatal(err)
		}
		if r.kernel <= 0 || r.run.cpu <= 0 || r.run.wall <= 0 || r.run.memory <= 0 || r.held <= 0 {
			t.Errorf("measured %+v", r)
		}
	})
}
