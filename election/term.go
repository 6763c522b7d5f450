package election

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// Term is one stretch of leading, as the work sees it. Get it with TermFromContext. It is a value
// and may be kept, but is only of use while the term lasts.
type Term struct {
	// Identity of the leader: this elector's.
	Identity string
	// FencingToken rises with each term of any client. Pass it to every store that the work writes
	// to, so that the store can refuse late writes of earlier leaders. 0: the lock has no fencing
	// tokens. There is one exception: without ReleaseOnCancel, a new Run may resume the lease that
	// the last Run left to expire. The token then stays the same, and no other has led in between.
	FencingToken int64

	lock Lock
}

type termKey struct{}

// TermFromContext returns the term of a leading context, or of a context derived from one. false:
// ctx is no such context.
func TermFromContext(ctx context.Context) (Term, bool) {
	t, ok := ctx.Value(termKey{}).(Term)
	return t, ok
}

// ConditionCheck returns an element for the work's own TransactWriteItems: the transaction commits
// only if this term still holds the lock at that moment. It can be used while the work drains.
// ErrLockLost: the lock is no longer this term's.
func (t Term) ConditionCheck() (*dynamodb.ConditionCheck, error) {
	if t.lock == nil {
		return nil, fmt.Errorf("%w: a Term comes from TermFromContext", ErrLockLost)
	}
	check, err := t.lock.ConditionCheck()
	if err != nil {
		return nil, &endError{reason: ErrLockLost, lock: err}
	}
	// Tokens never fall, so if the token is still ours after the check was made, the check is for
	// our tenure.
	if token, _ := t.lock.FencingToken(); token != t.FencingToken {
		return nil, &endError{reason: ErrLockLost, detail: fmt.Sprintf("fencing token is %d, the term's was %d", token, t.FencingToken)}
	}
	return check, nil
}

// term is one stretch of leading, as the elector sees it. Three goroutines live in it. The work is
// OnStartedLeading. The guard ends the leading context in time and then watches the lease
// (guard.go). Run's goroutine takes the term through its steps (run.go).
type term struct {
	Term
	ctx     context.Context // the leading context
	cancel  context.CancelCauseFunc
	clock   Clock
	figures figures
	won     lease.Instant
	lost    <-chan struct{} // the lock's, for this tenure

	resigned   chan struct{} // closed by the first Resign
	resignOnce sync.Once
	workDone   chan struct{}          // closed when OnStartedLeading has returned or panicked
	ended      chan struct{}          // closed by the guard when the leading context has ended
	noticed    bool                   // the release was announced in a notice; set before ended is closed
	heir       atomic.Pointer[string] // the next leader; nil: any candidate
	abandoned  chan struct{}          // closed by the guard: the lease is gone and the process is dying, so the work is not awaited
	finished   chan struct{}          // closed by Run's goroutine when OnStoppedLeading has returned
	guarded    chan struct{}          // closed when the guard has returned
	over       chan struct{}          // closed when the term is over and its lock released

	releaseError error          // set before over is closed
	calls        sync.WaitGroup // calls that the guard has made in goroutines of their own

	reason atomic.Pointer[endError]      // the elector's own reason to end the term; nil: none yet
	sent   atomic.Pointer[lease.Instant] // when the renewal that was seen last was sent
	lostAt atomic.Pointer[lease.Instant] // when the lease was first seen gone; nil: not yet
}

// newTerm describes the current tenure of the lock. lost is read first, so it shows if the tenure
// ends before the other reads.
func newTerm(parent context.Context, lock Lock, clock Clock, f figures) *term {
	t := &term{
		Term:      Term{Identity: lock.Identity(), lock: lock},
		clock:     clock,
		figures:   f,
		won:       lease.Now(clock),
		lost:      lock.Lost(),
		resigned:  make(chan struct{}),
		workDone:  make(chan struct{}),
		ended:     make(chan struct{}),
		abandoned: make(chan struct{}),
		finished:  make(chan struct{}),
		guarded:   make(chan struct{}),
		over:      make(chan struct{}),
	}
	t.FencingToken, _ = lock.FencingToken()
	t.sent.Store(&t.won)
	t.ctx, t.cancel = context.WithCancelCause(context.WithValue(parent, termKey{}, t.Term))
	return t
}

// leads is IsLeader for this term.
func (t *term) leads() bool {
	if t.ctx.Err() != nil {
		return false
	}
	if end := t.leaseEnd(t.leaseAge()); end != nil {
		t.end(end) // a term that has ended does not begin again, even if a renewal is confirmed late
		return false
	}
	return true
}

// leaseAge is the age of this term's lease. false: the lock's tenure is not, or no longer, this
// term's.
func (t *term) leaseAge() (time.Duration, bool) {
	if isClosed(t.lost) {
		return 0, false
	}
	age, held := t.lock.LeaseAge()
	// Read after the age: tokens never fall, so a token that is still ours says that the age was
	// our tenure's.
	if token, _ := t.lock.FencingToken(); token != t.FencingToken {
		return 0, false
	}
	if held {
		t.note(lease.Now(t.clock).Add(-age))
	}
	return age, held
}

// note keeps when the renewal that is seen now was sent. An instant that is no earlier than the one
// kept, and later by less than a millisecond, is the same renewal's: keeping it again would have
// each IsLeader allocate.
func (t *term) note(sent lease.Instant) {
	if kept := t.sent.Load(); kept != nil {
		mono, wall := sent.Mono-kept.Mono, time.Duration(sent.Wall-kept.Wall)
		if mono >= 0 && wall >= 0 && max(mono, wall) < time.Millisecond {
			return
		}
	}
	stored := sent // or the argument would be allocated with each call
	t.sent.Store(&stored)
}

// leaseEnd returns why a lease of that age ends the term; nil: it does not.
func (t *term) leaseEnd(age time.Duration, held bool) *endError {
	if held && age < t.figures.renewDeadline {
		return nil
	}
	if held {
		return &endError{
			reason: ErrLeaseExpired,
			detail: fmt.Sprintf("the last confirmed renewal was sent %v ago, RenewDeadline is %v", short(age), t.figures.renewDeadline),
		}
	}
	return t.loss()
}

// loss returns why the tenure is gone. If the lock ended it before the guard could, the age of the
// last renewal seen tells whether the lease expired or was taken.
func (t *term) loss() *endError {
	t.noteLoss()
	end := &endError{reason: t.lossReason(), lock: t.lock.LockError()}
	if token, ok := t.lock.FencingToken(); ok && token != t.FencingToken {
		end.reason = ErrLockLost
		end.detail = fmt.Sprintf("fencing token changed from %d to %d", t.FencingToken, token)
	}
	return end
}

func (t *term) lossReason() error {
	if lease.Now(t.clock).Since(*t.sent.Load()) >= t.figures.renewDeadline {
		return ErrLeaseExpired
	}
	return ErrLockLost
}

// end cancels the leading context. The first reason counts.
func (t *term) end(reason *endError) {
	t.reason.CompareAndSwap(nil, reason)
	t.cancel(t.reason.Load())
}

// leadingContext is the leading context that the work gets. Err checks the lease at the moment of
// the call, because after the machine was suspended the guard may be late by up to a tick.
type leadingContext struct {
	context.Context
	term *term
}

func (c leadingContext) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	if end := c.term.leaseEnd(c.term.leaseAge()); end != nil {
		c.term.end(end)
	}
	return c.Context.Err()
}

// endedBy returns the elector's own reason for the term's end; nil: Run's context ended it.
func (t *term) endedBy() error {
	if own := t.reason.Load(); own != nil {
		if cause, ok := context.Cause(t.ctx).(*endError); ok && cause == own {
			return own
		}
	}
	return nil
}

func (t *term) resign() { t.resignOnce.Do(func() { close(t.resigned) }) }

// awaitOver waits until the term is over and its lock released.
func (t *term) awaitOver(ctx context.Context) error {
	select {
	case <-t.over:
		return t.releaseError
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// handsOver reports whether another candidate is meant to lead next.
func (t *term) handsOver() bool {
	own := t.reason.Load()
	return isClosed(t.resigned) || own != nil && own.reason == ErrResigned
}

func (t *term) working() bool { return !isClosed(t.workDone) }

// awaitWork waits until OnStartedLeading has returned. false: it has not, and the guard says not to
// wait any longer.
func (t *term) awaitWork() (returned bool) {
	select {
	case <-t.workDone:
		return true
	case <-t.abandoned:
		return false
	}
}

// work runs OnStartedLeading. A panic is held until the lock is released, and then goes on with its
// own stack.
func (t *term) work(r *run) {
	defer func() {
		v := recover() // nil: returned, or left by runtime.Goexit
		if v != nil {
			r.crash("OnStartedLeading", v)
		}
		close(t.workDone)
		if v != nil {
			<-r.safe
			panic(v)
		}
	}()
	r.config.Callbacks.OnStartedLeading(leadingContext{t.ctx, t})
}

// overstayer says what still runs although the lease is gone, and why that is.
func (t *term) overstayer() (who, how string) {
	if t.working() {
		return "the work", "it does not return although its context has ended"
	}
	return "OnStoppedLeading", "it does not return"
}

func (t *term) noteLoss() {
	at := lease.Now(t.clock)
	t.lostAt.CompareAndSwap(nil, &at)
}

// expiredFor returns for how long the lease has not been trusted; zero or less: it is trusted.
func (t *term) expiredFor() time.Duration {
	if age, held := t.leaseAge(); held {
		return age - t.figures.Window
	}
	t.noteLoss()
	now := lease.Now(t.clock)
	// It was lost when it was taken, or when it ran out, even if the process was paused then.
	return max(now.Since(*t.lostAt.Load()), now.Since(*t.sent.Load())-t.figures.Window)
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
