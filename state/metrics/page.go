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
	maxLabels = 7

	// batchSize is how many series are rendered at a time: a page of any length
	// takes the memory of these.
	batchSize = 64
)

// page is a text in the making: a family is begun, its series are added, and so on
// with the next one; the text is written batch by batch. The first error ends it.
type page struct {
	to  io.Writer
	err error

	family  dto.MetricFamily  // the one that series go to; Metric is the batch
	labels  [maxLabels]string // the names of its labels
	nlabels int
	begun   bool // whether HELP and TYPE are written

	room [batchSize]series // reused for each batch
	text bytes.Buffer      // reused for each batch
}

// series has room for all that expfmt wants to know of a series.
type series struct {
	value  float64
	labels [maxLabels]string // their values

	metric  dto.Metric
	counter dto.Counter
	gauge   dto.Gauge
	pairs   [maxLabels]dto.LabelPair
	refs    [maxLabels]*dto.LabelPair // to pairs
}

func newPage(to io.Writer) *page {
	p := &page{to: to}
	p.family.Metric = make([]*dto.Metric, 0, batchSize)
	for i := range p.room {
		s := &p.room[i]
		s.counter.Value, s.gauge.Value = &s.value, &s.value
		for j := range s.pairs {
			s.pairs[j].Name, s.pairs[j].Value = &p.labels[j], &s.labels[j]
			s.refs[j] = &s.pairs[j]
		}
	}
	return p
}

// begin begins a family, whose series have the labels named. One without series
// is left out.
func (p *page) begin(name, help string, kind dto.MetricType, labels ...string) {
	p.flush()
	p.family.Name, p.family.Help, p.family.Type, p.begun = &name, &help, &kind, false
	p.nlabels = copy(p.labels[:], labels)
}

// add adds a series to the family that was begun last, and returns where the values
// of its labels have to be put.
func (p *page) add(value float64) (labels *[maxLabels]string) {
	if len(p.family.Metric) == batchSize {
		p.flush()
	}
	s := &p.room[len(p.family.Metric)]
	s.value = value
	s.metric.Label = s.refs[:p.nlabels]
	if *p.family.Type == counter {
		s.metric.Counter, s.metric.Gauge = &s.counter, nil
	} else {
		s.metric.Counter, s.metric.Gauge = nil, &s.gauge
	}
	p.family.Metric = append(p.family.Metric, &s.metric)
	return &s.labels
}

// flush writes out the batch and empties it.
func (p *page) flush() {
	if p.err == nil && len(p.family.Metric) > 0 {
		p.err = p.write()
	}
	p.family.Metric = p.family.Metric[:0]
}

func (p *page) write() error {
	p.text.Reset()
	if _, err := expfmt.MetricFamilyToText(&p.text, &p.family); err != nil {
		return fmt.Errorf("render %s: %w", p.family.GetName(), err)
	}
	if p.begun {
		// HELP and TYPE, which expfmt writes each time, stand once in a page.
		for range 2 {
			p.text.ReadBytes('\n')
		}
	}
	p.begun = true
	_, err := p.text.WriteTo(p.to)
	return err
}

// end ends the page.
func (p *page) end() error {
	p.flush()
	return p.err
}
