package lockclient

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// member is one tenure of a lock that is held under a session. It sends nothing between
// its acquire and its release, and has no timer of its own: the session's keeper says how
// old the lease is.
type member struct {
	d       *driver
	e       *epoch
	token   int64
	over    atomic.Bool
	stopped atomic.Pointer[stopping] // by StopHeartbeat; nil: not stopped

	// Guarded by the epoch's mu:
	next, previous *member // in its ring
	unreleased     bool    // it has ended with its session, and was not given up or acquired anew since

	// Guarded by the driver's mu:
	why       error         // why it ended; nil: given up
	lost      chan struct{} // closed at the end; nil until someone asks for it
	aging     chan struct{} // closed when a renewal is late; nil until someone asks for it
	announced bool          // its release was announced
}

// stopping is a member that counts the session's renewals no more.
type stopping struct {
	renewed time.Duration // the session's odometer when the last renewal that counts was sent
	wake    wakeup
}

func (m *member) driver() *driver     { return m.d }
func (m *member) fencingToken() int64 { return m.token }

// holds is HasLock.
func (m *member) holds() (bool, error) {
	if _, held := m.age(); held {
		return true, nil
	}
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	return false, m.why
}

// age is that of the session, whose keeper ends the session and all its members where it is
// too old. Not to be called with the driver's mu held.
func (m *member) age() (time.Duration, bool) {
	if m.over.Load() {
		return 0, false
	}
	age, held := m.e.keeper.age()
	if !held {
		_, why := m.e.keeper.holds()
		m.e.outlasts(m)
		m.end(memberError(m.d.name, why))
		return 0, false
	}
	s := m.stopped.Load()
	if s == nil {
		return age, true
	}
	if age = m.e.keeper.ageSince(s.renewed); age < m.d.Window {
		return age, true
	}
	m.runOut()
	return 0, false
}

// end ends the tenure once; later calls change nothing. It reports whether it did. Not to be
// called with the driver's mu held.
func (m *member) end(why error) bool {
	m.d.mu.Lock()
	if m.over.Load() {
		m.d.mu.Unlock()
		return false
	}
	m.over.Store(true)
	m.why = why
	m.d.ledger.ended(m.token)
	for _, ch := range []*chan struct{}{&m.lost, &m.aging} {
		if *ch != nil {
			close(*ch)
			*ch = nil
		}
	}
	m.d.mu.Unlock()
	m.e.remove(m)
	if s := m.stopped.Load(); s != nil {
		m.d.line.clear(&s.wake)
	}
	if m.d.log.GetSink() != nil {
		go m.reportEnd(why) // a logger that blocks must not delay work that has to stop
	}
	return true
}

func (m *member) reportEnd(why error) {
	if why != nil {
		m.d.log.V(0).Info("tenure lost", "fencingToken", m.token, "why", oneLine(why))
	} else {
		m.d.log.V(0).Info("tenure ends", "fencingToken", m.token)
	}
}

// giveUp ends the tenure by its holder's will.
func (m *member) giveUp() {
	m.end(nil)
	m.d.mu.Lock()
	m.why = nil
	m.d.mu.Unlock()
}

// lose ends the tenure because a write that named it was refused.
func (m *member) lose(found *record, err error) {
	m.d.mu.Lock()
	m.d.ledger.gone(m.token)
	m.d.mu.Unlock()
	m.end(lostTo(m.d.name, found, err))
	m.d.letGo(m.token)
}

func (m *member) whenLost() <-chan struct{} {
	if _, held := m.age(); !held {
		return closedChannel
	}
	return m.channel(&m.lost)
}

// whenAging has the session's keeper tell of late renewals.
func (m *member) whenAging() <-chan struct{} {
	age, held := m.age()
	if !held {
		return closedChannel
	}
	ch := m.channel(&m.aging)
	late := m.e.keeper.warnIfLate()
	if late || m.stopped.Load() != nil && age >= m.agingAt() {
		m.warn()
		return closedChannel
	}
	return ch
}

// warn closes the channel of whenAging.
func (m *member) warn() {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	if m.aging != nil {
		close(m.aging)
		m.aging = nil
	}
}

func (m *member) channel(ch *chan struct{}) <-chan struct{} {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	if m.over.Load() {
		return closedChannel
	}
	if *ch == nil {
		*ch = make(chan struct{})
	}
	return *ch
}

// untilCalm has nothing to wait for: heartbeats don't write the lock's record.
func (m *member) untilCalm(context.Context) error { return nil }

// drain has nothing to wait for either.
func (m *member) drain(context.Context) {}

// announce is AnnounceRelease, on the session's item, which is what the waiters look at.
func (m *member) announce(ctx context.Context) error {
	m.d.mu.Lock()
	first := !m.announced && !m.over.Load()
	m.announced = m.announced || first
	m.d.mu.Unlock()
	if first {
		m.e.announces()
	}
	err := m.e.announce(ctx)
	if held, why := m.holds(); !held {
		if why == nil {
			why = fmt.Errorf("%w: lock %q was released", ErrNotHeld, m.d.name)
		}
		return why
	}
	return err
}

// stop lets the lock run out: renewals from now on don't count for it.
func (m *member) stop() {
	age, held := m.age()
	if !held || m.stopped.Load() != nil {
		return
	}
	s := &stopping{renewed: m.e.keeper.renewedAt()}
	s.wake.call, s.wake.every = func(lease.Instant) { m.look() }, max(m.d.Heartbeat/4, 5*time.Millisecond)
	if m.stopped.CompareAndSwap(nil, s) {
		m.setWake(s, m.untilNext(age))
		m.d.log.V(1).Info("heartbeats stop", "fencingToken", m.token)
	}
}

// resume undoes stop for a lock that is still held.
func (m *member) resume() {
	if _, held := m.age(); !held {
		return
	}
	if s := m.stopped.Swap(nil); s != nil {
		m.d.line.clear(&s.wake)
	}
}

// look warns a member that was stopped when its lease is aging, and ends it when its window
// has closed.
func (m *member) look() {
	age, held := m.age()
	s := m.stopped.Load()
	if !held || s == nil {
		return
	}
	if age >= m.agingAt() {
		m.warn()
	}
	m.setWake(s, m.untilNext(age))
}

// agingAt is the age at which whenAging warns.
func (m *member) agingAt() time.Duration { return m.e.keeper.tenure.agingAt() }

// untilNext is how soon a member that was stopped, and is that old, has to look again.
func (m *member) untilNext(age time.Duration) time.Duration {
	if at := m.agingAt(); age < at {
		return at - age
	}
	return m.d.Window - age
}

func (m *member) setWake(s *stopping, in time.Duration) {
	now := lease.Now(m.d.clock)
	m.d.line.set(&s.wake, now.Mono+max(in, 0), now)
	if m.stopped.Load() != s || m.over.Load() {
		m.d.line.clear(&s.wake)
	}
}

// runOut ends a member whose window has closed after StopHeartbeat, and has it released: its
// session is alive, so the lock would not run out for others.
func (m *member) runOut() {
	if m.end(fmt.Errorf("%w: lock %q ran out after StopHeartbeat", ErrLeaseExpired, m.d.name)) {
		m.e.owe(m.d)
		m.e.freeOwed()
	}
}
