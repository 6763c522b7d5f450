package lockclient

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheTurnIsTakenInTheOrderOfAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turn turn
		if !turn.take(t.Context()) || turn.tryTake() {
			t.Fatal("the free turn is not one taker's")
		}
		var order []int
		var all sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 5 {
			ctx := ctx
			if i%2 == 0 {
				ctx = t.Context()
			}
			all.Go(func() {
				if turn.take(ctx) {
					order = append(order, i)
					turn.pass()
				}
			})
			synctest.Wait()
		}
		cancel() // those with odd numbers wait no more
		synctest.Wait()
		turn.pass()
		all.Wait()
		if len(order) != 3 || order[0] != 0 || order[1] != 2 || order[2] != 4 {
			t.Errorf("the turn was had by %v, want 0, 2, 4", order)
		}
		if !turn.tryTake() {
			t.Error("the turn was not passed on by the last")
		}
	})
}

// A turn that is handed to somebody who has just stopped waiting for it goes to the next.
func TestTheTurnIsNeverLost(t *testing.T) {
	var turn turn
	var all sync.WaitGroup
	holders, most := 0, 0 // guarded by the turn
	for i := range 8 {
		all.Go(func() {
			for n := range 500 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration((i*n)%7)*10*time.Microsecond)
				if turn.take(ctx) {
					holders++
					most = max(most, holders)
					holders--
					turn.pass()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if most != 1 || !turn.tryTake() {
		t.Errorf("%d had the turn at once, and it is %v", most, turn.taken)
	}
}
