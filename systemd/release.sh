#!/bin/bash
#
# release.sh VERSION DIR [ARCHITECTURE…]: puts an archive, a bill of materials and
# packages for Debian, Red Hat and Alpine, where these know the architecture, into
# DIR, and the checksums of all. From the same commit, or with the same
# SOURCE_DATE_EPOCH, it makes the same bytes, wherever and whenever.

set -euo pipefail
version=${1#v} dir=$(realpath -m "$2")
shift 2
(($#)) || set -- amd64 arm64 arm mips mipsle riscv64
cd "$(dirname "$0")/.."

# Older than anything that is built here: all files get this time.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
# Small routers have neither ARMv7 nor a floating-point unit.
export SOURCE_DATE_EPOCH GOARM=6 GOMIPS=softfloat
# Debian has dropped mips; Red Hat and Alpine never had mipsle.
declare -A formats=([amd64]="deb rpm apk" [arm64]="deb rpm apk" [arm]="deb rpm apk" [mipsle]=deb [riscv64]="deb rpm apk")

rm -rf "$dir"
mkdir -p "$dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# settle TREE: modes and times that do not depend on who builds it, and when.
settle() {
	find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
	chmod -R u=rwX,go=rX "$1"
}

cp systemd/package/* "$work"
cp systemd/network-metrics-exporter.env "$work/settings"
# The changelog of dpkg and rpm refers to the project's own.
awk '/^## [0-9]/ {
		print "- semver: " $2 "\n  date: " $NF "T00:00:00Z\n  packager: " maintainer
		print "  deb: { urgency: medium, distributions: [stable] }"
		print "  changes: [{ note: See /usr/share/doc/network-metrics-exporter/changelog.gz. }]"
	}' maintainer="$(sed -n 's/^maintainer: //p' systemd/package/nfpm.yaml)" CHANGELOG.md >"$work/changelog.yaml"
# The licences of what is linked into the program.
go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' . | sort -u |
	while read -r module release source; do
		printf '\n%s %s\n\n' "$module" "$release"
		cat "$source"/LICENSE* "$source"/NOTICE* 2>/dev/null || true
	done >"$work/libraries"
settle "$work"

# package ARCHITECTURE FORMAT: packs $work/root.
package() {
	local prerelease=${version#"${version%%-*}"}
	prerelease=${prerelease#-}
	# To Alpine _git is later than the release, and _alpha earlier.
	if [[ $2 == apk && $prerelease == git* ]]; then
		prerelease=alpha${prerelease#git} prerelease=${prerelease%%.*}
	fi
	(cd "$work" && ARCH=${1/%arm/arm6} VERSION=${version%%-*} PRERELEASE=$prerelease \
		go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2 package --packager="$2" --target="$dir" >/dev/null)
}

for arch; do
	name=network-metrics-exporter-$version-linux-$arch
	tree=$work/$name
	mkdir "$tree"
	GOARCH=$arch make --silent build VERSION="$version" OUTPUT="$tree/network-metrics-exporter"
	go version -m "$tree/network-metrics-exporter" | sed 1d >"$dir/$name.sbom.txt"
	cp -r CHANGELOG.md LICENSE README.md Makefile docs systemd grafana "$tree"
	cp "$work/libraries" "$tree/LICENSE.libraries"
	settle "$tree"
	tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
		--directory="$work" "$name" | gzip -9n >"$dir/$name.tar.gz"

	[[ -n ${formats[$arch]:-} ]] || continue
	root=$work/root doc=$work/root/usr/share/doc/network-metrics-exporter
	rm -rf "$root"
	make --silent --directory="$tree" install DESTDIR="$root" PREFIX=/usr
	rm -r "${root:?}/etc" # the settings are not only a file, see nfpm.yaml
	install -D -m 644 -t "$doc" README.md docs/*.md
	install -m 644 LICENSE "$doc/copyright"
	install -m 644 CHANGELOG.md "$doc/changelog"
	install -m 644 "$work/libraries" "$doc/libraries"
	gzip -9n "$doc/changelog" "$doc/libraries" "$root"/usr/share/man/man8/*.8
	settle "$root"
	for format in ${formats[$arch]}; do
		package "$arch" "$format"
	done
done
cd "$dir"
sha256sum -- * >SHA256SUMS
