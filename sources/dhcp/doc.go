// Package dhcp reads the names of devices from files: the leases of dnsmasq and of
// Kea, hosts files and the hosts that dnsmasq is configured with.
//
// The files are read as they are at that moment and, but for Kea's, in their own
// order: if two lines name the same address or device, both are returned and the
// caller chooses. A line that makes no sense costs that line alone. What it cost is
// told in one error, which comes together with everything that was read, and
// which never quotes a file's content, for others write it.
//
// A file may be damaged or hostile. Of each no more than 16 MiB are read, in
// lines of no more than 4 KiB, and only of regular files.
package dhcp
