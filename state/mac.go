package state

import "net"

// MAC is an EUI-48 link-layer address. The zero MAC means that none is known.
type MAC [6]byte

// IsZero reports whether no address is known.
func (m MAC) IsZero() bool { return m == MAC{} }

// IsLocal reports whether the address was administered locally, as those are
// that devices make up at random (IEEE 802c, the U/L bit).
func (m MAC) IsLocal() bool { return m[0]&0x02 != 0 }

// String returns the usual spelling, 02:00:5e:10:00:01, and nothing for the zero
// MAC.
func (m MAC) String() string {
	if m.IsZero() {
		return ""
	}
	return net.HardwareAddr(m[:]).String()
}

// Scope returns the value of the label mac_scope: universal, local, or nothing for
// the zero MAC.
func (m MAC) Scope() string {
	switch {
	case m.IsZero():
		return ""
	case m.IsLocal():
		return "local"
	default:
		return "universal"
	}
}
