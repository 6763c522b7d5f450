package election

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// Leader is who holds the lock, as this elector last saw it. The zero Leader means that no leader
// is known: a vacancy.
type Leader struct {
	// Identity of the holder. "": a vacancy.
	Identity string
	// FencingToken of the holder's tenure; 0 if there is none. A leader that lost the lock and won
	// it again has a higher one.
	FencingToken int64
	// Self reports whether the tenure is this elector's own.
	Self bool
}

// Vacant reports whether no leader is known.
func (l Leader) Vacant() bool { return l.Identity == "" }

// Observe returns a channel that receives each change of leader, vacancies included, beginning with
// the current state if there is one. Each call returns a channel of its own. A slow observer never
// delays the elector or another observer: it receives the latest state and misses those before it.
// The channel is closed when ctx ends, and only then: it stays open between two Runs of the
// elector.
func (e *LeaderElector) Observe(ctx context.Context) <-chan Leader {
	ch := e.board.subscribe()
	context.AfterFunc(ctx, func() { e.board.unsubscribe(ch) })
	return ch
}

// GetLeader returns the identity of the leader last seen; "" if none was seen, or if the lock was
// free when last seen.
func (e *LeaderElector) GetLeader() string { return e.board.read().Identity }

// sighting is what is known of a leader besides its identity.
type sighting struct {
	sign     lease.Instant // the latest sign of life
	lease    time.Duration // its lease; 0: not known
	released bool          // it has released the lock
}

// seenReign is one leader's stretch of leading, in times of the machine's wall clock.
type seenReign struct {
	leader       Leader
	how          string
	since, until time.Time // until is zero while it lasts
}

// maxReigns is how many leaders are remembered.
const maxReigns = 10

// board holds who leads. The elector writes it, and any goroutine may read it.
type board struct {
	mu        sync.Mutex // guards what follows; nothing is called and nothing blocks under it
	known     bool       // something was observed
	leader    Leader
	holder    Leader      // the last leader that was not a vacancy
	seen      sighting    // of holder
	reigns    []seenReign // the latest leaders, the latest last; at most maxReigns
	observers map[chan Leader]struct{}
}

// change is what a write to the board has changed.
type change struct {
	changed  bool   // anything at all
	newName  bool   // a holder with another identity than the last holder's
	failover bool   // a holder with another tenure than the last holder's
	how      string // how the holder followed the last one
}

// write records who leads, as seen at that time of the wall clock.
func (b *board) write(l Leader, s sighting, at time.Time) change {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known && l == b.leader {
		b.seen.update(s)
		return change{}
	}
	c := change{changed: true}
	b.known, b.leader = true, l
	if n := len(b.reigns); n > 0 && b.reigns[n-1].until.IsZero() {
		b.reigns[n-1].until = at
	}
	if l.Vacant() {
		b.seen.update(s)
	} else {
		c.how = b.succession(s)
		c.newName = l.Identity != b.holder.Identity
		c.failover = !b.holder.Vacant() && (c.newName || l.FencingToken != b.holder.FencingToken)
		b.holder, b.seen = l, s
		b.reigns = append(b.reigns, seenReign{leader: l, how: c.how, since: at})
		b.reigns = b.reigns[max(len(b.reigns)-maxReigns, 0):]
	}
	for ch := range b.observers {
		offer(ch, l)
	}
	return c
}

// update records a later sighting of the same leader.
func (s *sighting) update(later sighting) {
	if later.lease > 0 {
		released := s.released
		*s = later
		s.released = s.released || released
	}
}

// succession returns how a leader with this first sign of life followed the last one: "first" (none
// was seen before), "released", "expired", or "unknown" if the lock does not tell. Called with mu
// held.
func (b *board) succession(s sighting) string {
	switch {
	case b.holder.Vacant():
		return "first"
	case b.seen.released:
		return "released"
	case b.seen.lease == 0 || s.lease == 0:
		return "unknown"
	case s.sign.Since(b.seen.sign) >= b.seen.lease:
		return "expired"
	}
	return "released"
}

// offer replaces what the observer has not received yet. Only the board sends, so the channel's one
// place is free after the select.
func offer(ch chan Leader, l Leader) {
	select {
	case <-ch:
	default:
	}
	ch <- l
}

func (b *board) read() Leader {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leader
}

// history returns who leads and the latest leaders, the latest first.
func (b *board) history() (Leader, []seenReign) {
	b.mu.Lock()
	defer b.mu.Unlock()
	reigns := slices.Clone(b.reigns)
	slices.Reverse(reigns)
	return b.leader, reigns
}

func (b *board) subscribe() chan Leader {
	ch := make(chan Leader, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.observers == nil {
		b.observers = make(map[chan Leader]struct{})
	}
	b.observers[ch] = struct{}{}
	if b.known {
		offer(ch, b.leader)
	}
	return ch
}

func (b *board) unsubscribe(ch chan Leader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.observers, ch)
	close(ch)
}
