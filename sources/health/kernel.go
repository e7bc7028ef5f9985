package health

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// hasNetAdmin reports whether this process has CAP_NET_ADMIN (capabilities(7)).
func hasNetAdmin() (bool, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // of 32 capabilities each
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false, fmt.Errorf("capget: %w", err)
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0, nil
}

// WithCapability adds to an error of the kernel that CAP_NET_ADMIN is missing, if it
// is. There are other reasons for EPERM, such as a table that has an owner.
func WithCapability(err error) error {
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	if has, capErr := hasNetAdmin(); has || capErr != nil {
		return err
	}
	return fmt.Errorf("%w: it takes CAP_NET_ADMIN, which root has", err)
}

// capability looks for what nftables and conntrack ask of whoever reads them.
func (m Machine) capability() []Finding {
	const name = "capability"
	switch has, err := hasNetAdmin(); {
	case err != nil:
		return []Finding{fail(name, asRoot, "%v", err)}
	case !has:
		return []Finding{fail(name, asRoot, "CAP_NET_ADMIN is missing: neither nftables nor conntrack can be read")}
	}
	return []Finding{ok(name, "CAP_NET_ADMIN is there")}
}

const asRoot = "run it as root (sudo), or give the service AmbientCapabilities=CAP_NET_ADMIN"

// modules looks for the parts of the kernel that the sources ask. A source that
// answers proves its own, which may be built in without a trace.
func (m Machine) modules() []Finding {
	var findings []Finding
	for _, module := range []struct {
		name   string
		source state.Source
	}{{"nf_tables", state.NFTables}, {"nf_conntrack_netlink", state.Conntrack}} {
		findings = append(findings, examineModule(module.name, m.probe(module.source)))
	}
	return findings
}

func examineModule(module string, err error) Finding {
	const name = "module"
	if loaded(module) {
		return ok(name, "%s is loaded", module)
	}
	// Without the module there is nobody who could say anything else.
	switch absent := errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT); {
	case absent:
		return fail(name, fmt.Sprintf("modprobe %s, and its name in a file in /etc/modules-load.d", module), "%s is missing: %v", module, err)
	case errors.Is(err, unix.EPERM):
		return unknown(name, fmt.Errorf("ask %s: %w", module, err))
	default:
		return ok(name, "%s is built into the kernel", module)
	}
}

// loaded reports whether a module is listed by the kernel, as those that are built
// in are only if they have parameters (/sys/module, Documentation/ABI/stable).
func loaded(module string) bool {
	if _, err := os.Stat("/sys/module/" + module); err == nil {
		return true
	}
	modules, _ := os.ReadFile("/proc/modules") // not there: no module can be loaded
	for line := range strings.Lines(string(modules)) {
		if name, _, _ := strings.Cut(line, " "); name == module {
			return true
		}
	}
	return false
}

// interfaces looks for those of the LAN.
func (m Machine) interfaces() []Finding {
	const name = "interface"
	all, err := net.Interfaces()
	if err != nil {
		return []Finding{unknown(name, err)}
	}
	var findings []Finding
	for _, wanted := range m.Interfaces {
		if slices.ContainsFunc(all, func(i net.Interface) bool { return i.Name == wanted }) {
			findings = append(findings, ok(name, "%s is there", wanted))
			continue
		}
		var others []string
		for _, i := range all {
			if i.Flags&net.FlagLoopback == 0 {
				others = append(others, i.Name)
			}
		}
		findings = append(findings, fail(name, "--interface=NAME", "%s does not exist; there is: %s", wanted, strings.Join(others, " ")))
	}
	return findings
}

// networks looks for prefixes of the LAN interfaces whose devices are no clients.
func (m Machine) networks() []Finding {
	const name = "network"
	if m.Sample.LAN == nil {
		return []Finding{unknown(name, m.probe(state.Neighbor))}
	}
	scope := state.NewScope(m.Networks, m.Interfaces, m.Sample.LAN, nil)
	var findings []Finding
	for _, a := range m.Sample.LAN.AddrsOn(m.Interfaces) {
		missed := !slices.ContainsFunc(scope.Networks, func(n netip.Prefix) bool {
			return n.Bits() <= a.Network.Bits() && n.Contains(a.Network.Addr())
		})
		if missed {
			findings = append(findings, warn(name, "--network="+a.Network.String(), "%v of %s is in none of the clients' networks, %v", a.Network, a.Interface, scope.Networks))
		}
	}
	switch {
	case len(scope.Networks) == 0:
		return []Finding{warn(name, "--network=CIDR", "no clients: %s has no address", strings.Join(m.Interfaces, " "))}
	case len(findings) == 0:
		return []Finding{ok(name, "clients are those in %v", scope.Networks)}
	}
	return findings
}

// nearlyFull is the share of the table's limit at which new flows are soon refused.
const nearlyFull = 0.8

// conntrack looks at how full the connection tracking table is.
func (m Machine) conntrack() []Finding {
	const name = "conntrack"
	flows := m.Sample.Conntrack
	if flows == nil {
		return []Finding{unknown(name, m.probe(state.Conntrack))}
	}
	if flows.Limit > 0 && float64(flows.Entries) >= nearlyFull*float64(flows.Limit) {
		return []Finding{warn(name, fmt.Sprintf("sysctl net.netfilter.nf_conntrack_max=%d", 2*uint64(flows.Limit)),
			"the table is nearly full, at %d of %d entries", flows.Entries, flows.Limit)}
	}
	return []Finding{ok(name, "%d of %d entries are taken", flows.Entries, flows.Limit)}
}
