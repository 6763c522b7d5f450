package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestEveryMutantStillApplies: whoever changes a line that a mutant changes finds out here, not
// when the mutants are run.
func TestEveryMutantStillApplies(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for i := range mutants {
		if _, err := mutants[i].apply(root); err != nil {
			t.Errorf("%s: %v", mutants[i].name, err)
		}
	}
}

// TestEveryMutantHasOneCatcher: an invariant that there is, or a test.
func TestEveryMutantHasOneCatcher(t *testing.T) {
	source, err := os.ReadFile("../invariants.go")
	if err != nil {
		t.Fatal(err)
	}
	catchers := []string{crash, hang}
	for _, m := range regexp.MustCompile(`Invariant = "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
		catchers = append(catchers, m[1])
	}
	names := map[string]bool{}
	for i := range mutants {
		m := &mutants[i]
		if m.test == nil && !slices.Contains(catchers, m.caught) || m.test != nil && m.caught != "" {
			t.Errorf("%s: what must catch it is %q", m.name, m.caught)
		}
		if names[m.name] {
			t.Errorf("there are two mutants with the name %q", m.name)
		}
		names[m.name] = true
	}
}
