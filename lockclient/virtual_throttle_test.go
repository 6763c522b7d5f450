package lockclient_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/race"
	"github.com/leaderkit/leaderkit/test/wire"
)

// throttled is the answer to a request that goes beyond what the table can do.
func throttled(ctx context.Context, c *wire.Call) (*http.Response, error) {
	if err := wire.Sleep(ctx, roundTrip); err != nil {
		return nil, err
	}
	return wire.Throttle()(ctx, c)
}

// threeOfFive throttles 60 % of all requests: three in a row, then none of two, for each kind of
// request by itself. So a heartbeat has its turn at the fourth attempt at the latest.
func threeOfFive() wire.Hook {
	var mu sync.Mutex
	seen := map[wire.Kind]int{}
	return func(c *wire.Call) wire.Fault {
		mu.Lock()
		defer mu.Unlock()
		n := seen[c.Kind()]
		seen[c.Kind()]++
		if n%5 < 3 {
			return throttled
		}
		return nil
	}
}

// writesASecond throttles all writes beyond a rate. As with DynamoDB, what was left unused can be
// used for a while; here for a second.
func writesASecond(rate float64) wire.Hook {
	var mu sync.Mutex
	left, filled := rate, time.Now()
	return func(c *wire.Call) wire.Fault {
		if c.Operation != "UpdateItem" {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		left, filled = min(left+rate*now.Sub(filled).Seconds(), rate), now
		if left < 1 {
			return throttled
		}
		left--
		return nil
	}
}

// takeover watches how a node takes many locks.
type takeover struct {
	*node
	acquires gauge

	mu      sync.Mutex
	tries   map[string]time.Time // when each lock was tried last
	hasty   int                  // tries that came less than 20 ms after the last one of the same lock
	renewed time.Time            // when a heartbeat was let through last
	overdue time.Duration        // the longest time between two of these
}

// disturb has the node's requests counted, and then throttled as throttle says.
func (n *node) disturb(throttle wire.Hook) *takeover {
	t := &takeover{node: n, tries: map[string]time.Time{}, renewed: n.lastRenewal()}
	n.wire.Reset()
	n.wire.SetHook(func(c *wire.Call) wire.Fault {
		fault := throttle(c)
		switch c.Kind() {
		case wire.Heartbeat:
			if fault == nil {
				t.beat()
			}
		case wire.Acquire:
			t.try(c)
			return t.acquires.around(fault)
		}
		return fault
	})
	return t
}

func (t *takeover) beat() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.overdue, t.renewed = max(t.overdue, time.Since(t.renewed)), time.Now()
}

func (t *takeover) try(c *wire.Call) {
	var body struct{ Key map[string]struct{ S string } }
	if err := json.Unmarshal(c.Body, &body); err != nil {
		t.w.Error(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	name := body.Key["key"].S
	if last, again := t.tries[name]; again && time.Since(last) < 20*time.Millisecond {
		t.hasty++
	}
	t.tries[name] = time.Now()
}

// takeAll has the node wait for all of these locks, and returns when it had the first and the last
// of them. meanwhile is called while they wait.
func (n *node) takeAll(locks []*lockclient.DynamoDBLockClient, meanwhile func()) (first, last time.Time) {
	n.w.Helper()
	var waiting sync.WaitGroup
	var taken atomic.Int64
	var mu sync.Mutex
	for _, lock := range locks {
		name := lock.LockName
		waiting.Go(func() {
			if n.another(name).WaitForLock(n.w.ctx) == nil {
				taken.Add(1)
				mu.Lock()
				defer mu.Unlock()
				if last = time.Now(); first.IsZero() {
					first = last
				}
			}
		})
	}
	meanwhile()
	for end := time.Now().Add(5 * time.Minute); taken.Load() < int64(len(locks)) && time.Now().Before(end); {
		n.w.pass(heartbeat / 10)
	}
	n.w.Expect(taken.Load()).To(BeEquivalentTo(len(locks)), "not all were taken in five minutes")
	waiting.Wait()
	return first, last
}

// The waiter's own session is on the same table, whose capacity its takeovers could use up.
func TestADeadSessionsThousandsOfLocksAreTakenOverFromATableThatThrottlesWithoutAStorm(t *testing.T) {
	for _, c := range []struct {
		name     string
		many     int
		throttle func() wire.Hook
	}{
		{"60 % of all requests", 2000, threeOfFive},
		{"all but 100 writes a second", 2000, func() wire.Hook { return writesASecond(100) }},
		{"all but 20 writes a second", 1000, func() wire.Hook { return writesASecond(20) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if race.Enabled {
				c.many /= 10
			}
			virtually(t, func(w *world) {
				holder, waiter := w.member("holder"), w.member("waiter")
				locks := holder.acquireAll(c.many)
				name, err := waiter.Session.Open(w.ctx)
				w.Expect(err).NotTo(HaveOccurred())
				var takes *takeover
				first, last := waiter.takeAll(locks, func() {
					w.pass(2 * theLease)
					holder.crash()
					takes = waiter.disturb(c.throttle())
				})
				kinds := waiter.wire.Kinds()
				t.Logf("%d of %d locks in %v, %d in flight at most, %v between two heartbeats at most", kinds[wire.Acquire], c.many, last.Sub(first), takes.acquires.most.Load(), takes.overdue)
				w.Expect(waiter.Session.Name()).To(Equal(name), "its own session was lost: %v", waiter.Session.Err())
				w.Expect(waiter.Session.Stats().Held).To(Equal(c.many))
				w.Expect(takes.overdue).To(BeNumerically("<=", heartbeat+heartbeat/4), "heartbeats had to stand back")
				w.Expect(takes.acquires.most.Load()).To(BeNumerically("<=", 64))
				w.Expect(takes.hasty).To(BeZero(), "locks were tried again at once")
				// Two for each lock, 64 that leave before anything is known, and what time allows.
				allowed := 2*c.many + 64 + int(last.Sub(first)/(40*time.Millisecond))
				w.Expect(kinds[wire.Acquire]).To(BeNumerically("<=", allowed), "%d requests for %d locks", kinds[wire.Acquire], c.many)
			})
		})
	}
}

// Locks that are free are not taken over, and as many as one likes are acquired at once.
func TestAcquiresFromATableThatThrottlesDoNotStarveTheirSession(t *testing.T) {
	virtually(t, func(w *world) {
		many := 400
		if race.Enabled {
			many = 100
		}
		node := w.member("node")
		name, err := node.Session.Open(w.ctx)
		w.Expect(err).NotTo(HaveOccurred())
		takes := node.disturb(writesASecond(5))
		locks := make([]*lockclient.DynamoDBLockClient, many)
		for i := range locks {
			locks[i] = node.another(fmt.Sprint("free-", i))
		}
		node.takeAll(locks, func() {})
		w.Expect(node.Session.Name()).To(Equal(name), "its own session was lost: %v", node.Session.Err())
		w.Expect(node.Session.Stats().Held).To(Equal(many))
		w.Expect(takes.overdue).To(BeNumerically("<=", heartbeat+heartbeat/2), "heartbeats had to stand back")
	})
}

// A process that is told to stop lets all its locks go at once.
func TestReleasesGiveWayToTheHeartbeatOfTheirSession(t *testing.T) {
	virtually(t, func(w *world) {
		const many = 200
		holder := w.member("holder")
		locks := holder.acquireAll(many)
		holder.wire.Reset()
		holder.wire.SetHook(func(*wire.Call) wire.Fault { return throttled })
		w.pass(heartbeat + heartbeat/10)
		var releasing sync.WaitGroup
		for _, lock := range locks {
			releasing.Go(func() { w.Check(lock.RemoveLock() == nil, "could not release") })
		}
		w.pass(time.Second)
		w.Expect(holder.wire.Kinds()).To(And(HaveKey(wire.Heartbeat), HaveLen(1)), "releases leave while a heartbeat is repeated")
		holder.wire.SetHook(nil)
		releasing.Wait()
		w.Expect(holder.wire.Kinds()).To(HaveKeyWithValue(wire.Release, many))
		for _, lock := range locks {
			w.Expect(w.itemOf(lock.LockName)).To(HaveKeyWithValue("isReleased", s("1")))
		}
	})
}
