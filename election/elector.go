package election

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// LeaderElector campaigns for a lock and does the leader's work while it holds it. Make one with NewLeaderElector. All methods
// may be called from any goroutine at any time.
type LeaderElector struct {
	config  LeaderElectionConfig
	figures figures
	clock   Clock
	random  func() float64
	metric  metric
	board   board

	mu        sync.Mutex // guards all below; no request and no callback is made under it
	running   bool
	state     state
	term      *term          // from winning until the lock is released; nil: none
	trouble   error          // what no retry can mend, while that is the store's latest answer; nil: none
	answered  bool           // the store has given an answer to campaign by: held, or held by another
	notBefore *time.Duration // who has resigned stands aside until then, on the node's monotonic clock; nil: he hasn't; Run's goroutine's
}

// NewLeaderElector checks the configuration and makes an elector of it; Run starts it. The error is ErrInvalidConfig and names
// every field that must be changed. A WatchDog is tied to the new elector.
func NewLeaderElector(lec LeaderElectionConfig) (*LeaderElector, error) {
	figures, err := lec.figures()
	if err != nil {
		return nil, err
	}
	e := &LeaderElector{config: lec, figures: figures, clock: lec.Clock, random: lec.Rand, metric: newMetric(lec.Name)}
	if e.clock == nil {
		e.clock = newSystemClock()
	}
	if e.random == nil {
		e.random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())).Float64
	}
	if lec.WatchDog != nil {
		lec.WatchDog.SetLeaderElection(e)
	}
	e.metric.off()
	return e, nil
}

// RunOrDie makes an elector of the configuration and runs it until ctx ends (or, with OneTerm, until its first term does). It
// panics with the error of NewLeaderElector if the configuration is invalid, and with that of Run if the store says at once
// that no retry can help.
func RunOrDie(ctx context.Context, lec LeaderElectionConfig) {
	e, err := NewLeaderElector(lec)
	if err != nil {
		panic(err)
	}
	if err := e.Run(ctx); err != nil && isPermanent(err) {
		panic(err)
	}
}

// Run campaigns, leads, and campaigns again after each term, until ctx ends. It returns when the work has returned and the
// lock is released (or, without ReleaseOnCancel, left to run out), and no goroutine of the elector is left.
//
// nil: ctx ended, or with OneTerm the term was resigned or its work returned. ErrAlreadyRunning: another Run of this elector is
// under way. ErrLeaseExpired or ErrLockLost: with OneTerm, the term was lost. An error with Permanent() true: the store's very
// first answer was one that no retry can mend, such as a missing table or permission; later such answers are retried with
// backoff, logged, and fail the health check.
//
// Run waits for OnStartedLeading however long it takes to return: nothing else could tell that only one leader is at work. A
// process that can't wait has to exit.
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

// IsLeader says whether this elector leads at the moment of the call: it compares the age of the lease with RenewDeadline then
// and there, whatever timers have or have not done. No request, no allocation.
func (e *LeaderElector) IsLeader() bool {
	e.mu.Lock()
	t := e.term
	e.mu.Unlock()
	return t != nil && t.leads()
}

// Resign ends the present term, if there is one, and returns when its work has returned and its lock is released. The elector
// then stands aside for two of the longest pauses of a candidate, so that another with the same RetryPeriod wins first, and campaigns
// again. nil without a term: there was nothing to resign. The error is ctx's cause if that ended first, and the term goes on ending; or
// it says that the lock was not released, and the lease runs out by itself.
//
// OnStartedLeading resigns by returning. If it calls Resign, it should do so with its own ctx, which ends at once; with any other it
// waits for its own return.
func (e *LeaderElector) Resign(ctx context.Context) error {
	e.mu.Lock()
	t := e.term
	e.mu.Unlock()
	if t == nil {
		return nil
	}
	t.resign()
	select {
	case <-t.over:
		return t.releaseError
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Check is the health of the elector, for a probe. nil for a candidate that campaigns in vain and for one that does not run. An
// error if the work, or OnStoppedLeading, has outlived its lease by more than maxTolerableExpiredLease: another may lead meanwhile, and
// only a restart ends that. ErrCannotCampaign while the store's latest answer is one that no retry can mend, such as a missing
// permission: whoever restarts processes by this check may want to leave those alone.
func (e *LeaderElector) Check(maxTolerableExpiredLease time.Duration) error {
	e.mu.Lock()
	t, state, trouble := e.term, e.state, e.trouble
	e.mu.Unlock()
	if t != nil && state != releasing {
		if late := t.expiredFor(e.figures.lease); late > maxTolerableExpiredLease {
			who, how := t.overstayer()
			return fmt.Errorf("election %q: %s has outlived its lease by %v: %s", e.config.Name, who, late, how)
		}
	}
	if trouble != nil {
		return fmt.Errorf("election %q: %w: %w", e.config.Name, ErrCannotCampaign, trouble)
	}
	return nil
}

// run is one Run. Its fields belong to Run's goroutine, save those that say otherwise.
type run struct {
	*LeaderElector
	parent context.Context // Run's
	ctx    context.Context // ends with parent, or when a callback panics
	cancel context.CancelCauseFunc
	herald *herald // nil: nobody to tell
	unsure bool    // the latest attempt to acquire had an unknown outcome

	crashOnce sync.Once     // any goroutine
	crashed   chan struct{} // closed when a callback has panicked
	safe      chan struct{} // closed when a panic that was held up may go on
	safeOnce  sync.Once
}

func (e *LeaderElector) start(ctx context.Context) (*run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running {
		return nil, ErrAlreadyRunning
	}
	e.running = true
	r := &run{LeaderElector: e, parent: ctx, crashed: make(chan struct{}), safe: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	if e.config.Callbacks.OnNewLeader != nil {
		r.herald = newHerald(e.config.Callbacks.OnNewLeader)
		go r.herald.run(r)
	}
	return r, nil
}

func (r *run) loop() error {
	stop := r.observeHeartbeats()
	defer stop()
	for {
		r.standAside()
		t, err := r.campaign()
		if t == nil {
			return err
		}
		end := r.lead(t)
		if t.handsOver() {
			until := r.clock.Monotonic() + r.asidePeriod(t)
			r.notBefore = &until
		}
		switch {
		case r.ctx.Err() != nil:
			return nil
		case r.config.OneTerm && (errors.Is(end, ErrLeaseExpired) || errors.Is(end, ErrLockLost)):
			return end
		case r.config.OneTerm:
			return nil
		case !t.handsOver():
			// Whoever could not keep the lock lets the others try first.
			r.enter(campaigning)
			sleep(r.ctx, r.clock, r.pause())
		}
	}
}

// standAside lets another candidate win, if this elector has resigned lately, be it in this Run or in the one before.
func (r *run) standAside() {
	if r.notBefore == nil {
		return
	}
	if d := *r.notBefore - r.clock.Monotonic(); d > 0 {
		r.enter(standingAside)
		sleep(r.ctx, r.clock, d)
	}
}

// lead sees one term through, from winning to releasing, and says why it ended.
func (r *run) lead(t *term) (end error) {
	won := r.clock.Monotonic()
	r.mu.Lock()
	r.term, r.state = t, leading
	r.mu.Unlock()
	go t.guard()
	r.observed(Leader{Identity: t.Identity, FencingToken: t.FencingToken, Self: true})
	r.metric.on()
	r.config.Logger.Info("leading", "name", r.config.Name, "identity", t.Identity, "fencingToken", t.FencingToken)
	go t.work(r)
	r.watch(t)

	end = context.Cause(t.ctx)
	r.stepDown(t, end)
	r.metric.ended(r.clock.Monotonic()-won, end)
	return end
}

// watch keeps the metrics of a term until the guard has ended it.
func (r *run) watch(t *term) {
	late := false
	for {
		select {
		case <-t.guarded:
			return
		case <-t.ticks:
		}
		age, held := t.leaseAge()
		if !held {
			continue
		}
		r.metric.sinceRenewal(age)
		if wasLate := late; age > r.figures.heartbeat+r.figures.heartbeat/2 {
			if late = true; !wasLate {
				r.metric.slowpath()
				r.config.Logger.V(1).Info("renewal is late", "name", r.config.Name, "sinceRenewal", age)
			}
		} else {
			late = false
		}
	}
}

// stepDown brings a term whose leading context has ended to its end: the work returns, OnStoppedLeading runs, the lock is
// released; in this order, and the lease is renewed meanwhile, for DrainTimeout.
func (r *run) stepDown(t *term, end error) {
	<-t.guarded
	r.enter(draining)
	r.metric.off()
	r.config.Logger.Info("stopped leading", "name", r.config.Name, "identity", t.Identity, "fencingToken", t.FencingToken, "cause", end.Error())
	stopBounding := r.boundDrain(t)
	stopAnnouncing := r.announceRelease(t)

	returned := r.awaitWork(t)
	stopAnnouncing()
	stopOverseeing := r.oversee(t)
	stopped := false
	// Deferred, so that the lock is released also when OnStoppedLeading panics.
	defer func() {
		stopOverseeing()
		stopBounding()
		r.enter(releasing)
		t.releaseError = r.release(t, returned, !stopped)
		r.observed(Leader{})
		r.mu.Lock()
		r.term = nil
		r.mu.Unlock()
		close(t.over)
	}()
	if !r.isCrashed() {
		r.config.Callbacks.OnStoppedLeading()
	}
	stopped = true
}

// oversee notices when the lease goes while OnStoppedLeading still runs. The function it returns ends that.
func (r *run) oversee(t *term) (stop func()) {
	select {
	case <-t.lost:
		return func() {} // the work has outlived it already
	default:
	}
	returned, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-returned:
		case <-t.lost:
			r.outlived(t)
		}
	}()
	return func() {
		close(returned)
		<-done
	}
}

// outlived notes that the lease is gone and what it protected goes on.
func (r *run) outlived(t *term) {
	t.noteLoss()
	r.enter(overdue)
	r.observed(Leader{})
	who, how := t.overstayer()
	r.config.Logger.Error(nil, who+" outlives its lease: "+how+"; another may lead", "name", r.config.Name, "identity", t.Identity, "fencingToken", t.FencingToken)
}

// boundDrain stops the heartbeats when DrainTimeout has passed. The function it returns ends that.
func (r *run) boundDrain(t *term) (stop func()) {
	done := make(chan struct{})
	stopTimer := r.clock.AfterFunc(r.figures.drainTimeout, func() {
		defer close(done)
		if _, held := t.leaseAge(); held {
			r.lock().StopHeartbeat()
		}
	})
	return func() {
		// A timer that has fired must be through before the lock can be acquired again: it would stop the next tenure.
		if !stopTimer() {
			<-done
		}
	}
}

// announceRelease lets candidates know that the lock will soon be free, if the lock can tell them. The function it returns
// waits until nothing of it is under way.
func (r *run) announceRelease(t *term) (stop func()) {
	announcer, ok := r.lock().(releaseAnnouncer)
	if _, held := t.leaseAge(); !ok || !held || !t.working() || !r.willRelease(t) || r.isCrashed() || errors.Is(t.endedBy(), ErrLeaseExpired) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := announcer.AnnounceRelease(ctx); err != nil && ctx.Err() == nil {
			r.config.Logger.V(1).Info("could not announce the release", "name", r.config.Name, "error", err.Error())
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// awaitWork waits until OnStartedLeading has returned. It gives up (false) only where the lease is gone and the process is about
// to die of another callback's panic.
func (r *run) awaitWork(t *term) (returned bool) {
	lost, crashed := t.lost, r.crashed
	for lost != nil || crashed != nil {
		select {
		case <-t.workDone:
			return true
		default:
		}
		select {
		case <-t.workDone:
		case <-lost:
			lost = nil
			if t.working() {
				r.outlived(t)
			}
			t.noteLoss()
		case <-crashed:
			crashed = nil
		}
	}
	return false
}

// willRelease says whether the term's lock is to be released rather than left to run out.
func (r *run) willRelease(t *term) bool {
	return r.config.ReleaseOnCancel || r.isCrashed() || t.endedBy() != nil || t.handsOver()
}

// release gives the lock back, or leaves it to run out. What is not this term's any more is left alone.
func (r *run) release(t *term, workReturned, panicking bool) error {
	// A panic of OnStoppedLeading is no reason to keep the others waiting.
	age, held := t.leaseAge()
	if !held || !workReturned {
		return nil
	}
	if !panicking && !r.willRelease(t) {
		r.lock().StopHeartbeat()
		return errLeftToRunOut
	}
	return r.giveBack(r.figures.lease - age)
}

// giveBack frees what is ours of the lock, in no more time than would free it anyway.
func (r *run) giveBack(patience time.Duration) error {
	patience = min(patience, r.figures.renewDeadline)
	ctx, cancel := withTimeout(context.WithoutCancel(r.ctx), r.clock, patience)
	defer cancel()
	if err := r.lock().RemoveLockWithContext(ctx); err != nil {
		err = fmt.Errorf("election: lock not released, its lease runs out by itself: %w", err)
		r.config.Logger.Error(err, "release failed", "name", r.config.Name)
		return err
	}
	return nil
}

func (r *run) lock() Lock { return r.config.Lock }

func (r *run) enter(s state) {
	r.mu.Lock()
	r.state = s
	r.mu.Unlock()
}

// observed puts who leads on the board and tells whom it concerns.
func (r *run) observed(l Leader) {
	c := r.board.write(l)
	if !c.changed {
		return
	}
	if c.failover {
		r.metric.failover()
	}
	if !l.Vacant() && !l.Self {
		r.config.Logger.Info("new leader", "name", r.config.Name, "identity", l.Identity, "fencingToken", l.FencingToken)
	}
	if c.newName && r.herald != nil {
		r.herald.announce(l.Identity)
	}
}

// crash begins the end of a Run one of whose callbacks has panicked. It is called from the panicking goroutine, which then waits
// for safe.
func (r *run) crash(callback string, value any) {
	r.crashOnce.Do(func() {
		close(r.crashed)
		r.cancel(&panicError{callback: callback, value: value})
	})
}

func (r *run) isCrashed() bool {
	select {
	case <-r.crashed:
		return true
	default:
		return false
	}
}

// settle waits for the last call of OnNewLeader. After a callback's panic it lets that go on instead, which ends the process.
func (r *run) settle() {
	r.safeOnce.Do(func() { close(r.safe) })
	if r.herald != nil && !r.isCrashed() {
		r.herald.close()
		select {
		case <-r.herald.done:
		case <-r.crashed:
		}
	}
	if r.isCrashed() {
		select {}
	}
}

// leave is the last of Run, also where OnStoppedLeading has panicked.
func (r *run) leave() {
	r.cancel(nil)
	r.safeOnce.Do(func() { close(r.safe) })
	if r.herald != nil {
		r.herald.close()
	}
	r.mu.Lock()
	t := r.term
	r.term, r.running, r.state, r.trouble = nil, false, idle, nil
	r.mu.Unlock()
	if t != nil {
		// A metric or a logger has panicked in the middle of a term, and Run's caller may survive it.
		r.lock().StopHeartbeat()
		t.releaseError = errLeftToRunOut
		close(t.over)
	}
}
