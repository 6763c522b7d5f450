package gocron

import (
	"os"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// The Go blocks of README.md are, or are part of, the programs in the folder readme, which compile.
func TestTheREADMEShowsProgramsThatCompile(t *testing.T) {
	g := NewWithT(t)
	var programs strings.Builder
	for _, name := range []string{"README.md", "readme/locker/main.go", "readme/elector/main.go"} {
		text, err := os.ReadFile(name)
		g.Expect(err).NotTo(HaveOccurred())
		programs.WriteString(flush(string(text)) + "\x00")
	}
	readme, compiled, _ := strings.Cut(programs.String(), "\x00")
	blocks := strings.Split(readme, "```go\n")[1:]
	g.Expect(blocks).To(HaveLen(3))
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		g.Expect(compiled).To(ContainSubstring(block))
	}
}

// flush is text without its indentation and blank lines.
func flush(text string) string { return regexp.MustCompile(`(?m)^\s+`).ReplaceAllString(text, "") }
