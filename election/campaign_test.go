package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// leads says whether a node on a fresh lock client wins within that time.
func leadsWithin(w *world, n *node, d time.Duration) bool {
	n.run()
	w.at(w.now() + d)
	won := n.elector.IsLeader()
	w.Expect(n.stop()).To(Succeed())
	return won
}

var _ = Describe("A candidate, in client-go's scenarios", func() {
	promise("acquires from no record", func(w *world) {
		w.Expect(leadsWithin(w, w.node("baz"), time.Millisecond)).To(BeTrue())
	})

	promise("acquires from a released record, with a higher token", func(w *world) {
		bing := w.node("bing").lead()
		before, _ := TermFromContext(bing.leadingCtx())
		w.Expect(bing.stop()).To(Succeed())
		n := w.node("baz").lead()
		w.Expect(w.now()).To(BeZero())
		term, _ := TermFromContext(n.leadingCtx())
		w.Expect(term.FencingToken).To(BeNumerically(">", before.FencingToken))
		w.Expect(n.stop()).To(Succeed())
	})

	promise("acquires from another's record once it has seen it unchanged for its lease, and not before", func(w *world) {
		w.store.seize("bing")
		n := w.node("baz").lead()
		w.Expect(n.journal.when("started")).To(Equal(testLease))
		w.Expect(n.news.list()).To(Equal([]string{"bing", "baz"}))
		w.Expect(n.stop()).To(Succeed())
	})

	promise("does not acquire another's live record", func(w *world) {
		bing := w.node("bing").lead()
		baz := w.node("baz").run()
		w.at(10 * time.Minute)
		w.Expect(bing.elector.IsLeader()).To(BeTrue())
		w.Expect(baz.elector.IsLeader()).To(BeFalse())
		w.Expect(baz.elector.GetLeader()).To(Equal("bing"))
		w.Expect(baz.elector.Check(0)).To(Succeed())
		w.Expect(baz.stop()).To(Succeed())
		w.Expect(baz.journal.list()).To(BeEmpty(), "no OnStoppedLeading without OnStartedLeading")
		w.Expect(w.store.holder()).To(Equal("bing"))
		w.Expect(bing.stop()).To(Succeed())
	})

	promise("renews its own", func(w *world) {
		n := w.node("baz").lead()
		w.at(time.Hour)
		w.Expect(n.journal.list()).To(Equal([]string{"started"}))
		w.Expect(n.elector.IsLeader()).To(BeTrue())
		w.Expect(n.stop()).To(Succeed())
	})

	promise("keeps leading through errors that end before RenewDeadline", func(w *world) {
		n := w.node("baz").lead()
		for i := range 20 {
			w.at(time.Duration(i) * 30 * time.Second)
			n.lock.setBefore(cut(opRenew))
			w.at(time.Duration(i)*30*time.Second + 5*time.Second) // at most 8 s after the last renewal, and the lock retries every 1.5 s
			n.lock.setBefore(nil)
		}
		w.Expect(n.journal.list()).To(Equal([]string{"started"}))
		w.Expect(n.stop()).To(Succeed())
	})

	promise("releases what it holds, and nothing of another's", func(w *world) {
		n := w.node("baz").lead()
		w.Expect(n.stop()).To(Succeed())
		w.Expect(w.store.holder()).To(BeEmpty())
		n.lead()
		w.store.seize("bing") // between two heartbeats
		w.Expect(n.stop()).To(Succeed())
		w.Expect(w.store.holder()).To(Equal("bing"))
	})

	promise("reports the leader it sees", func(w *world) {
		w.store.seize("bing")
		n := w.node("baz").run()
		w.settled()
		w.Expect(n.elector.GetLeader()).To(Equal("bing"))
		w.Expect(n.news.list()).To(Equal([]string{"bing"}))
		w.Expect(n.stop()).To(Succeed())
	})
})

var _ = Describe("A candidate", func() {
	It("pauses between 1 and JitterFactor times RetryPeriod, and not always the same", virtually(func(w *world) {
		w.store.seize("bing")
		n := w.node("baz")
		n.fake().next = func(time.Duration) time.Duration { return 0 } // no opinion
		w.fake().lease = time.Hour
		var polls []time.Duration
		n.fake().before = func(context.Context, operation) error { polls = append(polls, w.now()); return nil }
		n.run()
		w.at(30 * time.Minute)
		w.Expect(n.stop()).To(Succeed())
		least, most := time.Hour, time.Duration(0)
		for i := range polls[1:] {
			pause := polls[i+1] - polls[i]
			w.Expect(pause).To(BeNumerically(">=", testRetry))
			w.Expect(pause).To(BeNumerically("<", testRetry*12/10))
			least, most = min(least, pause), max(most, pause)
		}
		w.Expect(len(polls)).To(BeNumerically(">", 700))
		w.Expect(least).To(BeNumerically("<", testRetry*103/100))
		w.Expect(most).To(BeNumerically(">", testRetry*117/100))
	}))

	It("has its own random source, so two that start together do not stay together", virtually(func(w *world) {
		w.store.seize("bing")
		pauses := map[time.Duration]bool{}
		for i := range 20 {
			pauses[(&run{LeaderElector: w.node(fmt.Sprint(i)).elector}).pause()] = true
		}
		w.Expect(len(pauses)).To(BeNumerically(">=", 19))
	}))

	It("takes its jitter from Rand and its factor from JitterFactor where they are given", virtually(func(w *world) {
		n := w.node("a", func(n *node, c *LeaderElectionConfig) {
			c.Rand = func() float64 { return 0.5 }
			c.JitterFactor = 3
		})
		w.Expect((&run{LeaderElector: n.elector}).pause()).To(Equal(2 * testRetry))
	}))

	It("polls earlier if the lock knows that an earlier poll can show something new, but never in a busy loop", virtually(func(w *world) {
		w.store.seize("bing")
		w.fake().lease = time.Hour
		n := w.node("baz")
		n.fake().next = func(time.Duration) time.Duration { return 300 * time.Millisecond }
		n.run()
		w.at(2999 * time.Millisecond)
		w.Expect(w.store.pollCount()).To(Equal(10))
		w.Expect(n.stop()).To(Succeed())

		busy := w.node("busy")
		busy.fake().next = func(time.Duration) time.Duration { return 1 }
		before := w.store.pollCount()
		busy.run()
		w.at(w.now() + 100*time.Millisecond)
		w.Expect(w.store.pollCount() - before).To(BeNumerically("<=", 101))
		w.Expect(busy.stop()).To(Succeed())
	}))

	It("without a RetryPeriod polls exactly when the lock says, and by RetryPeriod's default if the lock does not say", virtually(func(w *world) {
		w.store.seize("bing")
		w.fake().lease = time.Hour
		n := w.node("baz", func(n *node, c *LeaderElectionConfig) {
			c.RetryPeriod = 0
			c.Rand = func() float64 { return 0.5 }
		})
		opinions := []time.Duration{20 * time.Millisecond, 30 * time.Second, 0, 2 * time.Second}
		asked := 0
		n.fake().next = func(time.Duration) time.Duration { asked++; return opinions[(asked-1)%len(opinions)] }
		var polls []time.Duration
		n.fake().before = func(context.Context, operation) error { polls = append(polls, w.now()); return nil }
		n.run()
		w.at(time.Minute)
		w.Expect(n.stop()).To(Succeed())
		at := func(ds ...time.Duration) (sums []time.Duration) {
			var sum time.Duration
			for _, d := range ds {
				sum += d
				sums = append(sums, sum)
			}
			return sums
		}
		byDefault := testHeartbeat * 11 / 10
		w.Expect(polls[:6]).To(Equal(at(0, 20*time.Millisecond, 30*time.Second, byDefault, 2*time.Second, 20*time.Millisecond)))
	}))

	It("never polls in a busy loop, however small its RetryPeriod", virtually(func(w *world) {
		n := w.node("baz", func(n *node, c *LeaderElectionConfig) { c.RetryPeriod = 1 })
		w.store.seize("bing")
		n.run()
		w.at(100 * time.Millisecond)
		w.Expect(w.store.pollCount()).To(BeNumerically("~", 100, 2))
		w.Expect(n.stop()).To(Succeed())
	}))

	It("backs off from errors, doubling its pause up to the lease, and is back at RetryPeriod after an answer", virtually(func(w *world) {
		n := w.node("baz", func(n *node, c *LeaderElectionConfig) { c.Rand = func() float64 { return 0 } })
		var polls []time.Duration
		n.fake().before = func(context.Context, operation) error { polls = append(polls, w.now()); return errNetwork }
		n.fake().next = func(time.Duration) time.Duration { return 0 }
		n.run()
		w.at(200 * time.Second)
		var pauses []time.Duration
		for i := range polls[1:] {
			pauses = append(pauses, polls[i+1]-polls[i])
		}
		w.Expect(pauses[:6]).To(Equal([]time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 12500 * time.Millisecond, 12500 * time.Millisecond, 12500 * time.Millisecond}))
		w.Expect(n.elector.Check(0)).To(Succeed(), "a candidate in vain is healthy")

		w.store.seize("bing")
		var answers []time.Duration
		n.lock.setBefore(func(context.Context, operation) error { answers = append(answers, w.now()); return nil })
		w.until("two answers", func() bool { return w.store.pollCount() == 2 })
		w.Expect(answers[1] - answers[0]).To(Equal(testRetry))
		w.Expect(n.stop()).To(Succeed())
	}))

	It("never pauses longer than the lease, whatever the jitter", virtually(func(w *world) {
		n := w.node("baz", func(n *node, c *LeaderElectionConfig) { c.Rand = func() float64 { return 0.9999 } })
		r := &run{LeaderElector: n.elector}
		for failures := 1; failures < 100; failures++ {
			w.Expect(r.backoff(failures)).To(And(BeNumerically(">=", testRetry), BeNumerically("<=", testLease)))
		}
	}))

	It("waits for no answer longer than RenewDeadline: a hung request does not end the campaign", virtually(func(w *world) {
		n := w.node("baz")
		hang := true
		n.fake().before = func(ctx context.Context, op operation) error {
			if op == opPoll && hang {
				hang = false
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		}
		n.lead()
		w.Expect(w.now()).To(BeNumerically("~", testDeadline+testRetry, testRetry))
		w.Expect(n.stop()).To(Succeed())
	}))

	It("returns a permanent error if it is the store's first answer ever, also after errors that are no answer", virtually(func(w *world) {
		n := w.node("baz")
		tries := 0
		n.fake().before = func(context.Context, operation) error {
			if tries++; tries < 4 {
				return errNetwork
			}
			return fmt.Errorf("poll: %w", errGone)
		}
		err := n.run().wait()
		w.Expect(err).To(MatchError(errGone))
		w.Expect(n.journal.list()).To(BeEmpty())
		w.Expect(n.elector.Check(0)).To(Succeed(), "it does not run")
		w.Expect(strays()).To(BeEmpty())
	}))

	It("retries a later permanent error, and fails its health check meanwhile", virtually(func(w *world) {
		n := w.node("baz").lead()
		w.at(time.Second)
		n.lock.setBefore(func(context.Context, operation) error { return errGone })
		w.at(30 * time.Second)
		w.Expect(n.journal.has("stopped")).To(BeTrue())
		w.Expect(n.elector.Check(time.Hour)).To(MatchError(errGone))
		n.lock.setBefore(func(context.Context, operation) error { return errNetwork })
		w.at(60 * time.Second)
		w.Expect(n.elector.Check(time.Hour)).To(Succeed(), "the latest answer counts")
		n.lock.setBefore(nil)
		w.until("it leads again", n.elector.IsLeader)
		w.Expect(n.elector.Check(0)).To(Succeed())
		w.Expect(n.stop()).To(Succeed())
	}))

	It("that RunOrDie runs panics with a permanent error, and returns when its context ends", virtually(func(w *world) {
		n := w.node("baz")
		n.lock.setBefore(func(context.Context, operation) error { return errGone })
		w.Expect(func() { RunOrDie(w.ctx, n.config) }).To(PanicWith(MatchError(errGone)))
		n.lock.setBefore(nil)
		ctx, cancel := context.WithTimeout(w.ctx, time.Second)
		defer cancel()
		RunOrDie(ctx, n.config)
		w.Expect(n.journal.list()).To(HaveExactElements("started", "cancelled", "returned", "stopped", "released"))
	}))

	It("of a herd of 200 neither starves nor floods", virtually(func(w *world) {
		const herd = 200
		var mu sync.Mutex
		terms := map[string]int{}
		var together overlap
		var nodes []*node
		for i := range herd {
			nodes = append(nodes, w.node(fmt.Sprint(i), func(n *node, c *LeaderElectionConfig) {
				c.Callbacks.OnStartedLeading = func(ctx context.Context) {
					defer together.enter(n.id, ctx, w.now())()
					mu.Lock()
					terms[n.id]++
					mu.Unlock()
					select { // lead for a while, then let another
					case <-ctx.Done():
					case <-time.After(5 * time.Second):
					}
				}
			}).run())
		}
		const long = 15 * time.Minute
		w.at(long)
		polls := w.store.pollCount()
		var errs []error
		for _, n := range nodes {
			errs = append(errs, n.stop())
		}
		w.Expect(errors.Join(errs...)).To(Succeed())
		// Each candidate may poll once for each RetryPeriod, jittered, and no more.
		w.Expect(polls).To(BeNumerically("<=", int(herd*long/testRetry)))
		w.Expect(polls).To(BeNumerically(">=", int(herd*long/testRetry)*10/13))
		total := 0
		for _, n := range terms {
			total += n
		}
		w.Expect(total).To(BeNumerically(">", 150), "the lock was never free for long")
		w.Expect(len(terms)).To(BeNumerically(">", total*6/10), "and seldom taken by the same")
		w.Expect(together.found).To(BeEmpty())
		w.Expect(strays()).To(BeEmpty())
	}))
})
