package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
)

// Sessions are in a quarter of all runs. There, most machines' processes have one, most of their
// clients are its members, and the others are plain clients of the same locks.

// sessionPlan is the session that each process of a machine has.
type sessionPlan struct {
	lease, heartbeat time.Duration
}

// planSessions gives machines sessions, and clients of more locks.
func (p *plan) planSessions(d *rand.Rand) {
	if d.IntN(4) > 0 {
		return
	}
	p.sessions = true
	p.locks = 2 + d.IntN(2)
	for id := range p.machines {
		m := &p.machines[id]
		if d.IntN(4) > 0 {
			s := &sessionPlan{lease: []time.Duration{p.lease, p.lease, p.lease / 2, p.lease * 2}[d.IntN(4)]}
			s.heartbeat = s.lease / []time.Duration{2, 3, 3, 4}[d.IntN(4)]
			s.heartbeat, m.session = s.heartbeat.Truncate(time.Millisecond), s
		}
		for lock := range p.locks {
			if !m.wants(lock) && d.IntN(5) > 0 {
				m.clients = append(m.clients, p.client(d, lock))
			}
		}
		for i := range m.clients {
			if c := &m.clients[i]; m.session != nil && d.IntN(4) > 0 {
				c.join(d, m.session)
			}
		}
		p.sessionEvents(d, id)
	}
	p.everyLockIsWanted(d)
}

func (m *machinePlan) wants(lock int) bool {
	return slices.ContainsFunc(m.clients, func(c clientPlan) bool { return c.lock == lock })
}

// join makes the client a member.
func (c *clientPlan) join(d *rand.Rand, s *sessionPlan) {
	*c = clientPlan{
		lock: c.lock, elector: c.elector, member: true, lease: s.lease, heartbeat: s.heartbeat, poll: c.poll, deleteOnRelease: c.deleteOnRelease,
		ttl: c.ttl, tries: c.tries, stamps: c.stamps, crowd: c.crowd, maxClockSkew: c.maxClockSkew,
	}
	if c.elector {
		c.planElector(d)
	}
}

// sessionEvents are the ends that a machine's sessions come to, besides those of its processes.
func (p *plan) sessionEvents(d *rand.Rand, id int) {
	if p.machines[id].session == nil {
		return
	}
	for _, kind := range []fault{sessionClosed, sessionDeleted} {
		if d.IntN(3) == 0 {
			p.events = append(p.events, plannedEvent{at: p.moment(d), kind: kind, machine: id, lasts: between(d, time.Millisecond, 3*p.lease)})
		}
	}
	if d.IntN(3) == 0 {
		p.closesLast = append(p.closesLast, id)
	}
}

// seenSession is what the eye knows of a session.
type seenSession struct {
	owner   *process
	serial  int // among the sessions of its process
	key     string
	item    item
	past    [][]byte
	marked  bool              // it is over, for good
	deleted bool              // by an operator
	sent    map[sentTo]uint64 // requests
}

// sentTo counts the requests of a client about one session.
type sentTo struct {
	client int
	kind   kind
}

// id is what tells the session from all others, in every run of the seed.
func (s *seenSession) id() uint64 { return s.owner.key()<<16 | uint64(s.serial) }

const sessionPrefix = "leaderkit/session/"

// sessionOf is the session that a request is about. Called with mu held.
func (c *client) sessionOf(body []byte) *seenSession {
	_, rest, found := bytes.Cut(body, []byte(`"Key":{"key":{"S":"`+sessionPrefix))
	if !found {
		return nil
	}
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	name := sessionPrefix + string(id)
	s := c.w.sessions[name]
	if s == nil {
		s = &seenSession{owner: c.process, serial: c.process.opened, key: name, sent: map[sentTo]uint64{}}
		c.process.opened++
		c.w.sessions[name] = s
		c.w.inOrder = append(c.w.inOrder, s)
	}
	return s
}

// sessionKind says what a request about a session's item is for.
func sessionKind(operation string, body []byte) kind {
	has := func(name string) bool { return bytes.Contains(body, []byte(name)) }
	switch {
	case operation == "GetItem":
		return sessionLook
	case has("heartbeatPeriod"):
		return sessionOpen
	case !has("ownerName"):
		return sessionMark
	case has("expiresAt"):
		return sessionBeat
	case has("changes"):
		return sessionTell
	case has("isReleasing"):
		return sessionTell
	default:
		return sessionClose
	}
}

// sessionWritten looks at what a write of a session's item has done.
func (s *server) sessionWritten(x *call) {
	r, was := x.session, x.session.item
	r.item = s.read(r.key, &r.past)
	own := x.client.process == r.owner
	violate := func(i Invariant, format string, args ...any) {
		s.w.violateLocked(x.client, i, fmt.Sprintf("%v #%d: ", x.kind, x.number)+fmt.Sprintf(format, args...))
	}
	switch {
	case r.marked && r.item.exists && !r.item.released:
		violate(MarkIsFinal, "a session that was over lives again")
	case r.marked && r.item != was:
		violate(MarkIsFinal, "it is carried out on a session that is over")
	}
	switch x.kind {
	case sessionOpen, sessionBeat, sessionTell, sessionClose:
		if !own {
			violate(OwnRecordOnly, "on a session of another process")
		}
	case sessionMark:
		if was.exists && !(bytes.Contains(x.body, []byte(`"`+was.version+`"`)) && bytes.Contains(x.body, []byte(`"`+was.count+`"`))) {
			violate(TakeoverNames, "it has marked version %q (count %q), and did not name it", was.version, was.count)
		}
	}
	if x.kind == sessionTell && (was.version != r.item.version || was.released != r.item.released) {
		violate(OwnRecordOnly, "it has changed the version")
	}
	if x.kind == sessionOpen {
		x.note("opens a session")
		s.w.figures.Sessions++
	}
	if r.item.released && !r.marked {
		r.marked = true
		x.note("marks a session as over")
		if x.kind == sessionMark {
			s.w.figures.SessionsMarked++
		}
		s.sessionIsOver(r, x.kind == sessionClose)
	}
}

// sessionIsOver: its locks are free, which those who wait for them are to notice soon.
func (s *server) sessionIsOver(r *seenSession, closed bool) {
	for _, l := range s.records {
		if l.holder != nil && s.w.memberOf[*l.holder] == r && closed {
			l.free = s.w.waitersFor(l.lock, l.holder.client)
		}
	}
}

// mustBeOver: a member is taken only when its session is over, or by its own process.
func (s *server) mustBeOver(x *call, r *record, old item) {
	if !old.exists || old.released || r.holder == nil || r.holder.client.process == x.client.process {
		return
	}
	if session := s.w.memberOf[*r.holder]; session != nil && !session.marked {
		s.w.violateLocked(x.client, SessionFirst, fmt.Sprintf("it has taken %s from %v, whose session is not over", lockName(r.lock), r.holder.client))
	}
}

// mustNotBeOver: nobody believes in a member whose session is over, or whose process has given it
// up for another one. Called with mu held.
func (w *world) mustNotBeOver(c *client, g grant, how string) {
	switch s := w.memberOf[g]; {
	case s == nil:
	case s.marked:
		w.violateLocked(c, BelieverHolds, fmt.Sprintf("its session is over; token %d by %s", g.token, how))
	case s.serial < s.owner.opened-1:
		w.violateLocked(c, BelieverHolds, fmt.Sprintf("its process has opened another session since; token %d by %s", g.token, how))
	}
}

// lookAtSession finds out whether a process believes in a session that is over.
func (w *world) lookAtSession(p *process) {
	if p == nil || p.session == nil {
		return
	}
	name := p.session.Name()
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.sessions[name]; s != nil && s.marked {
		w.violateLocked(p.keeper, BelieverHolds, "its session is over, and it goes by it")
	}
}

// deleteSession has an operator delete the item of the process's present session. Called with mu
// held.
func (s *server) deleteSession(p *process) {
	for _, r := range slices.Backward(s.w.inOrder) {
		if r.owner != p {
			continue
		}
		if !r.item.exists || r.marked {
			return
		}
		s.must("DeleteItem", `{"TableName":"`+lockTable+`","Key":{"key":{"S":"`+r.key+`"}}}`)
		r.item, r.deleted = s.read(r.key, &r.past), true
		s.w.figures.Faults[sessionDeleted]++
		s.w.timeline.add(s.w.now(), -1, -1, "operator: "+sessionDeleted.String(), p.keeper.String())
		return
	}
}

// newSession makes the session of a process, if it has one, and the client that stands for it in
// the eye's account, and for all who follow others' sessions.
func (p *process) newSession(plan *sessionPlan) {
	w := p.w
	c := &client{process: p, slot: 255, number: len(w.clients), plan: clientPlan{lock: -1, lease: w.plan.lease}, serials: map[int64]int{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	p.keeper = c
	if plan == nil {
		w.clients = append(w.clients, c)
		return
	}
	c.plan.lease, c.plan.heartbeat = plan.lease, plan.heartbeat
	c.api = newAPI(&transport{process: p})
	p.session = &lockclient.Session{
		TableName: lockTable, Client: c.api, LeaseDuration: plan.lease, HeartbeatPeriod: plan.heartbeat, Identifier: c.identifier(), Clock: view{p},
	}
	w.clients = append(w.clients, c)
	c.noteLocked("starts", fmt.Sprintf("session, lease %v, heartbeat %v", plan.lease, plan.heartbeat))
}

// keep is the life of a session: it is closed when all else of its process has ended.
func (c *client) keep() {
	defer c.ended.Done()
	<-c.ctx.Done()
	for _, member := range c.clients {
		member.ended.Wait()
	}
	ctx, cancel := c.within(context.Background(), c.plan.lease)
	defer cancel()
	_ = c.session.Close(ctx)
}

// waitForEnds has the session wait for the end of others now and then.
func (c *client) waitForEnds() {
	defer c.ended.Done()
	for {
		d := c.luck()
		if !c.sleep(c.ctx, between(d, c.plan.lease/2, 10*c.plan.lease)) {
			return
		}
		var chosen *seenSession
		c.w.locked(func() {
			if n := len(c.w.inOrder); n > 0 {
				chosen = c.w.inOrder[d.IntN(n)]
			}
		})
		if chosen == nil {
			continue
		}
		ctx, cancel := c.within(c.ctx, between(d, c.plan.lease, 5*c.plan.lease))
		err := c.session.WaitForEnd(ctx, chosen.key)
		cancel()
		c.mustBeTransient(err)
		c.w.mu.Lock()
		if err == nil && !chosen.marked && chosen.owner != c.process {
			c.w.violateLocked(c, SessionFirst, "WaitForEnd has returned, and the session is not over")
		}
		c.w.mu.Unlock()
	}
}

// close has the process close its session, and end. Called with mu held.
func (m *machine) close(down time.Duration) {
	p := m.process
	if m.down || m.stands() || p == nil || p.session == nil || p.closing {
		return
	}
	m.w.figures.Faults[sessionClosed]++
	m.note("closes its session and ends", "")
	p.closing = true
	go func() {
		c := p.keeper
		ctx, cancel := c.within(c.ctx, 2*c.plan.lease)
		defer cancel()
		if down%2 == 0 {
			_ = p.session.AnnounceClose(ctx)
		}
		err := p.session.Close(ctx)
		for _, member := range p.clients {
			if held, _ := member.HasLock(); member.plan.member && held && !p.frozenNow() {
				m.w.violate(member, BelieverHolds, fmt.Sprintf("its session was closed (%v)", err))
			}
		}
		m.w.locked(func() {
			if m.process == p && !p.dead && !m.w.over && c.ctx.Err() == nil {
				m.crash(down)
			}
		})
	}()
}

func (p *process) frozenNow() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.frozen()
}

// isClosed reports whether an error is what a member is told whose process has closed its session.
func (c *client) isClosed(err error) bool {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.process.closing && errors.Is(err, lockclient.ErrSessionClosed) || c.ctx.Err() != nil
}

// endsWithSession reports whether a tenure is that of a member whose session ends for a reason: its
// process closes it, or an operator has deleted its item. Called with mu held.
func (c *client) endsWithSession(token int64) bool {
	s := c.w.memberOf[c.w.grantOf(c, token)]
	return c.plan.member && (c.process.closing || s != nil && s.deleted)
}

// closeLast has some processes close their sessions when the faults are over.
func (w *world) closeLast() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, id := range w.plan.closesLast {
		d := dice(w.seed, forSessions, uint64(n)+1)
		w.at(w.now()+time.Duration(d.Int64N(int64(w.plan.lease))), id, func() {
			w.locked(func() { w.machines[id].close(between(d, time.Millisecond, w.plan.lease)) })
		})
	}
}

// sessionNamed is the session that an acquire names. Called with mu held.
func (w *world) sessionNamed(body []byte) *seenSession {
	_, rest, _ := bytes.Cut(body, []byte(`"`+sessionPrefix))
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	s := w.sessions[sessionPrefix+string(id)]
	if s == nil {
		panic(fmt.Sprintf("simulation: a member of which session? %s", body))
	}
	return s
}
