#!/bin/sh
#
# Prints the version of this tree: that of its tag, v1.2.3 or v1.0.0-rc1; without
# one that of a commit on the way to the newest version of the changelog, as
# 1.2.3-git20261125.5d3dad0. The packages write a ~ for its -, so that no commit and
# no candidate outranks the release.

set -eu
cd "$(dirname "$0")/.."
newest=$(sed -n 's/^## \([0-9][^ ]*\).*/\1/p' CHANGELOG.md | head -n 1)
[ "$(git rev-parse --show-prefix 2>/dev/null || echo none)" = "" ] || {
	echo "$newest-unknown" # no repository, or somebody else's
	exit
}
changed=$(git status --porcelain --untracked-files=no)
if [ -z "$changed" ] && tag=$(git describe --exact-match --tags --match='v[0-9]*' 2>/dev/null); then
	echo "${tag#v}"
	exit
fi
# What comes after a release is on the way to the next one.
if git merge-base --is-ancestor "v$newest" HEAD 2>/dev/null; then
	newest=${newest%.*}.$((${newest##*.} + 1))
fi
TZ=UTC git log -1 --abbrev=7 --date=format-local:%Y%m%d --format="$newest-git%cd.%h${changed:++changed}"
