package table

import (
	"time"

	"network-metrics-exporter/state"
)

// now is what is true of an address or of a device at the moment, as JSON has it
// too. What is nil is not known.
type now struct {
	RxRate      *float64 `json:"rx_bps"` // bits per second
	TxRate      *float64 `json:"tx_bps"`
	Connections *uint64  `json:"connections"`
	LastSeen    *float64 `json:"last_seen_timestamp_seconds"`
	Online      *bool    `json:"online"`
}

// amounts are bytes that were moved. What is nil is not known.
type amounts struct {
	RxBytes      *uint64 `json:"rx_bytes"`
	TxBytes      *uint64 `json:"tx_bytes"`
	LocalRxBytes *uint64 `json:"local_rx_bytes"` // the part whose other end is an address of the networks too
	LocalTxBytes *uint64 `json:"local_tx_bytes"`
}

// usage is what is known of a device, or of several together.
type usage struct {
	amounts          // ever
	Current  amounts `json:"current_period"`
	Previous amounts `json:"previous_period"`
	now
}

// addressFacts are what is known of an address.
type addressFacts struct {
	RxBytes   *uint64 `json:"rx_bytes"`
	TxBytes   *uint64 `json:"tx_bytes"`
	RxPackets *uint64 `json:"rx_packets"`
	TxPackets *uint64 `json:"tx_packets"`
	now
}

func addressFactsOf(r *state.Report, c *state.ClientReport, o Options) addressFacts {
	f := addressFacts{now: nowOf(r, c.Rate)}
	if o.Totals {
		rx, tx := &c.Total[state.Rx], &c.Total[state.Tx]
		f.RxBytes, f.TxBytes, f.RxPackets, f.TxPackets = &rx.Bytes, &tx.Bytes, &rx.Packets, &tx.Packets
	}
	f.tell(r, c.Active, c.ActiveKnown, c.Online, c.Seen)
	return f
}

func usageOfDevice(r *state.Report, d *state.DeviceReport, o Options) usage {
	u := usageOf(r, &d.UsageReport, o)
	u.tell(r, d.Active, d.ActiveKnown, d.Online, d.Seen)
	return u
}

// usageOf returns what was moved, and nothing else.
func usageOf(r *state.Report, u *state.UsageReport, o Options) usage {
	sum := usage{now: nowOf(r, u.Rate)}
	if !o.Totals {
		return sum
	}
	sum.amounts = amountsOf(r, u.Total, u.Local)
	if !r.PeriodStarts[state.Current].IsZero() {
		sum.Current = amountsOf(r, u.Current[state.All], u.Current[state.Local])
		sum.Previous = amountsOf(r, u.Previous[state.All], u.Previous[state.Local])
	}
	return sum
}

func amountsOf(r *state.Report, all, local [2]uint64) amounts {
	a := amounts{RxBytes: &all[state.Rx], TxBytes: &all[state.Tx]}
	if r.Local {
		a.LocalRxBytes, a.LocalTxBytes = &local[state.Rx], &local[state.Tx]
	}
	return a
}

func nowOf(r *state.Report, rate [2]float64) (n now) {
	if r.Rates {
		n.RxRate, n.TxRate = &rate[state.Rx], &rate[state.Tx]
	}
	return n
}

func (n *now) tell(r *state.Report, active state.Connections, activeKnown, online bool, seen time.Time) {
	if r.Conntrack != nil && activeKnown {
		sum := uint64(active.Sum())
		n.Connections = &sum
	}
	if r.Presence {
		n.Online = &online
	}
	n.LastSeen = timestamp(seen)
}

// timestamp returns the seconds since 1970, nil for the zero time.
func timestamp(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	seconds := float64(t.UnixMilli()) / 1000
	return &seconds
}

// plus adds up what was moved, and how many connections there are.
func (u usage) plus(v usage) usage {
	return usage{
		amounts:  u.amounts.plus(v.amounts),
		Current:  u.Current.plus(v.Current),
		Previous: u.Previous.plus(v.Previous),
		now: now{
			RxRate: add(u.RxRate, v.RxRate), TxRate: add(u.TxRate, v.TxRate),
			Connections: add(u.Connections, v.Connections),
		},
	}
}

func (a amounts) plus(b amounts) amounts {
	return amounts{
		RxBytes: add(a.RxBytes, b.RxBytes), TxBytes: add(a.TxBytes, b.TxBytes),
		LocalRxBytes: add(a.LocalRxBytes, b.LocalRxBytes), LocalTxBytes: add(a.LocalTxBytes, b.LocalTxBytes),
	}
}

// all returns the bytes of both directions.
func (a amounts) all() *uint64 { return add(a.RxBytes, a.TxBytes) }

// local returns the bytes of both directions that are local.
func (a amounts) local() *uint64 { return add(a.LocalRxBytes, a.LocalTxBytes) }

// internet returns the bytes of both directions that are not.
func (a amounts) internet() *uint64 {
	all, local := a.all(), a.local()
	if all == nil || local == nil {
		return nil
	}
	rest := *all - min(*all, *local)
	return &rest
}

type number interface{ uint64 | float64 }

// add adds up what is known.
func add[N number](a, b *N) *N {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	sum := *a + *b
	return &sum
}
