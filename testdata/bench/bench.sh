#!/bin/bash
#
# Measures what runs of a program cost, in namespaces of its own:
#
#     bench.sh PROGRAM
#
# The largest size needs room for a million flows, a limit of the whole machine
# that only root may raise. It is put back, however this ends.

set -euo pipefail
cd "$(dirname "$0")/../.."

limit=/proc/sys/net/netfilter/nf_conntrack_max
want=1100000
modprobe -q nf_conntrack_netlink 2>/dev/null || true
if [[ -w $limit ]]; then
	was=$(<"$limit")
	if ((was < want)); then
		trap 'echo "$was" >"$limit"' EXIT
		echo "$want" >"$limit"
	fi
fi

# As network-metrics-exporter.service has it; whatever is started from here inherits it.
echo 2000000 >/proc/$$/timerslack_ns

go build -o .cache/bench ./testdata/bench
testdata/lab/namespaces.sh .cache/bench "$@"
