#!/bin/bash
#
# kernel.sh RELEASE DIR: puts the kernel of a Debian release into DIR: vmlinuz, and
# in modules/lib/modules those that a router or a virtual machine needs. It installs
# nothing, and needs no rights.
#
# The package comes from the mirror that this machine's apt uses for Debian, or from
# the one that DEBIAN_MIRROR names.

set -euo pipefail
release=$1 dir=$(realpath -m "$2")
PATH=$PATH:/usr/sbin:/sbin
mirror=$("$(dirname "$0")/mirror.sh")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists,cache/archives}/partial "$work"/{package,kernel/modules/lib/modules}
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$work/sources.list"
cat >"$work/apt.conf" <<EOF_APT
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$work/lists";
Dir::State::Status "/dev/null";
Dir::Cache "$work/cache";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Architecture "amd64";
APT::Sandbox::User "";
Debug::NoLocking "true";
EOF_APT
export APT_CONFIG=$work/apt.conf
apt-get -qq update
package=$(apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" { print $2; exit }')
(cd "$work" && apt-get -qq download "$package")
dpkg-deb --extract "$work/$package"_*.deb "$work/package"

shopt -s nullglob
modules=("$work"/package/{,usr/}lib/modules/*) # Debian 13 has them in /usr
version=${modules[0]##*/}
cp "$work/package/boot/vmlinuz-$version" "$work/kernel/vmlinuz"
cd "${modules[0]}"
tree=$work/kernel/modules/lib/modules/$version
mkdir "$tree"
# Names end in .ko or .ko.xz.
cp -r --parents -t "$tree" modules.* kernel/{crypto,lib,net,arch/x86/crypto,drivers/virtio,fs/ext4,fs/jbd2,fs/overlayfs} \
	kernel/fs/mbcache.* kernel/drivers/{block/virtio_*,char/virtio_*,char/hw_random/virtio*} \
	kernel/drivers/net/{bonding,ppp,wireguard,dummy.*,macvlan.*,slip,tun.*,veth.*,vrf.*}
depmod --basedir "$work/kernel/modules" "$version"

mkdir -p "$(dirname "$dir")"
rm -rf "$dir"
chmod 755 "$work/kernel"
mv "$work/kernel" "$dir"
