package store

import (
	"math"
	"net/netip"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"network-metrics-exporter/state"
)

// ledgerDecoder reads one ledger. Everything in it that other parts refer to comes
// before those.
type ledgerDecoder struct {
	decoder
	*state.Ledger
	wall       int64
	interfaces []string
	slots      []state.WindowSlot // room for those to come
}

// decodeLedger reads a ledger of the newest version, false if it is none.
//
// What state relies on is checked: addresses and IDs are valid and in their order,
// and what is referred to is there. Nothing in it can ask for more memory than a
// small multiple of its own size.
func decodeLedger(body []byte) (*state.Ledger, bool) {
	d := ledgerDecoder{Ledger: &state.Ledger{}}
	d.makeRoom(body)
	d.wall = time.Time{}.UnixNano()
	var last protowire.Number
	for f := range d.fields(body) {
		if f.num < last {
			d.bad = true
		}
		last = f.num
		switch {
		case f.num <= ledgerHead:
			d.head(f)
		case f.num <= ledgerPreviousPeriod:
			d.times(f)
		case f.num <= ledgerInterface:
			d.settings(f)
		default:
			d.parts(f)
		}
	}
	return d.Ledger, !d.bad
}

// decodeHead reads the fields that say when a ledger was made, and whether it is a
// checkpoint, false if the file is damaged there.
func decodeHead(body []byte) (*state.Ledger, bool) {
	d := ledgerDecoder{Ledger: &state.Ledger{}}
	for f := range d.fields(body) {
		if f.num > ledgerHead {
			break
		}
		d.head(f)
	}
	return d.Ledger, !d.bad
}

// leastRecord is the length of the shortest message that is a client or a device:
// an IPv4 address with tag and length. Without it a file of many empty messages
// would ask for far more memory than it has itself.
const leastRecord = 6

// makeRoom counts what there are most of, and makes as much room.
func (d *ledgerDecoder) makeRoom(body []byte) {
	var clients, devices, counters int
	for f := range d.fields(body) {
		switch f.num {
		case ledgerClient:
			clients++
			d.bad = d.bad || len(f.bytes) < leastRecord
		case ledgerDevice:
			devices++
			d.bad = d.bad || len(f.bytes) < leastRecord
		case ledgerCounters:
			counters++
		}
	}
	if d.bad {
		return
	}
	d.Clients = make([]state.Client, 0, clients)
	d.Devices = make([]state.Device, 0, devices)
	// Those of an address are one for each direction, but for those of all others.
	d.LastReadings.Counters = make([]state.Counter, 0, 2*counters+16)
}

func (d *ledgerDecoder) head(f field) {
	switch f.num {
	case ledgerRun:
		d.Run = d.uint(f, math.MaxUint64)
	case ledgerBoot:
		d.Boot = d.string(f)
	case ledgerUptime:
		d.Uptime = d.duration(f)
	case ledgerCheckpoint:
		d.Checkpoint = d.duration(f)
	}
}

func (d *ledgerDecoder) times(f field) {
	switch f.num {
	case ledgerWall:
		d.Wall = d.time(f, 0)
		d.wall = d.Wall.UnixNano()
	case ledgerSteady:
		d.Steady = time.Duration(d.int(f))
	case ledgerTrusted:
		d.Trusted = d.bool(f)
	case ledgerFirstUptime:
		d.FirstUptime = d.duration(f)
	case ledgerResets:
		d.Resets = d.uint(f, math.MaxUint64)
	case ledgerRepairs:
		d.Repairs = d.uint(f, math.MaxUint64)
	case ledgerLosses:
		d.Losses = d.uint(f, math.MaxUint64)
	case ledgerFlowFile:
		d.FlowFile = d.uint(f, math.MaxUint64)
	case ledgerCurrentPeriod:
		d.PeriodStarts[state.Current] = d.time(f, d.wall)
	case ledgerPreviousPeriod:
		d.PeriodStarts[state.Previous] = d.time(f, d.wall)
	}
}

func (d *ledgerDecoder) settings(f field) {
	switch f.num {
	case ledgerSetting:
		d.Settings = append(d.Settings, d.string(f))
	case ledgerNetwork:
		d.Networks = append(d.Networks, d.prefix(f))
	case ledgerFault:
		d.fault(d.bytes(f))
	case ledgerBaselines:
		d.Baselines = d.beforeUptime(f)
		if len(d.Baselines) > len(d.Other.Baselines) {
			d.bad = true
		}
	case ledgerSlots:
		d.Slots = d.beforeUptime(f)
		if !ascending(d.Slots) {
			d.bad = true
		}
	case ledgerInterface:
		d.interfaces = append(d.interfaces, d.string(f))
	}
}

func (d *ledgerDecoder) prefix(f field) netip.Prefix {
	b := d.bytes(f)
	if len(b) == 0 {
		d.bad = true
		return netip.Prefix{}
	}
	p := netip.PrefixFrom(d.addr(b[:len(b)-1]), int(b[len(b)-1]))
	if !p.IsValid() {
		d.bad = true
	}
	return p
}

func (d *ledgerDecoder) fault(message []byte) {
	var source state.Source
	var text string
	for f := range d.fields(message) {
		switch f.num {
		case faultSource:
			source = state.Source(d.string(f))
		case faultText:
			text = d.string(f)
		}
	}
	if d.Faults == nil {
		d.Faults = make(map[state.Source]string)
	}
	if _, twice := d.Faults[source]; twice {
		d.bad = true
	}
	d.Faults[source] = text
}

func (d *ledgerDecoder) beforeUptime(f field) (times []time.Duration) {
	for packed := d.bytes(f); len(packed) > 0; {
		times = append(times, d.Uptime-time.Duration(d.number(&packed)))
	}
	return times
}

// steady reads a time on the steady clock.
func (d *ledgerDecoder) steady(f field) time.Duration { return d.Steady - time.Duration(d.int(f)) }

// wallAt is that of ledgerEncoder.
func (d *ledgerDecoder) wallAt(t time.Duration) int64 { return d.wall - int64(d.Steady-t) }

// parts reads the fields that are messages.
func (d *ledgerDecoder) parts(f field) {
	switch f.num {
	case ledgerReadings:
		d.readings(d.bytes(f))
	case ledgerOther:
		d.other(d.bytes(f))
	case ledgerOtherDevice:
		d.otherDevice(d.bytes(f))
	case ledgerDevice:
		d.device(d.bytes(f))
	case ledgerClient:
		d.client(d.bytes(f))
	case ledgerCounters:
		d.counters(d.bytes(f))
	case ledgerFlows:
		d.flows(d.bytes(f))
	}
}

// ascending reports whether each time is later than the one before.
func ascending(times []time.Duration) bool {
	for i := 1; i < len(times); i++ {
		if times[i-1] >= times[i] {
			return false
		}
	}
	return true
}
