package shards

import (
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// glance is how long the guard waits for an answer of a lock, which sends no request for it. A lock
// may call a Logger that blocks.
const glance = 10 * time.Millisecond

// guard ends the leading contexts when the lease of the session does not allow to lead any longer.
// It waits for nothing but its clock and channels. It lives as long as the tenure of pulse.
func (r *run) guard(pulse lock) {
	lost := pulse.Lost()
	sent := lease.Now(r.clock)
	sweeping := make(chan struct{}, 1)
	for {
		age, held := r.ageOf(pulse, &sent)
		if !held || isClosed(lost) {
			r.lostPulse(pulse)
			r.awaitWorks()
			return
		}
		r.tellLease(age)
		if age >= r.renewDeadline {
			r.mu.Lock()
			r.endAll(&lossError{reason: fmt.Errorf("%w: the last confirmed heartbeat was sent %v ago", election.ErrLeaseExpired, short(age))})
			r.mu.Unlock()
			age = r.renewDeadline - r.Heartbeat/4
		}
		select {
		case sweeping <- struct{}{}:
			r.helpers.Go(func() { r.sweep(); <-sweeping })
		default: // the last one has not returned
		}
		// A timer for the deadline alone would be late after the machine was suspended, because the
		// clock behind timers stops meanwhile.
		rings, stop := lease.Alarm(r.clock, min(r.renewDeadline-age, max(r.Heartbeat/4, time.Millisecond)))
		select {
		case <-rings:
		case <-lost:
		case <-r.ctx.Done():
			stop()
			return
		}
		stop()
	}
}

// ageOf asks a lock for the age of its lease. If it does not answer, the heartbeat that was seen
// last counts.
func (r *run) ageOf(l lock, sent *lease.Instant) (age time.Duration, held bool) {
	type answer struct {
		age  time.Duration
		held bool
	}
	answers := make(chan answer, 1)
	r.helpers.Go(func() {
		age, held := l.LeaseAge()
		answers <- answer{age, held}
	})
	rings, stop := lease.Alarm(r.clock, glance)
	defer stop()
	select {
	case a := <-answers:
		if a.held {
			*sent = lease.Now(r.clock).Add(-a.age)
		}
		return a.age, a.held
	case <-rings:
		age = lease.Now(r.clock).Since(*sent)
		return age, age < r.Window
	}
}

// lostPulse takes in that the session is over, and with it every lock that it kept.
func (r *run) lostPulse(pulse lock) {
	why := pulse.LockError()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pulse != pulse {
		return
	}
	if !isClosed(r.done) {
		r.alert(why, msgLost, "leading", r.leading)
	}
	r.endAll(&lossError{reason: election.ErrLockLost, lock: why})
	r.pulse, r.id, r.view, r.before = nil, "", nil, nil
	if r.state != leaving {
		r.state = joining
	}
	r.replan()
	nudge(r.nudged)
}

// awaitWorks watches work that goes on although the session is over, until all of it has returned
// or another guard has taken over.
func (r *run) awaitWorks() {
	for lease.Sleep(r.ctx, r.clock, max(r.Heartbeat/4, time.Millisecond)) {
		r.mu.Lock()
		over := len(r.draining) == 0 || r.pulse != nil
		r.mu.Unlock()
		if over {
			return
		}
		r.sweep()
	}
}

// sweep looks at each lock by itself: one may be lost while the session is alive, or a call of Err
// may have ended a term already. It also finds work that has outlived its lock.
func (r *run) sweep() {
	r.mu.Lock()
	var led, drained []*shard
	var terms []*term
	for _, s := range r.shards {
		switch s.stage {
		case leading:
			led, terms = append(led, s), append(terms, s.term)
		case draining:
			drained = append(drained, s)
		}
	}
	r.mu.Unlock()
	for i, t := range terms {
		why := t.lapse()
		if why == nil && t.ctx.Err() == nil {
			continue
		}
		r.mu.Lock()
		if led[i].term == t {
			r.end(led[i], why)
		}
		r.mu.Unlock()
	}
	for _, s := range drained {
		r.overdue(s)
	}
}

// overdue logs a work that goes on although another may lead its shard.
func (r *run) overdue(s *shard) {
	r.mu.Lock()
	t := s.term
	r.mu.Unlock()
	if t == nil || t.held() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := lease.Now(r.clock)
	if t.lost == nil {
		t.lost = &now
	}
	// Work that was told to stop only now gets a moment to do so.
	if s.stage != draining || t.overdue || now.Since(t.ended) < r.Window-r.renewDeadline {
		return
	}
	t.overdue = true
	r.alert(nil, msgOverdue, "shard", s.name, "fencingToken", t.token, "what", "the work does not return although its context has ended")
}
