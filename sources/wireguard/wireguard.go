// Package wireguard reads from the kernel which peers a WireGuard interface has and
// when it last heard from them: a peer that is connected and idle sends nothing that
// is forwarded, but renews its handshake every two minutes.
package wireguard

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"network-metrics-exporter/state"
)

// Read returns the addresses behind those of the interfaces that are WireGuard
// devices, sorted by address: each allowed IP that is a single host, with the age of
// its peer's latest handshake. It needs CAP_NET_ADMIN where there is such a device;
// where there is none it costs one ioctl for each interface.
func Read(interfaces []string) ([]state.Peer, error) {
	may, err := withoutHardware(interfaces)
	if err != nil || len(may) == 0 {
		return nil, err
	}
	client, err := wgctrl.New()
	if err != nil {
		return nil, fmt.Errorf("open WireGuard's netlink: %w", err)
	}
	defer client.Close()
	return reader{client.Device, time.Now}.read(may)
}

// withoutHardware returns the interfaces without link-layer addresses: WireGuard's
// are among them, and tun devices. One that does not exist is left out.
func withoutHardware(interfaces []string) ([]string, error) {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket for interfaces: %w", err)
	}
	defer unix.Close(socket)
	var without []string
	for _, name := range interfaces {
		request, err := unix.NewIfreq(name)
		if err == nil {
			// netdevice(7): the hardware type begins ifr_hwaddr.
			err = unix.IoctlIfreq(socket, unix.SIOCGIFHWADDR, request)
		}
		if err == nil && request.Uint16() == unix.ARPHRD_NONE {
			without = append(without, name)
		}
	}
	return without, nil
}

// reader is what Read asks; tests put others in place.
type reader struct {
	device func(name string) (*wgtypes.Device, error)
	now    func() time.Time // the wall clock, by which WireGuard keeps its handshakes
}

// read asks for each device, of which some may be none of WireGuard's. A device that
// fails makes an error beside what the others gave.
func (r reader) read(names []string) ([]state.Peer, error) {
	var (
		peers []state.Peer
		errs  []error
	)
	for _, name := range names {
		d, err := r.device(name)
		switch {
		case err == nil:
			peers = appendPeers(peers, d, name, r.now())
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.EACCES):
			// No device of the kernel's WireGuard. wgctrl looks for one in user
			// space too, behind a socket that may be root's.
		default:
			errs = append(errs, fmt.Errorf("read WireGuard device %q: %w", name, err))
		}
	}
	state.SortByAddr(peers, func(p *state.Peer) netip.Addr { return p.Addr })
	return peers, errors.Join(errs...)
}

// appendPeers appends the single hosts behind a device. A handshake that is yet to
// come was before the clock was set back: how long ago is not known, and counts as
// never until the peer renews it.
func appendPeers(peers []state.Peer, d *wgtypes.Device, name string, now time.Time) []state.Peer {
	for _, p := range d.Peers {
		age := now.Sub(p.LastHandshakeTime)
		if p.LastHandshakeTime.IsZero() || age < 0 {
			age = -1
		}
		for _, allowed := range p.AllowedIPs {
			addr, ok := netip.AddrFromSlice(allowed.IP)
			if ones, bits := allowed.Mask.Size(); ok && ones == bits && bits > 0 {
				peers = append(peers, state.Peer{Addr: addr.Unmap(), Interface: name, Handshake: age})
			}
		}
	}
	return peers
}
