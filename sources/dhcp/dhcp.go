package dhcp

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"network-metrics-exporter/state"
)

// Kind is what a file is read as: the name of the flag that gives its path.
type Kind string

// The kinds of files.
const (
	Hosts  Kind = "hosts"
	Leases Kind = "leases"
)

// File is a file that was to be read, and what came of it.
type File struct {
	Kind    Kind
	Path    string
	Given   bool   // by a flag alone; else it is a default one, which need not exist
	Format  string // what it is written in, such as "Kea"; empty: not known
	Records int    // entries that count
	// Err is nil if the whole file was read. It satisfies
	// errors.Is(err, fs.ErrNotExist) if there is no such file and
	// errors.Is(err, fs.ErrPermission) if it may not be read.
	Err error
}

// Default files. systemd-networkd has one for each interface, in memory if it is
// told PersistLeases=runtime; before version 256 it had none.
var (
	defaultHosts  = []string{"/var/lib/dnsmasq/dhcp-hosts"}
	defaultLeases = slices.Concat(dnsmasqPaths, keaPaths, networkdPaths, iscPaths, adguardPaths)

	dnsmasqPaths  = []string{"/var/lib/dnsmasq/dnsmasq.leases", "/var/lib/misc/dnsmasq.leases", "/etc/pihole/dhcp.leases"}
	keaPaths      = []string{"/var/lib/kea/kea-leases4.csv", "/var/lib/kea/kea-leases6.csv"}
	networkdPaths = []string{"/var/lib/systemd/network/dhcp-server-lease/*", "/run/systemd/netif/dhcp-server-lease/*"}
	iscPaths      = []string{"/var/lib/dhcp/dhcpd.leases"}
	adguardPaths  = []string{"/opt/AdGuardHome/data/leases.json"}
)

// Read returns what the files say, static entries first, and a File for each path.
// Without paths of a kind it reads the default files: those that do not exist are no
// error. Of two records that fit, the earlier one counts: the order is that of the
// paths and, within a file, its own, but a file that a server appends to gives its
// newest lease first.
//
// The time tells which leases have ended. Its Wall is zero if the wall clock is not
// trusted.
func Read(now state.Instant, leases, hosts []string) ([]state.NameRecord, []File, error) {
	var (
		records []state.NameRecord
		files   []File
	)
	read := func(kind Kind, paths, defaults []string, read func(*File) []state.NameRecord) {
		if len(paths) == 0 {
			paths = expand(defaults)
		}
		for _, path := range paths {
			f := File{Kind: kind, Path: path, Given: !isAnyOf(path, defaults)}
			got := read(&f)
			f.Records = len(got)
			files = append(files, f)
			if records == nil {
				records = got // most often the only ones: they are many, and not copied
			} else {
				records = append(records, got...)
			}
		}
	}
	read(Hosts, hosts, defaultHosts, readHosts)
	read(Leases, leases, defaultLeases, func(f *File) []state.NameRecord { return readLeases(f, now) })
	return records, files, failures(files)
}

// expand puts what matches in place of each path that ends in an asterisk.
func expand(paths []string) []string {
	var expanded []string
	for _, path := range paths {
		if !strings.HasSuffix(path, "*") {
			expanded = append(expanded, path)
			continue
		}
		matches, _ := filepath.Glob(path) // the pattern is good
		expanded = append(expanded, matches...)
	}
	return expanded
}

// isAnyOf reports whether a path is one of those that expand was given.
func isAnyOf(path string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		prefix, isPattern := strings.CutSuffix(p, "*")
		return p == path || isPattern && strings.HasPrefix(path, prefix)
	})
}

// failures joins the errors of files. That a default file does not exist is none. A
// directory that may not be searched hides whether a default file exists: it counts
// only where nothing else could be read, for on a machine with a file of leases it is
// what another server left behind.
func failures(files []File) error {
	someRead := slices.ContainsFunc(files, func(f File) bool { return f.Kind == Leases && f.Err == nil })
	var errs []error
	for _, f := range files {
		absent := errors.Is(f.Err, fs.ErrNotExist) || someRead && errors.Is(f.Err, errHidden)
		if f.Given || !absent {
			errs = append(errs, f.Err)
		}
	}
	return errors.Join(errs...)
}
