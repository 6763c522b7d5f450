package gocron

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/go-co-op/gocron/v2"

	"github.com/leaderkit/leaderkit/lockclient"
)

// job is a job's lock and its states:
//
//	idle ──Lock──► acquiring ──won──► running ──Unlock──► holding ──MinimumHold is over──► releasing ──► idle
//	  ▲               │                  └───────────────────or at once──────────────────────►┘
//	  └───refused─────┘
type job struct {
	key    string
	client *lockclient.DynamoDBLockClient
	lease  time.Duration

	// Guarded by Locker.mu:
	state   state
	release *time.Timer // in holding
	used    time.Time   // when it became idle
	keep    bool        // in idle: see Locker.idle
}

type state int

const (
	idle state = iota
	acquiring
	running
	holding
	releasing
)

func (s state) String() string {
	return [...]string{"idle", "the lock is being acquired", "a run is under way", "its MinimumHold is not over", "the lock is being released"}[s]
}

// run is one run of a job under its lock. It is the gocron.Lock.
type run struct {
	locker  *Locker
	job     *job
	token   int64
	started time.Time
	lost    <-chan struct{} // closed when the tenure of this run ends

	parent context.Context // gocron's, of the job
	ctx    context.Context // ends with parent, with the tenure, and after MaximumHold
	cancel context.CancelCauseFunc

	once    sync.Once
	ended   chan struct{} // closed by Unlock
	guarded chan struct{} // closed when the guard has returned
	err     error         // of Unlock
}

var _ gocron.Lock = (*run)(nil)

// begin makes a run of the tenure that the job's lock has just won.
func (l *Locker) begin(ctx context.Context, j *job) (*run, error) {
	r := &run{
		locker: l, job: j, started: time.Now(), parent: ctx, lost: j.client.Lost(),
		ended: make(chan struct{}), guarded: make(chan struct{}),
	}
	token, held := j.client.FencingToken()
	if !held {
		// It is over already: the process was paused after the lock was won.
		err := lossOf(j.client)
		_ = l.free(ctx, j)
		return nil, fmt.Errorf("election/gocron: job %q: %w", j.key, err)
	}
	r.token = token
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	l.mu.Lock()
	j.state = running
	if isPointer(ctx) {
		l.runs[ctx] = r
	}
	l.mu.Unlock()
	go r.guard()
	return r, nil
}

// isPointer reports that ctx can be told from others by its identity. gocron's contexts are
// pointers; a context of another kind might not even be comparable.
func isPointer(ctx context.Context) bool { return reflect.ValueOf(ctx).Kind() == reflect.Pointer }

// guard ends the run's context when its lock is lost or MaximumHold is over. It returns when the
// run has ended.
func (r *run) guard() {
	defer close(r.guarded)
	var tooLong <-chan time.Time
	if most := r.locker.config.MaximumHold; most > 0 {
		timer := time.NewTimer(most)
		defer timer.Stop()
		tooLong = timer.C
	}
	log := r.locker.config.Logger.WithValues("job", r.job.key, "fencingToken", r.token)
	select {
	case <-r.ended:
	case <-r.lost:
		err := r.loss()
		r.cancel(err)
		log.Error(err, "a run has lost its lock: another scheduler may start the job while it goes on")
	case <-tooLong:
		r.job.client.StopHeartbeat()
		r.cancel(ErrHeldTooLong)
		log.Error(ErrHeldTooLong, "the lock of a run is renewed no more: another scheduler may start the job when the lease has run out")
	}
}

// loss is why this run does not have its lock; nil: it has it.
func (r *run) loss() error {
	select {
	case <-r.lost:
		return lossOf(r.job.client)
	default:
	}
	if token, held := r.job.client.FencingToken(); !held || token != r.token {
		return lossOf(r.job.client)
	}
	return nil
}

func lossOf(client *lockclient.DynamoDBLockClient) error {
	if err := client.LockError(); err != nil {
		return err
	}
	return lockclient.ErrLockLost
}

// Unlock implements gocron.Lock. It releases the lock, at once or when its MinimumHold is over. It
// does so even if ctx has ended, because gocron cancels it at a shutdown. The error says that the
// lock was lost while the run went on, or that it could not be released and runs out by itself. A
// second call returns what the first did.
func (r *run) Unlock(ctx context.Context) error {
	r.once.Do(func() { r.err = r.end(ctx) })
	return r.err
}

func (r *run) end(ctx context.Context) error {
	close(r.ended)
	<-r.guarded
	lost := r.loss()
	r.cancel(context.Canceled)
	l := r.locker
	l.mu.Lock()
	if l.runs[r.parent] == r {
		delete(l.runs, r.parent)
	}
	l.mu.Unlock()

	remaining := l.config.MinimumHold - time.Since(r.started)
	if lost == nil && remaining > 0 {
		l.hold(r.job, remaining)
		return nil
	}
	if err := l.free(ctx, r.job); err != nil {
		return err
	}
	if lost != nil {
		return fmt.Errorf("election/gocron: job %q: the lock was lost during the run: %w", r.job.key, lost)
	}
	return nil
}
