#!/bin/bash
#
# fuzz.sh TIME: runs each fuzz target for TIME, on one processor each and as many at
# once as there are processors.

set -euo pipefail
export FUZZTIME=$1
fuzz() { # PACKAGE TARGET
	echo "$1 $2"
	go test -run='^$' -fuzz="^$2\$" -fuzztime="$FUZZTIME" -fuzzminimizetime=10x -parallel=1 "$1"
}
export -f fuzz
for package in $(go list ./...); do
	go test -list='^Fuzz' "$package" | sed -n "s|^Fuzz.*|fuzz $package &|p"
done | xargs --max-procs="$(nproc)" --delimiter='\n' --max-args=1 bash -c
