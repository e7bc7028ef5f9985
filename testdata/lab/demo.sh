#!/bin/bash
#
# demo.sh PROGRAM: sends real traffic through the lab's router, runs PROGRAM on
# it every 2 seconds and shows what it found. It fails if PROGRAM does, or does
# not see the traffic. Run it in namespaces.sh; its files are on the lab's /run.

set -euo pipefail
trap 'exit 130' INT TERM
PATH=$PATH:/usr/sbin:/sbin
program=$(realpath "$1")
prom=/run/demo/network_metrics.prom
samples=6 # 2 s apart

# Who moves what: client, direction as the client sees it, its address, bits per second.
plan='laptop  rx 192.168.10.100 20000000
phone   tx 192.168.10.101  5000000
phone   rx fd00:10::101    1000000
printer tx 192.168.10.102   100000'

say() { # replaces the line on a terminal
	if [[ -t 1 ]]; then printf '\r\e[Kdemo: %s' "$*"; else printf 'demo: %s\n' "$*"; fi
}
fail() {
	printf '\ndemo: failed: %s\n' "$*" >&2
	exit 1
}

say 'building a router, three clients and a server'
"$(dirname "$0")"/lab.sh
mkdir /run/demo

say 'starting traffic'
streams=() port=5200
while read -r client direction address bps; do
	port=$((port + 1))
	log=/run/demo/$client.$port.log
	if [[ $address == *:* ]]; then server=2001:db8::2; else server=203.0.113.2; fi
	if [[ $direction == rx ]]; then reverse=--reverse; else reverse=; fi
	ip netns exec server iperf3 --server --one-off --port $port >"$log" 2>&1 &
	until ip netns exec server ss -Htln "sport = :$port" | grep -q .; do sleep 0.02; done
	ip netns exec "$client" iperf3 --client $server --port $port --bitrate "$bps" --length 4K \
		--time $((2 * samples)) $reverse >>"$log" 2>&1 &
	streams+=("$! $log")
done <<<"$plan"

for ((i = 1; i <= samples; i++)); do
	timeout 10 "$program" --interface=br-lan --leases=/run/dnsmasq.leases \
		--output=$prom --state-dir=/run/demo/state || fail "$program"
	say "sample $i of $samples taken"
	((i == samples)) || sleep 2
done
table=$(timeout 10 "$program" show --state-dir=/run/demo/state) || fail "$program show"
say 'waiting for the traffic to end'
for stream in "${streams[@]}"; do
	read -r pid log <<<"$stream"
	wait "$pid" || fail "traffic: $(<"$log")"
done
say 'done'
[[ ! -t 1 ]] || echo

printf '\nWhat it shows:\n\n%s\n' "$table"

printf '\nThe first series of each metric in %s:\n\n' "${prom##*/}"
awk '/^# TYPE/ { getline; print }' $prom

echo
while read -r client direction address bps; do
	awk -v direction="direction=\"$direction\"" -v ip="ip=\"$address\"" -v bps="$bps" '
		/^client_traffic_rate_bps\{/ && index($0, direction) && index($0, ip) && $NF >= bps / 2 { seen = 1 }
		END { exit !seen }' $prom ||
		fail "$client ($address) moved $((bps / 1000)) kbit/s, but the program saw no $direction of even half of it"
done <<<"$plan"
echo "demo: $(grep -c '^[^#]' $prom) series from $samples samples; every stream was seen at its rate"
