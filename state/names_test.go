package state

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanName(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"laptop", "laptop"},
		{"Bob's iPhone", "Bob's iPhone"},
		{"Büro-Drucker", "Büro-Drucker"},
		{"電視", "電視"},
		{"a|b", "a_b"},
		{`a"b\c`, "a_b_c"},
		{"a\nb\r\tc\x00d", "a_b__c_d"},
		{"a\xff\xfeb", "a__b"},
		{"a\u202eb\u200fc\u200bd\u2028e", "a_b_c_d_e"},
		{"a\u00a0b", "a_b"},
		{"  padded ", "padded"},
		{"", ""},
		{" ", ""},
		{strings.Repeat("x", 300), strings.Repeat("x", 255)},
		{strings.Repeat("ü", 128), strings.Repeat("ü", 127)},
	} {
		if got := CleanName(test.name); got != test.want {
			t.Errorf("CleanName(%q) is %q, want %q", test.name, got, test.want)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	f.Add("Bob's iPhone")
	f.Add("a|\"\\\n\x00\xff\u202e\ufffd " + strings.Repeat("ü", 200))
	f.Fuzz(func(t *testing.T, name string) {
		clean := CleanName(name)
		if !utf8.ValidString(clean) || len(clean) > maxName || strings.ContainsAny(clean, "\n\r\x00|\"\\") {
			t.Errorf("CleanName(%q) is %q", name, clean)
		}
		if again := CleanName(clean); again != clean {
			t.Errorf("CleanName(%q) is %q: a clean name was changed", clean, again)
		}
	})
}

func TestNames(t *testing.T) {
	neighbours := []NeighborEntry{
		{Addr: laptop, MAC: laptopMAC, State: Reachable},
		{Addr: laptop6, MAC: laptopMAC, State: Reachable},
		{Addr: phone, MAC: phoneMAC, State: Reachable},
	}
	lease := func(addr netip.Addr, mac MAC, name string) Assignment {
		return Assignment{Addr: addr, MAC: mac, Name: name, Source: FromDHCP}
	}
	host := func(addr netip.Addr, mac MAC, name string) Assignment {
		return Assignment{Addr: addr, MAC: mac, Name: name, Source: FromHosts}
	}
	type named struct {
		name   string
		source NameSource
	}
	nobody := named{Unknown, FromNone}
	for _, test := range []struct {
		name                   string
		names                  []Assignment
		laptop, laptop6, phone named
	}{
		{"nobody knows", nil, nobody, nobody, nobody},
		{"a lease names the device at all its addresses", []Assignment{lease(laptop, laptopMAC, "lea")},
			named{"lea", FromDHCP}, named{"lea", FromDHCP}, nobody},
		{"a lease of a device that is not there any more", []Assignment{lease(phone, laptopMAC, "lea")},
			named{"lea", FromDHCP}, named{"lea", FromDHCP}, nobody},
		{"a hosts file names an address, and so its device", []Assignment{host(laptop, MAC{}, "hana")},
			named{"hana", FromHosts}, named{"hana", FromHosts}, nobody},
		{"a hosts file names a device", []Assignment{host(netip.Addr{}, laptopMAC, "hana")},
			named{"hana", FromHosts}, named{"hana", FromHosts}, nobody},
		{"what the user wrote wins", []Assignment{lease(laptop, laptopMAC, "lea"), host(netip.Addr{}, laptopMAC, "hana")},
			named{"hana", FromHosts}, named{"hana", FromHosts}, nobody},
		{"an assignment to another device leaves the lease", []Assignment{host(laptop, phoneMAC, "hana"), lease(laptop, laptopMAC, "lea")},
			named{"lea", FromDHCP}, named{"lea", FromDHCP}, named{"hana", FromHosts}},
		{"the first of two", []Assignment{lease(laptop, laptopMAC, "one"), lease(laptop, laptopMAC, "two")},
			named{"one", FromDHCP}, named{"one", FromDHCP}, nobody},
		{"a name for each address", []Assignment{host(laptop, MAC{}, "four"), host(laptop6, MAC{}, "six")},
			named{"four", FromHosts}, named{"six", FromHosts}, nobody},
		{"a name that cleaning leaves nothing of", []Assignment{lease(laptop, laptopMAC, " "), lease(laptop, laptopMAC, "a|b")},
			named{"a_b", FromDHCP}, named{"a_b", FromDHCP}, nobody},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, report := play(t, step{lan: neighbours, names: test.names})
			for addr, want := range map[netip.Addr]named{laptop: test.laptop, laptop6: test.laptop6, phone: test.phone} {
				c := client(t, report, addr)
				if got := (named{c.Name, c.NameSource}); got != want {
					t.Errorf("%v is %v, want %v", addr, got, want)
				}
			}
		})
	}
}

// The address of a device that has no neighbour entry is named by the lease.
func TestNameWithoutNeighbour(t *testing.T) {
	_, report := play(t, step{
		counters: []Counter{tx(laptop, 1, 1, 100)},
		names:    []Assignment{{Addr: laptop, MAC: laptopMAC, Name: "lea", Source: FromDHCP}},
	})
	if c := client(t, report, laptop); c.Name != "lea" || !c.MAC.IsZero() {
		t.Errorf("%v is %q with MAC %q, want lea with none", laptop, c.Name, c.MAC)
	}
}

// When an address passes to another device, the name stays with the first one.
func TestNameStaysWithDevice(t *testing.T) {
	names := []Assignment{{Addr: laptop, MAC: laptopMAC, Name: "lea", Source: FromDHCP}}
	_, report := play(t,
		step{names: names, lan: []NeighborEntry{{Addr: laptop, MAC: laptopMAC, State: Reachable}}},
		step{names: names, at: 2, lan: []NeighborEntry{{Addr: laptop, MAC: phoneMAC, State: Reachable}}},
	)
	if c := client(t, report, laptop); c.Name != Unknown || c.MAC != phoneMAC {
		t.Errorf("%v is %q with MAC %v, want %q with %v", laptop, c.Name, c.MAC, Unknown, phoneMAC)
	}
}

func TestMAC(t *testing.T) {
	for _, test := range []struct {
		mac   MAC
		want  string
		local bool
	}{
		{laptopMAC, "00:1b:63:00:00:01", false},
		{phoneMAC, "02:00:00:00:00:02", true},
		{MAC{}, "", false},
	} {
		if test.mac.String() != test.want || test.mac.IsLocal() != test.local {
			t.Errorf("%v is %q, local %v; want %q, %v", [6]byte(test.mac), test.mac, test.mac.IsLocal(), test.want, test.local)
		}
	}
}
