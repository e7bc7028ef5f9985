package metrics

import (
	"bytes"
	"fmt"
	"io"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

const (
	counter = dto.MetricType_COUNTER
	gauge   = dto.MetricType_GAUGE
)

const (
	maxLabels = 6

	// batch is how many series are rendered at a time: a page of any length
	// takes the memory of these.
	batch = 256
)

// page is a text in the making: families are put in one after the other, each
// followed by its series, and written out batch by batch. The first error ends
// it.
type page struct {
	to     io.Writer
	failed error

	open   dto.MetricFamily // the family that series go to; Metric is the batch
	labels [maxLabels]string
	began  bool // whether HELP and TYPE are written

	room [batch]series // reused for each batch
	text bytes.Buffer  // reused for each batch
}

// series has room for all that expfmt wants to know of a series.
type series struct {
	metric  dto.Metric
	counter dto.Counter
	gauge   dto.Gauge
	value   float64
	labels  [maxLabels]*dto.LabelPair
	pairs   [maxLabels]dto.LabelPair
	values  [maxLabels]string
}

func newPage(to io.Writer) *page {
	p := &page{to: to}
	p.open.Metric = make([]*dto.Metric, 0, batch)
	for i := range p.room {
		s := &p.room[i]
		s.counter.Value, s.gauge.Value = &s.value, &s.value
		for j := range s.pairs {
			s.pairs[j].Name, s.pairs[j].Value = &p.labels[j], &s.values[j]
			s.labels[j] = &s.pairs[j]
		}
	}
	return p
}

// family begins a family, whose series have the labels named. One without series
// is left out.
func (p *page) family(name, help string, kind dto.MetricType, labels ...string) {
	p.flush()
	p.open.Name, p.open.Help, p.open.Type, p.began = &name, &help, &kind, false
	copy(p.labels[:], labels)
}

// series adds a series to the family that was begun last, with a value for each
// of its labels.
func (p *page) series(value float64, labels ...string) {
	if len(p.open.Metric) == batch {
		p.flush()
	}
	s := &p.room[len(p.open.Metric)]
	s.value = value
	copy(s.values[:], labels)
	s.metric.Label = s.labels[:len(labels)]
	if p.open.GetType() == counter {
		s.metric.Counter, s.metric.Gauge = &s.counter, nil
	} else {
		s.metric.Counter, s.metric.Gauge = nil, &s.gauge
	}
	p.open.Metric = append(p.open.Metric, &s.metric)
}

// single is a family of one series without labels.
func (p *page) single(name, help string, kind dto.MetricType, value float64) {
	p.family(name, help, kind)
	p.series(value)
}

// flush writes out the batch.
func (p *page) flush() {
	if p.failed != nil || len(p.open.Metric) == 0 {
		return
	}
	p.text.Reset()
	if _, err := expfmt.MetricFamilyToText(&p.text, &p.open); err != nil {
		p.failed = fmt.Errorf("render %s: %w", p.open.GetName(), err)
		return
	}
	if p.began {
		// HELP and TYPE, which expfmt writes each time, stand once in a page.
		for range 2 {
			p.text.ReadBytes('\n')
		}
	}
	_, p.failed = p.text.WriteTo(p.to)
	p.open.Metric, p.began = p.open.Metric[:0], true
}

// end ends the page.
func (p *page) end() error {
	p.flush()
	return p.failed
}
