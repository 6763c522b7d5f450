package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
)

// contention is one lock that a worker wants, and what it does while it holds it.
type contention struct {
	*worker
	name   string                         // the lock's, with its group's
	lock   *lockclient.DynamoDBLockClient // nil: a replica of shards keeps the lock
	member bool                           // of the worker's session
	random *rand.Rand                     // the tenure's goroutine's
}

// contend is the life of a worker that uses the lock client directly.
func (c *contention) contend(ctx context.Context) {
	for ctx.Err() == nil {
		held, err := c.acquire(ctx)
		var refused *lockclient.LockHeldError
		switch {
		case held:
			c.hold(ctx)
		case errors.As(err, &refused):
			c.pause(ctx, min(refused.RetryAfter, c.Heartbeat))
		default:
			c.note("acquire: %v", err)
			c.pause(ctx, c.Heartbeat/4)
		}
	}
	if c.freesItself(ctx) {
		c.release()
	}
}

// freesItself says whether the lock is released by itself. A worker that ends frees its members
// with its session, all at once.
func (c *contention) freesItself(ctx context.Context) bool { return !c.member || ctx.Err() == nil }

func (c *contention) acquire(ctx context.Context) (bool, error) {
	if c.Style == Tries {
		return c.lock.GetLockWithContext(ctx)
	}
	err := c.lock.WaitForLock(ctx)
	return err == nil, err
}

// hold is one tenure.
func (c *contention) hold(ctx context.Context) {
	token, held := c.lock.FencingToken()
	if !held {
		return // lost already
	}
	work, cancel := c.tenure(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.lock.Lost():
			cancel()
		case <-work.Done():
		}
	}()
	stopSampling := c.sampleWhile(work, token, func() Entry { return c.look(ctx, nil) })
	c.work(work, token, c.throughLock)
	if c.Abandon && ctx.Err() == nil && c.random.IntN(2) == 0 {
		// Still believing, the worker leaves the lease to run out.
		stopSampling()
		c.lock.StopHeartbeat()
		stopSampling = c.sampleWhile(ctx, token, func() Entry { return c.look(ctx, nil) })
		select {
		case <-c.lock.Lost():
		case <-ctx.Done():
		}
	}
	stopSampling()
	c.yield(token)
	if !c.freesItself(ctx) {
		return
	}
	c.release()
	c.pause(ctx, time.Duration(c.random.Int64N(int64(c.Heartbeat))))
}

// yield writes down that the tenure may be given up from now on, and whether it was lost before.
func (c *contention) yield(token int64) {
	at := Monotonic()
	if held, _ := c.lock.HasLock(); !held {
		c.write(Entry{Kind: Loss, From: Monotonic(), Token: token})
	}
	c.write(Entry{Kind: Yield, From: at, Token: token})
}

// release frees the lock, or says that it could not: it runs out by itself then.
func (c *contention) release() {
	ctx, cancel := context.WithTimeout(context.Background(), c.Lease)
	defer cancel()
	if err := c.lock.RemoveLockWithContext(ctx); err != nil {
		c.note("release: %v", err)
	}
}

// elect is the life of a worker that uses an elector.
func (c *contention) elect(ctx context.Context) error {
	var elector *election.LeaderElector
	elector, err := election.NewLeaderElector(election.LeaderElectionConfig{
		Lock:            c.lock,
		ReleaseOnCancel: true,
		Name:            c.name,
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) { c.lead(leading, elector) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return err
	}
	return elector.Run(ctx)
}

// lead is one term.
func (c *contention) lead(leading context.Context, elector *election.LeaderElector) {
	term, _ := election.TermFromContext(leading)
	work, cancel := c.tenure(leading)
	defer cancel()
	stopSampling := c.sampleWhile(leading, term.FencingToken, func() Entry { return c.look(leading, elector) })
	c.workThrough(work, term)
	stopSampling()
	c.yield(term.FencingToken)
}

// tenure is the context of one tenure's work: it ends with ctx, and after the time that the worker
// wants to hold the lock.
func (c *contention) tenure(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.Hold == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.Hold/10+time.Duration(c.random.Int64N(int64(c.Hold))))
}

// look asks the lock, and the elector and the leading context where there is one, whether it is
// held. The clock is read before and after.
func (c *contention) look(leading context.Context, elector *election.LeaderElector) Entry {
	e := Entry{Kind: Belief, From: Monotonic(), Session: c.sessionName()}
	e.Token, _ = c.lock.FencingToken()
	e.Held, _ = c.lock.HasLock()
	if elector != nil {
		e.Leads, e.Alive = elector.IsLeader(), leading.Err() == nil
	}
	deadline, certain := c.lock.Deadline()
	at := Monotonic() // before the wall clock, so that the claim is rather too short
	if certain {
		e.Until = at + c.clock.trueTime(deadline.Sub(c.clock.Wall()))
	}
	// The token is the tenure's only if it is still the same: a lock may be lost and won again
	// between two calls. So may a session.
	if token, _ := c.lock.FencingToken(); token != e.Token {
		e.Held, e.Until = false, 0
	}
	if c.sessionName() != e.Session {
		e.Session = ""
	}
	e.To = Monotonic()
	return e
}

// sessionName is the session that keeps the lock if it is held now; "": it keeps itself.
func (c *contention) sessionName() string {
	if !c.member {
		return ""
	}
	return c.session.Name()
}

func (c *contention) write(e Entry) {
	e.Lock = c.name
	c.journal.Write(e)
}
