// Package nodeclock is time as one machine of a test's fleet sees it: running a little fast or slow, set forward or back by an
// operator, asleep, or stopped by a debugger while the rest of the world goes on.
//
//	              Monotonic   Wall      timers
//	running       goes on     goes on   fire when due
//	suspended     stands      goes on   stand, go on where they were
//	paused        goes on     goes on   late: those that came due fire at Continue
//
// A Clock is driven by time.Now and time.AfterFunc, so that inside a testing/synctest bubble everything happens in virtual
// time. It satisfies the Clock interfaces of lockclient and election.
package nodeclock

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// Clock is one machine's clock. Use New. Its methods are safe for concurrent use.
type Clock struct {
	mu        sync.Mutex // guards what follows
	rate      float64    // of both clocks; 1.01 is 1 % fast
	mark      time.Time  // when mono and wall were last brought up to date
	mono      time.Duration
	wall      time.Time
	suspended bool
	paused    bool
	timers    []*timer      // not fired yet, oldest first
	running   chan struct{} // closed while neither suspended nor paused
}

type timer struct {
	due  time.Duration // on the monotonic clock
	f    func()
	real *time.Timer // nil while the clock stands
}

// Start is what the monotonic clock of a new Clock shows: it is below zero for longer than a test runs, since a clock may
// count from any moment, and code that takes zero for "not yet" must not pass.
const Start = -1000 * time.Hour

// New returns a running clock whose rate is 1 and whose wall clock shows the true time.
func New() *Clock {
	now := time.Now()
	c := &Clock{rate: 1, mark: now, mono: Start, wall: now.Round(0), running: make(chan struct{})}
	close(c.running)
	return c
}

// Monotonic is Start and the time since the clock was made, without the time for which it was suspended.
func (c *Clock) Monotonic() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.update()
	return c.mono
}

// Wall is the machine's time of day.
func (c *Clock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.update()
	return c.wall
}

// AfterFunc calls f in a goroutine of its own once d has passed on the monotonic clock and the machine runs. stop reports
// whether it kept f from running.
func (c *Clock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.update()
	t := &timer{due: c.mono + max(d, 0), f: f}
	c.timers = append(c.timers, t)
	c.arm(t)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.drop(t)
	}
}

// SetRate has both clocks run rate times as fast as true time from now on; 1.009 is 0.9 % fast.
func (c *Clock) SetRate(rate float64) { c.change(func() { c.rate = rate }) }

// JumpWall sets the wall clock forward by d, or back where d is negative.
func (c *Clock) JumpWall(d time.Duration) { c.change(func() { c.wall = c.wall.Add(d) }) }

// Suspend puts the machine to sleep: its monotonic clock and its timers stand still.
func (c *Clock) Suspend() { c.change(func() { c.suspended = true }) }

// Resume wakes it.
func (c *Clock) Resume() { c.change(func() { c.suspended = false }) }

// Pause stops the process: no timer fires, though time passes.
func (c *Clock) Pause() { c.change(func() { c.paused = true }) }

// Continue ends a pause; timers that came due meanwhile fire now.
func (c *Clock) Continue() { c.change(func() { c.paused = false }) }

// AwaitRunning returns when the machine is neither suspended nor paused, or with ctx's error. Useful in the path of its
// requests and replies, which stand still with it.
func (c *Clock) AwaitRunning(ctx context.Context) error {
	c.mu.Lock()
	running := c.running
	c.mu.Unlock()
	select {
	case <-running:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// update brings the readings up to now. Called with mu held, as all that follows.
func (c *Clock) update() {
	now := time.Now()
	passed := time.Duration(float64(now.Sub(c.mark)) * c.rate)
	c.mark = now
	c.wall = c.wall.Add(passed)
	if !c.suspended {
		c.mono += passed
	}
}

// change carries out what happens to the machine and sets its timers anew.
func (c *Clock) change(what func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.update()
	stood := c.stands()
	what()
	if stands := c.stands(); stands != stood {
		if stands {
			c.running = make(chan struct{})
		} else {
			close(c.running)
		}
	}
	due := slices.Clone(c.timers)
	slices.SortStableFunc(due, func(a, b *timer) int { return int(a.due - b.due) })
	for _, t := range due {
		c.arm(t)
	}
}

func (c *Clock) stands() bool { return c.suspended || c.paused }

// arm sets the real timer behind t.
func (c *Clock) arm(t *timer) {
	if t.real != nil {
		t.real.Stop()
		t.real = nil
	}
	if c.stands() {
		return
	}
	wait := time.Duration(math.Ceil(float64(t.due-c.mono) / c.rate))
	t.real = time.AfterFunc(max(wait, 0), func() { c.fire(t) })
}

// fire runs t's function unless t was stopped, or the clock has been changed, at the last moment.
func (c *Clock) fire(t *timer) {
	c.mu.Lock()
	c.update()
	if c.stands() || !slices.Contains(c.timers, t) {
		c.mu.Unlock()
		return
	}
	if t.due > c.mono { // slower since, or a rounding
		c.arm(t)
		c.mu.Unlock()
		return
	}
	c.drop(t)
	c.mu.Unlock()
	t.f()
}

// drop takes t off the list and reports whether it was still on it.
func (c *Clock) drop(t *timer) bool {
	i := slices.Index(c.timers, t)
	if i < 0 {
		return false
	}
	c.timers = slices.Delete(c.timers, i, i+1)
	if t.real != nil {
		t.real.Stop()
	}
	return true
}
