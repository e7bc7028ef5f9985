package state

import (
	"cmp"
	"slices"
)

// selectSeries decides which clients and which devices have series of their own:
// all of them, or Config.MaxClients of each. Who is present comes before who is
// away, then who moved most; who has a series keeps it unless another one moved
// a tenth more.
func (c *comparison) selectSeries() {
	clients := make([]candidate, len(c.next.Clients))
	for i := range clients {
		client, o := &c.next.Clients[i], &c.observations[i]
		clients[i] = newCandidate(&client.HasSeries, o.online, client.OtherBytes, &client.CounterState, o.delta)
	}
	selectCandidates(clients, c.cfg.MaxClients)

	devices := make([]candidate, 0, len(c.next.Devices))
	for i := range c.next.Devices {
		device, d := &c.next.Devices[i], &c.devices[i]
		if device.ID == (DeviceID{}) || c.next.isForgotten(device, c.cfg) {
			device.HasSeries = false
			continue
		}
		devices = append(devices, newCandidate(&device.HasSeries, d.online, device.OtherBytes, &device.CounterState, d.delta))
	}
	selectCandidates(devices, c.cfg.MaxClients)
}

// isForgotten reports whether a device has left the metrics.
func (l *Ledger) isForgotten(d *Device, cfg Config) bool {
	return l.Trusted && l.Steady-d.lastMet() > cfg.ForgetAfter
}

// candidate is who may have a series.
type candidate struct {
	hasSeries *bool
	online    bool
	moved     uint64 // bytes of both directions, ever; a tenth more for who has a series
}

func newCandidate(hasSeries *bool, online bool, other uint64, s *CounterState, delta [2]Traffic) candidate {
	moved := other
	for d := range delta {
		moved = plus(moved, plus(s.Total[d].Bytes, delta[d].Bytes))
	}
	if *hasSeries {
		moved = plus(moved, moved/10)
	}
	return candidate{hasSeries, online, moved}
}

// selectCandidates gives series to the first most, in the order of their rank.
func selectCandidates(all []candidate, most int) {
	if len(all) > most {
		slices.SortStableFunc(all, func(a, b candidate) int {
			return cmp.Or(compareBool(b.online, a.online), cmp.Compare(b.moved, a.moved))
		})
	}
	for i, c := range all {
		*c.hasSeries = i < most
	}
}
