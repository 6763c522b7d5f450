package lockclient

import (
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

func randomJitter(upTo time.Duration) time.Duration { return lease.Jitter(lease.System(), upTo) }

func TestBackoffGrowsWithJitterAndLeavesRoomForSeveralTries(t *testing.T) {
	for _, period := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 5 * time.Second} {
		for n := 1; n < 40; n++ {
			for range 20 {
				if got := backoff(n, period, randomJitter); got <= 0 || got > max(period/2, time.Millisecond) {
					t.Fatalf("backoff(%d, %v) = %v", n, period, got)
				}
			}
		}
	}
	if first, later := backoff(1, 5*time.Second, randomJitter), backoff(6, 5*time.Second, randomJitter); first > 50*time.Millisecond || later < 500*time.Millisecond {
		t.Errorf("the first pause is %v, the sixth %v", first, later)
	}
}

func TestManyLocksBeatEvenlySpread(t *testing.T) {
	const locks, every = 2000, 5 * time.Second
	var s slots
	var own []slot
	moments := map[time.Duration]int{}
	for i := range locks {
		sent := -time.Hour + time.Duration(i)*time.Millisecond/10
		first, mine := s.take(sent, every)
		own = append(own, mine)
		if i == 0 && first != sent+every {
			t.Errorf("a lock alone beats first after %v", first-sent)
		}
		if first <= sent+every/20 || first > sent+every {
			t.Fatalf("first heartbeat after %v", first-sent)
		}
		if i >= slotsAbove {
			moments[(first%every+every)%every]++
		}
	}
	if len(moments) > slotsEach {
		t.Errorf("heartbeats come at %d different moments, want %d at most", len(moments), slotsEach)
	}
	for at, n := range moments {
		if n > locks/slotsEach*2 {
			t.Errorf("%d of %d heartbeats come at %v of the period", n, locks, at)
		}
	}
	for _, mine := range own {
		s.free(mine)
	}
	if len(s.periods) != 0 {
		t.Error("shares of tenures that have ended are still counted")
	}
}
