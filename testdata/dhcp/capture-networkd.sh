#!/bin/bash
#
# capture-networkd.sh: has systemd-networkd give leases to clients and prints the
# lease file that it wrote. Run it as root on a virtual machine that is thrown away
# after it, with systemd 256 or later, iproute2 and busybox udhcpc.

set -euo pipefail
cat >/etc/systemd/network/br-lan.netdev <<'NETDEV'
[NetDev]
Name=br-lan
Kind=bridge
NETDEV
cat >/etc/systemd/network/br-lan.network <<'NETWORK'
[Match]
Name=br-lan
[Network]
Address=192.168.77.1/24
DHCPServer=yes
ConfigureWithoutCarrier=yes
[DHCPServer]
PoolOffset=100
[DHCPServerStaticLease]
MACAddress=02:00:5e:10:00:03
Address=192.168.77.12
NETWORK
systemctl restart systemd-networkd
until ip address show br-lan 2>/dev/null | grep -q 192.168.77.1; do sleep 0.2; done
ip link set br-lan up
for i in 1 2 3 4; do
	ip netns add c$i
	ip link add lan$i type veth peer name eth0 address 02:00:5e:10:00:0$i netns c$i
	ip link set lan$i master br-lan up
	ip -n c$i link set eth0 up
done
until ip link show br-lan | grep -q 'state UP'; do sleep 0.2; done

ask() { # CLIENT OPTION...
	local client=$1
	shift
	ip netns exec "$client" udhcpc --interface eth0 --foreground --quit --now --timeout 2 --retries 10 \
		--script /bin/true "$@" >&2
}
ask c1 -x hostname:phone
ask c2 # without a name
ask c3 -x hostname:nas
ask c4 -C -x hostname:tablet # without a client identifier
systemctl --version >&2
ls -lR /var/lib/systemd/network /run/systemd/netif >&2
cat /var/lib/systemd/network/dhcp-server-lease/br-lan
