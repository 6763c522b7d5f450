// Package nodeclock is the time of one machine in a test. The machine's clocks may run fast or
// slow, be set forward or back, or stop while the machine is suspended or its process is paused.
//
//	              Monotonic   Wall      timers
//	running       goes on     goes on   fire when due
//	suspended     stands      goes on   stand, go on where they were
//	paused        goes on     goes on   late: those that came due fire at Continue
//
// A Clock uses time.Now and time.AfterFunc, so inside a testing/synctest bubble its time is
// virtual. It implements the Clock interfaces of lockclient and election.
package nodeclock

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// Clock is one machine's clock. Make it with New. Its methods are safe for concurrent use.
type Clock struct {
	mu        sync.Mutex // guards what follows
	rate      float64    // of both clocks; 1.01 is 1 % fast
	mark      time.Time  // when mono and wall were last brought up to date
	rest      float64    // of a nanosecond, which the readings don't show yet
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

// Start is what the monotonic clock of a new Clock shows. It is negative for longer than a test
// runs. A clock may count from any moment, and code that takes zero for "not yet" must fail.
const Start = -1000 * time.Hour

// New returns a running clock whose rate is 1 and whose wall clock shows the true time.
func New() *Clock {
	now := time.Now()
	c := &Clock{rate: 1, mark: now, mono: Start, wall: now.Round(0), running: make(chan struct{})}
	close(c.running)
	return c
}

// Monotonic is Start and the time since the clock was made, without the time for which it was
// suspended.
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

// AfterFunc calls f in its own goroutine when d has passed on the monotonic clock and the machine
// runs. stop reports whether it prevented the call.
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

// SetRate makes both clocks run rate times as fast as true time from now on. 1.009 is 0.9 % fast.
func (c *Clock) SetRate(rate float64) { c.change(func() { c.rate = rate }) }

// JumpWall sets the wall clock forward by d, or back if d is negative.
func (c *Clock) JumpWall(d time.Duration) { c.change(func() { c.wall = c.wall.Add(d) }) }

// Suspend puts the machine to sleep: its monotonic clock and its timers stand still.
func (c *Clock) Suspend() { c.change(func() { c.suspended = true }) }

// Resume wakes it.
func (c *Clock) Resume() { c.change(func() { c.suspended = false }) }

// Pause stops the process: no timer fires, though time passes.
func (c *Clock) Pause() { c.change(func() { c.paused = true }) }

// Continue ends a pause; timers that came due meanwhile fire now.
func (c *Clock) Continue() { c.change(func() { c.paused = false }) }

// AwaitRunning returns when the machine is neither suspended nor paused, or with ctx's error. Use
// it for the machine's requests and replies, which stop while the machine does.
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
	// The part of a nanosecond that is left counts next time. Without it a clock that is
	// read each nanosecond would stand still.
	exact := float64(now.Sub(c.mark))*c.rate + c.rest
	passed := time.Duration(exact)
	c.rest = exact - float64(passed)
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
