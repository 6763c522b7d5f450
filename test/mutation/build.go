package mutation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bench is a folder with the test binaries of one set of mutants.
type Bench struct {
	Root, Dir string
	woven     *Woven
	overlay   string
	binaries  map[string]string // package -> its test binary
}

// NewBench weaves the mutants and leaves those out that do not compile. Their errors are returned
// by their numbers.
func NewBench(ctx context.Context, root, dir string, mutants []Mutant) (*Bench, map[int]error, error) {
	woven, failed := Weave(root, mutants)
	b := &Bench{Root: root, Dir: dir, woven: woven, binaries: map[string]string{}}
	for range 20 {
		var err error
		if b.overlay, err = woven.Write(dir); err != nil {
			return nil, nil, err
		}
		wrong, err := b.compile(ctx)
		if err != nil {
			return nil, nil, err
		}
		if len(wrong) == 0 {
			return b, failed, nil
		}
		for mutant, why := range wrong {
			woven.Drop(mutant)
			failed[mutant] = why
		}
	}
	return nil, nil, errors.New("the mutants do not compile")
}

var compileError = regexp.MustCompile(`(?m)^(\S+\.go):(\d+):\d+: (.*)$`)

// compile builds the packages that have mutants, and says which of these are to blame for the
// errors.
func (b *Bench) compile(ctx context.Context) (wrong map[int]error, err error) {
	var packages []string
	for file := range b.woven.files {
		packages = append(packages, "./"+filepath.Dir(file))
	}
	slices.Sort(packages)
	args := append([]string{"build", "-gcflags=-e", "-overlay", b.overlay}, slices.Compact(packages)...)
	build := exec.CommandContext(ctx, "go", args...)
	build.Dir = b.Root
	said, err := build.CombinedOutput()
	if err == nil {
		return nil, nil
	}
	wrong = map[int]error{}
	for _, m := range compileError.FindAllStringSubmatch(string(said), -1) {
		line, _ := strconv.Atoi(m[2])
		if mutant := b.woven.at(m[1], line); mutant != 0 {
			wrong[mutant] = fmt.Errorf("it does not compile: %s", m[3])
		}
	}
	if len(wrong) == 0 {
		return nil, fmt.Errorf("%w\n%s", err, said)
	}
	return wrong, nil
}

// Binary returns the test binary of a package such as "./lockclient", with all mutants in it. It is
// not safe for concurrent use.
func (b *Bench) Binary(ctx context.Context, pkg string) (string, error) {
	if binary, ok := b.binaries[pkg]; ok {
		return binary, nil
	}
	binary := filepath.Join(b.Dir, strings.ReplaceAll(strings.Trim(pkg, "./"), "/", "_")+".test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-gcflags=-e", "-ldflags=-s -w", "-overlay", b.overlay, "-o", binary, pkg)
	build.Dir = b.Root
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, said)
	}
	b.binaries[pkg] = binary
	return binary, nil
}

// Packages are those that have been built.
func (b *Bench) Packages() []string { return slices.Sorted(maps.Keys(b.binaries)) }

// Select is what the environment of a test binary needs for a mutant; 0 is the real code.
func Select(mutant int) string { return fmt.Sprintf("%s=%d", Variable, mutant) }
