// Command mutants shows that the simulation bites: it puts one mistake at a time into lockclient or election and counts the seeds
// until an invariant catches it.
//
//	go run ./test/simulation/mutants [-only REGEXP] [-seeds N] [-jobs N]
//
// Nothing in the work tree is touched: the compiler is handed the changed files in place of the real ones (go build -overlay). A
// mutant that no seed catches fails the command, and so does one whose piece of source is not there any more: whoever changes the
// protocol moves its mutants along.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	only := flag.String("only", "", "try the mutants whose name matches this regular expression")
	seeds := flag.Int("seeds", 2000, "how many seeds a mutant may survive")
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
	caught string // the invariant; "" if none
	seeds  int    // until then
	err    error  // it could not be tried
	took   time.Duration
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
	outcomes := make([]outcome, len(chosen))
	slots := make(chan struct{}, jobs)
	var all sync.WaitGroup
	for i, m := range chosen {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			l := lab{root: root, dir: filepath.Join(dir, strconv.Itoa(i)), seeds: seeds}
			start := time.Now()
			o := l.try(ctx, m)
			o.mutant, o.took = m, time.Since(start)
			outcomes[i] = o
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return report(outcomes, time.Since(began)), nil
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
	fmt.Printf("%-66s %-18s %s\n", "mutant", "caught by", "seeds")
	for _, o := range outcomes {
		switch {
		case o.err != nil:
			survivors++
			fmt.Printf("%-66s %-18s %v\n", o.mutant.name, "NOT TRIED", o.err)
		case o.caught == "":
			survivors++
			fmt.Printf("%-66s %-18s %d\n", o.mutant.name, "SURVIVES", o.seeds)
		default:
			fmt.Printf("%-66s %-18s %d\n", o.mutant.name, o.caught, o.seeds)
		}
	}
	fmt.Printf("%d mutants, %d caught, %d not, in %v\n", len(outcomes), len(outcomes)-survivors, survivors, took.Round(time.Second))
	return survivors
}

// patience is how long the seeds of one mutant may take.
const patience = 3 * time.Minute

// lab is where one mutant is built and run.
type lab struct {
	root, dir string
	seeds     int
}

func (l lab) try(ctx context.Context, m *mutant) outcome {
	if err := os.Mkdir(l.dir, 0o700); err != nil {
		return outcome{err: err}
	}
	overlay, err := l.overlay(m)
	if err != nil {
		return outcome{err: err}
	}
	binary := filepath.Join(l.dir, "simulation.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, "./test/simulation")
	build.Dir = l.root
	if said, err := build.CombinedOutput(); err != nil {
		return outcome{err: fmt.Errorf("it does not build: %w\n%s", err, said)}
	}
	defer func() { _ = os.Remove(binary) }()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	run := exec.CommandContext(ctx, binary, "-test.run=^TestSeeds$", "-test.timeout=0", "-shard=0/1")
	run.Dir = l.dir
	run.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400", fmt.Sprintf("SIMULATION_SEEDS=%d", l.seeds))
	said, err := run.CombinedOutput()
	return judge(ctx, string(said), err)
}

// overlay writes the changed files and the list of what they replace.
func (l lab) overlay(m *mutant) (string, error) {
	sources := map[string]string{}
	for _, c := range m.changes {
		source, seen := sources[c.file]
		if !seen {
			read, err := os.ReadFile(filepath.Join(l.root, c.file))
			if err != nil {
				return "", err
			}
			source = string(read)
		}
		if n := strings.Count(source, c.old); n != 1 {
			return "", fmt.Errorf("%s has %d of: %s", c.file, n, c.old)
		}
		sources[c.file] = strings.Replace(source, c.old, c.new, 1)
	}
	replace := map[string]string{}
	for file, source := range sources {
		changed := filepath.Join(l.dir, filepath.Base(file))
		if err := os.WriteFile(changed, []byte(source), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(l.root, file)] = changed
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(l.dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}

var (
	violationLine = regexp.MustCompile(`(?m)^\s*VIOLATION \(seed \d+\): ([a-z-]+)`)
	seedLine      = regexp.MustCompile(`(?m)^simulation-seed: \d+$`)
)

// judge reads what the seeds have said.
func judge(ctx context.Context, said string, err error) outcome {
	o := outcome{seeds: len(seedLine.FindAllString(said, -1))}
	var exit *exec.ExitError
	switch found := violationLine.FindStringSubmatch(said); {
	case found != nil:
		o.caught = found[1]
	case ctx.Err() != nil:
		o.caught = "(it hangs)"
	case errors.As(err, &exit) && strings.Contains(said, "panic: "):
		o.caught = "(a crash)"
	case err != nil:
		o.err = fmt.Errorf("%w\n%s", err, said[max(0, len(said)-2000):])
	}
	return o
}
