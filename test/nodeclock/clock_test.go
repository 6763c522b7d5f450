package nodeclock_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/nodeclock"
)

var (
	_ lockclient.Clock = (*nodeclock.Clock)(nil)
	_ election.Clock   = (*nodeclock.Clock)(nil)
)

// at runs do in a bubble with a clock, and a function that sleeps true time.
func at(t *testing.T, do func(t *testing.T, c *nodeclock.Clock, pass func(time.Duration))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		do(t, nodeclock.New(), func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		})
	})
}

func TestARunningClockShowsTrueTime(t *testing.T) {
	at(t, func(t *testing.T, c *nodeclock.Clock, pass func(time.Duration)) {
		start := c.Wall()
		pass(time.Minute)
		if c.Monotonic()-nodeclock.Start != time.Minute || c.Wall().Sub(start) != time.Minute {
			t.Errorf("after a minute: monotonic %v, wall %v", c.Monotonic()-nodeclock.Start, c.Wall().Sub(start))
		}
	})
}

func TestAFastClockFiresItsTimersEarly(t *testing.T) {
	at(t, func(t *testing.T, c *nodeclock.Clock, pass func(time.Duration)) {
		c.SetRate(1.25)
		began, fired := time.Now(), time.Duration(0)
		c.AfterFunc(10*time.Second, func() { fired = time.Since(began) })
		pass(time.Minute)
		if fired != 8*time.Second || c.Monotonic()-nodeclock.Start != 75*time.Second {
			t.Errorf("fired after %v, monotonic %v", fired, c.Monotonic()-nodeclock.Start)
		}
	})
}

func TestAWallJumpMovesNeitherMonotonicNorTimers(t *testing.T) {
	at(t, func(t *testing.T, c *nodeclock.Clock, pass func(time.Duration)) {
		var fired atomic.Bool
		start := c.Wall()
		c.AfterFunc(2*time.Second, func() { fired.Store(true) })
		c.JumpWall(-time.Hour)
		pass(time.Second)
		if c.Monotonic()-nodeclock.Start != time.Second || c.Wall().Sub(start) != time.Second-time.Hour || fired.Load() {
			t.Errorf("monotonic %v, wall moved %v, fired %v", c.Monotonic()-nodeclock.Start, c.Wall().Sub(start), fired.Load())
		}
	})
}

func TestASuspendedMachineStandsStillButForItsWallClock(t *testing.T) {
	at(t, func(t *testing.T, c *nodeclock.Clock, pass func(time.Duration)) {
		var fired atomic.Bool
		start := c.Wall()
		c.AfterFunc(10*time.Second, func() { fired.Store(true) })
		pass(4 * time.Second)
		c.Suspend()
		pass(time.Minute)
		if c.Monotonic()-nodeclock.Start != 4*time.Second || c.Wall().Sub(start) != 64*time.Second || fired.Load() {
			t.Errorf("asleep: monotonic %v, wall %v, fired %v", c.Monotonic()-nodeclock.Start, c.Wall().Sub(start), fired.Load())
		}
		c.Resume()
		pass(6*time.Second - 1)
		if fired.Load() {
			t.Error("the timer did not wait for the time that the machine slept")
		}
		pass(1)
		if !fired.Load() {
			t.Error("the timer did not fire after the machine woke")
		}
	})
}

func TestAPausedProcessFindsItsTimersDue(t *testing.T) {
	at(t, func(t *testing.T, c *nodeclock.Clock, pass func(time.Duration)) {
		var fired atomic.Bool
		c.AfterFunc(time.Second, func() { fired.Store(true) })
		c.Pause()
		pass(time.Minute)
		if fired.Load() || c.Monotonic()-nodeclock.Start != time.Minute {
			t.Errorf("paused: fired %v, monotonic %v", fired.Load(), c.Monotonic()-nodeclock.Start)
		}
		running := make(chan error, 1)
		go func() { running <- c.AwaitRunning(context.Background()) }()
		synctest.Wait()
		if len(running) != 0 {
			t.Error("AwaitRunning returned during the pause")
		}
		c.Continue()
		synctest.Wait()
		if !fired.Load() || len(running) != 1 {
			t.Errorf("continued: fired %v, awaiting %d", fired.Load(), 1-len(running))
		}
	})
}

func TestAStoppedTimerNeverFires(t *testing.T) {
	at(t, func(t *testing.T, c *nodeclock.Clock, pass func(time.Duration)) {
		var fired atomic.Bool
		stop := c.AfterFunc(time.Second, func() { fired.Store(true) })
		c.Suspend()
		if !stop() || stop() {
			t.Error("the first stop prevents the call, the second has nothing to prevent")
		}
		c.Resume()
		pass(time.Minute)
		if fired.Load() {
			t.Error("fired after stop")
		}
	})
}

func TestAClockThatIsReadEachNanosecondKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodeclock.New()
		c.SetRate(0.99)
		began := c.Monotonic()
		for range 10_000 {
			time.Sleep(time.Nanosecond)
			c.Monotonic()
		}
		if passed := c.Monotonic() - began; passed < 9_899 || passed > 9_900 {
			t.Errorf("%v of 10 us at a rate of 0.99", passed)
		}
	})
}
