package dhcp

import (
	"bufio"
	"errors"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"network-metrics-exporter/state"
)

// ReadLeases reads the lease file at path, dnsmasq's or Kea's, which their first
// lines tell apart, without the leases that have no name. Of Kea's leases, the
// latest come first.
//
// A lease is not judged by when it ends. dnsmasq itself removes what has ended,
// and where it was built for a machine without a clock (HAVE_BROKEN_RTC) it
// writes a duration where others find an instant.
//
// dnsmasq truncates the file and writes it anew whenever a lease changes, so it
// may be seen cut short: its last line counts only if it has its newline. Kea
// appends to its file and now and then puts it aside, so the files beside it are
// read too.
//
// If the file does not exist, the error is that of os.Open and satisfies
// errors.Is(err, fs.ErrNotExist). An error that tells of bad lines, or of a
// file of more than 16 MiB, comes together with all leases that were read.
func ReadLeases(path string) ([]state.Assignment, error) {
	var kea *keaLeases
	names, err := readFile("lease file", path, func(r io.Reader) ([]state.Assignment, error) {
		b := bufio.NewReaderSize(r, bufferSize)
		if !isKea(b) {
			return parseLeases(b)
		}
		kea = &keaLeases{}
		return kea.parse(b)
	})
	if kea == nil {
		return names, err
	}
	err = errors.Join(err, kea.addAside(path))
	return kea.names(), err
}

// parseLeases reads dnsmasq's.
func parseLeases(r io.Reader) ([]state.Assignment, error) {
	return syntax{
		want:       `"EXPIRY MAC IP NAME CLIENTID"`,
		wholeLines: true,
		line:       dnsmasqLease,
	}.parse(r)
}

// dnsmasqLease reads a line that lease_update_file in dnsmasq's lease.c writes,
// one of these:
//
//	EXPIRY [TYPE-]MAC IPV4 NAME CLIENTID
//	EXPIRY [T]IAID IPV6 NAME DUID
//	duid DUID
//	vendorclass IP HEX
//	agent-info IP HEX
//
// EXPIRY is 0 if the lease does not end. NAME, CLIENTID and DUID are * if there
// is none. A T marks a temporary address; "duid" is the server's own and stands
// before the IPv6 leases; the last two are of versions later than 2.90.
func dnsmasqLease(names []state.Assignment, line string) ([]state.Assignment, bool) {
	var f [5]string
	n := 0
	for field := range strings.FieldsSeq(line) {
		if n == len(f) {
			return names, false
		}
		f[n] = field
		n++
	}
	switch {
	case n == 0, n == 2 && f[0] == "duid", n == 3 && (f[0] == "vendorclass" || f[0] == "agent-info"):
		return names, true
	case n != len(f):
		return names, false
	}

	if _, err := strconv.ParseUint(f[0], 10, 64); err != nil {
		return names, false
	}
	addr, err := netip.ParseAddr(f[2])
	if err != nil || addr.Zone() != "" {
		return names, false
	}
	a := state.Assignment{Addr: addr.Unmap(), Name: f[3], Source: state.FromDHCP}
	if addr.Is4() {
		var ok bool
		if a.MAC, ok = parseHardware(f[1]); !ok {
			return names, false
		}
	} else {
		if _, err := strconv.ParseUint(strings.TrimPrefix(f[1], "T"), 10, 32); err != nil {
			return names, false
		}
		a.MAC = macOfDUID(f[4])
		a.DUID = !a.MAC.IsZero()
	}
	if a.Name != "*" {
		names = append(names, a)
	}
	return names, true
}
