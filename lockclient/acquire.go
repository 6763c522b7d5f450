package lockclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// getLockTries is how often one GetLock sends a request that fails without an answer.
	getLockTries = 3
	// maxDoubts bounds the attempts with an unknown outcome that are remembered: as many as
	// a partition can bring about, and fewer than an IN of DynamoDB takes. One that is
	// forgotten and lands after all is outlived like anybody's lease.
	maxDoubts = 64
)

// doubt is an attempt of ours with an unknown outcome.
type doubt struct {
	number string        // the recordVersionNumber that it wrote or may yet write
	sent   time.Duration // on the monotonic clock
}

// held reports whether the lock is held already, and has its heartbeats go on.
func (l *lock) held() bool {
	t := l.current.Load()
	if t == nil {
		return false
	}
	if held, _ := t.holds(); !held {
		return false
	}
	t.resumeHeartbeat()
	return true
}

// inTurn runs step as the only attempt of this client, on a context that RemoveLock
// can interrupt, unless the lock is held already.
func (l *lock) inTurn(ctx context.Context, step func(context.Context) (bool, error)) (bool, error) {
	if l.held() {
		return true, nil
	}
	if err := ctx.Err(); err != nil {
		l.leave()
		return false, contextError(ctx)
	}
	if !l.turn.take(ctx) {
		return false, contextError(ctx)
	}
	defer l.turn.pass()
	if l.held() {
		return true, nil
	}
	attempt, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.interrupt.Store(&cancel)
	defer l.interrupt.Store(nil)

	held, err := step(attempt)
	if held && errors.Is(context.Cause(attempt), ErrInterrupted) {
		// Whoever interrupts is waiting for the turn, and frees what the tenure leaves owed.
		l.giveUp()
		held, err = false, contextError(attempt)
	}
	if !held && ctx.Err() != nil {
		// Nobody will try again: free what a write without a reply may have taken. Bounded,
		// and in this goroutine, since the caller may be about to exit.
		l.freeDoubts()
		if !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", contextError(ctx), err)
		}
	}
	return held, err
}

// leave frees what an earlier attempt may have taken, for a caller that gives up
// between two attempts. Whoever has the turn instead goes on trying.
func (l *lock) leave() {
	if l.turn.tryTake() {
		defer l.turn.pass()
		l.freeDoubts()
	}
}

// getLock is GetLockWithContext.
func (l *lock) getLock(ctx context.Context) (bool, error) {
	return l.inTurn(ctx, func(ctx context.Context) (bool, error) {
		for try := 1; ; try++ {
			held, err := l.attempt(ctx)
			if held || try == getLockTries || !l.worthRetrying(ctx, err) || !l.sleep(ctx, l.backoff(try, l.heartbeat)) {
				return held, err
			}
		}
	})
}

// worthRetrying reports whether another try may end otherwise than in err.
func (l *lock) worthRetrying(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, ErrLockHeld) && !isPermanent(err)
}

// attempt sends one acquire and acts on its answer. It sends a second one where the
// refusal shows that the lock can be had after all.
func (l *lock) attempt(ctx context.Context) (bool, error) {
	for again := true; ; again = false {
		number, err := newVersion()
		if err != nil {
			return false, fmt.Errorf("lockclient: make a record version: %w", err)
		}
		claims, seen := l.claims(), l.seen
		at := now(l.clock) // before the request: the lease counts from here
		l.doubts = append(l.doubts, doubt{number, at.mono})
		if n := len(l.doubts); n > maxDoubts {
			// The first may be the one that was carried out before the network went, the latest
			// may yet be.
			l.doubts = slices.Delete(l.doubts, n/2, n/2+1)
		}

		found, err := askPatiently(ctx, l, l.parting(), func(ctx context.Context) (*record, error) {
			attributes, err := l.store.acquire(ctx, number, claims, seen, at)
			return decodeRecord(attributes), err
		})
		if err == nil {
			return l.won(found, odometer{mark: at})
		}
		failed, refused := conditionFailed(err)
		if !refused {
			if !mayHaveCommitted(err) {
				l.trust(number)
			}
			if ctx.Err() != nil {
				return false, contextError(ctx)
			}
			return false, l.store.failure("acquire", err)
		}

		l.disclaim()
		found = decodeRecord(failed.Item)
		if found.version.dialect == dialectEmpty {
			// This endpoint doesn't return the item with the refusal.
			if found, err = l.read(ctx, true); err != nil {
				return false, err
			}
		}
		if found.version.number == number && !found.released() {
			// The network delivered the request twice: the first copy won, and this is the
			// answer to the second.
			return l.won(found, odometer{mark: at})
		}
		l.trust(number)
		if found.version.dialect == dialectNone {
			return false, l.store.notALock()
		}
		l.observe(found, at.mono, true)
		if again && (found.released() || l.watch.over(l)) {
			continue // given up since, or MaxClockSkew says that its holder is dead
		}
		return false, l.refusal(failedCause(err, failed))
	}
}

// failedCause is the SDK's refusal, also after the read that replaced its item.
func failedCause(err error, failed error) error {
	if err != nil {
		return err
	}
	return failed
}

// claims are the records that we may replace now.
func (l *lock) claims() claims {
	c := claims{doubts: l.doubted(), token: l.claim}
	if t := l.current.Load(); c.token == 0 && t != nil {
		c.token = t.debt()
	}
	if l.watch != nil && l.watch.over(l) {
		c.expired = &l.watch.record.version
	}
	return c
}

// disclaim notes that the record is none of our earlier tenures': a condition that
// named them has failed.
func (l *lock) disclaim() {
	l.claim = 0
	if t := l.current.Load(); t != nil {
		t.disown()
	}
}

// trust notes that the attempt with this version has certainly not written.
func (l *lock) trust(number string) {
	l.forget(func(d doubt) bool { return d.number == number })
}

// doubted lists the versions of the attempts in doubt.
func (l *lock) doubted() []string {
	if len(l.doubts) == 0 {
		return nil
	}
	numbers := make([]string, len(l.doubts))
	for i, d := range l.doubts {
		numbers[i] = d.number
	}
	return numbers
}

// outlive forgets the doubts from so long ago that what is still under way of them is
// not worth a thought, when a later write of ours has been acknowledged.
func (l *lock) outlive() {
	now := l.clock.Monotonic()
	l.forget(func(d doubt) bool { return now-d.sent > max(l.lease, time.Minute) })
}

func (l *lock) forget(which func(doubt) bool) {
	if l.doubts = slices.DeleteFunc(l.doubts, which); len(l.doubts) == 0 {
		l.doubts = nil // memory, where locks are many
	}
}

// won begins the tenure that an acquire has won.
func (l *lock) won(r *record, sent odometer) (bool, error) {
	token := r.item.FencingToken
	l.watch, l.claim = nil, token
	l.trust(r.version.number)
	l.outlive()
	if token <= 0 {
		// Only a stand-in for DynamoDB, or an item edited by hand, can answer this. The
		// record is ours by its version alone.
		l.claim, l.doubts = 0, append(l.doubts, doubt{r.version.number, sent.mark.mono})
		l.freeDoubts()
		return false, &requestError{doing: "acquire", lock: l.name, table: l.store.table, kind: ErrNotALock, permanent: true,
			remedy: "the reply has no fencing token that fits 63 bits; look at the item's " + attrToken}
	}
	l.seen = max(l.seen, token)
	if _, err := l.begin(token, sent); err != nil {
		return false, err
	}
	l.claim = 0 // from here on the tenure remembers
	return true, nil
}

// debt is the tenure's token if the record may still carry it, else 0.
func (t *tenure) debt() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.owed {
		return 0
	}
	return t.token
}

// ask sends one request within the time that the lease can spare for it. It
// returns when that is over even if the client ignores its context; what such a
// request still does is guarded by its conditions.
func ask[T any](ctx context.Context, l *lock, send func(context.Context) (T, error)) (T, error) {
	return askPatiently(ctx, l, 0, send)
}

// askPatiently is ask for a request whose outcome must be known if it can be: a caller
// who gives up waits for its answer so much longer. A request that is cancelled may
// be carried out all the same, and later than whatever is sent to undo it.
func askPatiently[T any](ctx context.Context, l *lock, patience time.Duration, send func(context.Context) (T, error)) (T, error) {
	type reply struct {
		value T
		err   error
	}
	var none T
	if ctx.Err() != nil {
		return none, fmt.Errorf("%w: %w", errNotSent, contextError(ctx))
	}
	ctx, cancel := l.clockTimeout(ctx, attemptTimeout(l.window))
	defer cancel()
	sent, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	replies := make(chan reply, 1)
	go func() {
		value, err := send(sent)
		if err == nil || statusOf(err) > 0 {
			l.store.answered.Store(true)
		}
		replies <- reply{value, err}
	}()
	select {
	case r := <-replies:
		return r.value, r.err
	case <-ctx.Done():
	}
	if patience > 0 && !errors.Is(context.Cause(ctx), errAttemptTimeout) {
		waited, stop := l.clockTimeout(context.WithoutCancel(ctx), patience)
		defer stop()
		select {
		case r := <-replies:
			return r.value, r.err
		case <-waited.Done():
		}
	}
	select {
	case r := <-replies: // both at once: an answer is worth more
		return r.value, r.err
	default:
		return none, contextError(ctx)
	}
}
