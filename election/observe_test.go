package election

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// All of this runs in synctest bubbles: sleeping takes no time.

var _ = Describe("OnNewLeader", func() {
	It("is called in order, once per change, one call at a time, and a slow one delays nothing", virtually(func(w *world) {
		calls, most := 0, 0
		w.store.seize("one")
		n := w.node("a", func(n *node, c *LeaderElectionConfig) {
			c.Callbacks.OnNewLeader = func(identity string) {
				calls++ // one at a time: the race detector sees any other
				most = max(most, calls)
				time.Sleep(time.Minute)
				n.news.add("%s", identity)
				calls--
			}
		}).run()
		for i, name := range []string{"one", "two", "two", "three"} {
			w.at(time.Duration(i) * 4 * time.Second)
			w.store.seize(name)
		}
		w.at(20 * time.Second)
		w.store.seize("")
		w.until("a leads", n.elector.IsLeader)
		w.Expect(w.now()).To(BeNumerically("<", 30*time.Second), "while the first call is still running")
		w.at(5 * time.Minute)
		w.Expect(n.news.list()).To(Equal([]string{"one", "two", "three", "a"}))
		w.Expect(most).To(Equal(1))
		w.Expect(n.stop()).To(Succeed())
		w.Expect(strays()).To(BeEmpty())
	}))

	It("that does not return keeps Run waiting for a second at most, and what it was not told is dropped", virtually(func(w *world) {
		for _, blocked := range []time.Duration{500 * time.Millisecond, time.Hour} {
			w.store.seize("x")
			release := make(chan struct{})
			n := w.node("a", func(n *node, c *LeaderElectionConfig) {
				c.Callbacks.OnNewLeader = func(identity string) { <-release; n.news.add("%s", identity) }
			}).run()
			w.at(w.now() + 5*time.Second)
			w.store.seize("y")
			w.at(w.now() + 5*time.Second)
			n.cancel(nil)
			began := w.now()
			time.AfterFunc(blocked, func() { close(release) }) // virtual
			w.Expect(n.wait()).To(Succeed())
			w.Expect(w.now() - began).To(Equal(min(blocked, time.Second)))
			w.at(began + 2*blocked)
			if blocked < time.Second {
				w.Expect(n.news.list()).To(Equal([]string{"x", "y"}))
			} else {
				w.Expect(n.news.list()).To(Equal([]string{"x"}))
			}
			w.Expect(strays()).To(BeEmpty())
		}
	}))

	It("is not called for a vacancy, nor again for the same identity", virtually(func(w *world) {
		n := w.node("a").lead()
		w.Expect(n.elector.Resign(w.ctx)).To(Succeed())
		w.until("a leads again", n.elector.IsLeader)
		w.Expect(n.stop()).To(Succeed())
		w.Expect(n.news.list()).To(Equal([]string{"a"}))
	}))

	It("may be absent", virtually(func(w *world) {
		n := w.node("a", func(n *node, c *LeaderElectionConfig) { c.Callbacks.OnNewLeader = nil }).lead()
		w.Expect(n.stop()).To(Succeed())
	}))
})

var _ = Describe("Observe", func() {
	// follow keeps everything that an observer receives.
	follow := func(n *node) (seen func() []Leader, closed <-chan struct{}) {
		var list []Leader
		done := make(chan struct{})
		ch := n.elector.Observe(n.w.ctx)
		go func() {
			defer close(done)
			for l := range ch {
				list = append(list, l)
			}
		}()
		return func() []Leader { n.w.settled(); return list }, done
	}

	It("reports every change, vacancies included, with the token of each tenure", virtually(func(w *world) {
		n := w.node("a")
		seen, _ := follow(n)
		n.lead()
		w.Expect(seen()).To(Equal([]Leader{{Identity: "a", FencingToken: 1, Self: true}}))
		w.Expect(n.elector.Resign(w.ctx)).To(Succeed())
		w.until("a leads again", n.elector.IsLeader)
		w.store.seize("b")
		w.at(time.Minute)
		w.Expect(seen()).To(HaveExactElements(
			Leader{Identity: "a", FencingToken: 1, Self: true},
			Leader{},
			Leader{Identity: "a", FencingToken: 2, Self: true},
			Leader{},
			Leader{Identity: "b", FencingToken: 3},
			Leader{Identity: "a", FencingToken: 4, Self: true},
		))
		w.Expect(Leader{}.Vacant()).To(BeTrue())
		w.Expect(n.stop()).To(Succeed())
		w.Expect(seen()[6]).To(Equal(Leader{}))
		w.Expect(n.elector.GetLeader()).To(BeEmpty())
	}))

	It("reports a holder without a name as a vacancy", virtually(func(w *world) {
		w.store.seize("b")
		n := w.node("a").run()
		w.settled()
		r := &run{LeaderElector: n.elector}
		r.refused(&refusal{storeView: storeView{token: 9}})
		w.Expect(n.elector.GetLeader()).To(BeEmpty())
		w.Expect(n.stop()).To(Succeed())
	}))

	It("starts with the present state, and each observer has its own channel", virtually(func(w *world) {
		n := w.node("a").lead()
		one, two := n.elector.Observe(w.ctx), n.elector.Observe(w.ctx)
		w.Expect(<-one).To(Equal(Leader{Identity: "a", FencingToken: 1, Self: true}))
		w.Expect(<-two).To(Equal(Leader{Identity: "a", FencingToken: 1, Self: true}))
		w.Expect(n.stop()).To(Succeed())
		w.Expect(<-one).To(Equal(Leader{}))
		w.Expect(<-two).To(Equal(Leader{}))
	}))

	It("never blocks the elector: a slow observer finds the latest state", virtually(func(w *world) {
		n := w.node("a")
		ch := n.elector.Observe(w.ctx)
		n.run()
		for range 10 {
			w.until("a leads", n.elector.IsLeader)
			w.Expect(n.elector.Resign(w.ctx)).To(Succeed())
		}
		w.until("a leads", n.elector.IsLeader)
		w.Expect(<-ch).To(Equal(Leader{Identity: "a", FencingToken: 11, Self: true}))
		w.Expect(n.stop()).To(Succeed())
	}))

	It("closes its channel when its context ends, and not when Run returns", virtually(func(w *world) {
		n := w.node("a")
		ctx, cancel := context.WithCancel(w.ctx)
		ch := n.elector.Observe(ctx)
		n.lead()
		w.Expect(n.stop()).To(Succeed())
		w.Expect(<-ch).To(Equal(Leader{}))
		n.lead()
		w.Expect(<-ch).To(Equal(Leader{Identity: "a", FencingToken: 2, Self: true}))
		cancel()
		w.settled()
		_, open := <-ch
		w.Expect(open).To(BeFalse())
		late := n.elector.Observe(cancelled())
		w.settled()
		for range late { // at most what was known, then closed
		}
		w.Expect(n.elector.board.observers).To(BeEmpty())
		w.Expect(n.stop()).To(Succeed())
	}))
})

var _ = Describe("Handler", func() {
	get := func(e *LeaderElector, method string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		e.Handler().ServeHTTP(rec, httptest.NewRequest(method, "/", nil))
		return rec
	}

	It("answers who leads, as JSON", virtually(func(w *world) {
		n := w.node("a")
		decode := func() (m map[string]any) {
			rec := get(n.elector, http.MethodGet)
			w.Expect(rec.Code).To(Equal(http.StatusOK))
			w.Expect(rec.Header().Get("Content-Type")).To(Equal("application/json"))
			w.Expect(json.Unmarshal(rec.Body.Bytes(), &m)).To(Succeed())
			return m
		}
		at := func(d time.Duration) string { return w.start.Add(d).UTC().Format(time.RFC3339) }
		w.Expect(decode()).To(Equal(map[string]any{"name": "", "identity": "a", "isLeader": false, "state": "idle", "election": "test"}))
		w.store.seize("b")
		n.run()
		w.settled()
		w.Expect(decode()).To(Equal(map[string]any{"name": "b", "fencingToken": 1.0, "identity": "a", "isLeader": false, "state": "campaigning", "election": "test",
			"since": at(0), "lastContact": at(0), "recent": []any{
				map[string]any{"name": "b", "fencingToken": 1.0, "how": "first", "since": at(0)},
			}}))
		w.until("a leads", n.elector.IsLeader)
		w.Expect(decode()).To(Equal(map[string]any{"name": "a", "fencingToken": 2.0, "identity": "a", "isLeader": true, "state": "leading", "election": "test",
			"since": at(testLease), "lastContact": at(testLease), "recent": []any{
				map[string]any{"name": "a", "fencingToken": 2.0, "how": "expired", "since": at(testLease)},
				map[string]any{"name": "b", "fencingToken": 1.0, "how": "first", "since": at(0), "until": at(testLease)},
			}}))
		w.Expect(n.elector.Resign(w.ctx)).To(Succeed())
		w.settled()
		w.Expect(decode()).To(HaveKeyWithValue("state", "standing aside"))
		w.Expect(n.stop()).To(Succeed())
		w.Expect(decode()).To(HaveKeyWithValue("state", "idle"))
	}))

	It("answers a browser with a page, in which everything of others is escaped, and remembers ten leaders", virtually(func(w *world) {
		n := w.node("a").run()
		for i := range 12 {
			w.store.seize(fmt.Sprintf("<script>alert(%d)</script>", i))
			w.at(time.Duration(i+1) * testHeartbeat)
		}
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		rec := httptest.NewRecorder()
		n.elector.Handler().ServeHTTP(rec, req)
		page := rec.Body.String()
		w.Expect(rec.Code).To(Equal(http.StatusOK))
		w.Expect(rec.Header().Get("Content-Type")).To(HavePrefix("text/html"))
		w.Expect(rec.Header().Get("Content-Security-Policy")).To(HavePrefix("default-src 'none'"))
		w.Expect(rec.Header().Get("Vary")).To(Equal("Accept"))
		w.Expect(page).NotTo(ContainSubstring("<script"))
		w.Expect(page).To(ContainSubstring("&lt;script&gt;alert(11)&lt;/script&gt; leads"))
		w.Expect(page).To(And(ContainSubstring("campaigning"), ContainSubstring("the store answered"), ContainSubstring("so far")))
		w.Expect(strings.Count(page, "<tr><td>")).To(Equal(10))
		w.Expect(n.stop()).To(Succeed())
	}))

	It("warns on the page that another may lead, if the store has not answered for a lease", virtually(func(w *world) {
		page := func(n *node) string {
			req := httptest.NewRequest(http.MethodGet, "/", nil)
			req.Header.Set("Accept", "text/html")
			rec := httptest.NewRecorder()
			n.elector.Handler().ServeHTTP(rec, req)
			return rec.Body.String()
		}
		w.node("a").lead()
		n := w.node("b").run()
		w.at(testHeartbeat)
		n.lock.setBefore(cut(everything...))
		w.at(testLease)
		w.Expect(page(n)).To(And(ContainSubstring("<title>a leads"), ContainSubstring(">a leads</p>"), Not(ContainSubstring("may lead by now"))))
		w.at(testLease + 2*testHeartbeat)
		w.Expect(page(n)).To(And(ContainSubstring("<title>out of date"), ContainSubstring("a led when the store last answered"),
			ContainSubstring("another replica may lead by now"), Not(ContainSubstring("a leads"))))
		n.lock.setBefore(nil)
		w.at(3 * testLease)
		w.Expect(page(n)).To(And(ContainSubstring("<title>a leads"), Not(ContainSubstring("may lead by now"))))
	}))

	It("can only be read", virtually(func(w *world) {
		n := w.node("a")
		rec := get(n.elector, http.MethodPost)
		w.Expect(rec.Code).To(Equal(http.StatusMethodNotAllowed))
		w.Expect(rec.Header().Get("Allow")).To(Equal("GET, HEAD"))
	}))

	It("names each state of the drawing as the elector goes through it", virtually(func(w *world) {
		release := make(chan struct{})
		n := w.node("a", stubborn(release)).lead()
		state := func() string { n.elector.mu.Lock(); defer n.elector.mu.Unlock(); return n.elector.state.String() }
		w.Expect(state()).To(Equal("leading"))
		w.at(time.Second)
		n.lock.setBefore(cut(everything...))
		w.at(11 * time.Second)
		w.Expect(state()).To(Equal("draining"))
		w.at(15 * time.Second)
		w.Expect(state()).To(Equal("overdue"))
		n.lock.setBefore(func(ctx context.Context, op operation) error {
			if op == opRelease {
				time.Sleep(time.Second)
			}
			return nil
		})
		close(release)
		w.until("a leads again", n.elector.IsLeader)
		n.cancel(nil)
		w.settled()
		w.Expect(state()).To(Equal("releasing"))
		w.Expect(n.wait()).To(Succeed())
	}))
})
