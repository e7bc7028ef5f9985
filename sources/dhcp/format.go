package dhcp

import (
	"errors"
	"fmt"
	"strings"

	"network-metrics-exporter/state"
)

// format is how a server writes its leases.
type format struct {
	name string // the server's
	// parse puts the leases of a text into the table, in the order of the text.
	// It reports entries that make no sense, and puts the others.
	parse func(t *leaseTable, text string, now state.Instant) error
	// newestLast: the server appends to the file.
	newestLast bool
	// header: the first line says what the others hold.
	header bool
	// beside are the ends of the names of older files beside the file, the
	// newest first.
	beside []string
}

// The formats.
var (
	dnsmasqFormat  = format{name: "dnsmasq", parse: parseDnsmasq}
	keaFormat      = format{name: "Kea", parse: parseKea, newestLast: true, header: true, beside: keaBeside}
	networkdFormat = format{name: "systemd-networkd", parse: parseNetworkd}
	iscFormat      = format{name: "ISC dhcpd", parse: parseISC, newestLast: true}
	adguardFormat  = format{name: "AdGuard Home", parse: parseAdGuard}
	emptyFormat    = format{name: "empty", parse: func(*leaseTable, string, state.Instant) error { return nil }}
)

// detect tells the format of a lease file by how it begins.
func detect(text string) (format, bool) {
	start := text[:min(len(text), maxLine)]
	word := firstWord(start)
	switch {
	case strings.TrimSpace(start) == "":
		return emptyFormat, true
	case isKea(start):
		return keaFormat, true
	case strings.HasPrefix(word, "{"):
		switch firstKey(text) {
		case "BootID", "Address", "PrefixLength", "Leases":
			return networkdFormat, true
		case "leases", "version":
			return adguardFormat, true
		}
	case isISC(start, word):
		return iscFormat, true
	case isDnsmasq(start):
		return dnsmasqFormat, true
	}
	return format{}, false
}

// unknownFormat says what the text of a lease file is that is of no format, and what
// to do about it.
func unknownFormat(text string) error {
	const want = "want the leases of dnsmasq, Kea, systemd-networkd, ISC dhcpd or AdGuard Home"
	start := text[:min(len(text), maxLine)]
	word := firstWord(start)
	looks := "text of another kind"
	switch {
	case strings.HasPrefix(start, "SQLite format 3\x00"):
		looks = "an SQLite database"
	case strings.Contains(start, "\x00"):
		looks = "binary data"
	case strings.HasPrefix(word, "{"), strings.HasPrefix(word, "[{"), word == "[":
		looks = "JSON of another program"
	case strings.HasPrefix(word, "["):
		looks = "a configuration file"
	case strings.HasPrefix(word, "<"):
		looks = "XML"
	case isDHCPClient(start):
		looks = "leases of a DHCP client"
	case isHosts(start):
		return errors.New("looks like static entries: want them given by --hosts=PATH")
	}
	return fmt.Errorf("looks like %s: %s", looks, want)
}

// firstWord returns the first word that is not in a comment.
func firstWord(text string) string {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 0 && words[0][0] != '#' {
			return words[0]
		}
	}
	return ""
}
