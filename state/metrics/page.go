package metrics

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strconv"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

const (
	counter = dto.MetricType_COUNTER
	gauge   = dto.MetricType_GAUGE
)

// pieceSize is how much text is written at a time: a page of any length takes the
// memory of that.
const pieceSize = 64 << 10

// page is a text in the making: a family is begun, its series are added, and so on
// with the next one; the text is written piece by piece. The first error ends it.
//
// All that has a form or may have to be escaped is rendered by expfmt, and rendered
// once: a page has twenty series with the labels of one client.
type page struct {
	to   io.Writer
	err  error
	text []byte // not written yet

	name string // of the family that series go to
	head []byte // its HELP and TYPE; nil once it has series

	rendered bytes.Buffer // the last text of expfmt
	labeled  labeledSeries
}

func newPage(to io.Writer) *page {
	p := &page{to: to, text: make([]byte, 0, pieceSize+pieceSize/4)}
	p.labeled.init()
	return p
}

// begin begins a family. One without series is left out.
func (p *page) begin(name, help string, kind dto.MetricType) {
	zero := 0.0
	series := &dto.Metric{Counter: &dto.Counter{Value: &zero}, Gauge: &dto.Gauge{Value: &zero}}
	text := p.render(&dto.MetricFamily{Name: &name, Help: &help, Type: &kind, Metric: []*dto.Metric{series}})
	p.name, p.head = name, bytes.Clone(text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1])
}

// labels returns the text of up to maxLabels labels, as [page.add] takes it, until
// the next call.
func (p *page) labels(names []string, values ...string) []byte {
	if len(names) == 0 {
		return nil
	}
	text := p.render(p.labeled.with(names, values))
	return text[bytes.IndexByte(text, '{')+1 : bytes.LastIndexByte(text, '}')]
}

// render returns the text of a family, until the next call.
func (p *page) render(family *dto.MetricFamily) []byte {
	p.rendered.Reset()
	// It fails where the family is malformed or the writer fails, and neither can be.
	if _, err := expfmt.MetricFamilyToText(&p.rendered, family); err != nil {
		p.err = cmp.Or(p.err, fmt.Errorf("render %s: %w", family.GetName(), err))
	}
	return p.rendered.Bytes()
}

// add adds a series to the family that was begun last. Each of labels is the text
// of some, or empty.
func (p *page) add(value float64, labels ...[]byte) {
	text := append(p.text, p.head...)
	p.head = nil
	text = append(text, p.name...)
	separator := byte('{')
	for _, l := range labels {
		if len(l) > 0 {
			text = append(append(text, separator), l...)
			separator = ','
		}
	}
	if separator == ',' {
		text = append(text, '}')
	}
	p.text = append(appendValue(append(text, ' '), value), '\n')
	if len(p.text) >= pieceSize {
		p.flush()
	}
}

// appendValue appends a value as expfmt writes it. Most are 0 or 1.
func appendValue(text []byte, value float64) []byte {
	switch value {
	case 0:
		return append(text, '0')
	case 1:
		return append(text, '1')
	default:
		return strconv.AppendFloat(text, value, 'g', -1, 64)
	}
}

// flush writes out the text so far.
func (p *page) flush() {
	if p.err == nil && len(p.text) > 0 {
		_, p.err = p.to.Write(p.text)
	}
	p.text = p.text[:0]
}

// end ends the page.
func (p *page) end() error {
	p.flush()
	return p.err
}

// maxLabels is how many labels may be in one text.
const maxLabels = 5

// labeledSeries is a family of one series, for the text of its labels. It is reused.
type labeledSeries struct {
	family dto.MetricFamily
	series dto.Metric
	names  [maxLabels]string
	values [maxLabels]string
	pairs  [maxLabels]*dto.LabelPair // of names and values
}

func (s *labeledSeries) init() {
	name, zero := "l", 0.0
	s.series.Untyped = &dto.Untyped{Value: &zero}
	s.family = dto.MetricFamily{Name: &name, Type: dto.MetricType_UNTYPED.Enum(), Metric: []*dto.Metric{&s.series}}
	for i := range s.pairs {
		s.pairs[i] = &dto.LabelPair{Name: &s.names[i], Value: &s.values[i]}
	}
}

// with returns the family with other labels.
func (s *labeledSeries) with(names, values []string) *dto.MetricFamily {
	copy(s.values[:], values)
	s.series.Label = s.pairs[:copy(s.names[:], names)]
	return &s.family
}
