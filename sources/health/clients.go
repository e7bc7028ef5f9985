package health

import "fmt"

// clients looks whether there is room for all of them.
func (m Machine) clients() []Finding {
	const name = "clients"
	known := len(m.Last.Clients)
	var findings []Finding
	if known > m.MaxClients {
		findings = append(findings, warn(name, m.host.setting("max-clients", fmt.Sprint(2*known)),
			"%d are known, of which only %d have series: the others are in client=\"other\"", known, m.MaxClients))
	}
	if m.Ruleset == nil {
		return orOK(findings, name, "%d are known, of at most %d", known, m.MaxClients)
	}
	for _, s := range m.Ruleset.Sets {
		if s.Size > 0 && s.Elements >= s.Size {
			findings = append(findings, warn(name,
				m.host.setting("max-clients", fmt.Sprint(2*m.MaxClients))+", or find the host that makes up addresses: nft list set "+setsTable.String()+" "+s.Name,
				"set %s of table %v is full, with %d elements: new clients are counted in client=\"other\"", s.Name, setsTable, s.Elements))
		}
	}
	return orOK(findings, name, "%d are known, of at most %d", known, m.MaxClients)
}

// Repairs that are the rule: so many at least, and more often than one run of so
// many.
const (
	manyRepairs  = 10
	repairedRuns = 100
	someRepairs  = 2 // with which something missing right now is no coincidence
)

// repairs looks whether something takes away, again and again, what counts.
func (m Machine) repairs() []Finding {
	const name = "repairs"
	found := max(m.Last.Repairs, m.Last.Resets) // of rules made by hand, only the latter
	missing := m.Ruleset != nil && len(m.lacking()) > 0 && m.Last.IsRecent(m.Sample.Instant, m.Config)
	if missing && found > someRepairs || found >= manyRepairs && found > m.Last.Run/repairedRuns {
		return []Finding{warn(name, "have it flush only its own tables: look for flush ruleset in /etc/nftables.conf and in what runs nft; nft monitor shows when",
			"something flushes the ruleset again and again: %d of %d runs found gone what counts; what passes until the next run goes uncounted", found, m.Last.Run)}
	}
	return []Finding{ok(name, "%d of %d runs found gone what counts", found, m.Last.Run)}
}
