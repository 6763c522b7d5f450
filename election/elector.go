package election

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/election/internal/courier"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// LeaderElector campaigns for a lock and runs the leader's work while it holds it. Make one with
// NewLeaderElector. All methods may be called from any goroutine at any time.
type LeaderElector struct {
	config  LeaderElectionConfig
	figures figures
	clock   Clock
	random  func() float64
	metric  metric
	board   board
	sinks   courier.Courier // calls the Logger and the metrics
	news    courier.Courier // calls OnNewLeader

	mu       sync.Mutex // guards what follows; no request and no callback is made under it
	current  *run       // the Run under way; nil: none
	state    state
	term     *term // from winning until the lock is released; nil: none
	contact  contact
	trouble  error // the permanent error that is the store's latest answer; nil: it is none
	answered bool  // the store has said whether the lock is held

	// What one Run leaves to the next. It belongs to Run's goroutine.
	rest     *rest          // no poll before this is over; nil: poll at once
	silent   *lease.Instant // since when the store is unreachable, if that was logged; nil: it was not
	failures int            // attempts that failed since the store last said whether the lock is held
	unsure   bool           // an attempt may have taken the lock without our knowing
}

// rest is a pause before the next attempt.
type rest struct {
	until time.Duration // on the machine's monotonic clock
	state state         // what the elector is meanwhile
}

// NewLeaderElector checks the configuration and returns an elector; Run starts it. The error is
// ErrInvalidConfig and names every field that must be changed. If a WatchDog is set, it gets the
// new elector.
func NewLeaderElector(lec LeaderElectionConfig) (*LeaderElector, error) {
	figures, err := lec.figures()
	if err != nil {
		return nil, err
	}
	e := &LeaderElector{config: lec, figures: figures, clock: lec.Clock, random: lec.Rand, metric: newMetric(lec.Name)}
	if e.clock == nil {
		e.clock = lease.System()
	}
	e.config.Logger = lec.Logger.WithValues("name", lec.Name, "identity", lec.Lock.Identity())
	if e.random == nil {
		e.random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())).Float64
	}
	if lec.WatchDog != nil {
		lec.WatchDog.SetLeaderElection(e)
	}
	e.sinks.Panicked = e.sinkPanicked
	e.news.Panicked = e.newsPanicked
	e.metric.off()
	return e, nil
}

// RunOrDie makes an elector and runs it until ctx ends (or, with OneTerm, until its first term
// ends). It panics with the error of NewLeaderElector if the configuration is invalid, and with the
// error of Run if the store's first answer is a permanent error.
func RunOrDie(ctx context.Context, lec LeaderElectionConfig) {
	e, err := NewLeaderElector(lec)
	if err != nil {
		panic(err)
	}
	if err := e.Run(ctx); err != nil && isPermanent(err) {
		panic(err)
	}
}

// Run campaigns, leads, and campaigns again after each term, until ctx ends. When it returns, the
// work has returned, the lock is released (or, without ReleaseOnCancel, left to expire), and no
// goroutine of the elector is left.
//
// It returns nil if ctx ended, or with OneTerm if the term was resigned or its work returned;
// ErrAlreadyRunning if another Run of this elector is under way; ErrLeaseExpired or ErrLockLost,
// with OneTerm, if the term was lost; and an error with Permanent() true if the store's very first
// answer is a permanent error, such as a missing table or permission. Later permanent errors are
// retried with backoff, logged, and fail the health check.
//
// Run waits for OnStartedLeading as long as it takes to return. Otherwise two leaders could be at
// work. A process that can't wait must exit.
func (e *LeaderElector) Run(ctx context.Context) error {
	r, err := e.start(ctx)
	if err != nil {
		return err
	}
	defer r.leave()
	err = r.loop()
	r.settle()
	return err
}

// IsLeader reports whether this elector leads. It compares the age of the lease with RenewDeadline
// at the moment of the call, and does not depend on timers. No request, no allocation.
func (e *LeaderElector) IsLeader() bool {
	e.mu.Lock()
	t := e.term
	e.mu.Unlock()
	return t != nil && t.leads()
}

// Resign ends the current term, if there is one, and returns when the work has returned and the
// lock is released. The elector then stands aside for two of a candidate's longest pauses, so that
// another with the same RetryPeriod wins first, and campaigns again. It returns nil if there is no
// term. If ctx ends first, the error is its cause, and the term goes on ending. Any other error
// says that the lock was not released; its lease then expires by itself.
//
// OnStartedLeading resigns by returning. If it calls Resign, it must pass its own ctx, which ends
// at once. With any other it waits for its own return.
func (e *LeaderElector) Resign(ctx context.Context) error {
	e.mu.Lock()
	t := e.term
	e.mu.Unlock()
	if t == nil {
		return nil
	}
	t.resign()
	return t.awaitOver(ctx)
}

// TransferTo is Resign that names the next leader. For one heartbeat period after the release only
// the candidate with that Identity acquires the lock. If it does not, any candidate may. The
// leader's lock and the candidates' locks must support heirs; other candidates do not wait.
// ErrNotLeading: there is no term to hand over. The identity must not be empty or this elector's
// own.
func (e *LeaderElector) TransferTo(ctx context.Context, identity string) error {
	if identity == "" || identity == e.config.Lock.Identity() {
		return fmt.Errorf("election: TransferTo(%q) names no other elector: give the identity of a candidate", identity)
	}
	e.mu.Lock()
	t := e.term
	e.mu.Unlock()
	if t == nil {
		return ErrNotLeading
	}
	t.heir.CompareAndSwap(nil, &identity)
	t.resign()
	return t.awaitOver(ctx)
}

// Check reports the health of the elector, for a probe. A candidate that does not win is healthy,
// and so is an elector that does not run. It returns an error
//
//   - if the work, or OnStoppedLeading, has outlived its lease by more than
//     maxTolerableExpiredLease. Another may lead meanwhile, and only a restart ends that.
//   - ErrCannotCampaign, if the store's latest answer is a permanent error, such as a missing
//     permission. A restart does not help.
//   - ErrNoContact, if MaxSilence is set and the store has not answered for longer than that.
func (e *LeaderElector) Check(maxTolerableExpiredLease time.Duration) error {
	e.mu.Lock()
	t, state, trouble := e.term, e.state, e.trouble
	e.mu.Unlock()
	if t != nil && state != releasing {
		if late := t.expiredFor(); late > maxTolerableExpiredLease {
			who, how := t.overstayer()
			return fmt.Errorf("election %q: %s has outlived its lease by %v: %s", e.config.Name, who, short(late), how)
		}
	}
	if trouble != nil {
		return fmt.Errorf("election %q: %w: %w", e.config.Name, ErrCannotCampaign, trouble)
	}
	if silence := e.silence(); e.config.MaxSilence > 0 && silence > e.config.MaxSilence {
		return fmt.Errorf("election %q: %w for %v", e.config.Name, ErrNoContact, short(silence))
	}
	return nil
}
