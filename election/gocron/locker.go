package gocron

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-co-op/gocron/v2"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/lockclient"
)

// NoMinimumHold is a LockerConfig.MinimumHold: each lock is released as soon as its run ends.
const NoMinimumHold time.Duration = -1

// LockerConfig says how jobs are locked. NewLocker copies it.
type LockerConfig struct {
	// Client sends the requests. Required.
	Client dynamodbiface.DynamoDBAPI

	// TableName is the DynamoDB table (lockclient.EnsureTable makes one). Required.
	TableName string

	// LeaseDuration is how long a job stays locked when the process that runs it has crashed. The
	// lock of a run is renewed for as long as the run takes, so it need not cover the longest run.
	// Whole milliseconds. Required.
	LeaseDuration time.Duration

	// MinimumHold is how long a lock is held at least, counted from the start of the run. The
	// schedulers' clocks differ, so one may come to a tick when another has already finished it.
	// Without MinimumHold a short job would then run once in each scheduler. Give more than the
	// schedulers may differ (clocks, delays, a request or two) and less than the shortest interval
	// of the jobs. A scheduler that can't acquire a lock for this long skips the tick.
	MinimumHold time.Duration

	// MaximumHold ends the protection of a run that hangs, so that it does not block its job. After
	// this time the context of a Task ends (ErrHeldTooLong), and the lock is no longer renewed.
	// Other schedulers run the job when the lease has expired, even if this run goes on. 0: a run
	// is protected for as long as it takes.
	MaximumHold time.Duration

	// TakeOver makes a tick that finds the lock held find out whether its holder has crashed, and
	// run the job if it has, late by LeaseDuration at most. The tick waits until the holder renews,
	// which takes up to a third of the lease, or until its lease has expired. Meanwhile this
	// scheduler skips further ticks of the job. It is for jobs that run seldom. false: such a tick
	// is skipped at once. The lock of a crashed holder is then taken over by the first tick that
	// comes a lease after another tick has found it held.
	TakeOver bool

	// Prefix is put before a job's name to make the name of its lock. Programs that share a table
	// need different ones, because gocron names a job that has no name after its function, such as
	// main.main.func1. "": no prefix.
	Prefix string

	// Configure may change the lock of a job before its first use, for example its Identifier,
	// Data, TTL or MaxClockSkew. It must not block. nil: nothing is changed.
	Configure func(key string, lock *lockclient.DynamoDBLockClient)

	// Logger gets runs that lost their lock and errors at V(0), and refusals and tenures at V(1).
	// The zero Logger is silent.
	Logger logr.Logger
}

// Locker is a gocron.Locker. Of all schedulers whose Lockers share a table and a Prefix, one at a
// time runs a job. Make it with NewLocker, one for each process, and Close it after the schedulers
// are shut down. Its methods are safe for concurrent use.
type Locker struct {
	config   LockerConfig
	taskName string // what gocron calls a job of Task that has no name

	mu        sync.Mutex // guards all below; no request is made under it
	jobs      map[string]*job
	runs      map[context.Context]*run // those under way, by the context that gocron gives to Lock and to the task
	busy      int                      // jobs that are not idle
	swept     time.Time
	closed    bool
	abandoned bool          // Close waits no longer for a MinimumHold
	quiet     chan struct{} // closed when closed is true and busy is 0

	closing context.Context // ended by Close
	close   context.CancelFunc
}

var _ gocron.Locker = (*Locker)(nil)

// NewLocker checks the configuration and sends no request. The error is ErrInvalidConfig and names
// every field that must be changed.
func NewLocker(config LockerConfig) (*Locker, error) {
	if err := config.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	l := &Locker{
		config: config,
		jobs:   map[string]*job{},
		runs:   map[context.Context]*run{},
		swept:  time.Now(),
		quiet:  make(chan struct{}),
	}
	l.closing, l.close = context.WithCancel(context.Background())
	l.taskName = functionName((&task{}).run)
	return l, nil
}

func (c *LockerConfig) check() error {
	var bad []error
	if _, err := c.client("job").Timing(); err != nil {
		bad = append(bad, err)
	}
	switch {
	case c.MinimumHold == 0:
		bad = append(bad, fmt.Errorf("MinimumHold is 0: give more than the schedulers may be apart at a tick, e.g. 1s, and less than the "+
			"shortest interval of the jobs; or NoMinimumHold if each run takes longer than that"))
	case c.MinimumHold < 0 && c.MinimumHold != NoMinimumHold:
		bad = append(bad, fmt.Errorf("MinimumHold is %v: give a positive duration, or NoMinimumHold", c.MinimumHold))
	}
	switch {
	case c.MaximumHold < 0:
		bad = append(bad, fmt.Errorf("MaximumHold is %v: give a positive duration, or 0 for none", c.MaximumHold))
	case c.MaximumHold > 0 && c.MaximumHold <= c.MinimumHold:
		bad = append(bad, fmt.Errorf("MaximumHold is %v: give more than MinimumHold, %v, or 0 for none", c.MaximumHold, c.MinimumHold))
	}
	return errors.Join(bad...)
}

// client makes the lock of a job, before Configure.
func (c *LockerConfig) client(key string) *lockclient.DynamoDBLockClient {
	return &lockclient.DynamoDBLockClient{
		LockName: c.Prefix + key, TableName: c.TableName, LeaseDuration: c.LeaseDuration, Client: c.Client,
		// A lock's beginnings and ends are news at V(0) of lockclient; here they are each tick's.
		Logger: c.Logger.V(1),
	}
}

// Lock implements gocron.Locker. It tries once to acquire the job's lock, and waits for its holder
// only with TakeOver. The errors are lockclient.ErrLockHeld (another scheduler has the lock),
// ErrBusy (this process has it), ErrClosed, ErrUnnamed, and those of
// lockclient.DynamoDBLockClient.GetLock. gocron skips the run on any of them.
func (l *Locker) Lock(ctx context.Context, key string) (gocron.Lock, error) {
	j, err := l.take(key)
	if err != nil {
		return nil, err
	}
	err = l.acquire(ctx, j)
	var refusal *lockclient.LockHeldError
	if l.config.TakeOver && errors.As(err, &refusal) {
		err = l.takeOver(ctx, j, refusal)
	}
	if err != nil {
		err = fmt.Errorf("election/gocron: job %q: %w", key, err)
		l.logRefusal(j, err)
		l.idle(j, true)
		return nil, err
	}
	return l.begin(ctx, j)
}

// acquire wins the lock of a job, or says why not.
func (l *Locker) acquire(ctx context.Context, j *job) error {
	if l.config.MinimumHold > 0 {
		// What is acquired later may be the lock of a tick that another scheduler is through with.
		tooLate := fmt.Errorf("the lock was not acquired within MinimumHold, %v", l.config.MinimumHold)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, l.config.MinimumHold, tooLate)
		defer cancel()
	}
	_, err := j.client.GetLockWithContext(ctx)
	return err
}

// logRefusal logs why a run is skipped, since gocron doesn't.
func (l *Locker) logRefusal(j *job, err error) {
	if errors.Is(err, lockclient.ErrLockHeld) || errors.Is(err, context.Canceled) {
		l.config.Logger.V(1).Info("run skipped", "job", j.key, "why", err.Error())
		return
	}
	l.config.Logger.Error(err, "run skipped: the lock could not be acquired", "job", j.key)
}

// take makes a job busy, which only one caller at a time can. GetLock alone does not see to that:
// called again by the process that has the lock, it says that it is held.
func (l *Locker) take(key string) (*job, error) {
	if key == l.taskName {
		return nil, ErrUnnamed
	}
	j, err := l.find(key)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	if known := l.jobs[key]; known != nil {
		j = known // made meanwhile, or deleted and made again
	}
	l.jobs[key] = j
	if j.state != idle {
		return nil, busyError(key, j.state.String())
	}
	j.state = acquiring
	l.busy++
	return j, nil
}

// find gives the job of a key, or a new one that is not among the jobs yet.
func (l *Locker) find(key string) (*job, error) {
	l.mu.Lock()
	l.sweep()
	j := l.jobs[key]
	l.mu.Unlock()
	if j != nil {
		return j, nil
	}
	client := l.config.client(key)
	if l.config.Configure != nil {
		l.config.Configure(key, client)
	}
	timing, err := client.Timing()
	if err != nil {
		return nil, fmt.Errorf("election/gocron: job %q: %w", key, err)
	}
	return &job{key: key, client: client, lease: timing.Lease}, nil
}

// hold keeps the lock of a run that has ended for a while. If Close has given up already, the lock
// is left to run out instead.
func (l *Locker) hold(j *job, remaining time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.abandoned {
		j.client.StopHeartbeat()
		l.becomeIdle(j, true)
		return
	}
	j.state = holding
	j.release = time.AfterFunc(remaining, func() { _ = l.free(context.Background(), j) })
}

// releasePatience bounds a release, which a shutdown may be waiting for. A lock that could not be
// released in time runs out by itself.
const releasePatience = 5 * time.Second

// free releases the lock of a job and makes the job idle. It does not end with ctx.
func (l *Locker) free(ctx context.Context, j *job) error {
	l.mu.Lock()
	j.state = releasing
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(j.lease, releasePatience))
	defer cancel()
	err := j.client.RemoveLockWithContext(ctx)
	l.idle(j, err != nil)
	if err != nil {
		err = fmt.Errorf("election/gocron: job %q: the lock was not released and runs out by itself: %w", j.key, err)
		l.config.Logger.Error(err, "release failed", "job", j.key)
	}
	return err
}

// idle ends what take began. keep: the lock client knows something of another holder, or of a
// record of ours, that the next attempt needs.
func (l *Locker) idle(j *job, keep bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.becomeIdle(j, keep)
}

// becomeIdle is idle for a caller that has l.mu.
func (l *Locker) becomeIdle(j *job, keep bool) {
	j.state, j.used, j.keep = idle, time.Now(), keep
	l.busy--
	if l.closed && l.busy == 0 {
		close(l.quiet)
	}
}

// How long the lock client of an idle job is kept. One that was refused is kept for longer than a
// monthly job pauses: it has to see a crashed holder's record twice to take it over.
const (
	sweepPeriod  = time.Minute
	keptFree     = 10 * time.Minute
	keptWatching = 40 * 24 * time.Hour
)

// sweep drops the lock clients of jobs that are run no more. l.mu is held.
func (l *Locker) sweep() {
	now := time.Now()
	if now.Sub(l.swept) < sweepPeriod {
		return
	}
	l.swept = now
	for key, j := range l.jobs {
		kept := keptFree
		if j.keep {
			kept = keptWatching
		}
		if j.state == idle && now.Sub(j.used) > kept {
			delete(l.jobs, key)
		}
	}
}

// Close refuses further runs and waits until the locks are released: those of runs under way when
// the runs end, and the others when their MinimumHold is over. Shut the schedulers down first. If
// ctx ends before that, Close returns an error. It then leaves locks that wait for their
// MinimumHold to expire by themselves. Runs under way keep their locks until they end.
func (l *Locker) Close(ctx context.Context) error {
	l.close()
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		if l.busy == 0 {
			close(l.quiet)
		}
	}
	l.mu.Unlock()
	select {
	case <-l.quiet:
		return nil
	case <-ctx.Done():
	}
	left := l.abandon()
	select {
	case <-l.quiet:
		return fmt.Errorf("election/gocron: close: %w: %d locks run out by themselves", context.Cause(ctx), left)
	default:
		return fmt.Errorf("election/gocron: close: %w: %d locks run out by themselves, and jobs still run", context.Cause(ctx), left)
	}
}

// abandon leaves the locks that wait for their MinimumHold to run out, and says how many.
func (l *Locker) abandon() (left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.abandoned = true
	for _, j := range l.jobs {
		if j.state == holding && j.release.Stop() {
			j.client.StopHeartbeat()
			l.becomeIdle(j, true)
			left++
		}
	}
	return left
}
