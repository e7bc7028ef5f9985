package lab

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// EndOfFlood drops what a flood consists of behind all that counts: the namespaces
// of a machine share the size of one neighbour table, which is not to be filled
// under other tests.
const EndOfFlood = `
	table inet late {
		chain forward {
			type filter hook forward priority 302
			icmpv6 type echo-request drop
			udp dport 9 drop
		}
	}
`

// PingAll has a host ping the first n addresses of a /64 but for those of the lab.
func PingAll(t *testing.T, from *Host, network string, n int) {
	t.Helper()
	base := netip.MustParseAddr(network).As16()
	err := from.Do(func() error {
		conn, err := net.ListenPacket("ip6:ipv6-icmp", "::")
		if err != nil {
			return err
		}
		defer conn.Close()
		for i := range n {
			binary.BigEndian.PutUint32(base[10:], uint32(i+1))
			// Echo request; the kernel fills in the checksum.
			_, err := conn.WriteTo([]byte{128, 0, 0, 0, 0, 1, byte(i >> 8), byte(i)}, &net.IPAddr{IP: base[:]})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Spoof has a host send one packet from each of n addresses of a /64 that nobody
// has, by way of the router's link-layer address.
func Spoof(t *testing.T, from *Host, network string, n int, to netip.Addr) {
	t.Helper()
	router, err := net.InterfaceByName("br-lan")
	if err != nil {
		t.Fatal(err)
	}
	source, destination := netip.MustParseAddr(network).As16(), to.As16()
	const payload = 8 // of UDP, whose checksum nobody looks at on the way
	frame := slices.Concat(router.HardwareAddr, from.MAC, []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, payload, unix.IPPROTO_UDP, 64},
		source[:], destination[:], []byte{0, 9, 0, 9, 0, payload, 0xff, 0xff})
	err = from.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		for i := range n {
			binary.BigEndian.PutUint32(frame[14+8+10:], uint32(i+1))
			if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
