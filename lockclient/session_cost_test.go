package lockclient_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/race"
	"github.com/leaderkit/leaderkit/test/wire"
)

// acquireAll acquires that many members of the node's session, 64 at a time.
func (n *node) acquireAll(count int) []*lockclient.DynamoDBLockClient {
	locks := make([]*lockclient.DynamoDBLockClient, count)
	var working sync.WaitGroup
	for worker := range 64 {
		working.Go(func() {
			for i := worker; i < count; i += 64 {
				locks[i] = n.another(fmt.Sprint("many-", i))
				if held, err := locks[i].GetLock(); !held {
					n.w.Error(err)
					return
				}
			}
		})
	}
	working.Wait()
	return locks
}

func TestThousandsOfMembersCostOneWriteAHeartbeatNoGoroutineAndLessThanAKibibyteEach(t *testing.T) {
	const many = 3000
	virtually(t, func(w *world) {
		holder := w.member("holder")
		_, err := holder.Session.Open(w.ctx)
		w.Expect(err).NotTo(HaveOccurred())
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		goroutines := runtime.NumGoroutine()
		locks := holder.acquireAll(many)
		w.pass(time.Second)
		// The runtime starts some of its own now and then.
		w.Expect(runtime.NumGoroutine()).To(BeNumerically("<=", goroutines+many/100))
		holder.wire.Reset()
		w.pass(10 * heartbeat)
		w.Expect(holder.wire.Counts()).To(Equal(map[string]int{"UpdateItem": 10}))
		w.Expect(holder.Session.Stats().Held).To(Equal(many))
		holder.wire.Reset()
		held := heap()
		w.Expect(holder.Session.Close(w.ctx)).To(Succeed())
		w.Expect(holder.wire.Counts()).To(Equal(map[string]int{"UpdateItem": 1}))
		for _, lock := range locks {
			if held, _ := lock.HasLock(); held {
				t.Fatal("a lock is held after Close")
			}
		}
		clear(locks)
		each := int64(held-heap()) / many
		t.Logf("%d bytes each", each)
		w.Expect(each).To(BeNumerically("<", 1024))
	})
}

func TestHasLockOfAMemberAllocatesNothing(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.member("holder")
		holder.get()
		for name, call := range map[string]func(){
			"HasLock":      func() { _, _ = holder.HasLock() },
			"LeaseAge":     func() { holder.LeaseAge() },
			"FencingToken": func() { holder.FencingToken() },
			"Lost":         func() { holder.Lost() },
		} {
			if n := testing.AllocsPerRun(100, call); n != 0 {
				t.Errorf("%s allocates %v times", name, n)
			}
		}
	})
}

func TestThousandsOfWaitersShareOneLookAHeartbeatForEachSession(t *testing.T) {
	const periods = 20
	many := 3000
	if race.Enabled {
		many = 600
	}
	virtually(t, func(w *world) {
		waiter := w.member("waiter")
		var waiting sync.WaitGroup
		ctx, cancel := context.WithCancel(w.ctx)
		for h := range 3 {
			holder := w.member(fmt.Sprint("holder-", h))
			for i := range many / 3 {
				name := fmt.Sprintf("lock-%d-%d", h, i)
				held, err := holder.another(name).GetLock()
				w.Expect(err).NotTo(HaveOccurred())
				w.Expect(held).To(BeTrue())
				waiting.Go(func() { _ = waiter.another(name).WaitForLock(ctx) })
			}
		}
		w.pass(5 * heartbeat) // they have all found out who holds their lock
		waiter.wire.Reset()
		w.pass(periods * heartbeat)
		reads, own := waiter.wire.Count("GetItem"), waiter.wire.Count("UpdateItem")
		t.Logf("%.2f reads a heartbeat, %d writes", float64(reads)/periods, own)
		w.Expect(float64(reads) / periods).To(BeNumerically("<=", 3.75))
		w.Expect(own).To(Equal(periods), "its own session's heartbeats, and nothing else")
		for _, call := range waiter.wire.Calls() {
			if call.Kind() == wire.Poll {
				w.Expect(call.Consistent()).To(BeFalse())
			}
		}
		w.Expect(waiter.Session.Stats()).To(Equal(lockclient.SessionStats{Name: waiter.Session.Name(), Waiting: many, Watched: 3}))
		cancel()
		waiting.Wait()
	})
}

func TestADeadSessionsThousandsOfLocksAreTakenOverSixtyFourAtATime(t *testing.T) {
	many := 2000
	if race.Enabled {
		many = 600
	}
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		locks := holder.acquireAll(many)
		var waiting sync.WaitGroup
		var mu sync.Mutex
		var first, last time.Time
		for _, lock := range locks {
			name := lock.LockName
			waiting.Go(func() {
				if waiter.another(name).WaitForLock(w.ctx) == nil {
					mu.Lock()
					defer mu.Unlock()
					if last = time.Now(); first.IsZero() {
						first = last
					}
				}
			})
		}
		w.pass(2 * theLease)
		gauge := &gauge{}
		renewed := holder.lastRenewal()
		holder.crash()
		waiter.wire.SetHook(gauge.hook)
		waiting.Wait()
		t.Logf("first after %.3f leases, the others within %v, at most %d in flight", float64(first.Sub(renewed))/float64(theLease), last.Sub(first), gauge.most.Load())
		w.Expect(first.Sub(renewed)).To(BeNumerically("<=", theLease+theLease/20))
		w.Expect(gauge.most.Load()).To(BeNumerically("<=", 64+2))
		w.Expect(last.Sub(first)).To(BeNumerically("<=", time.Duration(many/64)*roundTrip*12/10+roundTrip*4))
	})
}

// gauge counts how many requests are under way at once.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) hook(*wire.Call) wire.Fault { return g.around(nil) }

// around counts a request for as long as it takes, whatever becomes of it; nil: it is delivered.
func (g *gauge) around(fault wire.Fault) wire.Fault {
	if fault == nil {
		fault = func(ctx context.Context, c *wire.Call) (*http.Response, error) { return c.Deliver(ctx) }
	}
	return func(ctx context.Context, c *wire.Call) (*http.Response, error) {
		now := g.now.Add(1)
		defer g.now.Add(-1)
		for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
		}
		return fault(ctx, c)
	}
}
