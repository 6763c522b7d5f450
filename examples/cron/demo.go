package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/leaderkit/leaderkit/election/cron"
	"github.com/leaderkit/leaderkit/examples/internal/demo"
)

// show is the demonstration while it goes on.
type show struct {
	*demo.Story
	settings
	engine  *demo.Engine
	crew    *demo.Crew
	journal *journal
	jobs    *cron.Cron // to read the job's record
	members map[string]*demo.Process
}

// demonstrate runs three replicas, kills one leader in mid-job, tells the next one to stop in
// mid-job, and checks the journal.
func demonstrate(ctx context.Context, out io.Writer, f demo.Flags, with settings) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second+10*(with.lease+with.period))
	defer cancel()
	s := show{Story: demo.NewStory(out), settings: with, members: map[string]*demo.Process{}}
	if s.engine, err = demo.Open(ctx, f); err != nil {
		return err
	}
	defer s.engine.Close()
	// A job of this demo's own, so that the table may be used again.
	s.journal = &journal{job: "cron-" + strconv.FormatInt(time.Now().UnixNano(), 36), table: s.engine.Table, client: s.engine.Client}
	if s.jobs, err = (&replica{settings: with, journal: s.journal}).jobs(); err != nil {
		return err
	}
	s.crew = demo.NewCrew(s.Story)
	defer s.crew.Close()
	first, err := s.play(ctx)
	if err != nil {
		return err
	}
	return s.verify(ctx, first)
}

// play gives the first tick that was begun.
func (s *show) play(ctx context.Context) (tick, error) {
	s.Say("on %s, table %q; a tick every %v, the lease is %v, missed ticks: %s", s.engine, s.engine.Table, s.period, s.lease, s.missed)
	for _, name := range []string{"a", "b", "c"} {
		p, err := s.crew.Start(name, nil, append(s.engine.Args(), "-replica", "-identity", name, "-job", s.journal.job,
			"-period", s.period.String(), "-lease", s.lease.String(), "-missed", string(s.missed))...)
		if err != nil {
			return 0, err
		}
		s.members[name] = p
	}
	first, err := s.await(ctx, "a first tick", (*progress).finished)
	if err != nil {
		return 0, err
	}

	cut, err := s.await(ctx, "a job under way", func(r *progress) bool { return r.Tick > first.Tick && !r.finished() && r.Step >= 1 })
	if err != nil {
		return 0, err
	}
	s.members[cut.Runner].Kill()
	s.Say("killed %s, the leader (SIGKILL), in the middle of tick %v", cut.Runner, cut.Tick)
	resumed, err := s.await(ctx, "the job to be resumed", func(r *progress) bool { return r.Runner != cut.Runner })
	if err != nil {
		return 0, err
	}
	s.Say("TAKEOVER: %s has resumed tick %v", resumed.Runner, resumed.Tick)

	left, err := s.await(ctx, "a job under way", func(r *progress) bool {
		return r.Tick > resumed.Tick && !r.finished() && r.Step >= 1 && time.Since(r.Tick.time()) < s.period/4+2*stepTime
	})
	if err != nil {
		return 0, err
	}
	s.Say("telling %s, the leader, to stop (SIGTERM) in the middle of tick %v", left.Runner, left.Tick)
	s.members[left.Runner].Terminate()
	handed, err := s.await(ctx, "the job to be handed over", func(r *progress) bool { return r.Runner != left.Runner })
	if err != nil {
		return 0, err
	}
	s.Say("HANDOVER: %s leads, and is at tick %v", handed.Runner, handed.Tick)
	if err := s.members[left.Runner].Wait(ctx); err != nil {
		return 0, err
	}

	if _, err := s.await(ctx, "one more tick", func(r *progress) bool { return r.Tick > handed.Tick && r.finished() }); err != nil {
		return 0, err
	}
	s.Say("telling %s, the last one, to stop (SIGTERM)", handed.Runner)
	s.members[handed.Runner].Terminate()
	return first.Tick, s.members[handed.Runner].Wait(ctx)
}

// await waits until the latest record is as it should be.
func (s *show) await(ctx context.Context, what string, enough func(*progress) bool) (*progress, error) {
	for {
		r, err := s.latest(ctx)
		if err != nil {
			return nil, err
		}
		if r != nil && enough(r) {
			return r, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case err := <-s.crew.Failed():
			return nil, err
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}

// latest is the progress of the tick that was begun last; nil: there is none.
func (s *show) latest(ctx context.Context) (*progress, error) {
	record, err := s.jobs.Record(ctx, s.journal.job)
	if err != nil || record == nil {
		return nil, err
	}
	return s.journal.read(ctx, tickOf(record.Tick))
}

// verify reads the journal, prints it, and says which promise was broken.
func (s *show) verify(ctx context.Context, first tick) error {
	last, err := s.jobs.Record(ctx, s.journal.job)
	if err != nil {
		return err
	}
	product, err := s.journal.product(ctx)
	if err != nil {
		return err
	}
	a := audit{missed: s.missed, product: product}
	s.Print("\ntick      progress       by  fencing token")
	for t := first; t <= tickOf(last.Tick); t += tick(s.period / time.Second) {
		r, err := s.journal.read(ctx, t)
		if err != nil {
			return err
		}
		if r == nil && t == tickOf(last.Tick) {
			break // the last replica was told to stop before it had done anything
		}
		a.runs = append(a.runs, r)
		switch {
		case r == nil:
			s.Print("%v  missed", t)
		case r.Terms > 1:
			s.Print("%v  %d of %d steps   %-2s  %d   cut off, and resumed", t, r.Step, steps, r.Runner, r.Token)
		default:
			s.Print("%v  %d of %d steps   %-2s  %d", t, r.Step, steps, r.Runner, r.Token)
		}
	}
	if err := a.check(); err != nil {
		return err
	}
	s.Print("\n%d ticks have run, each once: %d steps have taken effect, %d for each. %d were cut off and resumed, %d were missed\n"+
		"(policy %q), and fencing tokens rise with each leader.", a.ran(), product, steps, a.resumed(), len(a.runs)-a.ran(), s.missed)
	return nil
}

// audit is what the journal says at the end.
type audit struct {
	missed  policy
	runs    []*progress // of all ticks from the first to the last, in order; nil: missed
	product int64
}

func (a audit) ran() (n int) {
	for _, r := range a.runs {
		if r != nil {
			n++
		}
	}
	return n
}

func (a audit) resumed() (n int) {
	for _, r := range a.runs {
		if r != nil && r.Terms > 1 {
			n++
		}
	}
	return n
}

// check says which promises were broken.
func (a audit) check() error {
	var broken []error
	accuse := func(format string, args ...any) {
		broken = append(broken, fmt.Errorf("broken promise: "+format, args...))
	}
	var token int64
	for i, r := range a.runs {
		switch {
		case r == nil && a.missed == runAll:
			accuse("a tick was missed, the one at place %d, and the policy is to run all", i+1)
		case r == nil:
		case !r.finished() && i < len(a.runs)-1:
			accuse("tick %v was never finished", r.Tick)
		case r.Step > steps:
			accuse("tick %v has done %d of %d steps", r.Tick, r.Step, steps)
		case r.Token < token:
			accuse("tick %v was run under token %d, after one under %d", r.Tick, r.Token, token)
		}
		if r != nil {
			token = max(token, r.Token)
		}
	}
	if sum := a.steps(); sum != a.product {
		accuse("the records say that %d steps were done, and %d have taken effect", sum, a.product)
	}
	if a.resumed() == 0 {
		accuse("a run was cut off, and none was resumed")
	}
	return errors.Join(broken...)
}

func (a audit) steps() (sum int64) {
	for _, r := range a.runs {
		if r != nil {
			sum += r.Step
		}
	}
	return sum
}
