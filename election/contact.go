package election

import (
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// contact is what an elector knows of its connection to the store. LeaderElector.mu guards it.
type contact struct {
	last  *lease.Instant // when the store last answered; nil: never
	since lease.Instant  // when the elector last began to campaign, so that it does not count the time for which it did not
	fault error          // why the latest heartbeat failed; nil: it did not
}

// LastContact returns when the store last answered this elector: a candidate's poll, or a leader's
// renewal. It is a time of the machine's wall clock. The zero Time: never.
func (e *LeaderElector) LastContact() time.Time {
	last := e.lastContact()
	if last == nil {
		return time.Time{}
	}
	return e.clock.Wall().Add(-lease.Now(e.clock).Since(*last))
}

func (e *LeaderElector) lastContact() *lease.Instant {
	e.mu.Lock()
	last, t := e.contact.last, e.term
	e.mu.Unlock()
	if t == nil {
		return last
	}
	t.leaseAge()
	if sent := t.sent.Load(); last == nil || sent.Since(*last) > 0 {
		last = sent
	}
	return last
}

// silence returns for how long the store has not answered although the elector asks it.
func (e *LeaderElector) silence() time.Duration {
	last := e.lastContact()
	e.mu.Lock()
	asks, since := e.state == campaigning || e.state.leads(), e.contact.since
	e.mu.Unlock()
	if !asks {
		return 0
	}
	now := lease.Now(e.clock)
	silence := now.Since(since)
	if last != nil {
		silence = min(silence, now.Since(*last))
	}
	return silence
}

// beginsToAsk starts the time that MaxSilence limits.
func (e *LeaderElector) beginsToAsk() {
	now := lease.Now(e.clock)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.contact.since = now
}

// heardOf records that the store has answered.
func (e *LeaderElector) heardOf() {
	now := lease.Now(e.clock)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.contact.last, e.contact.fault = &now, nil
}

// heartbeatDone records the answer to a heartbeat, or that there was none.
func (e *LeaderElector) heartbeatDone(took time.Duration, err error) {
	if err == nil {
		e.heardOf()
	} else {
		e.mu.Lock()
		e.contact.fault = err
		e.mu.Unlock()
	}
	if e.metric.operator != nil {
		e.tell(func() { e.metric.operator.HeartbeatLatency(e.metric.name, took, err) })
	}
}

func (e *LeaderElector) latestFault() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.contact.fault
}

// observeHeartbeats asks the lock to report its heartbeats, if it can.
func (e *LeaderElector) observeHeartbeats() (stop func()) {
	lock, ok := e.config.Lock.(heartbeatObservable)
	if !ok {
		return func() {}
	}
	return lock.ObserveHeartbeats(e.heartbeatDone)
}
