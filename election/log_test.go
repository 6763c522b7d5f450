package election

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// All of this runs in synctest bubbles: sleeping takes no time.

var _ = Describe("An operator", func() {
	leads := func(w *world, n *node) { w.until(n.id+" leads", n.elector.IsLeader); w.settled() }

	promise("sees who leads and how it came to, from each candidate", func(w *world) {
		book := &logbook{}
		watching := w.node("watching", logsTo(book))
		a, b := w.node("a"), w.node("b")
		a.lead()
		watching.run()
		w.settled()
		w.Expect(book.with("new leader", `"name"="test"`, `"identity"="watching"`, `"leader"="a"`, `"how"="first"`)).To(HaveLen(1))

		w.at(4 * time.Second)
		b.run()
		w.at(20 * time.Second)
		watching.lock.setBefore(cut(opPoll))
		w.Expect(a.stop()).To(Succeed())
		leads(w, b)
		watching.lock.setBefore(nil)
		w.until("it follows b", func() bool { return watching.elector.GetLeader() == "b" })
		w.settled()
		w.Expect(book.with("new leader", `"leader"="b"`, `"how"="released"`)).To(HaveLen(1))

		w.at(w.now() + 30*time.Second)
		b.lock.setBefore(cut(everything...))
		leads(w, watching)
		w.Expect(book.with("leading", `"identity"="watching"`, `"how"="expired"`)).To(HaveLen(1))
		b.lock.setBefore(nil)
		w.Expect(watching.stop()).To(Succeed())
		w.Expect(b.stop()).To(Succeed())
		w.Expect(book.errors()).To(BeEmpty())
	})

	promise("sees when and why leading stopped and, apart from that, when the work ended", func(w *world) {
		book := &logbook{}
		a := w.node("a", logsTo(book), drainsFor(4*time.Second)).lead()
		w.at(7 * time.Second)
		a.cancel(nil)
		w.settled()
		w.Expect(book.with(`"msg"="stopped leading"`, `"ledFor"="7s"`, `"cause"="Run's context ended: context canceled"`)).To(HaveLen(1))
		w.Expect(book.with("work ended")).To(BeEmpty())
		w.Expect(a.wait()).To(Succeed())
		w.Expect(book.with(`"msg"="work ended"`, `"took"="4s"`)).To(HaveLen(1))
		w.Expect(book.with(`"msg"="lock released"`, `"level"=1`)).To(HaveLen(1))
		w.Expect(book.errors()).To(BeEmpty())
	})

	promise("sees that renewals are late and on time again", func(w *world) {
		book := &logbook{}
		a := w.node("a", logsTo(book)).lead()
		w.at(time.Second)
		a.lock.setBefore(cut(opRenew))
		w.at(7 * time.Second)
		a.lock.setBefore(nil)
		w.at(15 * time.Second)
		w.Expect(book.with(`"msg"="renewals are late"`, `"level"=0`)).To(HaveLen(1))
		w.Expect(book.with(`"msg"="renewals are on time again"`, `"lateFor"="`)).To(HaveLen(1))
		w.Expect(a.stop()).To(Succeed())
	})

	promise("of a candidate sees that the store is unreachable and reachable again, but nothing of a single error", func(w *world) {
		book := &logbook{}
		w.store.seize("b")
		a := w.node("a", logsTo(book)).run()
		w.at(5 * time.Second)
		one := true
		a.lock.setBefore(func(context.Context, operation) error {
			if one {
				one = false
				return errNetwork
			}
			return nil
		})
		w.at(12 * time.Second)
		w.Expect(book.with("unreachable")).To(BeEmpty())
		a.lock.setBefore(cut(everything...))
		w.at(time.Minute)
		w.Expect(book.with(`"msg"="store unreachable"`, `"level"=0`, errNetwork.Error())).To(HaveLen(1))
		a.lock.setBefore(nil)
		w.until("it leads", a.elector.IsLeader)
		w.settled()
		w.Expect(book.with(`"msg"="store reachable again"`, `"unreachableFor"=`)).To(HaveLen(1))
		w.Expect(a.stop()).To(Succeed())
		w.Expect(book.errors()).To(BeEmpty())
	})

	promise("sees a loss as an error, and work that returns in time after it as none, also after a long stop", func(w *world) {
		book := &logbook{}
		a := w.node("a", logsTo(book), drainsFor(time.Second)).lead()
		w.at(time.Second)
		a.lock.setBefore(cut(everything...))
		a.clock.Pause()
		w.at(30 * time.Second)
		a.clock.resume()
		w.until("it stopped", func() bool { return a.journal.has("stopped") })
		w.Expect(a.stop()).To(Succeed())
		w.Expect(book.errors()).To(HaveLen(1))
		w.Expect(book.errors()[0]).To(And(ContainSubstring(`"msg"="leadership lost"`), ContainSubstring(`"ledFor"=`)))
		w.Expect(book.with("context canceled: context deadline exceeded")).To(BeEmpty())
	})

	promise("sees work that goes on after its lease as an error, once it has had the time to return", func(w *world) {
		book := &logbook{}
		release := make(chan struct{})
		a := w.node("a", logsTo(book), stubborn(release)).lead()
		w.at(time.Second)
		a.lock.setBefore(cut(everything...))
		a.clock.Pause()
		w.at(30 * time.Second)
		a.clock.resume()
		w.at(32 * time.Second)
		w.Expect(book.with("lease over, work still running")).To(BeEmpty())
		w.at(30*time.Second + a.elector.figures.timeToStop() + testHeartbeat/4 + 2*patience)
		w.Expect(book.with("lease over, work still running", `"who"="the work"`)).To(HaveLen(1))
		close(release)
		w.Expect(a.stop()).To(Succeed())
	})

	promise("is not alarmed by a release that fails at shutdown", func(w *world) {
		book := &logbook{}
		a := w.node("a", logsTo(book)).lead()
		w.at(time.Second)
		a.lock.setBefore(func(ctx context.Context, op operation) error {
			<-ctx.Done()
			return ctx.Err()
		})
		w.Expect(a.stop()).To(Succeed())
		w.Expect(book.with(`"msg"="lock not released"`, `"level"=0`, "no answer within")).To(HaveLen(1))
		w.Expect(book.with("context canceled:")).To(BeEmpty())
		w.Expect(book.errors()).To(BeEmpty())
	})

	It("gets one error for a permanent error that lasts, and a message when it is over", virtually(func(w *world) {
		book := &logbook{}
		w.store.seize("b")
		a := w.node("a", logsTo(book)).run()
		w.at(time.Second)
		a.lock.setBefore(func(context.Context, operation) error { return errGone })
		w.at(5 * time.Minute)
		w.Expect(book.errors()).To(HaveLen(1))
		w.Expect(book.with(`"msg"="cannot campaign"`, errGone.text)).To(HaveLen(1))
		a.lock.setBefore(nil)
		w.until("it leads", a.elector.IsLeader)
		w.settled()
		w.Expect(book.with(`"msg"="can campaign again"`)).To(HaveLen(1))
		w.Expect(a.stop()).To(Succeed())
	}))
})

var _ = Describe("LastContact", func() {
	promise("is when the store last answered, of a candidate and of a leader", func(w *world) {
		a := w.node("a")
		w.Expect(a.elector.LastContact()).To(BeZero())
		since := func(n *node) time.Duration { return n.clock.Wall().Sub(n.elector.LastContact()) }
		a.lead()
		w.at(time.Minute)
		w.Expect(since(a)).To(BeNumerically("<=", testHeartbeat))
		b := w.node("b").run()
		w.at(2 * time.Minute)
		w.Expect(since(b)).To(BeNumerically("<=", testHeartbeat+testHeartbeat/10))
		b.lock.setBefore(cut(everything...))
		w.at(4 * time.Minute)
		w.Expect(since(b)).To(BeNumerically("~", 2*time.Minute, testHeartbeat+testHeartbeat/10))
		w.Expect(b.elector.Check(0)).To(Succeed())
		w.Expect(b.stop()).To(Succeed())
		w.Expect(a.stop()).To(Succeed())
	})

	promise("fails Check after MaxSilence, and not for the time in which the elector does not ask", func(w *world) {
		silent := func(_ *node, c *LeaderElectionConfig) { c.MaxSilence = 40 * time.Second }
		a := w.node("a", silent)
		w.at(time.Hour) // made, and not run
		a.lead()
		w.at(w.now() + time.Hour)
		w.Expect(a.elector.Check(0)).To(Succeed())
		a.lock.setBefore(cut(everything...))
		w.at(w.now() + 37*time.Second)
		w.Expect(a.elector.Check(time.Hour)).To(Succeed())
		w.at(w.now() + 41*time.Second)
		w.Expect(a.elector.Check(time.Hour)).To(MatchError(ErrNoContact))
		a.lock.setBefore(nil)
		w.until("it leads again", a.elector.IsLeader)
		w.Expect(a.elector.Check(0)).To(Succeed())
		w.Expect(a.stop()).To(Succeed())
		w.at(w.now() + time.Hour)
		a.lead()
		w.Expect(a.elector.Check(0)).To(Succeed())
		w.Expect(a.stop()).To(Succeed())
	})
})
