package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/testdata/lab"
)

// shown is what show --json says of a device, or of an address.
type shown struct {
	Device, Client, Mac *string
	IP                  string
	RxBytes             *uint64  `json:"rx_bytes"`
	TxBytes             *uint64  `json:"tx_bytes"`
	RxRate              *float64 `json:"rx_bps"`
	TxRate              *float64 `json:"tx_bps"`
	Connections         *uint64
	Online              *bool
	Addresses           []shown
}

func (s shown) String() string {
	text, err := json.Marshal(s)
	return fmt.Sprint(string(text), err)
}

// show runs the command and gives what it says of each address, "" being the
// total.
func (i installation) show(t *testing.T, flags ...string) (clients map[string]shown, log string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run(append([]string{"show", "--json", "--state-dir=" + filepath.Dir(i.ledger())}, flags...), &stdout, &stderr); status != published {
		t.Fatalf("exit status %d, stderr:\n%s", status, &stderr)
	}
	return parseShown(t, stdout.Bytes()), stderr.String()
}

func parseShown(t *testing.T, text []byte) map[string]shown {
	t.Helper()
	var document struct {
		Devices      []shown
		Other, Total shown
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	clients := map[string]shown{"": document.Total}
	for _, d := range append(document.Devices, document.Other) {
		for _, a := range d.Addresses {
			clients[a.IP] = a
		}
	}
	return clients
}

// files gives the content and the time of each file below a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		var content []byte
		if info.Mode().IsRegular() {
			content, err = os.ReadFile(path)
		}
		found[path] = info.ModTime().String() + " " + string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestShow looks at real traffic and leaves no trace.
func TestShow(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		// Ten intervals of four seconds are long enough for a slow machine.
		for range 2 {
			var stderr bytes.Buffer
			if status := run(i.args("--interval=4"), io.Discard, &stderr); status != published || stderr.Len() > 0 {
				t.Fatalf("exit status %d: %s", status, &stderr)
			}
		}
		// The original's rules, which the last run did not count by.
		lab.Nft(t, rules)
		lab.Command(t, "conntrack", "-F")
		up, down := flow.Send(t, 500, 1000), flow.Reply(t, 300, 1400)
		time.Sleep(2 * time.Second)

		before, ruleset := files(t, i.dir), lab.Command(t, "nft", "list", "ruleset")
		clients, log := i.show(t)
		laptop := clients["192.168.10.100"]
		if *laptop.TxBytes != up || *laptop.RxBytes != down || *laptop.Client != "laptop" || *laptop.TxRate <= 0 || *laptop.Connections != 1 || !*laptop.Online {
			t.Errorf("the laptop has sent %d and received %d bytes, and show says %v", up, down, laptop)
		}
		if total := clients[""]; *total.TxBytes != up || *total.RxBytes != down {
			t.Errorf("the total is %v", total)
		}
		// Names outlive their leases.
		empty := filepath.Join(t.TempDir(), "leases")
		write(t, empty, "")
		if clients, log := i.show(t, "--leases="+empty); *clients["192.168.10.100"].Client != "laptop" || log != "" {
			t.Errorf("without a lease: %v, and %q", clients["192.168.10.100"], log)
		}
		var table, stderr bytes.Buffer
		if status := run([]string{"show", "--state-dir=" + filepath.Dir(i.ledger())}, &table, &stderr); status != published {
			t.Errorf("exit status %d", status)
		}
		if first := strings.Split(table.String(), "\n")[1]; !strings.HasPrefix(first, "laptop ") || !strings.Contains(first, "514 kB") || !strings.HasSuffix(first, "online") {
			t.Errorf("the table begins with %q:\n%s", first, &table)
		}
		if log+stderr.String() != "" {
			t.Errorf("it said:\n%s%s", log, &stderr)
		}
		if diff := cmp.Diff(before, files(t, i.dir)); diff != "" {
			t.Errorf("files (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(ruleset, lab.Command(t, "nft", "list", "ruleset")); diff != "" {
			t.Errorf("ruleset (-before +after):\n%s", diff)
		}
	})
}

// TestShowBesideRuns looks again and again while runs save and publish.
func TestShowBesideRuns(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"--accounting=sets", flows} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			lab.Run(t, func(t *testing.T, r *lab.Router) {
				countFlows(t)
				showBesideRuns(t, r, layout)
			})
		})
	}
}

func showBesideRuns(t *testing.T, r *lab.Router, layout string) {
	i := install(t, r)
	flow := lab.UDP(t, "udp4", r.Phone, r.Server)
	i.run(t, layout)
	stop, done := make(chan bool), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			var stderr bytes.Buffer
			if status := run(i.args(layout), io.Discard, &stderr); status != published || stderr.Len() > 0 {
				<-stop
				done <- errors.New(stderr.String())
				return
			}
			if layout == flows {
				time.Sleep(interval / 4) // what is known of flows is kept for one more run
			}
		}
	}()
	var sent uint64
	for range 20 {
		sent += flow.Send(t, 10, 100)
		clients, log := i.show(t)
		if now := *clients["192.168.10.101"].TxBytes; now != sent || log != "" {
			t.Errorf("%d bytes were sent, show says %d, and %q", sent, now, log)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("a run beside show: %v", err)
	}
	i.run(t, layout).expect(t, series{
		`client_traffic_bytes{direction="tx",ip="192.168.10.101",client="phone"}`: float64(sent),
		"network_metrics_exporter_accounting_resets_total":                        0,
	})
}

// TestShowAlone has rates where no run ever was, and leaves no state.
func TestShowAlone(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Nft(t, rules)
		i := install(t, r)
		clients, log := i.show(t, "--leases="+i.leases, "--interval=0.4")
		if laptop := clients["192.168.10.100"]; laptop.TxRate == nil || *laptop.TxBytes != 0 || log != "" {
			t.Errorf("show says %v, and %q", laptop, log)
		}
		if left := files(t, i.dir); len(left) != 1 {
			t.Errorf("it left %q", left)
		}
	})
}

// TestShowWithoutRights runs it as somebody who may read neither the state nor
// nftables: what is not known is not shown as zero.
func TestShowWithoutRights(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		i := install(t, r)
		i.run(t)
		if err := os.Chmod(filepath.Dir(i.ledger()), 0); err != nil {
			t.Fatal(err)
		}
		text, log, status := withoutRights(t, i.command("show", "--json")...)
		if status != published || strings.Count(log, "\n") != 3 || !strings.Contains(log, "totals unknown") || strings.Count(log, "CAP_NET_ADMIN") != 2 {
			t.Errorf("exit status %d, want %d and a line for the state and for each source:\n%s", status, published, log)
		}
		laptop := parseShown(t, text)["192.168.10.100"]
		if laptop.Online == nil || !*laptop.Online || *laptop.Client != "laptop" {
			t.Errorf("show says %v, want what everybody may know", laptop)
		}
		if laptop.RxBytes != nil || laptop.TxRate != nil || laptop.Connections != nil {
			t.Errorf("show says %v, want null for what is not known", laptop)
		}
	})
}

// TestShowOnTerminal gives it a screen of 60 cells.
func TestShowOnTerminal(t *testing.T) {
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		lab.Nft(t, rules)
		i := install(t, r)
		args := i.command("show")
		t.Setenv("TERM", "xterm")

		text := onTerminal(t, 60, args)
		for _, want := range []string{"no sample of the last 4s: measuring for ", "\r\x1b[K", "\x1b[1mname", "\x1b[32m", "s ago\x1b[m"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in:\n%q", want, text)
			}
		}
		t.Setenv("NO_COLOR", "1")
		_, table, ok := strings.Cut(onTerminal(t, 60, args), "s \x1b[K\r\x1b[K")
		if !ok || strings.Contains(table, "\x1b") {
			t.Errorf("in spite of NO_COLOR:\n%q", table)
		}
		for line := range strings.Lines(table) {
			if len(strings.TrimSpace(line)) > 60 {
				t.Errorf("on 60 cells: %q", line)
			}
		}
		if !strings.HasPrefix(table, "name ") || !strings.Contains(table, "last seen") || strings.Contains(table, "status") {
			t.Errorf("on 60 cells:\n%s", table)
		}
		// watch(1) gives its programs no terminal, and says how wide it is.
		t.Setenv("COLUMNS", "24")
		var stdout bytes.Buffer
		if status := run(args, &stdout, io.Discard); status != published {
			t.Errorf("exit status %d", status)
		}
		for line := range strings.Lines(stdout.String()) {
			if len(strings.TrimSpace(line)) > 24 {
				t.Errorf("on 24 cells: %q", line)
			}
		}
	})
}

// onTerminal runs the program on a pseudo terminal of its own (pty(7)) and gives
// what was written there.
func onTerminal(t *testing.T, width uint16, args []string) string {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	fd := int(terminal.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatalf("unlock terminal: %v", err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}); err != nil {
		t.Fatal(err)
	}
	peer, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(filepath.Join("/dev/pts", fmt.Sprint(peer)), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string)
	go func() {
		all, _ := io.ReadAll(terminal) // EIO once the other end is closed
		text <- string(all)
	}()
	if status := run(args, program, program); status != published {
		t.Errorf("exit status %d", status)
	}
	program.Close()
	return <-text
}

// TestCommandsBadUsage gives flags of commands that are refused.
func TestCommandsBadUsage(t *testing.T) {
	for _, test := range []struct{ command, flag, want string }{
		{"show", "--sort=size", "want traffic, download, "},
		{"show", "--sort", "want traffic, download, "},
		{"check", "--port=0", "want a port from 1 to 65535"},
		{"check", "--port=65536", "want a port from 1 to 65535"},
		{"check", "--port", "want a port from 1 to 65535"},
		{"check", "--sort=name", "only the command show has this flag"},
		{"sample", "--json", "only the command show or check has this flag"},
		{"", "--json", "only the command show or check has this flag"},
		{"teardown", "nonsense", "want one of the commands"},
		{"show", "check", "want one command"},
	} {
		var stdout, stderr bytes.Buffer
		status := run(strings.Fields(test.command+" "+test.flag), &stdout, &stderr)
		if said := stderr.String(); status != wrongUsage || strings.Count(said, "\n") != 1 || !strings.Contains(said, test.flag+": ") || !strings.Contains(said, test.want) {
			t.Errorf("%s %s: exit status %d, want %d and %q:\n%s", test.command, test.flag, status, wrongUsage, test.want, said)
		}
	}
}
