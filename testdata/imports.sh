#!/bin/bash
#
# Checks that every package keeps to its room. Of our own packages, main imports
# all, sources/* and state/* import state, and state none; the sources that ask by
# netlink share its transport, and health judges what others found; each library is imported only where its job is done;
# nobody starts programs. Tests may import what they like.

set -euo pipefail
cd "$(dirname "$0")/.."

nobody='.* (C|os/exec)|(main|/sources/.*|/state|/state/(metrics|settings|table)) unsafe'
kernel='(github.com/(google/nftables|mdlayher/netlink|ti-mo/conntrack|ti-mo/netfilter)|golang.zx2c4.com/wireguard/wgctrl)'
allowed=(
	'.* [a-z0-9]+(/[a-z0-9]+)*' # the standard library

	'main /(sources|state)(/.*)?'
	'main github.com/prometheus/common/(promslog|version)'

	'/sources/.* /state'
	'/sources/(conntrack|health|neighbor|netlink/netlinktest|nftables) /sources/netlink'
	'/sources/health /sources/(dhcp|neighbor|nftables)'
	"/sources/.* $kernel(/.*)?"
	'/sources/.* golang.org/x/sys/unix'

	'/state/.* /state'
	'/state/(store|metrics) github.com/google/renameio/v2'
	'/state/store golang.org/x/sys/unix'
	'/state/store google.golang.org/protobuf/encoding/protowire'
	'/state/settings github.com/prometheus/common/(model|promslog|version)'
	'/state/table golang.org/x/text/width'
	'/state/metrics github.com/prometheus/(client_model/go|common/expfmt)'
)

# One "PACKAGE IMPORT" a line, our own as main, /state, /sources/dhcp.
imports=$(go list -f '{{range .Imports}}{{$.ImportPath}} {{.}}{{"\n"}}{{end}}' ./... |
	sed "s,^$(go list -m) ,main ,; s,$(go list -m)/,/,g; /^$/d")
patterns=$(printf '%s\n' "${allowed[@]}" | sed 's,\.com,\\.com,; s,\.org,\\.org,')
if grep -xE "$nobody" <<<"$imports" || grep -vxE "$patterns" <<<"$imports"; then
	echo 'imports.sh: the imports above (package, import) are against the rules' >&2
	exit 1
fi
