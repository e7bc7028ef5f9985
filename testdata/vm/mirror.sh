#!/bin/bash
#
# Prints the mirror of Debian that DEBIAN_MIRROR names, or else this machine's apt uses.

set -euo pipefail
# shellcheck disable=SC2016  # the variables are apt's
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
	awk '$1 == "Debian" && !mirror { mirror = $2 } END { print mirror }')}
if [[ -z $mirror ]]; then
	echo 'mirror.sh: apt knows no mirror of Debian: set DEBIAN_MIRROR, or run apt-get update' >&2
	exit 1
fi
echo "$mirror"
