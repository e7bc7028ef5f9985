package metrics

import (
	"bytes"
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
// expfmt writes what has to be escaped, and each of these texts once: a page has
// twenty series with the labels of one client.
type page struct {
	to   io.Writer
	err  error
	text []byte // not written yet

	name string // of the family that series go to
	head []byte // its HELP and TYPE; nil once it has series

	// Reused for each text of expfmt.
	family dto.MetricFamily // of one series
	series dto.Metric
	pairs  []*dto.LabelPair
	buffer bytes.Buffer
}

// maxLabels is how many labels may be in one text.
const maxLabels = 5

func newPage(to io.Writer) *page {
	p := &page{to: to, text: make([]byte, 0, pieceSize+pieceSize/4)}
	zero := 0.0
	p.series.Counter, p.series.Gauge = &dto.Counter{Value: &zero}, &dto.Gauge{Value: &zero}
	p.family.Metric = []*dto.Metric{&p.series}
	for range maxLabels {
		p.pairs = append(p.pairs, &dto.LabelPair{})
	}
	return p
}

// render returns the text of family, until the next call.
func (p *page) render(name string, help *string, kind dto.MetricType) []byte {
	p.family.Name, p.family.Help, p.family.Type = &name, help, &kind
	p.buffer.Reset()
	if _, err := expfmt.MetricFamilyToText(&p.buffer, &p.family); err != nil && p.err == nil {
		p.err = fmt.Errorf("render %s: %w", name, err)
	}
	return p.buffer.Bytes()
}

// begin begins a family. One without series is left out.
func (p *page) begin(name, help string, kind dto.MetricType) {
	p.series.Label = nil
	text := p.render(name, &help, kind)
	series := bytes.LastIndexByte(bytes.TrimSuffix(text, []byte("\n")), '\n') + 1
	p.name, p.head = name, bytes.Clone(text[:series])
}

// labels returns the text of labels, as [page.add] takes it, until the next call.
func (p *page) labels(names []string, values ...string) []byte {
	if len(names) == 0 {
		return nil
	}
	p.series.Label = p.pairs[:len(names)]
	for i, pair := range p.series.Label {
		pair.Name, pair.Value = &names[i], &values[i]
	}
	text := p.render("l", nil, gauge)
	return text[bytes.IndexByte(text, '{')+1 : bytes.LastIndexByte(text, '}')]
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
	text = strconv.AppendFloat(append(text, ' '), value, 'g', -1, 64)
	p.text = append(text, '\n')
	if len(p.text) >= pieceSize {
		p.flush()
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
