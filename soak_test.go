package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"network-metrics-exporter/testdata/lab"
)

// soakRuns, in the environment, is how often TestSoak runs the program.
const soakRuns = "SOAK_RUNS"

// TestSoak runs the program over and over while clients come and go and the
// ruleset is flushed and loaded again. In the end not a byte may be missing, and
// nothing may have grown: not the memory of a run, the state or the series.
// `make soak` does it 20,000 times.
func TestSoak(t *testing.T) {
	t.Parallel()
	runs := 200
	if text := os.Getenv(soakRuns); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 4 {
			t.Fatalf("%s=%s: want a number from 4", soakRuns, text)
		}
		runs = n
	}
	for _, layout := range []string{"--accounting=sets", flows} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			soak(t, layout, runs)
		})
	}
}

// soak is TestSoak with one layout.
func soak(t *testing.T, layout string, runs int) {
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		countFlows(t)
		firewall := lab.Command(t, "nft", "-s", "list", "ruleset")
		i := install(t, r)
		random := rand.New(rand.NewPCG(9, uint64(runs)))
		hosts := guests(t, r)
		conversations := make(map[netip.Addr]*lab.Flow)
		sent := make(map[netip.Addr][2]uint64) // rx and tx

		i.process(t, layout)                                  // from now on everything is counted
		var quarters [4]struct{ memory, state, series int64 } // the largest of each quarter of the runs
		for n := range runs {
			host := hosts[random.IntN(len(hosts))]
			network, addr := "udp4", host.IPv4
			if random.IntN(2) == 0 {
				network, addr = "udp6", host.IPv6
			}
			if conversations[addr] == nil {
				conversations[addr] = lab.UDP(t, network, host, r.Server)
			}
			moved := sent[addr]
			moved[1] += conversations[addr].Send(t, 1+random.IntN(20), random.IntN(1400))
			moved[0] += conversations[addr].Reply(t, random.IntN(20), random.IntN(1400))
			sent[addr] = moved

			memory := i.process(t, layout)
			text, err := os.ReadFile(i.prom())
			if err != nil {
				t.Fatal(err)
			}
			ledger, err := os.Stat(i.ledger())
			if err != nil {
				t.Fatal(err)
			}
			q := &quarters[4*n/runs]
			q.memory = max(q.memory, memory)
			q.state = max(q.state, ledger.Size())
			q.series = max(q.series, int64(strings.Count(string(text), "\n")))
			if n%100 == 99 || n == runs-1 {
				total(t, parse(t, text), sent)
			}

			// Nothing passes between the run before and the one that heals, so
			// that nothing is lost.
			switch random.IntN(30) {
			case 0:
				lab.Nft(t, "flush ruleset\n"+firewall)
				i.process(t, layout)
			case 1:
				lab.Nft(t, "delete table inet network_metrics")
				i.process(t, layout)
			case 2:
				lab.Nft(t, "flush chain inet network_metrics CLIENT_TRAFFIC\nflush set inet network_metrics client_tx")
				i.process(t, layout)
			case 3:
				lab.Command(t, "conntrack", "-F")
			case 4:
				lab.Command(t, "ip", "neigh", "flush", "dev", "br-lan")
			}
		}
		t.Logf("%d runs, by quarter: %+v (kB of memory, bytes of state, lines of the page)", runs, quarters)
		// By the second quarter all guests have been there.
		for _, grown := range []struct {
			what        string
			early, late int64
		}{
			{"memory of a run, kB", quarters[1].memory, quarters[3].memory},
			{"lines of the page", quarters[1].series, quarters[3].series},
		} {
			if grown.late > grown.early+grown.early/5 {
				t.Errorf("%s grew from %d to %d", grown.what, grown.early, grown.late)
			}
		}
		// The last minute of each client is in it, and so are clocks and totals
		// whose digits grow.
		if most := 200*2*int64(len(hosts)) + 1000; quarters[3].state > most {
			t.Errorf("%d bytes of state for %d addresses, want %d at most", quarters[3].state, 2*len(hosts), most)
		}
	})
}

// guests gives the laptop ten further addresses of each family, as if as many
// devices were there.
func guests(t *testing.T, r *lab.Router) []*lab.Host {
	t.Helper()
	hosts := r.Clients()
	var batch strings.Builder
	for n := range 10 {
		guest := *r.Laptop
		guest.IPv4 = netip.AddrFrom4([4]byte{192, 168, 10, byte(200 + n)})
		guest.IPv6 = netip.MustParseAddr(fmt.Sprintf("fd00:10::%d", 200+n))
		fmt.Fprintf(&batch, "address add %v/24 dev eth0\naddress add %v/64 dev eth0 nodad\n", guest.IPv4, guest.IPv6)
		hosts = append(hosts, &guest)
	}
	lab.Command(t, "bash", "-c", "ip -n laptop -batch - <<<'"+batch.String()+"'")
	return hosts
}

// process runs the program in a process of its own, which is to say nothing, and
// gives the memory it took at most, in kB.
func (i installation) process(t *testing.T, flags ...string) (memory int64) {
	t.Helper()
	memory, log := i.processLogging(t, flags...)
	if log != "" {
		t.Fatalf("a good run said:\n%s", log)
	}
	return memory
}

// processLogging is process for when the program is to say something.
func (i installation) processLogging(t *testing.T, flags ...string) (memory int64, log string) {
	t.Helper()
	return measureMemory(t, "/proc/self/exe", i.args(flags...))
}

// measureMemory runs a program and gives the memory that it took at most, in kB, and
// what it said.
func measureMemory(t *testing.T, program string, args []string) (memory int64, log string) {
	t.Helper()
	told, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	cmd := exec.Command("/proc/self/exe", append([]string{program}, args...)...)
	cmd.Env = append(os.Environ(), beProgram+"="+measured)
	cmd.ExtraFiles = []*os.File{tell}
	output, err := cmd.CombinedOutput()
	tell.Close()
	if err != nil {
		t.Fatalf("%v:\n%s", err, output)
	}
	if _, err := fmt.Fscan(told, &memory); err != nil {
		t.Fatal(err)
	}
	return memory, string(output)
}

// measured, as the value of beProgram, has a program run by a small process that
// tells on file 3 what memory it took at most, in kB: to the kernel, who starts a
// program passes the memory on that it has itself.
const measured = "measured"

func measure() (status int) {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Env = append(os.Environ(), beProgram+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(os.NewFile(3, "memory"), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	return cmd.ProcessState.ExitCode()
}

// total compares the bytes of all series of traffic with what was sent.
func total(t *testing.T, got series, sent map[netip.Addr][2]uint64) {
	t.Helper()
	bytes := make(map[string]float64) // by the labels direction and ip
	for key, value := range got {
		if labels, ok := strings.CutPrefix(key, "client_traffic_bytes{"); ok {
			labels, _, _ = strings.Cut(labels, ",client=")
			bytes[labels] = value
		}
	}
	for _, addr := range slices.SortedFunc(maps.Keys(sent), netip.Addr.Compare) {
		for d, direction := range []string{"rx", "tx"} {
			labels := fmt.Sprintf("direction=%q,ip=%q", direction, addr)
			if want := float64(sent[addr][d]); bytes[labels] != want {
				t.Errorf("%s has %v bytes, %v were sent", labels, bytes[labels], want)
			}
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}
