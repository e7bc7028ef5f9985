#!/bin/bash
#
# Checks that every package keeps to its room. Of our own packages, main imports
# all, sources/* and state/* import state, and state none; each library is
# imported only where its job is done; nobody starts programs. Tests may import
# what they like.

set -euo pipefail
cd "$(dirname "$0")/.."

nobody='.* (C|os/exec|unsafe)'
kernel='(github.com/(google/nftables|jsimonetti/rtnetlink/v2|mdlayher/netlink|ti-mo/conntrack|ti-mo/netfilter)|golang.zx2c4.com/wireguard/wgctrl)'
allowed=(
	'.* [a-z0-9]+(/[a-z0-9]+)*' # the standard library

	'main /(sources|state)(/.*)?'
	'main github.com/(alecthomas/kingpin/v2|prometheus/common/(model|promslog(/flag)?|version))'
	'main golang.org/x/sys/unix'

	'/sources/.* /state'
	"/sources/.* $kernel(/.*)?"
	'/sources/.* golang.org/x/sys/unix'

	'/state/.* /state'
	'/state/(store|metrics) github.com/google/renameio/v2'
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
