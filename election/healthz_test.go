package election

import (
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// All of this runs in synctest bubbles: sleeping takes no time.

// The names are those of client-go's own table.
var _ = Describe("The health check", func() {
	var dog *HealthzAdaptor
	watched := func(n *node, c *LeaderElectionConfig) {
		dog = NewLeaderHealthzAdaptor(10 * time.Second)
		c.WatchDog = dog
	}

	It("is named as client-go's", func() {
		Expect(NewLeaderHealthzAdaptor(0).Name()).To(Equal("leaderElection"))
	})

	It("passes before an elector is there", func() {
		Expect(NewLeaderHealthzAdaptor(time.Second).Check(nil)).To(Succeed())
	})

	promise("passes before the elector runs, while it campaigns, and after it has returned", func(w *world) {
		n := w.node("a", watched)
		w.Expect(dog.Check(nil)).To(Succeed())
		w.store.seize("b")
		n.run()
		w.at(time.Second)
		w.Expect(dog.Check(nil)).To(Succeed())
		w.Expect(n.stop()).To(Succeed())
		w.Expect(dog.Check(nil)).To(Succeed())
	})

	promise("fails when the lease is far expired and the work still runs, also if another holds the lock by then", func(w *world) {
		release := make(chan struct{})
		a := w.node("a", watched, stubborn(release)).lead()
		check := dog
		b := w.node("b").run()
		w.at(time.Second)
		a.lock.setBefore(cut(everything...))
		w.at(40 * time.Second)
		w.Expect(check.Check(nil)).To(MatchError(And(ContainSubstring("test"), ContainSubstring("outlived"))))
		w.Expect(b.elector.IsLeader()).To(BeTrue())
		close(release)
		w.until("a stopped", func() bool { return a.journal.has("stopped") })
		w.settled()
		w.Expect(check.Check(nil)).To(Succeed())
		w.Expect(a.stop()).To(Succeed())
		w.Expect(b.stop()).To(Succeed())
	})

	promise("passes when another holds the lock", func(w *world) {
		b := w.node("b").lead()
		a := w.node("a", watched).run()
		w.at(time.Hour)
		w.Expect(dog.Check(nil)).To(Succeed())
		w.Expect(a.stop()).To(Succeed())
		w.Expect(b.stop()).To(Succeed())
	})

	promise("passes when the lease is fresh", func(w *world) {
		a := w.node("a", watched).lead()
		w.at(time.Hour)
		w.Expect(dog.Check(nil)).To(Succeed())
		w.Expect(a.stop()).To(Succeed())
	})

	promise("passes when the lease is expired by no more than the tolerance, judged at the moment of the call", func(w *world) {
		release := make(chan struct{})
		a := w.node("a", watched, stubborn(release)).lead()
		w.at(time.Second)
		a.lock.setBefore(cut(everything...))
		w.at(testLease*99/100 + 10*time.Second)
		w.Expect(dog.Check(nil)).To(Succeed())
		time.Sleep(time.Nanosecond) // virtual; no timer of the elector is due
		w.Expect(dog.Check(nil)).NotTo(Succeed())
		close(release)
		w.Expect(a.stop()).To(Succeed())
	})

	promise("notices by itself that a paused process has lost its lease", func(w *world) {
		a := w.node("a", watched).lead()
		w.at(time.Second)
		a.clock.Suspend()
		w.at(time.Hour)
		a.elector.mu.Lock()
		term := a.elector.term // which ends when it is looked at
		a.elector.mu.Unlock()
		overdue := time.Hour - testLease*99/100 // since the lease ended, not since anybody was awake to see it
		w.Expect(a.elector.Check(0)).To(MatchError(ContainSubstring("outlived its lease by " + overdue.String())))
		w.Expect(term.lostAt.Load()).NotTo(BeNil())
		a.clock.resume()
		w.Expect(a.stop()).To(Succeed())
	})

	promise("does not race with Run, nor do the others that read", func(w *world) {
		n := w.node("a", watched).run()
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for range 8 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(17 * time.Millisecond):
						_ = dog.Check(nil)
						_ = n.elector.IsLeader()
						_ = n.elector.GetLeader()
					}
				}
			})
		}
		for range 10 {
			w.until("it leads", n.elector.IsLeader)
			w.Expect(n.elector.Resign(w.ctx)).To(Succeed())
		}
		w.Expect(n.stop()).To(Succeed())
		close(stop)
		readers.Wait()
	})
})
