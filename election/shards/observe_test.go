package shards

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderkit/leaderkit/test/wire"
)

func TestTheHandlerTellsOfTheGroupAndOfItsOwnPart(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3()
		answer := httptest.NewRecorder()
		w.nodes[1].Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
		var s status
		if err := json.Unmarshal(answer.Body.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if s.Name != theGroup || s.Identity != "b" || s.State != "serving" || s.Shards != 24 || len(s.Leading) != 8 || s.Assigned != 8 ||
			len(s.Members) != 3 || s.Problem != "" || s.LastContact == "" {
			t.Errorf("%s", answer.Body)
		}
		refused := httptest.NewRecorder()
		w.nodes[1].Handler().ServeHTTP(refused, httptest.NewRequest(http.MethodPost, "/", nil))
		if refused.Code != http.StatusMethodNotAllowed {
			t.Errorf("a POST is answered with %d", refused.Code)
		}
	})
}

func TestObserversFindTheLatestState(t *testing.T) {
	virtually(t, func(w *world) {
		n := w.node("a")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		seen := n.Observe(ctx)
		if g := <-seen; len(g.Members) != 0 || g.Leading != 0 {
			t.Errorf("before Run: %+v", g)
		}
		n.run()
		w.pass(2 * theLease)
		if g := <-seen; len(g.Members) != 1 || g.Leading != 12 || g.Shards != 12 || !g.Members[0].Self || g.Members[0].Shards != 12 {
			t.Errorf("a slow observer finds %+v", g)
		}
		n.stop()
		synctest.Wait()
		if g := <-seen; len(g.Members) != 0 {
			t.Errorf("after Run: %+v", g)
		}
	})
}

func TestSilenceOfTheStoreFailsTheCheckWhereThatIsAskedFor(t *testing.T) {
	virtually(t, func(w *world) {
		a := w.node("a", func(_ *node, c *Config) { c.MaxSilence = theLease }).run()
		w.pass(2 * theLease)
		if err := a.Check(0); err != nil {
			t.Error(err)
		}
		a.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
		w.pass(2 * theLease)
		if err := a.Check(time.Hour); !errors.Is(err, ErrNoContact) {
			t.Errorf("two leases without an answer: %v", err)
		}
	})
}

// gauge is a Metrics that keeps the latest figures.
type gauge struct {
	mu                         sync.Mutex
	leading, assigned, members int
	ended                      []string
	age                        time.Duration
}

func (g *gauge) Leading(_ string, shards int) { g.mu.Lock(); g.leading = shards; g.mu.Unlock() }
func (g *gauge) Assigned(_ string, shards, members int) {
	g.mu.Lock()
	g.assigned, g.members = shards, members
	g.mu.Unlock()
}
func (g *gauge) SinceHeartbeat(_ string, age time.Duration) {
	g.mu.Lock()
	g.age = max(g.age, age)
	g.mu.Unlock()
}
func (g *gauge) TermEnded(_, _ string, _ time.Duration, cause string) {
	g.mu.Lock()
	g.ended = append(g.ended, cause)
	g.mu.Unlock()
}

func TestMetricsTellWhatIsLed(t *testing.T) {
	virtually(t, func(w *world) {
		g := &gauge{}
		w.node("a", func(_ *node, c *Config) { c.Metrics = g }).run()
		w.balanced(time.Minute, 12)
		w.pass(theLease)
		w.node("b").run()
		w.balanced(time.Minute, 6, 6)
		w.pass(time.Second)
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.leading != 6 || g.assigned != 6 || g.members != 2 || len(g.ended) != 6 || !strings.Contains(g.ended[0], "belongs to another") {
			t.Errorf("%d led, %d assigned of %d members, ended: %v", g.leading, g.assigned, g.members, g.ended)
		}
		if g.age <= 0 || g.age > 2*heartbeat {
			t.Errorf("the oldest lease was %v", g.age)
		}
	})
}
