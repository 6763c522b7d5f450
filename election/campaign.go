package election

import (
	"errors"
	"math"
	"time"
)

// campaign polls until the lock is held by a lease young enough to lead on. nil, nil: the run is over.
func (r *run) campaign() (*term, error) {
	r.enter(campaigning)
	for failures := 0; r.ctx.Err() == nil; {
		held, err := r.poll()
		var refusal heldError
		var pause time.Duration
		switch {
		case held:
			if t := r.win(); t != nil {
				return t, nil
			}
			failures++
			pause = r.backoff(failures)
		case err == nil || errors.As(err, &refusal):
			failures = 0
			pause = r.refused(refusal)
		case isPermanent(err) && !r.hadAnswer():
			return nil, err
		default:
			failures++
			pause = r.backoff(failures)
			r.failed(err, pause)
		}
		sleep(r.ctx, r.clock, pause)
	}
	if r.unsure {
		// Nobody will look again at what the last attempt may have won.
		_ = r.giveBack(r.figures.renewDeadline)
	}
	return nil, nil
}

// poll is one attempt. It may take as long as RenewDeadline: what is won later is too old to lead on.
func (r *run) poll() (bool, error) {
	ctx, cancel := withTimeout(r.ctx, r.clock, r.figures.renewDeadline)
	defer cancel()
	held, err := r.lock().PollLock(ctx)
	var refusal heldError
	r.unsure = !held && err != nil && !errors.As(err, &refusal)
	r.config.Logger.V(2).Info("polled", "name", r.config.Name, "held", held, "error", err)
	return held, err
}

// win makes a term of the lock just acquired. nil: there is none to make of it, because the run is over or because the
// acquisition took so long that its lease is already too old to lead on. The lock is then given back.
func (r *run) win() *term {
	r.setAnswer()
	t := newTerm(r.ctx, r.lock(), r.clock, r.figures)
	if t.leads() {
		return t
	}
	t.cancel(nil)
	if r.ctx.Err() == nil {
		r.config.Logger.V(1).Info("won too late to lead", "name", r.config.Name, "fencingToken", t.FencingToken)
	}
	_ = r.giveBack(r.figures.renewDeadline)
	return nil
}

// refused takes down who holds the lock and gives the pause until the next poll.
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
	r.observed(Leader{Identity: owner, FencingToken: token})
	switch next := max(refusal.NextPoll(), 0); {
	case next == 0: // no opinion
		return pause
	case r.figures.lockPaces:
		return max(next, shortestPause)
	default:
		return min(pause, max(next, shortestPause))
	}
}

func (r *run) failed(err error, pause time.Duration) {
	if r.ctx.Err() != nil {
		return
	}
	if !isPermanent(err) {
		r.setTrouble(nil)
		r.config.Logger.V(1).Info("campaigning fails", "name", r.config.Name, "error", err.Error(), "nextTryIn", pause)
		return
	}
	r.setTrouble(err)
	r.config.Logger.Error(err, "campaigning fails for a reason that no retry can mend", "name", r.config.Name, "nextTryIn", pause)
}

func (r *run) hadAnswer() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answered
}

func (r *run) setAnswer() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered, r.trouble = true, nil
}

func (r *run) setTrouble(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble = err
}

// shortestPause keeps a store from being polled in a busy loop, be it by a tiny RetryPeriod or a lock that says "at once" over and over.
const shortestPause = time.Millisecond

// pause is RetryPeriod, jittered.
func (r *run) pause() time.Duration { return r.jittered(r.figures.retryPeriod) }

// backoff is the pause after so many failures in a row: RetryPeriod, doubled with each, but no more than the lease, so that
// candidates are back within one once the store is.
func (r *run) backoff(failures int) time.Duration {
	longest := time.Duration(float64(r.figures.lease) / r.figures.jitter)
	d := r.figures.retryPeriod
	for ; failures > 1 && d < longest; failures-- {
		d *= 2
	}
	return r.jittered(min(d, longest))
}

// asidePeriod is how long an elector stands aside after a term that it resigned: two of the longest pauses of a candidate, because the
// first poll after the release may still have read the state before it; and, where the release failed, the lease before that.
func (r *run) asidePeriod(t *term) time.Duration {
	d := lengthened(r.figures.retryPeriod, 2*r.figures.jitter)
	if t.releaseError != nil {
		d = min(d, math.MaxInt64-r.figures.lease) + r.figures.lease
	}
	return d
}

// jittered lengthens d by a factor in [1, JitterFactor).
func (r *run) jittered(d time.Duration) time.Duration {
	return max(lengthened(d, 1+r.random()*(r.figures.jitter-1)), shortestPause)
}

// lengthened is d x factor, or a duration without end in sight where that would overflow.
func lengthened(d time.Duration, factor float64) time.Duration {
	return time.Duration(min(float64(d)*factor, 1<<62))
}
