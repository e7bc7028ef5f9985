// Command bench measures what runs of the program cost, beside what the kernel
// alone needs to list the same tables, and holds that to the project's goals. It
// runs in namespaces of its own: see bench.sh.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"
)

// The goals.
const (
	original      = 142 * time.Millisecond // CPU time of the original at 50 clients and 5,000 flows
	fixedCost     = 10 * time.Millisecond  // of a run above 1.5 times the kernel's share
	costPerClient = 25 * time.Microsecond
)

// A size is a router of one size, and what a run may take in memory on it.
type size struct {
	flows, clients int
	memory         int  // MiB; 0: no goal
	rules          bool // clients are counted by rules, not in sets
}

var sizes = []size{
	{flows: 1_000, clients: 50},
	{flows: 5_000, clients: 50},
	{flows: 100_000, clients: 250, memory: 32},
	{flows: 1_000, clients: 1_000},
	{flows: 5_000, clients: 1_000},
	{flows: 1_000, clients: 10_000},
	{flows: 100_000, clients: 1_000},
	{flows: 1_000_000, clients: 1_000},
	{flows: 100_000, clients: 10_000},
	{flows: 5_000, clients: 65_000},
	{flows: 1_000_000, clients: 65_000, memory: 200},
	{flows: 1_000, clients: 50, rules: true},
	{flows: 1_000, clients: 1_000, rules: true},
	{flows: 1_000, clients: 10_000, rules: true},
}

// rounds is how often each size is measured. The least counts: whatever else the
// machine does only adds to it.
const rounds = 7

func main() {
	if len(os.Args) > 2 && os.Args[1] == measureCommand {
		if err := measureHere(os.Stdout, os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bench PROGRAM, in a network namespace of its own")
		os.Exit(2)
	}
	missed, err := bench(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || missed > 0 {
		os.Exit(1)
	}
}

// bench measures all sizes and gives the number of goals missed.
func bench(program string) (missed int, err error) {
	program, err = filepath.Abs(program)
	if err != nil {
		return 0, err
	}
	goal := func(ok bool) string {
		if ok {
			return "ok"
		}
		missed++
		return "MISSED"
	}
	start, err := least(func() (measurement, error) { return measure([]string{program, "--version"}) })
	if err != nil {
		return 0, err
	}
	fmt.Printf(`CPU time in ms, the least of %d runs; memory in MiB, the most.
kernel: listing the same tables, received and not looked at. limit: 1.5 kernel + 10 ms + 25 µs a client.
held: a run within the budget, which publishes the last counts of flows. start-up alone takes %.1f ms.

`, rounds, ms(start.cpu))
	fmt.Printf("%9s %8s %-6s %8s %8s %6s %8s %-6s %8s %8s %6s\n", "flows", "clients", "in", "kernel", "run", "ratio", "limit", "", "held", "wall", "memory")
	results := make(map[size]result)
	for _, s := range sizes {
		r, err := s.measure(program)
		if limit := (*limitError)(nil); errors.As(err, &limit) {
			fmt.Printf("%9d %8d %-6s not measured: %v\n", s.flows, s.clients, s.layout(), err)
			continue
		} else if err != nil {
			return missed, fmt.Errorf("%d flows, %d clients: %w", s.flows, s.clients, err)
		}
		results[s] = r
		limit := r.kernel*3/2 + fixedCost + time.Duration(s.clients)*costPerClient
		fmt.Printf("%9d %8d %-6s %8.1f %8.1f %6.2f %8.1f %-6s %8.1f %8.1f %6.1f", s.flows, s.clients, s.layout(), ms(r.kernel), ms(r.run.cpu),
			r.run.cpu.Seconds()/r.kernel.Seconds(), ms(limit), goal(r.run.cpu <= limit), ms(r.held), ms(r.run.wall), r.run.memory)
		if s.memory > 0 {
			fmt.Printf(" of %d %s", s.memory, goal(r.run.memory <= float64(s.memory)))
		}
		fmt.Println()
	}

	if r, ok := results[sizes[1]]; ok {
		fmt.Printf("\nof the original's %v at 50 clients and 5,000 flows, a run takes 1/%.0f %s\n", original, original.Seconds()/r.run.cpu.Seconds(), goal(5*r.run.cpu <= original))
	}
	perFlow := func(s size, of func(result) time.Duration) float64 {
		least := size{flows: 1_000, clients: s.clients}
		return float64((of(results[s]) - of(results[least])).Nanoseconds()) / float64(s.flows-least.flows)
	}
	for _, s := range sizes {
		if _, ok := results[s]; ok && !s.rules && s.clients == 1_000 && s.flows >= 100_000 {
			kernel, run := perFlow(s, func(r result) time.Duration { return r.kernel }), perFlow(s, func(r result) time.Duration { return r.run.cpu })
			fmt.Printf("a flow more, towards %d: %.0f ns, of which the kernel takes %.0f\n", s.flows, run, kernel)
		}
	}
	return missed, nil
}

// A result is what runs on a router of one size took.
type result struct {
	kernel time.Duration
	run    measurement
	held   time.Duration // of CPU, where the flows are not counted
}

// A limitError says that the kernel has no room for so many flows.
type limitError struct{ max uint32 }

func (e *limitError) Error() string {
	return fmt.Sprintf("nf_conntrack_max is %d here, and only root may raise it", e.max)
}

// measure makes a router of that size and runs the program on it.
func (s size) measure(program string) (result, error) {
	// Namespaces and the CPU clock are those of a thread.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return result{}, fmt.Errorf("make a network namespace: %w", err)
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	args := []string{program,
		"--output=" + dir + "/metrics.prom", "--state-dir=" + dir + "/state", "--leases=" + dir + "/leases", "--hosts=" + os.DevNull,
		"--max-clients=" + strconv.Itoa(s.clients), "--accounting=" + s.layout(),
	}
	// Every run is to count the flows, whatever that costs; or else none, as long
	// as the first one's counts last.
	every, once := append(args, "--conntrack-budget=100", "--interval=60"), append(args, "--conntrack-budget=0.1", "--interval=0.1")
	if err := s.build(dir, every); err != nil {
		return result{}, err
	}
	r := result{kernel: time.Hour}
	if r.run, err = least(func() (measurement, error) {
		kernel, err := s.listAll()
		if err != nil {
			return measurement{}, err
		}
		r.kernel = min(r.kernel, kernel)
		return measure(every)
	}); err != nil {
		return r, err
	}
	if _, err := measure(once); err != nil {
		return r, err
	}
	held, err := least(func() (measurement, error) { return measure(once) })
	r.held = held.cpu
	return r, err
}

// layout is the value of --accounting.
func (s size) layout() string {
	if s.rules {
		return "rules"
	}
	return "sets"
}

// least measures for all rounds and gives the least of each time, and the most
// memory.
func least(measure func() (measurement, error)) (measurement, error) {
	best, err := measure()
	for range rounds - 1 {
		m, again := measure()
		if err = errors.Join(err, again); err != nil {
			return best, err
		}
		best.cpu, best.wall, best.memory = min(best.cpu, m.cpu), min(best.wall, m.wall), max(best.memory, m.memory)
	}
	return best, err
}

// build makes what the program is to read: neighbours, leases, flows and counted
// traffic of all clients.
func (s size) build(dir string, args []string) error {
	var neighbors, leases strings.Builder
	neighbors.WriteString("link add br-lan type bridge\nlink set br-lan up\naddress add 10.255.255.254/8 dev br-lan\n")
	for i := range s.clients {
		addr, mac := client(i), fmt.Sprintf("02:00:5e:%02x:%02x:%02x", i>>16, i>>8&0xff, i&0xff)
		fmt.Fprintf(&neighbors, "neighbor add %v dev br-lan lladdr %s nud permanent\n", addr, mac)
		fmt.Fprintf(&leases, "4102444800 %s %v client-%d *\n", mac, addr, i)
	}
	if err := command(neighbors.String(), "ip", "-batch", "-"); err != nil {
		return err
	}
	if err := os.WriteFile(dir+"/leases", []byte(leases.String()), 0o644); err != nil {
		return err
	}
	if err := s.addFlows(); err != nil {
		return err
	}
	// The first run makes the sets, or the rules.
	if err := command("", args[0], args[1:]...); err != nil {
		return err
	}
	if !s.rules {
		for _, set := range trafficSets {
			if err := addElements(set, s.clients); err != nil {
				return err
			}
		}
	}
	// The next one meets all clients for the first time.
	return command("", args[0], args[1:]...)
}

// listAll has the kernel list all that a run reads.
func (s size) listAll() (time.Duration, error) {
	tables := []table{conntrackTable(), neighborTable()}
	if s.rules {
		tables = append(tables, trafficRules())
	} else {
		for _, set := range trafficSets {
			tables = append(tables, elementsOf(set))
		}
	}
	var sum time.Duration
	for _, t := range tables {
		d, err := t.receive()
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

func (s size) addFlows() error {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return err
	}
	defer c.Close()
	stats, err := c.StatsGlobal()
	if err != nil {
		return err
	}
	if int(stats.MaxEntries) < s.flows {
		return &limitError{stats.MaxEntries}
	}
	if err := addFlows(s.flows, s.clients); err != nil {
		return err
	}
	stats, err = c.StatsGlobal()
	if err == nil && int(stats.Entries) != s.flows {
		err = fmt.Errorf("there are %d flows, want %d", stats.Entries, s.flows)
	}
	return err
}

// command runs a program for what it does.
func command(stdin, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%.1000s", name, err, out)
	}
	return nil
}

// A measurement is what one run took.
type measurement struct {
	cpu, wall time.Duration
	memory    float64 // MiB
}

const measureCommand = "measure"

// measure runs a program and measures it, from a small process: the kernel counts
// the memory of whoever starts a program as that program's.
func measure(args []string) (measurement, error) {
	var m measurement
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	cmd := exec.Command(self, append([]string{measureCommand}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return m, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	_, err = fmt.Sscan(string(out), &m.cpu, &m.wall, &m.memory)
	return m, err
}

// measureHere is the small process.
func measureHere(to io.Writer, args []string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return err
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	_, err := fmt.Fprintln(to, int64(cmd.ProcessState.SystemTime()+cmd.ProcessState.UserTime()), int64(time.Since(start)), float64(usage.Maxrss)/1024)
	return err
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
