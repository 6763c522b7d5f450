package lockclient

import (
	"sync"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// standingClock stands still and wakes nobody.
type standingClock struct{}

func (standingClock) Monotonic() time.Duration { return time.Hour }
func (standingClock) Wall() time.Time          { return time.Unix(0, 0) }
func (standingClock) AfterFunc(time.Duration, func()) (stop func() bool) {
	return func() bool { return true }
}

// TestAWarningThatComesDuringACallOfAgingIsNotMissed: the moment at which a lease is aging may
// fall between the look at its age and the making of the channel that is to be closed then.
//
// The call gets the mutex first, and the warning is next. A mutex whose waiters have waited for
// more than 1 ms goes from one to the next in the order in which they came, so that the warning
// gets it as soon as the call releases it.
func TestAWarningThatComesDuringACallOfAgingIsNotMissed(t *testing.T) {
	d, _ := onEngine(t)
	d.clock = standingClock{}
	young := lease.Instant{Mono: time.Hour}
	old := lease.Instant{Mono: time.Hour + d.Window - time.Millisecond}
	wait := func() {
		time.Sleep(2 * time.Millisecond) // sleep: the mutex uses the real time, and does not show its waiters
	}
	for range 10 {
		k := &keeper{d: d, tenure: newTenure(&d.rules, 1, young, young, d.Heartbeat)}
		k.wake.call, k.wake.every = func(lease.Instant) {}, time.Hour
		var both sync.WaitGroup
		var aging <-chan struct{}
		d.mu.Lock()
		both.Go(func() { aging = k.whenAging() })
		wait()
		both.Go(func() {
			d.mu.Lock()
			k.proceed(old)
			d.mu.Unlock()
		})
		wait()
		d.mu.Unlock()
		d.mu.Lock() // before the first of them is awake: it then insists on its turn
		wait()
		d.mu.Unlock()
		both.Wait()
		d.line.clear(&k.wake)
		select {
		case <-aging:
		default:
			t.Fatal("whoever asked just before is never told that the lease is aging")
		}
	}
}
