package lockclient

import "time"

// sessionWatch is what a process knows of a session of another's, and what it should do
// next to find out whether that is over. It is pure: it reads no clock and sends nothing.
// All waiters whose locks are held under the session share it.
//
//	             unchanged for the session's lease           the mark is confirmed,
//	┌──────────┐ ───────────────────────────────► ┌────────┐ or any read shows it    ┌──────┐
//	│ watching │                                  │ to mark├────────────────────────►│ over │
//	└───▲──┬───┘ ◄─────────────────────────────── └───▲────┘                         └──────┘
//	    │  │      refused: it has been renewed        │                                  ▲
//	    │  │ a consistent read shows no item          │ still missing a lease later      │
//	 it is  ▼                                         │                                  │
//	there ┌─────────┐                                 │                        any read shows a mark
//	again │ missing ├─────────────────────────────────┘
//	      └─────────┘
//
// A session that is over stays so: its name is never used again.
type sessionWatch struct {
	contender contender     // watches the item as it would watch a lock's
	over      bool          // it is marked: for good
	lease     time.Duration // the session's, as far as it is known
	look      time.Duration // when the next look can tell anything new
	changes   int64         // the most that any look showed
	changed   time.Duration // when the look that showed it first had arrived; before: never
	doubt     bool          // a look showed no item, and may have been stale
	missing   bool          // a consistent look showed no item,
	since     time.Duration // the first of them in a row arrived then,
	certain   time.Duration // and the latest of them was sent then
}

// before is a moment before all others.
const before = -never

// newSessionWatch begins to watch a session, whose lease is taken to be that where its item
// does not say: the one that its member's record says, or 0.
func newSessionWatch(r *rules, recorded time.Duration) sessionWatch {
	if recorded <= 0 {
		recorded = max(r.Lease, unknownLease)
	}
	return sessionWatch{contender: contender{rules: r}, lease: recorded, look: before, changed: before}
}

// sessionStep is what is to be done next to know more of a session.
type sessionStep int

const (
	sessionWait           sessionStep = iota
	sessionRead                       // look, and be content with what a replica says
	sessionReadConsistent             // look, and see the latest
	sessionMark                       // mark the item as over, on condition that it is as it was seen
	sessionMarkMissing                // create a marked item, on condition that there is none
)

// next decides what to do now.
func (s *sessionWatch) next(now time.Duration) sessionStep {
	switch {
	case s.over:
		return sessionWait
	case s.doubt:
		return sessionReadConsistent
	case s.missing && s.certain >= s.since+s.lease:
		return sessionMarkMissing
	case s.missing && now >= s.look:
		return sessionReadConsistent
	case s.missing:
		return sessionWait
	case s.contender.holderIsDead(now):
		return sessionMark
	case now >= s.look:
		return sessionRead
	default:
		return sessionWait
	}
}

// toMark is the version that a mark replaces.
func (s *sessionWatch) toMark() version { return s.contender.watch.record.version }

// noteLease takes in a lease that a member's record says. It counts, if it is longer, until
// the item says it: a session whose item is missing may be believed in for as long.
func (s *sessionWatch) noteLease(recorded time.Duration) {
	if s.contender.watch == nil {
		s.lease = max(s.lease, recorded)
	}
}

// saw takes in what a look, or the refusal of a mark, has shown.
func (s *sessionWatch) saw(found *record, l sighting, jitter jitter) {
	if s.over {
		return
	}
	s.doubt = false
	now := l.arrived.Mono
	switch found.version.dialect {
	case dialectEmpty:
		s.sawNothing(l)
	case dialectNone:
		s.look = now + s.contender.rules.poll // the item is something else
	default:
		if found.released() {
			s.hasEnded()
			return
		}
		s.missing = false
		s.contender.saw(found, l)
		s.sawChanges(found, now)
		s.look = now + s.contender.pause(now, jitter)
	}
}

func (s *sessionWatch) sawNothing(l sighting) {
	now := l.arrived.Mono
	if !l.consistent {
		s.doubt = true
		return
	}
	if !s.missing {
		s.missing, s.since = true, now
		if w := s.contender.watch; w != nil {
			s.lease = w.lease
		}
		s.contender.watch = nil
	}
	s.certain = l.sent
	s.look = min(now+s.contender.rules.poll, max(s.since+s.lease, now))
}

// sawChanges takes note of members that were let go.
func (s *sessionWatch) sawChanges(found *record, now time.Duration) {
	w := s.contender.watch
	s.lease = w.lease
	if found.version != w.record.version {
		return // an older state than is known
	}
	if s.changed == before || found.changes > s.changes {
		s.changes, s.changed = max(s.changes, found.changes), now
		if !found.releasing {
			w.announced = false // what was announced has happened
		}
	}
}

// hasEnded notes that the session is over.
func (s *sessionWatch) hasEnded() {
	s.over, s.doubt, s.missing, s.contender.watch = true, false, false, nil
}

// following is what a waiter goes by whose lock is held under a session.
type following struct {
	over      bool          // the session is over: its locks may be taken
	alive     bool          // it is this process's own
	due       bool          // a look at the session's item can tell something new
	changed   time.Duration // when it was first seen that a member was let go; before: the item was not seen yet
	pause     time.Duration // until the next look
	lease     time.Duration // the session's
	unchanged time.Duration // for how long it has been seen as it is
	version   version       // of its item; the zero value: not seen
}

// follow is what is known at this moment.
func (s *sessionWatch) follow(now time.Duration) following {
	f := following{over: s.over, changed: s.changed, lease: s.lease, due: s.next(now) != sessionWait}
	f.pause = max(s.look-now, 0)
	switch w := s.contender.watch; {
	case w != nil:
		f.version, f.unchanged = w.record.version, now-w.since
		f.pause = min(f.pause, max(w.remaining(now), 0))
	case s.missing:
		f.unchanged = now - s.since
	}
	return f
}
