package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestEveryMutantStillApplies: whoever changes a line that a mutant changes finds out here, not when the mutants are run.
func TestEveryMutantStillApplies(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for i := range mutants {
		dir := filepath.Join(t.TempDir(), "mutant")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := (lab{root: root, dir: dir}).overlay(&mutants[i]); err != nil {
			t.Errorf("%s: %v", mutants[i].name, err)
		}
	}
}
