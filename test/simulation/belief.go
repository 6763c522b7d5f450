package simulation

import (
	"errors"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
)

// belief is what the clients of one lock believe. The world's mu guards it.
//
// A tenure's belief is an unbroken stretch of steps: what was lost never comes back (that is checked too). So it is enough to look
// at the clients now and then: two stretches that touch are two who believed at once, whether or not anybody looked at that instant.
type belief struct {
	w         *world
	lock      int
	tenures   map[grant]*tenure
	newest    *tenure
	highest   int64 // fencing token that anybody has believed in
	disturbed map[grant]time.Duration
	led       int // the last step in which somebody believed
}

// tenure is one stretch of belief.
type tenure struct {
	grant
	last  int // the last step in which it was believed
	began time.Duration
	lost  bool // it was seen not to be believed any more
}

func newBelief(w *world, lock int) *belief {
	return &belief{w: w, lock: lock, tenures: map[grant]*tenure{}, disturbed: map[grant]time.Duration{}}
}

// disturb notes that an operator has laid hands on the record of a tenure. Its holder may believe in it until it learns of it.
func (b *belief) disturb(g *grant) {
	if _, again := b.disturbed[*g]; !again {
		b.disturbed[*g] = b.w.now()
	}
}

// excused reports whether a tenure may be believed in although it is over: an operator has ended it, and no heartbeat has told its
// holder yet, nor has its lease run out.
func (b *belief) excused(g grant) bool {
	at, disturbed := b.disturbed[g]
	if !disturbed || b.w.now() > at+g.client.plan.lease {
		return false
	}
	for _, r := range g.client.refusals {
		if r.sent >= at && r.step < b.w.step {
			return false
		}
	}
	return true
}

// believed takes in that a client has just been found to believe that it holds its lock under that token. Called with mu held.
func (w *world) believed(c *client, token int64, how string) {
	b := w.beliefs[c.plan.lock]
	g := w.grantOf(c, token)
	t := b.tenures[g]
	if t == nil {
		t = &tenure{grant: g, began: w.now()}
		b.tenures[g] = t
		w.figures.Tenures++
		w.timeline.add(w.now(), c.machine.id, c.number, "believes that it holds the lock", fmt.Sprintf("token %d, %s", token, how))
		late := token <= b.highest && b.excused(g) // its answer came after an operator had ended it and somebody else had begun
		switch {
		case late:
		case b.newest != nil && b.newest.last == w.step && !b.excused(b.newest.grant):
			w.violateLocked(c, OneBeliever, fmt.Sprintf("token %d by %s; %v has token %d", token, how, b.newest.client, b.newest.token))
		case token <= b.highest && !w.server.records[b.lock].loose:
			w.violateLocked(c, TokensRise, fmt.Sprintf("%d after %d", token, b.highest))
		}
		b.highest = max(b.highest, token)
		if !late {
			b.newest = t
		}
	}
	t.last, b.led = w.step, w.step
	holder := w.server.records[b.lock].holder
	switch {
	case b.excused(g):
	case t.lost:
		w.violateLocked(c, LostIsLost, fmt.Sprintf("token %d by %s", token, how))
	case t != b.newest:
		w.violateLocked(c, OneBeliever,
			fmt.Sprintf("token %d by %s; %v has believed in token %d since %v", token, how, b.newest.client, b.newest.token, b.newest.began))
	case holder == nil:
		w.violateLocked(c, BelieverHolds, fmt.Sprintf("the lock is free; token %d by %s", token, how))
	case *holder != g:
		w.violateLocked(c, BelieverHolds, fmt.Sprintf("token %d by %s; %v has been given token %d", token, how, holder.client, holder.token))
	}
}

// look finds out, after each event, what everybody believes who runs.
//
// To ask HasLock is to have it judge the lease, and a tenure that is found too old ends there and then. So in some runs nobody asks
// while there are faults: there the channels alone, which timers close, must tell the truth.
func (w *world) look() {
	w.mu.Lock()
	over := w.over
	w.mu.Unlock()
	if over {
		return
	}
	ask := w.plan.probing || w.isHealing()
	w.locked(w.mustBeTaken)
	for _, m := range w.machines {
		w.mu.Lock()
		asleep := m.stands() || m.down
		clients := m.clients
		w.mu.Unlock()
		if asleep {
			continue
		}
		for _, c := range clients {
			c.lookAtChannels()
			if ask {
				c.look()
			}
		}
	}
}

// waitersFor are those who, nothing going wrong, are to notice with one of their next polls that a lock was released: polls follow the
// heartbeats of the holder, or come once in a PollPeriod.
func (w *world) waitersFor(lock int, holder *client) []waiter {
	if w.now() < w.plan.faults+aftermath {
		return nil
	}
	var found []waiter
	for _, m := range w.machines {
		for _, c := range m.clients {
			if c.plan.lock == lock && c.waiting {
				pace := max(c.plan.poll, c.plan.heartbeat, holder.plan.heartbeat)
				found = append(found, waiter{client: c, wait: c.waits, until: w.now() + 2*pace + 8*m.plan.latency + 20*time.Millisecond})
			}
		}
	}
	return found
}

// mustBeTaken: a released lock that somebody waits for is not left lying. Called with mu held.
func (w *world) mustBeTaken() {
	for _, r := range w.server.records {
		for _, f := range r.free {
			if c := f.client; w.now() > f.until && c.waiting && c.waits == f.wait {
				w.violateLocked(c, Handover, fmt.Sprintf("it still waits for a lock that was released long ago, by %v at the latest it was to have it", f.until))
			}
		}
	}
}

// lookAtChannels takes a channel that is still open for a belief. Channels are closed by timers, at the end of a lease where the
// machine runs evenly, within a quarter of a heartbeat period where it has stood still or its wall clock was set.
func (c *client) lookAtChannels() {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now() < c.machine.upset+c.tick() {
		return
	}
	if c.term != nil && isOpen(c.term.ctx.Done()) {
		w.believed(c, c.term.token, "the leading context is not done")
	}
	if c.hold != nil && isOpen(c.hold.lost) {
		w.believed(c, c.hold.token, "Lost is not closed")
	}
}

// tick is how often the lease is looked at, for certain.
func (c *client) tick() time.Duration {
	return max(c.plan.heartbeat/4, 5*time.Millisecond)*102/100 + time.Millisecond
}

func isOpen(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return false
	default:
		return true
	}
}

// mustEndInTime: where the machine runs evenly no leading context outlives RenewDeadline.
func (c *client) mustEndInTime() {
	age, held := c.LeaseAge()
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	late := age - c.plan.deadline()
	if held && late > time.Millisecond && c.w.now() >= c.machine.upset+c.tick() && c.term != nil && isOpen(c.term.ctx.Done()) {
		c.w.violateLocked(c, LeadingEnds, fmt.Sprintf("the leading context is not done %v after RenewDeadline", late))
	}
}

func (c *client) look() {
	w := c.w
	c.mustEndInTime() // first: to ask for the context's Err is to end it
	w.mu.Lock()
	term := c.term
	w.mu.Unlock()
	leads := c.elector != nil && c.elector.IsLeader()
	alive := term != nil && term.ctx.Err() == nil
	held, why := c.HasLock()
	token, _ := c.FencingToken()

	w.mu.Lock()
	defer w.mu.Unlock()
	if held {
		w.believed(c, token, "HasLock")
	}
	if alive {
		w.believed(c, term.token, "leading context")
	}
	if leads && !held {
		w.violateLocked(c, LeaderHolds, "IsLeader without the lock")
	}
	if !held {
		c.lost(why)
	}
}

// mustHaveTriedTwice: one failed heartbeat costs no lock, where there was time for another. Called with mu held.
func (c *client) mustHaveTriedTwice(t *tenure) {
	since := max(c.ackedAt, t.began, c.machine.upset)
	if c.w.now()-since < c.plan.lease*6/10 || c.lax == t.token || c.plan.elector && (c.term == nil || !isOpen(c.term.ctx.Done())) {
		return
	}
	if tries := c.sent[heartbeat] - c.acked; tries < 2 {
		c.w.violateLocked(c, LossHasReason, fmt.Sprintf("token %d ran out after %d heartbeats since %v", t.token, tries, since))
	}
}

// lost takes in that the client has been found not to hold its lock, and why it says that is. Called with mu held.
func (c *client) lost(why error) {
	b := c.w.beliefs[c.plan.lock]
	t := b.newest
	if t == nil || t.client != c || t.lost {
		return
	}
	t.lost = true
	if c.w.plan.probing && errors.Is(why, lockclient.ErrLeaseExpired) { // else nobody knows when it was lost
		c.mustHaveTriedTwice(t)
	}
	if holder := c.w.server.records[b.lock].holder; holder != nil && *holder == t.grant && errors.Is(why, lockclient.ErrLockLost) {
		c.w.violateLocked(c, LossHasReason, fmt.Sprintf("token %d is called lost, and stands in the record: %v", t.token, why))
	}
}
