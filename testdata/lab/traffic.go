package lab

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// trafficLimit bounds each exchange of packets.
const trafficLimit = 30 * time.Second

// A Flow is one UDP conversation between two hosts: two sockets, and on the
// router one entry of connection tracking.
type Flow struct {
	from, to       *net.UDPConn
	toAddr         netip.AddrPort // as the sender of Send knows it
	fromAddr       netip.AddrPort // as the receiver of Send knows it: behind NAT, the router's
	bytesPerPacket int            // of IP and UDP headers
}

// UDP opens a flow between two hosts over "udp4" or "udp6", without sending
// anything yet.
func UDP(t *testing.T, network string, from, to *Host) *Flow {
	t.Helper()
	f := &Flow{from: from.listenUDP(t, network), to: to.listenUDP(t, network)}
	f.toAddr = f.to.LocalAddr().(*net.UDPAddr).AddrPort()
	f.bytesPerPacket = 20 + 8 // RFC 791 without options, RFC 768
	if f.toAddr.Addr().Is6() {
		f.bytesPerPacket = 40 + 8 // RFC 8200
	}
	return f
}

// Send sends packets with that many bytes of payload each, makes sure that
// every one arrived, and returns the IP bytes that crossed the network.
func (f *Flow) Send(t *testing.T, packets, payload int) uint64 {
	t.Helper()
	f.fromAddr = exchange(t, f.from, f.to, f.toAddr, packets, payload)
	return uint64(packets) * uint64(f.bytesPerPacket+payload)
}

// Reply is Send in the other direction. A client's firewall admits it only
// after a Send.
func (f *Flow) Reply(t *testing.T, packets, payload int) uint64 {
	t.Helper()
	if !f.fromAddr.IsValid() {
		t.Fatal("Reply before Send")
	}
	exchange(t, f.to, f.from, f.fromAddr, packets, payload)
	return uint64(packets) * uint64(f.bytesPerPacket+payload)
}

// Burst sends packets in both directions, and does not ask whether they arrive: what
// does is for the router to count.
func (f *Flow) Burst(packets, payload int) error {
	buffer := make([]byte, payload)
	for range packets {
		if _, err := f.from.WriteToUDPAddrPort(buffer, f.toAddr); err != nil {
			return err
		}
		if _, err := f.to.WriteToUDPAddrPort(buffer, f.fromAddr); err != nil {
			return err
		}
	}
	return nil
}

// exchange sends packets to an address of the receiving socket, never more at
// once than its buffer holds, and returns the address they came from.
func exchange(t *testing.T, from, to *net.UDPConn, addr netip.AddrPort, packets, payload int) (source netip.AddrPort) {
	t.Helper()
	const window = 16
	if payload > 1400 {
		t.Fatalf("payload of %d bytes: expected at most 1400, to fit a packet", payload)
	}
	deadline := time.Now().Add(trafficLimit)
	if err := to.SetReadDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1500)
	for sent := 0; sent < packets; {
		burst := min(window, packets-sent)
		for range burst {
			if _, err := from.WriteToUDPAddrPort(buffer[:payload], addr); err != nil {
				t.Fatal(err)
			}
		}
		for range burst {
			n, peer, err := to.ReadFromUDPAddrPort(buffer)
			if err != nil {
				t.Fatalf("receive from %v: %v", addr, err)
			}
			if n != payload {
				t.Fatalf("received %d bytes from %v, want %d", n, peer, payload)
			}
			source = peer
		}
		sent += burst
	}
	return source
}

// address returns the host's address for a network such as "udp4" or "tcp6".
func (h *Host) address(network string) netip.Addr {
	if network[len(network)-1] == '6' {
		return h.IPv6
	}
	return h.IPv4
}

func (h *Host) listenUDP(t *testing.T, network string) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	err := h.Do(func() (err error) {
		conn, err = net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.address(network), 0)))
		return err
	})
	if err != nil {
		t.Fatalf("on %s: %v", h.Name, err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A Connection is an established TCP connection, both ends in hand.
type Connection struct {
	From, To *net.TCPConn
}

// TCP connects two hosts over "tcp4" or "tcp6". The connection stays
// established until it is closed or the test ends.
func TCP(t *testing.T, network string, from, to *Host) *Connection {
	t.Helper()
	return connect(t, from, to, netip.AddrPortFrom(to.address(network), 0), netip.AddrPort{})
}

// TCPVia connects two hosts over an address that is not the second one's: the
// router has to translate it and to leave the port as it is.
func TCPVia(t *testing.T, via netip.AddrPort, from, to *Host) *Connection {
	t.Helper()
	return connect(t, from, to, netip.AddrPortFrom(to.IPv4, via.Port()), via)
}

// connect listens at one end and dials from the other, the listener's own
// address unless another one is given. Neither asks after the other one while they
// are silent: whatever is sent, the test sends.
func connect(t *testing.T, from, to *Host, listen, dial netip.AddrPort) *Connection {
	t.Helper()
	c := &Connection{}
	err := to.Do(func() error {
		listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(listen))
		if err != nil {
			return err
		}
		defer listener.Close()
		if err := listener.SetDeadline(time.Now().Add(trafficLimit)); err != nil {
			return err
		}
		if !dial.IsValid() {
			dial = listener.Addr().(*net.TCPAddr).AddrPort()
		}
		err = from.Do(func() error {
			conn, err := (&net.Dialer{Timeout: trafficLimit, KeepAlive: -1}).Dial("tcp", dial.String())
			if err == nil {
				c.From = conn.(*net.TCPConn)
			}
			return err
		})
		if err != nil {
			return err
		}
		if c.To, err = listener.AcceptTCP(); err != nil {
			return err
		}
		return c.To.SetKeepAlive(false)
	})
	if c.From != nil {
		t.Cleanup(func() { c.From.Close() })
	}
	if err != nil {
		t.Fatalf("connect %s to %s: %v", from.Name, to.Name, err)
	}
	t.Cleanup(func() { c.To.Close() })
	return c
}

// Close ends the connection as well-behaved programs do, a FIN from either
// side; the router may see the last acknowledgement a moment later.
func (c *Connection) Close() error {
	deadline := time.Now().Add(trafficLimit)
	for _, end := range []struct{ close, wait *net.TCPConn }{{c.From, c.To}, {c.To, c.From}} {
		if err := end.close.CloseWrite(); err != nil {
			return err
		}
		if err := end.wait.SetReadDeadline(deadline); err != nil {
			return err
		}
		if n, err := end.wait.Read(make([]byte, 1)); err != io.EOF {
			return fmt.Errorf("wait for the end of the connection: read %d bytes, %w", n, err)
		}
	}
	if err := c.From.Close(); err != nil {
		return err
	}
	return c.To.Close()
}
