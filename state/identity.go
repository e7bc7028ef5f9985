package state

// Evidence ranks what the identity of a client's device rests on.
type Evidence uint8

// The ranks, from the lowest.
const (
	NoEvidence   Evidence = iota // the device is the address itself
	FromNeighbor                 // the MAC of the neighbour entry
	FromServer                   // the MAC that a current lease or a static entry gives the address to
)

// identify finds out whose an address is, and gives the device what was moved. An
// identity lasts until evidence of the same or a higher rank names another MAC.
func (c *comparison) identify(client *Client, o *observation, local [2]Traffic, entry *NeighborEntry) {
	mac, evidence := owner(o.records), FromServer
	if mac.IsZero() && entry.State&NoARP == 0 {
		mac, evidence = entry.MAC, FromNeighbor
	}
	before, isNew := client.Device, client.Device == DeviceID{}
	switch {
	case mac.IsZero() && isNew:
		client.Device = DeviceID{Addr: client.Addr}
	case mac.IsZero() || evidence < client.Evidence:
	default:
		client.Device, client.Evidence = DeviceID{MAC: mac}, evidence
	}
	if !isNew && client.Device != before {
		c.handedOver = true
		if before.MAC.IsZero() {
			c.renameDevice(before, client)
		} else {
			o.handedOver = true
		}
	}
	devices := len(c.devices)
	o.device = c.device(client)
	if isNew && o.device < devices {
		c.handedOver = true
	}
	d := &c.devices[o.device]
	d.add(o.delta, local)
	if o.online {
		d.online = true
		if client.Addr.Is4() {
			d.ipv4Online++
		}
	}
	d.hasClient = true
	device := &c.next.Devices[o.device]
	if client.LastSeen > device.LastSeen {
		device.Presence = client.Presence
	}
}

// device returns the index of a client's device, which it enters if it is new.
func (c *comparison) device(client *Client) int {
	i, known := c.findDevice(client.Device, client.DeviceHint)
	if !known {
		i = len(c.devices)
		c.deviceIndex[client.Device] = i
		device := Device{ID: client.Device, Since: c.next.Steady}
		if c.next.Trusted {
			device.FirstSeen = c.next.Wall
		}
		c.next.Devices = append(c.next.Devices, device)
		c.devices = append(c.devices, deviceState{})
	}
	client.DeviceHint = uint32(i)
	return i
}

// findDevice returns the index of a device.
func (c *comparison) findDevice(id DeviceID, hint uint32) (i int, known bool) {
	if c.next.isAt(id, hint) {
		return int(hint), true
	}
	if c.deviceIndex == nil {
		c.deviceIndex = make(map[DeviceID]int, len(c.next.Devices))
		for i := range c.next.Devices {
			c.deviceIndex[c.next.Devices[i].ID] = i
		}
	}
	i, known = c.deviceIndex[id]
	return i, known
}

// renameDevice lets the totals of a device that was an address go on as those of
// its client's, whose own may be there already.
func (c *comparison) renameDevice(from DeviceID, client *Client) {
	i, ok := c.findDevice(from, client.DeviceHint)
	if !ok {
		return
	}
	device, to := &c.next.Devices[i], client.Device
	j, ok := c.findDevice(to, client.DeviceHint)
	delete(c.deviceIndex, from)
	if !ok {
		device.ID = to
		c.deviceIndex[to] = i
		return
	}
	into := &c.next.Devices[j]
	into.absorb(&device.Usage)
	if device.Since < into.Since {
		into.Since, into.FirstSeen = device.Since, device.FirstSeen
	}
	into.OtherBytes = plus(into.OtherBytes, device.OtherBytes)
	device.ID = DeviceID{} // pruneDevices takes it out
}
