package lockclient_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// lastRenewal is when the node's last delivered acquire or heartbeat left it.
func (n *node) lastRenewal() time.Time {
	last := time.Time{}
	for _, call := range n.wire.Calls() {
		if kind := call.Kind(); kind == wire.Acquire || kind == wire.Heartbeat {
			last = call.At
		}
	}
	return last
}

// crashIsNoticedInTime has the holder crash and the waiter, which has settled, take over.
func (w *world) crashIsNoticedInTime(holder, waiter *node) {
	w.Helper()
	last := holder.lastRenewal()
	holder.crash()
	w.Expect(w.until(2*theLease, waiter.believes)).To(BeTrue(), "nobody took over")
	took := time.Since(last)
	w.Expect(took).To(BeNumerically("<=", theLease+theLease/20), "replaced %v after its last renewal", took)
}

// releaseIsNoticedWithin has the holder release and the waiter, whose wait done ends, win.
func (w *world) releaseIsNoticedWithin(most time.Duration, holder *node, done <-chan error) {
	w.Helper()
	w.Expect(holder.RemoveLock()).To(Succeed())
	released := time.Now()
	select {
	case err := <-done:
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(time.Since(released)).To(BeNumerically("<=", most))
	case <-time.After(most + time.Second):
		w.Fatalf("the release is not noticed after %v", time.Since(released))
	}
}

func TestALiveHolderIsNeverTakenOver(t *testing.T) {
	virtually(t, func(w *world) {
		holder, poller, waiter := w.node("holder"), w.node("poller"), w.node("waiter")
		holder.get()
		ctx, cancel := context.WithCancel(w.ctx)
		done := waiter.waitsFor(ctx)
		for range 40 {
			w.passWatching(theLease / 4)
			poller.refused()
			w.Expect(holder.believes()).To(BeTrue(), "the holder lost its lock: %v", holder.LockError())
		}
		cancel()
		w.Expect(<-done).To(MatchError(context.Canceled))
	})
}

func TestACrashedHolderIsReplacedAsSoonAsItsLeaseHasRunOut(t *testing.T) {
	for name, running := range map[string]time.Duration{"before its first heartbeat": 0, "after one": 4 * time.Second, "after many": time.Minute} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				holder, waiter := w.node("holder"), w.node("waiter")
				before := holder.get()
				done := waiter.waits()
				w.passWatching(running)
				holder.crash()
				last := holder.lastRenewal()
				w.Expect(w.until(2*theLease, waiter.believes)).To(BeTrue(), "nobody took over within two leases")
				took := time.Since(last)
				w.Expect(<-done).To(Succeed(), "WaitForLock failed though the lock was won")
				limit := theLease*105/100 + 2*roundTrip
				if running < 2*heartbeat {
					limit = theLease + heartbeat // the waiter has not learned the holder's rhythm yet
				}
				w.Expect(took >= theLease && took <= limit).To(BeTrue(), "taken over %v after the last renewal of a lease of %v", took, theLease)
				after, _ := waiter.FencingToken()
				w.Expect(after).To(BeNumerically(">", before), "the successor's fencing token is %d, its predecessor's %d", after, before)
			})
		})
	}
}

func TestCallingGetLockAgainAndAgainTakesOverFromACrashedHolder(t *testing.T) {
	virtually(t, func(w *world) {
		holder, other := w.node("holder"), w.node("other")
		holder.get()
		w.pass(time.Minute)
		holder.crash()
		last := holder.lastRenewal()
		held := w.until(2*theLease, func() bool {
			w.pass(time.Second)
			held, _ := other.GetLock()
			return held
		})
		w.Expect(held && time.Since(last) >= theLease).To(BeTrue(), "held %v after %v", held, time.Since(last))
	})
}

// The lease that counts is the one in the record.
func TestClientsWithDifferentLeasesShareALock(t *testing.T) {
	for name, leases := range map[string][2]time.Duration{
		"a waiter with a shorter lease": {30 * time.Second, 3 * time.Second},
		"a waiter with a longer lease":  {3 * time.Second, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				with := func(d time.Duration) func(*lockclient.DynamoDBLockClient) {
					return func(c *lockclient.DynamoDBLockClient) { c.LeaseDuration, c.HeartbeatPeriod = d, d/3 }
				}
				holder, waiter := w.node("holder", with(leases[0])), w.node("waiter", with(leases[1]))
				holder.get()
				waiter.waits()
				w.passWatching(2 * time.Minute)
				w.Expect(holder.believes()).To(BeTrue(), "the live holder lost its lock: %v", holder.LockError())
				holder.crash()
				last := holder.lastRenewal()
				w.Expect(w.until(2*leases[0], waiter.believes)).To(BeTrue(), "not taken over within two of the holder's leases")
				took := time.Since(last)
				w.Expect(took).To(BeNumerically(">=", leases[0]), "taken over %v after the last renewal of a lease of %v", took, leases[0])
			})
		})
	}
}

// The holder sends, the network is slow to bring the confirmation, and then nothing gets through
// any more: the lease was counted by others from the write on, so it is counted by the holder from
// before it.
func TestTheHolderCountsFromBeforeItsRequestWasSent(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		waiter.waits()
		w.passWatching(20 * time.Second)
		holder.wire.Reset()
		holder.wire.SetHook(wire.On(wire.Heartbeat, func(n int, _ *wire.Call) wire.Fault {
			if n == 1 {
				return wire.DelayReply(4 * time.Second)
			}
			return wire.Refuse()
		}))
		w.Expect(w.until(3*theLease, waiter.believes)).To(BeTrue(), "the holder was never replaced")
	})
}

// The same for an acquire.
func TestTimeSpentOnAnAcquireIsTakenOffTheLease(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.wire.SetHook(wire.Every(wire.Acquire, wire.DelayReply(4*time.Second)))
		holder.get()
		age, ok := holder.LeaseAge()
		w.Expect(ok && age >= 4*time.Second).To(BeTrue(), "the lease's age is %v (%v) right after an acquire that took 4 s", age, ok)
		deadline, _ := holder.Deadline()
		w.Expect(time.Until(deadline)).To(BeNumerically("<=", theLease*99/100-4*time.Second), "certain for %v more", time.Until(deadline))
		waiter := w.node("waiter")
		holder.wire.SetHook(wire.Every(wire.Heartbeat, wire.Refuse()))
		waiter.waits()
		w.Expect(w.until(2*theLease, waiter.believes)).To(BeTrue(), "the holder was never replaced")
	})
}

// A waiter's request may be under way for long and meet a renewal that is younger than the request.
func TestAWaiterCountsFromTheArrivalOfTheReply(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		w.pass(time.Minute)
		// The waiter's first look leaves now, and arrives right after the holder's next heartbeat,
		// its last.
		waiter.wire.SetHook(wire.Nth(wire.Acquire, 1, func(ctx context.Context, c *wire.Call) (r reply, err error) {
			for seen := holder.lastRenewal(); holder.lastRenewal().Equal(seen); {
				if err := wire.Sleep(ctx, time.Millisecond); err != nil {
					return nil, err
				}
			}
			if err := wire.Sleep(ctx, 2*roundTrip); err != nil {
				return nil, err
			}
			holder.wire.SetHook(wire.Every(wire.Heartbeat, wire.Refuse()))
			return c.Deliver(ctx)
		}))
		waiter.waits()
		w.Expect(w.until(3*theLease, waiter.believes)).To(BeTrue(), "the holder was never replaced")
	})
}

func TestEventuallyConsistentReadsThatShowThePastMakeNoFalseLeader(t *testing.T) {
	virtually(t, func(w *world) {
		history := wire.NewHistory(w.server)
		w.server = history
		holder, waiter := w.node("holder"), w.node("waiter")
		first := holder.get()
		age := 0
		waiter.wire.SetHook(wire.On(wire.Poll, func(n int, _ *wire.Call) wire.Fault {
			age = (age*5 + 3) % 11 // 3, 7, 5, 6, 0, ...: the past in no order
			return history.Stale(age)
		}))
		waiter.waits()
		w.passWatching(5 * time.Minute)
		w.Expect(holder.believes()).To(BeTrue(), "the live holder lost its lock: %v", holder.LockError())
		waiter.wire.SetHook(wire.On(wire.Poll, func(int, *wire.Call) wire.Fault { return history.Stale(10) }))
		w.passWatching(5 * time.Minute) // always the same distance behind
		w.Expect(holder.believes()).To(BeTrue(), "the live holder lost its lock: %v", holder.LockError())
		holder.crash()
		w.Expect(w.until(3*theLease, waiter.believes)).To(BeTrue(), "a dead holder was not replaced")
		second, _ := waiter.FencingToken()
		w.Expect(second).To(BeNumerically(">", first), "fencing tokens %d, then %d", first, second)
	})
}

func TestAReleaseIsNoticedWithinOneOfTheHoldersPeriods(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		done := waiter.waits()
		w.passWatching(time.Minute)
		w.releaseIsNoticedWithin(heartbeat+5*roundTrip, holder, done)
	})
}

// What is repeated shows waiters one write in place of another, and must not shift the rhythm by
// which they poll.
func TestAHeartbeatThatWasRepeatedMakesNoCrashNoticedLate(t *testing.T) {
	for name, fault := range map[string]wire.Fault{
		"refused": wire.Refuse(), "its reply lost": wire.DropReply(), "slow": wire.Delay(time.Second / 2), "hanging": wire.Hang(),
		"unanswered": wire.DelayReply(2 * theLease),
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				const period = theLease / 2 // so that one without an answer is repeated before the next is due
				holder, waiter := w.node("holder", func(c *lockclient.DynamoDBLockClient) { c.HeartbeatPeriod = period }), w.node("waiter")
				holder.get()
				waiter.waits()
				w.passWatching(time.Minute)
				holder.wire.SetHook(wire.Nth(wire.Heartbeat, 1, fault))
				w.pass(6 * period)
				w.Expect(time.Since(holder.lastRenewal())).To(BeNumerically("<=", period), "its heartbeats have stopped")
				w.crashIsNoticedInTime(holder, waiter)
			})
		})
	}
}

func TestAnAnnouncedReleaseIsNoticedAtOnce(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		done := waiter.waits()
		w.passWatching(time.Minute)
		w.Expect(holder.AnnounceRelease(w.ctx)).To(Succeed())
		w.passWatching(heartbeat + time.Second) // the work winds down
		w.Expect(holder.believes()).To(BeTrue(), "announcing ended the tenure")
		w.releaseIsNoticedWithin(200*time.Millisecond, holder, done)
	})
}

// It costs its waiters little, and no time: the lease counts from its last heartbeat, and that it
// misses one tells that nothing is about to be released.
func TestAHolderThatAnnouncesAReleaseAndDiesCostsLittle(t *testing.T) {
	for into := time.Duration(0); into < heartbeat; into += heartbeat / 7 {
		virtually(t, func(w *world) {
			holder, waiter := w.node("holder"), w.node("waiter")
			holder.get()
			done := waiter.waits()
			w.pass(time.Minute + into)
			last := holder.lastRenewal()
			w.Expect(holder.AnnounceRelease(w.ctx)).To(Succeed(), "could not announce")
			holder.crash()
			w.pass(time.Until(last.Add(heartbeat*5/4 + time.Second/2))) // it has missed a heartbeat by now
			polls := waiter.wire.Count("GetItem")
			w.Expect(w.until(3*theLease, waiter.believes)).To(BeTrue(), "nobody took over")
			w.Expect(<-done).To(Succeed())
			took := time.Since(last)
			w.Expect(took).To(BeNumerically("<=", theLease+theLease/20), "replaced %v after its last renewal", took)
			polls = waiter.wire.Count("GetItem") - polls
			w.Expect(polls).To(BeNumerically("<=", 16), "%d polls after the heartbeat that it missed", polls)
		})
	}
}

// That a holder misses a heartbeat need not mean that it is dead.
func TestAnAnnouncedReleaseIsNoticedSoonAlsoWhenAHeartbeatIsLate(t *testing.T) {
	for _, late := range []time.Duration{heartbeat / 2, heartbeat, 2 * heartbeat} {
		virtually(t, func(w *world) {
			holder, waiter := w.node("holder"), w.node("waiter")
			holder.get()
			done := waiter.waits()
			w.passWatching(time.Minute)
			w.Expect(holder.AnnounceRelease(w.ctx)).To(Succeed())
			last := holder.lastRenewal()
			holder.cutOff()
			w.pass(time.Until(last.Add(heartbeat + late)))
			w.Expect(holder.believes()).To(BeTrue(), "lost: %v", holder.LockError())
			w.releaseIsNoticedWithin(late/3+200*time.Millisecond, holder, done)
		})
	}
}

// A poll that is answered late finds that the moment for the next one has passed already.
func TestSlowPollsWhileAReleaseIsAnnouncedDoNoHarm(t *testing.T) {
	for _, dies := range []bool{false, true} {
		for _, late := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, heartbeat + time.Second} {
			virtually(t, func(w *world) {
				holder, waiter := w.node("holder"), w.node("waiter")
				holder.get()
				done := waiter.waits()
				w.pass(20 * time.Second)
				waiter.wire.SetHook(wire.Every(wire.Poll, wire.DelayReply(late)))
				w.Expect(holder.AnnounceRelease(w.ctx)).To(Succeed(), "could not announce")
				w.passWatching(500 * time.Millisecond)
				if dies {
					holder.crash()
				} else {
					w.passWatching(12 * time.Second)
					w.Expect(holder.RemoveLock()).To(Succeed())
				}
				w.Expect(w.until(3*theLease, waiter.believes)).To(BeTrue(), "nobody took over")
				w.Expect(<-done).To(Succeed())
			})
		}
	}
}
