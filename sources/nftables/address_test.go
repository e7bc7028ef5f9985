package nftables

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

func prefixes(text string) []netip.Prefix {
	var list []netip.Prefix
	for word := range strings.FieldsSeq(text) {
		list = append(list, netip.MustParsePrefix(word))
	}
	return list
}

func TestIntervals(t *testing.T) {
	tests := []struct{ name, networks, outermost, intervals string }{
		{"none", "fd00::/64", "", ""},
		{"one", "192.168.10.77/24", "192.168.10.0/24", "192.168.10.0-192.168.11.0"},
		{"in order", "10.2.0.0/16 192.168.0.0/24 10.0.0.0/16", "10.0.0.0/16 10.2.0.0/16 192.168.0.0/24",
			"10.0.0.0-10.1.0.0 10.2.0.0-10.3.0.0 192.168.0.0-192.168.1.0"},
		{"one within another", "10.1.0.0/16 10.0.0.0/8 10.0.0.0/16 10.0.0.1/32", "10.0.0.0/8", "10.0.0.0-11.0.0.0"},
		{"twice", "10.0.0.0/8 10.0.0.0/8", "10.0.0.0/8", "10.0.0.0-11.0.0.0"},
		{"side by side", "10.0.1.0/24 10.0.2.0/23 10.0.4.0/32", "10.0.1.0/24 10.0.2.0/23 10.0.4.0/32", "10.0.1.0-10.0.4.1"},
		{"to the end", "255.255.255.0/24 0.0.0.0/1", "0.0.0.0/1 255.255.255.0/24", "0.0.0.0-128.0.0.0 255.255.255.0-"},
		{"all", "1.2.3.4/0 10.0.0.0/8", "0.0.0.0/0", "0.0.0.0-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			outer := ipv4.outermost(prefixes(tt.networks))
			if diff := cmp.Diff(prefixes(tt.outermost), outer, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Errorf("outermost (-want +got):\n%s", diff)
			}
			var got []string
			for _, r := range intervals(outer) {
				end := ""
				if r.end.IsValid() {
					end = r.end.String()
				}
				got = append(got, fmt.Sprint(r.start, "-", end))
			}
			if strings.Join(got, " ") != tt.intervals {
				t.Errorf("intervals %v, want %s", got, tt.intervals)
			}
		})
	}
}

// Networks of every length match as they are written: nft(8) is the oracle.
func TestNetworksAsListed(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		one, several := plan(state.Sets), plan(state.Sets)
		check := func(p Plan, want ...string) {
			t.Helper()
			mustAccount(t, p)
			got := listing(t)
			for _, w := range want {
				if strings.Count(got, w) != 1 {
					t.Errorf("not there: %s, in\n%s", w, got)
				}
			}
		}
		for length := range 129 {
			six := netip.PrefixFrom(netip.MustParseAddr("aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaab"), length).Masked()
			four := netip.PrefixFrom(netip.MustParseAddr("170.170.170.171"), min(length, 32)).Masked()
			one.Networks = []netip.Prefix{six, four}
			source, source6 := "ip saddr "+nftText(four)+" ", "ip6 saddr "+nftText(six)+" "
			if length == 0 {
				source, source6 = "", "" // the set's key says it
			}
			check(one, "\t"+source+"add @client_tx {", "\t"+source6+"add @client_tx6 {")
		}
		several.Networks = prefixes("10.0.0.0/9 10.192.0.0/10 255.255.255.0/24 ::/3 fd00::/8 ff00::/8")
		several.Interfaces = []string{"lan1", "lan0", "lan1", "ppp*"}
		check(several, "elements = { 10.0.0.0/9, 10.192.0.0/10,\n\t\t\t     255.255.255.0/24 }", "ip daddr @networks add @client_rx {",
			"elements = { ::/3,\n\t\t\t     fd00::/8,\n\t\t\t     ff00::/8 }", "ip6 daddr @networks6 add @client_rx6 {",
			"ip saddr @networks ip daddr @networks jump local_sent",
			`iifname "ppp*" jump sent`, `oifname "ppp*" jump received`)
		lab.Nft(t, "flush ruleset\n"+lab.Command(t, "nft", "list", "ruleset"))
		still(t, several)
	})
}

// nftText is a network as nft(8) writes it.
func nftText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// A comment tells whether a rule is still what is wanted: the same plan, said
// otherwise, has the same comments, and another one others, however long it is.
func TestRuleComments(t *testing.T) {
	comments := func(p Plan) []string {
		var list []string
		for _, r := range newSetsLayout(p).rules() {
			list = append(list, r.chain+": "+r.comment)
		}
		return list
	}
	small := plan(state.Sets)
	if got := comments(small); !slices.Contains(got, "sent: network-metrics-exporter tx ip 192.168.10.0/24") {
		t.Errorf("got %q", got)
	}
	shuffled := small
	shuffled.Interfaces = []string{"br-lan", "br-lan"}
	shuffled.Networks = prefixes("fd00:10::1/64 192.168.10.0/25 192.168.10.7/24")
	if diff := cmp.Diff(comments(small), comments(shuffled)); diff != "" {
		t.Errorf("the same, said otherwise (-want +got):\n%s", diff)
	}

	big := small
	for i := range 40 {
		big.Networks = append(big.Networks, netip.PrefixFrom(address(i<<8), 24), netip.MustParsePrefix(fmt.Sprintf("fd00:%d::/64", i)))
		big.Interfaces = append(big.Interfaces, fmt.Sprint("interface", i))
	}
	other := big
	other.Networks = slices.Clone(big.Networks)
	other.Networks[len(other.Networks)-2] = netip.MustParsePrefix("172.16.0.0/12")
	other.Interfaces = append(slices.Clone(big.Interfaces), "eth0")
	list := comments(big)
	for i, c := range list {
		chain, comment, _ := strings.Cut(c, ": ")
		if len(comment) > maxComment || !isOurs(comment) {
			t.Errorf("%d bytes: %q", len(comment), comment)
		}
		same := c == comments(other)[i]
		if decided := !strings.HasPrefix(chain, "local_") && !strings.Contains(c, " ip6 "); same == decided {
			t.Errorf("%q and %q", c, comments(other)[i])
		}
		if o, ok := parseOwner(comment); ok != (chain == trafficChain) || ok && o != tester {
			t.Errorf("owner %+v, %t in %q", o, ok, comment)
		}
	}
	if got := comments(Plan{Layout: state.Sets, Interfaces: small.Interfaces}); got != nil {
		t.Errorf("without networks: %q", got)
	}
	if got := comments(Plan{Layout: state.Sets, Networks: small.Networks}); got != nil {
		t.Errorf("without interfaces: %q", got)
	}
}

// Each interface is matched by one of the groups, however the patterns overlap.
func TestGroupInterfaces(t *testing.T) {
	for text, want := range map[string][]interfaces{
		"":                            nil,
		"br-lan":                      {{names: []string{"br-lan"}}},
		"lan1 lan0 lan1":              {{names: []string{"lan0", "lan1"}}},
		"ppp*":                        {{prefix: "ppp"}},
		"ppp0 ppp* br-lan":            {{prefix: "ppp"}, {names: []string{"br-lan"}}},
		"ppp1* ppp* ppp10 tun* p tun": {{prefix: "ppp"}, {prefix: "tun"}, {names: []string{"p"}}},
		"br-lan * ppp*":               {{prefix: ""}},
	} {
		got := groupInterfaces(strings.Fields(text))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(interfaces{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}
