package state

import (
	"cmp"
	"time"
)

// confirmed are the states in which the kernel itself holds a neighbour to be
// reachable, or is about to find out that it is not.
const confirmed = Reachable | Delay | Probing | Permanent

// handshakeWindow is how recent the handshake of a WireGuard peer is that is
// connected: a session that is in use makes a new one every two minutes, and a
// session of three minutes is not used any more (REJECT_AFTER_TIME in the
// WireGuard paper, 6.1).
const handshakeWindow = 180 * time.Second

// alive returns how long ago a neighbour entry's device gave a sign of life, false
// if the entry cannot tell: nobody ever confirms one that is NOARP.
func (n *NeighborEntry) alive() (ago time.Duration, ok bool) {
	switch {
	case n.State&Permanent != 0:
		return 0, true // nobody ever asks it
	case n.State == 0 || n.State&NoARP != 0:
		return 0, false
	default:
		return n.Confirmed, true
	}
}

// isCurrent reports whether the last sign of life is no longer ago than that; an
// entry that cannot tell passes.
func (n *NeighborEntry) isCurrent(within time.Duration) bool {
	ago, ok := n.alive()
	return !ok || ago <= within
}

// isConnected reports whether a WireGuard peer has a session.
func (p *Peer) isConnected() bool { return p.Handshake >= 0 && p.Handshake <= handshakeWindow }

// isOnline reports whether a client is there. entry is its neighbour entry, zero
// if it has none; now is on the steady clock.
func (c *Client) isOnline(entry *NeighborEntry, now, within time.Duration) bool {
	recently := func(d Direction) bool { return c.LastActive[d] != 0 && now-c.LastActive[d] <= within }
	switch {
	case entry.State&confirmed != 0:
		return true
	case entry.State&Stale != 0:
		// Entries stay STALE for as long as the table has room (gc_thresh1).
		return entry.Confirmed <= within || recently(Rx) || recently(Tx)
	case entry.State == 0 || entry.State&NoARP != 0:
		// Behind another router or a VPN. What is only sent to it proves nothing.
		return recently(Tx)
	default:
		return false
	}
}

// compareLiveness says which of two entries tells more of a device's presence. Where
// they tell the same it is by the names of their interfaces, lest it change.
func compareLiveness(a, b *NeighborEntry) int {
	rank := func(n *NeighborEntry) int {
		switch {
		case n.State&confirmed != 0:
			return 2
		case n.State&Stale != 0:
			return 1
		default:
			return 0
		}
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Confirmed, a.Confirmed), cmp.Compare(b.Interface, a.Interface))
}

// see takes note of a sign of life that was given at a time on the steady clock.
// Where the wall clock is not trusted it is not known what time that was, until it
// is set.
func (p *Presence) see(at time.Duration, l *Ledger) {
	if at <= p.LastSeen {
		return
	}
	p.LastSeen = at
	if l.Trusted {
		p.Seen = l.wallAt(at)
	}
}

// correct replaces a wall clock time that is yet to come, or was not known; clockSet
// tells that the wall clock was set since the last run, in this boot.
func (p *Presence) correct(l *Ledger, clockSet bool) {
	if !l.Trusted || p.LastSeen == 0 {
		return
	}
	at := l.wallAt(p.LastSeen)
	if p.Seen.IsZero() || p.Seen.After(l.Wall) || clockSet && l.inThisBoot(p.LastSeen) && at.After(p.Seen) {
		p.Seen = at
	}
}

// inThisBoot reports whether a time on the steady clock is of this boot.
func (l *Ledger) inThisBoot(at time.Duration) bool { return at > l.Steady-l.Uptime }

// wallAt returns what the wall clock, as it is set now, was at a time on the
// steady clock.
func (l *Ledger) wallAt(at time.Duration) time.Time { return l.Wall.Add(at - l.Steady) }

// steadyTime returns the time on the steady clock, which absence is measured by:
// it begins as the wall clock, in nanoseconds since 1970, and from then on never
// steps. Within a boot it goes as the boot clock does. From one boot to the next it
// goes as far as the wall clock did, if that is trusted, and at least as long as
// the boot is.
func (l *Ledger) steadyTime(now Instant, trusted bool, cfg Config) time.Duration {
	switch {
	case l.Steady == 0 && trusted:
		return time.Duration(now.Wall.UnixNano())
	case l.Steady == 0:
		return time.Duration(cfg.Built.UnixNano())
	case l.continues(now):
		return l.Steady + now.Uptime - l.Uptime
	case trusted && l.Trusted:
		return l.Steady + max(now.Uptime, now.Wall.Sub(l.Wall))
	default:
		return l.Steady + now.Uptime
	}
}

// continues reports whether a moment is of the same boot and time namespace as the
// ledger, and not before it.
func (l *Ledger) continues(now Instant) bool { return l.Boot == now.Boot && l.Uptime <= now.Uptime }
