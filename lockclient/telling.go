package lockclient

import (
	"context"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// telling is what a session tells those who wait for its locks, beside that it lives: how many
// locks were let go, and that more will be soon. Heartbeats tell it. Where waiters look closely,
// because a release was announced, a write of its own tells it at once. The same is done after a
// loss, when no heartbeat follows. Guarded by the epoch's mu.
type telling struct {
	counted    time.Duration // when changes rose last, on the monotonic clock
	announced  int           // members whose release was announced and has not come
	closing    bool          // the session's close was announced
	announcing bool          // the item may say that something is announced
	underWay   bool          // a write that tells is under way,
	again      bool          // and another one should follow
	saysSo     bool          // the item says that a release was announced, as far as is known,
	saidAt     time.Duration // and has said so since then, on the monotonic clock
	ends       int           // how many writes that end an announcement have left

	loss       error // why the session was lost; nil: it was not
	unreleased int   // members that ended with it, and whose work may go on
	refused    bool  // nothing can be told on the item any more: it was marked, or is gone
	marked     bool  // this process has marked it as over, or has tried to for long enough
	failures   int   // in a row
	tryUntil   time.Duration
	wake       wakeup // of the next try
}

// announces notes that the release of a member was announced.
func (e *epoch) announces() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.announced++
	e.announcing = true
}

// announcesClose notes that the close of the session was announced.
func (e *epoch) announcesClose() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closing, e.announcing = true, true
}

// announce has the item say that a member will be let go soon. If it has just said so, for another
// member, nothing is sent: thousands that are told to stop at once would all write the item that
// keeps them. Waiters look less and less closely after an announcement, so that a later one is
// written again.
func (e *epoch) announce(ctx context.Context) error {
	for !e.isAnnounced() {
		err := e.announcement.join(ctx, func() error {
			if e.isAnnounced() {
				return nil
			}
			e.mu.Lock()
			ends := e.ends
			e.mu.Unlock()
			err := e.keeper.announce(ctx)
			e.mu.Lock()
			defer e.mu.Unlock()
			e.saysSo, e.saidAt = err == nil && e.ends == ends, e.session.clock.Monotonic()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *epoch) isAnnounced() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.saysSo && e.session.clock.Monotonic()-e.saidAt < justAnnounced
}

// justAnnounced is for how long waiters look as closely as they ever do.
const justAnnounced = 40 * closePoll

// withdraw notes that an announced release will not come.
func (e *epoch) withdraw() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.announced--
}

// letGo notes that a record of a member was freed.
func (e *epoch) letGo(announced bool) {
	e.changes.Add(1)
	e.mu.Lock()
	e.counted = e.session.clock.Monotonic()
	if announced {
		e.announced--
	}
	if e.loss != nil || announced && !e.over {
		e.tellSoon()
	}
	e.mu.Unlock()
}

// lose notes that the session was lost. Its members are still in the ring. Called with mu held.
func (e *epoch) lose(why error) {
	e.loss = why
	for i, m := 0, e.members; i < e.count; i, m = i+1, m.next {
		if !m.unreleased {
			m.unreleased = true
			e.unreleased++
		}
	}
}

// outlasts counts a member that notices the loss before the session has noted it.
func (e *epoch) outlasts(m *member) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m.next != nil && !m.unreleased {
		m.unreleased = true
		e.unreleased++
	}
}

// left notes that the caller has given up the member, or has acquired the lock anew. It does
// nothing for nil.
func (m *member) left() {
	if m == nil {
		return
	}
	e := m.e
	e.mu.Lock()
	defer e.mu.Unlock()
	if !m.unreleased {
		return
	}
	m.unreleased = false
	e.unreleased--
	e.markIfUnused()
}

// markIfUnused has a lost session marked as over when no work of a member can be
// running. An earlier mark would free members whose work still has to stop. That work has the rest
// of the lease. Called with mu held.
func (e *epoch) markIfUnused() {
	if e.loss != nil && e.unreleased == 0 {
		e.tellSoon()
	}
}

// lastCounted is when a member was let go last, on the monotonic clock.
func (e *epoch) lastCounted() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counted
}

// endAnnouncement has the waiters look less closely again where the write that should have told
// them has failed, or an announced release does not come.
func (e *epoch) endAnnouncement() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.announcing && !e.expectsMore() && !e.underWay {
		e.tellSoon()
	}
}

// expectsMore reports whether something that was announced has not come yet. Called with mu held.
func (t *telling) expectsMore() bool { return t.announced > 0 || t.closing }

// tellSoon has one goroutine tell, however many ask for it. Called with mu held.
func (e *epoch) tellSoon() {
	switch {
	case e.underWay:
		e.again = true
	case !e.marked:
		e.underWay, e.failures, e.tryUntil = true, 0, e.item.clock.Monotonic()+e.item.Lease
		e.session.start(e.tell)
	}
}

// tell tells until nothing is left to be told, or a pause is due.
func (e *epoch) tell() {
	for again := true; again; {
		e.mu.Lock()
		e.again = false
		lost := e.loss != nil
		e.mu.Unlock()
		if lost {
			e.tellAfterLoss()
			return
		}
		again = e.tellChanges()
	}
}

// tellChanges tells of changes, and ends the announcement if nothing more is expected. What
// fails, the next heartbeat tells. It reports whether tell should go on.
func (e *epoch) tellChanges() (again bool) {
	e.mu.Lock()
	last := !e.expectsMore()
	if last {
		e.saysSo = false
		e.ends++
	}
	e.mu.Unlock()
	err := e.send(func(ctx context.Context) error { return e.item.requests.tell(ctx, e.keeper.fencingToken(), last) })
	e.mu.Lock()
	ended := err == nil && last
	overtaken := ended && e.expectsMore() // announced meanwhile, maybe before this write
	e.announcing = e.announcing && (!ended || overtaken)
	again = e.again && (err == nil && !e.over || e.loss != nil)
	e.underWay = again
	e.mu.Unlock()
	if overtaken {
		_ = e.keeper.announce(context.Background()) // it only speeds things up
	}
	return again
}

// tellAfterLoss tells of changes on the item of a session that was lost, which leaves its version
// as it is and frees nothing. When each member was given up or acquired anew, it marks the item
// as over instead. Failures are repeated for a lease. By then waiters have marked it themselves.
func (e *epoch) tellAfterLoss() {
	e.mu.Lock()
	mark, token := e.unreleased == 0, e.keeper.fencingToken()
	tell := !mark && !e.refused
	e.mu.Unlock()
	var err error
	switch {
	case mark:
		err = e.send(func(ctx context.Context) error { return e.item.requests.markOwn(ctx, token, e.item.clock.Wall()) })
	case tell:
		err = e.send(func(ctx context.Context) error { return e.item.requests.tell(ctx, token, true) })
	}
	_, refused := conditionFailed(err)
	answered := err == nil || refused || isPermanent(e.item.requests.failure("end the session of", err))
	now := lease.Now(e.item.clock)
	pause := closePoll // what is let go meanwhile is told together
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refused = e.refused || refused
	if e.failures++; answered {
		e.failures = 0
	} else {
		pause = e.item.pauseAfter(e.failures, err, e.item.Heartbeat)
	}
	gaveUp := !answered && now.Mono+pause >= e.tryUntil
	e.marked = e.marked || mark && (answered || gaveUp)
	e.underWay = !e.marked && (e.again || !answered && !gaveUp)
	if e.underWay {
		e.item.line.set(&e.wake, now.Mono+pause, now)
	}
}

// hush has nothing more be told: Close has marked the item, or waiters take the locks when the
// lease is over. What is under way ends by itself.
func (e *epoch) hush() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.marked = true
	e.item.line.clear(&e.wake)
}

// send sends one request about the session's item.
func (e *epoch) send(request func(context.Context) error) error {
	_, err := ask(context.Background(), e.item, 0, func(ctx context.Context) (struct{}, error) { return struct{}{}, request(ctx) })
	return err
}
