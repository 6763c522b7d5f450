package simulation

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
)

// isCrowded reports whether several goroutines use one bare client in this run, or one session:
// when that ends, it wakes all who have a lock of it.
func (p *plan) isCrowded() bool {
	return p.sessions || slices.ContainsFunc(p.machines, func(m machinePlan) bool {
		return slices.ContainsFunc(m.clients, func(c clientPlan) bool { return c.crowd > 0 })
	})
}

// jostle is the life of one of several goroutines that use one client as if they were alone. What
// they win and lose belongs to all of them. Which of them is first where one event wakes two is the
// scheduler's choice: these runs, and no others, may differ from one time to the next.
func (c *client) jostle(i int) {
	defer c.ended.Done()
	defer func() { _ = c.RemoveLock() }()
	for n := uint64(1); c.ctx.Err() == nil; n++ {
		d := dice(c.w.seed, forCrowd, c.key(), uint64(i), n)
		c.meddle(d)
		if c.ctx.Err() == nil {
			c.sleep(c.ctx, between(d, time.Millisecond, c.plan.lease))
		}
	}
}

// meddle does one thing.
func (c *client) meddle(d *rand.Rand) {
	ctx, cancel := c.within(c.ctx, between(d, c.plan.lease/50, 3*c.plan.lease))
	defer cancel()
	var err error
	switch d.IntN(12) {
	case 0, 1:
		_, err = c.GetLockWithContext(ctx)
	case 2, 3:
		err = c.WaitForLock(ctx)
	case 4:
		_, err = c.PollLock(ctx)
	case 5:
		err = c.TryLock(ctx)
	case 6, 7:
		err = c.RemoveLockWithContext(ctx)
	case 8:
		c.relax()
	case 9:
		err = c.AnnounceRelease(ctx)
	case 10:
		if token, held := c.FencingToken(); held {
			c.writeGuarded(token, d)
		}
	case 11:
		c.writeStamped()
	}
	if !errors.Is(err, lockclient.ErrLockHeld) {
		c.mustBeTransient(err)
	}
	if token, held := c.FencingToken(); held {
		c.w.mu.Lock()
		c.w.believed(c, token, "FencingToken")
		c.w.mu.Unlock()
	}
}
