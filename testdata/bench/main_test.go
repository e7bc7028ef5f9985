package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == measureCommand {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestMeasure measures a small router, lest the benchmark breaks unseen. How
// fast that is does not matter.
func TestMeasure(t *testing.T) {
	lab.Namespace(t, func(t *testing.T) {
		lab.Need(t, "conntrack", "ip", "nft")
		program := filepath.Join(t.TempDir(), "program")
		if out, err := exec.Command("go", "build", "-o", program, "../..").CombinedOutput(); err != nil {
			t.Fatalf("build the program: %v\n%s", err, out)
		}
		for _, s := range []size{
			{flows: 300, clients: 30, scripts: true},
			{flows: 300, clients: 30, layout: state.Flows},
			{flows: 300, clients: 30, layout: state.Rules},
		} {
			r, err := s.measure(program, 0)
			if err != nil {
				t.Fatal(err)
			}
			if r.kernel <= 0 || r.run.cpu <= 0 || r.run.wall <= 0 || r.run.memory <= 0 ||
				(r.held > 0) != (s.layout != state.Flows) || (r.scripts > 0) != s.scripts {
				t.Errorf("%+v: measured %+v", s, r)
			}
		}
	})
}
