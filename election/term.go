package election

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// Term is one stretch of leading, seen from the work: get it with TermFromContext. It is a value and may be kept, but is of
// use only while the term lasts.
type Term struct {
	// Identity of the leader: this elector's.
	Identity string
	// FencingToken rises with each term of any client, except where a new Run resumes the very lease that the last one left to
	// run out (no ReleaseOnCancel): nobody else has led in between. Hand it to whatever the work writes to, so that a late write
	// of an earlier leader can be refused. 0: the lock has no fencing tokens.
	FencingToken int64

	lock Lock
}

type termKey struct{}

// TermFromContext gives the term to which a leading context, or one derived from it, belongs. false: ctx is no such context.
func TermFromContext(ctx context.Context) (Term, bool) {
	t, ok := ctx.Value(termKey{}).(Term)
	return t, ok
}

// ConditionCheck is an element for the work's own TransactWriteItems: the transaction commits only if this term still holds
// the lock at that moment. It can be used while the work drains. ErrLockLost: the lock is no longer this term's.
func (t Term) ConditionCheck() (*dynamodb.ConditionCheck, error) {
	if t.lock == nil {
		return nil, fmt.Errorf("%w: a Term comes from TermFromContext", ErrLockLost)
	}
	check, err := t.lock.ConditionCheck()
	if err != nil {
		return nil, &endError{reason: ErrLockLost, lock: err}
	}
	// Tokens never fall, so if the token is still ours after the check was made, the check is for our tenure.
	if token, _ := t.lock.FencingToken(); token != t.FencingToken {
		return nil, &endError{reason: ErrLockLost, detail: fmt.Sprintf("fencing token is %d, the term's was %d", token, t.FencingToken)}
	}
	return check, nil
}

// term is one stretch of leading, seen from the elector. Three goroutines live in it: the work; the guard, which ends the leading
// context in time; and Run's, which sees the term through.
type term struct {
	Term
	ctx           context.Context // the leading context
	cancel        context.CancelCauseFunc
	clock         Clock
	lost          <-chan struct{} // the lock's, for this tenure
	renewDeadline time.Duration
	tick          time.Duration

	resigned     chan struct{} // closed by the first Resign
	resignOnce   sync.Once
	workDone     chan struct{} // closed when OnStartedLeading has returned or panicked
	guarded      chan struct{} // closed when the guard has ended the leading context and returned
	ticks        chan struct{} // the guard's looks at the lease, for the metrics
	over         chan struct{} // closed when the term is over and its lock released
	releaseError error         // set before over is closed

	ended  atomic.Pointer[endError]      // the elector's own reason to end the term; nil: none yet
	sent   atomic.Pointer[instant]       // when the renewal that the guard saw last was sent; nil: it has not looked yet
	lostAt atomic.Pointer[time.Duration] // when the lease was first seen gone, on the node's monotonic clock; nil: not yet
}

// newTerm describes the tenure that the lock has at this moment. What ends between two of the reads shows in lost, read first.
func newTerm(parent context.Context, lock Lock, clock Clock, f figures) *term {
	t := &term{
		Term:          Term{Identity: lock.Identity(), lock: lock},
		clock:         clock,
		lost:          lock.Lost(),
		renewDeadline: f.renewDeadline,
		tick:          max(f.heartbeat/4, time.Millisecond),
		resigned:      make(chan struct{}),
		workDone:      make(chan struct{}),
		guarded:       make(chan struct{}),
		ticks:         make(chan struct{}, 1),
		over:          make(chan struct{}),
	}
	t.FencingToken, _ = lock.FencingToken()
	t.ctx, t.cancel = context.WithCancelCause(context.WithValue(parent, termKey{}, t.Term))
	return t
}

// leads is IsLeader for this term.
func (t *term) leads() bool {
	if t.ctx.Err() != nil {
		return false
	}
	if end := t.leaseEnd(t.leaseAge()); end != nil {
		t.end(end) // what was denied once is not affirmed again in this term, whatever renewal is confirmed by then
		return false
	}
	return true
}

// leaseAge is the age of this term's lease; false: the lock's tenure is not this term's, or not any more.
func (t *term) leaseAge() (time.Duration, bool) {
	select {
	case <-t.lost:
		return 0, false
	default:
	}
	age, held := t.lock.LeaseAge()
	// Read after the age: tokens never fall, so a token that is still ours says that the age was our tenure's.
	if token, _ := t.lock.FencingToken(); token != t.FencingToken {
		return 0, false
	}
	return age, held
}

// guard ends the leading context when the lease, a resignation or the work says so. It calls nothing of the user's, so nothing
// of theirs can delay it. It looks at the lease at least every tick: a timer for the deadline alone would be late after the machine
// was suspended, because the clock behind timers stops meanwhile.
func (t *term) guard() {
	defer close(t.guarded)
	for {
		age, held := t.leaseAge()
		if end := t.leaseEnd(age, held); end != nil {
			t.end(end)
			return
		}
		sent := now(t.clock).before(age)
		t.sent.Store(&sent)
		rings, stop := alarm(t.clock, min(t.renewDeadline-age, t.tick))
		var end *endError
		select {
		case <-rings:
		case <-t.lost:
		case <-t.ctx.Done():
			stop()
			return
		case <-t.resigned:
			end = &endError{reason: ErrResigned}
		case <-t.workDone:
			end = &endError{reason: ErrResigned, detail: "OnStartedLeading returned"}
		}
		stop()
		if end != nil {
			t.end(end)
			return
		}
		select {
		case t.ticks <- struct{}{}:
		default:
		}
	}
}

// leaseEnd says why a lease of that age ends the term; nil: it doesn't. Where the lock ended the tenure before the guard could, the age
// of the renewal last seen tells a lease that ran out from one that was taken.
func (t *term) leaseEnd(age time.Duration, held bool) *endError {
	if held && age < t.renewDeadline {
		return nil
	}
	if held {
		return &endError{
			reason: ErrLeaseExpired,
			detail: fmt.Sprintf("the last confirmed renewal was sent %v ago, RenewDeadline is %v", age, t.renewDeadline),
		}
	}
	t.noteLoss()
	end := &endError{reason: ErrLockLost, lock: t.lock.LockError()}
	sent := t.sent.Load()
	switch token, ok := t.lock.FencingToken(); {
	case ok && token != t.FencingToken:
		end.detail = fmt.Sprintf("fencing token changed from %d to %d", t.FencingToken, token)
	case sent != nil && sent.ago(t.clock) >= t.renewDeadline:
		end.reason = ErrLeaseExpired
	}
	return end
}

// end cancels the leading context. Of several reasons the first counts.
func (t *term) end(reason *endError) {
	t.ended.CompareAndSwap(nil, reason)
	t.cancel(t.ended.Load())
}

// leadingContext is the leading context as the work has it. Err looks at the lease at the moment of the call: the guard may be late
// by up to a tick after the machine was suspended, and the work that asks should not go on meanwhile.
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

// endedBy is the elector's own reason for the term's end; nil: Run's context ended it.
func (t *term) endedBy() error {
	if own := t.ended.Load(); own != nil {
		if cause, ok := context.Cause(t.ctx).(*endError); ok && cause == own {
			return own
		}
	}
	return nil
}

func (t *term) resign() { t.resignOnce.Do(func() { close(t.resigned) }) }

// handsOver reports that another is meant to lead next.
func (t *term) handsOver() bool {
	select {
	case <-t.resigned:
		return true
	default:
	}
	own := t.ended.Load()
	return own != nil && own.reason == ErrResigned
}

func (t *term) working() bool {
	select {
	case <-t.workDone:
		return false
	default:
		return true
	}
}

// work runs OnStartedLeading. A panic waits until the lock is released and then goes on, with its stack still below it.
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

// overstayer is what goes on although the lease is gone, and how it does.
func (t *term) overstayer() (who, how string) {
	if t.working() {
		return "the work", "it does not return although its context has ended"
	}
	return "OnStoppedLeading", "it does not return"
}

func (t *term) noteLoss() {
	at := t.clock.Monotonic()
	t.lostAt.CompareAndSwap(nil, &at)
}

// expiredFor says how long ago the lease ran out; not positive: it has not.
func (t *term) expiredFor(lease time.Duration) time.Duration {
	if age, held := t.leaseAge(); held {
		return age - lease
	}
	t.noteLoss()
	return t.clock.Monotonic() - *t.lostAt.Load()
}
