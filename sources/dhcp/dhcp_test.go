package dhcp

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"network-metrics-exporter/state"
)

// now is when the tests read.
var now = state.Instant{
	Boot:   "00112233445566778899aabbccddeeff",
	Uptime: time.Hour,
	Wall:   time.Date(2026, time.November, 28, 1, 0, 0, 0, time.UTC),
}

// dhcp is a record of a lease. An empty addr or mac stands for none.
func dhcp(addr, mac, name string) state.NameRecord {
	return record(addr, mac, name, state.FromDHCP)
}

func record(addr, mac, name string, source state.NameSource) state.NameRecord {
	r := state.NameRecord{Name: name, Source: source}
	if addr != "" {
		r.Addr = netip.MustParseAddr(addr)
	}
	if mac != "" {
		hw, err := net.ParseMAC(mac)
		if err != nil {
			panic(err)
		}
		r.MAC = state.MAC(hw)
	}
	return r
}

var (
	// equal has cmp compare addresses as == does.
	equal = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	// noneIsEmpty has cmp take nil for an empty slice.
	noneIsEmpty = cmpopts.EquateEmpty()
)

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// testRead reads a captured lease file.
func testRead(t *testing.T, path, format string, want []state.NameRecord) {
	t.Helper()
	f := File{Path: path}
	got := readLeases(&f, now)
	if f.Err != nil || f.Format != format {
		t.Errorf("%s: error %v, format %q", path, f.Err, f.Format)
	}
	if diff := cmp.Diff(want, got, equal, noneIsEmpty); diff != "" {
		t.Errorf("%s: records (-want +got):\n%s", path, diff)
	}
}

// parser reads a text of one format.
func parser(f format) func(text string) ([]state.NameRecord, error) {
	return func(text string) ([]state.NameRecord, error) {
		var t leaseTable
		err := f.parse(&t, text, now)
		return t.leases(f.newestLast), err
	}
}

// A parseTest is a file, what it says, and the error that tells of the rest.
type parseTest struct {
	name string
	file string
	want []state.NameRecord
	err  string
}

func testParse(t *testing.T, parse func(string) ([]state.NameRecord, error), tests []parseTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(tt.file)
			if diff := cmp.Diff(tt.err, message(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, got, equal, noneIsEmpty); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// addFiles adds files to the corpus.
func addFiles(f *testing.F, paths ...string) {
	f.Helper()
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
}

// fuzzParse holds what every lease promises.
func fuzzParse(t *testing.T, f format, file []byte) []state.NameRecord {
	t.Helper()
	records, err := parser(f)(string(file))
	checkError(t, err)
	checkRecords(t, records)
	seen := make(map[netip.Addr]bool)
	for _, r := range records {
		if !r.Addr.IsValid() || seen[r.Addr] {
			t.Errorf("got %+v", r)
		}
		seen[r.Addr] = true
	}
	return records
}

// checkError holds that an error tells where it is and quotes nothing.
func checkError(t *testing.T, err error) {
	t.Helper()
	form := regexp.MustCompile(`^(line|lease) [1-9][0-9]*( and [1-9][0-9]* more)?: want "[A-Za-z ",{;4]+( and all columns of the first line|of 4 octets)?$|^byte [0-9]+: want JSON$`)
	if err != nil && !form.MatchString(err.Error()) {
		t.Errorf("got error %q", err)
	}
}

// checkRecords holds what every record promises.
func checkRecords(t *testing.T, records []state.NameRecord) {
	t.Helper()
	for _, r := range records {
		if r.Name == "" && (r.MAC.IsZero() || !r.Addr.IsValid()) || !r.Addr.IsValid() && r.MAC.IsZero() || r.Addr.Zone() != "" || r.Addr.Is4In6() {
			t.Errorf("got %+v", r)
		}
	}
}

// benchmark reads 10,000 leases, each of which is an entry with ADDR, OCTETS, MAC
// and NAME replaced.
func benchmark(b *testing.B, f format, head, entry, tail string) {
	file := bytes.NewBufferString(head)
	for i := range 10000 {
		x, y := i>>8, i&0xff
		strings.NewReplacer(
			"ADDR", fmt.Sprintf("10.0.%d.%d", x, y), "OCTETS", fmt.Sprintf("10,0,%d,%d", x, y),
			"MAC", fmt.Sprintf("02:00:5e:10:%02x:%02x", x, y), "NAME", fmt.Sprintf("client-%d-%d", x, y),
		).WriteString(file, entry)
	}
	file.WriteString(tail)
	text := file.String()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		records, err := parser(f)(text)
		if err != nil || len(records) < 10000 {
			b.Fatal(len(records), err)
		}
	}
}

// TestDocumentedFiles compares the table of lease files in the manual with those that
// are read by default.
func TestDocumentedFiles(t *testing.T) {
	const path = "../../docs/names.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "\n| server | files |\n")
	if !ok {
		t.Fatalf("%s has no table of servers", path)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var documented []string
	for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(table, -1) {
		documented = append(documented, match[1])
	}
	read := slices.Sorted(slices.Values(defaultLeases))
	slices.Sort(documented)
	if diff := cmp.Diff(read, documented); diff != "" {
		t.Errorf("lease files (-read +%s):\n%s", path, diff)
	}
}
