package lockclient

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// TestAGateOpensAsFarAsTheTableAllows: each failure takes a place away, each success gives one
// back, and so does time.
func TestAGateOpensAsFarAsTheTableAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{clock: lease.System()}
		even := func(upTo time.Duration) time.Duration { return upTo / 2 }
		enter := func(ctx context.Context) error { return g.enter(ctx, 3, even) }
		soon := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), reopensIn/4)
			defer cancel()
			return enter(ctx)
		}
		mustEnter := func(places int) {
			t.Helper()
			for n := range places {
				if err := soon(); err != nil {
					t.Fatalf("%d of %d places: %v", n, places, err)
				}
			}
			if err := soon(); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("there is room for more than %d: %v", places, err)
			}
		}
		mustEnter(3)
		for range 3 {
			g.leave(passFailed)
		}
		mustEnter(0)
		began := time.Now()
		if err := enter(t.Context()); err != nil || time.Since(began) > reopensIn {
			t.Fatalf("time gives no place back: %v after %v", err, time.Since(began))
		}
		g.leave(passDone)
		mustEnter(2)
		g.leave(passNotSent)
		mustEnter(1)
		g.leave(passFailed)
		time.Sleep(10 * reopensIn) // virtual, with nobody waiting
		mustEnter(2)
		for range 3 {
			g.leave(passDone)
		}
		mustEnter(3)
	})
}
