#!/bin/bash
#
# The network of a router whose system is a Debian (debian_test.go), made at each boot:
#
#     laptop  192.168.10.100  fd00:10::100 ─┬─ br-lan [Debian] wan ─── server 203.0.113.2
#     phone   192.168.10.101  fd00:10::101 ─┘                                 2001:db8::2
#
# Hosts are network namespaces of these names: ip netns exec laptop …

set -euo pipefail

# Hosts' IPv6 addresses are usable at once, and they ask for nothing by themselves.
quiet='cd /proc/sys/net/ipv6/conf/default; echo 0 >accept_dad; echo 0 >router_solicitations'
(eval "$quiet")
for host in laptop phone server; do
	ip netns add $host
	ip netns exec $host sh -c "$quiet"
	ip -n $host link set lo up
done
ip -batch - <<'EOF_IP'
link add br-lan type bridge mcast_snooping 0
addr add 192.168.10.1/24 dev br-lan
addr add fd00:10::1/64 dev br-lan
link add lan-laptop type veth peer name eth0 address 02:00:00:00:00:01 netns laptop
link add lan-phone type veth peer name eth0 address 02:00:00:00:00:02 netns phone
link set lan-laptop master br-lan up
link set lan-phone master br-lan up
link set br-lan up
link add wan type veth peer name eth0 netns server
addr add 203.0.113.1/24 dev wan
addr add 2001:db8::1/64 dev wan
link set wan up
EOF_IP
for host in laptop:0 phone:1; do
	ip -n ${host%:*} link set eth0 up
	ip -n ${host%:*} addr add fd00:10::10${host#*:}/64 dev eth0
	ip -n ${host%:*} route add default via fd00:10::1
done
ip -n server -batch - <<'EOF_IP'
link set eth0 up
addr add 203.0.113.2/24 dev eth0
addr add 2001:db8::2/64 dev eth0
route add default via 203.0.113.1
route add default via 2001:db8::1
EOF_IP
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
