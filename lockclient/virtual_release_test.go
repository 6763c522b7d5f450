package lockclient_test

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

func TestAReleaseThatFailsOnceIsRepeatedByItself(t *testing.T) {
	for name, fault := range transient() {
		if name == "a permission taken away" || name == "a table that is away" {
			continue // these are answered at once
		}
		for _, remove := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				virtually(t, func(w *world) {
					node, other := w.node("node", func(c *lockclient.DynamoDBLockClient) { c.DeleteOnRelease = remove }), w.node("other")
					node.get()
					node.wire.SetHook(wire.Nth(wire.Release, 1, fault))
					w.Expect(node.RemoveLock()).To(Succeed())
					other.get()
					w.passWatching(2 * theLease) // also when a delayed release arrives
					w.Expect(other.believes()).To(BeTrue(), "lost: %v", other.LockError())
				})
			})
		}
	}
}

// After an error the caller may try again.
func TestAReleaseThatCouldNotBeSentCanBeRepeated(t *testing.T) {
	virtually(t, func(w *world) {
		node, other := w.node("node"), w.node("other")
		node.get()
		node.wire.SetHook(wire.Every(wire.Release, wire.Refuse()))
		began := time.Now()
		w.Expect(node.RemoveLock()).NotTo(BeNil(), "RemoveLock says that it freed the lock")
		w.Expect(time.Since(began)).To(BeNumerically("<=", theLease+time.Second), "RemoveLock tried for %v", time.Since(began))
		w.Expect(!node.believes() && node.LockError() == nil).To(BeTrue(), "a tenure that was given up counts as %v", node.LockError())
		other.refused()
		node.wire.SetHook(nil)
		w.Expect(node.RemoveLock()).To(Succeed(), "the second RemoveLock failed")
		other.get()
	})
}

// RemoveLock of a client that was replaced, without its knowledge, frees nobody's lock.
func TestReleasingALockThatAnotherHasTakenOverChangesNothing(t *testing.T) {
	for _, remove := range []bool{false, true} {
		virtually(t, func(w *world) {
			node, other := w.node("node", func(c *lockclient.DynamoDBLockClient) { c.DeleteOnRelease = remove }), w.node("other")
			node.get()
			other.waits()
			w.pass(time.Minute)
			node.cutOff()
			w.Expect(w.until(3*theLease, other.believes)).To(BeTrue(), "nobody took over")
			w.Expect(node.RemoveLock()).To(Succeed(), "there is nothing of its own to free: no error")
			w.passWatching(3 * theLease)
			w.Expect(other.believes()).To(BeTrue(), "the successor lost its lock: %v", other.LockError())
		})
	}
}

func TestALateReleaseDoesNotFreeTheSuccessorsLock(t *testing.T) {
	for _, remove := range []bool{false, true} {
		virtually(t, func(w *world) {
			node, other := w.node("node", func(c *lockclient.DynamoDBLockClient) { c.DeleteOnRelease = remove }), w.node("other")
			node.get()
			other.waits()
			w.pass(time.Minute)
			var late *wire.Call
			node.wire.SetHook(func(c *wire.Call) wire.Fault {
				if c.Kind() == wire.Release {
					late = c
				}
				return wire.Refuse()
			})
			w.Expect(node.RemoveLock()).NotTo(BeNil(), "RemoveLock succeeded over a dead line")
			w.Expect(w.until(3*theLease, other.believes)).To(BeTrue(), "nobody took over")
			w.Expect(late.Repeat()).To(Equal(http.StatusBadRequest), "a late release was carried out")
			w.passWatching(3 * theLease)
			w.Expect(other.believes()).To(BeTrue(), "the successor lost its lock: %v", other.LockError())
		})
	}
}

// Nobody believes in it, and it is gone after a lease: the worst that a repeated acquire can do.
func TestAnAcquireRepeatedAfterItsReleaseIsOutlived(t *testing.T) {
	virtually(t, func(w *world) {
		node, other := w.node("node"), w.node("other")
		node.get()
		ghost := node.wire.Calls()[0]
		w.Expect(node.RemoveLock()).To(Succeed())
		ghost.Repeat()
		w.Expect(node.believes()).To(BeFalse(), "a repeated request made a believer")
		other.waits()
		w.Expect(w.until(2*theLease, other.believes)).To(BeTrue(), "nobody outlived it")
		token, _ := other.FencingToken()
		w.Expect(aws.StringValue(w.record()["fencingToken"].N)).To(Equal(strconv.Itoa(int(token))), "token")
	})
}

func TestATenureIsOverBeforeItsReleaseIsSent(t *testing.T) {
	virtually(t, func(w *world) {
		node, other := w.node("node"), w.node("other")
		node.get()
		lost := node.Lost()
		told := false
		node.wire.SetHook(wire.On(wire.Release, func(int, *wire.Call) wire.Fault {
			select {
			case <-lost:
				told = !node.believes()
			default:
			}
			return wire.DelayReply(2 * time.Second)
		}))
		other.waits()
		done := make(chan error, 1)
		w.waiting.Go(func() { done <- node.RemoveLock() })
		w.passWatching(theLease)
		w.Expect(<-done == nil && told && other.believes()).To(BeTrue(), "told before the release: %v, other: %v", told, other.believes())
	})
}

func TestHeartbeatsUnderWayDoNotOutliveTheRelease(t *testing.T) {
	virtually(t, func(w *world) {
		node, other := w.node("node"), w.node("other")
		node.get()
		node.wire.SetHook(wire.Every(wire.Heartbeat, wire.Delay(2*time.Second)))
		w.pass(heartbeat + time.Second) // one is on its way
		w.Expect(node.RemoveLock()).To(Succeed())
		node.wire.Reset()
		other.get()
		w.passWatching(3 * theLease)
		w.Expect(node.wire.Count("") == 0 && other.believes()).To(BeTrue(), "after the release: %v; other: %v", node.wire.Counts(), other.LockError())
	})
}

// A request that is cancelled while it is under way may be carried out all the same, and after the
// release that was sent to undo it. So a caller who gives up waits a moment for its answer instead.
func TestGivingUpAnAcquireThatIsUnderWayLeavesTheLockFree(t *testing.T) {
	givingUp := map[string]func(w *world, n *node, cancel func()){
		"by RemoveLock":  func(w *world, n *node, _ func()) { w.Expect(n.RemoveLock()).To(Succeed()) },
		"by its context": func(_ *world, _ *node, cancel func()) { cancel() },
	}
	for name, giveUp := range givingUp {
		for _, remove := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				virtually(t, func(w *world) {
					node, other := w.node("node", func(c *lockclient.DynamoDBLockClient) { c.DeleteOnRelease = remove }), w.node("other")
					node.wire.SetHook(wire.Nth(wire.Acquire, 1, wire.Delay(300*time.Millisecond)))
					ctx, cancel := context.WithCancel(w.ctx)
					defer cancel()
					done := node.waitsFor(ctx)
					w.pass(100 * time.Millisecond)
					giveUp(w, node, cancel)
					if err := <-done; err == nil {
						w.Expect(node.RemoveLock()).To(Succeed(), "it won before it heard that it need not, and can't let go")
					}
					w.pass(theLease / 2)
					other.get()
				})
			})
		}
	}
}

// The answer may also come too late for anybody to wait for. Then the next attempt of the same
// client knows its own write.
func TestAnAcquireThatLandsLongAfterItWasGivenUpIsTakenUpByTheNextAttempt(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.wire.SetHook(wire.Nth(wire.Acquire, 1, wire.Delay(3*time.Second)))
		done := node.waitsFor(w.ctx)
		w.pass(100 * time.Millisecond)
		began := time.Now()
		w.Expect(node.RemoveLock()).To(Succeed())
		w.Expect(time.Since(began)).To(BeNumerically("<=", 1500*time.Millisecond), "RemoveLock waited for %v", time.Since(began))
		w.Expect(<-done).To(MatchError(lockclient.ErrInterrupted))
		w.pass(3 * time.Second) // it has landed
		node.get()
	})
}
