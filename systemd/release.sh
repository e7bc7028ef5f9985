#!/bin/bash
#
# release.sh VERSION DIR [ARCHITECTURE…]: puts an archive, a bill of materials and,
# where Debian knows the architecture, a package into DIR, and the checksums of all.
# From the same commit, or with the same SOURCE_DATE_EPOCH, it makes the same bytes,
# wherever and whenever.

set -euo pipefail
version=${1#v} dir=$(realpath -m "$2")
shift 2
(($#)) || set -- amd64 arm64 arm mips mipsle riscv64
cd "$(dirname "$0")/.."

# Older than anything that is built here: dpkg-deb and tar set all times to it.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
# Small routers have neither ARMv7 nor a floating-point unit.
export SOURCE_DATE_EPOCH GOARM=6 GOMIPS=softfloat
declare -A debian=([amd64]=amd64 [arm64]=arm64 [arm]=armhf [mipsle]=mipsel [riscv64]=riscv64)

rm -rf "$dir"
mkdir -p "$dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for arch; do
	name=network-metrics-exporter-$version-linux-$arch
	tree=$work/$name
	mkdir "$tree"
	GOARCH=$arch make --silent build VERSION="$version" OUTPUT="$tree/network-metrics-exporter"
	go version -m "$tree/network-metrics-exporter" | sed 1d >"$dir/$name.sbom.txt"
	cp -r CHANGELOG.md LICENSE README.md Makefile systemd grafana "$tree"
	find "$tree" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --date="@$SOURCE_DATE_EPOCH" {} +
	chmod -R u=rwX,go=rX "$tree"
	tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
		--directory="$work" "$name" | gzip -9n >"$dir/$name.tar.gz"

	[[ -n ${debian[$arch]:-} ]] || continue
	package=$work/$name.deb
	make --silent --directory="$tree" install DESTDIR="$package" PREFIX=/usr
	install -D -m 644 -t "$package/usr/share/doc/network-metrics-exporter" CHANGELOG.md README.md
	install -m 644 LICENSE "$package/usr/share/doc/network-metrics-exporter/copyright"
	mkdir "$package/DEBIAN"
	install -t "$package/DEBIAN" systemd/debian/{postinst,prerm,postrm}
	echo /etc/default/network-metrics-exporter >"$package/DEBIAN/conffiles"
	# A package's version begins with a digit.
	sed -e "s/@VERSION@/$(sed 's/^[^0-9]/0~&/; s/-/+/g' <<<"$version")/" -e "s/@ARCHITECTURE@/${debian[$arch]}/" \
		systemd/debian/control >"$package/DEBIAN/control"
	find "$package" -type d -exec chmod 755 {} +
	dpkg-deb --root-owner-group -Zgzip --build "$package" "$dir/network-metrics-exporter_${version}_${debian[$arch]}.deb" >/dev/null
done
cd "$dir"
sha256sum -- * >SHA256SUMS
