package table

import (
	"encoding/json"
	"io"

	"network-metrics-exporter/state"
)

// document is a report in JSON. Its fields are named like the metrics; what is
// not known is null.
type document struct {
	Timestamp float64  `json:"timestamp_seconds"`
	Clients   []client `json:"clients"` // in the order of the table
	Other     *facts   `json:"other"`
	Total     facts    `json:"total"`
}

type client struct {
	Client    *string `json:"client"`
	IP        string  `json:"ip"`
	MAC       *string `json:"mac"`
	Interface *string `json:"interface"`
	Source    string  `json:"source"`
	facts
}

// WriteJSON shows a report as JSON; the width and the colours say nothing there.
func WriteJSON(w io.Writer, r *state.Report, o Options) error {
	d := document{Timestamp: float64(r.Wall.UnixMilli()) / 1000, Clients: []client{}}
	for _, device := range devices(r, o) {
		for _, c := range device.clients {
			row := client{IP: c.Addr.String(), Source: string(c.NameSource), facts: factsOf(r, c, o)}
			if c.NameSource != state.FromNone {
				row.Client = &c.Name
			}
			if mac := c.MAC.String(); mac != "" {
				row.MAC = &mac
			}
			if c.Interface != "" {
				row.Interface = &c.Interface
			}
			d.Clients = append(d.Clients, row)
		}
	}
	if r.Other != nil {
		other := factsOfOther(r, o)
		d.Other = &other
	}
	d.Total, _ = total(r, o)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(d)
}
