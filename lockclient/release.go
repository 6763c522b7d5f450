package lockclient

import (
	"context"
	"sync"
	"time"
)

// removeLock is RemoveLockWithContext.
func (l *lock) removeLock(ctx context.Context) error {
	l.giveUp() // first of all, whatever happens to the requests
	l.removal.announce()
	if interrupt := l.interrupt.Load(); interrupt != nil {
		(*interrupt)(ErrInterrupted)
	}
	if !l.turn.take(ctx) {
		return contextError(ctx)
	}
	defer l.turn.pass()
	t := l.giveUp() // an attempt may have won until now
	token := l.claim
	if t != nil {
		t.drain(ctx)
		if token == 0 {
			token = t.debt()
		}
	}
	if token == 0 && len(l.doubts) == 0 {
		return nil
	}
	for failures := 1; ; failures++ {
		err := l.sendRelease(ctx, token)
		if err == nil {
			return nil
		}
		if isPermanent(err) || !l.sleep(ctx, l.backoff(failures, l.heartbeat)) {
			return err
		}
		l.log.V(1).Info("release failed, will retry", "failures", failures, "error", err.Error())
	}
}

// removal tells those who wait for a lock that RemoveLock was called. Its zero value is
// ready, and it has a channel only while somebody waits.
type removal struct {
	mu      sync.Mutex    // guards what follows
	next    chan struct{} // closed by the next RemoveLock; nil: nobody waits
	waiting int
}

// await returns a channel that the next RemoveLock closes. leave says that it is waited
// for no more.
func (r *removal) await() (next <-chan struct{}, leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = make(chan struct{})
	}
	r.waiting++
	ours := r.next
	return ours, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.next != ours {
			return // RemoveLock was called
		}
		if r.waiting--; r.waiting == 0 {
			r.next = nil
		}
	}
}

func (r *removal) announce() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next != nil {
		close(r.next)
		r.next, r.waiting = nil, 0
	}
}

// giveUp ends the current tenure, if there is one, before anybody else is let in.
func (l *lock) giveUp() *tenure {
	t := l.current.Load()
	if t != nil {
		t.end(nil)
	}
	return t
}

// sendRelease frees the record if it is the tenure with this token or one of our
// doubtful attempts. A failed condition is as good: then it is not ours.
func (l *lock) sendRelease(ctx context.Context, token int64) error {
	doubts := l.doubted()
	_, err := ask(ctx, l, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, l.store.release(ctx, token, doubts)
	})
	if _, refused := conditionFailed(err); err != nil && !refused {
		return l.store.failure("release", err)
	}
	if token != 0 || err == nil {
		l.disclaim() // what the condition did not name may still stand
	}
	if err == nil {
		l.outlive()
		l.watch = nil // what was watched is replaced; a refusal leaves another's in place
	}
	l.log.V(1).Info("released", "fencingToken", token, "wasOurs", err == nil)
	return nil
}

// parting is how long a caller who has given up can be kept waiting, at each of two
// steps: for the answer to its last attempt, and for the release that one without an
// answer calls for.
func (l *lock) parting() time.Duration { return min(l.heartbeat, time.Second) / 2 }

// freeDoubts releases what an attempt without an answer may have taken, once. Where
// there is nothing to release yet the doubts stay: the attempt may land after all, and
// the next one then knows it for its own.
func (l *lock) freeDoubts() {
	if len(l.doubts) == 0 && l.claim == 0 {
		return
	}
	ctx, cancel := l.clockTimeout(context.Background(), l.parting())
	defer cancel()
	if err := l.sendRelease(ctx, l.claim); err != nil {
		l.log.V(1).Info("an unanswered acquire could not be freed; it will run out", "error", err.Error())
	}
}
