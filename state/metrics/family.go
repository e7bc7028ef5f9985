package metrics

import (
	"cmp"

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
	// variants are values of labels: there is a series for each variant. Where it
	// is nil, describe returns the values of labels, if there are any.
	variants [][]string
	describe func(*R) []string
	known    func(*R) bool // whether value is known; nil: always
	value    func(r *R, d direction, variant int) float64
}

// subjects are all clients, or all devices, in the order of their series.
type subjects[R any] struct {
	labels []string // that each of them has
	all    []subject[R]
	others int // how many of all, from the first on, stand for those without series
}

// subject is a client or a device.
type subject[R any] struct {
	report *R
	labels [2]string // the values of subjects.labels
}

// compareSubjects orders subjects by their first label, which no two share.
func compareSubjects[R any](a, b subject[R]) int { return cmp.Compare(a.labels[0], b.labels[0]) }

// renderFamilies adds families with the series of all subjects to a page.
func renderFamilies[R any](p *page, of subjects[R], families []family[R]) {
	for i := range families {
		f := &families[i]
		if !f.present {
			continue
		}
		var labels []string
		directions := []direction{state.Rx}
		if f.directed {
			labels = append(labels, "direction")
			directions = append(directions, state.Tx)
		}
		labels = append(append(labels, of.labels...), f.labels...)
		all := of.all
		if !f.others {
			all = all[of.others:]
		}
		p.begin(f.name, f.help, f.kind, labels...)
		for _, d := range directions {
			for j := range all {
				f.render(p, &all[j], d, len(of.labels))
			}
		}
	}
}

// render adds the series of one direction of a subject, which has n labels, to a
// page.
func (f *family[R]) render(p *page, s *subject[R], d direction, n int) {
	if f.known != nil && !f.known(s.report) {
		return
	}
	for v := range max(1, len(f.variants)) {
		labels := p.add(f.value(s.report, d, v))[:0]
		if f.directed {
			labels = append(labels, d.String())
		}
		labels = append(labels, s.labels[:n]...)
		switch {
		case f.variants != nil:
			copy(labels[len(labels):cap(labels)], f.variants[v])
		case f.describe != nil:
			copy(labels[len(labels):cap(labels)], f.describe(s.report))
		}
	}
}
