package systemd

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// steady is for how long traffic is to go on beside each firewall.
const steady = time.Minute

// A firewall is one that a router may have besides, as a script that switches it on and
// one that switches it off.
type firewall struct{ name, on, off string }

var (
	ufw = firewall{
		name: "ufw",
		on: `
			ufw default allow routed
			ufw --force enable`,
		off: `ufw --force disable`,
	}
	firewalld = firewall{
		name: "firewalld",
		on: `
			systemctl start firewalld
			firewall-cmd --quiet --zone=trusted --change-interface=br-lan
			firewall-cmd --quiet --zone=external --change-interface=wan`,
		off: `systemctl stop firewalld`,
	}
	// As dockerd has them, with the rule for the LAN that its manual tells of.
	docker = firewall{
		name: "Docker",
		on: `
			modprobe br_netfilter
			sysctl -q net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
			ip link add docker0 type bridge
			ip addr add 172.17.0.1/16 dev docker0
			ip link set docker0 up
			iptables-nft-restore <<-EOF_RULES
				*filter
				:FORWARD DROP
				:DOCKER -
				:DOCKER-USER -
				:DOCKER-ISOLATION-STAGE-1 -
				-A FORWARD -j DOCKER-USER
				-A FORWARD -j DOCKER-ISOLATION-STAGE-1
				-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
				-A FORWARD -o docker0 -j DOCKER
				-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
				-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
				-A DOCKER-USER -i br-lan -j ACCEPT
				-A DOCKER-USER -j RETURN
				-A DOCKER-ISOLATION-STAGE-1 -j RETURN
				COMMIT
				*nat
				:POSTROUTING ACCEPT
				-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
				COMMIT
			EOF_RULES`,
		off: `
			ip link del docker0
			sysctl -q net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0`,
	}
	// A table that is deleted and made anew, as nftables.service of NixOS does it.
	nixos = firewall{
		name: "NixOS",
		on: `
			cat >/run/nixos.nft <<-EOF_NFT
				table inet nixos-fw
				delete table inet nixos-fw
				table inet nixos-fw {
					chain forward {
						type filter hook forward priority filter; policy drop;
						ct state established,related accept
						iifname br-lan accept
					}
				}
			EOF_NFT
			nft -f /run/nixos.nft
			systemd-run --quiet --unit=nixos-fw sh -c 'while sleep 3; do nft -f /run/nixos.nft; done'`,
		off: `systemctl stop nixos-fw`,
	}
)

// besideFirewalls counts beside other firewalls, each second for more than a hundred
// ticks: every byte, without a word in the journal, and so that they are as they were
// when it is gone.
func besideFirewalls(t *testing.T, r *router, firewalls []firewall) {
	r.set(t, "UPDATE_INTERVAL=1")
	r.run(t, "systemctl", "daemon-reload")
	// What this router had is what its owner would have instead.
	r.run(t, "systemctl", "stop", timer, service, stop, "nftables")
	r.run(t, "network-metrics-exporter", "teardown")
	r.run(t, "ip", "netns", "exec", "laptop", "nft", `
		table inet count {
			counter tx { }
			counter rx { }
			chain output { type filter hook output priority filter; ip daddr 203.0.113.2 counter name tx; }
			chain input { type filter hook input priority filter; ip saddr 203.0.113.2 counter name rx; }
		}`)
	for _, firewall := range firewalls {
		t.Run(firewall.name, func(t *testing.T) {
			r.run(t, "sh", "-ec", firewall.on)
			theirs := r.ruleset(t)
			r.run(t, "systemctl", "start", timer)
			r.until(t, "there is a sample", func() bool { return r.lastRun(t) > 0 })
			r.samples(t, 1)

			before, truth := r.published(t), r.truth(t)
			// Nobody listens, so a part of it is answered.
			r.run(t, "systemd-run", "--quiet", "--unit=traffic", "ip", "netns", "exec", "laptop",
				"bash", "-c", `while printf %0500d 0 >/dev/udp/203.0.113.2/9 || true; do sleep 0.2; done`)
			time.Sleep(steady)
			r.run(t, "systemctl", "stop", "traffic")
			r.samples(t, 2)
			after := r.published(t)
			for key, bytes := range r.truth(t) {
				got, want := after[key]-before[key], bytes-truth[key]
				if got != want || want == 0 {
					t.Errorf("%s: counted %v bytes, want %v", key, got, want)
				}
			}
			r.says(t)

			r.run(t, "systemctl", "stop", timer, service, stop)
			r.run(t, "network-metrics-exporter", "teardown")
			if diff := cmp.Diff(theirs, r.ruleset(t)); diff != "" {
				t.Errorf("the ruleset before the first sample and after teardown (-want +got):\n%s", diff)
			}
			r.run(t, "sh", "-ec", firewall.off)
			r.run(t, "nft", "flush", "ruleset") // some leave their chains
		})
	}
	r.set(t)
	r.run(t, "systemctl", "daemon-reload")
	r.run(t, "systemctl", "start", "nftables", timer)
	r.samples(t, 1)
}

// ruleset gives what is in nftables, without counters.
func (r *router) ruleset(t *testing.T) string {
	t.Helper()
	return r.run(t, "nft", "--stateless", "list", "ruleset")
}

// truth is what the laptop itself counted, by the series that have to tell it.
func (r *router) truth(t *testing.T) map[string]float64 {
	t.Helper()
	text := r.onLaptop(t, "nft", "list", "counters")
	counted := make(map[string]float64)
	for _, match := range regexp.MustCompile(`counter (\w+) \{\s+packets \d+ bytes (\d+)`).FindAllStringSubmatch(text, -1) {
		bytes, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		counted[fmt.Sprintf(`client_traffic_bytes{client="laptop",direction=%q,ip="192.168.10.100"}`, match[1])] = bytes
	}
	if len(counted) != 2 {
		t.Fatalf("want two counters in:\n%s", text)
	}
	return counted
}
