package lockclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// watch is what a waiter knows of a record that isn't its own: how it looked, and
// since when it has looked so. A holder is dead when its version has stayed the same
// for the whole lease that came with it.
type watch struct {
	record *record
	// since is when the reply that first showed this version had *arrived*, on the
	// monotonic clock: later than the holder began to count.
	since       time.Duration
	lease       time.Duration
	margin      time.Duration // how much longer it is watched
	phase       phase
	announced   bool          // its holder has announced a release
	announcedAt time.Duration // when that was first seen
	// past: the last look showed a released record that is older than this one.
	past bool
	// expired: its holder is dead for another reason than the watch: MaxClockSkew allows
	// to believe the recorded expiry, and it has passed; or ReclaimOnRestart says so.
	expired bool
}

// observe takes note of a record that a reply to a request sent then has just
// brought. A read that was not consistent may show an older one than is known
// already; that says nothing.
func (l *lock) observe(found *record, sent time.Duration, consistent bool) {
	l.seen = max(l.seen, found.item.FencingToken)
	arrived := l.clock.Monotonic()
	if l.watch == nil {
		l.watch = &watch{}
	}
	w := l.watch
	switch {
	case w.record != nil && found.version == w.record.version,
		w.record != nil && !consistent && found.olderThan(w.record):
		w.phase.unchanged(sent)
		if found.version == w.record.version {
			w.noteAnnouncement(found, arrived)
		}
	default:
		next := watch{record: found, since: arrived, lease: found.item.LeaseDuration}
		if next.lease <= 0 {
			next.lease = max(l.lease, unknownLease)
		}
		if found.version.count == "" || found.version.dialect == dialectSeed {
			// Not ours. Other makes' holders believe to the last moment of their lease, in whole
			// milliseconds, and leave nothing for clocks whose rates differ.
			next.margin = next.lease/100 + 2*time.Millisecond
		}
		if renewals := found.renewalsSince(w.record); renewals > 0 {
			next.phase, next.announced, next.announcedAt = w.phase, w.announced, w.announcedAt
			next.phase.renewed(sent, arrived, renewals)
		} else {
			next.phase = newPhase(found.item.HeartbeatPeriod, next.lease, sent, arrived)
		}
		next.noteAnnouncement(found, arrived)
		*w = next
	}
	if l.reclaim && w.record.item.Owner == l.identity && w.record.version.dialect == dialectAWS {
		w.expired = true // what an earlier life of this process left behind
	}
	if l.maxClockSkew > 0 && !w.record.expiresAt.IsZero() && l.clock.Wall().Sub(w.record.expiresAt) > l.maxClockSkew {
		w.expired = true
	}
}

func (w *watch) noteAnnouncement(found *record, arrived time.Duration) {
	if found.releasing && !w.announced {
		w.announced, w.announcedAt = true, arrived
	}
}

// olderThan reports whether the records are of one line of tenures and r was written
// before other.
func (r *record) olderThan(other *record) bool {
	mine, theirs := r.item.FencingToken, other.item.FencingToken
	if mine == 0 || theirs == 0 {
		return false
	}
	return mine < theirs || mine == theirs && r.count < other.count
}

// renewalsSince is how many heartbeats of one tenure lie between two records; 0 when
// that can't be told.
func (r *record) renewalsSince(earlier *record) int64 {
	if earlier == nil || r.item.FencingToken == 0 || r.item.FencingToken != earlier.item.FencingToken ||
		r.item.HeartbeatPeriod != earlier.item.HeartbeatPeriod {
		return 0
	}
	return max(r.count-earlier.count, 0)
}

// remaining is how long the record must yet stay unchanged before its holder is dead.
func (w *watch) remaining(l *lock) time.Duration {
	return w.lease + w.margin - (l.clock.Monotonic() - w.since)
}

// over reports whether the holder is dead.
func (w *watch) over(l *lock) bool {
	return w.expired || w.remaining(l) <= 0
}

// refusal is the error for a lock that another holds.
func (l *lock) refusal(cause error) error {
	w := l.watch
	e := &LockHeldError{
		LockName:      l.name,
		Owner:         w.record.item.Owner,
		FencingToken:  w.record.item.FencingToken,
		LeaseDuration: w.lease,
		RetryAfter:    l.nextPoll(),
		cause:         cause,
	}
	l.log.V(2).Info("held by another", "owner", e.Owner, "fencingToken", e.FencingToken, "retryAfter", e.RetryAfter)
	return e
}

// closePoll is the pause between polls right after a holder has announced a release.
const closePoll = 40 * time.Millisecond

// nextPoll is the pause until a poll can tell anything new: until just after the
// holder's next heartbeat where that can be foretold, else one period, a little less
// by jitter so that waiters spread; never longer than the watched lease or a
// PollPeriod.
func (l *lock) nextPoll() time.Duration {
	w, now := l.watch, l.clock.Monotonic()
	pause := l.poll - l.jitter(l.poll/5)
	if w.phase.period > 0 {
		foretold := w.phase.next(l.jitter) - now
		if l.pollsAtWill {
			foretold = min(foretold, pause)
		}
		pause = foretold
	}
	if w.announced {
		// Closely at first, since most work ends soon when told to; then less and less, so
		// that a holder that announced and stayed costs little, and one that died and misses a
		// heartbeat still less.
		drained, overdue := now-w.announcedAt, w.phase.overdue(now)
		pause = max(min(pause, max(closePoll, drained/48, min(drained, overdue)/4)), 0) // the moment that was foretold may have passed
		pause -= l.jitter(pause / 4)
	}
	if w.over(l) {
		return max(pause, l.poll/2, time.Millisecond) // refused though it is over: an item that can't be taken
	}
	return max(min(pause, w.remaining(l)), time.Millisecond)
}

// pollLock is PollLock.
func (l *lock) pollLock(ctx context.Context) (bool, error) {
	return l.inTurn(ctx, l.pollOnce)
}

func (l *lock) pollOnce(ctx context.Context) (bool, error) {
	if l.watch == nil || l.watch.over(l) {
		return l.attempt(ctx)
	}
	sent := l.clock.Monotonic()
	found, err := l.read(ctx, false)
	if err != nil {
		return false, err
	}
	// A released record that looks older may be what a replica showed late, or the work of a
	// client whose clock is behind, after the item was deleted. The second look asks.
	released := found.released() && (!found.olderThan(l.watch.record) || l.watch.past)
	if found.version.dialect == dialectEmpty || found.version.dialect == dialectNone || released || slices.Contains(l.doubted(), found.version.number) {
		return l.attempt(ctx)
	}
	l.observe(found, sent, false)
	l.watch.past = found.released()
	if l.watch.over(l) {
		return l.attempt(ctx)
	}
	return false, l.refusal(nil)
}

// read fetches and decodes the record.
func (l *lock) read(ctx context.Context, consistent bool) (*record, error) {
	found, err := ask(ctx, l, func(ctx context.Context) (*record, error) {
		attributes, err := l.store.read(ctx, consistent)
		return decodeRecord(attributes), err
	})
	if err == nil {
		return found, nil
	}
	if ctx.Err() != nil {
		return nil, contextError(ctx)
	}
	return nil, l.store.failure("read", err)
}

// waitForLock is WaitForLock.
func (l *lock) waitForLock(ctx context.Context) error {
	var last error
	removed, leave := l.removal.await()
	defer leave()
	for failures := 0; ; {
		held, err := l.inTurn(ctx, func(ctx context.Context) (bool, error) {
			if isClosed(removed) {
				return false, ErrInterrupted // what its caller gave up is not taken again
			}
			return l.pollOnce(ctx)
		})
		if held {
			return nil
		}
		if ctx.Err() != nil {
			return l.gaveUp(err, last)
		}
		var pause time.Duration
		var refused *LockHeldError
		switch {
		case errors.As(err, &refused):
			failures, pause = 0, refused.RetryAfter
		case isPermanent(err), errors.Is(err, ErrInterrupted):
			return err
		default:
			failures++
			pause = l.backoff(failures, 2*l.poll)
			l.log.V(1).Info("poll failed, will retry", "failures", failures, "pause", pause, "error", err.Error())
		}
		last = err
		if !l.sleepUntil(ctx, removed, pause) {
			l.leave()
			return l.gaveUp(contextError(ctx), last)
		}
	}
}

// gaveUp says why waiting ended, and what it was last waiting for.
func (l *lock) gaveUp(err, last error) error {
	if last == nil || errors.Is(err, last) {
		return fmt.Errorf("lockclient: waiting for lock %q: %w", l.name, err)
	}
	return fmt.Errorf("lockclient: waiting for lock %q: %w (last: %w)", l.name, err, last)
}
