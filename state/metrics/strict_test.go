package metrics

import (
	"strings"
	"testing"

	"network-metrics-exporter/testdata/strict"
)

// TestStrict is about the parser that all tests of output trust. It is here
// since the pattern ./... passes testdata by.
func TestStrict(t *testing.T) {
	const a, b = "# HELP a A.\n# TYPE a gauge\na 1\n", "# HELP b B.\n# TYPE b counter\n"
	tests := map[string]struct {
		text, want string // want "": it is good
	}{
		"one family":             {a, ""},
		"two families":           {a + b + "b{x=\"1\",y=\"2\"} 1\nb{x=\"1\",y=\"3\"} 2.5e+30\nb{x=\"2\",y=\"1\"} 0\n", ""},
		"escapes":                {a + b + `b{x="\\\"\n"} 1` + "\n", ""},
		"empty label":            {a + b + `b{x=""} 1` + "\n", ""},
		"negative gauge":         {"# HELP a A.\n# TYPE a gauge\na -1\n", ""},
		"nothing":                {"", "no newline at the end"},
		"no newline at the end":  {a + b + "b 1", "no newline at the end"},
		"CRLF":                   {strings.ReplaceAll(a, "\n", "\r\n"), "carriage return"},
		"CR in a label":          {b + "b{x=\"\r\"} 1\n", "carriage return"},
		"invalid UTF-8":          {b + "b{x=\"\xff\"} 1\n", "not UTF-8"},
		"invalid UTF-8 in HELP":  {"# HELP a \xc3(\n# TYPE a gauge\na 1\n", "not UTF-8"},
		"newline in a label":     {b + "b{x=\"1\n2\"} 1\n", "out of place"},
		"quote in a label":       {b + "b{x=\"1\"2\"} 1\n", "parsing error"},
		"unknown escape":         {b + `b{x="\t"} 1` + "\n", "parsing error"},
		"no value":               {b + "b\n", "parsing error"},
		"value of two numbers":   {b + "b 1,5\n", "parsing error"},
		"a label twice":          {b + `b{x="1",x="1"} 1` + "\n", "parsing error"},
		"a dash in a label name": {b + `b{x-y="1"} 1` + "\n", "parsing error"},
		"a dash in a name":       {"# HELP a-b A.\n# TYPE a-b gauge\na-b 1\n", "parsing error"},
		"unknown type":           {"# HELP a A.\n# TYPE a meter\na 1\n", "parsing error"},
		"timestamp":              {b + "b 1 1767225600000\n", "timestamp"},
		"NaN":                    {b + "b NaN\n", "finite"},
		"+Inf":                   {a[:len(a)-2] + "+Inf\n", "finite"},
		"-Inf":                   {a[:len(a)-2] + "-Inf\n", "finite"},
		"negative counter":       {b + "b -1\n", "negative"},
		"untyped":                {"# HELP a A.\n# TYPE a untyped\na 1\n", "UNTYPED"},
		"a histogram":            {"# HELP a A.\n# TYPE a summary\na 1\n", "SUMMARY"},
		"no HELP":                {"# TYPE a gauge\na 1\n", "out of place"},
		"no TYPE":                {"# HELP a A.\na 1\n", "out of place"},
		"neither":                {"a 1\n", "out of place"},
		"TYPE before HELP":       {"# TYPE a gauge\n# HELP a A.\na 1\n", "out of place"},
		"HELP twice":             {"# HELP a A.\n" + a, "out of place"},
		"HELP again, later":      {a + "# HELP a A.\na{x=\"1\"} 1\n", "out of place"},
		"TYPE twice":             {"# HELP a A.\n# TYPE a gauge\n# TYPE a gauge\na 1\n", "out of place"},
		"TYPE of another":        {"# HELP a A.\n# TYPE b gauge\na 1\n", "out of place"},
		"series of another":      {"# HELP a A.\n# TYPE a gauge\nb 1\n", "out of place"},
		"no series":              {a + b, "no series"},
		"no series in between":   {"# HELP a A.\n# TYPE a gauge\n" + b + "b 1\n", "out of place"},
		"families out of order":  {b + "b 1\n" + a, "out of place"},
		"a family twice":         {a + a, "out of place"},
		"a family in two parts":  {a + b + "b 1\na{x=\"1\"} 1\n", "out of place"},
		"a comment":              {"# by hand\n" + a, "out of place"},
		"an empty line":          {a + "\n" + b + "b 1\n", "out of place"},
		"a series twice":         {b + "b 1\nb 1\n", "twice"},
		"twice with a label":     {b + "b{x=\"1\"} 1\nb{x=\"1\"} 2\n", "twice"},
		"series out of order":    {b + "b{x=\"9\"} 1\nb{x=\"10\"} 1\n", "out of order"},
		"second label's order":   {b + "b{x=\"1\",y=\"2\"} 1\nb{x=\"1\",y=\"1\"} 1\n", "out of order"},
		"a label more":           {b + "b{x=\"1\"} 1\nb{x=\"1\",y=\"1\"} 1\n", "other labels"},
		"labels in other order":  {b + "b{x=\"1\",y=\"2\"} 1\nb{y=\"2\",x=\"1\"} 1\n", "other labels"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			families, err := strict.Parse([]byte(test.text))
			switch {
			case test.want == "" && (err != nil || len(families) == 0):
				t.Errorf("got %d families and error %v of\n%s", len(families), err, test.text)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got error %v, want one with %q of\n%s", err, test.want, test.text)
			}
		})
	}
}
