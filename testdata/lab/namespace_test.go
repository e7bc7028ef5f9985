package lab_test

import (
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"network-metrics-exporter/testdata/lab"
)

func TestNamespaceIsFresh(t *testing.T) {
	t.Run("whatever (it) is called: [a/b] #1", func(t *testing.T) {
		lab.Namespace(t, func(t *testing.T) {
			if os.Getuid() != 0 || os.Getpid() != 1 {
				t.Errorf("uid %d and pid %d, want root and the first process", os.Getuid(), os.Getpid())
			}
			links, err := net.Interfaces()
			if err != nil {
				t.Fatal(err)
			}
			for _, link := range links {
				if up := link.Flags&net.FlagUp != 0; up != (link.Name == "lo") {
					t.Errorf("link %s: up is %v", link.Name, up)
				}
			}
		})
	})
}

// TestEnding ends in namespaces in each way there is, when TestEndingIsPassedOn
// asks for it.
func TestEnding(t *testing.T) {
	if os.Getenv("LAB_ENDING") == "" {
		return
	}
	for name, f := range map[string]func(*testing.T){
		"PASS": func(*testing.T) {},
		"FAIL": func(t *testing.T) { t.Error("on purpose") },
		"SKIP": func(t *testing.T) { t.Skip("on purpose") },
		"exit": func(*testing.T) { os.Exit(0) },
		"nest": func(t *testing.T) {
			t.Run("again", func(t *testing.T) { lab.Namespace(t, func(*testing.T) {}) })
		},
	} {
		t.Run(name, func(t *testing.T) { lab.Namespace(t, f) })
	}
}

func TestEndingIsPassedOn(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestEnding$", "-test.v")
	cmd.Env = append(os.Environ(), "LAB_ENDING=1")
	output, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("a failure in namespaces was not passed on")
	}
	got := make(map[string]string)
	for _, match := range regexp.MustCompile(`(?m)^    --- (\w+): TestEnding/(\w+) `).FindAllStringSubmatch(string(output), -1) {
		got[match[2]] = match[1]
	}
	for name, want := range map[string]string{"PASS": "PASS", "FAIL": "FAIL", "SKIP": "SKIP", "exit": "FAIL", "nest": "FAIL"} {
		if got[name] != want {
			t.Errorf("%s in namespaces: test ended with %q, want %q", name, got[name], want)
		}
	}
	if t.Failed() {
		t.Logf("output:\n%s", strings.ReplaceAll(string(output), "\n", "\n| "))
	}
}
