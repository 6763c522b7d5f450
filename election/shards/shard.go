package shards

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// stage is where a shard stands; the names are those of the drawing in the package comment. A shard
// that is elsewhere has none.
type stage int

const (
	wanted stage = iota
	acquiring
	leading
	draining
	releasing
)

// shard is one that this replica wants, leads, or is about to let go. Replica.mu guards it.
type shard struct {
	name  string
	stage stage
	mine  bool // it belongs to this replica, by the latest view
	led   bool // this replica has led it since it belongs to it
	// It belongs to one who has joined just now and does not serve yet, and was on its way here:
	// this replica leads it until then.
	standIn bool
	lock    lock  // nil: not tried yet
	term    *term // the latest, until its lock is released; nil: none
	queued  bool  // in ready

	since  time.Duration // when it was wanted
	until  time.Duration // do not try before
	polls  bool          // try by PollLock, which watches the holder
	eager  bool          // its former leader has crashed, so go on trying
	failed int           // requests in a row without an answer
	gone   time.Duration // when its work returned
	again  bool          // its release has failed, and is due again
	rest   time.Duration // before it is led again, if its work returned by itself
}

// turn has a shard stand somewhere else. Called with mu held.
func (r *run) turn(s *shard, to stage) {
	if s.stage == wanted && to != wanted {
		r.taken++
	}
	if s.stage != wanted && to == wanted {
		r.taken--
	}
	s.stage = to
}

// hasRoom is whether one more attempt may win. What is not released yet counts, so that no more
// than MaxPerReplica works run at any time. Called with mu held.
func (r *run) hasRoom() bool { return r.most == 0 || r.taken < r.most }

// waits is whether this replica would lead the shard if it were free.
func (s *shard) waits() bool { return s != nil && s.stage == wanted && (s.mine || s.standIn) }

// replan takes in a new assignment. Called with mu held.
func (r *run) replan() {
	for _, s := range r.shards {
		s.mine = false
	}
	if r.state == serving && r.view != nil {
		for i, owner := range r.view.owners {
			if owner == nobody || owner != r.view.self {
				continue
			}
			name := r.view.names[i]
			if s := r.shards[name]; s != nil {
				s.mine = true
			} else {
				r.want(name)
			}
		}
	}
	r.surplus = nil
	for _, s := range r.shards {
		s.led = s.mine && (s.led || s.stage == leading)
		switch {
		case s.mine:
			s.standIn = false
		case s.stage == leading:
			r.surplus = append(r.surplus, s)
		case s.stage == wanted || s.stage == acquiring:
			owner := r.view.owner(s.name)
			s.standIn = r.state == serving && owner != "" && !r.before.has(owner)
			if s.standIn {
				s.since = r.uptime()
			} else if s.stage == wanted {
				r.drop(s)
			}
		}
	}
	slices.SortFunc(r.surplus, func(a, b *shard) int { return strings.Compare(a.name, b.name) })
	nudge(r.kicked)
}

// want begins to wait for a shard. One that a living member probably leads is left alone until that
// member has let it go, or a look at the lock says so.
func (r *run) want(name string) {
	s := &shard{name: name, mine: true, since: r.uptime()}
	r.shards[name] = s
	former := r.before.owner(name)
	if _, listed := r.roster.members[former]; listed && !r.buried.has(former) && former != r.id {
		return
	}
	s.eager = former != "" && former != r.id
	r.try(s)
}

// try has a shard acquired soon.
func (r *run) try(s *shard) {
	if !s.queued && s.stage == wanted {
		s.queued = true
		r.ready = append(r.ready, s)
		nudge(r.kicked)
	}
}

// later has something happen to a shard after a pause.
func (r *run) later(s *shard, pause time.Duration) {
	s.until = r.uptime() + pause
	heap.Push(&r.dues, due{s.until, s})
	nudge(r.kicked)
}

func (r *run) comesDue(d due) {
	s := d.shard
	switch {
	case r.shards[s.name] != s:
	case s.waits():
		r.try(s)
	case s.stage == releasing && s.again: // else it is an attempt that was due, and the release is under way
		s.again = false
		r.toRelease = append(r.toRelease, s)
	}
}

// drop is the end of a wait.
func (r *run) drop(s *shard) {
	if s.lock == nil {
		delete(r.shards, s.name)
		return
	}
	// An attempt that had no answer may have won.
	r.turn(s, releasing)
	r.toRelease = append(r.toRelease, s)
}

// tries returns one attempt at a shard. Called with mu held.
func (r *run) tries(s *shard) func() {
	r.turn(s, acquiring)
	r.attempts++
	if s.lock == nil {
		s.lock = r.source.lock(r.group.lockName(s.name), false)
	}
	attempt := s.lock.GetLockWithContext
	if s.polls {
		attempt = s.lock.PollLock
	}
	return func() {
		ctx, cancel := lease.WithTimeout(r.ctx, r.clock, r.renewDeadline, errNoAnswer)
		defer cancel()
		held, err := attempt(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.attempts--
		r.attempted(s, held, err)
		nudge(r.kicked)
	}
}

// attempted takes in how an attempt ended. Called with mu held.
func (r *run) attempted(s *shard, held bool, err error) {
	r.turn(s, wanted)
	if held {
		s.failed, s.eager, s.polls = 0, false, false
		r.begin(s)
		return
	}
	if !s.waits() {
		r.drop(s)
		return
	}
	var refusal heldError
	switch {
	case errors.As(err, &refusal):
		s.failed = 0
		// A look, or the holder, says when to try again. Only if neither will, this goes on by
		// itself.
		if s.eager && r.uptime()-s.since < 2*r.Lease {
			s.polls = true
			r.later(s, min(max(refusal.NextPoll(), 5*time.Millisecond), r.Heartbeat))
		}
	default:
		s.failed++
		r.log(1, msgAttemptFailed, "shard", s.name, "error", textOf(err))
		r.later(s, r.backoff(s.failed))
	}
}

// backoff is the pause after so many failures in a row.
func (r *run) backoff(failures int) time.Duration {
	d := r.Heartbeat / 8
	for ; failures > 1 && d < r.Lease/2; failures-- {
		d *= 2
	}
	return d + lease.Jitter(r.clock, d)
}

// begin makes a term of a lock that was acquired, or gives it back. Called with mu held.
func (r *run) begin(s *shard) {
	var t *term
	if (s.mine || s.standIn) && r.state == serving && r.pulse != nil {
		if t = newTerm(context.WithoutCancel(r.parent), s, r.pulse, r.Replica); t.lapse() != nil {
			t.cancel(nil)
			t = nil
		}
	}
	if t == nil {
		r.turn(s, releasing)
		r.toRelease = append(r.toRelease, s)
		return
	}
	r.turn(s, leading)
	s.term, s.led = t, s.mine
	r.leading++
	if !s.mine {
		s.standIn = false
		r.surplus = append(r.surplus, s)
	}
	r.log(1, msgLeads, "shard", s.name, "fencingToken", t.token)
	r.tellLeading()
	r.works.Add(1)
	go r.work(s, t)
}

// end ends the term of a shard that is led. Called with mu held.
func (r *run) end(s *shard, cause error) {
	if s.stage != leading {
		return
	}
	r.turn(s, draining)
	s.term.ended = lease.Now(r.clock)
	r.draining[s] = true
	r.leading--
	s.term.cancel(cause)
	r.logEnd(s, causeOf(s.term.ctx))
	r.tellLeading()
	nudge(r.kicked)
}

// endAll ends all terms. Called with mu held.
func (r *run) endAll(cause error) {
	for _, s := range r.shards {
		r.end(s, cause)
	}
	r.surplus = nil
}

// finished takes in that OnStarted has returned.
func (r *run) finished(s *shard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.stage != leading {
		return
	}
	s.rest = min(max(2*s.rest, r.Heartbeat), r.Lease)
	if lease.Now(r.clock).Since(s.term.began) > 2*r.Lease {
		s.rest = r.Heartbeat
	}
	r.surplus = slices.DeleteFunc(r.surplus, func(other *shard) bool { return other == s })
	r.end(s, errReturned)
}

// returned takes in that all work of a shard has returned.
func (r *run) returned(s *shard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.stage == leading { // OnStarted has panicked
		r.end(s, errReturned)
	}
	delete(r.draining, s)
	if s.term.overdue {
		r.log(0, msgOverdueEnded, "shard", s.name)
	}
	r.turn(s, releasing)
	s.gone = r.uptime()
	r.toRelease = append(r.toRelease, s)
	nudge(r.kicked)
}

// release gives a lock back.
func (r *run) release(s *shard) {
	ctx, cancel := lease.WithTimeout(r.ctx, r.clock, r.Lease, errNoAnswer)
	err := s.lock.RemoveLockWithContext(ctx)
	cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.releases--
	r.released(s, err)
	nudge(r.kicked)
}

// released takes in how a release ended. Called with mu held.
func (r *run) released(s *shard, err error) {
	if err != nil {
		s.failed++
		r.log(0, msgNotReleased, "shard", s.name, "error", textOf(err))
		// The session keeps the lock as long as it lives, so try again; but a Run that ends leaves
		// it to the session.
		if r.state != leaving {
			s.again = true
			r.later(s, r.backoff(s.failed))
			return
		}
	}
	now := r.uptime()
	if s.term != nil && err == nil && r.moves.under {
		r.moves.released = append(r.moves.released, release{s.name, now})
		r.moves.changed, r.moves.last = true, now
		r.moves.unclaimed[s.name] = s.gone
		nudge(r.called)
		nudge(r.gone)
	}
	rest := s.rest
	if s.term != nil && !errors.Is(context.Cause(s.term.ctx), errReturned) {
		rest = 0
		if !errors.Is(context.Cause(s.term.ctx), ErrMoved) {
			rest = r.Heartbeat // its lease ran late; the next one should not begin at once
		}
	}
	r.turn(s, wanted)
	s.term, s.lock, s.failed, s.since = nil, nil, 0, now
	switch {
	case !s.mine || r.state != serving:
		delete(r.shards, s.name)
	case rest > 0:
		r.later(s, rest)
	default:
		r.try(s)
	}
}
