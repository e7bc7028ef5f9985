package state

import (
	"cmp"
	"slices"
)

// finishClient names a client, puts what it moved on the total of its series, or
// of all who have none, and reports it.
func (c *comparison) finishClient(i int) {
	client, o := &c.next.Clients[i], &c.observations[i]
	name, source := c.nameClient(client, o)
	if o.handedOver {
		// Another device has the address. Its series begins at 0, but where it is
		// the same series, which may not fall.
		client.Predecessor = client.Total
	}
	if name != client.Name {
		client.forget(client.Predecessor)
		client.Predecessor = [2]Traffic{}
	}
	client.Name, client.Source = name, source

	delta := o.delta
	if !client.HasSeries {
		c.other = sum(c.other, delta)
		client.OtherBytes = plus(client.OtherBytes, plus(delta[Rx].Bytes, delta[Tx].Bytes))
		delta = [2]Traffic{}
	}
	rate := c.updateState(&client.CounterState, delta)
	r := ClientReport{Client: client, Rate: rate, Online: o.online}
	if c.windowLength > 0 {
		r.Peak, r.Average = client.overWindow(c.windowLength)
	}
	if flows := c.now.Conntrack; flows != nil {
		// Who appeared after the dump was not counted.
		r.ActiveKnown = c.next.Steady-client.Since >= c.now.Uptime-flows.Uptime
		r.Active = flows.Active[client.Addr]
	}
	c.tellDevice(client, o, &r)
	if client.HasSeries {
		c.report.Clients = append(c.report.Clients, r)
	}
}

// nameClient returns the name of a client: what servers or DNS say, or else what
// is remembered.
func (c *comparison) nameClient(client *Client, o *observation) (string, NameSource) {
	name, source := c.directory.name(client.Addr, o.records, client.Device.MAC)
	if slices.Contains(c.now.Asked, client.Addr) {
		client.Asked = c.next.Steady
	} else if source == FromNone && client.Source == FromDNS && c.cfg.ReverseDNS && !o.handedOver {
		return client.Name, FromDNS // it is not asked every time
	}
	if source != FromNone {
		return name, source
	}
	d := &c.devices[o.device]
	if named := d.named; named != nil && client.Addr.Is6() && named.Source != FromCache {
		// What its IPv4 address, which comes first, is called is about to be
		// remembered of the device.
		return named.Name, named.Source
	}
	others := d.ipv4Online
	if o.online && client.Addr.Is4() {
		others--
	}
	cached, ok := c.names.find(client.Device, client.Addr, o.online, others > 0)
	switch {
	case !ok:
		return Unknown, FromNone
	case cached.Source == FromDNS && c.cfg.ReverseDNS:
		return cached.Name, FromDNS
	default:
		return cached.Name, FromCache
	}
}

// tellDevice gives a device its part of what is known of a client.
func (c *comparison) tellDevice(client *Client, o *observation, r *ClientReport) {
	d := &c.devices[o.device]
	last := c.next.Devices[o.device].Addr
	if r.ActiveKnown {
		d.active, d.activeKnown = d.active.plus(r.Active), true
	}
	d.cached = d.cached || client.Addr == last && o.online
	if client.Source != FromNone && d.named == nil {
		d.named = client
	}
	// IPv4 first, then the latest sign of life, then where it was.
	if d.primary == nil || cmp.Or(
		compareBool(client.Addr.Is4(), d.primary.Addr.Is4()),
		cmp.Compare(client.LastSeen, d.primary.LastSeen),
		compareBool(client.Addr == last, d.primary.Addr == last)) > 0 {
		d.primary = client
	}
}

// finishDevice puts what a device moved on its totals, or on those of all who have
// no series, and reports it.
func (c *comparison) finishDevice(i int) {
	device, d := &c.next.Devices[i], &c.devices[i]
	c.nameDevice(device, d)
	device.correct(c.next, c.clockSet)
	unknown := device.FirstSeen.IsZero() && c.clockSet && c.next.inThisBoot(device.Since)
	if unknown || device.FirstSeen.After(c.next.Wall) && c.next.Trusted {
		device.FirstSeen = c.next.wallAt(device.Since)
	}
	moved := d.sums
	if !device.HasSeries {
		c.otherDevice.add(moved.delta, moved.local)
		device.OtherBytes = plus(device.OtherBytes, plus(moved.delta[Rx].Bytes, moved.delta[Tx].Bytes))
		moved = sums{}
	}
	usage := c.updateUsage(&device.Usage, moved)
	if !device.HasSeries {
		return
	}
	r := DeviceReport{
		UsageReport: usage,
		ID:          device.ID,
		Name:        device.Name,
		Source:      device.Source,
		Active:      d.active,
		ActiveKnown: d.activeKnown || c.now.Conntrack != nil && !d.hasClient,
		Online:      d.online,
		FirstSeen:   device.FirstSeen,
		Seen:        device.Seen,
	}
	if d.primary != nil {
		r.Addr = d.primary.Addr
	}
	c.report.Devices = append(c.report.Devices, r)
}

// nameDevice gives a device the name of its primary address, or of another one,
// and has it remembered if a server or DNS gave it.
func (c *comparison) nameDevice(device *Device, d *deviceState) {
	from := d.primary
	if from != nil && from.Source == FromNone && d.named != nil {
		from = d.named
	}
	switch {
	case from == nil && device.Name == "":
		device.Name, device.Source = Unknown, FromNone
		return
	case from == nil:
		return
	case from.Source == FromNone, from.Source == FromCache:
		device.Name, device.Source = from.Name, from.Source
		return
	}
	if device.Name == from.Name && device.Source == from.Source && d.cached {
		return // the cache has it
	}
	device.Name, device.Source, device.Addr = from.Name, from.Source, from.Addr
	c.names.remember(CachedName{Addr: device.Addr, MAC: device.ID.MAC, Name: device.Name, Source: device.Source})
}

// updateState puts what was moved on a total and returns its rates.
func (c *comparison) updateState(s *CounterState, delta [2]Traffic) (rate [2]float64) {
	if c.recoverBefore {
		s.recover()
	}
	s.add(delta)
	if c.recoverAfter {
		s.recover()
	}
	if c.base.index >= 0 {
		rate = s.rate(c.base.index, c.base.over)
	}
	if c.counted {
		if c.windowLength > 0 {
			s.Slots = c.slots.appendSlot(s.Slots, c.next.Slots, delta, rate)
		} else {
			s.Slots = nil
		}
		s.setBaselines(c.keepFrom, c.keep)
	}
	return rate
}

// updateUsage puts what was moved on the totals of a device and returns what is
// published of them.
func (c *comparison) updateUsage(u *Usage, moved sums) UsageReport {
	if c.period != nil {
		c.period(u)
	}
	if c.recoverBefore {
		u.recover()
	}
	rate := c.updateState(&u.CounterState, moved.delta)
	for d := range u.Local {
		u.Local[d] = plus(u.Local[d], moved.local[d].Bytes)
	}
	if c.recoverAfter {
		u.recover()
	}
	r := UsageReport{
		Total:    [2]uint64{Rx: u.Total[Rx].Bytes, Tx: u.Total[Tx].Bytes},
		Local:    u.Local,
		Rate:     rate,
		Current:  u.current(),
		Previous: u.Previous,
	}
	if c.windowLength > 0 {
		r.Peak, _ = u.overWindow(c.windowLength)
	}
	if c.previousMissed {
		r.Previous = [2]PeriodBytes{}
	}
	return r
}

// finishOther reports what was moved by all who have no series.
func (c *comparison) finishOther() {
	l := c.next
	rate := c.updateState(&l.Other, c.other)
	if l.Other.Total != ([2]Traffic{}) {
		c.report.Other = &OtherReport{Total: l.Other.Total, Rate: rate}
	}
	usage := c.updateUsage(&l.OtherDevice, c.otherDevice)
	if l.OtherDevice.Total != ([2]Traffic{}) {
		c.report.OtherDevice = &usage
	}
	c.report.Resets, c.report.Repairs, c.report.Losses = l.Resets, l.Repairs, l.Losses
}

// maxDevices is how many devices are remembered.
const maxDevices = 4096

// pruneDevices sorts the devices and forgets those that were unseen for longest,
// if more than maxDevices are known. Who has an address that is in the metrics
// stays; addresses that somebody made up go first.
func (c *comparison) pruneDevices() {
	var away []*Device
	for i := range c.next.Devices {
		if !c.devices[i].hasClient {
			away = append(away, &c.next.Devices[i])
		}
	}
	excess := len(c.next.Devices) - maxDevices
	if excess > 0 {
		slices.SortFunc(away, func(a, b *Device) int {
			return cmp.Or(compareBool(b.isSuspect(), a.isSuspect()), cmp.Compare(a.lastMet(), b.lastMet()), a.ID.Compare(b.ID))
		})
	}
	for i, d := range away {
		if i < excess || d.isSuspect() {
			d.ID = DeviceID{}
		}
	}
	c.next.Devices = slices.DeleteFunc(c.next.Devices, func(d Device) bool { return d.ID == DeviceID{} })
	slices.SortFunc(c.next.Devices, func(a, b Device) int { return a.ID.Compare(b.ID) })
	slices.SortFunc(c.report.Devices, func(a, b DeviceReport) int { return a.ID.Compare(b.ID) })
}
