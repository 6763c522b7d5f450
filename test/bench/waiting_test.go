package bench

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/wire"
)

// waits is one holder and its waiters in a steady state.
type waits struct {
	contest
	waiters           int
	roundTrip, jitter time.Duration
	heartbeats        int // how many to watch
}

// warmUp is how many heartbeats waiters are given to find the holder's rhythm.
const warmUp = 6

// watch runs it on an engine that has the table. It belongs into a bubble.
func (w waits) watch(next http.RoundTripper) (Waiting, error) {
	w.lock = uniqueLock()
	result := Waiting{Who: w.who, Waiters: w.waiters, Lease: w.lease, Heartbeat: w.heartbeat, RoundTrip: w.roundTrip, Jitter: w.jitter}
	commits := &commits{next: next}
	holder := newNode(commits, w.roundTrip, w.jitter)
	lock := w.client(holder)
	if err := won(lock.GetLock()); err != nil {
		return result, err
	}
	metered := wire.New(next)
	metered.Meter()
	seen := make([]*sightings, w.waiters)
	contenders := make([]*contender, w.waiters)
	for i := range contenders {
		seen[i] = &sightings{next: newNode(metered, w.roundTrip, w.jitter), first: map[int]time.Time{}}
		pass(rand.N(w.heartbeat / time.Duration(w.waiters)))
		contenders[i] = w.enter(newNode(seen[i], 0, 0))
	}
	pass(warmUp * w.heartbeat)

	metered.Reset()
	first := commits.count()
	pass(time.Duration(w.heartbeats) * w.heartbeat)
	last := commits.count()
	result.Heartbeats = last - first
	result.Reads, result.Writes = metered.Count("GetItem"), metered.Count("UpdateItem")
	result.ReadUnits = metered.Capacity().Read
	pass(w.heartbeat / 2) // for the last of those heartbeats to be seen
	for i := range seen {
		result.Lag = append(result.Lag, commits.lags(seen[i], first+1, last)...)
	}
	result.Lag = thinned(result.Lag, keptSamples)
	for _, x := range contenders {
		x.quit()
		<-x.done
	}
	return result, lock.RemoveLock()
}

var _ = Describe("A waiter", func() {
	for _, c := range []struct {
		who              string
		waiters          int
		lease, heartbeat time.Duration
		jitter           time.Duration
	}{
		{ByLock, 1, 15 * time.Second, 5 * time.Second, 0},
		{ByLock, 10, 15 * time.Second, 5 * time.Second, 0},
		{ByLock, 2, 3 * time.Second, 700 * time.Millisecond, 0},
		{ByLock, 2, time.Minute, 20 * time.Second, 0},
		{ByLock, 2, 15 * time.Second, 5 * time.Second, 10 * time.Millisecond},
		{ByElector, 2, 15 * time.Second, 5 * time.Second, 0},
	} {
		w := waits{contest{who: c.who, lease: c.lease, heartbeat: c.heartbeat}, c.waiters, 10 * time.Millisecond, c.jitter, 40}
		It(fmt.Sprintf("costs at most 1.25 reads of half a unit and no write per heartbeat: %d by the %s, lease %v, heartbeat %v, jitter %v",
			c.waiters, c.who, c.lease, c.heartbeat, c.jitter), func() {
			var result Waiting
			var err error
			synctest.Test(suite, func(t *testing.T) { result, err = w.watch(virtualEngine(t)) })
			Expect(err).NotTo(HaveOccurred())
			Expect(result.Heartbeats).To(BeNumerically("~", w.heartbeats, 1))
			Expect(result.ReadsPerHeartbeat()).To(And(BeNumerically(">", 0.9), BeNumerically("<=", 1.25)))
			Expect(result.Writes).To(BeZero())
			Expect(result.ReadUnits).To(Equal(0.5 * float64(result.Reads)))
		})
	}
})

var _ = Describe("A leader and two waiters", func() {
	for _, lease := range Leases {
		It(fmt.Sprintf("cost in a lease of %v what the table in lockclient/README.md says", lease), func() {
			const heartbeats = 50
			var c Cost
			var err error
			synctest.Test(suite, func(t *testing.T) {
				c, err = steadyCost(virtualEngine(t), contest{who: ByElector, lease: lease, heartbeat: lease / 3}, heartbeats)
			})
			Expect(err).NotTo(HaveOccurred())
			due := Formula(c.Waiters, c.Heartbeat, c.Window)
			Expect(c.Write).To(BeNumerically("~", due.Write, 1))
			Expect(c.Read).To(And(BeNumerically(">=", 0.9*due.Read), BeNumerically("<=", 1.25*due.Read)))
			Expect(c.Requests).To(And(HaveLen(2), HaveKey("UpdateItem"), HaveKey("GetItem")))
		})
	}
})

func TestMeasureWaiting(t *testing.T) {
	measurement(t)
	var results []Waiting
	for _, who := range []string{ByLock, ByElector} {
		for _, waiters := range []int{1, 10, 100} {
			for _, jitter := range []time.Duration{0, 20 * time.Millisecond} {
				w := waits{contest{who: who, lease: 15 * time.Second, heartbeat: 5 * time.Second}, waiters, 10 * time.Millisecond, jitter, many(20, 200)}
				synctest.Test(t, func(t *testing.T) {
					result, err := w.watch(virtualEngine(t))
					if err != nil {
						t.Fatal(err)
					}
					results = append(results, result)
				})
			}
		}
	}
	measured(t, "waiting", results)
}

func TestMeasureCost(t *testing.T) {
	measurement(t)
	var results []Cost
	for _, who := range []string{ByLock, ByElector} {
		for _, lease := range Leases {
			synctest.Test(t, func(t *testing.T) {
				c, err := steadyCost(virtualEngine(t), contest{who: who, lease: lease, heartbeat: lease / 3}, many(50, 500))
				if err != nil {
					t.Fatal(err)
				}
				results = append(results, c)
			})
		}
	}
	measured(t, "cost", results)
}

// steadyCost counts what a leader and two waiters send in so many heartbeats.
func steadyCost(next http.RoundTripper, c contest, heartbeats int) (Cost, error) {
	c.lock = uniqueLock()
	w := wire.New(next)
	w.Meter()
	var contenders []*contender
	for range 1 + Waiters {
		contenders = append(contenders, c.enter(newNode(w, 10*time.Millisecond, 0)))
		pass(c.heartbeat / 3)
	}
	pass(warmUp*c.heartbeat + c.heartbeat/7) // so that the window doesn't begin and end where something is sent
	w.Reset()
	window := time.Duration(heartbeats) * c.heartbeat
	pass(window)
	capacity := w.Capacity()
	result := Cost{Who: c.who, Waiters: Waiters, Lease: c.lease, Heartbeat: c.heartbeat, Window: window,
		Requests: w.Counts(), Read: capacity.Read, Write: capacity.Write}
	for i := range contenders { // the waiters first, or one of them would lead
		if err := contenders[len(contenders)-1-i].leave(); err != nil {
			return result, err
		}
	}
	return result, nil
}
