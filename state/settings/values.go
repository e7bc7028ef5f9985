package settings

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/common/model"

	"network-metrics-exporter/state"
)

// Each of these reads a value and reports whether it is good.

func parseSwitch(text string) (bool, bool) {
	return text == on, text == on || text == off
}

func parsePath(text string) (string, bool) {
	return text, text != "" && text != Stdout
}

func parseOutput(text string) (string, bool) {
	return text, text != ""
}

// maxInterfaceName is the length of the longest name of an interface, in bytes:
// IFNAMSIZ of linux/if.h without the final zero.
const maxInterfaceName = 15

// parseInterface accepts the names that the kernel does (dev_valid_name in
// net/core/dev.c), as far as a label can show them. A trailing * stands for any
// end; alone it would make the WAN's neighbours clients.
func parseInterface(text string) (string, bool) {
	name := strings.TrimSuffix(text, "*")
	ok := name != "" && len(name) <= maxInterfaceName && text != "." && text != ".." &&
		!strings.ContainsFunc(name, func(r rune) bool {
			return r == '/' || r == ':' || r == ' ' || r == unicode.ReplacementChar || !unicode.IsPrint(r)
		})
	return text, ok
}

// parseNetwork reads a CIDR, or three octets of an IPv4 network, which is how the
// original spells 192.168.10.0/24: 192.168.10. Fewer would make a network of
// millions of addresses out of a slip.
func parseNetwork(text string) (netip.Prefix, bool) {
	if strings.Count(text, ".") == 2 && !strings.ContainsAny(text, "/:") {
		text += ".0/24"
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err == nil && !p.Addr().Is4In6()
}

func parseLayout(text string) (state.Layout, bool) {
	layout := state.Layout(text)
	return layout, slices.Contains([]state.Layout{state.Sets, state.Rules, state.Flows, state.Off}, layout)
}

// parseSeconds reads a number of seconds, fractions included.
func parseSeconds(text string) (time.Duration, bool) {
	s, err := strconv.ParseFloat(text, 64)
	return time.Duration(s * float64(time.Second)), err == nil && s >= 0.1 && s <= 86400
}

// parseDuration reads a duration as Prometheus writes them: 90s, 1h30m, 1w.
func parseDuration(text string) (time.Duration, bool) {
	d, err := model.ParseDuration(text)
	return time.Duration(d), err == nil
}

func parsePercent(text string) (float64, bool) {
	p, err := strconv.ParseFloat(text, 64)
	return p, err == nil && p >= 0.1 && p <= 100
}

func parseCount(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 1 && n <= 1_000_000
}

func parseDay(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 1 && n <= 31
}

func parsePort(text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && n > 0
}

// Sorts returns the orders that Settings.Sort can be.
func Sorts() []string {
	return []string{"traffic", "download", "upload", "month", "total", "connections", "seen", "new", "name", "address"}
}

func sortNames() string {
	names := Sorts()
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

func parseSort(text string) (string, bool) {
	return text, slices.Contains(Sorts(), text)
}
