// Package schema holds grafana/dashboard.json to Grafana's own schema. It is a
// module of its own, so that nothing else depends on that.
package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/gauge"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// panels are the kinds that the dashboard may use: none is deprecated.
var panels = []variants.PanelcfgConfig{
	bargauge.VariantConfig(), gauge.VariantConfig(), stat.VariantConfig(),
	statetimeline.VariantConfig(), table.VariantConfig(), timeseries.VariantConfig(),
}

// check gives what is wrong with a dashboard: fields that Grafana does not know,
// also among the options of a panel or a query, values of another type, and what
// breaks a constraint.
func check(text []byte) error {
	runtime := cog.NewRuntime()
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	for _, p := range panels {
		runtime.RegisterPanelcfgVariant(p)
	}
	var d dashboard.Dashboard
	if err := d.UnmarshalJSONStrict(text); err != nil {
		return err
	}
	if err := d.Validate(); err != nil {
		return err
	}

	// It reads queries and kinds of panels that it does not know as they come.
	var raw struct {
		Panels []struct {
			Type    string
			Targets []json.RawMessage
		}
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	for _, p := range raw.Panels {
		if _, known := runtime.ConfigForPanelcfgVariant(p.Type); !known && p.Type != "row" {
			return fmt.Errorf("a panel is a %q", p.Type)
		}
		for _, target := range p.Targets {
			var query prometheus.Dataquery
			if err := query.UnmarshalJSONStrict(target); err != nil {
				return fmt.Errorf("%s: %w", target, err)
			}
		}
	}
	return nil
}

func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../../grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := check(text); err != nil {
		t.Error(err)
	}

	// It would say nothing if the check let everything pass.
	for name, change := range map[string][2]string{
		"a field of no dashboard": {`"schemaVersion"`, `"schemeVersion"`},
		"a field of no panel":     {`"gridPos"`, `"position"`},
		"an option of no stat":    {`"graphMode"`, `"graph"`},
		"a style of no series":    {`"drawStyle"`, `"style"`},
		"a field of no query":     {`"legendFormat"`, `"legend"`},
		"a text for a number":     {`"schemaVersion": 41`, `"schemaVersion": "41"`},
		"a kind that is no more":  {`"type": "stat"`, `"type": "singlestat"`},
		"a way to stack":          {`"mode": "normal"`, `"mode": 7`},
	} {
		t.Run(name, func(t *testing.T) {
			changed := bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
			if bytes.Equal(changed, text) {
				t.Fatalf("the dashboard has no %s", change[0])
			}
			if err := check(changed); err == nil {
				t.Error("it passes")
			}
		})
	}
}
