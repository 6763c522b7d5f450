package simulation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/election"
)

// termSeen is a term as the work sees it.
type termSeen struct {
	ctx   context.Context
	token int64
	began time.Duration
	step  int

	ended   time.Duration // when it was first seen to be over; 0: it was not
	expired bool          // because the lease was not renewed
}

// noteEnd takes note of the end of a term.
func (c *client) noteEnd() {
	c.w.mu.Lock()
	t := c.term
	c.w.mu.Unlock()
	if t == nil || t.ended > 0 || isOpen(t.ctx.Done()) {
		return
	}
	t.ended, t.expired = c.w.now(), errors.Is(context.Cause(t.ctx), election.ErrLeaseExpired)
}

// newElector makes an elector of a client.
func (c *client) newElector() {
	p := c.plan
	d := dice(c.w.seed, forElector, c.key())
	c.news = &news{c: c}
	var err error
	c.elector, err = election.NewLeaderElector(election.LeaderElectionConfig{
		Lock:            c.DynamoDBLockClient,
		RenewDeadline:   p.renewDeadline,
		RetryPeriod:     p.retryPeriod,
		DrainTimeout:    p.drainTimeout,
		JitterFactor:    p.jitter,
		ReleaseOnCancel: p.releaseOnCancel,
		OneTerm:         p.oneTerm,
		HandoverNotice:  p.notice,
		Callbacks:       election.LeaderCallbacks{OnStartedLeading: c.lead, OnStoppedLeading: c.stoppedLeading, OnNewLeader: c.news.heard},
		Clock:           view{c.process},
		Rand:            d.Float64,
	})
	if err != nil {
		panic(fmt.Sprintf("simulation: seed %d plans an elector that is refused: %v", c.w.seed, err))
	}
	c.news.changes = c.elector.Observe(c.ctx)
}

// news is what an elector tells of who leads.
type news struct {
	c        *client
	changes  <-chan election.Leader // Observe's
	observed election.Leader        // the latest that came of it

	// Guarded by the world's mu:
	names   []string      // that OnNewLeader has told
	stopped time.Duration // when OnStoppedLeading was last called
}

// heard is OnNewLeader.
func (n *news) heard(identity string) {
	w := n.c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := len(n.names); k > 0 && n.names[k-1] == identity {
		w.violateLocked(n.c, NewsInOrder, fmt.Sprintf("OnNewLeader(%q) twice in a row", identity))
	}
	n.names = append(n.names, identity)
}

// look compares the three ways in which the elector reports the leader. The looks before this one
// may have ended a term, and the elector then writes at the same time. So both are read until none
// has changed meanwhile.
func (n *news) look() {
	c := n.c
	leader := ""
	for more := true; more; {
		leader = c.elector.GetLeader()
		select {
		case n.observed = <-n.changes:
		default:
			more = false
		}
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	last := ""
	if k := len(n.names); k > 0 {
		last = n.names[k-1]
	}
	switch {
	case leader != n.observed.Identity:
		c.w.violateLocked(c, NewsInOrder, fmt.Sprintf("GetLeader is %q, and Observe's latest %q", leader, n.observed.Identity))
	case leader != "" && leader != last:
		c.w.violateLocked(c, NewsInOrder, fmt.Sprintf("GetLeader is %q, and OnNewLeader has told of %q", leader, last))
	case n.observed.Self && c.term == nil && !c.working && c.w.now()-max(n.stopped, c.machine.upset) > c.plan.lease+time.Second:
		c.w.violateLocked(c, NewsInOrder, "it names itself long after its term")
	}
}

// campaign is the life of a client that is an elector.
func (c *client) campaign() {
	defer c.ended.Done()
	defer func() { _ = c.RemoveLock() }()
	for c.ctx.Err() == nil {
		err := c.elector.Run(c.ctx)
		c.mustBeTransient(err)
		if c.ctx.Err() == nil && !c.plan.oneTerm && !c.isClosed(err) {
			c.w.violate(c, FaultsPass, fmt.Sprintf("Run has given up: %v", err))
		}
		c.sleep(c.ctx, c.plan.heartbeat)
	}
}

// resigns has the elector resign now and then.
func (c *client) resigns() {
	defer c.ended.Done()
	for {
		d := c.luck()
		if !c.sleep(c.ctx, between(d, c.plan.lease/2, 20*c.plan.lease)) {
			return
		}
		ctx, cancel := c.within(c.ctx, 2*c.plan.lease)
		end := c.elector.Resign
		if d.IntN(2) == 0 {
			heir := c.heir(d)
			end = func(ctx context.Context) error { return c.elector.TransferTo(ctx, heir) }
		}
		err := end(ctx)
		cancel()
		if leads := c.elector.IsLeader(); err == nil && !leads && c.ctx.Err() == nil {
			c.w.locked(c.mustNotNameItself)
		}
	}
}

// mustNotNameItself: a term that has been resigned is nobody's idea of the present any more. Called
// with mu held.
func (c *client) mustNotNameItself() {
	if c.term == nil && !c.working && c.news.observed.Self && c.elector.GetLeader() == c.Identity() {
		c.w.violateLocked(c, NewsInOrder, "it names itself after it has resigned")
	}
}

// lead is OnStartedLeading.
func (c *client) lead(ctx context.Context) {
	term, _ := election.TermFromContext(ctx)
	seen := &termSeen{ctx: ctx, token: term.FencingToken, began: c.w.now(), step: c.w.step}
	c.w.mu.Lock()
	if c.term != nil {
		c.w.violateLocked(c, CallbackOrder, "OnStartedLeading twice at once, or again before OnStoppedLeading")
	}
	c.term, c.working = seen, true
	c.noteLocked("leads", fmt.Sprintf("token %d", seen.token))
	c.w.mu.Unlock()

	defer func() {
		c.w.mu.Lock()
		defer c.w.mu.Unlock()
		c.working = false
	}()
	d := c.luck()
	steps := 1 + d.IntN(20)
	for range steps {
		pause := between(d, time.Millisecond, c.plan.lease)
		if !c.sleep(ctx, pause) || ctx.Err() != nil {
			break
		}
		c.w.mu.Lock()
		c.w.believed(c, seen.token, "leading context")
		c.w.mu.Unlock()
		switch d.IntN(4) {
		case 0:
			c.writeTerm(term)
		case 1:
			c.writeCareless(seen.token)
		}
	}
	if ctx.Err() == nil && d.IntN(3) == 0 {
		return // it resigns
	}
	<-ctx.Done()
	c.mustEndForAReason(seen)
	// It never returns at once: what the elector does at the end of a term and what the work does
	// would come in any order.
	takes := time.Duration(1 + d.IntN(1000))
	if c.plan.stubborn > 0 && d.IntN(2) == 0 {
		takes = c.plan.stubborn
	}
	began := c.w.now()
	c.sleep(context.Background(), takes)
	c.mustStillHold(seen, began)
}

// mustEndForAReason: while nothing goes wrong, no term ends but by its own will.
func (c *client) mustEndForAReason(seen *termSeen) {
	needed := c.plan.heartbeat + 4*c.machine.plan.latency
	if d := c.w.plan.transactionTime; d > 0 {
		needed += d + 4*c.machine.plan.latency // it met the term's own transaction, and was sent again
	}
	if c.plan.deadline() < needed {
		return // no renewal can come in time for certain
	}
	cause := context.Cause(seen.ctx)
	withSession := false
	c.w.locked(func() { withSession = c.endsWithSession(seen.token) })
	if !withSession && c.isCalmSince(seen.began) && (errors.Is(cause, election.ErrLeaseExpired) || errors.Is(cause, election.ErrLockLost)) {
		c.w.violate(c, LossHasReason, "a term was lost though nothing had gone wrong since it was won: "+cause.Error())
	}
}

// mustStillHold: while nothing goes wrong the lock is held until the work has returned, or
// DrainTimeout is over.
func (c *client) mustStillHold(seen *termSeen, ended time.Duration) {
	drain := c.plan.drain()
	cause := context.Cause(seen.ctx)
	if !c.isCalmSince(seen.began) || c.w.now()-ended > drain || errors.Is(cause, election.ErrLeaseExpired) || errors.Is(cause, election.ErrLockLost) {
		return
	}
	if held, why := c.HasLock(); !held {
		c.w.violate(c, LossHasReason, fmt.Sprintf("the lock was lost while the work was returning: %v", why))
	}
}

// stoppedLeading is OnStoppedLeading.
func (c *client) stoppedLeading() {
	c.w.mu.Lock()
	term, working := c.term, c.working
	c.term = nil
	c.news.stopped = c.w.now()
	c.w.mu.Unlock()
	switch {
	case term == nil:
		c.w.violate(c, CallbackOrder, "OnStoppedLeading without OnStartedLeading")
	case working:
		c.w.violate(c, CallbackOrder, "OnStoppedLeading before OnStartedLeading has returned")
	case term.ctx.Err() == nil:
		c.w.violate(c, CallbackOrder, "OnStoppedLeading while the leading context is alive")
	default:
		c.note("stopped leading", fmt.Sprintf("token %d", term.token))
	}
}
