package election

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// campaign polls until this client holds the lock and its lease is young enough to lead on. nil,
// nil: the Run is over.
func (r *run) campaign() (*term, error) {
	r.enter(campaigning)
	r.beginsToAsk()
	for late := 0; r.ctx.Err() == nil; {
		held, err := r.poll()
		var refusal heldError
		var pause time.Duration
		switch {
		case held:
			if t := r.win(); t != nil {
				return t, nil
			}
			late++
			pause = r.backoff(late)
		case err == nil || errors.As(err, &refusal):
			pause = r.refused(refusal)
		default:
			r.failures++
			pause = r.backoff(r.failures)
			if isPermanent(err) && !r.hadAnswer() {
				// The next Run waits, too: its caller may run in a loop.
				r.restFor(pause, campaigning)
				return nil, err
			}
			r.failed(err, pause)
		}
		lease.Sleep(r.ctx, r.clock, pause)
	}
	if r.unsure {
		// No later attempt will find out whether this one has won.
		if err := r.giveBack(r.parting()); err != nil {
			r.log(0, msgMaybeTaken, "error", textOf(err))
		}
	}
	return nil, nil
}

// poll is one attempt. It may take as long as RenewDeadline: a lock won later is too old to lead
// on.
func (r *run) poll() (bool, error) {
	ctx, cancel := lease.WithTimeout(r.ctx, r.clock, r.figures.renewDeadline, errNoAnswer)
	defer cancel()
	held, err := r.lock().PollLock(ctx)
	err = inTime(ctx, err, r.figures.renewDeadline)
	var refusal heldError
	if held {
		r.unsure = false
	} else if err != nil && !errors.As(err, &refusal) {
		// A refusal that follows does not settle it: it may be a read of how the record was before.
		r.unsure = true
	}
	r.log(2, msgPolled, "held", held, "error", textOf(err))
	return held, err
}

// win begins a term on the lock just acquired. It returns nil if the Run is over, or if the
// acquisition took so long that its lease is already too old to lead on. The lock is then released.
func (r *run) win() *term {
	r.setAnswer()
	parent := r.ctx
	if r.config.HandoverNotice {
		parent = context.WithoutCancel(r.ctx) // the guard ends the leading context after the notice
	}
	t := newTerm(parent, r.lock(), r.clock, r.figures)
	if r.ctx.Err() == nil && t.leads() {
		return t
	}
	t.cancel(nil)
	if r.ctx.Err() == nil {
		r.log(1, msgWonTooLate, "fencingToken", t.FencingToken)
	}
	if err := r.giveBack(r.figures.renewDeadline); err != nil {
		r.log(0, msgNotReleased, "fencingToken", t.FencingToken, "error", textOf(err))
	}
	return nil
}

// refused records who holds the lock and returns the pause until the next poll.
func (r *run) refused(refusal heldError) time.Duration {
	r.setAnswer()
	pause := r.pause()
	if refusal == nil {
		return pause
	}
	owner, token := refusal.HeldBy()
	if owner == "" {
		token = 0
	}
	seen := sighting{sign: lease.Now(r.clock), released: owner == ""}
	if watched, ok := refusal.(watchedError); ok {
		unchanged, lease := watched.Watched()
		seen.sign, seen.lease = seen.sign.Add(-unchanged), lease
	}
	r.observed(Leader{Identity: owner, FencingToken: token}, seen)
	switch next := max(refusal.NextPoll(), 0); {
	case next == 0: // no opinion
		return pause
	case r.figures.lockPaces:
		return max(next, shortestPause)
	default:
		return min(pause, max(next, shortestPause))
	}
}

// failed records an attempt that failed. A permanent error is logged as an error when it first
// comes. Any other failure is logged at V(0) when it is the second in a row.
func (r *run) failed(err error, pause time.Duration) {
	if r.ctx.Err() != nil {
		return
	}
	permanent := isPermanent(err)
	switch was := r.setTrouble(err, permanent); {
	case permanent && (was == nil || was.Error() != err.Error()):
		r.alert(err, msgCannotCampaign, "nextTryIn", short(pause))
		return
	case !permanent && r.failures >= 2 && r.silent == nil:
		since := lease.Now(r.clock)
		if last := r.lastContact(); last != nil {
			since = *last
		}
		r.silent = &since
		r.log(0, msgUnreachable, "since", short(lease.Now(r.clock).Since(since)), "error", textOf(err), "nextTryIn", short(pause))
		return
	}
	r.log(1, msgAttemptFailed, "error", textOf(err), "nextTryIn", short(pause))
}

func (r *run) hadAnswer() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answered
}

// setAnswer records that the store has said whether the lock is held.
func (r *run) setAnswer() {
	r.heardOf()
	r.mu.Lock()
	was := r.trouble
	r.answered, r.trouble = true, nil
	r.mu.Unlock()
	r.failures = 0
	if was != nil {
		r.log(0, msgCampaignAgain)
	}
	if r.silent != nil {
		r.log(0, msgReachable, "unreachableFor", short(lease.Now(r.clock).Since(*r.silent)))
		r.silent = nil
	}
}

// setTrouble records an error, and returns the permanent error before it; nil: there was none.
func (r *run) setTrouble(err error, permanent bool) (was error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was, r.trouble = r.trouble, nil
	if permanent {
		r.trouble = err
	}
	return was
}

// shortestPause prevents a busy loop of polls, even with a tiny RetryPeriod or a lock that keeps
// saying "at once".
const shortestPause = time.Millisecond

// pause is RetryPeriod with jitter.
func (r *run) pause() time.Duration { return r.jittered(r.figures.retryPeriod) }

// backoff is the pause after so many failures in a row: RetryPeriod, doubled with each failure up
// to the lease. So candidates return within one lease after the store has.
func (r *run) backoff(failures int) time.Duration {
	longest := time.Duration(float64(r.figures.Lease) / r.figures.jitter)
	d := r.figures.retryPeriod
	for ; failures > 1 && d < longest; failures-- {
		d *= 2
	}
	return r.jittered(min(d, longest))
}

// asidePeriod is how long an elector stands aside after a term that it resigned. It is two of a
// candidate's longest pauses, because the first poll after the release may still read the state
// before it. If the release failed, it is a lease longer.
func (r *run) asidePeriod(t *term) time.Duration {
	d := lengthened(r.figures.retryPeriod, 2*r.figures.jitter)
	if t.heir.Load() != nil {
		d += r.figures.Heartbeat // the others wait so long for the heir
	}
	if t.releaseError != nil {
		d = min(d, math.MaxInt64-r.figures.Lease) + r.figures.Lease
	}
	return d
}

// jittered multiplies d by a random factor in [1, JitterFactor).
func (r *run) jittered(d time.Duration) time.Duration {
	return max(lengthened(d, 1+r.random()*(r.figures.jitter-1)), shortestPause)
}

// lengthened is d x factor, or a very long duration if that overflows.
func lengthened(d time.Duration, factor float64) time.Duration {
	return time.Duration(min(float64(d)*factor, 1<<62))
}
