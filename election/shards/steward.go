package shards

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// household is what the steward keeps. It belongs to its goroutine.
type household struct {
	candidate lock              // what may become the pulse; nil: none
	id        string            // of the member that it is the lock of
	earlier   string            // the id before that, whose entry is still there; "": none
	written   member            // the entry, as it was written last; the zero member: there is none
	watches   map[string]func() // ends the watch of a member
	suspected map[string]time.Duration
	deleted   time.Duration // when the entry was last found deleted; 0: it was not
	failures  int           // cycles in a row that failed
}

// steward sees to the group's item: it joins, reads it once a heartbeat, and leaves when all else
// is done.
func (r *run) steward() {
	h := &household{watches: map[string]func(){}, suspected: map[string]time.Duration{}}
	for !isClosed(r.done) {
		pause, err := r.cycle(h)
		if err != nil {
			h.failures++
			pause = min(r.backoff(h.failures), r.Heartbeat)
			r.failed(err, h.failures)
		} else {
			h.failures = 0
		}
		rings, stop := lease.Alarm(r.clock, pause)
		select {
		case <-rings:
		case <-r.nudged:
		case <-r.done:
		}
		stop()
	}
	for _, end := range h.watches {
		end()
	}
	r.farewell(h)
}

// cycle is one round of the steward, and says how long to pause.
func (r *run) cycle(h *household) (pause time.Duration, err error) {
	r.mu.Lock()
	pulse, state := r.pulse, r.state
	r.mu.Unlock()
	switch {
	case pulse == nil && state == leaving:
		return r.Heartbeat, nil
	case pulse == nil:
		if err := r.join(h); err != nil {
			return 0, err
		}
	}
	unwritten := r.writeEntry(h, state == leaving)
	if unwritten != nil && h.written == (member{}) {
		return 0, unwritten
	}
	// A member whose entry can't be changed still has to know who is there.
	if err := r.readRoster(h); err != nil {
		return 0, errors.Join(unwritten, err)
	}
	r.watchOthers(h)
	r.review()
	if err := r.look(); err != nil {
		return 0, errors.Join(unwritten, err)
	}
	return r.nextRead(h), unwritten
}

// join takes the lock that this member holds as long as it lives, under a new id.
func (r *run) join(h *household) error {
	if h.candidate == nil {
		id, err := r.source.newID()
		if err != nil {
			return err
		}
		if h.written != (member{}) {
			h.earlier = h.id
		}
		h.id, h.written = id, member{}
		h.candidate = r.source.lock(r.group.memberLock(h.id), true)
	}
	ctx, cancel := lease.WithTimeout(r.ctx, r.clock, r.renewDeadline, errNoAnswer)
	defer cancel()
	if held, err := h.candidate.GetLockWithContext(ctx); !held {
		if err == nil {
			err = errors.New("not held")
		}
		return err
	}
	r.heardOf()
	pulse := h.candidate
	h.candidate = nil
	r.mu.Lock()
	defer r.mu.Unlock()
	r.id, r.pulse, r.joined = h.id, pulse, r.uptime()
	r.helpers.Go(func() { r.guard(pulse) })
	return nil
}

// entry is what this member writes of itself.
func (r *run) entry(leaves bool) member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return member{identity: r.source.identity(), weight: r.weight, plan: r.plan, period: r.Heartbeat, leaving: leaves, leads: r.leads()}
}

// writeEntry writes this member's entry if it has changed.
func (r *run) writeEntry(h *household, leaves bool) error {
	m := r.entry(leaves)
	switch {
	case m == h.written:
		return nil
	case h.written == member{}:
		if err := r.group.enter(r.ctx, h.id, m, h.earlier); err != nil {
			return err
		}
		r.log(0, msgJoined, "member", h.id)
		h.earlier = ""
	default:
		if err := r.group.change(r.ctx, h.id, m); err != nil {
			return err
		}
	}
	h.written = m
	if leaves {
		r.mu.Lock()
		r.moves.left = r.uptime()
		r.mu.Unlock()
		nudge(r.kicked)
	}
	return nil
}

// readRoster reads the group's item. A read may lag behind an earlier one, and behind this member's
// own writes: then it is repeated as one that does not.
func (r *run) readRoster(h *household) error {
	roster, err := r.group.read(r.ctx, false)
	if err != nil {
		return err
	}
	r.mu.Lock()
	known := r.roster.changes
	r.mu.Unlock()
	own, listed := roster.members[h.id]
	if roster.changes < known || !listed || own != h.written {
		if roster, err = r.group.read(r.ctx, true); err != nil {
			return err
		}
	}
	r.heardOf()
	r.mu.Lock()
	defer r.mu.Unlock()
	if own, listed := roster.members[h.id]; listed {
		h.written = own
	} else {
		r.deleted(h)
	}
	for id := range roster.members {
		if _, known := r.roster.members[id]; !known {
			r.moves.seen = r.uptime() // it needs a heartbeat until it waits for shards
		}
	}
	r.roster = roster
	r.exhume(h)
	// It serves a heartbeat after it has joined. So replicas that join together see each other
	// before they lead anything.
	if r.state == joining && r.uptime()-r.joined >= r.Heartbeat {
		r.state = serving
	}
	nudge(r.kicked)
	return nil
}

// exhume forgets dead members that are no longer listed. If one is still listed two leases later,
// it either runs and has written its entry again, or could not be removed: it is watched again.
// Called with mu held.
func (r *run) exhume(h *household) {
	for id, since := range r.buried {
		_, listed := r.roster.members[id]
		if listed && r.uptime()-since < 2*r.Lease {
			continue
		}
		delete(r.buried, id)
		if end := h.watches[id]; end != nil {
			end()
			delete(h.watches, id)
		}
	}
}

// deleted takes in that this member's entry was deleted: it is written again. If that happens
// twice, the others count the member as dead, because the lock that it holds was deleted too. Then
// it joins under another id. It goes on leading its shards, under the lease of the session. Called
// with mu held.
func (r *run) deleted(h *household) {
	now := r.uptime()
	h.written = member{}
	if h.deleted > 0 && now-h.deleted < 2*r.Lease && r.state != leaving {
		r.pulse, r.id, h.deleted = nil, "", 0
	} else {
		h.deleted = now
	}
	nudge(r.nudged)
}

// watchOthers begins and ends watches. That of a member that has died goes on until the member is
// removed from the group's item.
func (r *run) watchOthers(h *household) {
	r.mu.Lock()
	roster, buried := r.roster, maps.Clone(r.buried)
	r.mu.Unlock()
	living := slices.DeleteFunc(slices.Collect(maps.Keys(roster.members)), buried.has)
	watched := watched(living, h.id, func(id string) bool { _, suspected := roster.suspects[id]; return suspected })
	for id, end := range h.watches {
		if !slices.Contains(watched, id) && !buried.has(id) {
			end()
			delete(h.watches, id)
		}
	}
	for _, id := range watched {
		if h.watches[id] == nil {
			ctx, cancel := context.WithCancel(r.ctx)
			h.watches[id] = cancel
			m := roster.members[id]
			r.helpers.Go(func() { r.watch(ctx, id, m) })
		}
	}
}

// nextRead is the pause until the next read: a heartbeat, or less if a member is suspected to be
// dead.
func (r *run) nextRead(h *household) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.uptime()
	maps.DeleteFunc(h.suspected, func(id string, _ time.Duration) bool { _, still := r.roster.suspects[id]; return !still })
	closely := false
	for id := range r.roster.suspects {
		since, known := h.suspected[id]
		if !known {
			since = now
			h.suspected[id] = now
		}
		closely = closely || now-since < 2*r.Lease // a member that is alive after that was suspected by one that can't withdraw it
	}
	if closely {
		return min(max(r.Lease/60, 25*time.Millisecond), 250*time.Millisecond)
	}
	return r.Heartbeat
}

// stubborn is how many shards that stay held are polled in one cycle.
const stubborn = 64

// look finds out which of the wanted shards are free, and which members are moving shards. Shards
// that stay held are polled, as a waiter does: their holder may have crashed without being a
// member.
func (r *run) look() error {
	r.mu.Lock()
	now := r.uptime()
	patience := r.Lease + 2*r.notice()
	var names, held []string
	for name, s := range r.shards {
		switch {
		case s.standIn && s.stage == wanted && now-s.since > patience:
			s.standIn = false
			r.drop(s)
		case s.waits() && !s.queued && s.until <= now:
			names = append(names, name)
		}
	}
	var others []string
	for id := range r.roster.members {
		if id != r.id {
			others = append(others, id)
		}
	}
	r.mu.Unlock()
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	if err := r.lookAround(others); err != nil {
		return err
	}
	for chunk := range slices.Chunk(names, batch) {
		free, err := r.group.free(r.ctx, chunk)
		if err != nil {
			return err
		}
		r.mu.Lock()
		for _, name := range chunk {
			s := r.shards[name]
			switch {
			case s == nil:
			case free[name]:
				r.try(s)
			case now-s.since > patience:
				held = append(held, name)
			}
		}
		r.mu.Unlock()
	}
	for i := len(held) - 1; i > 0; i-- { // shuffled, so that none is left out for long
		j := int(lease.Jitter(r.clock, time.Duration(i)))
		held[i], held[j] = held[j], held[i]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range held[:min(len(held), stubborn)] {
		if s := r.shards[name]; s != nil {
			s.polls = true
			r.try(s)
		}
	}
	return nil
}

// lookAround finds out which members are moving shards.
func (r *run) lookAround(others []string) error {
	handovers, err := r.group.handovers(r.ctx, others)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(handovers)) {
		r.hear(id, handovers[id])
	}
	if len(r.movers) > 0 {
		nudge(r.alerted)
	}
	return nil
}

// failed takes in a cycle that has failed.
func (r *run) failed(err error, failures int) {
	if r.ctx.Err() != nil {
		return
	}
	permanent := isPermanent(err)
	r.mu.Lock()
	first := !r.answered
	was := r.trouble
	if permanent {
		r.trouble = err
	}
	r.mu.Unlock()
	switch {
	case permanent && first:
		r.leave(err)
	case permanent && was == nil:
		r.alert(err, msgCannotServe)
	case failures == 2:
		r.log(0, msgUnreachable, "error", textOf(err))
	default:
		r.log(1, msgFailed, "error", textOf(err))
	}
}

// farewell takes this member out of the group, as far as the store allows.
func (r *run) farewell(h *household) {
	ctx, cancel := lease.WithTimeout(r.ctx, r.clock, r.Heartbeat, errNoAnswer)
	defer cancel()
	r.mu.Lock()
	pulse, announced := r.pulse, r.announced
	r.mu.Unlock()
	if pulse == nil {
		pulse = h.candidate
	}
	if announced {
		lease.Sleep(ctx, r.clock, 4*listenPeriod) // until all that listen have read the last release
	}
	var failed []error
	if h.earlier != "" {
		failed = append(failed, r.group.remove(ctx, h.earlier))
	}
	if h.written != (member{}) {
		failed = append(failed, r.group.remove(ctx, h.id))
	}
	if announced {
		failed = append(failed, r.group.forget(ctx, h.id))
	}
	if pulse != nil {
		failed = append(failed, pulse.RemoveLockWithContext(ctx))
	}
	if err := errors.Join(failed...); err != nil {
		r.log(0, msgNotLeft, "error", textOf(err))
		return
	}
	r.log(0, msgLeft)
}
