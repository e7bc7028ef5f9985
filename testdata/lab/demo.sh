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

# The accounting rules, as its README tells the owner of a router to write them.
{
	printf '%s\n' 'table inet filter {' 'chain CLIENT_TRAFFIC {'
	while read -r _ _ address _; do
		if [[ $address == *:* ]]; then family=ip6; else family=ip; fi
		echo "$family saddr $address counter comment \"tx_$address\""
		echo "$family daddr $address counter comment \"rx_$address\""
	done <<<"$plan"
	printf '%s\n' '}' '}'
	echo 'insert rule inet filter forward jump CLIENT_TRAFFIC'
} | nft -f -

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
	timeout 10 "$program" --interface=br-lan --leases=/run/dnsmasq.leases --accounting=off \
		--output=$prom --state-dir=/run/demo/state || fail "$program"
	say "sample $i of $samples taken"
	((i == samples)) || sleep 2
done
say 'waiting for the traffic to end'
for stream in "${streams[@]}"; do
	read -r pid log <<<"$stream"
	wait "$pid" || fail "traffic: $(<"$log")"
done
say 'done'
[[ ! -t 1 ]] || echo

printf '\nWhat it found, a line for each client and address:\n\n'
awk '
	function label(name) {
		if (!match($0, "[{,]" name "=\"[^\"]*\"")) return ""
		return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4)
	}
	function scaled(value, unit) {
		if (value == "") return "-"
		if (value >= 1e6) return sprintf("%.1f M%s", value / 1e6, unit)
		return sprintf("%.1f k%s", value / 1e3, unit)
	}
	/^client_/ && label("ip") != "" {
		ip = label("ip")
		if (!(ip in name)) { name[ip] = label("client"); order[++n] = ip }
		metric = $0
		sub(/{.*/, "", metric)
		value[ip, metric, label("direction")] = $NF
	}
	END {
		line = "%-8s %-15s %12s %12s %9s %9s %12s  %s\n"
		printf line, "name", "address", "download", "upload", "received", "sent", "connections", "status"
		for (i = 1; i <= n; i++) {
			ip = order[i]
			printf line, name[ip], ip,
				scaled(value[ip, "client_traffic_rate_bps", "rx"], "bit/s"),
				scaled(value[ip, "client_traffic_rate_bps", "tx"], "bit/s"),
				scaled(value[ip, "client_traffic_bytes", "rx"], "B"),
				scaled(value[ip, "client_traffic_bytes", "tx"], "B"),
				value[ip, "client_active_connections", ""],
				value[ip, "client_status", ""] == 1 ? "online" : "offline"
		}
	}' $prom

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
