package release

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/testdata/lab"
)

// TestBashCompletion completes command lines as bash does: words are split at = too.
func TestBashCompletion(t *testing.T) {
	lab.Need(t, "bash")
	const complete = `
		source ../../systemd/completions/network-metrics-exporter.bash
		compopt() { :; } # there is no line that is edited
		COMP_WORDS=(network-metrics-exporter "$@") COMP_CWORD=$#
		_network_metrics_exporter network-metrics-exporter "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
		echo "${COMPREPLY[@]}"`
	for _, test := range []struct {
		words []string
		want  string
	}{
		{[]string{""}, "sample show check teardown"},
		{[]string{"te"}, "teardown"},
		{[]string{"show", "--so"}, "--sort="},
		{[]string{"sample", "--no-r"}, "--no-reverse-dns"},
		{[]string{"--accounting", "="}, "sets rules flows off"},
		{[]string{"--accounting", "=", "f"}, "flows"},
		{[]string{"--interface", "=", "l"}, "lo"},
		{[]string{"--interval", "=", ""}, ""},
		{[]string{"--leases", "=", "completion_"}, "completion_test.go"},
	} {
		got := command(t, ".", "bash", append([]string{"-euc", complete, "bash"}, test.words...)...)
		if diff := cmp.Diff(test.want, strings.TrimSpace(got)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.words, diff)
		}
	}
}
