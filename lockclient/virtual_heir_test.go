package lockclient_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// holdersMoments are moments within a heartbeat at which a holder releases: who polls first differs
// between them.
func holdersMoments(t *testing.T, do func(w *world, holder *node, released time.Duration)) {
	t.Helper()
	for _, moment := range []time.Duration{100 * time.Millisecond, 900 * time.Millisecond, 1700 * time.Millisecond, 2500 * time.Millisecond, 2950 * time.Millisecond} {
		virtually(t, func(w *world) {
			holder := w.node("holder")
			holder.get()
			do(w, holder, moment)
		})
	}
}

func TestAnHeirTakesTheLockBeforeOthers(t *testing.T) {
	holdersMoments(t, func(w *world, holder *node, moment time.Duration) {
		var others []*node
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			other := w.node(name)
			other.waits()
			others = append(others, other)
		}
		heir := w.node("heir")
		heir.waits()
		w.pass(10*heartbeat + moment)
		w.Expect(holder.ReleaseTo(w.ctx, "heir")).To(Succeed())
		w.Expect(w.until(heartbeat+heartbeat/10, heir.believes)).To(BeTrue(), "the heir does not hold the lock within a heartbeat")
		w.passWatching(3 * theLease)
		w.Expect(heir.believes()).To(BeTrue())
		w.Expect(heir.RemoveLock()).To(Succeed())
		w.Expect(w.until(2*heartbeat, func() bool {
			for _, other := range others {
				if other.believes() {
					return true
				}
			}
			return false
		})).To(BeTrue(), "nobody comes after the heir")
	})
}

func TestAnHeirThatIsGoneCostsOneHeartbeat(t *testing.T) {
	holdersMoments(t, func(w *world, holder *node, moment time.Duration) {
		other := w.node("other")
		other.waits()
		w.pass(10*heartbeat + moment)
		w.Expect(holder.ReleaseTo(w.ctx, "gone")).To(Succeed())
		began := time.Now()
		w.Expect(w.until(3*heartbeat, other.believes)).To(BeTrue(), "nobody takes a lock that was left to one who is gone")
		// One poll sees the release, and from then on it is one heartbeat.
		w.Expect(time.Since(began)).To(And(BeNumerically(">=", heartbeat), BeNumerically("<=", 2*heartbeat+heartbeat/10)))
	})
}

func TestAnHeirThatIsWaitedForIsAnErrorThatSaysSo(t *testing.T) {
	virtually(t, func(w *world) {
		holder, other := w.node("holder"), w.node("other")
		holder.get()
		_, err := other.PollLock(w.ctx)
		w.Expect(err).To(MatchError(lockclient.ErrLockHeld))
		w.Expect(holder.ReleaseTo(w.ctx, "heir")).To(Succeed())
		item, err := other.Peek(w.ctx)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(*item).To(And(HaveField("Released", true), HaveField("Heir", "heir")))

		_, err = other.PollLock(w.ctx)
		w.Expect(err).To(MatchError(lockclient.ErrLockHeld))
		before := len(other.wire.Calls())
		refusal := other.refused()
		w.Expect(len(other.wire.Calls())-before).To(Equal(1), "requests of a GetLock that holds back")
		w.Expect(refusal).To(And(HaveField("Owner", ""), HaveField("FencingToken", int64(0)), HaveField("Heir", "heir")))
		w.Expect(refusal.RetryAfter).To(And(BeNumerically(">", 0), BeNumerically("<=", heartbeat)))
		w.Expect(refusal.Error()).To(ContainSubstring(`was released to "heir"`))
		w.pass(refusal.RetryAfter)
		other.get()
		w.Expect(w.record()).NotTo(HaveKey("isReleased"))
		item, err = holder.Peek(w.ctx)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(item.Heir).To(BeEmpty(), "the next write of anybody ends what a release said of an heir")
		late := w.node("late")
		late.refused() // from now on it polls by reading
		w.Expect(other.RemoveLock()).To(Succeed())
		held, err := late.PollLock(w.ctx)
		w.Expect(err).NotTo(HaveOccurred(), "a release to all that follows one to an heir")
		w.Expect(held).To(BeTrue())
	})
}

func TestAClientThatReleasesToAnHeirWaitsToo(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder", func(c *lockclient.DynamoDBLockClient) { c.ReclaimOnRestart = true })
		holder.get()
		w.Expect(holder.ReleaseTo(w.ctx, "heir")).To(Succeed())
		w.Expect(holder.refused().Heir).To(Equal("heir"))
		holder.waits()
		w.Expect(w.until(3*heartbeat, holder.believes)).To(BeTrue())
	})
}

// Clients that know no heirs, and clients that have not seen the release, compete at once.
func TestAClientThatHasNotSeenTheReleaseNeedNotWaitForTheHeir(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		w.Expect(holder.ReleaseTo(w.ctx, "heir")).To(Succeed())
		w.node("new here").get()
	})
}

func TestTryLockTakesWhatAnHeirLeaves(t *testing.T) {
	virtually(t, func(w *world) {
		holder, other := w.node("holder"), w.node("other")
		holder.get()
		done := make(chan error, 1)
		w.waiting.Go(func() { done <- other.TryLock(w.ctx) })
		w.pass(heartbeat / 2) // it has seen the holder, and waits for its next heartbeat
		w.Expect(holder.ReleaseTo(w.ctx, "gone")).To(Succeed())
		w.Expect(w.until(3*heartbeat, other.believes)).To(BeTrue())
		w.Expect(<-done).To(Succeed())
	})
}

func TestAReleaseToAnHeirIsARelease(t *testing.T) {
	for _, remove := range []bool{false, true} {
		virtually(t, func(w *world) {
			holder, heir := w.node("holder", func(c *lockclient.DynamoDBLockClient) { c.DeleteOnRelease = remove }), w.node("heir")
			token := holder.get()
			heir.refused()
			lost := holder.Lost()
			holder.wire.SetHook(wire.Nth(wire.Release, 1, wire.DropReply())) // carried out and not heard of: it is repeated
			w.Expect(holder.ReleaseTo(w.ctx, "heir")).To(Succeed())
			w.Expect(lost).To(BeClosed())
			w.Expect(holder.LockError()).To(Succeed())
			w.Expect(heir.get()).To(BeNumerically(">", token))
			w.Expect(holder.ReleaseTo(w.ctx, "heir")).To(Succeed(), "there is nothing of its own to free: no error")
			w.passWatching(3 * theLease)
			w.Expect(heir.believes()).To(BeTrue())
		})
	}
}

func TestAnHeirMustBeAnotherClient(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		for _, heir := range []string{"", "holder", "\xff", strings.Repeat("x", 2049)} {
			err := holder.ReleaseTo(context.Background(), heir)
			w.Expect(errors.Is(err, lockclient.ErrInvalidConfig)).To(BeTrue(), "%.20q: %v", heir, err)
			w.Expect(err.Error()).To(ContainSubstring("heir is "))
			w.Expect(holder.believes()).To(BeTrue(), "released, though %.20q is no heir", heir)
		}
	})
}

// A member of a session is released to an heir as any lock is.
func TestAnHeirTakesAMemberOfASession(t *testing.T) {
	virtually(t, func(w *world) {
		holder, heir := w.node("holder"), w.node("heir")
		session := &lockclient.Session{TableName: theTable, Client: holder.Client, LeaseDuration: theLease, HeartbeatPeriod: heartbeat, Identifier: "holder", Clock: holder.clock}
		holder.DynamoDBLockClient = &lockclient.DynamoDBLockClient{LockName: theLock, Session: session}
		holder.get()
		var others []*node
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			other := w.node(name)
			other.waits()
			others = append(others, other)
		}
		heir.waits()
		w.pass(10*heartbeat + 700*time.Millisecond)
		w.Expect(holder.ReleaseTo(w.ctx, "heir")).To(Succeed())
		w.Expect(w.until(2*heartbeat, heir.believes)).To(BeTrue(), "the heir does not hold the lock")
		w.passWatching(theLease)
		w.Expect(heir.believes()).To(BeTrue())
		w.Expect(heir.ReleaseTo(w.ctx, "gone")).To(Succeed())
		w.Expect(w.until(3*heartbeat, func() bool {
			return slices.ContainsFunc(others, (*node).believes)
		})).To(BeTrue(), "nobody takes a lock that was left to one who is gone")
		w.Expect(session.Close(w.ctx)).To(Succeed())
	})
}
