package election

import (
	"context"
	"time"
)

// Clock is time as one node sees it. Every wait and every timer of an elector goes through it, so that a test can skew, pause
// or suspend one node. Whatever satisfies the lock's clock satisfies this one: give both the same.
type Clock interface {
	// Monotonic is the time since an arbitrary start; it may stop while the machine is suspended.
	Monotonic() time.Duration
	// Wall is the time of day, which may jump either way.
	Wall() time.Time
	// AfterFunc runs f in its own goroutine once d has passed. stop reports whether it kept f from running.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

type systemClock struct{ start time.Time }

func newSystemClock() Clock { return systemClock{start: time.Now()} }

func (c systemClock) Monotonic() time.Duration { return time.Since(c.start) }

func (c systemClock) Wall() time.Time { return time.Now().Round(0) }

func (c systemClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}

// alarm gives a channel that receives once when d has passed. The caller calls stop when it waits no longer.
func alarm(c Clock, d time.Duration) (rings <-chan struct{}, stop func() bool) {
	ch := make(chan struct{}, 1)
	return ch, c.AfterFunc(d, func() { ch <- struct{}{} })
}

// sleep waits for d and reports false if ctx ended first.
func sleep(ctx context.Context, c Clock, d time.Duration) bool {
	rings, stop := alarm(c, d)
	defer stop()
	select {
	case <-rings:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// withTimeout is context.WithTimeout on the node's own clock.
func withTimeout(ctx context.Context, c Clock, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := c.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// instant is one moment on both of a node's clocks.
type instant struct {
	monotonic time.Duration
	wall      time.Time
}

func now(c Clock) instant { return instant{monotonic: c.Monotonic(), wall: c.Wall()} }

func (i instant) before(d time.Duration) instant {
	return instant{monotonic: i.monotonic - d, wall: i.wall.Add(-d)}
}

// ago is the time since i, by whichever clock says more: one stops in a suspend, the other may be set back.
func (i instant) ago(c Clock) time.Duration {
	return max(c.Monotonic()-i.monotonic, c.Wall().Sub(i.wall))
}
