package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// run is one Run. Only Run's goroutine uses its fields, unless a comment says otherwise.
type run struct {
	*LeaderElector
	parent context.Context // Run's
	ctx    context.Context // ends with parent, or when a callback panics
	cancel context.CancelCauseFunc

	crashOnce sync.Once     // any goroutine
	crashed   chan struct{} // closed when something of the user's has panicked
	passOn    any           // the panic that Run itself goes on with; nil: none; set before crashed is closed
	safe      chan struct{} // closed when a panic that was held up may go on
	safeOnce  sync.Once
}

func (e *LeaderElector) start(ctx context.Context) (*run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current != nil {
		return nil, ErrAlreadyRunning
	}
	r := &run{LeaderElector: e, parent: ctx, crashed: make(chan struct{}), safe: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	e.current = r
	return r, nil
}

// loop campaigns and leads in turn.
func (r *run) loop() error {
	stop := r.observeHeartbeats()
	defer stop()
	for {
		r.takeRest()
		t, err := r.campaign()
		if t == nil {
			return err
		}
		end := r.lead(t)
		r.restAfter(t)
		switch {
		case r.ctx.Err() != nil:
			return nil
		case r.config.OneTerm && (errors.Is(end, ErrLeaseExpired) || errors.Is(end, ErrLockLost)):
			return end
		case r.config.OneTerm:
			return nil
		}
	}
}

// restAfter lets other candidates try first after a term that was handed over, or that this elector
// could not keep. The pause outlasts this Run, for callers that run in a loop.
func (r *run) restAfter(t *term) {
	switch {
	case t.handsOver():
		r.restFor(r.asidePeriod(t), standingAside)
	case t.endedBy() != nil:
		r.restFor(r.pause(), campaigning)
	}
}

func (r *run) restFor(d time.Duration, s state) {
	r.rest = &rest{until: r.clock.Monotonic() + d, state: s}
}

func (r *run) takeRest() {
	if r.rest == nil {
		return
	}
	if d := r.rest.until - r.clock.Monotonic(); d > 0 {
		if r.rest.state == standingAside {
			r.log(1, msgStandAside, "for", short(d))
		}
		r.enter(r.rest.state)
		lease.Sleep(r.ctx, r.clock, d)
	}
}

// lead takes one term from winning to releasing, and returns why it ended. The leading context
// ends, the work returns, OnStoppedLeading runs, the lock is released, in this order.
func (r *run) lead(t *term) (end error) {
	r.mu.Lock()
	r.term, r.state = t, leading
	r.mu.Unlock()
	r.observed(Leader{Identity: t.Identity, FencingToken: t.FencingToken, Self: true}, sighting{sign: *t.sent.Load(), lease: r.figures.Lease})
	r.tell(r.metric.on)
	go r.guard(t)
	r.sinks.Flush(r.clock, patience) // so that metrics and logs are usually ahead of the work
	go t.work(r)

	<-t.ended
	stopAnnouncing := r.announceRelease(t)
	told := lease.Now(r.clock)
	returned := t.awaitWork()
	if returned {
		r.log(0, msgWorkEnded, "fencingToken", t.FencingToken, "took", short(lease.Now(r.clock).Since(told)))
	}
	stopAnnouncing()
	r.stepDown(t, returned)
	return context.Cause(t.ctx)
}

// stepDown calls OnStoppedLeading and releases the lock, even if OnStoppedLeading panics.
func (r *run) stepDown(t *term, returned bool) {
	panicking := true
	defer func() {
		close(t.finished)
		<-t.guarded
		t.calls.Wait()
		r.enter(releasing)
		released := false
		released, t.releaseError = r.release(t, returned, panicking)
		r.vacated(t, released)
		r.mu.Lock()
		r.term = nil
		r.mu.Unlock()
		lasted, cause := lease.Now(r.clock).Since(t.won), context.Cause(t.ctx)
		r.tell(func() { r.metric.ended(lasted, cause) })
		close(t.over)
	}()
	if !r.isCrashed() {
		r.sinks.Flush(r.clock, r.parting()) // OnStoppedLeading may end the process
		r.config.Callbacks.OnStoppedLeading()
	}
	panicking = false
}

// announceRelease tells candidates that the lock will soon be free, if the lock can do that. The
// function it returns ends that and waits for it.
func (r *run) announceRelease(t *term) (stop func()) {
	announcer, ok := r.lock().(releaseAnnouncer)
	if _, held := t.leaseAge(); !ok || t.noticed || !held || !t.working() || !r.willRelease(t) || r.isCrashed() || errors.Is(t.endedBy(), ErrLeaseExpired) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := announcer.AnnounceRelease(ctx); err != nil && ctx.Err() == nil {
			r.log(1, msgNotAnnounced, "error", textOf(err))
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// willRelease reports whether the term's lock is to be released instead of left to expire.
func (r *run) willRelease(t *term) bool {
	return r.config.ReleaseOnCancel || r.isCrashed() || t.endedBy() != nil || t.handsOver()
}

// release releases the lock (true), or leaves its lease to expire. It does nothing to a lock that
// is no longer this term's.
func (r *run) release(t *term, workReturned, panicking bool) (released bool, err error) {
	if !workReturned {
		return false, nil
	}
	age, held := t.leaseAge()
	patience := min(r.figures.Lease-age, r.figures.renewDeadline)
	// A panic of OnStoppedLeading is no reason to keep the others waiting.
	release := panicking || r.willRelease(t)
	switch token, other := r.lock().FencingToken(); {
	case !held && (!release || other && token != t.FencingToken):
		return false, nil
	case !release:
		r.lock().StopHeartbeat()
		return false, errLeftToRunOut
	case !held:
		// The lease is over by this machine's clocks. After a step of the wall clock it is not over
		// for others: the record may still be ours, and the lock frees it only if it is.
		patience = r.parting()
	}
	err = r.giveBackTo(patience, t.heir.Load())
	if err != nil {
		r.log(0, msgNotReleased, "fencingToken", t.FencingToken, "error", textOf(err))
		return false, fmt.Errorf("election: lock not released, its lease runs out by itself: %w", err)
	}
	if held {
		r.log(1, msgReleased, "fencingToken", t.FencingToken)
	}
	return held, nil
}

// giveBack releases what this client holds of the lock.
func (r *run) giveBack(patience time.Duration) error { return r.giveBackTo(patience, nil) }

// giveBackTo is giveBack that lets an heir acquire before others, if there is an heir and the lock
// can do that.
func (r *run) giveBackTo(patience time.Duration, heir *string) error {
	ctx, cancel := lease.WithTimeout(context.WithoutCancel(r.ctx), r.clock, patience, errNoAnswer)
	defer cancel()
	remove := r.lock().RemoveLockWithContext
	if lock, ok := r.lock().(heirReleaser); ok && heir != nil {
		remove = func(ctx context.Context) error { return lock.ReleaseTo(ctx, *heir) }
	}
	if err := remove(ctx); err != nil {
		return inTime(ctx, err, patience)
	}
	r.unsure = false
	return nil
}

func (r *run) lock() Lock { return r.config.Lock }

func (r *run) enter(s state) {
	r.mu.Lock()
	r.state = s
	r.mu.Unlock()
}

// observed writes who leads on the board, and reports changes to the Logger, metrics and
// OnNewLeader.
func (r *run) observed(l Leader, s sighting) {
	c := r.board.write(l, s, r.clock.Wall())
	if !c.changed {
		return
	}
	if c.failover {
		r.tell(r.metric.failover)
	}
	switch {
	case l.Self:
		r.log(0, msgLeading, "fencingToken", l.FencingToken, "how", c.how)
	case !l.Vacant():
		r.log(0, msgNewLeader, "leader", l.Identity, "fencingToken", l.FencingToken, "how", c.how)
	}
	if onNewLeader := r.config.Callbacks.OnNewLeader; c.newName && onNewLeader != nil {
		r.news.Send(func() { onNewLeader(l.Identity) })
	}
}

// vacated records that this term's leader no longer leads.
func (r *run) vacated(t *term, released bool) {
	r.observed(Leader{}, sighting{sign: *t.sent.Load(), lease: r.figures.Lease, released: released})
}

// crash begins the end of a Run in which a function of the user has panicked. The goroutine that
// panicked calls it, waits for safe, and then goes on panicking.
func (r *run) crash(what string, value any) {
	r.crashOnce.Do(func() {
		close(r.crashed)
		r.cancel(&panicError{callback: what, value: value})
	})
}

// sinkPanicked makes Run end the term and then go on with a panic of the Logger or of a metric.
func (e *LeaderElector) sinkPanicked(value any) {
	r := e.running()
	if r == nil {
		panic(value)
	}
	r.crashOnce.Do(func() {
		r.passOn = value
		close(r.crashed)
		r.cancel(&panicError{callback: "the Logger or a metric", value: value})
	})
}

// newsPanicked makes Run end the term, and then lets the panic of OnNewLeader go on.
func (e *LeaderElector) newsPanicked(value any) {
	if r := e.running(); r != nil {
		r.crash("OnNewLeader", value)
		<-r.safe
	}
	panic(value)
}

func (e *LeaderElector) running() *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current
}

func (r *run) isCrashed() bool { return isClosed(r.crashed) }

// parting is how long Run waits at its end for a Logger or an OnNewLeader that does not return, or
// for the release of a lock that it may have won.
func (e *LeaderElector) parting() time.Duration { return min(e.figures.Heartbeat, time.Second) }

// settle waits for the last calls of OnNewLeader, the Logger and the metrics. After a panic it lets
// that go on instead.
func (r *run) settle() {
	r.safeOnce.Do(func() { close(r.safe) })
	if !r.isCrashed() {
		r.news.Flush(r.clock, r.parting())
		r.sinks.Flush(r.clock, r.parting())
	}
	switch {
	case !r.isCrashed():
	case r.passOn != nil:
		panic(r.passOn)
	default:
		select {} // the goroutine that panicked ends the process
	}
}

// leave cleans up at the end of Run, also if OnStoppedLeading or the lock has panicked.
func (r *run) leave() {
	r.cancel(nil)
	r.safeOnce.Do(func() { close(r.safe) })
	r.news.Discard()
	r.mu.Lock()
	t := r.term
	r.mu.Unlock()
	if t != nil {
		r.abort(t)
	}
	r.mu.Lock()
	r.term, r.current, r.state, r.trouble = nil, nil, idle, nil
	r.mu.Unlock()
}

// abort ends a term in which the lock panicked. The caller of Run may survive that, and run again.
func (r *run) abort(t *term) {
	r.lock().StopHeartbeat()
	<-t.workDone
	t.releaseError = errLeftToRunOut
	close(t.over)
}
