package lockclient

import (
	"context"
	"time"
)

// telling is what a session tells those who wait for its locks, beside that it lives: how many
// locks were let go, and that more will be soon. Heartbeats tell it. Where waiters look closely,
// because a release was announced, a write of its own tells it at once. Guarded by the epoch's mu.
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
		e.tellSoon()
	}
	e.mu.Unlock()
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
	if e.underWay {
		e.again = true
		return
	}
	e.underWay = true
	go e.tell()
}

// tell tells until nothing is left to be told. What fails, the next heartbeat tells.
func (e *epoch) tell() {
	for again := true; again; {
		e.mu.Lock()
		e.again = false
		last := !e.expectsMore()
		if last {
			e.saysSo = false
			e.ends++
		}
		e.mu.Unlock()
		err := e.tellOnce(last)
		e.mu.Lock()
		ended := err == nil && last
		overtaken := ended && e.expectsMore() // announced meanwhile, maybe before this write
		e.announcing = e.announcing && (!ended || overtaken)
		again = e.again && err == nil && !e.over
		e.underWay = again
		e.mu.Unlock()
		if overtaken {
			_ = e.keeper.announce(context.Background()) // it only speeds things up
		}
	}
}

// tellOnce writes changes to the session's item, and ends the announcement if nothing more is
// expected.
func (e *epoch) tellOnce(last bool) error {
	_, err := ask(context.Background(), e.item, 0, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, e.item.requests.tell(ctx, e.keeper.fencingToken(), last)
	})
	return err
}
