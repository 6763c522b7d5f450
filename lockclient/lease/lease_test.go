package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

func TestTimePassedIsWhatTheClockThatSaysMoreSays(t *testing.T) {
	start := lease.Instant{Mono: 5 * time.Second, Wall: int64(100 * time.Second)}
	for _, c := range []struct {
		name       string
		mono, wall time.Duration
		want       time.Duration
	}{
		{"both alike", 2 * time.Second, 2 * time.Second, 2 * time.Second},
		{"the machine was suspended", time.Second, 9 * time.Second, 9 * time.Second},
		{"the wall clock was set back", 3 * time.Second, -time.Hour, 3 * time.Second},
		{"neither moved", 0, 0, 0},
		{"both went back", -time.Second, -time.Second, 0},
	} {
		later := lease.Instant{Mono: start.Mono + c.mono, Wall: start.Wall + int64(c.wall)}
		if got := later.Since(start); got != c.want {
			t.Errorf("%s: %v have passed, want %v", c.name, got, c.want)
		}
	}
}

func TestAnOdometerAddsUpSuspendsAndSetbacks(t *testing.T) {
	at := lease.Instant{Mono: -time.Hour, Wall: int64(time.Hour)}
	o := lease.StartOdometer(at)
	at.Wall += int64(10 * time.Second) // suspended for 10 s
	if got := o.Fold(at); got != 10*time.Second {
		t.Fatalf("after a suspend of 10 s: %v", got)
	}
	at.Mono += 3 * time.Second
	at.Wall -= int64(time.Minute) // set back
	if got := o.Read(at); got != 13*time.Second {
		t.Fatalf("3 s after that, the wall clock having been set back: %v", got)
	}
	if o.Folded() != 10*time.Second {
		t.Fatal("Read changed the odometer")
	}
	if got := o.Fold(at.Add(time.Second)); got != 14*time.Second || o.Mark() != at.Add(time.Second) {
		t.Fatalf("a second later: %v, marked at %v", got, o.Mark())
	}
}

func TestTheWindowEndsOnePercentBeforeTheLease(t *testing.T) {
	timing := lease.NewTiming(15*time.Second, 5*time.Second)
	if want := (lease.Timing{Lease: 15 * time.Second, Window: 14850 * time.Millisecond, Heartbeat: 5 * time.Second}); timing != want {
		t.Fatalf("got %+v, want %+v", timing, want)
	}
}

func TestSleepAndTimeoutFollowTheClockAndTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, began := lease.System(), time.Now()
		if !lease.Sleep(t.Context(), c, time.Minute) || time.Since(began) != time.Minute {
			t.Fatalf("slept %v of a minute", time.Since(began))
		}
		tooLate := errors.New("too late")
		ctx, cancel := lease.WithTimeout(t.Context(), c, time.Second, tooLate)
		defer cancel()
		if lease.Sleep(ctx, c, time.Hour) || !errors.Is(context.Cause(ctx), tooLate) {
			t.Fatalf("the context ended because %v", context.Cause(ctx))
		}
		if passed := time.Since(began); passed != time.Minute+time.Second {
			t.Fatalf("the timeout came after %v", passed)
		}
		event := make(chan struct{})
		close(event)
		if !lease.SleepUntil(t.Context(), c, time.Hour, event) || time.Since(began) != time.Minute+time.Second {
			t.Fatal("the event did not end the sleep")
		}
	})
}

type even struct{ lease.Clock }

func (even) Jitter(upTo time.Duration) time.Duration { return upTo / 2 }

func TestAClockMayDecideItsJitter(t *testing.T) {
	if got := lease.Jitter(even{lease.System()}, time.Second); got != time.Second/2 {
		t.Fatalf("got %v", got)
	}
	for range 1000 {
		if got := lease.Jitter(lease.System(), 3); got < 0 || got > 3 {
			t.Fatalf("%v is outside 0 to 3", got)
		}
	}
}
