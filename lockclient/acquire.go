package lockclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// getLock is GetLockWithContext.
func (d *driver) getLock(ctx context.Context) (bool, error) {
	return d.inTurn(ctx, d.removal.count(), func(ctx context.Context) (bool, error) {
		for try := 1; ; try++ {
			held, err := d.attempt(ctx, &bid{eager: true})
			if held || try == getLockTries || !worthRetrying(ctx, err) || !d.sleep(ctx, d.pauseAfter(try, err, d.Heartbeat)) {
				return held, err
			}
		}
	})
}

// worthRetrying reports whether another try may have a better result than err.
func worthRetrying(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, ErrLockHeld) && !isPermanent(err)
}

// pollLock is PollLock.
func (d *driver) pollLock(ctx context.Context) (bool, error) {
	return d.inTurn(ctx, d.removal.count(), d.pollOnce)
}

func (d *driver) pollOnce(ctx context.Context) (bool, error) { return d.attempt(ctx, &bid{}) }

// waitForLock is WaitForLock.
func (d *driver) waitForLock(ctx context.Context) error {
	return d.wait(ctx, func(ctx context.Context) (bool, error) {
		if shared := d.knownResult(); shared != nil {
			return false, shared
		}
		return d.pollOnce(ctx)
	}, nil)
}

// tryLock is TryLock.
func (d *driver) tryLock(ctx context.Context) error {
	var first holderVersion
	b := &bid{eager: true}
	return d.wait(ctx, func(ctx context.Context) (bool, error) {
		held, err := d.attempt(ctx, b)
		b = &bid{}
		return held, err
	}, func() bool {
		// A holder that renews, or another one that came after it, is alive.
		d.mu.Lock()
		defer d.mu.Unlock()
		w := d.contender.watch
		if w == nil || w.reserved {
			return false
		}
		seen := d.contender.seenOfHolder()
		if first == (holderVersion{}) {
			first = seen
		}
		return first != seen || w.following.alive
	})
}

// wait runs step again and again, with the pauses that its errors ask for, until the
// lock is held, ctx is done, RemoveLock is called, or an error is permanent. hopeless,
// where it is not nil, says after each refusal whether waiting has become pointless.
func (d *driver) wait(ctx context.Context, step func(context.Context) (bool, error), hopeless func() bool) error {
	began := d.removal.count()
	removed, leave := d.removal.await()
	defer leave()
	d.countWaiters(1)
	defer d.countWaiters(-1)
	var last error
	for failures := 0; ; {
		held, err := d.inTurn(ctx, began, step)
		if held {
			return nil
		}
		if ctx.Err() != nil {
			return d.waitError(err, last)
		}
		var pause time.Duration
		var refused *LockHeldError
		var shared *sharedError
		switch {
		case errors.As(err, &shared):
			pause = shared.retryAfter
			err = shared.err
		case errors.As(err, &refused):
			if hopeless != nil && hopeless() {
				return err
			}
			failures, pause = 0, refused.RetryAfter
			d.share(err, pause)
		case isPermanent(err), errors.Is(err, ErrInterrupted):
			return err
		default:
			failures++
			pause = d.pauseAfter(failures, err, 2*d.poll)
			d.share(err, pause)
			d.log.V(1).Info("poll failed, will retry", "failures", failures, "pause", pause, "error", oneLine(err))
		}
		last = err
		if !lease.SleepUntil(ctx, d.clock, pause, removed) {
			d.freeIfIdle()
			return d.waitError(contextError(ctx), last)
		}
	}
}

func (d *driver) countWaiters(change int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.session != nil {
		d.session.waiting.Add(int64(change))
	}
	if d.waiters += change; d.waiters < 2 {
		d.shared = sharedResult{}
	}
}

// sharedError is what the poll of another waiter of this client has shown, and for how
// long no further poll is needed.
type sharedError struct {
	err        error
	retryAfter time.Duration
}

func (e *sharedError) Error() string { return e.err.Error() }
func (e *sharedError) Unwrap() error { return e.err }

// share keeps the result of a poll for the other waiters of this client, so that they
// need not poll.
func (d *driver) share(err error, pause time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiters > 1 {
		d.shared = sharedResult{err: err, until: d.clock.Monotonic() + pause}
	}
}

// knownResult returns the result of another waiter's poll, or nil if it is time for a new
// one.
func (d *driver) knownResult() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := d.shared.until - d.clock.Monotonic()
	if d.shared.err == nil || left <= 0 {
		return nil
	}
	return &sharedError{err: d.shared.err, retryAfter: left}
}

// waitError says why waiting has ended, and the last result.
func (d *driver) waitError(err, last error) error {
	if last == nil || errors.Is(err, last) {
		return fmt.Errorf("lockclient: waiting for lock %q: %w", d.name, err)
	}
	return fmt.Errorf("lockclient: waiting for lock %q: %w (last: %w)", d.name, err, last)
}
