package dns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// resolveAt makes address the resolver of the test's mount namespace, which is to
// be waited for longer than a test may take. It has to be called before the first
// question: Go reads the file only now and then.
func resolveAt(t *testing.T, address string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver "+address+"\noptions timeout:120\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(file, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
}

// dnsmasq starts a DNS server on 127.0.0.1 that knows what its options say and
// refuses the rest. It ends with the test.
func dnsmasq(t *testing.T, options ...string) {
	t.Helper()
	lab.Need(t, "dnsmasq")
	cmd := exec.Command("dnsmasq", append([]string{"--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
		"--listen-address=127.0.0.1", "--bind-interfaces"}, options...)...)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for range 500 {
		// Its TCP socket is there once its UDP socket is.
		if conn, err := net.Dial("tcp", "127.0.0.1:53"); err == nil {
			conn.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("dnsmasq does not listen")
}

func addrs(texts ...string) (list []netip.Addr) {
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

func TestNames(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		resolveAt(t, "127.0.0.1")
		dnsmasq(t, "--local=/168.192.in-addr.arpa/", "--host-record=lea.lan,192.168.10.100,fd00:10::100",
			"--ptr-record=101.10.168.192.in-addr.arpa,b.lan", "--ptr-record=101.10.168.192.in-addr.arpa,a.lan",
			"--ptr-record=102.10.168.192.in-addr.arpa,a|b\"c.lan")
		for _, test := range []struct {
			name string
			ask  []netip.Addr
			want map[string]string
			fail bool
		}{
			{"nothing", nil, nil, false},
			{"names", addrs("192.168.10.100", "fd00:10::100"), map[string]string{"192.168.10.100": "lea.lan", "fd00:10::100": "lea.lan"}, false},
			{"several, in any order", addrs("192.168.10.101"), map[string]string{"192.168.10.101": "a.lan"}, false},
			{"unknown", addrs("192.168.10.200"), nil, false},
			{"what is no name (RFC 1035, 2.3.1)", addrs("192.168.10.102"), nil, true},
			{"refused", addrs("203.0.113.7"), nil, true},
			{"refused, and another one answered", addrs("203.0.113.7", "192.168.10.100"), map[string]string{"192.168.10.100": "lea.lan"}, false},
			{"refused, and another one unknown", addrs("203.0.113.7", "192.168.10.200"), nil, false},
		} {
			t.Run(test.name, func(t *testing.T) {
				names, err := Names(test.ask)
				for n := 0; n < 20 && !test.fail && (err != nil || len(names) < len(test.want)); n++ {
					names, err = Names(test.ask) // on a busy machine 200 ms may pass
				}
				if (err != nil) != test.fail {
					t.Errorf("got error %v", err)
				}
				var got map[string]string
				for _, a := range names {
					if got == nil {
						got = make(map[string]string)
					}
					got[a.Addr.String()] = a.Name
					if a.Source != state.FromDNS || !a.MAC.IsZero() {
						t.Errorf("got %+v", a)
					}
				}
				if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("names (-want +got):\n%s", diff)
				}
			})
		}
	})
}

// TestNoAnswer asks resolvers that give none.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	many := addrs("192.168.10.100", "192.168.10.101", "192.168.10.102", "192.168.10.103", "192.168.10.104", "192.168.10.105", "fd00:10::1", "fd00:10::2")
	want := fmt.Sprintf("ask the resolver of /etc/resolv.conf for names: no usable answer within %v", timeout)
	for _, test := range []struct {
		name   string
		listen bool // and say nothing
	}{{"it is silent", true}, {"it is not there", false}} {
		t.Run(test.name, func(t *testing.T) {
			lab.Namespace(t, func(t *testing.T) {
				resolveAt(t, "127.0.0.1")
				if test.listen {
					silent, err := net.ListenPacket("udp", "127.0.0.1:53")
					if err != nil {
						t.Fatal(err)
					}
					defer silent.Close()
				}
				for range 3 {
					names, err := Names(many)
					if len(names) > 0 || err == nil || err.Error() != want {
						t.Errorf("got %v and error %v, want %s", names, err, want)
					}
				}
			})
		})
	}
}

// TestNoNetwork has no way to a resolver.
func TestNoNetwork(t *testing.T) {
	t.Parallel()
	lab.Namespace(t, func(t *testing.T) {
		resolveAt(t, "192.0.2.1")
		if names, err := Names(addrs("192.168.10.100")); len(names) > 0 || err == nil {
			t.Errorf("got %v and error %v", names, err)
		}
	})
}
