package nftables

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/sources/netlink"
	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// stranger is another instance.
var stranger = Owner{ID: "fedcba9876543210", Path: "/home/me/.local/state/my metrics"}

func TestOwnerComment(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 2)
	long := "/var/lib/" + strings.Repeat("directory/", 12)
	for _, tt := range []struct {
		owner   Owner
		words   string
		decided []string
		want    string
		path    string // as it is read again
	}{
		{stranger, "", nil, "network-metrics-exporter fedcba9876543210 /home/me/.local/state/my metrics", stranger.Path},
		{stranger, "tx", []string{"br-lan"}, "network-metrics-exporter fedcba9876543210 tx br-lan /home/me/.local/state/my metrics", stranger.Path},
		{Owner{id, "/s"}, "tracked", nil, "network-metrics-exporter " + id + " tracked /s", "/s"},
		{Owner{id, "/"}, "rx", []string{"*"}, "network-metrics-exporter " + id + " rx * /", "/"},
		{Owner{id, "/über \"x\""}, "", nil, "network-metrics-exporter " + id + " /über …", "/über …"},
		{Owner{id, "/a\nb"}, "", nil, "network-metrics-exporter " + id + " /a…", "/a…"},
		{Owner{id, "/a\xffb"}, "", nil, "network-metrics-exporter " + id + " /a…", "/a…"},
		{Owner{ID: "fedcba9876543210", Path: long}, "", nil, "network-metrics-exporter fedcba9876543210 " + long[:83] + "…", long[:83] + "…"},
		{Owner{}, "tx", []string{"br-lan"}, "network-metrics-exporter tx br-lan", ""},
		{Owner{}, "", nil, "network-metrics-exporter", ""},
	} {
		got := tt.owner.comment(tt.words, tt.decided...)
		if got != tt.want || len(got) > maxComment || !isOurs(got) {
			t.Errorf("got %q of %d bytes, want %q", got, len(got), tt.want)
		}
		if o, ok := parseOwner(got); ok != (tt.path != "") || ok && o != (Owner{tt.owner.ID, tt.path}) {
			t.Errorf("%q is read as %+v, %t", got, o, ok)
		}
	}
	if a, b := stranger.comment("tx", strings.Repeat("x", 99)), stranger.comment("tx", strings.Repeat("y", 99)); a == b || len(a) > maxComment {
		t.Errorf("%q and %q", a, b)
	}
}

// hexadecimal is what an ID looks like.
var hexadecimal = regexp.MustCompile("^[0-9a-f]{16,32}$")

func FuzzOwner(f *testing.F) {
	f.Add("0123456789abcdef", "/var/lib/network-metrics-exporter", "tx", "br-lan")
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, id, path, words, decided string) {
		parseOwner(path)
		parseOwner(programName + " " + id + " " + path)
		if !hexadecimal.MatchString(id) || !strings.HasPrefix(path, "/") || strings.ContainsAny(words+decided, "/ ") || len(words) > 10 {
			return
		}
		o := Owner{id, path}
		comment := o.comment(words, decided)
		if len(comment) > maxComment {
			t.Errorf("%d bytes: %q", len(comment), comment)
		}
		got, ok := parseOwner(comment)
		if !ok || got.ID != id || got.whole() && got.Path != path || !got.whole() && !strings.HasPrefix(path, strings.TrimSuffix(got.Path, cut)) {
			t.Errorf("%+v is read as %+v, %t", o, got, ok)
		}
	})
}

// Of two instances the later one changes nothing as long as the other one exists,
// and says whose it is and what to do; then it adopts what it finds, without loss.
func TestTwoOwners(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		alive := true
		other := func(layout state.Layout) Plan {
			p := plan(layout)
			p.Owner = stranger
			p.OwnerAlive = func(o Owner) bool {
				if o != tester {
					t.Errorf("asked for %+v", o)
				}
				return alive
			}
			return p
		}
		firewall := listing(t)
		for _, theirs := range []state.Layout{state.Sets, state.Flows, state.Rules} {
			for _, ours := range []state.Layout{state.Sets, state.Flows, state.Rules} {
				t.Run(string(theirs)+" "+string(ours), func(t *testing.T) {
					alive = true
					mustAccount(t, plan(theirs))
					before, g := listing(t), generation(t)
					const want = "what counts the clients' traffic belongs to another instance of this program, with ID 0123456789abcdef and" +
						" --state-dir=/var/lib/network-metrics-exporter: run network-metrics-exporter teardown" +
						" --state-dir=/var/lib/network-metrics-exporter, or choose --accounting=off"
					for range 2 {
						a, err := Account(other(ours))
						if err == nil || err.Error() != want || a != nil {
							t.Errorf("got %+v, %v, want %s", a, err, want)
						}
						lab.Nft(t, "flush ruleset\n"+lab.Command(t, "nft", "list", "ruleset")) // saved and loaded again
						g++
					}
					if diff := gocmp.Diff(before, listing(t)); diff != "" || generation(t) != g {
						t.Errorf("ruleset (-before +after):\n%s", diff)
					}
					if found, err := Look(other(ours)); err != nil || found.Fault == nil || found.Fault.Error() != want ||
						len(found.Owners) != 1 || found.Owners[0] != tester || found.Accounting == nil {
						t.Errorf("found %+v, %v", found, err)
					}
					if _, err := Account(other(state.Off)); err != nil {
						t.Errorf("off: %v", err)
					}

					alive = false
					mustAccount(t, other(ours))
					still(t, other(ours))
					if strings.Contains(listing(t), tester.ID) {
						t.Errorf("not adopted:\n%s", listing(t))
					}
					if err := Teardown(); err != nil {
						t.Fatal(err)
					}
					if diff := gocmp.Diff(firewall, listing(t)); diff != "" {
						t.Errorf("ruleset (-before +after teardown):\n%s", diff)
					}
				})
			}
		}
	})
}

// Who adopts takes over the elements as they are.
func TestAdoption(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		mustAccount(t, plan(state.Sets))
		want := converse(t, r.Server, r.Clients()...)
		p := plan(state.Sets)
		p.Owner = stranger
		if diff := gocmp.Diff(want, counted(mustAccount(t, p)), alike); diff != "" {
			t.Errorf("counters (-want +got):\n%s", diff)
		}
	})
}

// Where somebody else's jump leads to the chain, the rules themselves say whose
// they are. A path that is not known as a whole counts as one that exists.
func TestOwnerOfRulesAlone(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		load(t, byHand)
		p := plan(state.Rules)
		p.Owner.Path = "/" + strings.Repeat("x", 100)
		mustAccount(t, p)
		other := plan(state.Rules)
		other.Owner = stranger
		if _, err := Account(other); err == nil || !strings.Contains(err.Error(), p.Owner.ID) {
			t.Errorf("got error %v", err)
		}
		if err := Teardown(); err != nil {
			t.Error(err)
		}
		if diff := gocmp.Diff(byHand, listing(t)); diff != "" {
			t.Errorf("ruleset (-before +after):\n%s", diff)
		}
	})
}

// unowned is what versions made that named no owner.
const unowned = `table inet network_metrics {
	comment "network-metrics-exporter"
	set client_tx { type ipv4_addr; size 65535; flags dynamic; elements = { 192.168.10.100 counter packets 3 bytes 400, 192.168.10.7 counter packets 1 bytes 20 }; }
	set client_rx { type ipv4_addr; size 65535; flags dynamic; elements = { 192.168.10.100 counter packets 5 bytes 600 }; }
	set client_tx6 { type ipv6_addr; size 65535; flags dynamic; }
	set client_rx6 { type ipv6_addr; size 65535; flags dynamic; elements = { fd00:10::7 counter packets 7 bytes 800 }; }
	chain CLIENT_TRAFFIC {
		comment "network-metrics-exporter"
		type filter hook forward priority 300; policy accept;
		iifname "br-lan" ip saddr 192.168.10.0/24 add @client_tx { ip saddr counter } comment "network-metrics-exporter tx ip br-lan 192.168.10.0/24"
		oifname "br-lan" ip daddr 192.168.10.0/24 add @client_rx { ip daddr counter } comment "network-metrics-exporter rx ip br-lan 192.168.10.0/24"
		iifname "br-lan" ip6 saddr fd00:10::/64 add @client_tx6 { ip6 saddr counter } comment "network-metrics-exporter tx ip6 br-lan fd00:10::/64"
		oifname "br-lan" ip6 daddr fd00:10::/64 add @client_rx6 { ip6 daddr counter } comment "network-metrics-exporter rx ip6 br-lan fd00:10::/64"
	}
}
`

const unownedRules = `table inet filter {
	comment "network-metrics-exporter"
	chain CLIENT_TRAFFIC {
		comment "network-metrics-exporter"
		ip saddr 192.168.10.100 counter packets 3 bytes 400 comment "tx_192.168.10.100"
	}
	chain forward {
		comment "network-metrics-exporter"
		type filter hook forward priority filter; policy accept;
		jump CLIENT_TRAFFIC comment "network-metrics-exporter"
	}
}
`

// An update takes over what an earlier version made, and hands out what it counted
// in what has to be made anew.
func TestUpdate(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		p := plan(state.Sets)
		p.Clients = p.Clients[:2]
		load(t, unowned)
		a := mustAccount(t, p)
		want := []state.Counter{tx("192.168.10.100", 3, 400), tx("192.168.10.7", 1, 20), rx("192.168.10.100", 5, 600), rx("fd00:10::7", 7, 800)}
		if diff := gocmp.Diff(want, a.ReplacedCounters, alike); diff != "" {
			t.Errorf("replaced (-want +got):\n%s", diff)
		}
		if diff := gocmp.Diff(a.Objects, a.Made); diff != "" {
			t.Errorf("objects (-there +made):\n%s", diff)
		}
		if n := len(counted(a)); n != 0 {
			t.Errorf("%d counters count something, want none", n)
		}
		if diff := gocmp.Diff(sorted(ownListing), sorted(listing(t))); diff != "" {
			t.Errorf("ruleset (-want +got):\n%s", diff)
		}
		still(t, p)

		load(t, unownedRules)
		p.Layout = state.Rules
		a = mustAccount(t, p)
		if diff := gocmp.Diff([]state.Counter{tx("192.168.10.100", 3, 400)}, counted(a), alike); diff != "" {
			t.Errorf("counters (-want +got):\n%s", diff)
		}
		if diff := gocmp.Diff(filterListing, listing(t)); diff != "" {
			t.Errorf("ruleset (-want +got):\n%s", diff)
		}
	})
}

// A table that only the program can change that made it is said to be so; nothing
// is told of capabilities. Where nothing has to be changed it disturbs nobody.
func TestOwnedTable(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		for name, layouts := range map[string][2]state.Layout{
			ownTable:    {state.Sets, state.Rules},
			filterTable: {state.Rules, state.Sets},
		} {
			lab.Nft(t, "flush ruleset")
			k := connect(t)
			m, err := newMessage(unix.NFPROTO_INET, unix.NFT_MSG_NEWTABLE, create, encodeOwned(name))
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Commit(unix.NFNL_SUBSYS_NFTABLES, 0, []netlink.Message{m}); err != nil {
				lab.Unavailable(t, "no such table here: %v (since Linux 5.12)", err)
			}
			a, err := Account(plan(layouts[0]))
			if a != nil || err == nil || errors.Is(err, unix.EPERM) ||
				err.Error() != `table inet `+name+` has "flags owner": only the program that made it can change it; choose another --accounting` {
				t.Errorf("got %+v, %v", a, err)
			}
			mustAccount(t, plan(layouts[1]))
			if err := Teardown(); err != nil {
				t.Error(err)
			}
			if err := k.(interface{ Close() error }).Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// encodeOwned writes a table with flags owner.
func encodeOwned(name string) func(*netlink.Encoder) {
	return func(e *netlink.Encoder) {
		e.Text(unix.NFTA_TABLE_NAME, name)
		e.Uint32(unix.NFTA_TABLE_FLAGS, tableOwner)
	}
}
