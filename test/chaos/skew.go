package chaos

import (
	"os"
	"os/signal"
	"sync"
	"time"
)

// Skew is how a worker's clocks differ from the machine's. The zero Skew is none.
type Skew struct {
	Offset time.Duration // of the wall clock
	Jump   time.Duration // by which the wall clock is set with each SIGUSR1
	Faster float64       // by how much both clocks run faster: 0.004 is 0.4 %
}

// skewedClock is the clock of a machine with a Skew. It is a lockclient.Clock. Its monotonic clock
// counts from the process's start.
type skewedClock struct {
	Skew
	start  time.Time
	mu     sync.Mutex // guards jumped
	jumped time.Duration
}

func newSkewedClock(s Skew) *skewedClock { return &skewedClock{Skew: s, start: time.Now()} }

// stretched is what the clock makes of true time.
func (c *skewedClock) stretched(d time.Duration) time.Duration {
	return d + time.Duration(float64(d)*c.Faster)
}

// trueTime is the true time in which the clock counts d.
func (c *skewedClock) trueTime(d time.Duration) time.Duration {
	return time.Duration(float64(d) / (1 + c.Faster))
}

func (c *skewedClock) Monotonic() time.Duration { return c.stretched(time.Since(c.start)) }

func (c *skewedClock) Wall() time.Time {
	// Without its monotonic reading the difference of two is that of the wall clock.
	now := time.Now().Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	began := c.start.Round(0)
	return began.Add(c.stretched(now.Sub(began)) + c.Offset + c.jumped)
}

func (c *skewedClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(c.trueTime(d), f).Stop
}

// jumpAt sets the wall clock with each signal of a kind, until stop.
func (c *skewedClock) jumpAt(s os.Signal) (stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, s)
	go func() {
		defer close(done)
		for range signals {
			c.mu.Lock()
			c.jumped += c.Jump
			c.mu.Unlock()
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}
