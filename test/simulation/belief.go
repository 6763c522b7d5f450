package simulation

import (
	"errors"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
)

// belief is what the clients of one lock believe. The world's mu guards it.
//
// A tenure's belief is an unbroken stretch of steps: what was lost never comes back (that is
// checked too). So it is enough to look at the clients now and then: two stretches that touch are
// two who believed at once, whether or not anybody looked at that instant.
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

// disturb notes that an operator has laid hands on the record of a tenure. Its holder may believe
// in it until it learns of it.
func (b *belief) disturb(g *grant) {
	if _, again := b.disturbed[*g]; !again {
		b.disturbed[*g] = b.w.now()
	}
}

// excused reports whether a tenure may be believed in although it is over: an operator has ended
// it, and no heartbeat has told its holder yet, nor has its lease run out.
func (b *belief) excused(g grant) bool {
	at, disturbed := b.disturbed[g]
	if disturbed && g.client.plan.member {
		return true // it reads its record only when it acts on it
	}
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

// believed takes in that a client has just been found to believe that it holds its lock under that
// token. Called with mu held.
func (w *world) believed(c *client, token int64, how string) {
	b := w.beliefs[c.plan.lock]
	g := w.grantOf(c, token)
	t := b.tenures[g]
	if t == nil {
		t = &tenure{grant: g, began: w.now()}
		b.tenures[g] = t
		w.figures.Tenures++
		w.timeline.add(w.now(), c.machine.id, c.number, "believes that it holds the lock", fmt.Sprintf("token %d, %s", token, how))
		// The tenures of other makes have numbers, and no fencing tokens.
		// Its answer came after an operator had ended it and somebody else had begun.
		later := token <= b.highest || b.newest != nil && b.newest.client.plan.stranger
		late := !c.plan.stranger && later && b.excused(g)
		switch {
		case late:
		case b.newest != nil && b.newest.last == w.step && !b.excused(b.newest.grant):
			w.violateLocked(c, OneBeliever, fmt.Sprintf("token %d by %s; %v has token %d", token, how, b.newest.client, b.newest.token))
		case !c.plan.stranger && token <= b.highest && !w.server.records[b.lock].loose:
			w.violateLocked(c, TokensRise, fmt.Sprintf("%d after %d", token, b.highest))
		}
		if !c.plan.stranger {
			b.highest = max(b.highest, token)
		}
		if !late {
			b.newest = t
		}
	}
	t.last, b.led = w.step, w.step
	w.mustNotBeOver(c, g, how)
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
// To ask HasLock is to have it judge the lease, and a tenure that is found too old ends there and
// then. So in some runs nobody asks while there are faults: there the channels alone, which timers
// close, must tell the truth.
func (w *world) look() {
	w.mu.Lock()
	over := w.over
	w.mu.Unlock()
	if over {
		return
	}
	ask := w.plan.probing || w.isHealing()
	w.locked(w.mustBeTaken)
	if w.stranger != nil {
		w.locked(w.stranger.look)
	}
	for _, m := range w.machines {
		w.mu.Lock()
		asleep := m.stands() || m.down
		clients, process := m.clients, m.process
		w.mu.Unlock()
		if asleep {
			continue
		}
		if ask {
			w.lookAtSession(process)
		}
		for _, c := range clients {
			c.noteEnd()
			c.lookAtChannels()
			if ask {
				c.look()
			}
		}
	}
}

// waitersFor are those who, nothing going wrong, are to notice with one of their next polls that a
// lock was released: polls follow the heartbeats of the holder, or come once in a PollPeriod.
func (w *world) waitersFor(lock int, holder *client) []waiter {
	if w.now() < w.plan.faults+aftermath {
		return nil
	}
	var found []waiter
	for _, m := range w.machines {
		for _, c := range m.clients {
			if c.plan.lock == lock && c.waiting {
				pace := max(c.plan.poll, c.plan.heartbeat, holder.plan.heartbeat)
				if s := holder.machine.plan.session; s != nil { // its heartbeat tells of a member's release
					pace = max(pace, s.heartbeat)
				}
				followed := w.lostSessionOf(holder)
				found = append(found, waiter{client: c, wait: c.waits, until: w.now() + followed + 2*pace + 8*m.plan.latency + 20*time.Millisecond})
			}
		}
	}
	return found
}

// lostSessionOf is for how long a waiter may go on following a session that the holder's process
// had before, and lost: nothing tells of what is released after that, and the waiter watches the
// session for its lease.
func (w *world) lostSessionOf(holder *client) time.Duration {
	opened := 0
	for _, s := range w.inOrder {
		if s.owner == holder.process {
			opened++
		}
	}
	if opened < 2 {
		return 0
	}
	return holder.machine.plan.session.lease*102/100 + 2*holder.machine.plan.session.heartbeat
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

// lookAtChannels takes a channel that is still open for a belief. Channels are closed by timers, at
// the end of a lease where the machine runs evenly, within a quarter of a heartbeat period where it
// has stood still or its wall clock was set.
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

// slack is how late a timer may be after that. Where the wall clock has been set forward by less
// than a 32nd of a heartbeat period, the lock looks at nothing but that it was less.
func (c *client) slack() time.Duration {
	if c.machine.upset == 0 {
		return time.Millisecond
	}
	return time.Millisecond + c.plan.heartbeat/32
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
	if held && late > c.slack() && c.w.now() >= c.machine.upset+c.tick() && c.term != nil && isOpen(c.term.ctx.Done()) {
		c.w.violateLocked(c, LeadingEnds, fmt.Sprintf("the leading context is not done %v after RenewDeadline", late))
	}
}

// mustWarn: where the machine runs evenly, who waits for Aging is told when a renewal is late.
func (c *client) mustWarn() {
	c.w.mu.Lock()
	hold := c.hold
	c.w.mu.Unlock()
	if hold == nil {
		return
	}
	age, held := c.LeaseAge()
	if !isOpen(hold.aging) {
		hold.aging = c.Aging() // for the next warning
		return
	}
	token, _ := c.FencingToken()
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	warned := (c.plan.heartbeat + c.plan.lease/100*99) / 2
	if held && token == hold.token && age > warned+c.slack() && c.w.now() >= c.machine.upset+c.tick() {
		c.w.violateLocked(c, AgingWarns, fmt.Sprintf("no warning %v after it was due", age-warned))
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
	if c.news != nil && c.ctx.Err() == nil {
		c.news.look()
	}
	c.mustWarn()

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

// mustHaveTriedTwice: one failed heartbeat costs no lock, where there was time for another. Called
// with mu held.
func (c *client) mustHaveTriedTwice(t *tenure) {
	since := max(c.ackedAt, t.began, c.machine.upset)
	if c.plan.member || c.w.now()-since < c.plan.lease*6/10 || c.lax == t.token || c.plan.elector && (c.term == nil || !isOpen(c.term.ctx.Done())) {
		return
	}
	if tries := c.sent[heartbeat] - c.acked; tries < 2 {
		c.w.violateLocked(c, LossHasReason, fmt.Sprintf("token %d ran out after %d heartbeats since %v", t.token, tries, since))
	}
}

// lost takes in that the client has been found not to hold its lock, and why it says that is.
// Called with mu held.
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
	if s := c.w.memberOf[t.grant]; s != nil && (s.marked || !s.item.exists) {
		return // it was lost with its session
	}
	if holder := c.w.server.records[b.lock].holder; holder != nil && *holder == t.grant && errors.Is(why, lockclient.ErrLockLost) {
		c.w.violateLocked(c, LossHasReason, fmt.Sprintf("token %d is called lost, and stands in the record: %v", t.token, why))
	}
}
