package lockclient_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

func TestAnAcquireThatFailsOnceIsRepeatedByItself(t *testing.T) {
	for name, fault := range transient() {
		if name == "a permission taken away" || name == "a table that is away" {
			continue // these are answered at once
		}
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				node := w.node("node")
				node.wire.SetHook(wire.Nth(wire.Acquire, 1, fault))
				token := node.get()
				w.Expect(aws.StringValue(w.record()["fencingToken"].N)).To(Equal(fmt.Sprint(token)), "the record's token is %v, the tenure's %d", w.record()["fencingToken"], token)
				w.passWatching(3 * theLease)
				now, _ := node.FencingToken()
				w.Expect(now).To(Equal(token), "the tenure did not last: %v", node.LockError())
			})
		})
	}
}

func TestAnAcquireWhoseReplyWasLostIsRecognisedByTheNextAttempt(t *testing.T) {
	virtually(t, func(w *world) {
		node, other := w.node("node"), w.node("other")
		node.wire.SetHook(wire.Every(wire.Acquire, wire.DropReply()))
		held, err := node.GetLock()
		w.Expect(!held && err != nil && !node.believes()).To(BeTrue(), "GetLock without a reply: %v, %v", held, err)
		other.refused() // it is in the table, though
		node.wire.SetHook(nil)
		node.wire.Reset()
		began := time.Now()
		node.get()
		w.Expect(time.Since(began) <= 2*roundTrip && node.wire.Count("GetItem") == 1 && node.wire.Count("UpdateItem") == 1).To(BeTrue(), "took %v and %v", time.Since(began), node.wire.Counts())
	})
}

func TestAWaiterRecognisesItsOwnUnansweredAcquire(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		done := waiter.waits()
		w.passWatching(20 * time.Second)
		waiter.wire.SetHook(wire.Nth(wire.Acquire, 1, wire.DropReply()))
		w.Expect(holder.RemoveLock()).To(Succeed())
		began := time.Now()
		w.Expect(<-done).To(Succeed())
		w.Expect(time.Since(began)).To(BeNumerically("<=", heartbeat+time.Second), "it waited %v for itself", time.Since(began))
	})
}

// The network may deliver a request two times. The first copy wins, the second is refused, and its
// refusal may be all that the client hears.
func TestAnAcquireThatIsDeliveredTwiceIsOneTenure(t *testing.T) {
	for name, fault := range map[string]wire.Fault{"the client hears the first answer": wire.Echo(0), "the client hears the second": wire.Twice(), "the second comes much later": wire.Echo(8 * time.Second)} {
		for _, reclaim := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, ReclaimOnRestart %v", name, reclaim), func(t *testing.T) {
				virtually(t, func(w *world) {
					as := func(c *lockclient.DynamoDBLockClient) { c.ReclaimOnRestart = reclaim }
					w.node("node", as).get()
					w.nodes[0].crash() // an earlier life
					node := w.node("node", as)
					if !reclaim {
						node.refused()
						w.pass(theLease + time.Second) // it takes over from a dead holder
					}
					node.wire.SetHook(wire.Every(wire.Acquire, fault))
					token := node.get()
					w.Expect(aws.StringValue(w.record()["fencingToken"].N)).To(Equal(fmt.Sprint(token)), "the record's token is %v, the tenure's %d", w.record()["fencingToken"], token)
					w.passWatching(3 * theLease)
					now, _ := node.FencingToken()
					w.Expect(now).To(Equal(token), "the tenure did not last: %v", node.LockError())
				})
			})
		}
	}
}

func TestAnAcquireThatArrivesAfterALaterOneWonChangesNothing(t *testing.T) {
	for _, reclaim := range []bool{false, true} {
		t.Run(fmt.Sprintf("ReclaimOnRestart %v", reclaim), func(t *testing.T) {
			virtually(t, func(w *world) {
				node := w.node("node", func(c *lockclient.DynamoDBLockClient) { c.ReclaimOnRestart = reclaim })
				var late *wire.Call
				node.wire.SetHook(wire.Nth(wire.Acquire, 1, func(ctx context.Context, c *wire.Call) (reply, error) {
					late = c
					return nil, wire.ErrNetwork
				}))
				token := node.get()
				late.Repeat()
				w.passWatching(3 * theLease)
				now, _ := node.FencingToken()
				w.Expect(now).To(Equal(token), "the tenure did not last: %v", node.LockError())
			})
		})
	}
}

// Whoever gives up an attempt leaves nothing behind that others have to wait for.
func TestACancelledAcquireFreesWhatItMayHaveTaken(t *testing.T) {
	steps := map[string]func(n *node, ctx context.Context) error{
		"GetLock":     func(n *node, ctx context.Context) error { _, err := n.GetLockWithContext(ctx); return err },
		"PollLock":    func(n *node, ctx context.Context) error { _, err := n.PollLock(ctx); return err },
		"WaitForLock": func(n *node, ctx context.Context) error { return n.WaitForLock(ctx) },
	}
	faults := map[string]wire.Fault{"no fault": nil, "the reply lost": wire.DropReply(), "the reply late": wire.DelayReply(time.Second)}
	for call, step := range steps {
		for what, fault := range faults {
			t.Run(call+", "+what, func(t *testing.T) {
				for after := time.Duration(0); after <= 6*roundTrip; after += roundTrip / 5 {
					virtually(t, func(w *world) {
						node, other := w.node("node"), w.node("other")
						if fault != nil {
							node.wire.SetHook(wire.Every(wire.Acquire, fault))
						}
						ctx, cancel := context.WithTimeout(w.ctx, after)
						defer cancel()
						err := step(node, ctx)
						if node.believes() {
							w.Expect(err).NotTo(HaveOccurred(), "it holds the lock and says %v", err)
							return
						}
						w.Expect(err).To(HaveOccurred(), "it doesn't hold the lock and says nothing, cancelled after %v", after)
						if !errors.Is(err, context.DeadlineExceeded) {
							_ = step(node, ctx) // another try, which is cancelled in its turn
							<-ctx.Done()
							_ = step(node, ctx)
						}
						w.pass(time.Second)
						held, err := other.GetLock()
						w.Expect(held).To(BeTrue(), "cancelled after %v: left behind for others to wait for: %v", after, err)
					})
				}
			})
		}
	}
}

func TestRemoveLockInterruptsAnAcquireAndFreesIt(t *testing.T) {
	for what, fault := range map[string]wire.Fault{"under way": wire.Delay(2 * time.Second), "committed": wire.DelayReply(2 * time.Second)} {
		t.Run(what, func(t *testing.T) {
			virtually(t, func(w *world) {
				node, other := w.node("node"), w.node("other")
				node.wire.SetHook(wire.Every(wire.Acquire, fault))
				got := make(chan error, 1)
				w.waiting.Go(func() {
					held, err := node.GetLock()
					w.Expect(held).To(BeFalse(), "GetLock won though RemoveLock came first")
					got <- err
				})
				w.pass(time.Second)
				w.Expect(node.RemoveLock()).To(Succeed())
				w.Expect(<-got).To(MatchError(lockclient.ErrInterrupted))
				w.Expect(node.believes()).To(BeFalse(), "believes after RemoveLock")
				if what == "committed" {
					other.get()
				}
			})
		})
	}
}

func TestRemoveLockEndsWaiting(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		done := waiter.waits()
		w.pass(20 * time.Second)
		w.Expect(waiter.RemoveLock()).To(Succeed(), "RemoveLock of a waiter failed")
		began := time.Now()
		w.Expect(<-done).To(MatchError(lockclient.ErrInterrupted))
		w.Expect(time.Since(began)).To(BeNumerically("<=", heartbeat+time.Second), "waiting ended %v later", time.Since(began))
		w.Expect(holder.believes()).To(BeTrue(), "the holder lost its lock: %v", holder.LockError())
	})
}

func TestAHungAcquireReturnsWhenItsContextEnds(t *testing.T) {
	virtually(t, func(w *world) {
		until := make(chan struct{})
		defer close(until)
		node := w.node("node")
		node.wire.SetHook(wire.Every(wire.Acquire, wire.Deaf(until)))
		ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
		defer cancel()
		began := time.Now()
		held, err := node.GetLockWithContext(ctx)
		w.Expect(held).To(BeFalse(), "held")
		w.Expect(err).To(MatchError(context.DeadlineExceeded))
		w.Expect(time.Since(began)).To(BeNumerically("<=", 3*time.Second+time.Millisecond), "GetLock returned after %v", time.Since(began))
	})
}

func TestAHungEndpointIsAnErrorThatDoesNotLookLikeACancel(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.wire.SetHook(wire.Every(wire.Acquire, wire.Hang()))
		held, err := node.GetLock()
		w.Expect(!held && err != nil).To(BeTrue(), "GetLock over a dead line: %v, %v", held, err)
		w.Expect(errors.Is(err, context.Canceled)).To(BeFalse(), "nobody cancelled anything, and the error is %v", err)
	})
}

// The machine sleeps while its request is under way: what it won is as old as that.
func TestAnAcquireDuringWhichTheLeaseRanOutIsNotBelieved(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.wire.SetHook(wire.Nth(wire.Acquire, 1, func(ctx context.Context, c *wire.Call) (reply, error) {
			r, err := c.Deliver(ctx)
			node.clock.Suspend()
			_ = wire.Sleep(ctx, theLease)
			node.clock.Resume()
			w.Expect(node.believes()).To(BeFalse(), "it believes before it was answered")
			return r, err
		}))
		node.get()
		age, _ := node.LeaseAge()
		w.Expect(age <= time.Second && node.wire.Kinds()[wire.Acquire] == 2).To(BeTrue(), "a lease of age %v, won with %v", age, node.wire.Counts())
	})
}

func TestReclaimOnRestartGoesOnAtOnce(t *testing.T) {
	virtually(t, func(w *world) {
		reclaim := func(c *lockclient.DynamoDBLockClient) { c.ReclaimOnRestart = true }
		first, other := w.node("node-1", reclaim), w.node("other", reclaim)
		before := first.get()
		w.pass(20 * time.Second)
		first.crash()
		other.refused() // it isn't its own
		again := w.node("node-1", reclaim)
		after := again.get()
		w.Expect(after).To(BeNumerically(">", before), "fencing tokens %d, then %d", before, after)
		w.passWatching(theLease)
		w.Expect(again.believes()).To(BeTrue(), "lost: %v", again.LockError())
	})
}

func TestWithoutReclaimOnRestartAnEqualIdentifierIsAnotherClient(t *testing.T) {
	virtually(t, func(w *world) {
		first, twin := w.node("twin"), w.node("twin")
		first.get()
		twin.refused()
		w.Expect(twin.RemoveLock()).To(Succeed(), "RemoveLock of a client that holds nothing")
		twin.waits()
		w.passWatching(3 * theLease)
		w.Expect(first.believes()).To(BeTrue(), "a twin's RemoveLock freed the lock: %v", first.LockError())
		// And when it does take over, the heartbeats of one do not keep up the other.
		first.wire.SetHook(wire.Every(wire.Heartbeat, wire.Refuse()))
		w.Expect(w.until(3*theLease, twin.believes)).To(BeTrue(), "the twin never took over")
		first.wire.SetHook(nil)
		w.passWatching(2 * theLease)
		w.Expect(twin.believes() && !first.believes()).To(BeTrue(), "after the takeover: twin %v, first %v", twin.believes(), first.believes())
	})
}

func TestAClientTakesItsOwnExpiredTenureUpAgainAtOnce(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		before := node.get()
		w.pass(20 * time.Second)
		node.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() })
		w.ends(node.Lost())
		w.pass(time.Second)
		node.wire.SetHook(nil)
		node.wire.Reset()
		after := node.get()
		w.Expect(after > before && node.wire.Count("UpdateItem") == 1 && node.wire.Count("") <= 2).To(BeTrue(), "tokens %d, %d; requests %v", before, after, node.wire.Counts())
	})
}

func TestWithMaxClockSkewAShortLivedProcessTakesOverFromACrashedOne(t *testing.T) {
	virtually(t, func(w *world) {
		const skew = 500 * time.Millisecond
		cron := func() *node {
			return w.node("cron", func(c *lockclient.DynamoDBLockClient) { c.MaxClockSkew = skew })
		}
		holder := w.node("holder")
		holder.get()
		for range 20 { // a new process each time, which looks once
			w.passWatching(theLease / 3)
			cron().refused()
		}
		holder.crash()
		last := holder.lastRenewal()
		for time.Since(last) < theLease+skew {
			cron().refused()
			w.pass(theLease / 5)
		}
		w.pass(time.Second)
		late := cron()
		late.get()
		w.Expect(late.wire.Count("")).To(Equal(2), "requests: %v", late.wire.Counts())

		never := w.node("careful")
		late.crash()
		w.pass(5 * theLease)
		never.refused() // without MaxClockSkew nobody's wall clock decides
	})
}

func TestARecordedExpiryIsNotBelievedWhereClocksAreNotPromised(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.clock.JumpWall(-24 * time.Hour) // its expiry has long passed for everybody else
		holder.get()
		waiter.waits()
		w.passWatching(5 * theLease)
		waiter.refused()
		w.Expect(holder.believes()).To(BeTrue(), "lost: %v", holder.LockError())
	})
}

// A crashed holder is taken over by attempts that are cut short, one after another, on a bad line.
func TestAWatchOutlivesAttemptsThatWereCutShort(t *testing.T) {
	virtually(t, func(w *world) {
		holder, other := w.node("holder"), w.node("other")
		holder.get()
		other.refused()
		holder.crash()
		other.wire.SetHook(wire.On(wire.Acquire, func(n int, _ *wire.Call) wire.Fault {
			if n%2 == 1 {
				return wire.Hang()
			}
			return nil
		}))
		held := w.until(2*theLease, func() bool {
			w.pass(time.Second)
			ctx, cancel := context.WithTimeout(w.ctx, 200*time.Millisecond)
			defer cancel()
			held, _ := other.GetLockWithContext(ctx)
			return held
		})
		w.Expect(held).To(BeTrue(), "never taken over: each cut attempt began the watch anew")
	})
}

func TestGivingUpWaitingSaysWhatForAndWhy(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		token := holder.get()
		ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
		defer cancel()
		err := waiter.WaitForLock(ctx)
		w.Expect(err).To(MatchError(context.DeadlineExceeded))
		var refused *lockclient.LockHeldError
		w.Expect(errors.As(err, &refused) && refused.Owner == "holder" && refused.FencingToken == token).To(BeTrue(), "the error is %v", err)
	})
}

func TestWaitingGoesOnThroughEveryTransientFault(t *testing.T) {
	for name, fault := range transient() {
		if name == "a permission taken away" || name == "a table that is away" {
			continue // these are answered at once
		}
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				holder, waiter := w.node("holder"), w.node("waiter")
				holder.get()
				done := waiter.waits()
				w.passWatching(theLease)
				for _, kind := range []wire.Kind{wire.Poll, wire.Acquire} {
					waiter.wire.SetHook(wire.On(kind, func(n int, _ *wire.Call) wire.Fault {
						if n <= 2 {
							return fault
						}
						return nil
					}))
					w.passWatching(3 * theLease)
					if kind == wire.Poll {
						holder.crash()
					}
				}
				w.Expect(w.until(4*theLease, waiter.believes) && <-done == nil).To(BeTrue(), "waiting did not end in a lock")
			})
		})
	}
}

func TestExpiredCredentialsAreRenewed(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		keys := &rotatingKeys{}
		node.Client = wire.NewClient(node.wire, keys.configure)
		node.get()
		w.Expect(keys.retrieved.Load()).To(BeEquivalentTo(1), "credentials were fetched %d times", keys.retrieved.Load())
		w.pass(theLease)
		node.wire.SetHook(wire.Nth(wire.Heartbeat, 1, wire.ExpiredToken()))
		w.passWatching(2 * theLease)
		w.Expect(node.believes() && keys.retrieved.Load() == 2).To(BeTrue(), "holds %v, credentials fetched %d times", node.believes(), keys.retrieved.Load())
	})
}
