package election

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// All of this runs in synctest bubbles: sleeping takes no time.

func notifies(_ *node, c *LeaderElectionConfig) {
	c.HandoverNotice = true
	c.RetryPeriod = 0 // the lock sets the pace
}

var _ = Describe("A leader with HandoverNotice", func() {
	stateOf := func(n *node) string {
		n.elector.mu.Lock()
		defer n.elector.mu.Unlock()
		return n.elector.state.String()
	}
	onLock := func(text string, body func(w *world)) { It(text+" (lockclient)", virtuallyOn(onLockclient, body)) }

	onLock("leaves nobody leading for less than 100 ms at p99, wherever in its rhythm it is told, though the work ends at once", func(w *world) {
		var gaps []time.Duration
		for i := range 100 {
			a := w.node(fmt.Sprintf("a%d", i), notifies).lead()
			b := w.node(fmt.Sprintf("b%d", i), notifies).run()
			c := w.node(fmt.Sprintf("c%d", i), notifies).run()
			w.at(w.now() + 3*testHeartbeat + time.Duration(i)*testHeartbeat/100 + 7*time.Millisecond)
			told := w.now()
			if i%2 == 0 {
				a.cancel(nil)
			} else {
				go func() { _ = a.elector.Resign(w.ctx) }()
			}
			w.until("another leads", func() bool { return b.elector.IsLeader() || c.elector.IsLeader() })
			next := b
			if c.elector.IsLeader() {
				next = c
			}
			gaps = append(gaps, next.journal.when("started")-a.ends.when("ended"))
			w.Expect(a.ends.when("ended") - told).To(BeNumerically("<=", testHeartbeat*13/10))
			for _, n := range []*node{a, b, c} {
				w.Expect(n.stop()).To(Succeed())
			}
		}
		slices.Sort(gaps)
		AddReportEntry("gaps", fmt.Sprintf("p50 %v, p99 %v, longest %v", gaps[50], gaps[98], gaps[99]), ReportEntryVisibilityAlways)
		w.Expect(gaps[0]).To(BeNumerically(">=", 0))
		w.Expect(gaps[98]).To(BeNumerically("<", 100*time.Millisecond))
	})

	onLock("leads on until the candidates have polled, and is told why it ends", func(w *world) {
		book := &logbook{}
		a := w.node("a", notifies, logsTo(book)).lead()
		w.at(10 * time.Second)
		age, _ := a.lock.LeaseAge()
		w.at(w.now() + testHeartbeat - age + 10*time.Millisecond) // just after a heartbeat
		cause := errors.New("a deployment")
		a.cancel(cause)
		w.at(w.now() + testHeartbeat*3/4)
		w.Expect(a.elector.IsLeader()).To(BeTrue())
		w.Expect(a.leadingCtx().Err()).NotTo(HaveOccurred())
		w.Expect(stateOf(a)).To(Equal("handing over"))
		w.Expect(book.with(`"msg"="handing over"`)).To(HaveLen(1))
		w.Expect(a.wait()).To(Succeed())
		w.Expect(context.Cause(a.leadingCtx())).To(Equal(cause))
		w.Expect(w.store.holder()).To(BeEmpty())
		w.Expect(book.with(`"msg"="stopped leading"`, "a deployment")).To(HaveLen(1))
		w.Expect(strays()).To(BeEmpty())
	})

	onLock("stops in time although the notice is not over, when renewals fail", func(w *world) {
		a := w.node("a", notifies, func(_ *node, c *LeaderElectionConfig) { c.RenewDeadline = testHeartbeat * 12 / 10 }).lead()
		w.at(10 * time.Second)
		age, _ := a.lock.LeaseAge()
		renewed := w.now() - age
		w.at(renewed + testHeartbeat - 100*time.Millisecond) // too late for the poll after the next heartbeat to see the announcement
		a.lock.setBefore(cut(opRenew))
		a.cancel(nil)
		w.Expect(a.wait()).To(Succeed())
		w.Expect(a.ends.when("ended")).To(BeNumerically("<=", renewed+testHeartbeat*12/10))
	})

	onLock("stops at once when it can't announce, when the work returns, and when the lock is lost", func(w *world) {
		a := w.node("a", notifies).lead()
		w.at(10 * time.Second)
		a.lock.setBefore(cut(opAnnounce))
		a.cancel(nil)
		w.Expect(a.wait()).To(Succeed())
		w.Expect(a.ends.when("ended")).To(BeNumerically("<=", 10*time.Second+testHeartbeat), "the lock itself tries for that long")
		w.Expect(w.store.holder()).To(BeEmpty())

		b := w.node("b", notifies, func(n *node, c *LeaderElectionConfig) {
			c.Callbacks.OnStartedLeading = n.work(func(context.Context) { time.Sleep(testHeartbeat + time.Second) })
		}).lead()
		began := w.now()
		w.at(began + testHeartbeat + 500*time.Millisecond)
		b.cancel(nil)
		w.Expect(b.wait()).To(Succeed())
		w.Expect(w.now() - began).To(Equal(testHeartbeat + time.Second))
		w.Expect(context.Cause(b.leadingCtx())).To(MatchError(context.Canceled))

		c := w.node("c", notifies).lead()
		began = w.now()
		w.at(began + time.Second)
		c.cancel(nil)
		w.settled()
		w.store.seize("usurper")
		w.Expect(c.wait()).To(Succeed())
		w.Expect(context.Cause(c.leadingCtx())).To(MatchError(ErrLockLost))
		w.store.seize("")

		d := w.node("d", notifies, keepsLease).lead()
		began = w.now()
		d.cancel(nil)
		w.Expect(d.wait()).To(Succeed())
		w.Expect(w.now()).To(Equal(began), "nothing is released, so there is nothing to announce")
	})

	It("gives no notice on a lock that can't announce", virtually(func(w *world) {
		a := w.node("a", notifies).lead()
		w.Expect(a.stop()).To(Succeed())
		w.Expect(w.now()).To(BeZero())
	}))
})

var _ = Describe("TransferTo", func() {
	heirs := func(n *node, c *LeaderElectionConfig) {
		c.Lock = heirLock{n.fake()}
		c.RetryPeriod = 500 * time.Millisecond
		n.fake().next = func(time.Duration) time.Duration { return 10 * time.Millisecond }
	}

	It("hands over to the named candidate, and to any candidate a heartbeat later if that one is gone", virtually(func(w *world) {
		a, b, c := w.node("a", heirs).lead(), w.node("b", heirs).run(), w.node("c", heirs).run()
		for _, heir := range []*node{c, b} {
			w.at(w.now() + time.Minute)
			leader := a
			for _, n := range []*node{b, c} {
				if n.elector.IsLeader() {
					leader = n
				}
			}
			w.Expect(leader.elector.TransferTo(w.ctx, heir.id)).To(Succeed())
			released := w.now()
			w.until("somebody leads", func() bool { return a.elector.IsLeader() || b.elector.IsLeader() || c.elector.IsLeader() })
			w.Expect(heir.elector.IsLeader()).To(BeTrue())
			w.Expect(w.now() - released).To(BeNumerically("<=", 20*time.Millisecond))
		}
		w.at(w.now() + time.Minute)
		w.Expect(b.elector.TransferTo(w.ctx, "gone")).To(Succeed())
		released := w.now()
		w.until("somebody leads", func() bool { return a.elector.IsLeader() || b.elector.IsLeader() || c.elector.IsLeader() })
		w.Expect(b.elector.IsLeader()).To(BeFalse())
		w.Expect(w.now() - released).To(BeNumerically("~", testHeartbeat, 20*time.Millisecond))
		for _, n := range []*node{a, b, c} {
			w.Expect(n.stop()).To(Succeed())
		}
	}))

	It("hands over to the one that is named (lockclient)", virtuallyOn(onLockclient, func(w *world) {
		a, b, c, d := w.node("a").lead(), w.node("b").run(), w.node("c").run(), w.node("d").run()
		nodes := []*node{a, b, c, d}
		leading := func() *node {
			for _, n := range nodes {
				if n.elector.IsLeader() {
					return n
				}
			}
			return nil
		}
		for i, heir := range []*node{c, b, d, a, d, c} {
			w.at(w.now() + time.Minute + time.Duration(i)*testHeartbeat/6)
			w.Expect(leading().elector.TransferTo(w.ctx, heir.id)).To(Succeed())
			w.until("somebody leads", func() bool { return leading() != nil })
			w.Expect(leading().id).To(Equal(heir.id))
		}
		w.at(w.now() + time.Minute)
		w.Expect(c.elector.TransferTo(w.ctx, "gone")).To(Succeed())
		released := w.now()
		w.until("somebody leads", func() bool { return leading() != nil })
		w.Expect(leading()).NotTo(Equal(c))
		w.Expect(w.now() - released).To(And(BeNumerically(">=", testHeartbeat-testRetry), BeNumerically("<=", testHeartbeat+2*testRetry)))
		for _, n := range nodes {
			w.Expect(n.stop()).To(Succeed())
		}
	}))

	It("releases to all on a lock that knows no heirs", virtually(func(w *world) {
		a := w.node("a").lead()
		w.Expect(a.elector.TransferTo(w.ctx, "b")).To(Succeed())
		w.Expect(a.journal.has("released")).To(BeTrue())
		w.Expect(context.Cause(a.leadingCtx())).To(MatchError(ErrResigned))
		w.Expect(a.stop()).To(Succeed())
	}))

	It("refuses an empty identity, its own, and a transfer without a term", virtually(func(w *world) {
		a := w.node("a")
		w.Expect(a.elector.TransferTo(w.ctx, "b")).To(MatchError(ErrNotLeading))
		a.lead()
		w.Expect(a.elector.TransferTo(w.ctx, "")).To(MatchError(ContainSubstring(`TransferTo("")`)))
		w.Expect(a.elector.TransferTo(w.ctx, "a")).To(MatchError(ContainSubstring(`TransferTo("a")`)))
		w.Expect(a.elector.IsLeader()).To(BeTrue())
		w.Expect(a.stop()).To(Succeed())
	}))
})
