package lockclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// isHeld reports whether the lock is held already, and has its heartbeats go on.
func (d *driver) isHeld() bool {
	k := d.holding()
	if k == nil {
		return false
	}
	if held, _ := k.holds(); !held {
		return false
	}
	k.resume()
	return true
}

// inTurn runs step as the only attempt of this client, on a context that RemoveLock
// can interrupt, unless the lock is held already. began is the number of removals when
// the caller asked for the lock: after a later RemoveLock it must not be taken any more.
func (d *driver) inTurn(ctx context.Context, began uint64, step func(context.Context) (bool, error)) (bool, error) {
	if d.isHeld() {
		return true, nil
	}
	if err := ctx.Err(); err != nil {
		d.freeIfIdle()
		return false, contextError(ctx)
	}
	if !d.turn.take(ctx) {
		return false, contextError(ctx)
	}
	defer d.turn.pass()
	attempt, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.setInterrupt(cancel)
	defer d.setInterrupt(nil)
	if d.removal.count() != began { // after interrupt was set, so that none is missed
		return false, ErrInterrupted
	}
	if d.isHeld() {
		return true, nil
	}
	defer d.oweIfUnsure()

	held, err := step(attempt)
	if held && errors.Is(context.Cause(attempt), ErrInterrupted) {
		// RemoveLock is waiting for the turn, and frees what the tenure leaves.
		d.giveUp()
		held, err = false, contextError(attempt)
	}
	if !held && ctx.Err() != nil {
		// The caller gives up: free what an unanswered write may have taken. This takes a
		// bounded time, and is done in this goroutine since the process may be about to exit.
		d.freeUnanswered()
		if !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", contextError(ctx), err)
		}
	}
	return held, err
}

func (d *driver) setInterrupt(cancel context.CancelCauseFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupt = cancel
}

// freeIfIdle frees what an earlier attempt may have taken, for a caller that gives up
// between two attempts. If another call has the turn, that one goes on trying.
func (d *driver) freeIfIdle() {
	if d.turn.tryTake() {
		defer d.turn.pass()
		d.freeUnanswered()
	}
}

// attempt does what the contender says, until the lock is ours or the contender waits.
func (d *driver) attempt(ctx context.Context, b *bid) (bool, error) {
	if err := d.session.whyClosed(); err != nil {
		return false, err // it could never win, however long it waits
	}
	var refused error // the SDK's; nil: no write was sent
	for {
		d.mu.Lock()
		d.noteSession()
		step := d.contender.next(b, &d.ledger, d.clock.Monotonic())
		d.mu.Unlock()
		switch step {
		case stepRead:
			if err := d.read(ctx, b); err != nil {
				return false, err
			}
		case stepAcquire:
			held, why, err := d.acquire(ctx, b)
			if held || err != nil {
				return held, err
			}
			refused = why
		case stepFollow:
			b.hasFollowed = true
			if err := d.followSession(ctx); err != nil {
				return false, err
			}
		case stepWait:
			if refused == nil && b.eager {
				refused = readAsRefusal() // of GetLock, whose callers look for it
			}
			return false, d.heldError(refused)
		}
	}
}

// read reads the record and tells the contender. The read is consistent if the attempt
// would otherwise write.
func (d *driver) read(ctx context.Context, b *bid) error {
	d.mu.Lock()
	consistent := b.eager || d.contender.heldByMember()
	d.mu.Unlock()
	sent := d.clock.Monotonic()
	found, err := d.fetch(ctx, consistent)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.contender.readShowed(b, &d.ledger, found, sighting{sent: sent, arrived: lease.Now(d.clock), consistent: consistent})
	return nil
}

// fetch sends one read.
func (d *driver) fetch(ctx context.Context, consistent bool) (*record, error) {
	found, err := ask(ctx, d, 0, func(ctx context.Context) (*record, error) {
		return d.requests.read(ctx, consistent)
	})
	d.mu.Lock()
	if wasAnswered(err) {
		d.ledger.readAnswered()
	}
	d.mu.Unlock()
	if err == nil {
		return found, nil
	}
	if ctx.Err() != nil {
		return nil, contextError(ctx)
	}
	return nil, d.requests.failure("read", err)
}

// acquire sends one acquire. refused is the SDK's error if another client holds the lock.
func (d *driver) acquire(ctx context.Context, b *bid) (held bool, refused, err error) {
	leave, err := d.enterTakeover(ctx)
	if err != nil {
		return false, nil, err
	}
	passed := passNotSent
	defer func() { leave(passed) }()
	session, err := d.joinSession(ctx)
	if err != nil {
		return false, nil, err
	}
	version, err := newVersion()
	if err != nil {
		return false, nil, fmt.Errorf("lockclient: make a record version: %w", err)
	}
	place, err := d.line.enter(ctx, d.goesFirst())
	if err != nil {
		return false, nil, contextError(ctx)
	}
	sent := lease.Now(d.clock) // before the request: the lease counts from here
	d.mu.Lock()
	claims := d.contender.claims(&d.ledger, sent.Mono)
	wall := time.Unix(0, sent.Wall)
	a := acquisition{version: version, token: d.contender.newToken(wall), claims: claims, wall: wall, session: session}
	d.ledger.sent(version, sent.Mono)
	d.mu.Unlock()
	b.writes++
	_, err = deliver(ctx, d, place, d.parting(), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, d.requests.acquire(ctx, a)
	})
	_, isRefusal := conditionFailed(err)
	if passed = passFailed; err == nil || isRefusal {
		passed = passDone
	}
	d.noteAcquire(version, err)
	if err == nil {
		return d.won(a, sent)
	}
	if isRefusal {
		held, refused, err = d.acquireRefused(ctx, b, a, sent, err)
		if a.claims.token != 0 && !held {
			d.letGo(a.claims.token) // the tenure that we would have replaced has left the record
		}
		return held, refused, err
	}
	if ctx.Err() != nil {
		return false, nil, contextError(ctx)
	}
	return false, nil, d.requests.failure("acquire", err)
}

// noteAcquire tells the ledger how an acquire has ended. One that won or was refused stays in it
// until the record is known.
func (d *driver) noteAcquire(version string, err error) {
	_, refused := conditionFailed(err)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case wasAnswered(err):
		d.ledger.writeAnswered()
	case mayHaveCommitted(err):
		d.ledger.acquireUnanswered()
	}
	if !refused && !mayHaveCommitted(err) {
		d.ledger.ruleOut(version)
	}
}

// acquireRefused acts on a failed condition. The reply shows the record.
func (d *driver) acquireRefused(ctx context.Context, b *bid, a acquisition, sent lease.Instant, err error) (held bool, why, failure error) {
	failed, _ := conditionFailed(err)
	found := decodeRecord(failed.Item)
	if found.version.dialect == dialectEmpty {
		// This endpoint doesn't return the item with the refusal.
		if found, failure = d.fetch(ctx, true); failure != nil {
			return false, nil, failure
		}
	}
	if found.version.number == a.version && !found.released() {
		// The network delivered the request twice: the first copy won, and this is the
		// answer to the second.
		return d.won(a, sent)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ledger.ruleOut(a.version)
	d.ledger.gone(a.claims.token)
	if found.version.dialect == dialectNone {
		return false, nil, d.requests.notALock()
	}
	if found.unusableToken && (found.released() || a.claims.expired != nil && *a.claims.expired == found.version) {
		return false, nil, d.requests.unusableToken()
	}
	d.contender.refusalShowed(b, found, sighting{sent: sent.Mono, arrived: lease.Now(d.clock), consistent: true})
	return false, err, nil
}

// won begins the tenure that an acquire has won.
func (d *driver) won(a acquisition, sent lease.Instant) (held bool, refused, err error) {
	now := lease.Now(d.clock)
	d.mu.Lock()
	d.ledger.won(a.version, a.token)
	d.ledger.forgetBefore(now.Mono - max(d.Lease, time.Minute))
	d.contender.hasWon()
	if d.session != nil {
		return d.wonMember(a.token)
	}
	first, own := d.line.slots.take(sent.Mono, d.Heartbeat)
	t := newTenure(&d.rules, a.token, sent, now, first-sent.Mono)
	if t.ended {
		d.line.slots.free(own)
		d.ledger.ended(a.token)
		d.mu.Unlock()
		return false, nil, t.why
	}
	d.keeper.Store(keep(d, t, own, now))
	d.mu.Unlock()
	d.log.V(0).Info("tenure begins", "owner", d.identity, "fencingToken", a.token, "lease", d.Lease)
	return true, nil, nil
}

// heldError is the error for a lock that another client holds.
func (d *driver) heldError(cause error) error {
	d.mu.Lock()
	d.noteSession()
	w, now := d.contender.watch, d.clock.Monotonic()
	e := &LockHeldError{
		LockName:      d.name,
		Owner:         w.record.item.Owner,
		FencingToken:  w.record.item.FencingToken,
		LeaseDuration: w.lease,
		RetryAfter:    d.contender.pause(now, d.jitter),
		Unchanged:     now - w.since,
		cause:         cause,
	}
	if w.reserved {
		e.Owner, e.FencingToken, e.Heir = "", 0, w.record.item.Heir
	}
	if d.contender.heldByMember() {
		e.LeaseDuration, e.Unchanged = w.following.lease, w.following.unchanged
	}
	d.mu.Unlock()
	d.log.V(2).Info("held by another", "owner", e.Owner, "fencingToken", e.FencingToken, "retryAfter", e.RetryAfter)
	return e
}
