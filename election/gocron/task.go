package gocron

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/go-co-op/gocron/v2"

	"github.com/leaderkit/leaderkit/lockclient"
)

// Task makes the task of a job whose work knows its lock. The context that work gets ends when
// gocron's does. It also ends when the lock is lost (context.Cause is lockclient.ErrLeaseExpired or
// ErrLockLost) or after MaximumHold (ErrHeldTooLong). Work should return soon after that, because
// another scheduler may start the job. Call ctx.Err() before each step that must not be taken
// twice: it checks the lock at the moment of the call. RunFromContext gives the fencing token.
//
// The job needs a name (gocron.WithName) and this Locker (gocron.WithDistributedLocker or
// WithDistributedJobLocker). A run without its lock is not started, and gocron gets ErrNotLocked.
// If the lock was lost during the run, gocron gets that error, whatever work returned.
func (l *Locker) Task(work func(ctx context.Context) error) gocron.Task {
	if work == nil {
		return gocron.NewTask(nil) // which NewJob refuses
	}
	return gocron.NewTask((&task{locker: l, work: work}).run)
}

type task struct {
	locker *Locker
	work   func(ctx context.Context) error
}

// run is called by gocron with the context that it gave to Lock before.
func (t *task) run(ctx context.Context) error {
	r := t.locker.underWay(ctx)
	if r == nil {
		return ErrNotLocked
	}
	err := t.work(runContext{r.ctx, r})
	if lost := r.loss(); lost != nil {
		return fmt.Errorf("election/gocron: job %q: the lock was lost during the run: %w", r.job.key, errors.Join(lost, err))
	}
	return err
}

// underWay is the run that has begun with a context of gocron's; nil: none.
func (l *Locker) underWay(ctx context.Context) *run {
	if !isPointer(ctx) {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[ctx]
}

// functionName is the name that gocron gives to a job of such a function.
func functionName(f any) string { return runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name() }

// runContext is the context that work gets.
type runContext struct {
	context.Context
	run *run
}

type runKey struct{}

func (c runContext) Value(key any) any {
	if key == (runKey{}) {
		return Run{Job: c.run.job.key, FencingToken: c.run.token, run: c.run}
	}
	return c.Context.Value(key)
}

func (c runContext) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	if lost := c.run.loss(); lost != nil {
		c.run.cancel(lost)
	}
	return c.Context.Err()
}

// Run is one run of a job under its lock. Get it with RunFromContext. It is a value and may be
// kept, but is of use only while the run lasts.
type Run struct {
	// Job is the job's name.
	Job string
	// FencingToken rises with each run of the job in any process. Pass it to every store that the
	// run writes to, so that the store can refuse late writes of earlier runs.
	FencingToken int64

	run *run
}

// RunFromContext returns the run of a context: the one that the work of a Locker.Task gets, or one
// derived from it. false: it is no such context.
func RunFromContext(ctx context.Context) (Run, bool) {
	r, ok := ctx.Value(runKey{}).(Run)
	return r, ok
}

// ConditionCheck returns an element for the work's own TransactWriteItems: the transaction commits
// only if this run still has the lock at that moment. lockclient.ErrNotHeld: it has not.
func (r Run) ConditionCheck() (*dynamodb.ConditionCheck, error) {
	if r.run == nil {
		return nil, fmt.Errorf("%w: a Run comes from RunFromContext", lockclient.ErrNotHeld)
	}
	check, err := r.run.job.client.ConditionCheck()
	if err != nil {
		return nil, err
	}
	// Tokens never fall, so if the token is still ours after the check was made, the check is for
	// our tenure.
	if token, _ := r.run.job.client.FencingToken(); token != r.FencingToken {
		return nil, fmt.Errorf("%w: the run with fencing token %d has ended", lockclient.ErrNotHeld, r.FencingToken)
	}
	return check, nil
}
