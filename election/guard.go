package election

import (
	"context"
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// The guard of a term waits for nothing but its clock and channels, so that no code of the user can
// delay it: not the work, a callback, the Logger or a metric. It calls none of them. The lock may
// call its own Logger, so the guard asks the lock in another goroutine and goes on without an
// answer.

// patience is how long the guard waits for an answer of the lock, which sends no request for it.
const patience = 10 * time.Millisecond

// ending is the age of a lease at which OnLeaseEnding runs: half of the time to stop is over.
func (f *figures) ending() time.Duration { return f.renewDeadline + f.timeToStop()/2 }

// ask calls f, which asks the lock. false: it has not answered in time, or giveUp was closed first.
func ask[T any](t *term, giveUp <-chan struct{}, f func() T) (answer T, ok bool) {
	answers := make(chan T, 1)
	t.calls.Go(func() { answers <- f() })
	rings, stop := lease.Alarm(t.clock, patience)
	defer stop()
	select {
	case answer = <-answers:
		return answer, true
	case <-giveUp:
	case <-rings:
	}
	return answer, false
}

// leaseView is what one look at the lease shows.
type leaseView struct {
	age  time.Duration
	held bool
}

// look asks the lock for the age of the lease. If the lock does not answer, the last renewal seen
// counts.
func (t *term) look() leaseView {
	v, answered := ask(t, t.lost, func() leaseView {
		age, held := t.leaseAge()
		return leaseView{age, held}
	})
	switch {
	case isClosed(t.lost):
		return leaseView{}
	case !answered:
		age := lease.Now(t.clock).Since(*t.sent.Load())
		return leaseView{age, age < t.figures.Window}
	}
	return v
}

// guard watches the lease from the beginning of the term until OnStoppedLeading has returned.
func (r *run) guard(t *term) {
	defer close(t.guarded)
	r.guardLeading(t)
	r.enter(draining)
	r.tell(r.metric.off)
	r.logStopped(t)
	close(t.ended)
	r.guardDraining(t)
}

// tick is the time between two looks at the lease. A timer for the deadline alone would be late
// after the machine was suspended, because the clock behind timers stops meanwhile.
func (f *figures) tick() time.Duration { return max(f.Heartbeat/4, time.Millisecond) }

// guardLeading ends the leading context when the lease, a resignation, the work or Run's context
// requires it.
func (r *run) guardLeading(t *term) {
	var rhythm rhythm
	var n notice
	defer n.stop()
	resigned, told, crashed := t.resigned, r.parent.Done(), r.crashed
	for t.ctx.Err() == nil {
		v := t.look()
		if end := t.guardedEnd(v); end != nil {
			t.end(end)
			return
		}
		r.noteRenewal(&rhythm, v.age)
		rings, stop := lease.Alarm(t.clock, min(r.figures.renewDeadline-v.age, r.figures.tick()))
		select {
		case <-rings:
		case <-t.lost:
		case <-t.ctx.Done():
		case <-crashed:
			t.cancel(context.Cause(r.ctx))
		case <-t.workDone:
			if n.end == nil {
				n.end = func() { t.end(&endError{reason: ErrResigned, detail: "OnStartedLeading returned"}) }
			}
			n.end()
		case <-resigned:
			resigned = nil
			n.begin(r, t, func() { t.end(&endError{reason: ErrResigned}) })
		case <-told:
			told = nil
			n.begin(r, t, func() { t.cancel(context.Cause(r.parent)) })
		case err := <-n.announced:
			n.wait(r, t, err)
		case <-n.over:
			n.end()
		}
		stop()
	}
}

// guardedEnd is leaseEnd for the guard.
func (t *term) guardedEnd(v leaseView) *endError {
	if v.held {
		return t.leaseEnd(v.age, true)
	}
	t.noteLoss()
	if end, answered := ask(t, nil, t.loss); answered {
		return end
	}
	return &endError{reason: t.lossReason()}
}

// guardDraining watches the lease while the work and then OnStoppedLeading return. Heartbeats stop
// after DrainTimeout.
func (r *run) guardDraining(t *term) {
	ended := lease.Now(t.clock)
	drained, stopDrained := lease.Alarm(t.clock, r.figures.drainTimeout)
	defer stopDrained()
	warn := sync.OnceFunc(func() { r.leaseEnding(t) })
	crashed, lost, overdueAt := r.crashed, t.lost, (<-chan struct{})(nil)
	doomed := false // the process will die of a panic; one that Run passes on may be survived
	for gone := false; ; {
		pause := r.figures.tick()
		if !gone {
			v := t.look()
			if left := r.figures.ending() - v.age; !v.held || left <= 0 {
				warn()
			} else {
				pause = min(pause, left)
			}
			if !v.held {
				gone, lost = true, nil
				r.leaseGone(t)
				rings, stop := lease.Alarm(t.clock, r.figures.timeToStop()-lease.Now(t.clock).Since(ended))
				defer stop()
				overdueAt = rings
			}
		}
		if gone && doomed && t.working() {
			close(t.abandoned)
			return
		}
		tick, stopTick := lease.Alarm(t.clock, pause)
		select {
		case <-t.finished:
			stopTick()
			return
		case <-lost:
		case <-tick:
		case <-crashed:
			crashed = nil
			doomed = r.passOn == nil
		case <-drained:
			drained = nil
			ask(t, nil, func() struct{} { r.stopHeartbeat(t); return struct{}{} })
		case <-overdueAt:
			overdueAt = nil
			r.logOverdue(t)
		}
		stopTick()
	}
}

// leaseEnding calls OnLeaseEnding, unless the work and OnStoppedLeading have returned.
func (r *run) leaseEnding(t *term) {
	if f := r.config.Callbacks.OnLeaseEnding; f != nil && !isClosed(t.finished) {
		t.calls.Go(func() { f(context.Cause(t.ctx)) })
	}
}

// timeToStop is the part of the lease after RenewDeadline, in which the work can stop.
func (f *figures) timeToStop() time.Duration { return f.Window - f.renewDeadline }

// leaseGone records that another may lead although this term is not over.
func (r *run) leaseGone(t *term) {
	t.noteLoss()
	r.enter(overdue)
	r.vacated(t, false)
}

func (r *run) stopHeartbeat(t *term) {
	if _, held := t.leaseAge(); held {
		r.lock().StopHeartbeat()
	}
}
