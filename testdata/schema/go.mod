module network-metrics-exporter/testdata/schema

go 1.26.0

require (
	github.com/grafana/grafana-foundation-sdk/go v0.0.12
	go.yaml.in/yaml/v3 v3.0.4
)
