package shards

import (
	"context"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// term is one stretch of leading one shard.
type term struct {
	shard    string
	lock     lock // the shard's
	pulse    lock // the one that this member holds as long as it lives: its lease is that of all locks of the session
	token    int64
	deadline time.Duration // the age of the lease at which leading stops

	ctx    context.Context // the leading context, without the look at the lease
	cancel context.CancelCauseFunc
	began  lease.Instant

	// What follows is guarded by Replica.mu.
	ended   lease.Instant  // when ctx ended
	lost    *lease.Instant // when its lock was first seen lost while the work went on; nil: it was not
	left    bool           // DrainTimeout is over: the lock is left to run out
	overdue bool           // another may lead while the work goes on, and that was logged
}

func newTerm(ctx context.Context, s *shard, pulse lock, r *Replica) *term {
	t := &term{shard: s.name, lock: s.lock, pulse: pulse, deadline: r.renewDeadline, began: lease.Now(r.clock)}
	t.token, _ = s.lock.FencingToken()
	t.ctx, t.cancel = context.WithCancelCause(election.ContextWithTerm(ctx, s.lock))
	return t
}

// lapse says why the lease does not allow to lead any longer; nil: it does. No request.
func (t *term) lapse() error {
	switch age, held := t.pulse.LeaseAge(); {
	case !held:
		return lossOf(t.pulse)
	case age >= t.deadline:
		return &lossError{reason: fmt.Errorf("%w: the last confirmed heartbeat was sent %v ago", election.ErrLeaseExpired, short(age))}
	}
	if held, _ := t.lock.HasLock(); !held {
		return lossOf(t.lock)
	}
	if token, _ := t.lock.FencingToken(); token != t.token {
		return &lossError{reason: election.ErrLockLost}
	}
	return nil
}

func lossOf(l lock) error { return &lossError{reason: election.ErrLockLost, lock: l.LockError()} }

// leads is whether the leading context is alive at this moment.
func (t *term) leads() bool { return leadingContext{t.ctx, t}.Err() == nil }

// held reports whether the lock is this term's, so that no other can lead.
func (t *term) held() bool {
	held, _ := t.lock.HasLock()
	token, _ := t.lock.FencingToken()
	return held && token == t.token
}

// leadingContext is the leading context as the work has it. Err looks at the lease at the moment of
// the call: the guard may be late after the machine was suspended, and the work that asks should
// not go on meanwhile.
type leadingContext struct {
	context.Context
	term *term
}

func (c leadingContext) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	if why := c.term.lapse(); why != nil {
		c.term.cancel(why) // what was denied once is not affirmed again in this term
	}
	return c.Context.Err()
}

// work runs the callbacks of one term, and reports their return. A panic waits until all locks are
// released, and then goes on.
func (r *run) work(s *shard, t *term) {
	var thrown any
	defer func() {
		if v := recover(); v != nil {
			thrown = v
			r.crash("OnStopped", v)
		}
		r.returned(s)
		r.works.Done()
		if thrown != nil {
			<-r.safe
			panic(thrown)
		}
	}()
	defer func() { // also if OnStarted calls runtime.Goexit
		if v := recover(); v != nil {
			thrown = v
			r.crash("OnStarted", v)
			return
		}
		r.finished(s)
		if !r.isCrashed() {
			r.callbacks.OnStopped(s.name)
		}
	}()
	r.callbacks.OnStarted(leadingContext{t.ctx, t}, s.name)
}
