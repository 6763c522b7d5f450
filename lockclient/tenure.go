package lockclient

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// tenure is the time from one won lock to its end. It decides how long its holder may
// trust the lock, and when to renew it. It is pure: it reads no clock and sends nothing.
// Instants and answers go in, decisions come out.
//
//	         sent      Heartbeat                              window
//	won ──────├───────────┼─ renew ──────────────────────────────┤ ends: ErrLeaseExpired
//	          ▲           │
//	          │           ├─► confirmed: the window moves on, and starts where it was sent
//	          └───────────┤
//	                      ├─► failed, or no answer: renew again soon (maxInFlight)
//	                      └─► refused: the record is another client's: ends, ErrLockLost
//
// A tenure that has ended stays ended. No later answer revives it.
//
// The keeper asks next what to do, sends what send returns, and hands the answer to
// confirmed, failed or refused, and then to landed.
type tenure struct {
	rules *rules
	token int64

	odometer lease.Odometer
	renewed  time.Duration // odometer when the last acknowledged write was sent
	stamped  int64         // the wall clock that went into the latest write, in nanoseconds since 1970
	ended    bool
	why      error // why it ended; nil: given up

	rhythm   time.Duration // heartbeats are due whole periods after this, on the monotonic clock
	due      time.Duration // the next heartbeat, on the monotonic clock; never: one is in flight
	ahead    time.Duration // by how much the odometer was ahead of that clock when due was set
	stopped  bool          // by StopHeartbeat
	queued   bool          // a heartbeat waits in line to be sent
	failures int           // heartbeats that failed since the last confirmed one
	fault    error         // why the last of them failed
	inFlight []*heartbeat  // sent and not answered, the oldest first; two at most
	latest   *heartbeat    // the one sent last, answered or not
}

// heartbeat is one attempt at renewing.
type heartbeat struct {
	sent     time.Duration // the odometer before the request left
	wall     time.Time     // the wall clock that it carries
	next     time.Duration // when the next one is due if this one is confirmed, on the monotonic clock
	patience time.Duration // how long it is waited for before another one is sent
	counted  bool          // as confirmed, or as a failure
	request  inFlight      // nil once it is over
}

// inFlight is a request that was sent and has not ended. The keeper implements it.
type inFlight interface {
	cancel()   // gives it up
	makeRoom() // lets other requests go before it, since it has hung
	// hasHung reports whether it alone gets no answer, rather than all being slow.
	hasHung(patience time.Duration) bool
}

// never is a reading that no clock comes to.
const never time.Duration = math.MaxInt64 / 2

// newTenure begins the tenure that an acquire has won. The acquire was sent at the instant sent,
// and the first heartbeat is due first after it. If the reply took longer than the window, the
// tenure has ended already.
func newTenure(r *rules, token int64, sent, now lease.Instant, first time.Duration) tenure {
	t := tenure{rules: r, token: token, odometer: lease.StartOdometer(sent), stamped: sent.Wall}
	if age := t.odometer.Fold(now); age >= r.Window {
		t.end(fmt.Errorf("%w: lock %q was won, but the reply took %v of a lease of %v", ErrLeaseExpired, r.name, age, r.Lease))
		return t
	}
	t.rhythm = sent.Mono + first - r.Heartbeat
	t.dueAt(sent.Mono + first)
	return t
}

// age returns the time since the last confirmed write was sent. false: the tenure has
// ended, or must end now.
func (t *tenure) age(now lease.Instant) (time.Duration, bool) {
	age := t.odometer.Read(now) - t.renewed
	if t.ended || age >= t.rules.Window {
		return 0, false
	}
	return age, true
}

// action is what a holder does next.
type action int

const (
	actNothing action = iota
	actRenew          // send a heartbeat
	actEnd            // the window has closed: end with expired
)

// next decides what to do now, and when to ask again, on the monotonic clock.
func (t *tenure) next(now lease.Instant) (act action, wake time.Duration) {
	if t.ended {
		return actNothing, never
	}
	age := t.odometer.Fold(now) - t.renewed
	if age >= t.rules.Window {
		return actEnd, never
	}
	wake = now.Mono + t.rules.Window - age
	if aging := t.agingAt() - age; aging > 0 {
		wake = min(wake, now.Mono+aging)
	}
	if t.stopped || t.queued {
		return actNothing, wake
	}
	due := t.untilDue(now.Mono)
	if due <= 0 {
		return actRenew, wake
	}
	return actNothing, min(wake, now.Mono+due)
}

// maxInFlight is how many heartbeats of one tenure are in flight at most. A third one
// takes the place of the oldest. It must not wait until that is answered: the answer would
// make the second look slow, though it may be lost, and then nothing repeats it in time.
const maxInFlight = 2

// untilDue returns how long it is until a heartbeat should be sent; not positive: now.
func (t *tenure) untilDue(mono time.Duration) time.Duration {
	if t.isDue(mono) {
		return 0
	}
	due := never - max(mono, 0)
	if t.due != never {
		due = max(t.due-mono, 1)
	}
	for _, b := range t.inFlight {
		if !b.counted { // when it has been waited for long enough, another one is sent
			due = min(due, b.patience-(t.odometer.Folded()-b.sent))
		}
	}
	return due
}

// isDue reports whether it is time for a heartbeat. The regular ones are due by the
// monotonic clock alone: waiters rely on their times, and setting the wall clock must not
// shift them. A repeated one is due by the odometer. If the lease is old although the
// monotonic clock says otherwise, the machine has slept, and a heartbeat is due at once.
func (t *tenure) isDue(mono time.Duration) bool {
	if t.due == never {
		return false
	}
	if t.failures > 0 {
		return t.odometer.Folded()-t.ahead >= t.due
	}
	return mono >= t.due || t.odometer.Folded()-t.renewed >= (t.rules.Heartbeat+t.rules.Window)/2
}

func (t *tenure) dueAt(mono time.Duration) {
	t.due, t.ahead = mono, t.odometer.Folded()-t.odometer.Mark().Mono
}

// nextInRhythm returns the next moment at which waiters expect a heartbeat. One that is
// late or repeated does not shift it.
func (t *tenure) nextInRhythm(mono time.Duration) time.Duration {
	return mono + t.rules.Heartbeat - (mono-t.rhythm)%t.rules.Heartbeat
}

// waitLonger extends the patience with heartbeats in flight that are slow but have not
// hung: then all answers are slow, and another heartbeat would make them slower.
func (t *tenure) waitLonger(now lease.Instant, hung func(*heartbeat) bool) {
	at := t.odometer.Fold(now)
	for _, b := range t.inFlight {
		if waited := at - b.sent; !b.counted && waited >= b.patience && !hung(b) {
			b.patience = waited + max(t.rules.Heartbeat/8, 5*time.Millisecond)
		}
	}
}

// overdue counts the heartbeats in flight whose patience is over as failed, and returns
// them. Another one is due at once. An answer that comes later still counts.
func (t *tenure) overdue(now lease.Instant) (hung []*heartbeat) {
	for _, b := range t.inFlight {
		if waited := t.odometer.Folded() - b.sent; !b.counted && waited >= b.patience {
			t.countFailure(b, now, fmt.Errorf("%w: heartbeat after %v", errNoAnswer, waited), nil)
			hung = append(hung, b)
		}
	}
	return hung
}

// send returns the heartbeat that leaves now, or nil if none is needed any more, since it
// may have waited in line. crowded is the one to be cancelled for it, or nil.
func (t *tenure) send(now lease.Instant) (b, crowded *heartbeat) {
	t.queued = false
	age := t.odometer.Fold(now) - t.renewed
	if t.ended || t.stopped || age >= t.rules.Window || t.untilDue(now.Mono) > 0 {
		return nil, nil // or an answer has made it needless
	}
	if len(t.inFlight) == maxInFlight {
		crowded = t.inFlight[0]
		t.inFlight = slices.Delete(t.inFlight, 0, 1)
	}
	t.stamped = max(t.stamped, now.Wall) // it never goes back within a tenure
	b = &heartbeat{sent: t.odometer.Folded(), wall: time.Unix(0, t.stamped), next: t.nextInRhythm(now.Mono)}
	// Half of the window that is left, so that a hung one leaves time for another.
	remaining := t.rules.Window - age
	b.patience = max(min(max(remaining/2, t.rules.Heartbeat/8), 5*time.Second, remaining), 5*time.Millisecond)
	t.due = never // until this one is counted
	t.inFlight, t.latest = append(t.inFlight, b), b
	return b, crowded
}

// landed notes that a heartbeat's request has ended.
func (t *tenure) landed(b *heartbeat) {
	if t.inFlight = slices.DeleteFunc(t.inFlight, func(other *heartbeat) bool { return other == b }); len(t.inFlight) == 0 {
		t.inFlight = nil // memory, where locks are many
	}
}

// confirmed moves the window on: it starts now when the heartbeat was sent, however late
// the answer came, unless the tenure has ended. It reports whether the tenure goes on. If
// not, the tenure must end with expired.
func (t *tenure) confirmed(b *heartbeat, now lease.Instant) bool {
	if t.ended || t.odometer.Fold(now)-t.renewed >= t.rules.Window {
		return false // the window closed before this answer came, and callers may know
	}
	t.renewed = max(t.renewed, b.sent)
	toRepeat := t.failures > 0 && t.due != never
	t.failures, t.fault = 0, nil
	if !b.counted || toRepeat { // a planned repetition is not needed any more
		t.dueAt(b.next)
	}
	b.counted = true
	return true
}

// failed makes another heartbeat due soon, with jitter and growing pauses, for as long as
// the window is open.
func (t *tenure) failed(b *heartbeat, now lease.Instant, fault error, jitter jitter) {
	t.odometer.Fold(now)
	if !t.ended && !b.counted {
		t.countFailure(b, now, fault, jitter)
	}
}

// countFailure counts a failure and sets when the heartbeat is repeated: at once if
// jitter is nil.
func (t *tenure) countFailure(b *heartbeat, now lease.Instant, fault error, jitter jitter) {
	b.counted = true
	t.failures++
	t.fault = fault
	var pause time.Duration
	switch {
	case jitter == nil:
	case isConflict(fault):
		pause = conflictPause(t.failures, t.rules.Heartbeat, jitter)
	default:
		pause = backoff(t.failures, t.rules.Heartbeat, jitter)
	}
	t.dueAt(now.Mono + pause)
}

// refused takes in that the condition of a heartbeat has failed. found is the record that it met.
// It is the empty one if the item was deleted or the endpoint does not return it. refused returns
// why the tenure is lost, or nil if the refusal only says that a newer heartbeat of this tenure was
// written first.
func (t *tenure) refused(b *heartbeat, found *record, cause error) error {
	overtaken := found.isTenure(t.rules.identity, t.token)
	if found.version.dialect == dialectEmpty {
		// An older heartbeat may have been overtaken. A refusal of the newest one ends the tenure.
		// The record is not read again: if the item was deleted, another client may have created it
		// again.
		overtaken = b != t.latest
	}
	if overtaken {
		return nil
	}
	return lostTo(t.rules.name, found, cause)
}

// end ends the tenure. why is nil if it was given up, not lost. Only the first call
// counts, and reports true.
func (t *tenure) end(why error) bool {
	if t.ended {
		return false
	}
	t.ended, t.why, t.due = true, why, never
	return true
}

// expired explains an unrenewed lease.
func (t *tenure) expired() error {
	switch {
	case t.stopped:
		return fmt.Errorf("%w: lock %q ran out after StopHeartbeat", ErrLeaseExpired, t.rules.name)
	case t.fault != nil:
		return fmt.Errorf("%w: lock %q: %d heartbeats failed within %v, the last: %w", ErrLeaseExpired, t.rules.name, t.failures, t.rules.Window, brief(t.fault))
	default:
		return fmt.Errorf("%w: lock %q: no heartbeat was confirmed within %v (this process or machine stood still, or DynamoDB didn't answer)",
			ErrLeaseExpired, t.rules.name, t.rules.Window)
	}
}

// repeating reports whether the latest heartbeat failed and none was confirmed since.
// Then nothing else should be sent to the lock's item.
func (t *tenure) repeating() bool { return !t.ended && !t.stopped && t.failures > 0 }

// agingAt is the age of a lease at which its holder is warned: a heartbeat is late, and
// there is still time for more.
func (t *tenure) agingAt() time.Duration { return (t.rules.Heartbeat + t.rules.Window) / 2 }

// trustedUntil returns when the window closes, on the monotonic clock.
func (t *tenure) trustedUntil(now lease.Instant) time.Duration {
	return now.Mono + t.rules.Window - (t.odometer.Read(now) - t.renewed)
}

// isAging reports whether it is time to warn.
func (t *tenure) isAging(now lease.Instant) bool {
	age, held := t.age(now)
	return !held || age >= t.agingAt()
}

// lostTo is the error that says which client has the record instead.
func lostTo(name string, found *record, cause error) error {
	switch {
	case found.version.dialect == dialectEmpty:
		return fmt.Errorf("%w: lock %q: its item was deleted or changed by somebody else: %w", ErrLockLost, name, brief(cause))
	case found.released():
		return fmt.Errorf("%w: lock %q was released by %q: %w", ErrLockLost, name, found.item.Owner, brief(cause))
	default:
		return fmt.Errorf("%w: lock %q is now held by %q (fencing token %d): %w", ErrLockLost, name, found.item.Owner, found.item.FencingToken, brief(cause))
	}
}
