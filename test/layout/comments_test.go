package layout

import (
	"bufio"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// commentWidth is how many columns a line may have that is only a comment. A tab counts as 4.
const commentWidth = 100

// Prose is limited, lists included. Drawings, tables and code begin with a tab or more spaces in a
// comment, and are not.
func TestCommentsWrapAtOneWidth(t *testing.T) {
	marks := map[string]string{".go": "//", ".java": "//", ".sh": "#", ".yml": "#", ".yaml": "#"}
	for _, path := range files(t) {
		mark := marks[filepath.Ext(path)]
		if mark == "" || strings.Contains(path, "/testdata/") {
			continue
		}
		prose := regexp.MustCompile(`^\s*` + mark + `( {1,6}\S|$)`)
		lines := bufio.NewScanner(strings.NewReader(read(t, path)))
		output := false // of an example
		for n := 1; lines.Scan(); n++ {
			line := lines.Text()
			output = strings.HasPrefix(strings.TrimSpace(line), mark) && (output || strings.Contains(line, "utput:"))
			width := utf8.RuneCountInString(line) + 3*strings.Count(line, "\t")
			if width > commentWidth && prose.MatchString(line) && !output && !oneWord(line) {
				t.Errorf("%s:%d has %d columns, wrap at %d:\n%s", path, n, width, commentWidth, line)
			}
		}
	}
}

// oneWord reports whether a comment can't be wrapped, because it is one long word such as a URL.
func oneWord(line string) bool { return len(strings.Fields(line)) <= 2 }
