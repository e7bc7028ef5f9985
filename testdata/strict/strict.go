// Package strict reads the Prometheus text format as tests have to: whatever
// any reader could refuse, or the program promises not to write, is an error.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Parse gives the families of a .prom file by name. It takes what node_exporter's
// textfile collector takes (no timestamps, valid UTF-8, LF at the end of every
// line, HELP and TYPE once) and of that only what is written in one way: counters
// and gauges of finite values, families in the order of their names, series in
// the order of their labels' values, each once.
func Parse(text []byte) (map[string]*dto.MetricFamily, error) {
	if err := checkLines(text); err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	for _, family := range families {
		if err := checkFamily(family); err != nil {
			return nil, fmt.Errorf("%s: %w", family.GetName(), err)
		}
	}
	return families, nil
}

// checkLines looks at what a parser does not give back: a family is a HELP line,
// a TYPE line and its series, and names ascend.
func checkLines(text []byte) error {
	if !bytes.HasSuffix(text, []byte("\n")) {
		return errors.New("no newline at the end")
	}
	var family, last string // last: what the line before was
	for n, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		switch {
		case !utf8.ValidString(line):
			return fmt.Errorf("line %d: %q is not UTF-8", n+1, line)
		case strings.Contains(line, "\r"):
			return fmt.Errorf("line %d: %q has a carriage return", n+1, line)
		}
		kind, name := "series", line
		for _, comment := range []string{"HELP", "TYPE"} {
			if rest, ok := strings.CutPrefix(line, "# "+comment+" "); ok {
				kind, name = comment, rest
			}
		}
		if end := strings.IndexAny(name, " {"); end >= 0 {
			name = name[:end]
		}
		bad := false
		switch kind {
		case "HELP":
			bad = last == "HELP" || last == "TYPE" || name <= family
			family = name
		case "TYPE":
			bad = last != "HELP" || name != family
		case "series":
			bad = last != "TYPE" && last != "series" || name != family
		}
		if bad {
			return fmt.Errorf("line %d: %q is out of place", n+1, line)
		}
		last = kind
	}
	if last != "series" {
		return fmt.Errorf("%s has no series", family)
	}
	return nil
}

func checkFamily(family *dto.MetricFamily) error {
	var before []*dto.LabelPair
	for n, m := range family.Metric {
		var value float64
		switch family.GetType() {
		case dto.MetricType_COUNTER:
			value = m.Counter.GetValue()
			if value < 0 {
				return fmt.Errorf("%v: a negative counter", m)
			}
		case dto.MetricType_GAUGE:
			value = m.Gauge.GetValue()
		default:
			return fmt.Errorf("a %v", family.GetType())
		}
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return fmt.Errorf("%v: not a finite number", m)
		}
		if m.TimestampMs != nil {
			return fmt.Errorf("%v: a timestamp", m)
		}
		if n > 0 {
			if !slices.EqualFunc(before, m.Label, func(a, b *dto.LabelPair) bool { return a.GetName() == b.GetName() }) {
				return fmt.Errorf("%v: other labels than the series before", m)
			}
			switch order := slices.CompareFunc(before, m.Label, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetValue(), b.GetValue()) }); {
			case order == 0:
				return fmt.Errorf("%v: twice", m)
			case order > 0:
				return fmt.Errorf("%v: out of order", m)
			}
		}
		before = m.Label
	}
	return nil
}
