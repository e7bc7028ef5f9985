package health

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// asRoot cures what rights are missing for.
const asRoot = "run it as root (sudo), or give the service AmbientCapabilities=CAP_NET_ADMIN"

// host is where the settings of the program are written down on a machine.
type host int

const (
	byHand  host = iota // nowhere: whoever starts the program gives it flags
	byUnits             // in the file of settings of the units
	byNixOS             // in a NixOS configuration
)

const (
	settingsFile = "/etc/default/network-metrics-exporter"
	nixModule    = "services.network-metrics-exporter."
	nixMarker    = "/etc/NIXOS" // which nixos-rebuild looks for too
)

// findHost finds out where settings are written down.
func findHost() host {
	if _, err := os.Stat(nixMarker); err == nil {
		return byNixOS
	}
	if find(service) != "" {
		return byUnits
	}
	return byHand
}

// Where a flag has a place of its own; all others are further flags.
var (
	variables  = map[string]string{"interface": "TRAFFIC_INTERFACE", "network": "NETWORK_PREFIX", "interval": "UPDATE_INTERVAL", "port": "METRICS_PORT"}
	nixLists   = map[string]string{"interface": "interfaces", "network": "networks", "leases": "leases", "hosts": "hosts"}
	nixNumbers = map[string]string{"interval": "updateInterval", "port": "port"}
)

// setting says what to write, and where, so that a flag of the program has some
// values.
func (h host) setting(flag string, values ...string) string {
	var flags []string
	for _, v := range values {
		flags = append(flags, "--"+flag+"="+v)
	}
	switch {
	case h == byNixOS && flag == "output":
		return fmt.Sprintf("%stextfileDirectory = %q;", nixModule, filepath.Dir(values[0]))
	case h == byNixOS && flag == "accounting":
		return fmt.Sprintf("%saccounting = %q;", nixModule, values[0])
	case h == byNixOS && nixNumbers[flag] != "":
		return fmt.Sprintf("%s%s = %s;", nixModule, nixNumbers[flag], values[0])
	case h == byNixOS && nixLists[flag] != "":
		return fmt.Sprintf("%s%s = [ %s ];", nixModule, nixLists[flag], quoted(values))
	case h == byNixOS:
		return fmt.Sprintf("%sextraFlags = [ %s ];", nixModule, quoted(flags))
	case h == byUnits && variables[flag] != "":
		return fmt.Sprintf("set %s=%q in %s", variables[flag], strings.Join(values, " "), settingsFile)
	case h == byUnits:
		return fmt.Sprintf("add %s to ARGS in %s", strings.Join(flags, " "), settingsFile)
	}
	return strings.Join(flags, " ")
}

// quoted puts each text in quotes.
func quoted(texts []string) string { return strings.Trim(fmt.Sprintf("%q", texts), "[]") }

// sysctl says how to set kernel parameters for good.
func (h host) sysctl(value uint64, names ...string) string {
	var settings, options []string
	for _, name := range names {
		settings = append(settings, fmt.Sprintf("%s=%d", name, value))
		options = append(options, fmt.Sprintf("boot.kernel.sysctl.%q = %d;", name, value))
	}
	if h == byNixOS {
		return strings.Join(options, " ")
	}
	return fmt.Sprintf("sysctl -w %s, and the same in a file in /etc/sysctl.d", strings.Join(settings, " "))
}

// enable says how to have a unit of ours started now and at each boot.
func (h host) enable(unit string) string {
	switch {
	case h == byNixOS:
		return nixModule + "enable = true;"
	case h == byUnits:
		return "systemctl enable --now " + unit
	case unit == server:
		return "start a node_exporter with --collector.textfile.directory"
	}
	return "run network-metrics-exporter sample every interval"
}

// install says how to have the units.
func (h host) install() string {
	if h == byNixOS {
		return h.enable(timer)
	}
	return "make install, and systemctl enable --now " + timer
}

// inService says how to give the service a line of its unit.
func (h host) inService(key, value string) string {
	if h == byNixOS {
		return fmt.Sprintf("systemd.services.network-metrics-exporter.serviceConfig.%s = [ %q ];", key, value)
	}
	return fmt.Sprintf("systemctl edit %s, and there, below [Service], %s=%s", service, key, value)
}

// runNow says how to have a run at once.
func (h host) runNow() string {
	if h == byHand {
		return "run network-metrics-exporter sample as root"
	}
	return "systemctl start " + service + ", and look at journalctl -u " + service
}
