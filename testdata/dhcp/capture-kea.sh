#!/bin/bash
#
# capture-kea.sh DIR: has Kea's two DHCP servers give leases to four clients and
# leaves the lease files that they wrote in DIR: those of the servers themselves,
# and those beside them that kea-lfc made and works on. Run it in
# ../lab/namespaces.sh. It needs bash, busybox udhcpc, and Kea and ISC dhclient,
# which may be unpacked only:
#
#     apt-get download kea-common kea-dhcp4-server kea-dhcp6-server liblog4cplus-2.0.5 libmariadb3 isc-dhcp-client
#     for package in *.deb; do dpkg-deb --extract "$package" kea; done
#     KEA=kea ../lab/namespaces.sh ./capture-kea.sh .

set -euo pipefail
dir=$(realpath "$1")
kea=$(realpath "${KEA:-/}")
export PATH=$kea/usr/sbin:$kea/sbin:$PATH:/usr/sbin:/sbin
machine=$(uname -m)
export LD_LIBRARY_PATH=$kea/usr/lib/$machine-linux-gnu
export KEA_PIDFILE_DIR=/run KEA_LOCKFILE_DIR=/run KEA_LFC_EXECUTABLE=$kea/usr/sbin/kea-lfc

mount -t tmpfs tmpfs /run
(cd /proc/sys/net/ipv6/conf/default && echo 0 >accept_dad && echo 0 >router_solicitations)
ip link set lo up
ip link add br-lan type bridge mcast_snooping 0
ip address add 192.168.77.1/24 dev br-lan
ip address add 2001:db8:77::1/64 dev br-lan
for i in 1 2 3 4; do
	ip netns add c$i
	ip netns exec c$i sh -c 'cd /proc/sys/net/ipv6/conf/default && echo 0 >accept_dad && echo 0 >router_solicitations'
	ip link add lan$i type veth peer name eth0 address 02:00:5e:10:00:0$i netns c$i
	ip link set lan$i master br-lan up
	ip -n c$i link set eth0 up
done
ip link set br-lan up
until ip link show br-lan | grep -q 'state UP'; do sleep 0.1; done

cat >/run/4.conf <<EOF_4
{ "Dhcp4": {
	"interfaces-config": { "interfaces": [ "br-lan" ] },
	"lease-database": { "type": "memfile", "name": "/run/kea-leases4.csv", "lfc-interval": 4 },
	"valid-lifetime": 3600, "hostname-char-set": "", "ddns-send-updates": false,
	"expired-leases-processing": { "reclaim-timer-wait-time": 1, "hold-reclaimed-time": 3600 },
	"subnet4": [ { "id": 1, "subnet": "192.168.77.0/24", "pools": [ { "pool": "192.168.77.100-192.168.77.120" } ],
		"reservations": [ { "hw-address": "02:00:5e:10:00:03", "ip-address": "192.168.77.12", "hostname": "nas" } ] } ],
	"loggers": [ { "name": "kea-dhcp4", "output_options": [ { "output": "/run/4.log" } ], "severity": "INFO" } ]
} }
EOF_4
cat >/run/6.conf <<EOF_6
{ "Dhcp6": {
	"interfaces-config": { "interfaces": [ "br-lan" ] },
	"lease-database": { "type": "memfile", "name": "/run/kea-leases6.csv", "lfc-interval": 0 },
	"valid-lifetime": 3600, "server-id": { "type": "LL", "persist": false }, "ddns-send-updates": false,
	"data-directory": "/run",
	"subnet6": [ { "id": 1, "subnet": "2001:db8:77::/64", "interface": "br-lan",
		"pools": [ { "pool": "2001:db8:77::100-2001:db8:77::1ff" } ],
		"pd-pools": [ { "prefix": "2001:db8:7800::", "prefix-len": 48, "delegated-len": 56 } ] } ],
	"loggers": [ { "name": "kea-dhcp6", "output_options": [ { "output": "/run/6.log" } ], "severity": "INFO" } ]
} }
EOF_6
kea-dhcp4 -c /run/4.conf >/run/4.out 2>&1 &
kea-dhcp6 -c /run/6.conf >/run/6.out 2>&1 &
for n in 4 6; do
	for ((i = 0; ; i++)); do
		! grep -qs "DHCP${n}_STARTED" /run/$n.log || break
		((i < 100)) || { cat /run/$n.out /run/$n.log; exit 1; }
		sleep 0.1
	done
done

ask() { # CLIENT OPTION...: a lease for DHCPv4
	local client=$1
	shift
	ip netns exec "$client" udhcpc --interface eth0 --foreground --quit --now --timeout 1 --retries 5 \
		--script /bin/true "$@" || cat /run/4.log
}
ask6() { # CLIENT NAME OPTION...: a lease for DHCPv6
	local client=$1 name=$2
	shift 2
	echo "send fqdn.fqdn \"$name\"; send fqdn.server-update off; $DUID" >/run/"$client".conf
	ip netns exec "$client" dhclient -6 -1 -cf /run/"$client".conf -lf /run/"$client".leases -pf /run/"$client".pid \
		-sf /bin/true "$@" eth0
}
ask c1 -x hostname:phone
ask c2 -x hostname:'b&c küche'
ask c3 -x hostname:mine
ask c4 # without a name
DUID='' ask6 c1 phone. -D LLT
DUID='' ask6 c2 tablet. -D LL
DUID='' ask6 c3 router. -D LL -P
DUID='send dhcp6.client-id 00:02:00:00:13:0b:01:02;' ask6 c4 meter.
# Each time kea-dhcp4 puts its file aside it starts kea-lfc, which finds no
# libraries where Kea is unpacked only: so it is started once more.
rotated() {
	until [ -e /run/kea-leases4.csv.1 ]; do sleep 0.1; done
}
rotated
cd /run
kea-lfc -4 -x kea-leases4.csv.2 -i kea-leases4.csv.1 -o kea-leases4.csv.output -f kea-leases4.csv.completed -p lfc.pid -c none
# Later rows: another name, a lease given back, a name where there was none.
ask c1 -x hostname:phone-2
rotated
ip netns exec c2 timeout 1 udhcpc --interface eth0 --foreground --now --release --script /bin/true -x hostname:gone || true
ask c4 -x hostname:late
cp kea-leases* "$dir"
