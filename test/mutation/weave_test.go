package mutation

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const original = `package main

import "fmt"

const limit = 3

type counter struct{ n int }

func (c *counter) add(_ string, by ...int) (sum int) {
	for _, n := range by {
		c.n += n
	}
	return c.n
}

func first[T any](all []T) T { return all[0] }

func say(int) {
	fmt.Print("real ")
}

func main() {
	c := &counter{}
	fmt.Print(c.add("", 1, 2), " ", first([]string{"a", "b"}), " ")
	say(limit)
	fmt.Println()
}
`

// TestAMutantIsChosenWhenTheBinaryRuns: methods, generic functions, parameters without names,
// results or none.
func TestAMutantIsChosenWhenTheBinaryRuns(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	write := func(file, text string) {
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module m\n\ngo 1.25.0\n")
	write("main.go", original)
	mutant := func(number int, old, new string) Mutant {
		return Mutant{number, map[string]string{"main.go": strings.Replace(original, old, new, 1)}}
	}
	bench, failed, err := NewBench(t.Context(), root, dir, []Mutant{
		mutant(1, "c.n += n", "c.n -= n"),
		mutant(2, "all[0]", "all[1]"),
		mutant(3, `"real "`, `"not real "`),
		mutant(4, "limit = 3", "limit = 4"),
		mutant(5, "c.n += n", "c.n += m"),
		mutant(6, "c.n += n", "c.n += n"),
		mutant(7, "c.n += n", "_ = n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(failed[4], ErrNotInFunctions) || failed[5] == nil || failed[6] == nil || len(failed) != 3 {
		t.Errorf("these can't be tried: %v", failed)
	}
	program := filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-overlay", bench.overlay, "-o", program, ".")
	build.Dir = root
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for number, want := range map[int]string{0: "3 a real", 1: "-3 a real", 2: "3 b real", 3: "3 a not real", 5: "3 a real", 7: "0 a real"} {
		run := exec.Command(program)
		run.Env = append(os.Environ(), Select(number))
		said, err := run.Output()
		if got := strings.TrimSpace(string(said)); err != nil || got != want {
			t.Errorf("mutant %d prints %q, not %q (%v)", number, got, want, err)
		}
	}
}
