#!/bin/bash
#
# Turns the namespaces it is run in into a home router with clients:
#
#     laptop   192.168.10.100  fd00:10::100 ─┐
#     phone    192.168.10.101  fd00:10::101 ─┼─ br-lan [this namespace] wan ─── server 203.0.113.2
#     printer  192.168.10.102  fd00:10::102 ─┘  192.168.10.1     203.0.113.1           2001:db8::2
#                                               fd00:10::1       2001:db8::1
#
# Run it in fresh network, mount and pid namespaces, as namespaces.sh makes them:
# it mounts a tmpfs on /run, and its dnsmasq ends with the pid namespace. Hosts
# are network namespaces of these names: ip netns exec laptop …
#
# LEASES, in the environment, is where dnsmasq keeps its leases.

set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
leases=${LEASES:-/run/dnsmasq.leases}
clients=(laptop phone printer)

# Never on the machine itself: whoever made us a pid namespace made the others
# too (NSpid has a number for each level), and a fresh network has no links up.
if [[ ! $(</proc/self/status) =~ NSpid:([[:space:]][0-9]+){2} ]] || ip -o link show up | grep -qv ': lo:'; then
	echo 'lab.sh: refused: expected fresh namespaces, as namespaces.sh makes them' >&2
	exit 1
fi

mount -t tmpfs tmpfs /run

# IPv6 addresses are usable at once, and hosts ask for nothing by themselves.
# /proc/sys/net is that of the network namespace it is read in.
quiet='cd /proc/sys/net/ipv6/conf/default; echo 0 >accept_dad; echo 0 >router_solicitations'
(eval "$quiet")
for host in "${clients[@]}" server; do
	ip netns add "$host"
	ip netns exec "$host" sh -c "$quiet"
done

# Where br_netfilter is loaded, what is merely bridged would pass the forward chain.
for call in /proc/sys/net/bridge/bridge-nf-call-*; do
	[ ! -e "$call" ] || echo 0 >"$call"
done

# mcast_snooping 0: the bridge sends no queries of its own.
ip -batch - <<'EOF_IP'
link set lo up
link add br-lan type bridge mcast_snooping 0
addr add 192.168.10.1/24 dev br-lan
addr add fd00:10::1/64 dev br-lan
link add lan-laptop  type veth peer name eth0 address 02:00:00:00:00:01 netns laptop
link add lan-phone   type veth peer name eth0 address 02:00:00:00:00:02 netns phone
link add lan-printer type veth peer name eth0 address 02:00:00:00:00:03 netns printer
link set lan-laptop  master br-lan up
link set lan-phone   master br-lan up
link set lan-printer master br-lan up
link set br-lan up
link add wan type veth peer name eth0 address 02:00:00:00:00:ff netns server
addr add 203.0.113.1/24 dev wan
addr add 2001:db8::1/64 dev wan
link set wan up
EOF_IP

for i in "${!clients[@]}"; do
	ip -n "${clients[i]}" -batch - <<-EOF_IP
		link set lo up
		link set eth0 up
		addr add fd00:10::10$i/64 dev eth0
		route add default via fd00:10::1
	EOF_IP
done

ip -n server -batch - <<'EOF_IP'
link set lo up
link set eth0 up
addr add 203.0.113.2/24 dev eth0
addr add 2001:db8::2/64 dev eth0
route add default via 203.0.113.1
route add default via 2001:db8::1
EOF_IP

echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding

# Addresses are reserved by MAC; the names are what the clients call themselves.
# --no-daemon: a daemon would drop its groups, which a user namespace forbids.
dnsmasq --no-daemon --conf-file=/dev/null --port=0 --interface=br-lan --bind-interfaces \
	--no-ping --dhcp-authoritative --dhcp-leasefile="$leases" \
	--dhcp-range=192.168.10.100,192.168.10.199,12h \
	--dhcp-host=02:00:00:00:00:01,192.168.10.100 \
	--dhcp-host=02:00:00:00:00:02,192.168.10.101 \
	--dhcp-host=02:00:00:00:00:03,192.168.10.102 >/run/dnsmasq.log 2>&1 &
dnsmasq=$!
until grep -qs 'DHCP, IP range' /run/dnsmasq.log; do
	kill -0 "$dnsmasq" || { cat /run/dnsmasq.log; exit 1; } >&2
	sleep 0.01
done

# shellcheck disable=SC2016  # the variables are udhcpc's
echo '#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route add default via "$router"' >/run/udhcpc.sh
chmod +x /run/udhcpc.sh

for client in "${clients[@]}"; do
	ip netns exec "$client" udhcpc --interface eth0 --foreground --quit --now --timeout 1 --retries 5 \
		--script /run/udhcpc.sh -x hostname:"$client" >/run/udhcpc.log 2>&1 ||
		{ cat /run/udhcpc.log /run/dnsmasq.log; exit 1; } >&2
done

# Last, so that DHCP has left no tracked flows: connection tracking begins with these rules.
nft -f - <<'EOF_NFT'
table inet filter {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		iifname "br-lan" accept
	}
}
table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "wan" masquerade
	}
}
EOF_NFT
