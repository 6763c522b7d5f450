package cron

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// worker runs one job in one term. One goroutine has it.
type worker struct {
	*Cron
	job  *Job
	term election.Term

	record *Record // as it is in the table, as far as this worker knows; nil: it must be read

	// begun are the runs that this worker has tried to begin and not run. One of them may stand in
	// the record although its answer was an error.
	begun map[string]*Record
	ran   string // the name of the latest run here
	log   logr.Logger
}

const (
	longestSleep   = 10 * time.Second // the wall clock may be set meanwhile
	conflictPause  = 10 * time.Millisecond
	shortestPause  = 100 * time.Millisecond // after an error
	longestPause   = 10 * time.Second
	endingPatience = 5 * time.Second // to record the end of a run
)

// work runs the job at its ticks until the term ends.
func (w *worker) work(ctx context.Context) {
	for pause := shortestPause; ctx.Err() == nil; {
		err := w.step(ctx)
		switch {
		case err == nil:
			pause = shortestPause
			continue
		case errors.Is(err, errFenced):
			w.log.V(1).Info("the term is over, nothing was begun", "error", err.Error())
			<-ctx.Done() // the elector will notice
			return
		case ctx.Err() != nil:
			return
		}
		w.record = nil
		if isConflict(err) {
			lease.Sleep(ctx, w.clock, conflictPause)
			continue
		}
		if !errors.Is(err, errChanged) {
			w.log.Error(err, "the job's record can't be used, will retry", "pause", pause)
		}
		lease.Sleep(ctx, w.clock, pause)
		pause = min(2*pause, longestPause)
	}
}

// step does what is to be done next: it reads the record, waits, or sees one run through.
func (w *worker) step(ctx context.Context) error {
	if w.record == nil {
		var err error
		if w.record, err = w.store.read(ctx, w.job.Name); err != nil {
			return err
		}
	}
	r := w.record
	if r == nil {
		return w.store.create(ctx, w.term, w.job.Name, w.now()) // and read it
	}
	if mine := w.begun[r.run]; mine != nil && r.State == Running {
		return w.run(ctx, mine) // it was begun after all
	}
	now := w.now()
	if rest := r.Started.Add(w.job.AtLeastFor).Sub(now); w.job.AtLeastFor > 0 && rest > 0 {
		lease.Sleep(ctx, w.clock, min(rest, w.job.AtLeastFor, longestSleep))
		return nil
	}
	if r.State == Interrupted || r.State == Running && r.run != w.ran {
		return w.takeUp(ctx, r)
	}
	tick, wait := w.job.due(r.Tick.In(w.location), now)
	if tick.IsZero() {
		lease.Sleep(ctx, w.clock, min(wait, longestSleep))
		return nil
	}
	if !w.job.onTime(tick, now) {
		w.log.Info("making up for a missed tick", "tick", tick, "late", now.Sub(tick))
	}
	return w.begin(ctx, r, tick, 1)
}

// takeUp decides about a run that an earlier term has left.
func (w *worker) takeUp(ctx context.Context, r *Record) error {
	if r.Attempt < w.job.attempts() {
		w.log.Info("running again what was cut off", "tick", r.Tick, "attempt", r.Attempt+1, "runner", r.Runner)
		return w.begin(ctx, r, r.Tick.In(w.location), r.Attempt+1)
	}
	w.log.Info("a run was cut off and is not repeated", "tick", r.Tick, "attempt", r.Attempt, "runner", r.Runner)
	if err := w.store.abandon(ctx, w.term, r, w.now()); err != nil {
		return err
	}
	w.record = nil
	return nil
}

// begin makes a run the job's record, and runs it.
func (w *worker) begin(ctx context.Context, before *Record, tick time.Time, attempt int) error {
	next := &Record{Job: w.job.Name, Tick: tick, State: Running, Attempt: attempt, run: uuid.NewString(),
		FencingToken: w.term.FencingToken, Runner: w.term.Identity, Started: w.now()}
	if w.begun == nil {
		w.begun = map[string]*Record{}
	}
	w.begun[next.run] = next
	if err := w.store.begin(ctx, w.term, before, next); err != nil {
		return err
	}
	return w.run(ctx, next)
}

// run runs a tick that was started, and records its end.
func (w *worker) run(ctx context.Context, r *Record) error {
	w.record, w.ran, w.begun = r, r.run, nil // an earlier one can't be begun any more: its condition fails
	if ctx.Err() != nil {
		r.Attempt-- // which can be made again
		return w.ended(r, Interrupted, context.Cause(ctx).Error())
	}
	w.log.V(1).Info("running", "tick", r.Tick, "attempt", r.Attempt)
	working, cancel := ctx, context.CancelFunc(func() {})
	if w.job.AtMostFor > 0 {
		working, cancel = lease.WithTimeout(ctx, w.clock, w.job.AtMostFor, ErrTookTooLong)
	}
	defer cancel()
	err := w.job.Run(working, Tick{Job: r.Job, Time: r.Tick, Attempt: r.Attempt, FencingToken: r.FencingToken})
	took := w.now().Sub(r.Started)
	if errors.Is(context.Cause(working), ErrTookTooLong) {
		w.log.Info("a run took longer than AtMostFor", "tick", r.Tick, "took", took)
		if err != nil {
			err = errors.Join(err, ErrTookTooLong)
		}
	}
	switch {
	case err == nil:
		w.log.V(1).Info("done", "tick", r.Tick, "took", took)
		return w.ended(r, Done, "")
	case ctx.Err() != nil:
		return w.ended(r, Interrupted, err.Error())
	default:
		w.log.Error(err, "the job failed", "tick", r.Tick, "took", took)
		return w.ended(r, Failed, err.Error())
	}
}

// ended records the end of a run, also while the term ends. If that fails, the run counts as
// interrupted.
func (w *worker) ended(r *Record, state State, said string) error {
	limit := w.clock.Monotonic() + endingPatience
	for pause := conflictPause; ; pause *= 2 {
		err := w.store.end(context.Background(), r, state, w.now(), said)
		switch {
		case err == nil:
			r.State, r.Ended = state, w.now()
			return nil
		case errors.Is(err, errChanged):
			w.record = nil
			after, unread := w.store.read(context.Background(), r.Job)
			if unread == nil && after != nil && after.run == r.run && after.State == state {
				w.record = after // the answer to an earlier attempt was lost
				return nil
			}
			w.log.Info("a run has ended that another leader has taken over", "tick", r.Tick, "state", state)
			return nil
		case w.clock.Monotonic()+pause > limit:
			w.log.Error(err, "what became of a run can't be noted, it counts as cut off", "tick", r.Tick, "state", state)
			return err
		}
		lease.Sleep(context.Background(), w.clock, pause)
	}
}
