package lockclient

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A held lock costs no goroutine while nothing happens: a timer starts one for each
// heartbeat, and it ends with the reply. So no reply, slow or missing, delays
// another lock, and a heartbeat that hangs past its deadline is left behind and
// another one sent.

// nextBeat prepares a heartbeat that leaves now. Called with mu held, the odometer folded
// at that moment, and the window open.
func (t *tenure) nextBeat(at instant) *heartbeat {
	l := t.lock
	ctx, cancel := context.WithCancel(context.Background())
	b := &heartbeat{tenure: t, ctx: ctx, cancel: cancel, sent: t.odometer.total, wall: t.stamp(at), next: t.nextInRhythm()}
	t.beatDue = never // until this one is settled
	// A heartbeat that doesn't answer is not waited for: another one is sent. It is
	// cancelled only when no answer could be of use any more.
	remaining := l.window - (b.sent - t.renewed)
	b.patience = min(max(remaining/2, l.heartbeat/8, 5*time.Millisecond), 5*time.Second, remaining)
	b.grace = remaining - b.patience
	t.inFlight = append(t.inFlight, b)
	b.stopGuard = l.clock.AfterFunc(b.patience, b.overdue)
	return b
}

// hungBeats are the heartbeats that are overdue by the odometer though not yet by the timer
// that guards them: the machine has slept. Called with mu held, and the odometer just folded.
func (t *tenure) hungBeats() []*heartbeat {
	var hung []*heartbeat
	for _, b := range t.inFlight {
		if !b.settled && t.odometer.total-b.sent > b.patience {
			hung = append(hung, b)
		}
	}
	return hung
}

// send sends it and acts on the answer.
func (b *heartbeat) send() {
	t := b.tenure
	err := t.lock.store.renew(b.ctx, t.token, b.wall)
	b.answered()
	b.cancel()
	b.done(err)
	t.landed(b)
}

// stamp is the wall clock that goes into the record with a write that leaves then. It
// never goes back within a tenure. Called with mu held.
func (t *tenure) stamp(at instant) time.Time {
	t.stamped = max(t.stamped, at.wall)
	return time.Unix(0, t.stamped)
}

// heartbeat is one attempt at renewing.
type heartbeat struct {
	tenure *tenure
	ctx    context.Context // of the request
	cancel context.CancelFunc
	sent   time.Duration // the tenure's odometer before the request left
	wall   time.Time     // the wall clock that it carries
	next   time.Duration // the monotonic clock when the next one is due, if this one is confirmed

	patience time.Duration // when it has no answer then, another one is sent
	grace    time.Duration // and so much later it is cancelled

	// Guarded by tenure.mu:
	settled   bool // its outcome, or its silence, was acted on
	landed    bool // it has an answer
	stopGuard func() bool
}

// overdue has another heartbeat sent, and this one cancelled in a while.
func (b *heartbeat) overdue() {
	b.failed(fmt.Errorf("%w: heartbeat after %v", errAttemptTimeout, b.patience))
	t := b.tenure
	t.mu.Lock()
	defer t.mu.Unlock()
	if !b.landed {
		b.stopGuard()
		b.stopGuard = t.lock.clock.AfterFunc(b.grace, b.cancel)
	}
}

// answered stops the timers that guard it.
func (b *heartbeat) answered() {
	t := b.tenure
	t.mu.Lock()
	defer t.mu.Unlock()
	b.landed = true
	b.stopGuard()
}

// done acts on the reply, also when it comes after the timeout: a confirmation is as
// true then as it ever was, and so is a refusal.
func (b *heartbeat) done(err error) {
	t := b.tenure
	if err == nil {
		b.confirmed()
		return
	}
	failed, refused := conditionFailed(err)
	if !refused {
		b.failed(err)
		return
	}
	found := decodeRecord(failed.Item)
	if b.outrun(found) {
		b.failed(fmt.Errorf("a heartbeat was overtaken by a newer one: %w", err))
		return
	}
	t.refuted(found, err)
}

// outrun reports whether a refusal says no more than that a newer heartbeat of this
// tenure was written before.
func (b *heartbeat) outrun(found *record) bool {
	t := b.tenure
	if found.version.dialect == dialectEmpty {
		// Deleted, or an endpoint that doesn't return the item: only a refusal of the newest
		// heartbeat tells something. That ends the tenure without another look, since of a
		// deleted item somebody else may have made his own meanwhile.
		t.mu.Lock()
		defer t.mu.Unlock()
		return b.sent < t.renewed
	}
	return found.item.Owner == t.lock.identity && found.item.FencingToken == t.token && !found.released()
}

// confirmed moves the trust window on, to start where the request was sent.
func (b *heartbeat) confirmed() {
	t := b.tenure
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return
	}
	at := t.odometer.fold(now(t.lock.clock))
	if at-t.renewed >= t.lock.window {
		// The window closed before this reply came; somebody may have been told already.
		t.mu.Unlock()
		t.end(t.expired())
		return
	}
	t.renewed = max(t.renewed, b.sent)
	t.failures, t.lastFault = 0, nil
	if !b.settled {
		b.settled = true
		t.beatAt(b.next)
	}
	t.mu.Unlock()
	t.lock.log.V(1).Info("heartbeat", "fencingToken", t.token, "took", at-b.sent)
	t.lock.observers.tell(at-b.sent, nil)
}

// failed has the heartbeat sent again soon: with jitter, with growing pauses, and for
// as long as the window is open.
func (b *heartbeat) failed(err error) {
	t := b.tenure
	t.mu.Lock()
	if b.settled || t.ended {
		t.mu.Unlock()
		return
	}
	b.settled = true
	t.failures++
	failures := t.failures
	t.lastFault = err
	at := t.odometer.fold(now(t.lock.clock))
	pause := t.lock.backoff(failures, t.lock.heartbeat)
	t.beatAt(t.odometer.mark.mono + pause)
	t.mu.Unlock()
	t.lock.log.V(1).Info("heartbeat failed, will retry", "fencingToken", t.token, "failures", failures, "pause", pause, "error", err.Error())
	t.lock.observers.tell(at-b.sent, err)
}

// refuted ends the tenure: the condition of a write that named it has failed.
func (t *tenure) refuted(found *record, err error) {
	t.disown()
	t.end(lostTo(t.lock.name, found, err))
}

// lostTo says in whose hands the record is instead.
func lostTo(name string, found *record, err error) error {
	switch {
	case found.version.dialect == dialectEmpty:
		return fmt.Errorf("%w: lock %q: its item was deleted or changed by somebody else: %w", ErrLockLost, name, err)
	case found.released():
		return fmt.Errorf("%w: lock %q was released by %q: %w", ErrLockLost, name, found.item.Owner, err)
	default:
		return fmt.Errorf("%w: lock %q is now held by %q (fencing token %d): %w", ErrLockLost, name, found.item.Owner, found.item.FencingToken, err)
	}
}

// landed notes that a heartbeat's goroutine is about to end.
func (t *tenure) landed(b *heartbeat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight = slices.DeleteFunc(t.inFlight, func(other *heartbeat) bool { return other == b })
	if len(t.inFlight) > 0 {
		return
	}
	t.inFlight = nil // memory, where locks are many
	if t.drained != nil {
		close(t.drained)
		t.drained = nil
	}
}

// drain waits until no heartbeat is in flight, or ctx is done. The tenure has ended,
// so that none starts, and those under way were cancelled; a client that ignores
// its context must not keep its caller here, and need not: a heartbeat that lands
// after the release fails its condition.
func (t *tenure) drain(ctx context.Context) {
	t.mu.Lock()
	if len(t.inFlight) == 0 {
		t.mu.Unlock()
		return
	}
	if t.drained == nil {
		t.drained = make(chan struct{})
	}
	drained := t.drained
	t.mu.Unlock()
	ctx, cancel := t.lock.clockTimeout(ctx, attemptTimeout(t.lock.heartbeat)/4)
	defer cancel()
	select {
	case <-drained:
	case <-ctx.Done():
	}
}

// announce is AnnounceRelease. It is no heartbeat, so that it disturbs no rhythm: of a
// holder that announces and dies waiters know as well as of any other when it last renewed.
func (t *tenure) announce(ctx context.Context) error {
	l := t.lock
	_, err := ask(ctx, l, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, l.store.announce(ctx, t.token)
	})
	failed, refused := conditionFailed(err)
	switch {
	case err == nil:
		return nil
	case !refused:
		return l.store.failure("announce the release of", err)
	}
	t.refuted(decodeRecord(failed.Item), err)
	if _, why := t.holds(); why != nil {
		return why
	}
	return fmt.Errorf("%w: lock %q was released", ErrNotHeld, l.name)
}

func (t *tenure) stopHeartbeat() {
	t.mu.Lock()
	if t.ended || t.stopped {
		t.mu.Unlock()
		return
	}
	t.stopped = true
	t.mu.Unlock()
	t.lock.log.V(1).Info("heartbeats stop", "fencingToken", t.token)
}

// resumeHeartbeat undoes stopHeartbeat for a lock that is still held.
func (t *tenure) resumeHeartbeat() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || !t.stopped {
		return
	}
	t.stopped = false
	t.odometer.fold(now(t.lock.clock))
	t.arm() // for the heartbeat that was due, if none is under way
}

// backoff is the pause after the n-th failure in a row, between half and all of
// 50 ms x 2^(n-1), bounded by half a period so that several tries fit in a lease.
func (l *lock) backoff(n int, period time.Duration) time.Duration {
	ceiling := max(period/2, time.Millisecond)
	pause := min(50*time.Millisecond, max(period/10, time.Millisecond))
	for i := 1; i < n && pause < ceiling; i++ {
		pause *= 2
	}
	pause = min(pause, ceiling)
	return pause/2 + l.jitter(pause/2)
}
