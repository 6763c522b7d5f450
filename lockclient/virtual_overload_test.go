package lockclient_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/race"
	"github.com/leaderkit/leaderkit/test/wire"
)

// busyServer carries out one request after another. One that its client has given up costs it as
// much as any other.
type busyServer struct {
	each time.Duration

	mu   sync.Mutex // guards what follows
	free time.Time  // when it has done all that it was asked for
}

func (s *busyServer) hook(*wire.Call) wire.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.free.Before(now) {
		s.free = now
	}
	s.free = s.free.Add(s.each)
	return wire.Delay(s.free.Sub(now))
}

// Three processes that start together ask for more than the server can do within the lease. Their
// requests must not time out for ever: what a process has in flight has to become less until
// answers come in time.
func TestSessionsThatStartTogetherOnABusyServerGetTheirLocks(t *testing.T) {
	const locks, lease = 300, 2 * time.Second
	for _, each := range []time.Duration{2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 15 * time.Millisecond} {
		if race.Enabled && each != 10*time.Millisecond {
			continue // the race detector sees no more in the others
		}
		t.Run(fmt.Sprintf("%v a request", each), func(t *testing.T) {
			virtually(t, func(w *world) {
				server := &busyServer{each: each}
				var held, lost atomic.Int64
				for i := range 3 {
					process := w.member(fmt.Sprint("process-", i))
					process.Session.LeaseDuration, process.Session.HeartbeatPeriod = lease, 0
					process.wire.SetHook(server.hook)
					for l := range locks {
						lock := process.another(fmt.Sprint("lock-", l))
						w.waiting.Go(func() {
							if l%3 != i {
								sleepFor(w.ctx, lease/2)
							}
							for lock.WaitForLock(w.ctx) == nil {
								held.Add(1)
								select {
								case <-lock.Lost():
									held.Add(-1)
									lost.Add(1)
								case <-w.ctx.Done():
									return
								}
							}
						})
					}
				}
				began := time.Now()
				for held.Load() < locks && time.Since(began) < 2*time.Minute {
					w.pass(100 * time.Millisecond)
				}
				t.Logf("%d of %d locks are held after %v; %d were lost meanwhile", held.Load(), locks, time.Since(began), lost.Load())
				w.Expect(held.Load()).To(BeEquivalentTo(locks))
				lost.Store(0)
				w.pass(time.Minute)
				w.Expect(lost.Load()).To(BeZero(), "locks were lost at rest")
			})
		})
	}
}
