// Command bench measures what runs of the program cost, beside what the kernel
// alone needs to list the same tables, and holds that to the project's goals. It
// runs in namespaces of its own: see bench.sh.
package main

import (
	"cmp"
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

	"network-metrics-exporter/state"
)

// A goal is the CPU time that a run may take: so many times what the kernel takes to
// list the same tables, and more.
type goal struct {
	kernel    float64
	fixed     time.Duration
	perClient time.Duration
}

// usual is the goal where there is no stricter one.
var usual = goal{kernel: 1.5, fixed: 10 * time.Millisecond, perClient: 25 * time.Microsecond}

// limit gives the time for so many clients.
func (g goal) limit(kernel time.Duration, clients int) time.Duration {
	return time.Duration(g.kernel*float64(kernel)) + g.fixed + time.Duration(clients)*g.perClient
}

func (g goal) String() string {
	return fmt.Sprintf("%.4g kernel + %v + %v a client", g.kernel, g.fixed, g.perClient)
}

// A size is a router of one size, and what a run may take on it.
type size struct {
	flows, clients int
	layout         state.Layout // how clients are counted; empty: sets
	goal           goal         // zero: usual
	memory         int          // MiB; 0: no goal
	scripts        bool         // measure what scripts start, too
}

var sizes = []size{
	{flows: 1_000, clients: 50},
	{flows: 5_000, clients: 50, goal: goal{kernel: 1.2, fixed: 5 * time.Millisecond}, scripts: true},
	{flows: 100_000, clients: 250, memory: 32, scripts: true},
	{flows: 100_000, clients: 250, layout: state.Flows, goal: goal{kernel: 1.35}, memory: 48},
	{flows: 1_000, clients: 1_000, goal: goal{kernel: 1, perClient: 11 * time.Microsecond}, scripts: true},
	{flows: 5_000, clients: 1_000},
	{flows: 1_000, clients: 10_000, goal: goal{kernel: 1, perClient: 6500 * time.Nanosecond}, memory: 40, scripts: true},
	{flows: 100_000, clients: 1_000},
	{flows: 100_000, clients: 10_000},
	{flows: 5_000, clients: 65_000},
	{flows: 1_000, clients: 50, layout: state.Rules},
	{flows: 1_000, clients: 1_000, layout: state.Rules},
	{flows: 1_000, clients: 10_000, layout: state.Rules},
	// Last: the kernel takes its time to forget so many.
	{flows: 1_000_000, clients: 1_000},
	{flows: 1_000_000, clients: 65_000, memory: 200},
}

// addressesPerDevice is how many addresses a device has.
const addressesPerDevice = 3

// Each size is measured so often at least, and for so long. The least counts:
// whatever else the machine does only adds to it.
const (
	rounds   = 7
	duration = 3 * time.Second
)

// A stopwatch measures again and again for so long at least.
type stopwatch time.Duration

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
	judge := func(ok bool) string {
		if ok {
			return "ok"
		}
		missed++
		return "MISSED"
	}
	watch := stopwatch(duration)
	start, err := watch.least(func() (measurement, error) { return measure([]string{program, "--version"}) })
	if err != nil {
		return 0, err
	}
	fmt.Printf(`CPU time in ms, the least of %d runs or more; memory in MiB, the most. Start-up alone takes %.1f ms.
kernel: listing the same tables, received and not looked at. limit: %v, where no other is said.
held: a run within the budget, which publishes the last counts of flows.
scripts: %s.

`, rounds, ms(start.cpu), usual, strings.Join(scripts(), ", "))
	fmt.Printf("%9s %8s %-6s %8s %8s %8s %-6s %8s %8s %8s %6s\n", "flows", "clients", "in", "kernel", "run", "limit", "", "scripts", "held", "wall", "memory")
	results := make(map[size]result)
	for _, s := range sizes {
		r, err := s.measure(program, watch)
		if limit := (*limitError)(nil); errors.As(err, &limit) {
			fmt.Printf("%9d %8d %-6s not measured: %v\n", s.flows, s.clients, s.in(), err)
			continue
		} else if err != nil {
			return missed, fmt.Errorf("%d flows, %d clients in %s: %w", s.flows, s.clients, s.in(), err)
		}
		results[s] = r
		g := cmp.Or(s.goal, usual)
		limit := g.limit(r.kernel, s.clients)
		fmt.Printf("%9d %8d %-6s %8.1f %8.1f %8.1f %-6s %8s %8s %8.1f %6.1f", s.flows, s.clients, s.in(), ms(r.kernel), ms(r.run.cpu),
			ms(limit), judge(r.run.cpu <= limit), optional(r.scripts), optional(r.held), ms(r.run.wall), r.run.memory)
		if s.memory > 0 {
			fmt.Printf(" of %d %s", s.memory, judge(r.run.memory <= float64(s.memory)))
		}
		if g != usual {
			fmt.Printf("; limit %v", g)
		}
		fmt.Println()
	}
	fmt.Println()
	for _, s := range sizes {
		r, ok := results[s]
		if !ok {
			continue
		}
		if s.goal.kernel == 1 {
			fmt.Printf("%d clients, %d to a device: %.1f µs a client beyond the kernel's share\n", s.clients, addressesPerDevice, (r.run.cpu-r.kernel).Seconds()*1e6/float64(s.clients))
		}
		if s.scripts {
			fmt.Printf("%d flows, %d clients: a run takes 1/%.1f of what scripts start for the same answer\n", s.flows, s.clients, r.scripts.Seconds()/r.run.cpu.Seconds())
		}
	}
	return missed, nil
}

// A result is what runs on a router of one size took.
type result struct {
	kernel time.Duration
	run    measurement
	held   time.Duration // of CPU, where the flows are not counted; 0: not measured
	// CPU that the programs take which scripts start; 0: not measured.
	scripts time.Duration
}

// A limitError says that the kernel has no room for so many flows.
type limitError struct{ max uint32 }

func (e *limitError) Error() string {
	return fmt.Sprintf("nf_conntrack_max is %d here, and only root may raise it", e.max)
}

// measure makes a router of that size and runs the program on it.
func (s size) measure(program string, watch stopwatch) (result, error) {
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
	// The units have the state on a disk, and the file of metrics in /run.
	run := dir + "/run"
	if err := errors.Join(os.Mkdir(run, 0o755), os.Setenv("RUNTIME_DIRECTORY", run), unix.Mount("tmpfs", run, "tmpfs", 0, "")); err != nil {
		return result{}, err
	}
	defer unix.Unmount(run, 0)
	if s.layout == state.Flows {
		if err := os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_acct", []byte("1"), 0); err != nil {
			return result{}, err
		}
	}
	args := []string{program, "sample",
		"--output=" + run + "/metrics.prom", "--state-dir=" + dir + "/state", "--leases=" + dir + "/leases", "--hosts=" + os.DevNull,
		"--max-clients=" + strconv.Itoa(s.clients), "--accounting=" + s.in(),
	}
	// Every run is to count the flows, whatever that costs; or else none, as long
	// as the first one's counts last.
	every, once := append(args, "--conntrack-budget=100", "--interval=60"), append(args, "--conntrack-budget=0.1", "--interval=0.1")
	if err := s.build(dir, every); err != nil {
		return result{}, err
	}
	r := result{kernel: time.Hour}
	if r.run, err = watch.least(func() (measurement, error) {
		kernel, err := s.listAll()
		if err != nil {
			return measurement{}, err
		}
		r.kernel = min(r.kernel, kernel)
		return measure(every)
	}); err != nil {
		return r, err
	}
	if s.scripts {
		for _, script := range scripts() {
			m, err := watch.least(func() (measurement, error) { return measure(strings.Fields(script)) })
			if err != nil {
				return r, err
			}
			r.scripts += m.cpu
		}
	}
	if s.layout == state.Flows {
		return r, nil // such a run has no counts of bytes either
	}
	if _, err := measure(once); err != nil {
		return r, err
	}
	held, err := watch.least(func() (measurement, error) { return measure(once) })
	r.held = held.cpu
	return r, err
}

// scripts are what a script starts, and parses then, to know what a run publishes.
func scripts() []string {
	return []string{"nft -j list ruleset", "conntrack -L", "ip -j neigh"}
}

// in is the value of --accounting.
func (s size) in() string { return string(cmp.Or(s.layout, state.Sets)) }

// least gives the least of each time, and the most memory.
func (w stopwatch) least(measure func() (measurement, error)) (measurement, error) {
	start := time.Now()
	best, err := measure()
	for n := 1; n < rounds || time.Since(start) < time.Duration(w); n++ {
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
		device := i / addressesPerDevice
		addr, mac := client(i), fmt.Sprintf("02:00:5e:%02x:%02x:%02x", device>>16, device>>8&0xff, device&0xff)
		fmt.Fprintf(&neighbors, "neighbor add %v dev br-lan lladdr %s nud permanent\n", addr, mac)
		fmt.Fprintf(&leases, "4102444800 %s %v device-%d *\n", mac, addr, device)
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
	if s.layout != state.Rules {
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
	if s.layout == state.Rules {
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
	var said strings.Builder
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = &said
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, &said)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	_, err := fmt.Fprintln(to, int64(cmd.ProcessState.SystemTime()+cmd.ProcessState.UserTime()), int64(time.Since(start)), float64(usage.Maxrss)/1024)
	return err
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// optional writes a time in ms, or that it was not measured.
func optional(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", ms(d))
}
