// Package dhcp reads from files which device has which address and what it is
// called: the leases of dnsmasq, Kea, systemd-networkd, ISC dhcpd and AdGuard
// Home, and static entries in the formats of hosts(5), ethers(5) and dnsmasq's
// dhcp-host.
//
// The files are read as they are at that moment. Of an address that a lease file
// names several times the newest lease counts. An entry that makes no sense costs
// that entry alone; one error tells of all of them, comes together with everything
// that was read, and never quotes a file, for others write it.
//
// A file may be damaged or hostile. Only regular files are opened, without
// blocking, in directories that not everybody can write to, and no more than
// 16 MiB of each are read.
//
// # When a lease ends
//
// A lease counts while the server takes it for current. dnsmasq takes out what has
// ended, and Kea writes another row: their files are not judged by the clock, which
// dnsmasq may not even have had (HAVE_BROKEN_RTC). The others may keep what has
// ended until somebody asks for an address: there the end is compared, for
// systemd-networkd on the boot clock where the file is of this boot, and else on
// the wall clock, if that can be trusted.
package dhcp
