package dhcp

import (
	"io"
	"net/netip"
	"strings"

	"network-metrics-exporter/state"
)

// ReadHosts reads static names from the file at path. Each line is written
// either as hosts(5) says,
//
//	IP NAME [ALIAS...]
//
// or as dnsmasq(8) says of --dhcp-host and --dhcp-hostsfile,
//
//	[dhcp-host=]MAC,NAME,IP[,...]
//
// and is of the former kind if its first word is an address. Aliases are left
// out, and so are loopback, multicast and unspecified addresses, which no client
// has but /etc/hosts does.
//
// If the file does not exist, the error is that of os.Open and satisfies
// errors.Is(err, fs.ErrNotExist). An error that tells of bad lines, or of a
// file of more than 16 MiB, comes together with all names that were read.
func ReadHosts(path string) ([]state.Assignment, error) {
	return readFile("hosts file", path, parseHosts)
}

func parseHosts(r io.Reader) ([]state.Assignment, error) {
	return syntax{
		want: `"IP NAME" or "MAC,NAME,IP"`,
		line: hostsLine,
	}.parse(r)
}

// hostsLine reads a line of either kind.
func hostsLine(names []state.Assignment, line string) ([]state.Assignment, bool) {
	text, _, _ := strings.Cut(line, "#")
	words := strings.Fields(text)
	if len(words) == 0 {
		return names, true
	}
	addr, err := netip.ParseAddr(words[0])
	if err != nil {
		return dhcpHost(names, line)
	}
	if addr.Zone() != "" {
		return names, false
	}
	if addr = addr.Unmap(); len(words) > 1 && mayBeClient(addr) {
		names = append(names, state.Assignment{Addr: addr, Name: words[1], Source: state.FromHosts})
	}
	return names, true
}

// mayBeClient tells the addresses of other machines from the rest of /etc/hosts.
func mayBeClient(addr netip.Addr) bool {
	return !addr.IsLoopback() && !addr.IsMulticast() && !addr.IsUnspecified()
}
