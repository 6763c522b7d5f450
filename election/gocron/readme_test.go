package gocron

import (
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// The README's programs must be ones that compile: each line of them is a line of the examples.
func TestTheREADMEShowsTheExamples(t *testing.T) {
	g := NewWithT(t)
	readme, err := os.ReadFile("README.md")
	g.Expect(err).NotTo(HaveOccurred())
	examples, err := os.ReadFile("example_test.go")
	g.Expect(err).NotTo(HaveOccurred())
	compiled := map[string]bool{}
	for line := range strings.Lines(string(examples)) {
		compiled[strings.TrimSpace(line)] = true
	}
	programs := strings.Split(string(readme), "```go\n")[1:]
	g.Expect(programs).To(HaveLen(2))
	for _, program := range programs {
		program, _, _ = strings.Cut(program, "```")
		for line := range strings.Lines(program) {
			g.Expect(compiled).To(HaveKey(strings.TrimSpace(line)))
		}
	}
}
