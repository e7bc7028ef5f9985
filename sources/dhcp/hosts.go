package dhcp

import (
	"fmt"
	"net/netip"
	"strings"

	"network-metrics-exporter/state"
)

const wantHosts = `"IP NAME", "MAC NAME" or "MAC,NAME,IP"`

// readHosts reads a file of static entries. Each line is written as hosts(5) says,
//
//	IP NAME [ALIAS...]
//
// as ethers(5) says, where the host may be given by its name or its address,
//
//	MAC NAME
//
// or as dnsmasq(8) says of --dhcp-host and --dhcp-hostsfile,
//
//	[dhcp-host=]MAC,NAME,IP[,...]
//
// Aliases are left out, and so are loopback, multicast and unspecified addresses,
// which no client has but /etc/hosts does.
func readHosts(f *File) []state.NameRecord {
	file, size, err := open(f.Path)
	if err != nil {
		f.Err = err
		return nil
	}
	defer file.Close()
	text, err := load(file, size)
	if err != nil {
		f.Err = fmt.Errorf("read %q: %w", f.Path, err)
	}
	if format, known := detect(text); known && format.name != emptyFormat.name {
		f.Err = fmt.Errorf("parse %q: looks like leases of %s: want them given by --leases=PATH", f.Path, format.name)
		return nil
	}
	f.Format = "hosts"
	records, err := parseHosts(text)
	if err != nil && f.Err == nil {
		f.Err = fmt.Errorf("parse %q: %w", f.Path, err)
	}
	return records
}

func parseHosts(text string) (records []state.NameRecord, err error) {
	err = eachLine(text, wantHosts, false, func(line string) (ok bool) {
		records, ok = hostsLine(records, line)
		return ok
	})
	return records, err
}

// hostsLine appends what a line of any kind says.
func hostsLine(records []state.NameRecord, line string) ([]state.NameRecord, bool) {
	text, _, _ := strings.Cut(line, "#")
	words := strings.Fields(text)
	if len(words) == 0 {
		return records, true
	}
	if addr, err := netip.ParseAddr(words[0]); err == nil {
		if addr = addr.Unmap(); len(words) > 1 && mayBeClient(addr) && addr.Zone() == "" {
			records = append(records, state.NameRecord{Addr: addr, Name: words[1], Source: state.FromHosts})
		}
		return records, addr.Zone() == ""
	}
	if mac, _ := parseMAC(words[0]); !mac.IsZero() && len(words) == 2 && !strings.Contains(words[1], ",") {
		return ethers(records, mac, words[1])
	}
	return dhcpHost(records, line)
}

// ethers appends what a line of ethers(5) says: how the host of a MAC is called, or
// which address it has.
func ethers(records []state.NameRecord, mac state.MAC, host string) ([]state.NameRecord, bool) {
	r := state.NameRecord{MAC: mac, Source: state.FromHosts}
	if addr, err := netip.ParseAddr(host); err != nil {
		r.Name = host
	} else if r.Addr = addr.Unmap(); addr.Zone() != "" {
		return records, false
	}
	if r.Addr.IsValid() && !mayBeClient(r.Addr) {
		return records, true
	}
	return append(records, r), true
}

// isHosts reports whether the first line that is not a comment is one of hosts(5),
// ethers(5) or dnsmasq's dhcp-host, to tell what was given for a lease file.
func isHosts(start string) bool {
	for line := range strings.Lines(start) {
		if records, _ := hostsLine(nil, strings.TrimSpace(line)); len(records) > 0 {
			return true
		}
	}
	return false
}

// mayBeClient tells the addresses of other machines from the rest of /etc/hosts.
func mayBeClient(addr netip.Addr) bool {
	return !addr.IsLoopback() && !addr.IsMulticast() && !addr.IsUnspecified()
}
