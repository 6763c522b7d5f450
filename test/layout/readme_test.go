package layout

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The programs that the root README shows are test/layout/readme/*, which the compiler and go vet
// see.
func TestEachGoBlockOfTheRootReadmeCompiles(t *testing.T) {
	programs := map[string]bool{}
	for _, path := range files(t) {
		if strings.HasPrefix(path, "test/layout/readme/") {
			programs[read(t, path)] = true
		}
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(blocks) != 2 {
		t.Errorf("README.md has %d Go blocks", len(blocks))
	}
	for _, block := range blocks {
		if !programs[block[1]] {
			t.Errorf("this block of README.md is no program in test/layout/readme:\n%s", block[1])
		}
	}
}

// The root page is read in five minutes. What is longer belongs into a manual beside the code.
func TestTheRootReadmeStaysShort(t *testing.T) {
	t.Chdir("../..")
	const most = 810 // words, without code and without the figures that hack/bench.sh writes
	figures := regexp.MustCompile("(?s)<!-- measured -->.*<!-- /measured -->")
	if words := len(strings.Fields(figures.ReplaceAllString(withoutCode(read(t, "README.md")), ""))); words > most {
		t.Errorf("README.md has %d words, and %d at most are wanted", words, most)
	}
}

// A link leads to a file that is there, and to a heading that is in it.
func TestLinksBetweenThePagesLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	links := 0
	for _, page := range files(t) {
		if filepath.Ext(page) != ".md" {
			continue
		}
		for _, found := range link.FindAllStringSubmatch(withoutCode(read(t, page)), -1) {
			to, heading, _ := strings.Cut(found[1], "#")
			if strings.Contains(to, "://") {
				continue
			}
			links++
			path := filepath.Join(filepath.Dir(page), to)
			if to == "" {
				path = page
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %s leads nowhere: %v", page, found[1], err)
			} else if heading != "" && !anchors(read(t, path))[heading] {
				t.Errorf("%s: %s leads to a heading that is not there", page, found[1])
			}
		}
	}
	if links < 50 {
		t.Errorf("%d links were found", links)
	}
}

var codeBlock = regexp.MustCompile("(?ms)^```.*?^```")

func withoutCode(text string) string { return codeBlock.ReplaceAllString(text, "") }

// anchors are the names that GitHub gives to the headings of a page.
func anchors(text string) map[string]bool {
	names := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(withoutCode(text), -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		names[strings.ReplaceAll(name, " ", "-")] = true
	}
	return names
}
