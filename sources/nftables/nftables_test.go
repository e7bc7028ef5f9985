package nftables

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// equal has cmp compare addresses as == does.
var equal = cmpopts.EquateComparable(netip.Addr{})

// alike has cmp compare counters apart from their IDs and order.
var alike = gocmp.Options{
	equal,
	cmpopts.IgnoreFields(state.Counter{}, "ID"),
	cmpopts.EquateEmpty(),
	cmpopts.SortSlices(func(a, b state.Counter) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Bytes, b.Bytes))
	}),
}

// tx is a counter of what a client sent, rx of what it got.
func tx(addr string, packets, bytes uint64) state.Counter {
	return state.Counter{
		Addr:      netip.MustParseAddr(addr),
		Direction: state.Tx,
		Traffic:   state.Traffic{Bytes: bytes, Packets: packets},
	}
}

func rx(addr string, packets, bytes uint64) state.Counter {
	c := tx(addr, packets, bytes)
	c.Direction = state.Rx
	return c
}

// load replaces the ruleset.
func load(t *testing.T, ruleset string) {
	t.Helper()
	lab.Nft(t, "flush ruleset\n"+ruleset)
}

// chain gives a ruleset with these rules in the chain that is read, and what
// they need.
func inFilter(rules string) string {
	return `table inet filter {
		counter named { packets 3 bytes 4 }
		set clients { type ipv4_addr; flags dynamic; }
		chain other { }
		chain CLIENT_TRAFFIC {
` + rules + `
		}
	}`
}

// off reads what is there.
func off() (*state.Accounting, error) { return Account(Plan{Layout: state.Off}) }

func read(t *testing.T) []state.Counter {
	t.Helper()
	accounting, err := off()
	if err != nil {
		t.Fatal(err)
	}
	return accounting.Counters
}

func TestRead(t *testing.T) {
	t.Parallel()
	longest := "tx_192.168.10.9" + strings.Repeat(" ", 128-len("tx_192.168.10.9"))
	tests := []struct {
		name, ruleset string
		want          []state.Counter
	}{
		{name: "no rules", ruleset: inFilter("")},
		{
			name: "IPv4",
			ruleset: inFilter(`
				ip saddr 192.168.10.100 counter comment "tx_192.168.10.100"
				ip daddr 192.168.10.100 counter comment "rx_192.168.10.100"`),
			want: []state.Counter{tx("192.168.10.100", 0, 0), rx("192.168.10.100", 0, 0)},
		},
		{
			name: "IPv6",
			ruleset: inFilter(`
				ip6 saddr 2001:db8::1 counter comment "tx_2001:db8::1"
				ip6 daddr 2001:db8::1 counter comment "rx_2001:db8::1"`),
			want: []state.Counter{tx("2001:db8::1", 0, 0), rx("2001:db8::1", 0, 0)},
		},
		{
			name: "initial values",
			ruleset: inFilter(`
				ip saddr 192.168.10.100 counter packets 18446744073709551615 bytes 18446744073709551614 comment "tx_192.168.10.100"
				ip daddr 192.168.10.100 counter packets 4294967296 bytes 9223372036854775808 comment "rx_192.168.10.100"`),
			want: []state.Counter{tx("192.168.10.100", 1<<64-1, 1<<64-2), rx("192.168.10.100", 1<<32, 1<<63)},
		},
		{
			name: "the comment tells, not the rule",
			ruleset: inFilter(`
				ip daddr 192.168.10.1 counter packets 1 bytes 2 comment "tx_192.168.10.100"
				counter packets 3 bytes 4 drop comment "rx_2001:db8::1"`),
			want: []state.Counter{tx("192.168.10.100", 1, 2), rx("2001:db8::1", 3, 4)},
		},
		{
			name: "the same comment twice",
			ruleset: inFilter(`
				ip saddr 192.168.10.100 counter packets 1 bytes 2 comment "tx_192.168.10.100"
				ip saddr 192.168.10.100 counter packets 1 bytes 2 comment "tx_192.168.10.100"`),
			want: []state.Counter{tx("192.168.10.100", 1, 2), tx("192.168.10.100", 1, 2)},
		},
		{
			name:    "two counters in a rule",
			ruleset: inFilter(`ip saddr 192.168.10.100 counter packets 5 bytes 6 limit rate 1/second counter packets 1 bytes 2 comment "tx_192.168.10.100"`),
			want:    []state.Counter{tx("192.168.10.100", 5, 6)},
		},
		{
			name: "rules without counter",
			ruleset: inFilter(`
				ip saddr 192.168.10.100 comment "tx_192.168.10.100"
				ip saddr 192.168.10.100 counter name named comment "tx_192.168.10.100"
				add @clients { ip saddr counter packets 7 bytes 8 } comment "tx_192.168.10.100"
				ip daddr 192.168.10.100 counter packets 1 bytes 2 comment "rx_192.168.10.100"`),
			want: []state.Counter{rx("192.168.10.100", 1, 2)},
		},
		{
			name:    "counter beside one that is not the rule's own",
			ruleset: inFilter(`counter name named add @clients { ip saddr counter } counter packets 1 bytes 2 comment "tx_192.168.10.100"`),
			want:    []state.Counter{tx("192.168.10.100", 1, 2)},
		},
		{
			name: "other comments",
			ruleset: inFilter(`
				counter
				counter comment "tx_"
				counter comment "tx_192.168.10"
				counter comment "tx_192.168.010.1"
				counter comment "TX_192.168.10.100"
				counter comment "tx_fe80::1%br-lan"
				counter comment "tx_phone"
				counter comment "192.168.10.100"
				counter comment "` + longest + `"
				counter comment "Grüße, 世界"
				ip daddr 192.168.10.100 counter packets 1 bytes 2 comment "rx_192.168.10.100"`),
			want: []state.Counter{rx("192.168.10.100", 1, 2)},
		},
		{
			name: "chains of the same name elsewhere",
			ruleset: inFilter(`counter packets 1 bytes 2 comment "tx_192.168.10.100"`) + `
				table inet filter { chain CLIENT_TRAFFIC2 { counter comment "tx_192.168.10.2"; }; }
				table inet filter2 { chain CLIENT_TRAFFIC { counter comment "tx_192.168.10.3"; }; }
				table ip filter { chain CLIENT_TRAFFIC { counter comment "tx_192.168.10.4"; }; }
				table ip6 filter { chain CLIENT_TRAFFIC { counter comment "tx_192.168.10.5"; }; }
				table bridge filter { chain CLIENT_TRAFFIC { counter comment "tx_192.168.10.6"; }; }`,
			want: []state.Counter{tx("192.168.10.100", 1, 2)},
		},
	}
	lab.Namespace(t, func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				load(t, tt.ruleset)
				got, err := off()
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(&state.Accounting{Layout: state.Rules, Counters: tt.want}, got, alike); diff != "" {
					t.Errorf("accounting (-want +got):\n%s", diff)
				}
				if ids := ids(got.Counters); len(slices.Compact(ids)) != len(tt.want) {
					t.Errorf("counters with the same ID: %v", ids)
				}
			})
		}
	})
}

// ids gives the sorted IDs of counters.
func ids(counters []state.Counter) []state.CounterID {
	var ids []state.CounterID
	for _, c := range counters {
		ids = append(ids, c.ID)
	}
	slices.SortFunc(ids, func(a, b state.CounterID) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Object, b.Object))
	})
	return ids
}

func TestReadManyRules(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		rules, want := clients(1000)
		load(t, inFilter(""))
		for part := range slices.Chunk(rules, 100) { // one is all that nft can send without root's rights
			lab.Nft(t, inFilter(strings.Join(part, "\n")))
		}
		if diff := gocmp.Diff(want, read(t), alike); diff != "" {
			t.Errorf("counters (-want +got):\n%s", diff)
		}
	})
}

// clients gives the two rules of each of n clients, every counter of another
// value, and what they are read as.
func clients(n int) (rules []string, want []state.Counter) {
	for i := range uint64(n) {
		addr := fmt.Sprintf("10.0.%d.%d", i/256, i%256)
		rules = append(rules,
			fmt.Sprintf(`ip saddr %s counter packets %d bytes %d comment "tx_%[1]s"`, addr, i+1, 1000+i),
			fmt.Sprintf(`ip daddr %s counter packets %d bytes %d comment "rx_%[1]s"`, addr, i+2, 2000+i))
		want = append(want, tx(addr, i+1, 1000+i), rx(addr, i+2, 2000+i))
	}
	return rules, want
}

func TestReadNoChain(t *testing.T) {
	t.Parallel()
	const want = "nothing counts the clients' traffic: there is neither chain CLIENT_TRAFFIC in table inet filter" +
		" nor a set in table inet network_metrics; choose another --accounting, which makes them"
	lab.Namespace(t, func(t *testing.T) {
		for name, ruleset := range map[string]string{
			"no ruleset":             "",
			"no chain":               "table inet filter { chain forward { counter comment \"tx_192.168.10.1\"; }; }",
			"chain in another table": "table inet filter { }\ntable inet filter2 { chain CLIENT_TRAFFIC { }; }",
			"other families": "table ip filter { chain CLIENT_TRAFFIC { }; }\n" +
				"table ip6 filter { chain CLIENT_TRAFFIC { }; }",
			"other case": "table inet filter { chain client_traffic { }; }",
		} {
			t.Run(name, func(t *testing.T) {
				load(t, ruleset)
				got, err := off()
				if !errors.Is(err, errNoChain) || err.Error() != want {
					t.Errorf("got error %v, want %s", err, want)
				}
				if got != nil {
					t.Errorf("got %+v beside the error", got)
				}
			})
		}
	})
}

func TestReadUnprivileged(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		load(t, inFilter(""))
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		// Capabilities are the thread's; what is permitted can be taken up again.
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var saved [2]unix.CapUserData
		if err := unix.Capget(&header, &saved[0]); err != nil {
			t.Fatal(err)
		}
		dropped := saved
		dropped[0].Effective &^= 1 << unix.CAP_NET_ADMIN
		if err := unix.Capset(&header, &dropped[0]); err != nil {
			t.Fatal(err)
		}
		got, err := off()
		if err := unix.Capset(&header, &saved[0]); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(err, unix.EPERM) || got != nil {
			t.Errorf("got %+v, %v, want EPERM", got, err)
		}
		if _, err := off(); err != nil {
			t.Errorf("with CAP_NET_ADMIN again: %v", err)
		}
	})
}

// TestReadIDs holds the reader to what state.CounterID promises.
func TestReadIDs(t *testing.T) {
	t.Parallel()
	ruleset := inFilter(`
		counter packets 10 bytes 1000 comment "tx_192.168.10.100"
		counter packets 20 bytes 2000 comment "rx_192.168.10.100"`)
	one := func(t *testing.T, direction state.Direction) state.Counter {
		t.Helper()
		var found []state.Counter
		for _, c := range read(t) {
			if c.Direction == direction {
				found = append(found, c)
			}
		}
		if len(found) != 1 {
			t.Fatalf("%d counters of %v, want 1", len(found), direction)
		}
		return found[0]
	}
	tests := []struct {
		name   string
		change func(t *testing.T, before state.CounterID)
		same   bool
		bytes  uint64 // afterwards
	}{
		{"nothing", func(*testing.T, state.CounterID) {}, true, 1000},
		{"reset", func(t *testing.T, _ state.CounterID) { resetRules(t) }, true, 0},
		{"rules beside it", func(t *testing.T, _ state.CounterID) {
			lab.Nft(t, `
				insert rule inet filter CLIENT_TRAFFIC counter comment "rx_192.168.10.101"
				add rule inet filter CLIENT_TRAFFIC counter comment "rx_192.168.10.102"
				add rule inet filter other counter`)
		}, true, 1000},
		{"ruleset added once more", func(t *testing.T, _ state.CounterID) {
			lab.Nft(t, "flush chain inet filter CLIENT_TRAFFIC\n"+ruleset)
		}, false, 1000},
		// The one case in which another counter has the handle of an earlier one:
		// nf_tables_newrule gives it to what takes the rule's place.
		{"rule replaced", func(t *testing.T, before state.CounterID) {
			lab.Nft(t, fmt.Sprintf(`replace rule inet filter CLIENT_TRAFFIC handle %d \
				counter packets 9 bytes 900 comment "tx_192.168.10.100"`, before.Object))
		}, true, 900},
		{"table deleted and added again", func(t *testing.T, _ state.CounterID) {
			lab.Nft(t, "delete table inet filter\n"+ruleset)
		}, false, 1000},
		{"table deleted, then added again", func(t *testing.T, _ state.CounterID) {
			lab.Nft(t, "delete table inet filter")
			lab.Nft(t, ruleset)
		}, false, 1000},
	}
	lab.Namespace(t, func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				load(t, ruleset)
				before := one(t, state.Tx)
				if before.ID.Table == 0 || before.ID.Object == 0 {
					t.Errorf("ID %+v", before.ID)
				}
				tt.change(t, before.ID)
				after := one(t, state.Tx)
				if (after.ID == before.ID) != tt.same {
					t.Errorf("ID %+v became %+v", before.ID, after.ID)
				}
				if after.Bytes != tt.bytes {
					t.Errorf("%d bytes, want %d", after.Bytes, tt.bytes)
				}
			})
		}
	})
}

// resetRules does what "nft reset rules" does, which nft has since 1.0.7.
func resetRules(t *testing.T) {
	t.Helper()
	question, err := newMessage(unix.NFPROTO_INET, unix.NFT_MSG_GETRULE_RESET, 0, everything)
	if err != nil {
		t.Fatal(err)
	}
	err = connect(t).Dump(question, messageType(unix.NFT_MSG_NEWRULE), func([]byte) error { return nil })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		lab.Unavailable(t, "%v (Linux 6.2 can reset rules)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Known traffic through the router is read to the byte.
func TestReadTraffic(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		ruleset := "table inet filter {\nchain CLIENT_TRAFFIC {\n"
		for _, client := range r.Clients() {
			ruleset += fmt.Sprintf(`
				ip saddr %[1]v counter comment "tx_%[1]v"
				ip daddr %[1]v counter comment "rx_%[1]v"
				ip6 saddr %[2]v counter comment "tx_%[2]v"
				ip6 daddr %[2]v counter comment "rx_%[2]v"`, client.IPv4, client.IPv6)
		}
		lab.Nft(t, ruleset+"\n}\n}\ninsert rule inet filter forward jump CLIENT_TRAFFIC")

		var want []state.Counter
		for i, client := range r.Clients() {
			for _, network := range []string{"udp4", "udp6"} {
				addr := client.IPv4
				if network == "udp6" {
					addr = client.IPv6
				}
				flow := lab.UDP(t, network, client, r.Server)
				up, down := 100+i, 50*i
				want = append(want,
					tx(addr.String(), uint64(up), flow.Send(t, up, 1000+i)),
					rx(addr.String(), uint64(down), flow.Reply(t, down, 1400)))
			}
		}
		if diff := gocmp.Diff(want, read(t), alike); diff != "" {
			t.Errorf("counters (-want +got):\n%s", diff)
		}
	})
}

// interfering is the kernel, and calls change before each question about
// the ruleset other than the one for its generation.
type interfering struct {
	kernel
	change func()
}

func (k interfering) Dump(question netlink.Message, answer uint16, each func([]byte) error) error {
	k.change()
	return k.kernel.Dump(question, answer, each)
}

// connect connects to the kernel.
func connect(t *testing.T) kernel {
	t.Helper()
	k, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func TestReadCountersOfChangingRuleset(t *testing.T) {
	t.Parallel()
	const tooMany = "the ruleset of nftables changed 6 times meanwhile"
	none := errNoChain.Error()
	with := func(rule string) string {
		return "delete table inet filter\n" + inFilter(rule)
	}
	once := []string{with(`counter comment "tx_192.168.10.2"`)}
	tests := []struct {
		name    string
		changes []string // one before each request, the last one before all that follow
		err     string
	}{
		{name: "other rules once", changes: append(once, "")},
		{name: "other rules always", changes: once, err: tooMany},
		{name: "another table always", changes: []string{"add table ip x\ndelete table ip x"}, err: tooMany},
		{name: "chain gone", changes: []string{"delete chain inet filter CLIENT_TRAFFIC", ""}, err: none},
		{name: "table gone", changes: []string{"delete table inet filter", ""}, err: none},
		{
			name:    "chain gone and back",
			changes: []string{"delete chain inet filter CLIENT_TRAFFIC", once[0], ""},
		},
	}
	lab.Namespace(t, func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				load(t, inFilter(`counter comment "tx_192.168.10.1"`))
				changes := tt.changes
				got, err := account(interfering{connect(t), func() {
					lab.Nft(t, changes[0])
					if len(changes) > 1 {
						changes = changes[1:]
					}
				}}, Plan{Layout: state.Off})
				if tt.err != "" {
					if err == nil || err.Error() != tt.err || got != nil {
						t.Errorf("got %v, error %v, want %s", got, err, tt.err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(read(t), got.Counters, equal); diff != "" {
					t.Errorf("counters, compared with those of the ruleset at rest (-want +got):\n%s", diff)
				}
			})
		}
	})
}

// While rules before the clients' come and go, which makes the kernel skip some
// of those that follow, all are read or none.
func TestReadTornDump(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		rules, want := clients(300)
		load(t, inFilter(""))
		for part := range slices.Chunk(rules, 100) {
			lab.Nft(t, inFilter(strings.Join(part, "\n")))
		}
		stop, done := make(chan struct{}), make(chan error)
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				if err := churn(20); err != nil {
					done <- err
					return
				}
			}
		}()
		var read, refused int
		for range 40 {
			got, err := off()
			if err != nil {
				if !strings.Contains(err.Error(), "the ruleset changed") {
					t.Errorf("got error %v", err)
				}
				refused++
				continue
			}
			read++
			if diff := gocmp.Diff(want, got.Counters, alike); diff != "" {
				t.Errorf("counters (-want +got):\n%s", diff)
				break
			}
		}
		close(stop)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		t.Logf("%d read, %d refused", read, refused)
		got, err := off()
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got.Counters, alike); diff != "" {
			t.Errorf("counters at rest (-want +got):\n%s", diff)
		}
	})
}

// churn puts n rules before those of the chain and takes them away again, with a
// pause after each so that now and then a reader gets through.
func churn(n int) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Name: filterTable, Family: nftables.TableFamilyINet}
	chain := &nftables.Chain{Name: trafficChain, Table: table}
	mark := userdata.AppendString(nil, userdata.TypeComment, "churn")
	for range n {
		conn.InsertRule(&nftables.Rule{Table: table, Chain: chain, UserData: mark})
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	time.Sleep(5 * time.Millisecond)
	rules, err := conn.GetRules(table, chain)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if bytes.Equal(r.UserData, mark) {
			r.Chain.Table = table
			if err := conn.DelRule(r); err != nil {
				return err
			}
		}
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	time.Sleep(5 * time.Millisecond)
	return nil
}

// expressions are rules of nft(8), COUNT in the place of the counter, with
// expressions that google/nftables decodes and others.
var expressions = []string{
	"COUNT redirect",
	"COUNT reject with tcp reset",
	"ct count over 10 COUNT",
	"ct helper \"ftp\" COUNT",
	"ct original ip saddr 192.168.10.1 COUNT",
	"ct helper set \"ftp-standard\" COUNT",
	"ct mark set 1 COUNT",
	"ct state vmap { established : jump other, new : accept } COUNT",
	"ct timeout set \"brief-tcp\" COUNT",
	"ct expectation set \"e\" COUNT",
	"dccp type request COUNT",
	"exthdr frag exists COUNT",
	"fib saddr . iif oif missing COUNT",
	"icmp type { echo-request, echo-reply } COUNT",
	"ip dscp set cs1 COUNT",
	"ip option ra exists COUNT",
	"ip saddr . tcp dport @pairs COUNT",
	"ip saddr . tcp dport vmap { 192.168.10.0/24 . 1-1023 : drop } COUNT",
	"ip saddr { 192.168.10.1, 192.168.11.0/24 } COUNT",
	"ip saddr vmap { 192.168.10.1 : jump other, 192.168.11.1 : return } COUNT",
	"ipsec in reqid 1 COUNT",
	"limit rate 10/second COUNT",
	"limit rate over 10 kbytes/hour burst 1 mbytes COUNT",
	"limit name \"l\" COUNT",
	"log prefix \"a\" group 1 COUNT",
	"log level debug flags all COUNT",
	"meta mark set ct mark COUNT",
	"meta mark set ip saddr map { 192.168.10.1 : 1 } COUNT",
	"meta mark set jhash ip saddr mod 2 seed 0xdeadbeef COUNT",
	"meta mark set numgen inc mod 2 COUNT",
	"meta mark set numgen random mod 2 offset 5 COUNT",
	"meta mark set symhash mod 2 COUNT",
	"meta hour \"08:00\"-\"17:00\" COUNT",
	"meter m { ip saddr limit rate 10/second } COUNT",
	"notrack COUNT",
	"osf name \"Linux\" COUNT",
	"quota name \"q\" COUNT",
	"quota over 10 mbytes COUNT",
	"reset tcp option fastopen COUNT",
	"rt classid 1 COUNT",
	"sctp chunk init exists COUNT",
	"socket transparent 1 COUNT",
	"synproxy mss 1460 wscale 7 COUNT",
	"synproxy name \"p\" COUNT",
	"tcp dport != 1-1023 COUNT",
	"tcp flags & (syn | ack) == syn COUNT",
	"tcp option maxseg size set rt mtu COUNT",
	"tcp dport 80 COUNT tproxy to :3128",
	"update @timed { ip saddr timeout 1m limit rate 1/minute } COUNT",
	"COUNT goto other",
}

// A rule is read whatever else is in it.
func TestReadExpressions(t *testing.T) {
	t.Parallel()
	const objects = `
		set timed { type ipv4_addr; flags dynamic,timeout; size 10; }
		set pairs { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 1-10 }; }
		ct helper ftp-standard { type "ftp" protocol tcp; }
		ct timeout brief-tcp { protocol tcp; l3proto ip; policy = { close: 4 }; }
		ct expectation e { protocol tcp; dport 22; timeout 1h; size 1; l3proto ip; }
		limit l { rate 10/second; }
		quota q { over 10 mbytes; }
		synproxy p { mss 1460; wscale 7; }`
	want := []state.Counter{tx("192.168.10.100", 1, 2)}
	check := func(t *testing.T) {
		t.Helper()
		if diff := gocmp.Diff(want, read(t), alike); diff != "" {
			t.Errorf("counters (-want +got):\n%s", diff)
		}
	}
	lab.Namespace(t, func(t *testing.T) {
		lab.Need(t, "nft")
		for _, e := range expressions {
			t.Run(e, func(t *testing.T) {
				load(t, inFilter(""))
				for _, object := range strings.Split(strings.TrimSpace(objects), "\n") {
					// An object that this kernel does not have is missed by its rule.
					_ = nft(t, "table inet filter {\n"+object+"\n}")
				}
				rule := strings.ReplaceAll(e, "COUNT", "counter packets 1 bytes 2")
				if err := nft(t, "add rule inet filter CLIENT_TRAFFIC "+rule+` comment "tx_192.168.10.100"`); err != nil {
					lab.Unavailable(t, "no such rule here: %v", err)
				}
				check(t)
			})
		}

		// What iptables-nft makes of modules that nftables has nothing for, and
		// what nft does not write.
		for name, e := range map[string]expr.Any{
			"a limit per something": &expr.Limit{Rate: 1, Unit: 10, Burst: 5},
			"xt conntrack":          &expr.Match{Name: "conntrack", Rev: 3, Info: new(xt.Unknown(make([]byte, 168)))},
			"xt mark":               &expr.Match{Name: "mark", Rev: 1, Info: new(xt.Unknown(make([]byte, 16)))},
			"xt comment":            &expr.Match{Name: "comment", Info: new(xt.Unknown(make([]byte, 256)))},
		} {
			t.Run(name, func(t *testing.T) {
				load(t, inFilter(""))
				if err := add(e); err != nil {
					lab.Unavailable(t, "no such rule here: %v", err)
				}
				check(t)
			})
		}

	})
}

// nft is lab.Nft for what may be refused.
func nft(t testing.TB, ruleset string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(ruleset)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("nft: %w: %s", err, output)
	}
	return nil
}

// add adds a rule with an expression that nft does not write.
func add(e expr.Any) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Name: filterTable, Family: nftables.TableFamilyINet}
	conn.AddRule(&nftables.Rule{
		Table:    table,
		Chain:    &nftables.Chain{Name: trafficChain, Table: table},
		Exprs:    []expr.Any{e, &expr.Counter{Packets: 1, Bytes: 2}},
		UserData: userdata.AppendString(nil, userdata.TypeComment, "tx_192.168.10.100"),
	})
	return conn.Flush()
}
