#!/bin/bash
#
# Has the clients of lan.sh ask dnsmasq for addresses, and tell their names.

set -euo pipefail
# shellcheck disable=SC2016  # the variables are udhcpc's
echo '#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route add default via "$router"' >/run/udhcpc.sh
chmod +x /run/udhcpc.sh
for client in laptop phone; do
	ip netns exec $client udhcpc --interface eth0 --foreground --quit --now --timeout 1 --retries 20 \
		--script /run/udhcpc.sh -x hostname:$client
done
