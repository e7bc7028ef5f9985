package health

import (
	"errors"
	"fmt"
	"os"
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

// modules looks for the parts of the kernel that the sources ask. A source that
// answers proves its own, which may be built in without a trace.
func (m Machine) modules() []Finding {
	return []Finding{
		m.module("nf_tables", m.result(state.NFTables)),
		m.module("nf_conntrack_netlink", m.result(state.Conntrack)),
	}
}

func (m Machine) module(module string, err error) Finding {
	const name = "module"
	if loaded(module) {
		return ok(name, "%s is loaded", module)
	}
	// Without the module there is nobody who could say anything else.
	switch absent := errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT); {
	case absent && m.host == byNixOS:
		return fail(name, fmt.Sprintf("boot.kernelModules = [ %q ];", module), "%s is missing: %v", module, err)
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

// sysctlIs reports whether a kernel parameter, given as a path below /proc/sys, has
// a value. One that is not there has none.
func sysctlIs(path, value string) bool {
	text, err := os.ReadFile("/proc/sys/" + path)
	return err == nil && strings.TrimSpace(string(text)) == value
}

// nearlyFull is the share of the table's limit at which new flows are soon refused.
const nearlyFull = 0.8

// conntrack looks at how full the connection tracking table is, and whether anything
// is tracked at all.
func (m Machine) conntrack() []Finding {
	const name = "conntrack"
	flows := m.Sample.Conntrack
	if flows == nil {
		return []Finding{unknown(name, m.result(state.Conntrack))}
	}
	var findings []Finding
	if flows.Limit > 0 && float64(flows.Entries) >= nearlyFull*float64(flows.Limit) {
		findings = append(findings, warn(name, m.host.sysctl(2*uint64(flows.Limit), "net.netfilter.nf_conntrack_max"),
			"the table is nearly full, at %d of %d entries", flows.Entries, flows.Limit))
	}
	// Rules that nftables does not show, such as those of iptables-legacy, may have
	// connections tracked too: then there are some.
	if m.Ruleset != nil && !m.Ruleset.Conntrack && flows.Entries == 0 {
		findings = append(findings, warn(name, "nft add rule inet filter forward ct state established,related accept, or another rule with ct",
			"no rule makes the kernel track connections: there are no numbers of connections"))
	}
	return orOK(findings, name, "%d of %d entries are taken", flows.Entries, flows.Limit)
}
