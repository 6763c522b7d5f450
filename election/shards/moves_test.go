package shards

import (
	"testing"
	"time"
)

func TestHowManyShardsBeginToMove(t *testing.T) {
	for name, c := range map[string]struct {
		motion
		want int
	}{
		"none belongs to another":         {motion{own: 100, window: 64}, 0},
		"no more than the surplus":        {motion{surplus: 3, own: 100, window: 64}, 3},
		"a quarter at once":               {motion{surplus: 20, own: 40, draining: 4, window: 64}, 6},
		"of one shard, that one":          {motion{surplus: 1, own: 1, window: 64}, 1},
		"a quarter that is in motion":     {motion{surplus: 20, own: 40, draining: 8, releasing: 2, window: 64}, 0},
		"no more than the window":         {motion{surplus: 500, own: 2000, window: 48}, 48},
		"at the pace of their releases":   {motion{surplus: 500, own: 2000, releasing: 46, window: 48}, 2},
		"and at that of the others":       {motion{surplus: 500, own: 2000, releasing: 6, unclaimed: 40, window: 48}, 2},
		"none while others are slow":      {motion{surplus: 500, own: 2000, unclaimed: 40, window: 20}, 0},
		"as many at once as was said":     {motion{surplus: 20, own: 40, draining: 1, atOnce: 2, window: 64}, 1},
		"a quarter does not bind leavers": {motion{surplus: 20, own: 40, draining: 20, leaving: true, window: 64}, 20},
		"nor does a number":               {motion{surplus: 20, own: 40, draining: 20, leaving: true, atOnce: 1, window: 64}, 20},
		"more in motion than allowed now": {motion{surplus: 9, own: 12, draining: 9, window: 64}, 0},
	} {
		if got := c.begin(); got != c.want {
			t.Errorf("%s: %d begin, want %d", name, got, c.want)
		}
	}
}

func TestTheWindowFollowsHowFastOthersTakeOver(t *testing.T) {
	w := newWindow(9, false)
	if w.size != 6 || newWindow(100, false).size != leastOnTheWay || newWindow(3, true).size != burst/2 || newWindow(1, false).size != burst {
		t.Errorf("one of nine begins with %d", w.size)
	}
	now := time.Second
	for range 100 {
		w.claimed(soon, now)
	}
	if w.size != mostOnTheWay {
		t.Errorf("after 100 that were led again soon: %d", w.size)
	}
	for range 10 { // which were on their way together
		w.claimed(tooLong+1, now)
	}
	if w.size != mostOnTheWay/2 {
		t.Errorf("after a row that took too long: %d", w.size)
	}
	for range 10 {
		now += time.Second
		w.claimed(tooLong+1, now)
	}
	if w.size != leastOnTheWay {
		t.Errorf("after ten rows that took too long: %d", w.size)
	}
	if w.claimed(soon+1, now); w.size != leastOnTheWay {
		t.Errorf("one in between changed it to %d", w.size)
	}
	for range 100 {
		w.unclaimed()
	}
	if w.size < 16 {
		t.Errorf("after 100 that nobody wanted: %d", w.size)
	}
}
