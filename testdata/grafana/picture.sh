#!/bin/bash
#
# picture.sh PROGRAM PNG: draws grafana/dashboard.png. It sends traffic through
# the lab's router for two minutes, runs PROGRAM every half second, lets a real
# node_exporter and Prometheus collect what it finds, and has picture.py draw the
# dashboard's main panels from that. Run it in namespaces.sh.

set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
here=$(realpath "$(dirname "$0")")
program=$(realpath "$1")
picture=$(realpath "$2")
seconds=120

"$here"/../lab/lab.sh
mkdir -p /run/textfile /run/data
cat >/run/prometheus.yml <<EOF_YML
global: {scrape_interval: 500ms}
scrape_configs: [{job_name: node, static_configs: [{targets: ['127.0.0.1:9100'], labels: {instance: router}}]}]
EOF_YML
ip link set lo up
prometheus-node-exporter --collector.disable-defaults --collector.textfile \
	--collector.textfile.directory=/run/textfile --web.listen-address=127.0.0.1:9100 >/run/node_exporter.log 2>&1 &
prometheus --config.file=/run/prometheus.yml --storage.tsdb.path=/run/data --query.lookback-delta=2s \
	--web.listen-address=127.0.0.1:9090 >/run/prometheus.log 2>&1 &

# stream CLIENT START SECONDS BITS FLAGS…: one of what people do.
port=5200
stream() {
	local client=$1 start=$2 length=$3 bits=$4
	port=$((port + 1))
	ip netns exec server iperf3 --server --one-off --port $port >/run/server.$port.log 2>&1 &
	(sleep "$start" && exec ip netns exec "$client" iperf3 --client 203.0.113.2 --port $port \
		--bitrate "$bits" --length 4K --time "$length" "${@:5}" >/run/client.$port.log 2>&1) &
}
stream laptop 5 200 4M --reverse  # a call
stream laptop 5 200 2500K         # its other direction
stream phone 2 200 300K --reverse # music
stream printer 60 4 2M --reverse  # a page
for burst in 8 18 28 38 48 58 68 78 88 98 108 118; do
	stream phone "$burst" 3 24M --reverse # a film, in chunks
done
stream laptop 45 25 45M --reverse # an update
stream laptop 85 12 18M           # a backup

end=$((SECONDS + seconds))
while ((SECONDS < end)); do
	timeout 10 "$program" --interval=0.5 --leases=/run/dnsmasq.leases --state-dir=/run/state \
		--output=/run/textfile/network_metrics.prom
	sleep 0.5
done
/usr/bin/python3 "$here"/picture.py http://127.0.0.1:9090 "$here"/../../grafana/dashboard.json "$seconds" "$picture"
