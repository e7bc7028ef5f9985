#!/bin/sh
# Captures flows.bin, the answer to a dump, and flows.txt, the same for people:
# run as any user with `unshare -rnm sh capture.sh`.
# A client (192.168.10.100) and a server (203.0.113.2) stand on either side of a
# router that masquerades and forwards port 8080 to the client. Needs iproute2,
# nftables, conntrack and python3.
set -eu
mount -t tmpfs none /run && mkdir /run/netns
ip netns add client
ip netns add server
ip link add lan type veth peer name eth0 netns client
ip link add wan type veth peer name eth0 netns server
ip link set lo up
ip link set lan up
ip link set wan up
ip addr add 192.168.10.1/24 dev lan
ip addr add fd00:10::1/64 dev lan nodad
ip addr add 203.0.113.1/24 dev wan
ip addr add 2001:db8::1/64 dev wan nodad
in_client() { ip netns exec client "$@"; }
in_server() { ip netns exec server "$@"; }
in_client ip addr add 192.168.10.100/24 dev eth0
in_client ip addr add fd00:10::100/64 dev eth0 nodad
in_client ip link set eth0 up
in_client ip route add default via 192.168.10.1
in_client ip route add default via fd00:10::1
in_server ip addr add 203.0.113.2/24 dev eth0
in_server ip addr add 2001:db8::2/64 dev eth0 nodad
in_server ip link set eth0 up
in_server ip route add fd00:10::/64 via 2001:db8::1
in_client sh -c 'echo 0 0 >/proc/sys/net/ipv4/ping_group_range'
for switch in ipv4/ip_forward ipv6/conf/all/forwarding \
	netfilter/nf_conntrack_acct netfilter/nf_conntrack_timestamp; do
	echo 1 >/proc/sys/net/$switch
done
nft -f - <<'NFT'
table inet capture {
	ct helper ftp { type "ftp" protocol tcp; }
	chain prerouting { type nat hook prerouting priority -100; iifname "wan" tcp dport 8080 dnat ip to 192.168.10.100:80; }
	chain postrouting { type nat hook postrouting priority 100; oifname "wan" ip saddr 192.168.10.0/24 masquerade; }
	chain forward {
		type filter hook forward priority 0
		udp dport 9000 ct mark set 7
		tcp dport 21 ct helper set "ftp"
	}
}
NFT
cat >/run/peer.py <<'PY'
import socket, sys, time
def serve(family, kind, port):
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", port))
    if kind == socket.SOCK_STREAM: s.listen()
    return s
def talk(host, port, kind=socket.SOCK_STREAM):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family, kind)
    s.connect((host, port))
    for _ in range(5): s.send(b"x"); time.sleep(.05)
    return s
if sys.argv[1] == "server":
    keep = [serve(socket.AF_INET6, socket.SOCK_STREAM, p) for p in (9000, 21)]
    keep += [serve(socket.AF_INET6, socket.SOCK_DGRAM, 9000)]
    time.sleep(1.5)
    keep += [talk("203.0.113.1", 8080)]            # DNAT
else:
    keep = [serve(socket.AF_INET, socket.SOCK_STREAM, 80)]
    # Echo requests: the kernel fills in identifier and checksum.
    keep += [socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP),
             socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)]
    keep[-2].sendto(bytes([8, 0, 0, 0, 0, 0, 0, 1]), ("203.0.113.2", 0))
    keep[-1].sendto(bytes([128, 0, 0, 0, 0, 0, 0, 1]), ("2001:db8::2", 0))
    for host in "203.0.113.2", "2001:db8::2":      # masqueraded, and not
        keep += [talk(host, 9000), talk(host, 21), talk(host, 9000, socket.SOCK_DGRAM)]
        talk(host, 9000).close()                   # CLOSE_WAIT
time.sleep(6)
PY
in_server python3 /run/peer.py server &
sleep .5
in_client python3 /run/peer.py client &
sleep 4
# What takes a peer that is not at hand.
conntrack -I -p tcp -s 192.168.10.101 -d 203.0.113.2 --sport 1 --dport 2 --state TIME_WAIT -t 60 >/dev/null
conntrack -I -p sctp --orig-vtag 1 --reply-vtag 2 -s 192.168.10.101 -d 203.0.113.2 --sport 1 --dport 2 --state ESTABLISHED -t 60 >/dev/null
conntrack -I -p gre -s 192.168.10.101 -d 203.0.113.2 --srckey 1 --dstkey 2 -t 60 >/dev/null
conntrack -I -p udp -s 192.168.10.101 -d 203.0.113.2 --sport 1 --dport 2 -w 5 -m 9 -t 60 >/dev/null
conntrack -I -p tcp -s 192.168.10.101 -d 203.0.113.2 --sport 3 --dport 4 --state CLOSE -t 60 >/dev/null
conntrack -L -o id >flows.txt
python3 - >flows.bin <<'PY'
import socket, struct, sys
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.send(struct.pack("=IHHIIBBH", 20, 0x101, 0x301, 1, 0, 0, 0, 0))
while True:
    b = s.recv(65536)
    sys.stdout.buffer.write(b)
    if struct.unpack_from("=H", b, len(b) - 16)[0] == 3: break
PY
