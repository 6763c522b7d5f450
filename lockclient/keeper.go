package lockclient

import (
	"context"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// keeper drives one tenure: it sends the heartbeats that the tenure asks for, tells it the answers,
// and closes the channels on which callers wait for its end. A held lock has no goroutine while
// nothing happens. A shared timer wakes the keeper, and each heartbeat has a goroutine that ends
// with its answer. So a slow or missing answer delays no other lock.
type keeper struct {
	d    *driver
	wake wakeup
	slot slot // its share of the line's heartbeats

	// Guarded by the driver's mu:
	tenure  tenure
	lost    chan struct{} // closed at the end; nil until someone asks for it
	aging   chan struct{} // closed when a renewal is late; nil until someone asks for it
	calm    chan struct{} // closed when no heartbeat is being repeated; nil: nobody waits
	drained chan struct{} // closed when ended and none in flight; nil: nobody waits
	warning bool          // a session's: members are to be told when a renewal is late
}

// keep begins to drive a tenure. Called with the driver's mu held.
func keep(d *driver, t tenure, own slot, now lease.Instant) *keeper {
	k := &keeper{d: d, tenure: t, slot: own}
	k.wake.call, k.wake.every = k.act, max(t.rules.Heartbeat/4, 5*time.Millisecond)
	act, wake := k.tenure.next(now)
	if act != actNothing {
		wake = now.Mono // the machine has slept while the acquire was under way
	}
	d.line.set(&k.wake, wake, now)
	return k
}

// holds is HasLock.
func (k *keeper) holds() (bool, error) {
	if _, held := k.age(); held {
		return true, nil
	}
	k.d.mu.Lock()
	defer k.d.mu.Unlock()
	return false, k.tenure.why
}

// age returns the time since the last confirmed write was sent. A lease that is too old
// ends the tenure here and now, so that no clock jump and no late answer revives it.
func (k *keeper) age() (time.Duration, bool) {
	k.d.mu.Lock()
	age, held := k.tenure.age(lease.Now(k.d.clock))
	var over ending
	if !held && !k.tenure.ended {
		over = k.end(k.tenure.expired())
	}
	k.d.mu.Unlock()
	over.finish()
	return age, held
}

// act does what the tenure asks for now. It does not block.
func (k *keeper) act(now lease.Instant) {
	k.d.mu.Lock()
	k.tenure.waitLonger(now, func(b *heartbeat) bool { return b.request == nil || b.request.hasHung(b.patience) })
	act := k.proceed(now)
	switch act {
	case actEnd:
		over := k.end(k.tenure.expired())
		k.d.mu.Unlock()
		over.finish()
	case actRenew:
		k.tenure.queued = true
		hung := requestsOf(k.tenure.overdue(now))
		fault, until := k.tenure.fault, k.tenure.trustedUntil(now)
		if len(hung) > 0 {
			k.d.ledger.writeUnanswered()
		}
		k.d.mu.Unlock()
		for _, request := range hung {
			request.makeRoom()
			go k.report(k.tenure.rules.Heartbeat, true, false, fault)
		}
		k.d.line.beat(until, k.tenure.rules.Window, k.d.goesFirst(), k.send)
	default:
		k.d.mu.Unlock()
	}
}

// proceed asks the tenure what to do, and sets the timer for the next time. Called with the
// driver's mu held.
func (k *keeper) proceed(now lease.Instant) action {
	act, wake := k.tenure.next(now)
	if k.aging != nil && k.tenure.isAging(now) {
		close(k.aging)
		k.aging = nil
	}
	if k.warning && k.tenure.isAging(now) {
		k.warning = false
		go k.d.epoch.late()
	}
	if act != actEnd && wake != never {
		k.d.line.set(&k.wake, wake, now)
	}
	return act
}

// flight is a heartbeat's request.
type flight struct {
	*heartbeat
	k     *keeper
	ctx   context.Context // of the request
	abort context.CancelFunc
	place *place // in line
}

// requestsOf lists the requests that have not ended. Called with the driver's mu held.
func requestsOf(beats []*heartbeat) (requests []inFlight) {
	for _, b := range beats {
		if b != nil && b.request != nil {
			requests = append(requests, b.request)
		}
	}
	return requests
}

// send sends a heartbeat that has a place in line. It does not block.
func (k *keeper) send(p *place) {
	now := lease.Now(k.d.clock)
	k.d.mu.Lock()
	b, crowded := k.tenure.send(now)
	if b == nil {
		act := k.proceed(now)
		k.d.mu.Unlock()
		p.giveBack(unanswered)
		if act != actNothing {
			k.act(now)
		}
		return
	}
	f := &flight{heartbeat: b, k: k, place: p}
	f.ctx, f.abort = context.WithCancel(context.Background())
	b.request = f
	k.proceed(now)
	oldest := requestsOf([]*heartbeat{crowded})
	k.d.mu.Unlock()
	for _, request := range oldest {
		request.cancel()
	}
	go f.fly()
}

// fly sends the request and acts on the answer, however late it comes.
func (f *flight) fly() {
	call(func() (struct{}, error) {
		return struct{}{}, f.k.d.requests.renew(f.ctx, f.k.tenure.token, f.wall)
	}, func(_ struct{}, err error) {
		f.abort()
		f.place.giveBack(fateOf(err))
		f.k.answered(f.heartbeat, err)
	})
}

// cancel cancels the request and gives its place in line back, also where the DynamoDB
// client ignores its context.
func (f *flight) cancel() {
	f.abort()
	f.place.giveBack(unanswered)
}

// hasHung reports whether this request has hung, rather than all requests being slow. It
// has had no answer for that long.
func (f *flight) hasHung(patience time.Duration) bool { return f.place.hasHung(patience) }

// makeRoom gives the place in line back. If others wait for one, connections are scarce
// too, and the request is cancelled. Otherwise a late answer may still come.
func (f *flight) makeRoom() {
	if f.k.d.line.crowded() {
		f.abort()
	}
	f.place.giveBack(timedOut)
}

// answered tells the tenure how a heartbeat ended.
func (k *keeper) answered(b *heartbeat, err error) {
	d, now := k.d, lease.Now(k.d.clock)
	d.mu.Lock()
	if !k.tenure.ended || wasAnswered(err) { // one that was cancelled at the end tells nothing
		d.noteAnswer(err)
	}
	took := k.tenure.odometer.Read(now) - b.sent
	failures := k.tenure.failures
	lost := k.learn(b, err, now)
	k.landed(b)
	if lost != nil {
		over := k.end(lost)
		d.mu.Unlock()
		over.finish()
		return
	}
	fault, ended := k.tenure.failures > failures, k.tenure.ended
	act := k.proceed(now)
	d.mu.Unlock()
	if act != actNothing {
		k.act(now)
	}
	k.report(took, fault, ended, err)
}

// learn tells the tenure how a heartbeat ended. It returns why the tenure must end now,
// or nil. Called with the driver's mu held.
func (k *keeper) learn(b *heartbeat, err error, now lease.Instant) (lost error) {
	failed, refused := conditionFailed(err)
	switch {
	case refused:
		found := decodeRecord(failed.Item)
		k.d.contender.noteToken(found.token)
		if lost := k.tenure.refused(b, found, err); lost != nil {
			k.d.ledger.gone(k.tenure.token)
			return lost
		}
		k.tenure.failed(b, now, fmt.Errorf("a heartbeat was overtaken by a newer one: %w", err), k.d.jitter)
	case err != nil:
		k.tenure.failed(b, now, err, k.d.jitter)
	case !k.tenure.confirmed(b, now) && !k.tenure.ended:
		return k.tenure.expired()
	}
	return nil
}

// report tells the logger and the observers of a heartbeat.
func (k *keeper) report(took time.Duration, fault, ended bool, err error) {
	switch {
	case ended:
		return
	case err == nil:
		k.d.log.V(1).Info("heartbeat", "fencingToken", k.tenure.token, "took", took)
	case fault:
		k.d.log.V(1).Info("heartbeat failed, will retry", "fencingToken", k.tenure.token, "error", oneLine(err))
	default: // it was reported when it was overdue
		return
	}
	k.d.observers.tell(took, err)
	if k.d.epoch != nil {
		k.d.epoch.renewed(took, err)
	}
}

// landed notes that a heartbeat's request is over. Called with the driver's mu held.
func (k *keeper) landed(b *heartbeat) {
	k.tenure.landed(b)
	if b != nil {
		b.request = nil // the latest heartbeat is kept, its request need not be
	}
	if k.calm != nil && !k.tenure.repeating() {
		close(k.calm)
		k.calm = nil
	}
	if k.drained != nil && len(k.tenure.inFlight) == 0 {
		close(k.drained)
		k.drained = nil
	}
}

// ending is what is left to do for a tenure that has ended, once the driver's mu is free.
// The zero value is nothing.
type ending struct {
	k        *keeper // nil: nothing is left to do
	why      error
	unneeded []inFlight // heartbeats whose answers change nothing any more
}

// end ends the tenure once; later calls change nothing. why is nil where it was given up,
// not lost. Called with the driver's mu held: give that up, then finish the ending.
func (k *keeper) end(why error) ending {
	d := k.d
	if !k.tenure.end(why) {
		return ending{}
	}
	d.line.clear(&k.wake)
	d.line.slots.free(k.slot)
	d.ledger.ended(k.tenure.token)
	if why != nil && len(k.tenure.inFlight) > 0 {
		d.ledger.writeUnanswered()
	}
	for _, ch := range []*chan struct{}{&k.lost, &k.aging, &k.calm} {
		if *ch != nil {
			close(*ch)
			*ch = nil
		}
	}
	return ending{k: k, why: why, unneeded: requestsOf(k.tenure.inFlight)}
}

// finish cancels the heartbeats of the tenure that has ended, and logs its end. It does
// not block.
func (e ending) finish() {
	if e.k == nil {
		return
	}
	for _, request := range e.unneeded {
		request.cancel()
	}
	if e.k.d.epoch != nil {
		e.k.d.epoch.ended(e.why)
	}
	if e.k.d.log.GetSink() == nil {
		return // no logger
	}
	// In a goroutine of its own: a logger that blocks must not delay work that has to stop.
	go e.k.reportEnd(e.why)
}

func (k *keeper) reportEnd(why error) {
	if why != nil {
		k.d.log.V(0).Info("tenure lost", "fencingToken", k.tenure.token, "why", oneLine(why))
	} else {
		k.d.log.V(0).Info("tenure ends", "fencingToken", k.tenure.token)
	}
}

// giveUp ends the tenure because its holder wants to.
func (k *keeper) giveUp() {
	k.d.mu.Lock()
	over := k.end(nil)
	k.tenure.why = nil
	k.d.mu.Unlock()
	over.finish()
}

func (k *keeper) driver() *driver { return k.d }

func (k *keeper) fencingToken() int64 { return k.tenure.token }

// lose ends the tenure because a write that named it was refused.
func (k *keeper) lose(found *record, err error) {
	k.d.mu.Lock()
	k.d.ledger.gone(k.tenure.token)
	k.d.contender.noteToken(found.token)
	over := k.end(lostTo(k.d.name, found, err))
	k.d.mu.Unlock()
	over.finish()
}

// ageSince is the age that the lease would have, had it been renewed last when the odometer
// read that. renewedAt is such a reading.
func (k *keeper) ageSince(renewed time.Duration) time.Duration {
	k.d.mu.Lock()
	defer k.d.mu.Unlock()
	return k.tenure.odometer.Read(lease.Now(k.d.clock)) - renewed
}

func (k *keeper) renewedAt() time.Duration {
	k.d.mu.Lock()
	defer k.d.mu.Unlock()
	return k.tenure.renewed
}

// warnIfLate has the members of a session warned when a renewal is late, and reports whether
// one is already.
func (k *keeper) warnIfLate() bool {
	k.d.mu.Lock()
	defer k.d.mu.Unlock()
	late := k.tenure.isAging(lease.Now(k.d.clock))
	k.warning = k.warning || !late
	return late
}

// whenLost returns the channel that is closed at the end.
func (k *keeper) whenLost() <-chan struct{} {
	k.d.mu.Lock()
	defer k.d.mu.Unlock()
	return k.channel(&k.lost)
}

// whenAging returns a channel that is closed when a renewal is late or the tenure
// ends.
func (k *keeper) whenAging() <-chan struct{} {
	k.d.mu.Lock()
	defer k.d.mu.Unlock()
	if k.tenure.isAging(lease.Now(k.d.clock)) {
		return closedChannel
	}
	return k.channel(&k.aging)
}

// channel returns one of the keeper's channels. Called with the driver's mu held.
func (k *keeper) channel(ch *chan struct{}) <-chan struct{} {
	if k.tenure.ended {
		return closedChannel
	}
	if *ch == nil {
		*ch = make(chan struct{})
	}
	return *ch
}

// repeats reports whether a heartbeat is being repeated.
func (k *keeper) repeats() bool {
	k.d.mu.Lock()
	defer k.d.mu.Unlock()
	return k.tenure.repeating()
}

// untilCalm waits while a heartbeat is being repeated: DynamoDB refuses a write that meets
// a transaction on the same item, so a transaction could make it fail again.
func (k *keeper) untilCalm(ctx context.Context) error {
	for {
		k.d.mu.Lock()
		if !k.tenure.repeating() {
			k.d.mu.Unlock()
			return nil
		}
		if k.calm == nil {
			k.calm = make(chan struct{})
		}
		calm := k.calm
		k.d.mu.Unlock()
		select {
		case <-calm:
		case <-ctx.Done():
			return contextError(ctx)
		}
	}
}

// drain waits until no heartbeat is in flight, or ctx is done. The tenure has ended: no
// new one starts, and those in flight were cancelled. The wait is short, since a DynamoDB
// client may ignore its context. A heartbeat that arrives after the release fails its
// condition.
func (k *keeper) drain(ctx context.Context) {
	k.d.mu.Lock()
	if len(k.tenure.inFlight) == 0 {
		k.d.mu.Unlock()
		return
	}
	if k.drained == nil {
		k.drained = make(chan struct{})
	}
	drained := k.drained
	k.d.mu.Unlock()
	ctx, cancel := lease.WithTimeout(ctx, k.d.clock, attemptTimeout(k.d.Heartbeat)/4, errNoAnswer)
	defer cancel()
	select {
	case <-drained:
	case <-ctx.Done():
	}
}

// announce is AnnounceRelease. It does not renew, so that waiters know of a holder that
// announces and crashes, as of any other, when it last renewed.
func (k *keeper) announce(ctx context.Context) error {
	d := k.d
	_, err := ask(ctx, d, 0, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, d.requests.announce(ctx, k.tenure.token)
	})
	failed, refused := conditionFailed(err)
	switch {
	case err == nil:
		return nil
	case !refused:
		return d.requests.failure("announce the release of", err)
	}
	k.lose(decodeRecord(failed.Item), err)
	if _, why := k.holds(); why != nil {
		return why
	}
	return fmt.Errorf("%w: lock %q was released", ErrNotHeld, d.name)
}

// stop sends no further heartbeats.
func (k *keeper) stop() {
	k.d.mu.Lock()
	done := k.tenure.ended || k.tenure.stopped
	k.tenure.stopped = true
	k.landed(nil) // nothing is repeated any more
	k.d.mu.Unlock()
	if !done {
		k.d.log.V(1).Info("heartbeats stop", "fencingToken", k.tenure.token)
	}
}

// resume undoes stop for a lock that is still held.
func (k *keeper) resume() {
	k.d.mu.Lock()
	stopped := k.tenure.stopped && !k.tenure.ended
	k.tenure.stopped = k.tenure.stopped && !stopped
	k.d.mu.Unlock()
	if stopped {
		k.act(lease.Now(k.d.clock))
	}
}

var closedChannel = func() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()
