package metrics

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"iter"
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
	labeled  *labeledFamily
	kept     []byte // room for texts that are kept
}

func newPage(to io.Writer) *page {
	return &page{to: to, text: make([]byte, 0, pieceSize+pieceSize/4), labeled: newLabeledFamily()}
}

// begin begins a family. One without series is left out.
func (p *page) begin(name, help string, kind dto.MetricType) {
	zero := 0.0
	series := &dto.Metric{Counter: &dto.Counter{Value: &zero}, Gauge: &dto.Gauge{Value: &zero}}
	text := p.render(&dto.MetricFamily{Name: &name, Help: &help, Type: &kind, Metric: []*dto.Metric{series}})
	p.name, p.head = name, p.keep(text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1])
}

// eachLabels yields the text of the labels of each of so many series, as [page.add]
// takes it, until the next one. They are rendered many at a time, as each call of
// expfmt takes time of its own.
func (p *page) eachLabels(names []string, series int, values func(i int) [maxLabels]string) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for from := 0; from < series; from += seriesAtOnce {
			n := min(seriesAtOnce, series-from)
			for i := range n {
				p.labeled.set(i, names, values(from+i))
			}
			_, lines, _ := bytes.Cut(p.render(p.labeled.first(n)), []byte("\n")) // after TYPE
			for i := range n {
				var line []byte
				line, lines, _ = bytes.Cut(lines, []byte("\n"))
				if !yield(from+i, line[len(lineStart):len(line)-len(lineEnd)]) {
					return
				}
			}
		}
	}
}

// labels returns the text of the labels of one series.
func (p *page) labels(names []string, values ...string) []byte {
	if len(names) == 0 {
		return nil
	}
	var all [maxLabels]string
	copy(all[:], values)
	for _, text := range p.eachLabels(names, 1, func(int) [maxLabels]string { return all }) {
		return p.keep(text)
	}
	return nil
}

// keep returns a copy of a text that lasts as long as the page.
func (p *page) keep(text []byte) []byte {
	if len(text) > cap(p.kept)-len(p.kept) {
		p.kept = make([]byte, 0, max(keptAtOnce, len(text)))
	}
	from := len(p.kept)
	p.kept = append(p.kept, text...)
	return p.kept[from:]
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

// appendValue appends a value as expfmt writes it. Most are small numbers of
// something, which need not be searched for their shortest form.
func appendValue(text []byte, value float64) []byte {
	if n := uint64(max(value, 0)); value < 1e6 && float64(n) == value {
		return strconv.AppendUint(text, n, 10)
	}
	return strconv.AppendFloat(text, value, 'g', -1, 64)
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

const (
	maxLabels    = 5       // how many labels may be in one text
	seriesAtOnce = 32      // how many series have their labels rendered at once
	keptAtOnce   = 4 << 10 // how much room is made at once for texts that are kept, in bytes
)

// labeledFamily is a family of series without a value, for the texts of their labels. It
// is reused.
type labeledFamily struct {
	family  dto.MetricFamily
	metrics [seriesAtOnce]*dto.Metric // of series
	series  [seriesAtOnce]labeledSeries
}

type labeledSeries struct {
	metric        dto.Metric
	names, values [maxLabels]string
	pairs         [maxLabels]dto.LabelPair  // of names and values
	labels        [maxLabels]*dto.LabelPair // of pairs
}

// The line of a series without its labels.
const (
	lineStart = "l{"
	lineEnd   = "} 0"
)

func newLabeledFamily() *labeledFamily {
	name, zero := "l", 0.0
	value := &dto.Untyped{Value: &zero}
	f := &labeledFamily{}
	f.family.Name, f.family.Type = &name, dto.MetricType_UNTYPED.Enum()
	for i := range f.series {
		s := &f.series[i]
		for j := range s.pairs {
			s.pairs[j].Name, s.pairs[j].Value = &s.names[j], &s.values[j]
			s.labels[j] = &s.pairs[j]
		}
		s.metric.Untyped = value
		f.metrics[i] = &s.metric
	}
	return f
}

// set gives the series of an index its labels.
func (f *labeledFamily) set(i int, names []string, values [maxLabels]string) {
	s := &f.series[i]
	s.values = values
	s.metric.Label = s.labels[:copy(s.names[:], names)]
}

// first returns the family with its first n series.
func (f *labeledFamily) first(n int) *dto.MetricFamily {
	f.family.Metric = f.metrics[:n]
	return &f.family
}
