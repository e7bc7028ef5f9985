package table

import (
	"time"

	"network-metrics-exporter/state"
)

// facts are what is known of a client, or of several together, as JSON has them
// too. What is nil is not known.
type facts struct {
	RxBytes     *uint64  `json:"rx_bytes"`
	TxBytes     *uint64  `json:"tx_bytes"`
	RxPackets   *uint64  `json:"rx_packets"`
	TxPackets   *uint64  `json:"tx_packets"`
	RxRate      *float64 `json:"rx_bps"` // bits per second
	TxRate      *float64 `json:"tx_bps"`
	Connections *uint64  `json:"connections"`
	LastSeen    *float64 `json:"last_seen_timestamp_seconds"`
	Online      *bool    `json:"online"`

	seen time.Time // LastSeen; zero: not known
}

func factsOf(r *state.Report, c state.ClientReport, o Options) facts {
	f := traffic(r, c.Total, c.Rate, o)
	if r.Conntrack != nil {
		active := uint64(c.Active.Sum())
		f.Connections = &active
	}
	if r.Presence {
		f.Online = &c.Online
	}
	return f.at(c.Seen)
}

func factsOfOther(r *state.Report, o Options) facts {
	return traffic(r, r.Other.Total, r.Other.Rate, o)
}

func traffic(r *state.Report, total [2]state.Traffic, rate [2]float64, o Options) facts {
	var f facts
	if o.Totals {
		f.RxBytes, f.TxBytes = &total[state.Rx].Bytes, &total[state.Tx].Bytes
		f.RxPackets, f.TxPackets = &total[state.Rx].Packets, &total[state.Tx].Packets
	}
	if r.Rates {
		f.RxRate, f.TxRate = &rate[state.Rx], &rate[state.Tx]
	}
	return f
}

func (f facts) at(seen time.Time) facts {
	if !seen.IsZero() {
		seconds := float64(seen.UnixMilli()) / 1000
		f.LastSeen, f.seen = &seconds, seen
	}
	return f
}

// total adds up all clients and others. Nobody asks when all were last seen.
func total(r *state.Report, o Options) (sum facts, online int) {
	sum = traffic(r, [2]state.Traffic{}, [2]float64{}, o)
	if r.Conntrack != nil {
		sum.Connections = new(uint64)
	}
	for _, c := range r.Clients {
		sum = sum.plus(factsOf(r, c, o))
		if c.Online {
			online++
		}
	}
	if r.Other != nil {
		sum = sum.plus(factsOfOther(r, o))
	}
	sum.LastSeen, sum.seen, sum.Online = nil, time.Time{}, nil
	return sum, online
}

// plus adds up two clients: what is known of one of them is known of both, as
// each is asked about in the same way.
func (f facts) plus(g facts) facts {
	sum := facts{
		RxBytes: add(f.RxBytes, g.RxBytes), TxBytes: add(f.TxBytes, g.TxBytes),
		RxPackets: add(f.RxPackets, g.RxPackets), TxPackets: add(f.TxPackets, g.TxPackets),
		RxRate: add(f.RxRate, g.RxRate), TxRate: add(f.TxRate, g.TxRate),
		Connections: add(f.Connections, g.Connections),
		Online:      f.Online,
	}
	if sum.Online == nil || g.Online != nil && *g.Online {
		sum.Online = g.Online
	}
	if f.seen.After(g.seen) {
		return sum.at(f.seen)
	}
	return sum.at(g.seen)
}

type number interface{ uint64 | float64 }

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
