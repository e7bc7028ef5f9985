package health

import (
	"slices"
	"strings"

	"network-metrics-exporter/sources/neighbor"
)

// interfaces looks for those of the LAN, and whether clients can be behind them.
func (m Machine) interfaces() []Finding {
	const name = "interface"
	if m.linksErr != nil {
		return []Finding{unknown(name, m.linksErr)}
	}
	var findings []Finding
	for _, wanted := range m.Interfaces {
		links := m.linksOf(wanted)
		if len(links) == 0 {
			findings = append(findings, m.noInterface(wanted))
		}
		for _, l := range links {
			findings = append(findings, m.lanInterface(wanted, l))
		}
	}
	return findings
}

// linksOf returns the interfaces that a name or pattern stands for.
func (m Machine) linksOf(wanted string) []neighbor.Link {
	prefix, isPattern := strings.CutSuffix(wanted, "*")
	return slices.DeleteFunc(slices.Clone(m.links), func(l neighbor.Link) bool {
		return l.Name != wanted && !(isPattern && strings.HasPrefix(l.Name, prefix))
	})
}

// link returns the interface of a name, a zero one if there is none.
func (m Machine) link(name string) neighbor.Link {
	for _, l := range m.links {
		if l.Name == name {
			return l
		}
	}
	return neighbor.Link{}
}

func (m Machine) noInterface(wanted string) Finding {
	const name = "interface"
	if strings.HasSuffix(wanted, "*") && len(m.Interfaces) > 1 {
		return ok(name, "there is none now of those that begin as %s", wanted)
	}
	var others []string
	for _, l := range m.links {
		if l.Name != "lo" && l.Master == "" {
			others = append(others, l.Name)
		}
	}
	return fail(name, m.instead(wanted, "NAME"), "%s does not exist; there is: %s", wanted, strings.Join(others, " "))
}

// lanInterface looks at one that is there.
func (m Machine) lanInterface(wanted string, l neighbor.Link) Finding {
	const name = "interface"
	switch {
	case !l.Up && l.Name == wanted:
		return fail(name, "ip link set "+l.Name+" up", "%s is down", l.Name)
	case m.link(l.Master).Kind == "bridge":
		return fail(name, m.instead(wanted, l.Master),
			"%s is a port of the bridge %s: the clients are neighbours of the bridge", l.Name, l.Master)
	case l.Uplink:
		return warn(name, m.instead(wanted, "NAME"),
			"%s is where the default route leads, to the internet: its neighbours are no clients; give the interfaces of the LAN", l.Name)
	}
	return ok(name, "%s is there", l.Name)
}

// instead says how to give another interface in place of a wanted one.
func (m Machine) instead(wanted, other string) string {
	interfaces := slices.Clone(m.Interfaces)
	for i, name := range interfaces {
		if name == wanted {
			interfaces[i] = other
		}
	}
	return m.host.setting("interface", unique(interfaces)...)
}

// besides says how to give another interface too.
func (m Machine) besides(other string) string {
	return m.host.setting("interface", append(slices.Clone(m.Interfaces), other)...)
}

// unique returns the elements of a list, each once.
func unique(list []string) []string {
	var once []string
	for _, s := range list {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}
