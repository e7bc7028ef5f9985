#!/bin/bash
#
# capture-isc.sh DIR: has ISC's dhcpd give leases to clients over IPv4 and IPv6 and
# leaves the lease files that it wrote in DIR. Run it in ../lab/namespaces.sh. It
# needs bash, busybox udhcpc, and ISC's dhcpd and dhclient, which may be unpacked
# only:
#
#     apt-get download isc-dhcp-server isc-dhcp-client
#     for package in *.deb; do dpkg-deb --extract "$package" isc; done
#     ISC=isc ../lab/namespaces.sh ./capture-isc.sh .

set -euo pipefail
dir=$(realpath "$1")
isc=$(realpath "${ISC:-/}")
export PATH=$isc/usr/sbin:$isc/sbin:$PATH:/usr/sbin:/sbin

mount -t tmpfs tmpfs /run
(cd /proc/sys/net/ipv6/conf/default && echo 0 >accept_dad && echo 0 >router_solicitations)
ip link set lo up
ip link add br-lan type bridge mcast_snooping 0
ip address add 192.168.77.1/24 dev br-lan
ip address add 2001:db8:77::1/64 dev br-lan
for i in 1 2 3 4 5; do
	ip netns add c$i
	ip netns exec c$i sh -c 'cd /proc/sys/net/ipv6/conf/default && echo 0 >accept_dad && echo 0 >router_solicitations'
	ip link add lan$i type veth peer name eth0 address 02:00:5e:10:00:0$i netns c$i
	ip link set lan$i master br-lan up
	ip -n c$i link set eth0 up
done
ip link set br-lan up
until ip link show br-lan | grep -q 'state UP'; do sleep 0.1; done

cat >/run/4.conf <<'EOF_4'
default-lease-time 3600;
subnet 192.168.77.0 netmask 255.255.255.0 {
	range 192.168.77.100 192.168.77.120;
	# A lease that ends while this script runs.
	if option host-name = "brief" { default-lease-time 2; max-lease-time 2; min-lease-time 2; }
	on expiry { log(info, "ended"); }
}
EOF_4
cat >/run/6.conf <<'EOF_6'
default-lease-time 3600;
subnet6 2001:db8:77::/64 {
	range6 2001:db8:77::100 2001:db8:77::1ff;
	prefix6 2001:db8:7800:: 2001:db8:7800:ff00:: /56;
}
EOF_6
touch /run/dhcpd.leases /run/dhcpd6.leases
dhcpd -4 -f -q -cf /run/4.conf -lf /run/dhcpd.leases --no-pid br-lan 2>/run/4.log &
dhcpd -6 -f -q -cf /run/6.conf -lf /run/dhcpd6.leases --no-pid br-lan 2>/run/6.log &
sleep 1
if ! kill -0 %1 || ! kill -0 %2; then
	cat /run/4.log /run/6.log
	exit 1
fi

ask() { # CLIENT OPTION...: a lease for DHCPv4
	local client=$1
	shift
	ip netns exec "$client" udhcpc --interface eth0 --foreground --quit --now --timeout 2 --retries 5 \
		--script /bin/true "$@" || { cat /run/4.log; exit 1; }
}
ask6() { # CLIENT NAME OPTION...: a lease for DHCPv6
	local client=$1 name=$2
	shift 2
	echo "send fqdn.fqdn \"$name\"; send fqdn.server-update off;" >/run/"$client".conf
	ip netns exec "$client" dhclient -6 -1 -cf /run/"$client".conf -lf /run/"$client".leases -pf /run/"$client".pid \
		-sf /bin/true "$@" eth0 || { cat /run/6.log; exit 1; }
}
ask c1 -x hostname:phone
ask c2 -x hostname:'b&c küche' # which dhcpd cuts
ask c3 -x hostname:brief
ask c4 # without a name
ask c5 -x hostname:gone
ask6 c1 phone. -D LLT
ask6 c2 tablet. -D LL
ask6 c3 router. -D LL -P
# Later entries: another name, a lease given back, one that has ended.
ask c1 -x hostname:phone-2
ip netns exec c5 timeout 3 udhcpc --interface eth0 --foreground --now --release --script /bin/true -x hostname:gone || true
sleep 5
cp /run/dhcpd.leases /run/dhcpd6.leases "$dir"
