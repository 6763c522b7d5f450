package lockclient_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// cutOff has none of the node's heartbeats arrive any more.
func (n *node) cutOff() { n.wire.SetHook(wire.Every(wire.Heartbeat, wire.Refuse())) }

func TestAWallClockSetBackNeverProlongsALease(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		waiter.waits()
		w.passWatching(time.Minute)
		holder.cutOff()
		last := holder.lastRenewal()
		for range 5 {
			holder.clock.JumpWall(-time.Hour)
			w.passWatching(time.Second)
		}
		w.ends(holder.Lost())
		w.Expect(time.Since(last)).To(BeNumerically("<=", theLease*99/100), "believed for %v", time.Since(last))
		w.Expect(w.until(theLease, waiter.believes)).To(BeTrue(), "nobody took over")
	})
}

// The token is a client's own choice: its clock, or more than it has seen.
func TestAClientWhoseClockIsBehindLearnsTheTokenFromItsRefusal(t *testing.T) {
	virtually(t, func(w *world) {
		fast, slow := w.node("fast"), w.node("slow")
		fast.clock.JumpWall(time.Hour)
		var last int64
		takes := func(n *node, acquires, polls int) {
			t.Helper()
			n.wire.Reset()
			token := n.get()
			w.Expect(token).To(BeNumerically(">", last))
			last = token
			kinds := n.wire.Kinds()
			w.Expect([]int{kinds[wire.Acquire], kinds[wire.Poll]}).To(Equal([]int{acquires, polls}), "it took %v", kinds)
			w.Expect(n.RemoveLock()).To(Succeed())
		}
		takes(fast, 1, 0)
		takes(slow, 2, 0) // refused once: a request more
		takes(slow, 1, 0)
		takes(fast, 1, 0)
		w.pass(time.Second)
		fast.get()
		held, _ := slow.PollLock(w.ctx) // a look shows the token
		w.Expect(held).To(BeFalse())
		w.Expect(fast.RemoveLock()).To(Succeed())
		takes(slow, 1, 0)
	})
}

// Its own tenure has the same token, and each later one a higher.
func TestAnAcquireThatArrivesAfterItsTenureTakesNothing(t *testing.T) {
	virtually(t, func(w *world) {
		first, other := w.node("first"), w.node("other")
		var late *wire.Call
		first.wire.SetHook(wire.Nth(wire.Acquire, 1, func(ctx context.Context, c *wire.Call) (*http.Response, error) {
			late = c
			return c.Deliver(ctx)
		}))
		first.get()
		for _, n := range []*node{first, other} {
			if n == other {
				w.pass(time.Second)
				n.get()
			}
			w.Expect(n.RemoveLock()).To(Succeed())
			before := w.record()
			late.Repeat()
			w.Expect(w.record()).To(Equal(before))
		}
	})
}

func TestSmallWallJumpsCostALiveHolderNothing(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		token := holder.get()
		waiter.waits()
		for i := range 40 {
			jump := time.Duration(i%5-2) * time.Second
			holder.clock.JumpWall(jump)
			waiter.clock.JumpWall(-17 * jump)
			w.passWatching(theLease / 2)
		}
		now, _ := holder.FencingToken()
		w.Expect(now).To(Equal(token), "the holder lost its lock: %v", holder.LockError())
	})
}

// Waiters know a holder's rhythm and poll just after each of its heartbeats. One that came early
// for good would be seen late for good, and a crash noticed as much later.
func TestAWallClockThatIsSetDoesNotShiftTheRhythmOfTheHeartbeats(t *testing.T) {
	for _, step := range []time.Duration{time.Second, 2 * time.Second, 6 * time.Second, -time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			virtually(t, func(w *world) {
				holder, waiter := w.node("holder"), w.node("waiter")
				holder.get()
				waiter.waits()
				w.passWatching(time.Minute)
				w.pass(time.Until(holder.lastRenewal().Add(heartbeat + heartbeat/10)))
				holder.clock.JumpWall(step)
				w.passWatching(3 * heartbeat)
				w.Expect(time.Since(holder.lastRenewal())).To(BeNumerically("<=", heartbeat), "its heartbeats have stopped")
				w.crashIsNoticedInTime(holder, waiter)
			})
		})
	}
}

// A machine that slept for less than its lease has missed the moment of its heartbeat, and hears of
// it when it wakes.
func TestAHeartbeatThatWasSleptThroughIsSentSoonAfterWaking(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		token := holder.get()
		w.pass(time.Until(holder.lastRenewal().Add(heartbeat / 10)))
		holder.clock.Suspend()
		w.pass(theLease * 8 / 10)
		holder.clock.Resume()
		woke := time.Now()
		w.pass(heartbeat / 3)
		w.Expect(holder.lastRenewal().After(woke)).To(BeTrue(), "none was sent within %v after waking", heartbeat/3)
		w.pass(time.Minute)
		now, _ := holder.FencingToken()
		w.Expect(now).To(Equal(token), "the holder lost its lock: %v", holder.LockError())
	})
}

// The network is often gone before a machine goes to sleep, and back when it wakes.
func TestAHeartbeatThatMustBeRepeatedIsSentSoonAfterWaking(t *testing.T) {
	for name, fault := range map[string]wire.Fault{"refused": wire.Refuse(), "hanging": wire.Hang()} {
		for asleep := 4 * time.Second; asleep <= 7*time.Second; asleep += 250 * time.Millisecond {
			t.Run(name+", asleep from "+asleep.String(), func(t *testing.T) {
				virtually(t, func(w *world) {
					holder := w.node("holder")
					token := holder.get()
					w.pass(20 * time.Second)
					last := holder.lastRenewal()
					holder.wire.SetHook(wire.Every(wire.Heartbeat, fault))
					w.pass(time.Until(last.Add(asleep)))
					holder.clock.Suspend()
					holder.wire.SetHook(nil)
					w.pass(time.Until(last.Add(theLease * 9 / 10)))
					holder.clock.Resume()
					w.pass(time.Minute)
					now, _ := holder.FencingToken()
					w.Expect(now).To(Equal(token), "the holder lost its lock: %v", holder.LockError())
				})
			})
		}
	}
}

// The answer was there when the machine woke, and the lease already old.
func TestAMachineThatSleptDuringARequestRenewsSoonAfterWaking(t *testing.T) {
	for kind, asleep := range map[wire.Kind]time.Duration{wire.Acquire: 8 * time.Second, wire.Heartbeat: 6 * time.Second} {
		t.Run(string(kind), func(t *testing.T) {
			virtually(t, func(w *world) {
				holder := w.node("holder")
				answeredOnWaking := func(ctx context.Context, c *wire.Call) (reply, error) {
					r, err := c.Deliver(ctx)
					if err == nil {
						err = holder.clock.AwaitRunning(ctx)
					}
					return r, err
				}
				if kind == wire.Heartbeat {
					holder.get()
					w.pass(20 * time.Second)
					w.pass(time.Until(holder.lastRenewal().Add(heartbeat - time.Millisecond)))
				}
				sent := holder.wire.Kinds()[kind]
				holder.wire.SetHook(wire.Nth(kind, 1, answeredOnWaking))
				if kind == wire.Acquire {
					w.waiting.Go(func() { _, _ = holder.GetLock() })
				}
				w.pass(2 * time.Millisecond) // it has left
				w.Expect(holder.wire.Kinds()[kind]).To(Equal(sent+1), "it has not left")
				holder.clock.Suspend()
				w.pass(asleep)
				holder.clock.Resume()
				w.pass(heartbeat / 10)
				token, held := holder.FencingToken()
				w.Expect(held).To(BeTrue(), "lost: %v", holder.LockError())
				w.pass(heartbeat / 3)
				age, _ := holder.LeaseAge()
				w.Expect(age).To(BeNumerically("<", heartbeat/2), "%v after the machine woke the lease was renewed %v ago", heartbeat/3, age)
				w.pass(time.Minute)
				now, _ := holder.FencingToken()
				w.Expect(now).To(Equal(token), "the holder lost its lock: %v", holder.LockError())
			})
		})
	}
}

func TestAWallClockSetForwardPastTheLeaseEndsTheTenure(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		w.pass(20 * time.Second)
		holder.clock.JumpWall(time.Hour) // for all it knows it was asleep
		held, err := holder.HasLock()
		w.Expect(held).To(BeFalse(), "it trusts a lease that may be an hour old")
		w.Expect(err).To(MatchError(lockclient.ErrLeaseExpired))
		holder.clock.JumpWall(-time.Hour)
		w.Expect(holder.believes()).To(BeFalse(), "a lost tenure came back")
	})
}

func TestAMachineThatSleptPastItsLeaseDoesNotBelieveWhenItWakes(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		lost := holder.Lost()
		waiter.waits()
		w.pass(time.Minute)
		holder.clock.Suspend()
		w.nodes = []*node{waiter} // asleep, it asks itself nothing
		w.Expect(w.until(3*theLease, waiter.believes)).To(BeTrue(), "nobody took over")
		w.nodes = []*node{holder, waiter}
		holder.clock.Resume()
		held, err := holder.HasLock() // before any of its timers has had the time to fire
		w.Expect(held).To(BeFalse(), "it woke up believing")
		w.Expect(err).To(MatchError(lockclient.ErrLeaseExpired))
		w.ends(lost)
		w.passWatching(theLease)
		w.Expect(waiter.believes()).To(BeTrue(), "the successor lost its lock: %v", waiter.LockError())
	})
}

// Nobody need ask: the loss is told by a timer, soon after the machine woke.
func TestASleeperIsToldOfItsLossSoonAfterWaking(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		lost := holder.Lost()
		w.pass(time.Minute)
		holder.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
		holder.clock.Suspend()
		w.pass(theLease)
		holder.clock.Resume()
		woke := time.Now()
		w.ends(lost)
		w.Expect(time.Since(woke)).To(BeNumerically("<=", heartbeat/3), "told %v after waking", time.Since(woke))
	})
}

func TestAProcessThatStoodStillPastItsLeaseDoesNotBelieve(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		lost := holder.Lost()
		waiter.waits()
		w.pass(time.Minute)
		holder.wire.SetHook(func(*wire.Call) wire.Fault {
			return func(ctx context.Context, c *wire.Call) (reply, error) {
				if err := holder.clock.AwaitRunning(ctx); err != nil {
					return nil, err
				}
				return c.Deliver(ctx)
			}
		})
		holder.clock.Pause()
		w.nodes = []*node{waiter}
		w.Expect(w.until(3*theLease, waiter.believes)).To(BeTrue(), "nobody took over")
		w.nodes = []*node{holder, waiter}
		holder.clock.Continue()
		w.Expect(holder.believes()).To(BeFalse(), "it went on believing")
		w.ends(lost)
		w.passWatching(theLease) // its heartbeats that were due meanwhile do no harm
		w.Expect(waiter.believes()).To(BeTrue(), "the successor lost its lock: %v", waiter.LockError())
	})
}

func TestClocksThatRunAtDifferentRatesDoNotOverlap(t *testing.T) {
	for name, rates := range map[string][2]float64{"a slow holder": {0.9956, 1.0044}, "a fast holder": {1.0044, 0.9956}} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				for range 3 {
					holder, waiter := w.node("holder"), w.node("waiter")
					holder.clock.SetRate(rates[0])
					waiter.clock.SetRate(rates[1])
					w.Expect(holder.WaitForLock(w.ctx)).To(Succeed())
					waiter.waits()
					w.passWatching(time.Minute)
					w.Expect(holder.believes()).To(BeTrue(), "lost: %v", holder.LockError())
					holder.cutOff()
					w.Expect(w.until(2*theLease, waiter.believes)).To(BeTrue(), "nobody took over")
					w.Expect(waiter.RemoveLock()).To(Succeed())
				}
			})
		})
	}
}
