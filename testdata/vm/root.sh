#!/bin/bash
#
# root.sh RELEASE IMAGE: puts the root file system of a Debian router into IMAGE: the
# release's minimal system, and what routers run besides. Whatever is not the kernel's
# own or systemd's is switched off. The modules are those beside IMAGE, in kernel,
# see kernel.sh.
#
# It takes root.

set -euo pipefail
release=$1 image=$(realpath -m "$2")
PATH=$PATH:/usr/sbin:/sbin
mirror=$("$(dirname "$0")/mirror.sh")
packages=(
	systemd-sysv dbus kmod udev             # a machine that boots
	dnsmasq iproute2 nftables procps        # a router
	curl prometheus-node-exporter sudo      # what the quick start takes
	conntrack firewalld iptables udhcpc ufw # for the tests
)
# Not the file system that /tmp is on, which may be memory.
work=$(mktemp -d "$image.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

IFS=,
mmdebstrap --quiet --mode=root --format=directory --variant=minbase --include="${packages[*]}" \
	--aptopt='APT::Install-Recommends "false"' "$release" "$root" "$mirror"
systemctl --quiet --root="$root" disable dnsmasq firewalld ufw
systemctl --quiet --root="$root" mask getty@tty1.service serial-getty@ttyS0.service apt-daily.timer apt-daily-upgrade.timer
cp -r "${image%/*}/kernel/modules/lib/modules" "$root/usr/lib/"
: >"$root/etc/machine-id" # made at the first boot
touch "$root"/{etc,var}/.updated # what is done after an upgrade of /usr takes long
mkdir -p "$root/var/log/journal"
echo router >"$root/etc/hostname"
echo '127.0.0.1 localhost router' >"$root/etc/hosts"
mke2fs -q -t ext4 -d "$root" "$work/image" 2G
mv "$work/image" "$image"
