package lab

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// script builds the router; its head draws it.
//
//go:embed lab.sh
var script string

// packages says which Debian package has a program, a line each.
//
//go:embed packages
var packages string

// commandLimit bounds each program run, also where the processor is emulated.
const commandLimit = time.Minute

// A Router is the lab as seen by the process that runs the test, which is the
// router itself: its LAN interface is br-lan, its WAN interface wan.
type Router struct {
	Leases string // dnsmasq's lease file

	Laptop, Phone, Printer *Host // on br-lan, named by DHCP
	Server                 *Host // beyond wan
}

// Clients returns the hosts on br-lan.
func (r *Router) Clients() []*Host { return []*Host{r.Laptop, r.Phone, r.Printer} }

// A Host is a network namespace with one interface, eth0.
type Host struct {
	Name string
	IPv4 netip.Addr
	IPv6 netip.Addr
	MAC  net.HardwareAddr
}

// Run runs f on the router of a lab of its own; see [Namespace].
func Run(t *testing.T, f func(t *testing.T, r *Router)) {
	t.Helper()
	Namespace(t, func(t *testing.T) {
		Need(t, "bash", "dnsmasq", "ip", "nft", "udhcpc")
		Command(t, "bash", "-c", script)
		f(t, &Router{
			Leases:  "/run/dnsmasq.leases",
			Laptop:  host("laptop", "192.168.10.100", "fd00:10::100", 0x01),
			Phone:   host("phone", "192.168.10.101", "fd00:10::101", 0x02),
			Printer: host("printer", "192.168.10.102", "fd00:10::102", 0x03),
			Server:  host("server", "203.0.113.2", "2001:db8::2", 0xff),
		})
	})
}

func host(name, ipv4, ipv6 string, mac byte) *Host {
	return &Host{name, netip.MustParseAddr(ipv4), netip.MustParseAddr(ipv6), net.HardwareAddr{2, 0, 0, 0, 0, mac}}
}

// AddGuest adds another LAN with one host, which the firewall lets send.
func (r *Router) AddGuest(t *testing.T, lan string) *Host {
	t.Helper()
	guest := host("guest", "192.168.20.5", "fd00:20::5", 0x09)
	Nft(t, "add rule inet filter forward iifname "+lan+" accept")
	Command(t, "sh", "-ec", `
		ip netns add guest
		ip link add "$0" type veth peer name eth0 address "$1" netns guest
		ip addr add 192.168.20.1/24 dev "$0"
		ip addr add fd00:20::1/64 dev "$0" nodad
		ip link set "$0" up
		ip -n guest link set eth0 up
		ip -n guest addr add 192.168.20.5/24 dev eth0
		ip -n guest addr add fd00:20::5/64 dev eth0 nodad
		ip -n guest route add default via 192.168.20.1
		ip -n guest route add default via fd00:20::1`, lan, guest.MAC.String())
	return guest
}

// Do runs f on a thread that has joined the host's network namespace: sockets
// that f opens belong to the host for as long as they live. What f starts in
// other goroutines does not.
func (h *Host) Do(f func() error) error {
	done := make(chan error)
	go func() {
		err := errors.New("f did not return")
		defer func() { done <- err }()
		// Never unlocked: the thread ends with this goroutine.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread cannot end, and /proc/self is its view.
			err = h.Do(f)
			runtime.UnlockOSThread()
			return
		}
		if err = h.join(); err == nil {
			err = f()
		}
	}()
	return <-done
}

// join moves the calling thread into the host's network namespace.
func (h *Host) join() error {
	namespace, err := os.Open("/run/netns/" + h.Name)
	if err != nil {
		return err
	}
	defer namespace.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("join %s: %w", namespace.Name(), err)
	}
	return nil
}

// Nft loads a ruleset, in the language of nft(8), into the test's network namespace.
func Nft(t *testing.T, ruleset string) {
	t.Helper()
	command(t, ruleset, "nft", "-f", "-")
}

// Command runs a program in the test's network namespace and returns what it
// printed; for one on a host, run ip netns exec. The test fails if the program does.
func Command(t *testing.T, name string, args ...string) string {
	t.Helper()
	return command(t, "", name, args...)
}

func command(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	Need(t, name)
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		line, _, _ := strings.Cut(cmd.String(), "\n")
		t.Fatalf("%s: %v\n%s%s", line, err, &stdout, &stderr)
	}
	return stdout.String()
}

// Need skips the test, or fails it if NAMESPACES=required is set, where one of
// the programs is not installed.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			pkg := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(program) + ` +(\S+)`).FindStringSubmatch(packages + program + " unknown")
			Unavailable(t, "%v (Debian package %s; make test gets what is missing)", err, pkg[1])
		}
	}
}
