package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// crashes is a series of trials: one holds, one waits, the holder crashes.
type crashes struct {
	contest
	scene             string
	roundTrip, jitter time.Duration
}

type gap struct {
	sinceSent, sinceCommitted, roundTrip time.Duration
	reads                                int
}

// trial carries one out. next is the way to the engine, where the table is.
func (c crashes) trial(next http.RoundTripper) (gap, error) {
	c.lock = uniqueLock()
	holder := newNode(next, c.roundTrip, c.jitter)
	lock := c.client(holder)
	if err := won(lock.GetLock()); err != nil {
		return gap{}, err
	}
	defer lock.StopHeartbeat()
	pass(rand.N(c.heartbeat)) // so that the waiter's start has nothing to do with the holder's rhythm

	waiter := newNode(next, c.roundTrip, c.jitter)
	x := c.enter(waiter)
	if c.scene == SceneFresh {
		pass(rand.N(c.heartbeat))
	} else {
		pass(4*c.heartbeat + rand.N(4*c.heartbeat))
	}
	reads := waiter.count("GetItem")
	if c.scene == SceneEnding {
		if err := lock.AnnounceRelease(context.Background()); err != nil {
			return gap{}, err
		}
	}
	holder.crash()
	at, err := x.wins(3 * c.lease)
	if err != nil {
		x.quit()
		return gap{}, err
	}
	sent, committed := holder.lastRenewal()
	return gap{at.Sub(sent), at.Sub(committed), waiter.roundTrip(), waiter.count("GetItem") - reads}, x.leave()
}

// pass lets time go by.
func pass(d time.Duration) { <-time.NewTimer(d).C }

func (c crashes) result(engine string, gaps []gap) Failover {
	f := Failover{Engine: engine, Who: c.who, Scene: c.scene, Lease: c.lease, Heartbeat: c.heartbeat}
	var trips []time.Duration
	for _, g := range gaps {
		f.SinceSent = append(f.SinceSent, g.sinceSent)
		f.SinceCommitted = append(f.SinceCommitted, g.sinceCommitted)
		f.Reads += float64(g.reads) / float64(len(gaps))
		trips = append(trips, g.roundTrip)
	}
	f.RoundTrip = Quantile(trips, 0.5)
	return f
}

func TestMeasureFailoverVirtually(t *testing.T) {
	measurement(t)
	var results []Failover
	add := func(c crashes, trials int) {
		var gaps []gap
		for range trials {
			synctest.Test(t, func(t *testing.T) {
				g, err := c.trial(virtualEngine(t))
				if err != nil {
					t.Fatal(err)
				}
				gaps = append(gaps, g)
			})
		}
		results = append(results, c.result(EngineVirtual, gaps))
	}
	for _, lease := range []time.Duration{3 * time.Second, 5 * time.Second, 15 * time.Second, 60 * time.Second} {
		add(crashes{contest{who: ByLock, lease: lease, heartbeat: lease / 3}, SceneSettled, 10 * time.Millisecond, 0}, many(50, 600))
	}
	const lease, heartbeat = 15 * time.Second, 5 * time.Second
	by := func(who string) contest { return contest{who: who, lease: lease, heartbeat: heartbeat} }
	add(crashes{by(ByLock), SceneSettled, 10 * time.Millisecond, 20 * time.Millisecond}, many(50, 600))
	add(crashes{by(ByLock), SceneFresh, 10 * time.Millisecond, 0}, many(50, 600))
	add(crashes{by(ByLock), SceneEnding, 10 * time.Millisecond, 0}, many(50, 600))
	add(crashes{by(ByElector), SceneSettled, 10 * time.Millisecond, 0}, many(50, 600))
	add(crashes{by(ByElector), SceneFresh, 10 * time.Millisecond, 0}, many(50, 600))
	measured(t, "failover-virtual", results)
}

// virtualEngine is an engine with the table, inside a bubble.
func virtualEngine(t *testing.T) http.RoundTripper {
	t.Helper()
	rt := dynamotest.Transport(dynamotest.New())
	ensureTable(t, wire.NewClient(rt))
	return rt
}

func TestMeasureFailoverForReal(t *testing.T) {
	measurement(t)
	e := readyEngine(t)
	var results []Failover
	for _, c := range []crashes{
		{contest{who: ByLock, lease: 3 * time.Second, heartbeat: time.Second}, SceneSettled, 0, 0},
		{contest{who: ByElector, lease: 3 * time.Second, heartbeat: time.Second}, SceneSettled, 0, 0},
		{contest{who: ByLock, lease: 3 * time.Second, heartbeat: time.Second}, SceneFresh, 0, 0},
	} {
		gaps, err := atOnce(many(10, 120), many(10, 40), func() (gap, error) { return c.trial(e.rt) })
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, c.result(e.name, gaps))
	}
	measured(t, "failover-real", results)
}

// atOnce carries out trials, so many at a time, and returns what they found.
func atOnce[Found any](trials, atATime int, trial func() (Found, error)) ([]Found, error) {
	var mu sync.Mutex
	var found []Found
	var failed []error
	var running sync.WaitGroup
	slots := make(chan struct{}, atATime)
	for i := range trials {
		if i > 0 && i < atATime {
			pass(rand.N(100 * time.Millisecond)) // or they would all be in step
		}
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			f, err := trial()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, fmt.Errorf("trial %d: %w", i, err))
				return
			}
			found = append(found, f)
		})
	}
	running.Wait()
	return found, errors.Join(failed...)
}
