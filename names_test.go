package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/testdata/lab"
)

// neighbours is a LAN and a container bridge with nobody on them. Entries stay as
// they are put: those that are REACHABLE, DELAY or PROBE wait for longer than a
// test takes, and a new one was confirmed 20 minutes ago.
const neighbours = `
ip link add br-lan address 00:00:5e:00:53:ff type bridge
ip link add docker0 type bridge
for neigh in /proc/sys/net/ipv4/neigh/br-lan /proc/sys/net/ipv6/neigh/br-lan; do
	echo 600000 >$neigh/base_reachable_time_ms
	echo 3600 >$neigh/delay_first_probe_time
	echo 600000 >$neigh/retrans_time_ms
done
ip address add 192.168.10.1/24 dev br-lan
ip address add 10.9.0.1/24 dev br-lan
ip address add fd00:10::1/64 dev br-lan nodad
ip address add 172.17.0.1/16 dev docker0
ip link set br-lan up
ip link set docker0 up
`

// a nameRun is one run of the program, what is there to be read, and what is
// published.
type nameRun struct {
	sh            string // commands, run before
	leases, hosts string
	cache         string // written before, if it is not empty
	flags         []string
	log           string // part of the one line that is said
	want          series
	wantCache     string // if it is not empty
}

// TestNamesAndPresence is the table of who is who and who is there: each case
// begins with nothing known and no neighbours.
func TestNamesAndPresence(t *testing.T) {
	t.Parallel()
	// info is the client_info series of an address of br-lan.
	info := func(ip, client, mac, source, scope string) string {
		return `client_info{ip="` + ip + `",client="` + client + `",mac="` + mac + `",interface="br-lan",source="` + source + `",mac_scope="` + scope + `",device="` + mac + `"}`
	}
	const (
		a4, a6, aMAC  = "192.168.10.50", "fd00:10::50", "00:00:5e:00:53:0a"
		b4, bMAC      = "192.168.10.51", "02:00:5e:00:53:0b"
		addA          = "ip neigh replace " + a4 + " dev br-lan lladdr " + aMAC + " nud "
		addA6         = "ip neigh replace " + a6 + " dev br-lan lladdr " + aMAC + " nud reachable\n"
		addB          = "ip neigh replace " + b4 + " dev br-lan lladdr " + bMAC + " nud "
		bAtA          = "ip neigh replace " + a4 + " dev br-lan lladdr " + bMAC + " nud reachable\n"
		aReachable    = addA + "reachable\n"
		leaseA        = "1795421785 " + aMAC + " " + a4 + " anna *\n"
		status        = `client_status{ip="` + a4 + `",client="unknown"}`
		statusA       = `client_status{ip="` + a4 + `",client="anna"}`
		known, online = "network_clients_known", "network_clients_online"
		kea           = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n"
		keaA          = a4 + "," + aMAC + ",,3600,1795386908,1,0,0,"
	)
	lease := func(name string) string { return strings.Replace(leaseA, "anna", name, 1) }
	for _, test := range []struct {
		name string
		runs []nameRun
	}{
		{"nobody names it", []nameRun{{sh: aReachable, want: series{
			info(a4, "unknown", aMAC, "none", "universal"): 1, status: 1, known: 1, online: 1}}}},
		{"a lease names all addresses of a device", []nameRun{{sh: aReachable + addA6, leases: leaseA, want: series{
			info(a4, "anna", aMAC, "dhcp", "universal"): 1, info(a6, "anna", aMAC, "dhcp", "universal"): 1, known: 2, online: 2},
			wantCache: a4 + "|anna|" + aMAC + "|dhcp\n"}}},
		{"a randomised MAC", []nameRun{{sh: addB + "reachable", leases: "0 " + bMAC + " " + b4 + " * *\n", want: series{
			info(b4, "unknown", bMAC, "none", "local"): 1}}}},
		{"a name outlives its lease", []nameRun{
			{sh: aReachable, leases: leaseA, want: series{statusA: 1}},
			{sh: addA6, want: series{info(a4, "anna", aMAC, "cache", "universal"): 1, info(a6, "anna", aMAC, "cache", "universal"): 1, statusA: 1, known: 2}},
		}},
		{"a lease that says otherwise", []nameRun{
			{sh: aReachable, leases: leaseA, want: series{statusA: 1}},
			{leases: lease("berta"), want: series{info(a4, "berta", aMAC, "dhcp", "universal"): 1, statusA: none, known: 1},
				wantCache: a4 + "|berta|" + aMAC + "|dhcp\n"},
			{want: series{info(a4, "berta", aMAC, "cache", "universal"): 1, statusA: none}},
		}},
		{"a static name wins", []nameRun{
			{sh: aReachable, leases: leaseA, want: series{statusA: 1}},
			{leases: leaseA, hosts: a4 + " printer alias # mine\n", want: series{info(a4, "printer", aMAC, "hosts", "universal"): 1, statusA: none, known: 1}},
		}},
		{"several files of static names", []nameRun{{sh: "mount -t tmpfs tmpfs /run; printf '%s\n' 'dhcp-host=" + aMAC + ",scanner' '" + b4 + " second' >/run/more-hosts\n" + aReachable + addB + "reachable",
			hosts: b4 + " first\n", flags: []string{"--hosts=/run/more-hosts"}, want: series{
				info(a4, "scanner", aMAC, "hosts", "universal"): 1, info(b4, "first", bMAC, "hosts", "local"): 1}}}},
		{"an address passes to another device", []nameRun{
			{sh: aReachable, leases: leaseA, want: series{statusA: 1}},
			// Another device may answer for the one that has the lease.
			{sh: bAtA, leases: leaseA, want: series{strings.Replace(info(a4, "anna", bMAC, "dhcp", "local"), `device="`+bMAC, `device="`+aMAC, 1): 1, statusA: 1}},
			{sh: bAtA, leases: "0 " + bMAC + " " + a4 + " bob *\n", want: series{info(a4, "bob", bMAC, "dhcp", "local"): 1, status: none}},
			{sh: bAtA + "ip neigh replace 192.168.10.60 dev br-lan lladdr " + aMAC + " nud reachable", want: series{
				info(a4, "bob", bMAC, "cache", "local"): 1, info("192.168.10.60", "anna", aMAC, "cache", "universal"): 1}},
		}},
		{"the original's cache", []nameRun{
			{sh: aReachable, cache: a4 + "|old-anna\n", want: series{info(a4, "old-anna", aMAC, "cache", "universal"): 1},
				wantCache: a4 + "|old-anna\n"}, // which belongs to the address
			{sh: bAtA, want: series{info(a4, "old-anna", bMAC, "cache", "local"): 1}, wantCache: a4 + "|old-anna\n"},
		}},
		{"a cache with lines that cannot be read", []nameRun{
			{sh: aReachable, cache: "nonsense\n" + a4 + "|anna|" + aMAC + "|dhcp\n192.168.10|x\n", log: "line 1 and 1 more", want: series{statusA: 1},
				wantCache: a4 + "|anna|" + aMAC + "|dhcp\n"},
			{want: series{statusA: 1}}, // in silence
		}},
		{"hostile names", []nameRun{
			{sh: aReachable + addB + "reachable", leases: "0 " + aMAC + " " + a4 + " a|b\"\\\x01\xff\u202e *\n0 " + bMAC + " " + b4 + " " + strings.Repeat("x", 300) + " *\n",
				want: series{info(a4, "a_b_____", aMAC, "dhcp", "universal"): 1, info(b4, strings.Repeat("x", 255), bMAC, "dhcp", "local"): 1}},
			{want: series{info(a4, "a_b_____", aMAC, "cache", "universal"): 1, info(b4, strings.Repeat("x", 255), bMAC, "cache", "local"): 1}},
		}},
		{"Kea", []nameRun{
			{sh: aReachable, leases: kea + keaA + "old,0,\n" + keaA + "anna&#x2c,0,\n", want: series{info(a4, "anna,", aMAC, "dhcp", "universal"): 1}},
			{leases: kea + keaA + "anna,0,\n", want: series{info(a4, "anna", aMAC, "dhcp", "universal"): 1}},
			{leases: kea + keaA + "anna,0,\n" + keaA + "liar,1,\n", want: series{info(a4, "anna", aMAC, "cache", "universal"): 1}},
		}},
		{"Kea for IPv6", []nameRun{{sh: addA6, leases: "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source\n" +
			a6 + ",00:03:00:01:00:00:5e:00:53:99,3600,1795386900,1,3600,0,1,128,0,0,anna.,00:00:5e:00:53:99,0,,1,2\n",
			want: series{info(a6, "anna", aMAC, "dhcp", "universal"): 1}}}},
		{"leases that end in the middle", []nameRun{{sh: aReachable, leases: leaseA + leaseA[:20], want: series{statusA: 1}}}},

		{"delay", []nameRun{{sh: addA + "delay", want: series{status: 1}}}},
		{"probe", []nameRun{{sh: addA + "probe", want: series{status: 1}}}},
		{"permanent", []nameRun{{sh: addA + "permanent", want: series{status: 1}}}},
		{"failed", []nameRun{{sh: aReachable, want: series{status: 1}}, {sh: addA + "failed", want: series{status: 0, known: 1, online: 0}}}},
		{"failed from the start", []nameRun{{sh: "ip neigh add " + a4 + " dev br-lan nud failed", want: series{known: 0}}}},
		{"incomplete", []nameRun{{sh: "ip neigh add " + a4 + " dev br-lan nud incomplete", want: series{known: 0}}}},
		{"stale, confirmed 20 minutes ago", []nameRun{
			{sh: addA + "stale", want: series{status: 0}},
			{flags: []string{"--online-window=1h"}, want: series{status: 1}},
		}},
		{"gone from the table", []nameRun{
			{sh: aReachable, want: series{status: 1}},
			{sh: "ip neigh flush dev br-lan", want: series{status: 0, known: 1}},
		}},
		{"away for long, and back", []nameRun{
			{sh: addA + "permanent", leases: leaseA, want: series{statusA: 1}},
			{sh: "ip neigh del " + a4 + " dev br-lan", flags: []string{"--forget-after=1ms"}, want: series{statusA: none, known: 0}},
			{sh: addA + "permanent", flags: []string{"--forget-after=1h"}, want: series{info(a4, "anna", aMAC, "cache", "universal"): 1, statusA: 1}},
		}},
		{"who is no client", []nameRun{{sh: `
			for address in 192.168.10.1 192.168.10.0 192.168.10.255 10.9.0.1 224.0.0.251 203.0.113.9; do
				ip neigh replace $address dev br-lan lladdr ` + bMAC + ` nud permanent || true
			done
			for address in fd00:10:: fd00:10::1 ff02::fb fe80::b; do
				ip neigh replace $address dev br-lan lladdr ` + bMAC + ` nud permanent || true
			done
			ip neigh replace 172.17.0.2 dev docker0 lladdr ` + bMAC + ` nud permanent
			ip neigh replace 10.9.0.2 dev br-lan lladdr ` + bMAC + ` nud permanent`,
			want: series{info("10.9.0.2", "unknown", bMAC, "none", "local"): 1, known: 1}}}},
		{"a container bridge that is named", []nameRun{{sh: "ip neigh replace 172.17.0.2 dev docker0 lladdr " + bMAC + " nud permanent",
			flags: []string{"--interface=br-lan", "--interface=docker0"},
			want:  series{strings.Replace(info("172.17.0.2", "unknown", bMAC, "none", "local"), "br-lan", "docker0", 1): 1, known: 1}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			lab.Namespace(t, func(t *testing.T) {
				lab.Need(t, "ip")
				lab.Command(t, "sh", "-ec", neighbours)
				i := installation{dir: t.TempDir()}
				i.leases = filepath.Join(i.dir, "leases")
				hosts, cache := filepath.Join(i.dir, "hosts"), filepath.Join(i.dir, "state", "client-names.cache")
				if err := os.Mkdir(filepath.Dir(cache), 0o755); err != nil {
					t.Fatal(err)
				}
				for n, run := range test.runs {
					write(t, i.leases, run.leases)
					write(t, hosts, run.hosts)
					if run.cache != "" {
						write(t, cache, run.cache)
					}
					lab.Command(t, "sh", "-ec", run.sh)
					got, log := i.runLogging(t, append([]string{"--hosts=" + hosts}, run.flags...)...)
					if !strings.Contains(log, run.log) || strings.Count(log, "\n") != min(1, len(run.log)) {
						t.Errorf("run %d: it says %q, want %q", n, log, run.log)
					}
					got.expect(t, run.want)
					lab.CheckReaders(t, i.prom())
					if file, err := os.ReadFile(cache); run.wantCache != "" && (err != nil || string(file) != run.wantCache) {
						t.Errorf("run %d: %v, the cache (-want +got):\n%s", n, err, cmp.Diff(run.wantCache, string(file)))
					}
					if t.Failed() {
						t.Fatalf("in run %d; neighbours:\n%s", n, lab.Command(t, "ip", "-s", "neigh"))
					}
				}
			})
		})
	}
}

// TestPresenceBySending has clients of whom the neighbour table says too little:
// that they are there shows in what they send.
func TestPresenceBySending(t *testing.T) {
	t.Parallel()
	const (
		laptop     = `client_status{ip="192.168.10.100",client="laptop"}`
		phone      = `client_status{ip="192.168.10.101",client="phone"}`
		phoneBytes = `client_traffic_bytes{direction="rx",ip="192.168.10.101",client="phone"}`
		flags      = "--online-window=1ms"
	)
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		i.run(t) // from now on there are counters
		up, down := lab.UDP(t, "udp4", r.Laptop, r.Server), lab.UDP(t, "udp4", r.Phone, r.Server)
		send := func() {
			up.Send(t, 10, 100)
			down.Send(t, 10, 100)
			// Whoever answers is asked again whether it is there.
			lab.Command(t, "sh", "-ec", `
				ip neigh replace 192.168.10.100 dev br-lan nud stale
				ip neigh del 192.168.10.101 dev br-lan || true`)
		}
		send()
		i.run(t, flags)
		send()
		i.run(t, flags).expect(t, series{laptop: 1, phone: 1})
		i.run(t, flags).expect(t, series{laptop: 0, phone: 0})
		i.run(t).expect(t, series{laptop: 1, phone: 1}) // within five minutes

		// What is only sent to an address proves nothing.
		lab.Command(t, "sh", "-ec", "ip neigh replace 192.168.10.101 dev br-lan lladdr "+r.Phone.MAC.String()+" nud permanent")
		before := i.run(t, flags)[phoneBytes]
		down.Reply(t, 10, 100)
		lab.Command(t, "sh", "-ec", "ip neigh del 192.168.10.101 dev br-lan")
		got := i.run(t, flags)
		if got.expect(t, series{phone: 0}); got[phoneBytes] <= before {
			t.Errorf("%s is %v, no more than before", phoneBytes, got[phoneBytes])
		}
	})
}

// TestLastSeen outlives a reboot: another boot ID, and a kernel that knows nobody.
func TestLastSeen(t *testing.T) {
	t.Parallel()
	const (
		seen   = `client_last_seen_timestamp_seconds{ip="192.168.10.50",client="unknown"}`
		status = `client_status{ip="192.168.10.50",client="unknown"}`
	)
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		lab.Command(t, "sh", "-ec", "ip neigh replace 192.168.10.50 dev br-lan lladdr 02:00:5e:00:53:0b nud permanent")
		before := i.run(t)
		before.expect(t, series{status: 1, seen: before["network_metrics_exporter_last_run_timestamp_seconds"]})

		id := filepath.Join(t.TempDir(), "boot_id")
		write(t, id, "01234567-89ab-cdef-0123-456789abcdef\n")
		lab.Command(t, "sh", "-ec", `
			mount --bind `+id+` /proc/sys/kernel/random/boot_id
			ip neigh del 192.168.10.50 dev br-lan
			nft flush ruleset`)
		i.run(t).expect(t, series{status: 0, seen: before[seen]})
		i.run(t).expect(t, series{status: 0, seen: before[seen]})
	})
}

// TestReverseDNS asks the real dnsmasq, and one that is silent.
func TestReverseDNS(t *testing.T) {
	t.Parallel()
	const up, flag = `network_metrics_exporter_source_up{source="dns"}`, "--reverse-dns"
	info := func(address, client, mac, source string) string {
		return `client_info{ip="` + address + `",client="` + client + `",mac="` + mac + `",interface="br-lan",source="` + source + `",mac_scope="local",device="` + mac + `"}`
	}
	const thing, other = "02:00:5e:00:53:0a", "02:00:5e:00:53:0b"
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		resolv := filepath.Join(t.TempDir(), "resolv.conf")
		write(t, resolv, "nameserver 127.0.0.1\n")
		lab.Command(t, "sh", "-ec", `
			mount --bind `+resolv+` /etc/resolv.conf
			dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --listen-address=127.0.0.1 --bind-interfaces --log-queries \
				--local=/168.192.in-addr.arpa/ip6.arpa/ --host-record=thing.lan,192.168.10.50 --host-record=other.lan,192.168.10.100 >/run/dns.log 2>&1 &
			echo $! >/run/dns.pid
			until ss -Huln 'src 127.0.0.1 and sport = 53' | grep -q .; do sleep 0.01; done
			ip neigh replace 192.168.10.50 dev br-lan lladdr `+thing+` nud permanent
			ip neigh replace fd00:10::50 dev br-lan lladdr `+thing+` nud permanent
			ip neigh replace 192.168.10.51 dev br-lan lladdr `+other+` nud permanent`)
		queries := func() int {
			log, err := os.ReadFile("/run/dns.log")
			if err != nil {
				t.Fatal(err)
			}
			return strings.Count(string(log), "query[PTR]")
		}

		i.run(t).expect(t, series{info("192.168.10.50", "unknown", thing, "none"): 1, up: none})
		named, _ := i.runLogging(t, flag)
		for range 20 {
			if named[info("192.168.10.50", "thing.lan", thing, "dns")] == 1 && named[up] == 1 {
				break
			}
			// On a busy machine 200 ms may pass: what had no answer is not
			// asked again for long, but by one who knows nothing of that.
			i = install(t, r)
			i.runLogging(t)
			named, _ = i.runLogging(t, flag)
		}
		named.expect(t, series{
			info("192.168.10.50", "thing.lan", thing, "dns"):              1,
			info("fd00:10::50", "thing.lan", thing, "dns"):                1,
			info("192.168.10.51", "unknown", other, "none"):               1,
			info("192.168.10.100", "laptop", "02:00:00:00:00:01", "dhcp"): 1, // nobody asked
			`client_status{ip="192.168.10.50",client="unknown"}`:          none,
			up: 1,
		})
		lab.CheckReaders(t, i.prom())
		asked := queries()
		for range 3 {
			i.run(t, flag).expect(t, series{info("192.168.10.50", "thing.lan", thing, "dns"): 1, up: 1})
		}
		if again := queries(); asked < 3 || again != asked {
			t.Errorf("%d questions, then %d, want 3 at least and no more", asked, again)
		}
		i.run(t).expect(t, series{info("192.168.10.50", "thing.lan", thing, "cache"): 1, up: none})

		// A resolver that is silent: the file comes all the same, and one line.
		lab.Command(t, "sh", "-ec", `
			kill $(cat /run/dns.pid)
			while ss -Huln 'src 127.0.0.1 and sport = 53' | grep -q .; do sleep 0.01; done
			ip neigh replace 192.168.10.52 dev br-lan lladdr 02:00:5e:00:53:0c nud permanent`)
		silent, err := net.ListenPacket("udp", "127.0.0.1:53")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		i.run(t, flag)
		got, log := i.runLogging(t, flag)
		got.expect(t, series{up: 0, info("192.168.10.50", "thing.lan", thing, "dns"): 1, info("192.168.10.52", "unknown", "02:00:5e:00:53:0c", "none"): 1})
		if strings.Count(log, "\n") != 1 || !strings.Contains(log, "no usable answer within 200ms") {
			t.Errorf("it says %q", log)
		}
		for range 3 {
			i.run(t, flag).expect(t, series{up: 0}) // in silence
		}
	})
}
