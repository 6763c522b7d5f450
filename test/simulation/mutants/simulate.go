package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/test/mutation"
)

// What ends a mutant besides an invariant.
const (
	crash = "(a crash)"
	hang  = "(it hangs)"
)

// stall is how long one seed may take before the mutant counts as hanging. It takes some 20 ms of
// an idle machine.
const stall = time.Minute

// The lines by which the simulation tells how far it is (test/simulation/shards_test.go).
const (
	seedPrefix   = "simulation-seed: "
	caughtPrefix = "simulation-caught: "
)

// simulate runs seeds until the mutant's catcher has caught it.
func (l *lab) simulate(ctx context.Context, number int, m *mutant) outcome {
	var o outcome
	var others []string
	for from := 1; from <= l.seeds; {
		s := l.run(ctx, number, m, from)
		o.seeds += s.seeds
		for _, invariant := range s.caught {
			if invariant == m.caught {
				o.caught = invariant
			} else if !slices.Contains(others, invariant) {
				others = append(others, invariant)
			}
		}
		if o.caught != "" || s.err == nil || ctx.Err() != nil {
			break
		}
		if s.how == "" {
			o.err = s.err
			break
		}
		if s.how == m.caught {
			o.caught = s.how
			break
		}
		// What is left of a run in which something was violated can end the process. The next seeds
		// are as good.
		from += s.seeds
		if !slices.Contains(others, s.how) {
			others = append(others, s.how)
		}
	}
	o.others = strings.Join(others, ", ")
	return o
}

// said is what one process of the simulation has said.
type said struct {
	seeds  int
	caught []string // invariants
	how    string   // it ended: crash, hang; "": by itself
	err    error
}

func (l *lab) run(ctx context.Context, number int, m *mutant, from int) said {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := exec.CommandContext(ctx, l.simulator, "-test.run=^TestSeeds$", "-test.timeout=0", "-shard=0/1", "-until="+m.caught, "-from="+strconv.Itoa(from))
	c.Dir = l.dir
	c.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400", fmt.Sprintf("SIMULATION_SEEDS=%d", l.seeds-from+1), mutation.Select(number))
	var s said
	out, err := c.StdoutPipe()
	if err != nil {
		return said{err: err}
	}
	var stderr strings.Builder
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		return said{err: err}
	}
	stalled := time.AfterFunc(stall, cancel)
	defer stalled.Stop()
	panicked := false
	var last []string
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, seedPrefix) {
			s.seeds++
			stalled.Reset(stall)
		} else if invariant, ok := strings.CutPrefix(line, caughtPrefix); ok {
			s.caught = append(s.caught, invariant)
		}
		panicked = panicked || strings.Contains(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
		if last = append(last, line); len(last) > 20 {
			last = last[1:]
		}
	}
	s.err = c.Wait()
	panicked = panicked || strings.Contains(stderr.String(), "panic: ") || strings.Contains(stderr.String(), "fatal error: ")
	var exit *exec.ExitError
	switch {
	case s.err == nil || !errors.As(s.err, &exit):
	case ctx.Err() != nil:
		s.how = hang
	case panicked:
		s.how = crash
	case len(s.caught) > 0:
		s.err = nil
	}
	if s.err != nil {
		s.err = fmt.Errorf("%w\n%s\n%s", s.err, strings.Join(last, "\n"), stderr.String())
	}
	return s
}
