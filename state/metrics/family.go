package metrics

import (
	"bytes"

	dto "github.com/prometheus/client_model/go"

	"network-metrics-exporter/state"
)

// family is a metric family with series of each client or of each device; R is what
// is reported of one. The labels of a series are its direction, those of the client
// or device, and those of the family, in this order.
type family[R any] struct {
	name, help string
	kind       dto.MetricType
	present    bool // whether it is known of anybody
	directed   bool // a series for each direction
	others     bool // also of all who have no series of their own
	labels     []string
	// variants are values of labels: there is a series for each variant.
	variants [][]string
	// describe returns the values of labels of one: there is one series of each, its
	// value 1. nil: variants or nothing does.
	describe func(*R) [maxLabels]string
	known    func(*R) bool // whether value is known; nil: always
	value    func(r *R, d direction, variant int) float64
}

// subjects are all clients, or all devices, in the order of their series.
type subjects[R any] struct {
	all    []subject[R]
	others int // how many of all, from the first on, stand for those without series
}

// subject is a client or a device.
type subject[R any] struct {
	report *R
	labels []byte // the text of those that all its series have
}

// compareSubjects orders subjects by their first label, which no two share and in
// which there is nothing to escape.
func compareSubjects[R any](a, b subject[R]) int { return bytes.Compare(a.labels, b.labels) }

// renderFamilies adds families with the series of all subjects to a page.
func renderFamilies[R any](p *page, of subjects[R], families []family[R]) {
	directions := [...][]byte{
		state.Rx: p.labels([]string{"direction"}, state.Rx.String()),
		state.Tx: p.labels([]string{"direction"}, state.Tx.String()),
	}
	for i := range families {
		f := &families[i]
		if !f.present {
			continue
		}
		p.begin(f.name, f.help, f.kind)
		all := of.all
		if !f.others {
			all = all[of.others:]
		}
		if f.describe != nil {
			for i, own := range p.eachLabels(f.labels, len(all), func(i int) [maxLabels]string { return f.describe(all[i].report) }) {
				p.add(1, all[i].labels, own)
			}
			continue
		}
		variants := [][]byte{nil}
		if f.variants != nil {
			variants = variants[:0]
			for _, values := range f.variants {
				variants = append(variants, p.labels(f.labels, values...))
			}
		}
		if !f.directed {
			f.render(p, all, state.Rx, nil, variants)
			continue
		}
		for d, direction := range directions {
			f.render(p, all, state.Direction(d), direction, variants)
		}
	}
}

// render adds the series of one direction to a page.
func (f *family[R]) render(p *page, subjects []subject[R], d direction, directionLabel []byte, variants [][]byte) {
	for i := range subjects {
		s := &subjects[i]
		if f.known != nil && !f.known(s.report) {
			continue
		}
		for v, own := range variants {
			p.add(f.value(s.report, d, v), directionLabel, s.labels, own)
		}
	}
}
