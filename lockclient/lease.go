package lockclient

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Clock is time as one machine sees it. A nil Clock field is the system's; other
// ones are for tests: skewed rates, jumps, suspended or paused machines. Its methods
// are called concurrently. One that also has a method Jitter(upTo time.Duration)
// time.Duration is asked for the jitter of pauses, from 0 to upTo.
type Clock interface {
	// Monotonic is the time since an arbitrary start. It never goes back, and on Linux
	// stands still while the machine is suspended.
	Monotonic() time.Duration
	// Wall is the wall clock. It may jump either way.
	Wall() time.Time
	// AfterFunc calls f in a goroutine of its own when d has passed on the monotonic
	// clock; stop prevents that and reports whether it did, as time.Timer.Stop.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// jitterer is a Clock that pauses are made uneven by, so that a simulation repeats
// itself. Any other Clock's are made so at random.
type jitterer interface {
	// Jitter is a duration from 0 to upTo.
	Jitter(upTo time.Duration) time.Duration
}

// jitter is a duration from 0 to upTo, which spreads what would otherwise happen at once.
func (l *lock) jitter(upTo time.Duration) time.Duration {
	if c, ok := l.clock.(jitterer); ok {
		return c.Jitter(upTo)
	}
	return rand.N(upTo + 1)
}

type systemClock struct{}

var processStart = time.Now()

func (systemClock) Monotonic() time.Duration { return time.Since(processStart) }
func (systemClock) Wall() time.Time          { return time.Now() }
func (systemClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// instant is one moment on both clocks.
type instant struct {
	mono time.Duration
	wall int64 // nanoseconds since 1970
}

func now(c Clock) instant {
	if _, ok := c.(systemClock); ok { // one reading instead of two
		t := time.Now()
		return instant{mono: t.Sub(processStart), wall: t.UnixNano()}
	}
	return instant{mono: c.Monotonic(), wall: c.Wall().UnixNano()}
}

// trustWindow is how long a holder believes in one acknowledged write: 1 % less
// than waiters wait, for clocks whose rates differ.
func trustWindow(lease time.Duration) time.Duration { return lease / 100 * 99 }

// odometer counts time that has passed, always the larger of what the two clocks
// say: the wall clock goes on through a suspend, the monotonic one through a wall
// clock that is set back. Folding often narrows the one case that fools it, a
// suspend and a setback between two folds.
type odometer struct {
	total time.Duration
	mark  instant
}

func (o *odometer) read(at instant) time.Duration {
	return o.total + max(at.mono-o.mark.mono, time.Duration(at.wall-o.mark.wall), 0)
}

func (o *odometer) fold(at instant) time.Duration {
	o.total, o.mark = o.read(at), at
	return o.total
}

// tenure is the time from one won lock to its end.
type tenure struct {
	lock  *lock
	token int64

	mu       sync.Mutex // guards what follows; never held across a request
	odometer odometer
	renewed  time.Duration // odometer when the last acknowledged write was sent
	stamped  int64         // the wall clock that went into the latest write, in nanoseconds since 1970
	ended    bool
	err      error // why it ended; nil: released
	owed     bool  // the record may still carry this tenure

	lost      chan struct{} // closed at the end; nil until someone asks for it
	stopTimer func() bool   // of the next wake
	rhythm    time.Duration // heartbeats are due whole periods after this, on the monotonic clock
	beatDue   time.Duration // the next heartbeat, on the monotonic clock; never while one is unsettled
	ahead     time.Duration // by how much the odometer was ahead of that clock when beatDue was set
	stopped   bool          // by StopHeartbeat
	failures  int           // heartbeats that failed since the last confirmed one
	lastFault error         // why the last of them failed
	inFlight  []*heartbeat  // cancelled at the end
	drained   chan struct{} // closed when ended and none in flight; nil until someone waits
}

// begin makes the won attempt the current tenure. sent is the odometer that was
// started before the winning request left. It returns ErrLeaseExpired when the
// reply took so long that there is nothing left to trust.
func (l *lock) begin(token int64, sent odometer) (*tenure, error) {
	t := &tenure{lock: l, token: token, stamped: sent.mark.wall, odometer: sent, beatDue: never, owed: true}
	t.mu.Lock()
	age := t.odometer.fold(now(l.clock))
	if age >= l.window {
		t.mu.Unlock()
		return nil, fmt.Errorf("%w: lock %q was won, but the reply took %v of a lease of %v", ErrLeaseExpired, l.name, age, l.lease)
	}
	first := sent.mark.mono + begun.firstBeat(t.odometer.mark.mono, l.heartbeat)
	t.rhythm = first - l.heartbeat
	t.beatAt(first)
	t.mu.Unlock()
	l.current.Store(t)
	l.log.V(0).Info("tenure begins", "owner", l.identity, "fencingToken", token, "lease", l.lease)
	return t, nil
}

// holds is HasLock.
func (t *tenure) holds() (bool, error) {
	_, held := t.age()
	if held {
		return true, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return false, t.err
}

// age is the time since the last acknowledged write was sent. A tenure that turns
// out to be too old ends here and now, so that no later jump of a clock, and no late
// reply, revives it.
func (t *tenure) age() (time.Duration, bool) {
	t.mu.Lock()
	ended, age := t.ended, t.odometer.read(now(t.lock.clock))-t.renewed
	t.mu.Unlock()
	if ended {
		return 0, false
	}
	if age >= t.lock.window {
		t.end(t.expired())
		return 0, false
	}
	return age, true
}

// never is a reading that no clock comes to.
const never time.Duration = math.MaxInt64 / 2

// beatAt sets when the next heartbeat is due; there is one chain of them, however it was
// continued. Called with mu held, and the odometer just folded.
func (t *tenure) beatAt(due time.Duration) {
	t.beatDue, t.ahead = due, t.odometer.total-t.odometer.mark.mono
	t.arm()
}

// beatIsDue reports whether to send a heartbeat now. Those of the rhythm are due by the
// monotonic clock alone: waiters know it, and a wall clock that is set must not shift it.
// What must be repeated is due by the odometer, and where the lease has grown old all the
// same, the machine has slept. Called with mu held, and the odometer just folded.
func (t *tenure) beatIsDue() bool {
	if t.stopped || t.beatDue == never {
		return false
	}
	if t.failures > 0 {
		return t.odometer.total-t.ahead >= t.beatDue
	}
	return t.odometer.mark.mono >= t.beatDue || t.odometer.total-t.renewed >= (t.lock.heartbeat+t.lock.window)/2
}

// nextInRhythm is the moment after this one at which waiters look for a heartbeat. One that
// is late, is repeated, or is an extra shifts nothing. Called with mu held, and the odometer
// just folded.
func (t *tenure) nextInRhythm() time.Duration {
	at := t.odometer.mark.mono
	return at + t.lock.heartbeat - (at-t.rhythm)%t.lock.heartbeat
}

// arm sets the timer for the next wake: the next heartbeat or the end of the window. It
// comes round more often than these demand, because it must notice that the machine has
// slept: the timer did too. One timer serves for all, since in a process of thousands of
// locks it is half of what a tenure weighs. Called with mu held, and the odometer just
// folded.
func (t *tenure) arm() {
	if t.stopTimer != nil {
		t.stopTimer()
	}
	next := t.renewed + t.lock.window - t.odometer.total
	if !t.stopped {
		next = min(next, t.beatDue-t.odometer.mark.mono)
	}
	pause := max(min(next, max(t.lock.heartbeat/4, 5*time.Millisecond)), 0)
	t.stopTimer = t.lock.clock.AfterFunc(pause, t.wake)
}

// wake ends the tenure or sends a heartbeat, when it is time for that.
func (t *tenure) wake() {
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return
	}
	at := now(t.lock.clock)
	age := t.odometer.fold(at) - t.renewed
	if age >= t.lock.window {
		t.mu.Unlock()
		t.end(t.expired())
		return
	}
	hung := t.hungBeats()
	var b *heartbeat
	if t.beatIsDue() {
		b = t.nextBeat(at)
	}
	t.arm()
	t.mu.Unlock()
	for _, other := range hung {
		other.overdue()
	}
	if b != nil {
		b.send()
	}
}

// expired explains an unrenewed lease.
func (t *tenure) expired() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.stopped:
		return fmt.Errorf("%w: lock %q ran out after StopHeartbeat", ErrLeaseExpired, t.lock.name)
	case t.lastFault != nil:
		return fmt.Errorf("%w: lock %q: %d heartbeats failed within %v, the last: %w", ErrLeaseExpired, t.lock.name, t.failures, t.lock.window, t.lastFault)
	default:
		return fmt.Errorf("%w: lock %q: no heartbeat was confirmed within %v (this process or machine stood still, or DynamoDB didn't answer)",
			ErrLeaseExpired, t.lock.name, t.lock.window)
	}
}

// end ends the tenure once; later calls change nothing. err nil means that it was
// given up, not lost.
func (t *tenure) end(err error) {
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return
	}
	t.ended, t.err = true, err
	t.stopTimer()
	lost, inFlight := t.lost, slices.Clone(t.inFlight)
	t.mu.Unlock()
	for _, b := range inFlight {
		b.cancel()
	}
	if lost != nil {
		close(lost)
	}
	if err != nil {
		t.lock.log.V(0).Info("tenure lost", "fencingToken", t.token, "why", err.Error())
	} else {
		t.lock.log.V(0).Info("tenure ends", "fencingToken", t.token)
	}
}

// whenLost is the channel that is closed at the end.
func (t *tenure) whenLost() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.lost != nil:
	case t.ended:
		return closedChannel
	default:
		t.lost = make(chan struct{})
	}
	return t.lost
}

// disown notes that the record is certainly not this tenure's any more.
func (t *tenure) disown() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owed = false
}

// clockTimeout is context.WithTimeout on the lock's clock.
func (l *lock) clockTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := l.clock.AfterFunc(d, func() { cancel(errAttemptTimeout) })
	return ctx, func() {
		stop()
		cancel(context.Canceled)
	}
}

// sleep waits for d on the lock's clock; false when ctx was done first.
func (l *lock) sleep(ctx context.Context, d time.Duration) bool { return l.sleepUntil(ctx, nil, d) }

// sleepUntil is sleep that an event ends early.
func (l *lock) sleepUntil(ctx context.Context, event <-chan struct{}, d time.Duration) bool {
	woken := make(chan struct{})
	stop := l.clock.AfterFunc(d, func() { close(woken) })
	select {
	case <-woken:
		return true
	case <-event:
		stop()
		return true
	case <-ctx.Done():
		stop()
		return false
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// attemptTimeout is how long one request may take when remaining is all there is:
// half of it, so that a hung one leaves time for another, but neither longer than
// any healthy request takes nor so short that a slow one never succeeds.
func attemptTimeout(remaining time.Duration) time.Duration {
	return min(max(remaining/2, time.Second), 5*time.Second, remaining)
}
