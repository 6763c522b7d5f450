// Command survivors makes small mistakes in the given files, one after the other, and lists those
// that no test notices.
//
//	go run ./test/mutation/survivors [-jobs N] [-seeds N] [-stages N] [-only REGEXP] lockclient/contender.go lockclient/tenure.go ...
//
// Each mistake meets lockclient's own tests, then election's, the virtual ones of test/integration,
// and some seeds of the simulation, until one fails. Not every survivor is a gap: some mistakes
// change nothing that anybody could notice, such as how long a pause is after the hundredth
// failure.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/leaderkit/leaderkit/test/mutation"
)

// stage is a set of tests; the quick ones come first.
type stage struct {
	pkg  string
	args []string
}

// pure are lockclient's tests of its pure types. They take a second for hundreds of mistakes.
const pure = "^Test(Stories|Ledger|Contender|Tenure|Phase|Record|Polls|ADeadHolderIsPolled|ALeaseIsRead|ATokenThatWasSeen|ALockWithout|WhatARenewal|WhenToPoll|Backoff)"

func stages(seeds, upTo int) []stage {
	all := []stage{
		{"./lockclient", []string{"-test.run=" + pure}},
		{"./lockclient", nil},
		{"./election", nil},
		{"./test/integration", []string{"-test.skip=^TestLockClientKeepsItsPromises$"}},
		{"./test/simulation", []string{"-test.run=^TestSeeds$", "-shard=0/1", fmt.Sprintf("-seeds=%d", seeds)}},
	}
	return all[:min(max(upTo, 1), len(all))]
}

func main() {
	jobs := flag.Int("jobs", runtime.GOMAXPROCS(0), "how many mistakes to try at once")
	seeds := flag.Int("seeds", 50, "how many seeds of the simulation a mistake meets")
	upTo := flag.Int("stages", 100, "how many sets of tests a mistake meets")
	only := flag.String("only", "", "try the mistakes whose place or text matches this regular expression")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, flag.Args(), max(*jobs, 1), stages(*seeds, *upTo), *only); err != nil {
		fmt.Fprintln(os.Stderr, "survivors:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, files []string, jobs int, stages []stage, only string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the module: %w", err)
	}
	root := strings.TrimSpace(string(out))
	dir, err := os.MkdirTemp("", "leaderkit-survivors.")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()

	var mistakes []mutation.Mistake
	var mutants []mutation.Mutant
	number := 1
	for _, file := range files {
		made, err := mutation.Generate(root, file, number)
		if err != nil {
			return err
		}
		number += len(made)
		for _, m := range made {
			if wanted.MatchString(m.Where + " " + m.What) {
				mistakes, mutants = append(mistakes, m), append(mutants, m.Mutant)
			}
		}
	}
	bench, failed, err := mutation.NewBench(ctx, root, dir, mutants)
	if err != nil {
		return err
	}
	t := &trial{root: root, stages: stages}
	for _, s := range t.stages {
		binary, err := bench.Binary(ctx, s.pkg)
		if err != nil {
			return err
		}
		t.binaries = append(t.binaries, binary)
	}
	if stage := t.meet(ctx, 0); stage >= 0 {
		return fmt.Errorf("%s fails without a mistake", t.stages[stage].pkg)
	}
	return t.all(ctx, mistakes, failed, jobs)
}

type trial struct {
	root     string
	stages   []stage
	binaries []string
}

// meet has a mistake meet the stages, and returns the first that fails; -1: none does.
func (t *trial) meet(ctx context.Context, number int) int {
	for i, s := range t.stages {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
		args := append([]string{"-test.failfast", "-test.timeout=5m"}, s.args...)
		c := exec.CommandContext(ctx, t.binaries[i], args...)
		c.Dir = filepath.Join(t.root, s.pkg)
		c.Env = append(os.Environ(), mutation.Select(number), "GOMAXPROCS=1", "GOGC=400")
		err := c.Run()
		cancel()
		if err != nil {
			return i
		}
	}
	return -1
}

func (t *trial) all(ctx context.Context, mistakes []mutation.Mistake, failed map[int]error, jobs int) error {
	var (
		mu     sync.Mutex // guards what follows
		killed = make([]int, len(t.stages))
		alive  int
		all    sync.WaitGroup
	)
	slots := make(chan struct{}, jobs)
	for i, m := range mistakes {
		if failed[m.Number] != nil {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			stage := t.meet(ctx, m.Number)
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() != nil {
				return
			}
			if stage >= 0 {
				killed[stage]++
			} else {
				alive++
				fmt.Printf("%-46s %s\n", m.Where, m.What)
			}
			fmt.Fprintf(os.Stderr, "\r%d of %d, %d alive  ", i+1, len(mistakes), alive)
		})
	}
	all.Wait()
	fmt.Fprintln(os.Stderr)
	sum := alive
	for i, n := range killed {
		fmt.Printf("killed by %-22s %5d\n", t.stages[i].pkg, n)
		sum += n
	}
	fmt.Printf("%-32s %5d\n%-32s %5d\n%-32s %5d, %.1f %% killed\n", "alive", alive, "not compiled", len(failed), "tried", sum, 100*float64(sum-alive)/float64(max(sum, 1)))
	return ctx.Err()
}
