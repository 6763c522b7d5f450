// Command mutants shows that the simulation bites: it puts one mistake at a time into lockclient or
// election and counts the seeds until an invariant catches it.
//
//	go run ./test/simulation/mutants [-only REGEXP] [-seeds N] [-jobs N]
//
// All mutants are compiled into one binary, which is told at run time which of them it is
// (test/mutation). The table says which invariant must catch each, so that a broken checker is
// noticed although another checker catches the same mutant. Where the simulation can't notice a
// mistake, the table names the test that must fail instead.
//
// A mutant that its catcher does not catch fails the command, and so does one whose piece of source
// is not there any more: whoever changes the protocol moves its mutants along.
package main

import (
	"context"
	"errors"
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

func main() {
	only := flag.String("only", "", "try the mutants whose name matches this regular expression")
	seeds := flag.Int("seeds", 3000, "how many seeds a mutant may survive")
	jobs := flag.Int("jobs", runtime.GOMAXPROCS(0), "how many mutants to try at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	survivors, err := try(ctx, *only, *seeds, max(*jobs, 1))
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if survivors > 0 {
		os.Exit(1)
	}
}

// outcome is what became of a mutant.
type outcome struct {
	mutant *mutant
	caught string // the invariant or the test; "" if none
	seeds  int    // until then
	others string // the invariants that were violated before
	err    error  // it could not be tried
}

func try(ctx context.Context, only string, seeds, jobs int) (survivors int, err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return 0, err
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "leaderkit-mutants.")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()

	var chosen []*mutant
	for i := range mutants {
		if wanted.MatchString(mutants[i].name) {
			chosen = append(chosen, &mutants[i])
		}
	}
	if len(chosen) == 0 {
		return 0, fmt.Errorf("no mutant's name matches %q", only)
	}
	began := time.Now()
	outcomes, err := tryAll(ctx, chosen, &lab{root: root, dir: dir, seeds: seeds}, jobs)
	if err != nil {
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return report(outcomes, time.Since(began)), nil
}

func tryAll(ctx context.Context, chosen []*mutant, l *lab, jobs int) ([]outcome, error) {
	failed, err := l.build(ctx, chosen)
	if err != nil {
		return nil, err
	}
	outcomes := make([]outcome, len(chosen))
	slots := make(chan struct{}, jobs)
	var all sync.WaitGroup
	for i, m := range chosen {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			o := outcome{err: failed[i+1]}
			switch {
			case o.err != nil:
			case m.test != nil:
				o = l.test(ctx, i+1, m)
			default:
				o = l.simulate(ctx, i+1, m)
			}
			o.mutant = m
			outcomes[i] = o
			fmt.Fprintf(os.Stderr, "\r%d of %d ", i+1, len(chosen))
		})
	}
	all.Wait()
	fmt.Fprintln(os.Stderr)
	return outcomes, nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// report prints a table and returns how many got away.
func report(outcomes []outcome, took time.Duration) (survivors int) {
	fmt.Printf("%-70s %-18s %s\n", "mutant", "caught by", "seeds")
	for _, o := range outcomes {
		caught, seeds := o.caught, fmt.Sprint(o.seeds)
		switch {
		case o.err != nil:
			survivors++
			caught, seeds = "NOT TRIED", o.err.Error()
		case o.caught == "":
			survivors++
			caught = "SURVIVES " + o.mutant.catcher()
		case o.mutant.test != nil:
			seeds = "-"
		}
		if o.others != "" {
			seeds += " (before: " + o.others + ")"
		}
		fmt.Printf("%-70s %-18s %s\n", o.mutant.name, caught, seeds)
	}
	fmt.Printf("%d mutants, %d caught, %d not, in %v\n", len(outcomes), len(outcomes)-survivors, survivors, took.Round(time.Second))
	return survivors
}

// lab is where mutants are built and run.
type lab struct {
	root, dir string
	seeds     int
	bench     *mutation.Bench
	simulator string            // the simulation's binary
	tests     map[string]string // package -> binary
}

// build compiles all mutants, and returns why some can't be, by their numbers, which count from 1.
func (l *lab) build(ctx context.Context, chosen []*mutant) (failed map[int]error, err error) {
	failed = map[int]error{}
	var all []mutation.Mutant
	for i, m := range chosen {
		files, err := m.apply(l.root)
		if err != nil {
			failed[i+1] = err
			continue
		}
		all = append(all, mutation.Mutant{Number: i + 1, Files: files})
	}
	bench, unbuilt, err := mutation.NewBench(ctx, l.root, l.dir, all)
	if err != nil {
		return nil, err
	}
	for n, err := range unbuilt {
		failed[n] = err
	}
	if l.simulator, err = bench.Binary(ctx, "./test/simulation"); err != nil {
		return nil, err
	}
	l.bench, l.tests = bench, map[string]string{}
	passed := map[test]error{}
	for i, m := range chosen {
		if m.test == nil || failed[i+1] != nil {
			continue
		}
		if l.tests[m.test.pkg], err = bench.Binary(ctx, m.test.pkg); err != nil {
			return nil, err
		}
		if _, done := passed[*m.test]; !done {
			passed[*m.test] = l.mustPass(ctx, m.test)
		}
		if passed[*m.test] != nil {
			failed[i+1] = passed[*m.test]
		}
	}
	return failed, nil
}

// mustPass runs a test on the real code: one that does not run, or fails anyway, catches nothing.
func (l *lab) mustPass(ctx context.Context, t *test) error {
	said, err := l.command(ctx, 0, t).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v fails without a mistake: %w\n%s", t, err, said)
	}
	if !strings.Contains(string(said), "--- PASS: ") || strings.Contains(string(said), "Ran 0 of ") {
		return fmt.Errorf("there is no test %v", t)
	}
	return nil
}

func (l *lab) command(ctx context.Context, number int, t *test) *exec.Cmd {
	args := []string{"-test.v", "-test.timeout=2m", "-test.run=" + t.run}
	if t.focus != "" {
		args = append(args, "-ginkgo.focus="+t.focus, "-ginkgo.fail-fast")
	}
	c := exec.CommandContext(ctx, l.tests[t.pkg], args...)
	c.Dir = filepath.Join(l.root, t.pkg)
	c.Env = append(os.Environ(), mutation.Select(number))
	return c
}

// test runs the test that must fail.
func (l *lab) test(ctx context.Context, number int, m *mutant) outcome {
	said, err := l.command(ctx, number, m.test).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return outcome{}
	case errors.As(err, &exit) && (strings.Contains(string(said), "--- FAIL: ") || strings.Contains(string(said), "panic: ")):
		return outcome{caught: m.catcher()}
	}
	return outcome{err: fmt.Errorf("%w\n%s", err, said[max(0, len(said)-2000):])}
}
