package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/testdata/lab"
)

// document returns the text of a file of the documentation.
func document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents returns the texts of README and manual, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("docs/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("found %q, %v", paths, err)
	}
	texts := make(map[string]string)
	for _, path := range append(paths, "README.md") {
		texts[path] = document(t, path)
	}
	return texts
}

// rows returns the rows of the tables under a heading of a document, without the
// head of each, as cells.
func rows(t *testing.T, path, heading string) (cells [][]string) {
	t.Helper()
	_, section, ok := strings.Cut(document(t, path), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", path, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var body bool
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "|---"):
			body = true
		case !strings.HasPrefix(line, "|"):
			body = false
		case body:
			cells = append(cells, cellsOf(line))
		}
	}
	if len(cells) == 0 {
		t.Fatalf("%s has no table under %q", path, heading)
	}
	return cells
}

// cellsOf returns the cells of a row, in which a | is written \|.
func cellsOf(line string) (cells []string) {
	const bar = "\x00"
	line = strings.ReplaceAll(line, `\|`, bar)
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		cells = append(cells, strings.ReplaceAll(strings.TrimSpace(cell), bar, "|"))
	}
	return cells
}

// firstCells returns the first cell of each row.
func firstCells(rows [][]string) (cells []string) {
	for _, row := range rows {
		cells = append(cells, row[0])
	}
	return cells
}

// flagNames returns the flags in texts, each once.
func flagNames(texts ...string) []string {
	flag := regexp.MustCompile(`--(?:\[no-\])?([a-z.-]+)`)
	var found []string
	for _, text := range texts {
		for _, match := range flag.FindAllStringSubmatch(text, -1) {
			found = append(found, match[1])
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// TestDocumentedFlags compares the tables of flags with --help: those of the program,
// and those that a command has besides. Every default and every variable of the
// tables has to be in the help too.
func TestDocumentedFlags(t *testing.T) {
	const path = "docs/commands.md"
	var help bytes.Buffer
	if status := run([]string{"--help"}, &help, io.Discard); status != published {
		t.Fatalf("exit status %d", status)
	}
	for _, heading := range []string{"Flags", "Flags of show", "Flags of check"} {
		_, flags, ok := strings.Cut(help.String(), "\n"+heading+":\n")
		if !ok {
			t.Fatalf("--help has no %q", heading)
		}
		flags, _, _ = strings.Cut(flags, "\n\n")
		table := rows(t, path, heading)
		if diff := cmp.Diff(flagNames(flags), flagNames(firstCells(table)...)); diff != "" {
			t.Errorf("%s (-help +%s):\n%s", heading, path, diff)
		}
		words := strings.Join(strings.Fields(flags), " ")
		for _, row := range table {
			for _, cell := range row[1 : len(row)-1] {
				for _, value := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
					if !strings.Contains(words, value[1]) {
						t.Errorf("%s: %s is documented with %s, of which --help does not speak", path, row[0], value[1])
					}
				}
			}
		}
	}
}

// TestDocumentedMetrics compares the table of metrics, and how many series a client
// and a device are said to have, with real output, and puts that before its readers.
func TestDocumentedMetrics(t *testing.T) {
	t.Parallel()
	lab.Run(t, func(t *testing.T, r *lab.Router) {
		const path = "docs/metrics.md"
		i := install(t, r)
		flow := lab.UDP(t, "udp4", r.Laptop, r.Server)
		i.run(t)
		flow.Send(t, 1, 100)
		time.Sleep(interval)
		published := i.run(t, "--connections-by-protocol")
		text, err := os.ReadFile(i.prom())
		if err != nil {
			t.Fatal(err)
		}

		var families []string
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
				name, _, _ = strings.Cut(name, " ")
				families = append(families, "`"+name+"`")
			}
		}
		documented := firstCells(rows(t, path, "All metrics"))
		slices.Sort(documented)
		if diff := cmp.Diff(families, documented); diff != "" {
			t.Errorf("metrics (-output +%s):\n%s", path, diff)
		}

		var client, protocols, device int
		found := regexp.MustCompile(`client_info\{ip="192\.168\.10\.100",.*device="([^"]+)"`).FindSubmatch(text)
		if found == nil {
			t.Fatalf("no client_info of the laptop in\n%s", text)
		}
		const ip = `ip="192.168.10.100"`
		deviceLabel := fmt.Sprintf("device=%q", found[1])
		for name := range published {
			switch {
			case strings.HasPrefix(name, "client_connections{") && strings.Contains(name, ip):
				protocols++
			case strings.HasPrefix(name, "client_") && strings.Contains(name, ip):
				client++
			case strings.HasPrefix(name, "device_") && strings.Contains(name, deviceLabel):
				device++
			}
		}
		want := fmt.Sprintf("Each client address has %d series (%d with `--connections-by-protocol`), each device %d", client, client+protocols, device)
		if !strings.Contains(strings.Join(strings.Fields(document(t, path)), " "), want) {
			t.Errorf("%s does not say: %s", path, want)
		}
		lab.CheckReaders(t, i.prom())
	})
}

// TestDocumentedJSON compares the fields of show --json with what the table prints.
func TestDocumentedJSON(t *testing.T) {
	const path = "docs/commands.md"
	field := regexp.MustCompile("[`\"]([a-z_]+)[`\"]")
	fields := func(text string) (names []string) {
		for _, match := range field.FindAllStringSubmatch(text, -1) {
			names = append(names, match[1])
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	_, section, ok := strings.Cut(document(t, path), "\n`show --json` prints")
	if !ok {
		t.Fatalf("%s does not say what show --json prints", path)
	}
	var printed []string
	for line := range strings.Lines(document(t, "state/table/testdata/report.json")) {
		if name, _, ok := strings.Cut(line, ":"); ok {
			printed = append(printed, name)
		}
	}
	if diff := cmp.Diff(fields(strings.Join(printed, "\n")), fields(section)); diff != "" {
		t.Errorf("fields (-show --json +%s):\n%s", path, diff)
	}
}

// TestDocumentedPromises looks for the tests that the documents name: each line of
// what can be lost names one.
func TestDocumentedPromises(t *testing.T) {
	var tests bytes.Buffer
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	test := regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]+`)
	for path, text := range documents(t) {
		for _, name := range test.FindAllString(text, -1) {
			if !bytes.Contains(tests.Bytes(), []byte("\nfunc "+name+"(")) {
				t.Errorf("%s: there is no %s", path, name)
			}
		}
	}
	for _, row := range rows(t, "docs/reliability.md", "What is lost when") {
		if !test.MatchString(row[len(row)-1]) {
			t.Errorf("no test shows what is lost when %s", row[0])
		}
	}
}
