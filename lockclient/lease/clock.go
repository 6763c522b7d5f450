package lease

import (
	"context"
	"math/rand/v2"
	"time"
)

// Clock is time as one machine sees it. Tests replace it to skew, pause, or
// suspend one machine. Its methods are called from several goroutines at once.
//
// A Clock that also has the method Jitter(upTo time.Duration) time.Duration
// decides the jitter of pauses, from 0 to upTo. A simulation uses it to repeat
// itself.
type Clock interface {
	// Monotonic returns the time since an arbitrary moment, which may lie in the future. It never
	// goes back. On Linux it stops while the machine is suspended.
	Monotonic() time.Duration
	// Wall returns the wall clock, which may jump either way.
	Wall() time.Time
	// AfterFunc calls f in a goroutine of its own when d has passed on the
	// monotonic clock. stop prevents the call and reports whether it did, as
	// time.Timer.Stop does.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// System returns the machine's own clock.
func System() Clock { return system{} }

type system struct{}

var processStart = time.Now()

func (system) Monotonic() time.Duration { return time.Since(processStart) }
func (system) Wall() time.Time          { return time.Now().Round(0) }
func (system) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// Jitter returns a duration from 0 to upTo, which spreads what would otherwise
// happen at once.
func Jitter(c Clock, upTo time.Duration) time.Duration {
	if j, ok := c.(interface {
		Jitter(upTo time.Duration) time.Duration
	}); ok {
		return j.Jitter(upTo)
	}
	return rand.N(max(upTo, 0) + 1)
}

// Alarm returns a channel that is closed when d has passed. Call stop when the channel is not
// needed any more.
func Alarm(c Clock, d time.Duration) (rings <-chan struct{}, stop func() bool) {
	ch := make(chan struct{})
	return ch, c.AfterFunc(d, func() { close(ch) })
}

// Sleep waits until d has passed (true) or ctx is done (false).
func Sleep(ctx context.Context, c Clock, d time.Duration) bool {
	return SleepUntil(ctx, c, d, nil)
}

// SleepUntil is Sleep that event ends early. It reports whether ctx is still
// alive.
func SleepUntil(ctx context.Context, c Clock, d time.Duration, event <-chan struct{}) bool {
	rings, stop := Alarm(c, d)
	defer stop()
	select {
	case <-rings:
	case <-event:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// WithTimeout is context.WithTimeoutCause on a Clock. The context's Err is
// context.Canceled in both cases, since only the system's clock can make it
// DeadlineExceeded; its cause tells them apart.
func WithTimeout(ctx context.Context, c Clock, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := c.AfterFunc(d, func() { cancel(cause) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}
