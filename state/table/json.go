package table

import (
	"encoding/json"
	"io"

	"network-metrics-exporter/state"
)

// document is a report in JSON, in base units. Its fields are named like the
// metrics and their labels; what is not known is null.
type document struct {
	Timestamp   *float64     `json:"timestamp_seconds"`
	PeriodStart *float64     `json:"period_start_timestamp_seconds"`
	Devices     []jsonDevice `json:"devices"` // in the order of the table
	Other       *jsonOther   `json:"other"`
	Total       usage        `json:"total"`
}

type jsonDevice struct {
	Device string  `json:"device"`
	Client *string `json:"client"`
	IP     *string `json:"ip"`
	Source string  `json:"source"`
	usage
	FirstSeen *float64      `json:"first_seen_timestamp_seconds"`
	Addresses []jsonAddress `json:"addresses"`
}

// jsonOther is of all who have no series of their own, with the addresses of their
// devices that have one.
type jsonOther struct {
	usage
	Addresses []jsonAddress `json:"addresses"`
}

type jsonAddress struct {
	IP        string  `json:"ip"`
	Client    *string `json:"client"`
	MAC       *string `json:"mac"`
	Interface *string `json:"interface"`
	Source    string  `json:"source"`
	addressFacts
}

func writeJSON(w io.Writer, r *state.Report, o Options) error {
	devices, others := devices(r, o)
	d := document{
		Timestamp:   timestamp(r.Wall),
		PeriodStart: timestamp(r.PeriodStarts[state.Current]),
		Devices:     []jsonDevice{},
	}
	for _, device := range devices {
		j := jsonDevice{
			Device:    device.ID.String(),
			Client:    knownName(device.Name, device.Source),
			Source:    string(device.Source),
			usage:     device.usage,
			FirstSeen: timestamp(device.FirstSeen),
			Addresses: jsonAddresses(device.addresses),
		}
		if device.Addr.IsValid() {
			j.IP = known(device.Addr.String())
		}
		d.Devices = append(d.Devices, j)
	}
	if others != nil {
		d.Other = &jsonOther{others.usage, jsonAddresses(others.addresses)}
	}
	d.Total, _ = total(r, devices, others, o)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(d)
}

func jsonAddresses(addresses []address) []jsonAddress {
	all := []jsonAddress{}
	for _, a := range addresses {
		all = append(all, jsonAddress{
			IP:           a.Addr.String(),
			Client:       knownName(a.Name, a.Source),
			MAC:          known(a.MAC.String()),
			Interface:    known(a.Interface),
			Source:       string(a.Source),
			addressFacts: a.addressFacts,
		})
	}
	return all
}

// known returns a text, nil if it is empty.
func known(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// knownName returns a name, nil if nobody gave one.
func knownName(name string, source state.NameSource) *string {
	if source == state.FromNone {
		return nil
	}
	return known(name)
}
