package gocron

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-co-op/gocron/v2"

	"github.com/leaderkit/leaderkit/election"
)

// Elector is a gocron.Elector. Of all schedulers whose Electors have the same lock, one runs jobs.
// Make it with NewElector and call Run. Run and the other methods are those of
// election.LeaderElector, except IsLeader. They are safe for concurrent use.
type Elector struct {
	*election.LeaderElector

	mu      sync.Mutex
	term    context.Context // the jobs' part of a term; nil: none, or it takes no more jobs
	jobs    int             // runs under way, of tasks made by Task
	drained chan struct{}   // closed when jobs is 0; nil: nobody waits for that
}

var _ gocron.Elector = (*Elector)(nil)

// NewElector makes an elector. It needs no Callbacks, because the jobs are the leader's work.
// Callbacks that are set are called as usual. If OnStartedLeading returns, that ends the term for
// the jobs too. The error is that of election.NewLeaderElector.
//
// A term ends in this order: IsLeader returns an error, the contexts of tasks made by Task end,
// their runs return, OnStoppedLeading is called, the lock is released. So no other scheduler leads
// while such a run goes on, for DrainTimeout at most.
func NewElector(config election.LeaderElectionConfig) (*Elector, error) {
	e := &Elector{}
	work := config.Callbacks.OnStartedLeading
	if work == nil {
		work = func(ctx context.Context) { <-ctx.Done() }
	}
	config.Callbacks.OnStartedLeading = func(ctx context.Context) {
		end := e.begin(ctx)
		defer end()
		work(ctx)
	}
	if config.Callbacks.OnStoppedLeading == nil {
		config.Callbacks.OnStoppedLeading = func() {}
	}
	var err error
	if e.LeaderElector, err = election.NewLeaderElector(config); err != nil {
		return nil, err
	}
	return e, nil
}

// IsLeader implements gocron.Elector. It returns nil if this process leads at the moment of the
// call, else ErrNotLeader. It sends no request and ignores the context.
func (e *Elector) IsLeader(context.Context) error {
	e.mu.Lock()
	term := e.term
	e.mu.Unlock()
	if term == nil || term.Err() != nil || !e.LeaderElector.IsLeader() {
		return e.notLeader()
	}
	return nil
}

func (e *Elector) notLeader() error {
	if leader := e.GetLeader(); leader != "" {
		return fmt.Errorf("%w: %q was last seen to lead", ErrNotLeader, leader)
	}
	return ErrNotLeader
}

// Task makes the task of a job that runs under a term. The context that work gets ends when
// gocron's does, and also when the term ends. context.Cause says why, as in OnStartedLeading.
// election.TermFromContext gives the fencing token. Work should return soon after that, because the
// lock is not released before. If the term has ended since gocron asked, the run is not started,
// and gocron gets ErrNotLeader.
//
// The Elector does not know of runs of a task made by gocron.NewTask. They go on when the term
// ends, and another scheduler may run the job meanwhile.
func (e *Elector) Task(work func(ctx context.Context) error) gocron.Task {
	if work == nil {
		return gocron.NewTask(nil) // which NewJob refuses
	}
	return gocron.NewTask(func(ctx context.Context) error {
		term := e.enter()
		if term == nil {
			return e.notLeader()
		}
		defer e.leave()
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		stop := context.AfterFunc(term, func() { cancel(context.Cause(term)) })
		defer stop()
		return work(jobContext{ctx, term, cancel})
	})
}

// begin opens a term for jobs. end closes it and waits for the runs under way.
func (e *Elector) begin(ctx context.Context) (end func()) {
	term, cancel := context.WithCancelCause(ctx)
	e.mu.Lock()
	e.term = termContext{term, ctx}
	e.mu.Unlock()
	return func() {
		cancel(election.ErrResigned) // of effect only if OnStartedLeading has returned while ctx goes on
		e.mu.Lock()
		e.term = nil
		drained := make(chan struct{})
		if e.jobs == 0 {
			close(drained)
		} else {
			e.drained = drained
		}
		e.mu.Unlock()
		<-drained
	}
}

// enter counts a run in, and gives its term. nil: there is none.
func (e *Elector) enter() context.Context {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.term == nil || e.term.Err() != nil {
		return nil
	}
	e.jobs++
	return e.term
}

func (e *Elector) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.jobs--; e.jobs == 0 && e.drained != nil {
		close(e.drained)
		e.drained = nil
	}
}

// termContext is the jobs' part of a term. Like that of the leading context, its Err looks at the
// lease at the moment of the call.
type termContext struct {
	context.Context // a child of leading
	leading         context.Context
}

func (c termContext) Err() error {
	if err := c.leading.Err(); err != nil {
		return err
	}
	return c.Context.Err()
}

// jobContext is the context of a run: gocron's, which ends with the term, too, and has its values.
type jobContext struct {
	context.Context
	term   context.Context
	cancel context.CancelCauseFunc
}

func (c jobContext) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	if c.term.Err() != nil {
		c.cancel(context.Cause(c.term))
	}
	return c.Context.Err()
}

func (c jobContext) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.term.Value(key)
}
