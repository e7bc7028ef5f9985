# shellcheck shell=bash
# Read by bash before the script of each test (kernels_test.go), in fresh network,
# mount and pid namespaces: functions to build networks with.

set -euo pipefail
mount -t tmpfs tmpfs /run

# IPv6 addresses are usable at once, and hosts ask for nothing by themselves.
quiet='cd /proc/sys/net/ipv6/conf/default; echo 0 >accept_dad; echo 0 >router_solicitations'
(eval "$quiet")
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding

# host NAME: makes a host, which is a network namespace.
host() {
	ip netns add "$1"
	ip netns exec "$1" sh -c "$quiet"
	ip -n "$1" link set lo up
}

# cable HOST PORT: connects eth0 of a host with a port of the router, which is up.
cable() {
	ip link add "$2" type veth peer name eth0 netns "$1"
	ip link set "$2" up
	ip -n "$1" link set eth0 up
}

# address HOST INTERFACE N: makes a host number 100 of the LAN N, behind the router.
address() {
	ip -n "$1" link set "$2" up
	ip -n "$1" addr add "192.168.$3.100/24" dev "$2"
	ip -n "$1" addr add "fd00:$3::100/64" dev "$2"
	ip -n "$1" route add default via "192.168.$3.1"
	ip -n "$1" route add default via "fd00:$3::1"
}

# lan INTERFACE N: has an interface of the router serve the LAN N.
lan() {
	ip link set "$1" up
	ip addr add "192.168.$2.1/24" dev "$1"
	ip addr add "fd00:$2::1/64" dev "$1"
}

# wan: connects the server of the Internet, at 203.0.113.2 and 2001:db8::2.
wan() {
	host server
	cable server wan
	ip addr add 203.0.113.1/24 dev wan
	ip addr add 2001:db8::1/64 dev wan
	ip -n server addr add 203.0.113.2/24 dev eth0
	ip -n server addr add 2001:db8::2/64 dev eth0
	ip -n server route add default via 203.0.113.1
	ip -n server route add default via 2001:db8::1
}
