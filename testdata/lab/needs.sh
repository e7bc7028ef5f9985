#!/bin/bash
#
# Gets the programs of the list in "packages", or those of them that are named,
# where they are missing: with apt-get, as root. Packages that would start
# a service are not installed: they are unpacked into .cache, which the Makefile
# has in its PATH.

set -euo pipefail
cd "$(dirname "$0")"
cache=../../.cache
PATH=$cache/usr/bin:$PATH:/usr/sbin:/sbin

install=() unpack=()
while read -r program package how; do
	if (($#)) && [[ " $* " != *" $program "* ]] || command -v "$program" >/dev/null; then
		continue
	elif [[ $how == unpack ]]; then
		unpack+=("$package")
	else
		install+=("$package")
	fi
done < <(grep -v '^#' packages)
missing=("${install[@]}" "${unpack[@]}")

if ((${#missing[@]} == 0)); then
	exit
elif ! command -v apt-get >/dev/null || ((EUID != 0)); then
	echo "needs.sh: missing ${missing[*]}: install these packages, or run make once as root of a Debian or Ubuntu" >&2
	exit 1
fi

echo "needs.sh: getting ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
apt-get -qq update || true # a source out of reach may not be one that we need
if ((${#install[@]})); then
	apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends "${install[@]}"
fi
if ((${#unpack[@]})); then
	mkdir -p "$cache/packages"
	(cd "$cache/packages" && apt-get -qq -o APT::Sandbox::User=root download "${unpack[@]}")
	for package in "$cache"/packages/*.deb; do
		dpkg-deb --extract "$package" "$cache"
	done
	rm -r "$cache/packages"
fi
