package schema

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// datasources and providers are what Grafana reads from its provisioning folder,
// as far as it is used here (grafana.com/docs, "Provision Grafana").
type datasources struct {
	APIVersion  int `yaml:"apiVersion"`
	Datasources []struct {
		Name, Type, UID, Access, URL string
		JSONData                     struct {
			HTTPMethod   string `yaml:"httpMethod"`
			TimeInterval string `yaml:"timeInterval"`
		} `yaml:"jsonData"`
	}
}

type providers struct {
	APIVersion int `yaml:"apiVersion"`
	Providers  []struct {
		Name, Type     string
		AllowUIUpdates bool `yaml:"allowUiUpdates"`
		Options        struct{ Path string }
	}
}

// read reads a file of the provisioning folder; a key that Grafana does not know
// is an error.
func read(t *testing.T, name string, into any) {
	t.Helper()
	file, err := os.Open(filepath.Join("../../grafana/provisioning", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestProvisioning(t *testing.T) {
	var sources datasources
	read(t, "datasources/network-metrics.yml", &sources)
	if d := sources.Datasources; sources.APIVersion != 1 || len(d) != 1 || d[0].Type != "prometheus" || d[0].UID == "" || d[0].JSONData.TimeInterval == "" {
		t.Errorf("data sources: %+v", sources)
	}

	var dashboards providers
	read(t, "dashboards/network-metrics.yml", &dashboards)
	if p := dashboards.Providers; dashboards.APIVersion != 1 || len(p) != 1 || p[0].Type != "file" {
		t.Fatalf("providers: %+v", dashboards)
	}
	guide, err := os.ReadFile("../../docs/grafana.md")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dashboards.Providers[0].Options.Path, "dashboard.json")
	for _, command := range []string{"sudo install -D -m 644 grafana/dashboard.json " + path, "./grafana/dashboard.json:" + path + ":ro"} {
		if !strings.Contains(string(guide), command) {
			t.Errorf("docs/grafana.md does not say %q", command)
		}
	}

	// Its links lead to itself.
	text, err := os.ReadFile("../../grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct{ UID string }
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"/d/`+dashboard.UID+`/`) {
		t.Errorf("no link to the dashboard's own uid %q", dashboard.UID)
	}
}
