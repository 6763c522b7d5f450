package lockclient

import (
	"testing"
	"time"
)

func at(mono, wall time.Duration) instant { return instant{mono: mono, wall: int64(wall)} }

func TestTheTrustWindowIsOnePercentShorterThanTheLease(t *testing.T) {
	for lease, want := range map[time.Duration]time.Duration{time.Second: 990 * time.Millisecond, 15 * time.Second: 14850 * time.Millisecond, time.Millisecond: 990 * time.Microsecond} {
		if got := trustWindow(lease); got != want {
			t.Errorf("trustWindow(%v) = %v, want %v", lease, got, want)
		}
	}
}

func TestTheOdometerBelievesWhicheverClockSaysMore(t *testing.T) {
	var o odometer
	if got := o.fold(at(1*time.Second, 1*time.Second)); got != time.Second {
		t.Errorf("both clocks: %v", got)
	}
	if got := o.read(at(1*time.Second, 61*time.Second)); got != 61*time.Second {
		t.Errorf("a sleep that only the wall clock saw: %v", got)
	}
	if got := o.read(at(3*time.Second, -time.Hour)); got != 3*time.Second {
		t.Errorf("a wall clock set back: %v", got)
	}
	// A setback and then a sleep, with a look in between, fool it no more than either alone.
	o.fold(at(2*time.Second, -10*time.Second))
	if got := o.fold(at(2*time.Second, 20*time.Second)); got != 32*time.Second {
		t.Errorf("a setback and then a sleep: %v", got)
	}
	// Neither clock went on: nothing has passed, and nothing is taken back.
	if got := o.fold(at(2*time.Second, 0)); got != 32*time.Second {
		t.Errorf("the wall clock set back again: %v", got)
	}
}

func TestBackoffGrowsWithJitterAndLeavesRoomForSeveralTries(t *testing.T) {
	l := &lock{clock: systemClock{}}
	for _, period := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 5 * time.Second} {
		for n := 1; n < 40; n++ {
			for range 20 {
				if got := l.backoff(n, period); got <= 0 || got > max(period/2, time.Millisecond) {
					t.Fatalf("backoff(%d, %v) = %v", n, period, got)
				}
			}
		}
	}
	if first, later := l.backoff(1, 5*time.Second), l.backoff(6, 5*time.Second); first > 50*time.Millisecond || later < 500*time.Millisecond {
		t.Errorf("the first pause is %v, the sixth %v", first, later)
	}
}

func TestLocksAcquiredTogetherBeatEvenlySpread(t *testing.T) {
	const locks, period = 2000, 5 * time.Second
	var b burst
	var buckets [18]int // of a twentieth of the period each: the first heartbeats come in the last nine tenths
	for i := range locks {
		first := b.firstBeat(time.Duration(i)*time.Millisecond/10, period)
		if i == 0 && first != period {
			t.Errorf("a lock alone beats first after %v", first)
		}
		if first <= period/10-time.Millisecond || first > period {
			t.Fatalf("first heartbeat after %v", first)
		}
		buckets[min(int((first-period/10)*20/period), len(buckets)-1)]++
	}
	for i, n := range buckets {
		if n < locks/len(buckets)*8/10 || n > locks/len(buckets)*12/10 {
			t.Errorf("%d of %d heartbeats fall into slot %d of %d", n, locks, i, len(buckets))
		}
	}
	if first := b.firstBeat(time.Hour, period); first != period {
		t.Errorf("a lock that is alone again beats first after %v", first)
	}
}
