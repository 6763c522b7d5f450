package election

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// All of this runs in synctest bubbles: sleeping takes no time.

// stubborn is work that returns only when told to.
func stubborn(release <-chan struct{}) func(n *node, c *LeaderElectionConfig) {
	return func(n *node, c *LeaderElectionConfig) {
		c.Callbacks.OnStartedLeading = n.work(func(ctx context.Context) {
			n.untilCancelled(ctx)
			select {
			case <-release:
			case <-n.w.ctx.Done(): // the spec has failed
			}
		})
	}
}

// draining is work that takes so long to return.
func drainsFor(d time.Duration) func(n *node, c *LeaderElectionConfig) {
	return func(n *node, c *LeaderElectionConfig) {
		c.Callbacks.OnStartedLeading = n.work(func(ctx context.Context) {
			n.untilCancelled(ctx)
			time.Sleep(d) // virtual
		})
	}
}

func oneTerm(n *node, c *LeaderElectionConfig) { c.OneTerm = true }

func keepsLease(n *node, c *LeaderElectionConfig) { c.ReleaseOnCancel = false }

// cut makes every request of that kind fail before it is carried out.
func cut(ops ...operation) func(context.Context, operation) error {
	return func(_ context.Context, op operation) error {
		for _, o := range ops {
			if o == op {
				return errNetwork
			}
		}
		return nil
	}
}

var everything = []operation{opPoll, opRenew, opRelease, opAnnounce}

var _ = Describe("A term", func() {
	promise("ends in order: leading context cancelled, work returned, OnStoppedLeading, lock released", func(w *world) {
		n := w.node("a", drainsFor(time.Second)).lead()
		w.Expect(n.stop()).To(Succeed())
		w.Expect(n.journal.list()).To(Equal([]string{"started", "cancelled", "returned", "stopped", "released"}))
		w.Expect(strays()).To(BeEmpty())
	})

	promise("keeps its place: the lock is free only after the slowest OnStoppedLeading", func(w *world) {
		n := w.node("a", func(n *node, c *LeaderElectionConfig) {
			c.Callbacks.OnStoppedLeading = func() {
				time.Sleep(14 * time.Second)
				n.journal.add("stopped")
				w.Expect(w.store.holder()).To(Equal("a"))
			}
		}).lead()
		w.Expect(n.stop()).To(Succeed())
		w.Expect(w.store.holder()).To(BeEmpty())
		w.Expect(n.journal.list()).To(HaveExactElements("started", "cancelled", "returned", "stopped", "released"))
	})

	It("tells the work its fencing token, and the ConditionCheck that goes with it", virtually(func(w *world) {
		w.fake().token = 41
		n := w.node("a").lead()
		term, ok := TermFromContext(n.leadingCtx())
		w.Expect(ok).To(BeTrue())
		w.Expect(term.FencingToken).To(BeEquivalentTo(42))
		w.Expect(term.Identity).To(Equal("a"))
		child, cancel := context.WithCancel(n.leadingCtx())
		defer cancel()
		same, _ := TermFromContext(child)
		w.Expect(same).To(Equal(term))
		check, err := term.ConditionCheck()
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(*check.ConditionExpression).To(Equal("token = 42"))
		w.Expect(n.stop()).To(Succeed())
		_, err = term.ConditionCheck()
		w.Expect(err).To(MatchError(ErrLockLost))
		w.Expect(err).To(MatchError(errFakeLost), "the lock's own error stays in the chain")

		again := w.node("a", func(again *node, c *LeaderElectionConfig) { again.lock = n.lock; c.Lock = n.lock; c.Clock = n.clock }).lead()
		_, err = term.ConditionCheck()
		w.Expect(err).To(MatchError(ErrLockLost), "a later tenure of the same lock is not this term's")
		w.Expect(again.stop()).To(Succeed())

		_, ok = TermFromContext(w.ctx)
		w.Expect(ok).To(BeFalse())
		_, err = Term{}.ConditionCheck()
		w.Expect(err).To(MatchError(ErrLockLost))
	}))

	promise("ends at RenewDeadline, before another client can acquire", func(w *world) {
		a := w.node("a", oneTerm).lead()
		b := w.node("b").run()
		w.at(4 * time.Second)
		a.lock.setBefore(cut(everything...))
		age, _ := a.lock.LeaseAge()
		renewed := w.now() - age
		err := a.wait()
		w.Expect(err).To(MatchError(ErrLeaseExpired))
		w.Expect(a.ends.when("ended")).To(Equal(renewed + testDeadline))
		w.Expect(context.Cause(a.leadingCtx())).To(MatchError(ErrLeaseExpired))
		w.Expect(err.Error()).To(ContainSubstring("10s"))
		w.until("b leads", b.elector.IsLeader)
		w.Expect(b.journal.when("started")).To(BeNumerically(">=", renewed+testLease))
		w.Expect(b.stop()).To(Succeed())
	})

	promise("ends at once when the lock says that it is lost, with the lock's own error in the cause's chain", func(w *world) {
		n := w.node("a").lead()
		w.store.seize("usurper")
		w.until("the term ends", func() bool { return n.ends.has("ended") })
		w.Expect(n.ends.when("ended")).To(BeNumerically("<=", testHeartbeat))
		cause := context.Cause(n.leadingCtx())
		w.Expect(cause).To(MatchError(ErrLockLost))
		var end *endError
		w.Expect(errors.As(cause, &end)).To(BeTrue())
		w.Expect(end.lock).To(HaveOccurred())
		w.Expect(cause.Error()).To(ContainSubstring(end.lock.Error()))
		w.until("it stopped", func() bool { return n.journal.has("stopped") })
		w.Expect(w.store.holder()).To(Equal("usurper"), "what is another's is never released")
		w.Expect(n.stop()).To(Succeed())
	})

	It("ends when the fencing token changes under it: a loss and regain is two terms", virtually(func(w *world) {
		n := w.node("a").lead()
		first, _ := TermFromContext(n.leadingCtx())
		// Somebody releases and takes the lock again through the same client, so quickly that only
		// the token tells.
		n.fake().mu.Lock()
		n.fake().tenure.token += 5
		w.fake().mu.Lock()
		w.fake().token += 5
		w.fake().mu.Unlock()
		n.fake().mu.Unlock()
		w.Expect(n.elector.IsLeader()).To(BeFalse(), "at the moment of the call, whatever timers have done")
		w.until("a second term", func() bool { return n.journal.count("started") == 2 })
		second, _ := TermFromContext(n.leadingCtx())
		w.Expect(second.FencingToken).To(Equal(first.FencingToken + 5))
		w.Expect(n.journal.list()).To(HaveExactElements("started", "cancelled", "returned", "stopped", "started"))
		w.Expect(n.stop()).To(Succeed())
	}))

	promise("that was lost and is won again is two terms, one after the other, with a higher token", func(w *world) {
		n := w.node("a").lead()
		first, _ := TermFromContext(n.leadingCtx())
		w.at(time.Second)
		n.lock.setBefore(cut(everything...))
		w.at(20 * time.Second)
		w.Expect(n.journal.list()).To(HaveExactElements("started", "cancelled", "returned", "stopped"))
		n.lock.setBefore(nil)
		w.until("a second term", func() bool { return n.journal.count("started") == 2 })
		second, _ := TermFromContext(n.leadingCtx())
		w.Expect(second.FencingToken).To(BeNumerically(">", first.FencingToken))
		w.Expect(n.stop()).To(Succeed())
		w.Expect(n.journal.count("stopped")).To(Equal(2))
		w.Expect(n.most).To(Equal(1))
	})

	promise("goes on being renewed while the work drains, so that nobody else leads meanwhile", func(w *world) {
		a := w.node("a", func(n *node, c *LeaderElectionConfig) { c.DrainTimeout = time.Minute }, drainsFor(50*time.Second)).lead()
		b := w.node("b").run()
		w.at(5 * time.Second)
		a.cancel(nil)
		w.at(54 * time.Second)
		w.Expect(a.elector.IsLeader()).To(BeFalse())
		w.Expect(w.store.holder()).To(Equal("a"))
		w.Expect(b.journal.has("started")).To(BeFalse())
		w.Expect(a.wait()).To(Succeed())
		w.until("b leads", b.elector.IsLeader)
		w.Expect(b.journal.when("started")-a.journal.when("released")).To(BeNumerically("<=", testRetry*12/10), "handover within one jittered RetryPeriod")
		w.Expect(b.stop()).To(Succeed())
	})

	promise("is renewed for no longer than DrainTimeout, and the lease then runs out", func(w *world) {
		release := make(chan struct{})
		a := w.node("a", func(n *node, c *LeaderElectionConfig) { c.DrainTimeout = 20 * time.Second }, stubborn(release)).lead()
		b := w.node("b").run()
		w.at(500 * time.Millisecond)
		a.cancel(nil)
		w.until("heartbeats stop", func() bool { return a.journal.has("heartbeats stopped") })
		w.Expect(a.journal.when("heartbeats stopped")).To(Equal(20500 * time.Millisecond))
		age, held := a.lock.LeaseAge()
		w.Expect(held).To(BeTrue())
		renewed := w.now() - age
		w.until("b leads", b.elector.IsLeader)
		w.Expect(b.journal.when("started")).To(And(
			BeNumerically(">=", renewed+testLease), BeNumerically("<=", renewed+testLease+2*testRetry*12/10)))
		close(release)
		w.Expect(a.wait()).To(Succeed())
		w.Expect(w.store.holder()).To(Equal("b"))
		w.Expect(b.stop()).To(Succeed())
	})

	promise("whose work outlives its lease fails the health check, and its elector does not campaign until the work has returned", func(w *world) {
		release := make(chan struct{})
		dog := NewLeaderHealthzAdaptor(2 * time.Second)
		a := w.node("a", func(n *node, c *LeaderElectionConfig) { c.WatchDog = dog }, stubborn(release)).lead()
		w.at(time.Second)
		a.lock.setBefore(cut(everything...)) // the last renewal was the acquisition, at 0 s
		w.at(testDeadline)
		w.Expect(context.Cause(a.leadingCtx())).To(MatchError(ErrLeaseExpired))
		w.Expect(dog.Check(nil)).To(Succeed(), "the rest of the lease is the work's time to stop")
		w.at(16 * time.Second)
		w.Expect(dog.Check(nil)).To(Succeed(), "tolerated")
		w.at(18 * time.Second)
		w.Expect(dog.Check(nil)).To(MatchError(ContainSubstring("outlived its lease")))
		w.Expect(a.elector.GetLeader()).To(BeEmpty())

		a.lock.setBefore(nil)
		polls := w.store.pollCount()
		w.at(5 * time.Minute)
		w.Expect(w.store.pollCount()).To(Equal(polls), "it does not campaign")
		w.Expect(dog.Check(nil)).NotTo(Succeed())
		close(release)
		w.until("a leads again", a.elector.IsLeader)
		w.Expect(dog.Check(nil)).To(Succeed())
		w.Expect(a.journal.list()).To(HaveExactElements("started", "cancelled", "returned", "stopped", "released", "started"))
		w.Expect(a.most).To(Equal(1))
		w.Expect(a.stop()).To(Succeed())
	})

	promise("whose work returns early is resigned, so that another may lead", func(w *world) {
		a := w.node("a", func(n *node, c *LeaderElectionConfig) {
			c.Callbacks.OnStartedLeading = n.work(func(ctx context.Context) { time.Sleep(5 * time.Second) })
		}).lead()
		b := w.node("b").run()
		w.until("b leads", b.elector.IsLeader)
		w.Expect(context.Cause(a.leadingCtx())).To(MatchError(ErrResigned))
		w.Expect(a.journal.list()).To(HaveExactElements("started", "returned", "stopped", "released"))
		w.Expect(b.journal.when("started")).To(BeNumerically("<=", a.journal.when("released")+testRetry*12/10))
		w.Expect(b.stop()).To(Succeed())
		w.until("a leads again", func() bool { return a.journal.count("started") == 2 })
		w.Expect(a.stop()).To(Succeed())
	})

	promise("whose work leaves by runtime.Goexit counts as returned", func(w *world) {
		a := w.node("a", oneTerm, func(n *node, c *LeaderElectionConfig) {
			c.Callbacks.OnStartedLeading = n.work(func(ctx context.Context) { runtime.Goexit() })
		}).run()
		w.Expect(a.wait()).To(Succeed())
		w.Expect(a.journal.list()).To(ContainElements("started", "returned", "stopped", "released"))
	})

	promise("that is resigned is over and released when Resign returns, and another candidate wins first", func(w *world) {
		for i := range 20 {
			a := w.node("a").lead()
			b := w.node("b").run()
			w.at(w.now() + time.Duration(i)*137*time.Millisecond + time.Second)
			w.Expect(a.elector.Resign(w.ctx)).To(Succeed())
			w.Expect(a.journal.list()).To(ContainElements("cancelled", "returned", "stopped", "released"))
			w.Expect(context.Cause(a.leadingCtx())).To(MatchError(ErrResigned))
			w.until("somebody leads", func() bool { return a.elector.IsLeader() || b.elector.IsLeader() })
			w.Expect(b.elector.IsLeader()).To(BeTrue())
			w.Expect(b.journal.when("started") - a.journal.when("released")).To(BeNumerically("<=", testRetry*12/10))
			w.Expect(a.stop()).To(Succeed())
			w.Expect(b.stop()).To(Succeed())
		}
	})

	promise("that is resigned with nobody else to lead is followed by another of the same elector", func(w *world) {
		a := w.node("a").lead()
		w.Expect(a.elector.Resign(w.ctx)).To(Succeed())
		resigned := w.now()
		w.until("a leads again", a.elector.IsLeader)
		w.Expect(w.now() - resigned).To(BeNumerically("<=", 3*testRetry))
		w.Expect(a.stop()).To(Succeed())
	})

	promise("can be resigned with a context that ends first: Resign says so, and the term goes on ending", func(w *world) {
		a := w.node("a", drainsFor(10*time.Second)).lead()
		ctx, cancel := context.WithTimeout(w.ctx, time.Second)
		defer cancel()
		w.Expect(a.elector.Resign(ctx)).To(MatchError(context.DeadlineExceeded))
		w.Expect(a.elector.IsLeader()).To(BeFalse())
		w.until("released", func() bool { return a.journal.has("released") })
		w.Expect(a.stop()).To(Succeed())
	})

	promise("can be resigned by the work itself with its own context, which ends at once", func(w *world) {
		a := w.node("a", func(n *node, c *LeaderElectionConfig) {
			c.OneTerm = true
			c.Callbacks.OnStartedLeading = n.work(func(ctx context.Context) {
				w.Expect(n.elector.Resign(ctx)).To(MatchError(ErrResigned))
			})
		}).run()
		w.Expect(a.wait()).To(Succeed())
		w.Expect(w.now()).To(BeZero())
	})

	promise("whose release fails says so to who resigned it", func(w *world) {
		a := w.node("a").lead()
		a.lock.setBefore(cut(opRelease))
		w.Expect(a.elector.Resign(w.ctx)).To(MatchError(errNetwork))
		a.lock.setBefore(nil)
		w.Expect(a.stop()).To(Succeed())
	})

	promise("is released in no more time than its lease has left, however long the store hangs", func(w *world) {
		a := w.node("a").lead()
		a.lock.setBefore(func(ctx context.Context, op operation) error {
			if op == opRelease {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		w.at(testHeartbeat + time.Second)
		w.Expect(a.stop()).To(Succeed())
		w.Expect(w.now()).To(BeNumerically("<=", testHeartbeat+testLease))
	})

	promise("that Run's context ends is not released without ReleaseOnCancel: the lease runs out", func(w *world) {
		a := w.node("a", keepsLease, drainsFor(4*time.Second)).lead()
		b := w.node("b").run()
		w.at(time.Second)
		cause := errors.New("enough")
		a.cancel(cause)
		w.Expect(a.wait()).To(Succeed())
		w.Expect(context.Cause(a.leadingCtx())).To(MatchError(cause))
		w.Expect(w.now()).To(Equal(5*time.Second), "it was renewed while the work drained")
		w.Expect(a.journal.list()).To(HaveExactElements("started", "cancelled", "returned", "stopped", "heartbeats stopped"))
		w.Expect(w.store.holder()).To(Equal("a"))
		w.until("b leads", b.elector.IsLeader)
		w.Expect(w.now()).To(BeNumerically(">=", 2*time.Second+testLease), "5 s less a heartbeat period, plus the lease")
		w.Expect(b.stop()).To(Succeed())
	})

	promise("that ended for another reason is released also without ReleaseOnCancel", func(w *world) {
		a := w.node("a", keepsLease).lead()
		w.Expect(a.elector.Resign(w.ctx)).To(Succeed())
		w.Expect(w.store.holder()).To(BeEmpty())
		w.Expect(a.stop()).To(Succeed())
	})

	It("announces its release once when a graceful end begins to drain, and never when the lease is lost", virtually(func(w *world) {
		announcing := func(n *node, c *LeaderElectionConfig) { c.Lock = announcingLock{n.fake()} }
		a := w.node("a", announcing, drainsFor(3*time.Second)).lead()
		w.Expect(a.elector.Resign(w.ctx)).To(Succeed())
		w.Expect(a.journal.list()).To(HaveExactElements("started", Or(Equal("cancelled"), Equal("announced")), Or(Equal("cancelled"), Equal("announced")), "returned", "stopped", "released"))
		w.Expect(a.journal.count("announced")).To(Equal(1))
		w.Expect(a.journal.when("announced")).To(BeNumerically("<", a.journal.when("returned")))
		w.Expect(a.stop()).To(Succeed())

		b := w.node("b", announcing).lead()
		w.store.seize("usurper")
		w.until("b stopped", func() bool { return b.journal.has("stopped") })
		w.Expect(b.journal.has("announced")).To(BeFalse())
		w.Expect(b.stop()).To(Succeed())
		w.store.seize("")

		hung := w.node("hung", announcing, drainsFor(time.Second)).lead()
		hung.lock.setBefore(func(ctx context.Context, op operation) error {
			if op == opAnnounce {
				<-ctx.Done()
			}
			return nil
		})
		began := w.now()
		w.Expect(hung.stop()).To(Succeed())
		w.Expect(w.now()-began).To(Equal(time.Second), "an announcement that hangs delays nothing")
		failing := w.node("failing", announcing, drainsFor(time.Second)).lead()
		failing.lock.setBefore(cut(opAnnounce))
		w.Expect(failing.stop()).To(Succeed())
		w.Expect(failing.journal.has("released")).To(BeTrue())
	}))

	It("is not begun on a lease that is already as old as RenewDeadline", virtually(func(w *world) {
		n := w.node("a")
		n.lock.setBefore(cut(opRenew)) // a heartbeat that is due at once would make the old lease a young one
		slow := true
		n.lock.setAfter(func(ctx context.Context, op operation) error {
			if op == opPoll && slow {
				slow = false
				n.clock.Pause() // the reply has arrived, and the process is not scheduled
				time.AfterFunc(11*time.Second, n.clock.resume)
				n.clock.awake()
			}
			return nil
		})
		n.run()
		w.at(11 * time.Second)
		w.Expect(n.journal.list()).To(HaveExactElements("released"))
		n.lock.setBefore(nil)
		w.until("it leads after all", n.elector.IsLeader)
		w.Expect(n.stop()).To(Succeed())
	}))

	promise("ends in time although the machine was suspended, which stops its timers", func(w *world) {
		a := w.node("a").lead()
		b := w.node("b").run()
		a.lock.setBefore(func(context.Context, operation) error { a.clock.awake(); return nil })
		w.at(time.Second)
		a.clock.Suspend()
		w.at(14 * time.Second)
		a.clock.resume() // RenewDeadline was at 10 s, and by the monotonic clock 1 s has passed
		w.Expect(a.elector.IsLeader()).To(BeFalse(), "at the moment of the call")
		w.at(14*time.Second + testHeartbeat/4)
		w.Expect(a.ends.has("ended")).To(BeTrue(), "within a quarter of a heartbeat period of waking")
		w.Expect(context.Cause(a.leadingCtx())).To(MatchError(ErrLeaseExpired))
		w.Expect(a.stop()).To(Succeed())
		w.Expect(b.stop()).To(Succeed())
	})

	promise("is over for a work that asks ctx.Err() right after a suspend, though no timer has fired", func(w *world) {
		for _, asleep := range []time.Duration{testDeadline, time.Minute} { // in the second case the lock itself has expired, too
			a := w.node("a", oneTerm).lead()
			w.at(w.now() + time.Second)
			a.lock.setBefore(cut(everything...))
			a.clock.Suspend()
			w.at(w.now() + asleep)
			a.clock.resume()
			ctx := a.leadingCtx()
			select {
			case <-ctx.Done():
				w.Expect("a timer").To(Equal("late"), "or this spec shows nothing")
			default:
			}
			w.Expect(ctx.Err()).To(MatchError(context.Canceled))
			w.Expect(ctx.Done()).To(BeClosed())
			w.Expect(context.Cause(ctx)).To(MatchError(ErrLeaseExpired))
			w.Expect(a.wait()).To(MatchError(ErrLeaseExpired))
			w.store.seize("")
		}
	})

	promise("that a suspend has outlived is ended as expired, also where the lock noticed first", func(w *world) {
		a := w.node("a", oneTerm).lead()
		w.at(time.Second)
		a.lock.setBefore(cut(everything...))
		a.clock.Suspend()
		w.at(time.Minute)
		a.clock.resume()
		_, held := a.lock.LeaseAge() // ends the tenure
		w.Expect(held).To(BeFalse())
		err := a.wait()
		w.Expect(err).To(MatchError(ErrLeaseExpired))
		var end *endError
		w.Expect(errors.As(err, &end)).To(BeTrue())
		w.Expect(end.lock).To(HaveOccurred())
	})

	promise("is not lengthened by a wall clock that is set back, and is cut short by one that is set forward", func(w *world) {
		a := w.node("a", oneTerm).lead()
		w.at(time.Second)
		a.lock.setBefore(cut(everything...))
		age, _ := a.lock.LeaseAge()
		renewed := w.now() - age
		a.clock.JumpWall(-time.Hour)
		w.Expect(a.wait()).To(MatchError(ErrLeaseExpired))
		w.Expect(a.ends.when("ended")).To(Equal(renewed + testDeadline))

		w.store.seize("")
		b := w.node("b", oneTerm).lead()
		began := w.now()
		b.lock.setBefore(cut(opRenew))
		b.clock.JumpWall(time.Hour)
		w.Expect(b.wait()).To(MatchError(ErrLeaseExpired))
		w.Expect(w.now() - began).To(BeNumerically("<=", testHeartbeat/4))
	})

	promise("is never two OnStartedLeading at once, whatever happens to the lock", func(w *world) {
		n := w.node("a", drainsFor(20*time.Second)).run()
		for i := range 30 {
			w.until("it leads", n.elector.IsLeader)
			switch i % 3 {
			case 0:
				w.store.seize("usurper")
				w.until("it ends", func() bool { return !n.elector.IsLeader() })
				w.store.seize("")
			case 1:
				ctx, cancel := context.WithTimeout(w.ctx, time.Second)
				_ = n.elector.Resign(ctx)
				cancel()
			case 2:
				n.lock.setBefore(cut(everything...))
				w.until("it ends", func() bool { return !n.elector.IsLeader() })
				n.lock.setBefore(nil)
			}
		}
		w.Expect(n.stop()).To(Succeed())
		w.Expect(n.most).To(Equal(1))
		w.Expect(n.journal.count("started")).To(Equal(30))
		w.Expect(n.journal.count("stopped")).To(Equal(30))
	})
})

var _ = Describe("Run", func() {
	promise("can't be run twice at once", func(w *world) {
		n := w.node("a").lead()
		w.Expect(n.elector.Run(w.ctx)).To(MatchError(ErrAlreadyRunning))
		w.Expect(n.elector.IsLeader()).To(BeTrue(), "the first is not disturbed")
		w.Expect(n.stop()).To(Succeed())
	})

	promise("can be run again after it has returned", func(w *world) {
		n := w.node("a").lead()
		w.Expect(n.stop()).To(Succeed())
		n.lead()
		w.Expect(n.stop()).To(Succeed())
		w.Expect(n.journal.count("started")).To(Equal(2))
	})

	promise("resumes a lease that it left to run out", func(w *world) {
		n := w.node("a", keepsLease).lead()
		w.Expect(n.stop()).To(Succeed())
		n.run()
		w.until("it leads", n.elector.IsLeader)
		w.at(time.Minute)
		w.Expect(n.elector.IsLeader()).To(BeTrue(), "and renews it")
		w.Expect(n.stop()).To(Succeed())
	})

	promise("returns nil without a request when its context has ended before the first attempt", func(w *world) {
		n := w.node("a")
		ctx, cancel := context.WithCancel(w.ctx)
		cancel()
		w.Expect(n.elector.Run(ctx)).To(Succeed())
		w.Expect(w.store.pollCount()).To(BeZero())
		w.Expect(n.journal.list()).To(BeEmpty(), "no OnStoppedLeading without OnStartedLeading")
	})

	promise("cancelled while it acquires gives back what the attempt has won, without starting the work", func(w *world) {
		for _, lostReply := range []bool{false, true} {
			n := w.node("a", keepsLease)
			n.lock.setAfter(func(ctx context.Context, op operation) error {
				if op == opPoll {
					<-ctx.Done()
					if lostReply {
						return ctx.Err()
					}
				}
				return nil
			})
			n.run()
			w.at(w.now() + time.Second)
			w.Expect(w.store.holder()).To(Equal("a"))
			w.Expect(n.stop()).To(Succeed())
			w.Expect(w.store.holder()).To(BeEmpty())
			w.Expect(n.journal.list()).To(HaveExactElements("released"))
		}
	})

	promise("cancelled after an attempt with an unknown outcome frees what it may have won", func(w *world) {
		n := w.node("a")
		n.lock.setAfter(func(_ context.Context, op operation) error {
			if op == opPoll {
				return errNetwork
			}
			return nil
		})
		n.run()
		w.at(time.Second)
		w.Expect(w.store.holder()).To(Equal("a"))
		w.Expect(n.stop()).To(Succeed())
		w.Expect(w.store.holder()).To(BeEmpty())
	})

	promise("cancelled during a renewal ends the term in order", func(w *world) {
		n := w.node("a").lead()
		n.lock.setBefore(func(ctx context.Context, op operation) error {
			if op == opRenew {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		w.at(testHeartbeat + time.Second)
		w.Expect(n.stop()).To(Succeed())
		w.Expect(n.journal.list()).To(HaveExactElements("started", "cancelled", "returned", "stopped", "released"))
	})

	promise("cancelled during a release, and cancelled twice, releases once", func(w *world) {
		n := w.node("a").lead()
		n.lock.setBefore(func(ctx context.Context, op operation) error {
			if op == opRelease {
				time.Sleep(time.Second)
			}
			return nil
		})
		go func() { _ = n.elector.Resign(w.ctx) }()
		w.at(500 * time.Millisecond)
		n.cancel(nil)
		n.cancel(nil)
		w.Expect(n.wait()).To(Succeed())
		w.Expect(n.journal.count("released")).To(Equal(1))
		w.Expect(n.journal.count("stopped")).To(Equal(1))
		w.Expect(strays()).To(BeEmpty())
	})

	promise("cancelled while the resigned elector stands aside returns at once", func(w *world) {
		n := w.node("a").lead()
		w.Expect(n.elector.Resign(w.ctx)).To(Succeed())
		w.settled()
		began := w.now()
		w.Expect(n.stop()).To(Succeed())
		w.Expect(w.now()).To(Equal(began))
	})

	promise("cancelled while the work drains from a resignation goes on draining and releases", func(w *world) {
		n := w.node("a", keepsLease, drainsFor(5*time.Second)).lead()
		ctx, cancel := context.WithTimeout(w.ctx, time.Second)
		defer cancel()
		_ = n.elector.Resign(ctx)
		w.Expect(n.stop()).To(Succeed())
		w.Expect(w.now()).To(Equal(5 * time.Second))
		w.Expect(n.journal.has("released")).To(BeTrue(), "the reason of the end is the resignation")
	})

	promise("with OneTerm returns when its first term ends: nil when resigned, the cause when lost", func(w *world) {
		n := w.node("a", oneTerm).lead()
		w.Expect(n.elector.Resign(w.ctx)).To(Succeed())
		w.Expect(n.wait()).To(Succeed())
		n.lead()
		w.store.seize("usurper")
		w.Expect(n.wait()).To(MatchError(ErrLockLost))
	})

	promise("leaves no goroutine behind, whichever way it ends", func(w *world) {
		for _, end := range []func(n *node) error{
			func(n *node) error { n.run(); return n.stop() },
			func(n *node) error { n.lead(); return n.stop() },
			func(n *node) error { n.lead(); _ = n.elector.Resign(w.ctx); return n.stop() },
			func(n *node) error {
				n.lead()
				n.lock.setBefore(cut(everything...))
				w.until("it ends", func() bool { return !n.elector.IsLeader() })
				return n.stop()
			},
			func(n *node) error { w.store.seize("other"); n.run(); w.at(w.now() + time.Minute); return n.stop() },
		} {
			n := w.node("a")
			w.Expect(end(n)).To(Succeed())
			w.settled()
			w.Expect(strays()).To(BeEmpty())
			w.store.seize("")
		}
	})
})

// What a hostile reader found.
var _ = Describe("A term, looked at closely,", func() {
	promise("is over once IsLeader has denied it, though a renewal is confirmed before any timer fires", func(w *world) {
		a := w.node("a")
		var beat atomic.Int64 // when the latest renewal was carried out
		slow := true
		a.lock.setAfter(func(_ context.Context, op operation) error {
			switch {
			case op == opPoll && slow:
				slow = false
				time.Sleep(50 * time.Millisecond) // so that heartbeats are not in step with the guard
			case op == opRenew:
				beat.Store(int64(w.now()))
			}
			return nil
		})
		a.lead()
		w.until("a heartbeat", func() bool { return beat.Load() > 0 })
		w.at(time.Duration(beat.Load()) + testHeartbeat - 10*time.Millisecond)
		a.clock.Suspend()
		w.at(w.now() + testDeadline)
		a.clock.resume()
		w.Expect(a.elector.IsLeader()).To(BeFalse())
		w.Expect(context.Cause(a.leadingCtx())).To(MatchError(ErrLeaseExpired))
		w.at(w.now() + testLease)
		w.Expect(a.journal.list()).To(ContainElement("stopped"))
		w.Expect(a.stop()).To(Succeed())
	})

	promise("that was resigned while it drained from the end of Run's context is released all the same", func(w *world) {
		a := w.node("a", keepsLease, drainsFor(3*time.Second)).lead()
		a.cancel(nil)
		w.settled()
		w.Expect(a.elector.Resign(w.ctx)).To(Succeed())
		w.Expect(w.store.holder()).To(BeEmpty())
		w.Expect(a.wait()).To(Succeed())
	})

	promise("whose OnStoppedLeading outlives the lease is vacant, fails the health check, and is said to", func(w *world) {
		release := make(chan struct{})
		a := w.node("a", func(_ *node, c *LeaderElectionConfig) {
			c.DrainTimeout = time.Second
			c.Callbacks.OnStoppedLeading = func() { <-release }
		}).lead()
		b := w.node("b").run()
		go func() { _ = a.elector.Resign(w.ctx) }()
		w.until("b leads", b.elector.IsLeader)
		w.at(w.now() + time.Minute)
		w.Expect(a.elector.GetLeader()).To(BeEmpty(), "another leads, whom a can't see while it doesn't campaign")
		w.Expect(a.elector.Check(30 * time.Second)).To(MatchError(ContainSubstring("OnStoppedLeading has outlived")))
		close(release)
		w.until("a follows b", func() bool { return a.elector.GetLeader() == "b" })
		w.Expect(a.elector.Check(0)).To(Succeed())
		w.Expect(a.stop()).To(Succeed())
		w.Expect(b.stop()).To(Succeed())
	})

	promise("that is resigned and can't be released is followed by another's, when its lease has run out", func(w *world) {
		a := w.node("a").lead()
		b := w.node("b").run()
		w.at(500 * time.Millisecond)
		a.lock.setBefore(cut(opRelease))
		w.Expect(a.elector.Resign(w.ctx)).To(MatchError(errNetwork))
		a.lock.setBefore(nil)
		w.until("somebody leads", func() bool { return a.elector.IsLeader() || b.elector.IsLeader() })
		w.Expect(b.elector.IsLeader()).To(BeTrue())
		w.Expect(a.stop()).To(Succeed())
		w.Expect(b.stop()).To(Succeed())
	})

	promise("that is resigned lets another win first also where Run is called in a loop with OneTerm", func(w *world) {
		a := w.node("a", oneTerm).lead()
		b := w.node("b").run()
		w.at(500 * time.Millisecond)
		w.Expect(a.elector.Resign(w.ctx)).To(Succeed())
		w.Expect(a.wait()).To(Succeed())
		a.run()
		w.until("somebody leads", func() bool { return a.elector.IsLeader() || b.elector.IsLeader() })
		w.Expect(b.elector.IsLeader()).To(BeTrue())
		w.Expect(a.stop()).To(Succeed())
		w.Expect(b.stop()).To(Succeed())
	})

	promise("is followed by the next OnNewLeader also where one has left by runtime.Goexit", func(w *world) {
		told := 0
		a := w.node("a", func(_ *node, c *LeaderElectionConfig) {
			c.Callbacks.OnNewLeader = func(string) {
				if told++; told == 1 {
					runtime.Goexit()
				}
			}
		})
		w.store.seize("x")
		a.run()
		w.until("it follows x", func() bool { return a.elector.GetLeader() == "x" })
		w.store.seize("")
		w.until("it leads", a.elector.IsLeader)
		w.Expect(a.stop()).To(Succeed())
		w.Expect(told).To(Equal(2))
	})
})
