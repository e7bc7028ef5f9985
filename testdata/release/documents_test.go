package release

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocuments follows the links of README and manual to files and headings, and
// counts the README's lines.
func TestDocuments(t *testing.T) {
	const root = "../.."
	readme := filepath.Join(root, "README.md")
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("found %q, %v", paths, err)
	}
	texts := make(map[string]string)
	for _, path := range append(paths, readme) {
		texts[path] = read(t, path)
	}
	if n := strings.Count(texts[readme], "\n"); n > 150 {
		t.Errorf("README.md has %d lines, want 150 at most", n)
	}
	for path, text := range texts {
		for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
			target, heading, _ := strings.Cut(link[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			to := path
			if target != "" {
				to = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: link to %s: %v", path, link[1], err)
			} else if heading != "" && !slices.Contains(anchors(texts[to]), heading) {
				t.Errorf("%s: link to %s: %s has no such heading", path, link[1], to)
			}
		}
	}
}

// anchors returns what links to the headings of a document are called on GitHub.
func anchors(text string) (names []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}
