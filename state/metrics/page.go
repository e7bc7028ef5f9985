package metrics

import (
	"bytes"
	"fmt"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

const (
	counter = dto.MetricType_COUNTER
	gauge   = dto.MetricType_GAUGE
)

// page is a text in the making: families are put in one after the other, each
// followed by its series. The first error ends it.
type page struct {
	text   bytes.Buffer
	open   *dto.MetricFamily // the family that series go to
	failed error
}

// family begins a family. One without series is left out.
func (p *page) family(name, help string, kind dto.MetricType) {
	p.flush()
	p.open = &dto.MetricFamily{Name: &name, Help: &help, Type: &kind}
}

// series adds a series to the family that was begun last.
func (p *page) series(value float64, labels ...*dto.LabelPair) {
	m := &dto.Metric{Label: labels}
	if p.open.GetType() == counter {
		m.Counter = &dto.Counter{Value: &value}
	} else {
		m.Gauge = &dto.Gauge{Value: &value}
	}
	p.open.Metric = append(p.open.Metric, m)
}

// single is a family of one series without labels.
func (p *page) single(name, help string, kind dto.MetricType, value float64) {
	p.family(name, help, kind)
	p.series(value)
}

func (p *page) flush() {
	if p.failed != nil || len(p.open.GetMetric()) == 0 {
		return
	}
	if _, err := expfmt.MetricFamilyToText(&p.text, p.open); err != nil {
		p.failed = fmt.Errorf("render %s: %w", p.open.GetName(), err)
	}
}

// bytes ends the page.
func (p *page) bytes() ([]byte, error) {
	p.flush()
	return p.text.Bytes(), p.failed
}

func label(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }
