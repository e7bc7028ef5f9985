#!/bin/bash
#
# fuzz.sh TIME: runs each fuzz target for TIME, on one processor each and as many at
# once as there are processors.

set -euo pipefail
export FUZZTIME=$1
fuzz() { # PACKAGE TARGET
	local log
	if log=$(go test -run='^$' -fuzz="^$2\$" -fuzztime="$FUZZTIME" -fuzzminimizetime=10x -parallel=1 "$1" 2>&1); then
		tail -n 1 <<<"$log"
	# Before Go 1.27 the end of its time may be taken for a target's failure
	# (https://go.dev/issue/75804); a real one has an input.
	elif grep -q '^    context deadline exceeded$' <<<"$log" && ! grep -q 'Failing input' <<<"$log"; then
		echo "ok  	$1"
	else
		printf '%s %s\n%s\n' "$1" "$2" "$log"
		return 1
	fi
}
export -f fuzz
for package in $(go list ./...); do
	go test -list='^Fuzz' "$package" | sed -n "s|^Fuzz.*|fuzz $package &|p"
done | xargs --max-procs="$(nproc)" --delimiter='\n' --max-args=1 bash -c
