package bench

import (
	"context"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// releases is a series of trials: one holds, one waits, the holder releases.
type releases struct {
	contest
	scene     string
	drain     func() time.Duration // from the end's announcement to the release
	roundTrip time.Duration
}

type handedOver struct {
	after     time.Duration // from the call of RemoveLock, or the end of the leading context
	notice    time.Duration // of an elector
	reads     int           // of the waiter, while the holder was ending
	roundTrip time.Duration
}

func (r releases) trial(next http.RoundTripper) (handedOver, error) {
	r.lock = uniqueLock()
	lock := r.client(newNode(next, r.roundTrip, 0))
	if err := won(lock.GetLock()); err != nil {
		return handedOver{}, err
	}
	pass(rand.N(r.heartbeat))
	waiter := newNode(next, r.roundTrip, 0)
	x := r.enter(waiter)
	pass(3*r.heartbeat + rand.N(r.heartbeat))

	before := waiter.count("GetItem")
	if r.scene != SceneUnawares {
		if err := lock.AnnounceRelease(context.Background()); err != nil {
			return handedOver{}, err
		}
	}
	pass(r.drain())
	called := time.Now()
	if err := lock.RemoveLock(); err != nil {
		return handedOver{}, err
	}
	at, err := x.wins(3 * r.lease)
	if err != nil {
		x.quit()
		return handedOver{}, err
	}
	return handedOver{after: at.Sub(called), reads: waiter.count("GetItem") - before, roundTrip: waiter.roundTrip()}, x.leave()
}

func (r releases) result(engine string, trials []handedOver) Handover {
	h := Handover{Engine: engine, Leader: ByLock, Who: r.who, Scene: r.scene, Lease: r.lease, Heartbeat: r.heartbeat}
	var trips []time.Duration
	for _, trial := range trials {
		h.Gap = append(h.Gap, trial.after)
		h.ReadsWhileEnding += float64(trial.reads) / float64(len(trials))
		trips = append(trips, trial.roundTrip)
	}
	h.RoundTrip = Quantile(trips, 0.5)
	return h
}

// scenes are the ways in which a term ends.
func scenes(c contest, roundTrip time.Duration) []releases {
	between := func(low, high float64) func() time.Duration {
		return func() time.Duration {
			return time.Duration((low + rand.Float64()*(high-low)) * float64(c.heartbeat))
		}
	}
	return []releases{
		{c, SceneDrained, between(1.2, 2), roundTrip},
		{c, SceneHasty, between(0, 1), roundTrip},
		{c, SceneUnawares, between(0, 1), roundTrip},
	}
}

func TestMeasureHandoverVirtually(t *testing.T) {
	measurement(t)
	var results []Handover
	for _, who := range []string{ByLock, ByElector} {
		for _, r := range scenes(contest{who: who, lease: 15 * time.Second, heartbeat: 5 * time.Second}, 10*time.Millisecond) {
			results = append(results, r.result(EngineVirtual, inBubbles(t, r.trial)))
		}
		for _, r := range endings(contest{who: who, lease: 15 * time.Second, heartbeat: 5 * time.Second}, 10*time.Millisecond) {
			results = append(results, r.result(EngineVirtual, inBubbles(t, r.trial)))
		}
	}
	measured(t, "handover-virtual", results)
}

// inBubbles carries out trials, each in a bubble with an engine of its own.
func inBubbles[Found any](t *testing.T, trial func(http.RoundTripper) (Found, error)) (found []Found) {
	t.Helper()
	for range many(50, 600) {
		synctest.Test(t, func(t *testing.T) {
			one, err := trial(virtualEngine(t))
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, one)
		})
	}
	return found
}

func TestMeasureHandoverForReal(t *testing.T) {
	measurement(t)
	e := readyEngine(t)
	var results []Handover
	c := contest{who: ByLock, lease: 3 * time.Second, heartbeat: time.Second}
	for _, r := range scenes(c, 0) {
		found, err := atOnce(many(10, 100), many(10, 25), func() (handedOver, error) { return r.trial(e.rt) })
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, r.result(e.name, found))
	}
	c.who = ByElector
	for _, r := range endings(c, 0)[:3] {
		found, err := atOnce(many(10, 100), many(10, 25), func() (handedOver, error) { return r.trial(e.rt) })
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, r.result(e.name, found))
	}
	measured(t, "handover-real", results)
}
