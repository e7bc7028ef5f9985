package table

import (
	"cmp"
	"slices"
	"strings"

	"network-metrics-exporter/state"
)

// device is a device with its addresses, or all that have no series of their own
// together, as the report has them.
type device struct {
	*state.DeviceReport // of all those together only its UsageReport is set
	usage
	addresses []address // sorted
}

// address is one address of a device.
type address struct {
	*state.ClientReport
	addressFacts
}

// devices returns those of a report in the order asked for, and all others
// together; nil if there are none.
func devices(r *state.Report, o Options) (all []device, others *device) {
	index := make(map[state.DeviceID]int, len(r.Devices))
	for i := range r.Devices {
		d := &r.Devices[i]
		index[d.ID] = i
		all = append(all, device{DeviceReport: d, usage: usageOfDevice(r, d, o)})
	}
	rest := &state.DeviceReport{}
	if r.OtherDevice != nil {
		rest.UsageReport = *r.OtherDevice
		others = &device{DeviceReport: rest, usage: usageOf(r, &rest.UsageReport, o)}
	}
	for i := range r.Clients {
		c := &r.Clients[i]
		a := address{c, addressFactsOf(r, c, o)}
		if i, ok := index[c.Device]; ok {
			all[i].addresses = append(all[i].addresses, a)
			continue
		}
		if others == nil {
			others = &device{DeviceReport: rest, usage: usageOf(r, &rest.UsageReport, o)}
		}
		others.addresses = append(others.addresses, a)
	}
	slices.SortStableFunc(all, func(a, b device) int {
		return cmp.Or(o.Sort.compare(&a, &b), Traffic.compare(&a, &b), Address.compare(&a, &b))
	})
	return all, others
}

// total adds up all devices, and all others.
func total(r *state.Report, all []device, others *device, o Options) (sum usage, online int) {
	sum = usageOf(r, &state.UsageReport{}, o)
	if r.Conntrack != nil {
		sum.Connections = new(uint64)
	}
	for i := range all {
		sum = sum.plus(all[i].usage)
		if all[i].DeviceReport.Online {
			online++
		}
	}
	if others != nil {
		sum = sum.plus(others.usage)
	}
	return sum, online
}

// Sort is an order of devices: a value of the flag --sort.
type Sort string

// The orders: what is most, or most recent, comes first, names and addresses by
// what they begin with.
const (
	Traffic     Sort = "traffic" // the rates of both directions, then what was ever moved
	Download    Sort = "download"
	Upload      Sort = "upload"
	Month       Sort = "month" // what was moved in the current period
	Total       Sort = "total" // what was ever moved
	Connections Sort = "connections"
	Seen        Sort = "seen"
	New         Sort = "new" // first seen
	Name        Sort = "name"
	Address     Sort = "address"
)

// Sorts returns all orders.
func Sorts() []Sort {
	return []Sort{Traffic, Download, Upload, Month, Total, Connections, Seen, New, Name, Address}
}

func (s Sort) compare(a, b *device) int {
	switch s {
	case Download:
		return compare(b.RxRate, a.RxRate)
	case Upload:
		return compare(b.TxRate, a.TxRate)
	case Month:
		return compare(b.usage.Current.all(), a.usage.Current.all())
	case Total:
		return compare(b.all(), a.all())
	case Connections:
		return compare(b.Connections, a.Connections)
	case Seen:
		return b.Seen.Compare(a.Seen)
	case New:
		return b.FirstSeen.Compare(a.FirstSeen)
	case Name:
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	case Address:
		return cmp.Or(a.Addr.Compare(b.Addr), a.ID.Compare(b.ID))
	default:
		return cmp.Or(compare(add(b.RxRate, b.TxRate), add(a.RxRate, a.TxRate)), Total.compare(a, b))
	}
}

// compare puts what is not known below everything.
func compare[N number](a, b *N) int {
	switch {
	case a != nil && b != nil:
		return cmp.Compare(*a, *b)
	case a != nil:
		return 1
	case b != nil:
		return -1
	default:
		return 0
	}
}
