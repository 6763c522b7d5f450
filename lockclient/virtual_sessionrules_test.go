package lockclient_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// isMark reports whether a call marks a session that is not the node's own.
func isMark(c *wire.Call) bool {
	return c.Kind() == wire.Release && strings.Contains(string(c.Body), `"leaderkit/session/`) && !strings.Contains(c.ConditionExpression(), "ownerName")
}

// A holder whose heartbeat lands between the waiter's last look and its mark goes on, and
// keeps its lock.
func TestAMarkIsRefusedWhereTheSessionWasRenewedMeanwhile(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		name := holder.Session.Name()
		waiter.waits()
		w.passWatching(2 * theLease)
		// The holder's heartbeats are late, until the very moment at which the mark is sent.
		held := make(chan struct{})
		holder.wire.SetHook(wire.Every(wire.Heartbeat, func(ctx context.Context, c *wire.Call) (*http.Response, error) {
			select {
			case <-held:
			case <-ctx.Done():
			}
			return nil, context.DeadlineExceeded
		}))
		var marked atomic.Bool
		waiter.wire.SetHook(func(c *wire.Call) wire.Fault {
			if !isMark(c) || !marked.CompareAndSwap(false, true) {
				return nil
			}
			// A heartbeat that was on its way for long.
			_, err := w.admin.UpdateItem(&dynamodb.UpdateItemInput{
				TableName: aws.String(theTable), Key: key(name),
				UpdateExpression:          aws.String("SET recordVersionNumber = :v, ourVersion = :v ADD heartbeatCount :one"),
				ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":v": s("late"), ":one": n("1")},
			})
			w.Check(err == nil, "the late heartbeat failed")
			return nil
		})
		for !marked.Load() {
			w.pass(glance)
		}
		w.pass(4 * roundTrip)
		w.Expect(w.itemOf(name)).NotTo(HaveKey("isReleased"), "a session that had been renewed was marked")
		w.Expect(waiter.believes()).To(BeFalse())
		close(held)
		w.Expect(w.until(3*theLease, waiter.believes)).To(BeTrue(), "it was not taken over later")
	})
}

// The mark is lost: until it is confirmed or seen, nothing may be taken.
func TestNothingIsTakenUntilTheMarkIsConfirmed(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		waiter.waits()
		w.passWatching(2 * theLease)
		waiter.wire.SetHook(func(c *wire.Call) wire.Fault {
			if isMark(c) {
				return wire.Refuse()
			}
			return nil
		})
		holder.crash()
		w.passWatching(4 * theLease)
		w.Expect(waiter.believes()).To(BeFalse(), "it was taken without a mark")
		w.Expect(w.record()).To(HaveKeyWithValue("ownerName", s("holder")))
		waiter.wire.SetHook(nil)
		w.Expect(w.until(theLease, waiter.believes)).To(BeTrue())
	})
}

// A stale read says that a session that lives has no item. That says nothing.
func TestAbsenceInAnEventuallyConsistentReadSaysNothing(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		waiter.waits()
		w.passWatching(2 * theLease)
		waiter.wire.SetHook(wire.On(wire.Poll, func(_ int, c *wire.Call) wire.Fault {
			if c.Consistent() {
				return nil
			}
			return wire.AnswerBody(http.StatusOK, "application/x-amz-json-1.0", "{}")
		}))
		w.passWatching(4 * theLease)
		w.Expect(holder.believes()).To(BeTrue(), "%v", holder.LockError())
		w.Expect(w.itemOf(holder.Session.Name())).NotTo(HaveKey("isReleased"))
	})
}

// An acquire of a member that nobody waits for any more lands late. Its session lives, so
// that it would never run out.
func TestAnAcquireThatLandsAfterItsCallerGaveUpIsFreedBySession(t *testing.T) {
	for name, fault := range map[string]wire.Fault{
		"its reply is lost":  wire.DropReply(),
		"it arrives late":    wire.Delay(2 * heartbeat),
		"it arrives later":   wire.Delay(theLease + heartbeat),
		"it is never heard":  wire.AfterDelivery(wire.Hang()),
		"it is carried once": wire.Twice(),
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				holder, waiter := w.member("holder"), w.node("waiter")
				_, err := holder.Session.Open(w.ctx)
				w.Expect(err).NotTo(HaveOccurred())
				holder.wire.SetHook(wire.On(wire.Acquire, func(int, *wire.Call) wire.Fault { return fault }))
				ctx, cancel := context.WithTimeout(w.ctx, heartbeat/2)
				defer cancel()
				held, _ := holder.PollLock(ctx)
				if held {
					w.Expect(holder.RemoveLock()).To(Succeed())
				}
				holder.wire.SetHook(nil)
				w.pass(2*time.Minute + 3*heartbeat)
				w.Expect(holder.Session.Name()).NotTo(BeEmpty(), "the session was lost")
				done := waiter.waits()
				w.Expect(w.until(2*theLease, waiter.believes)).To(BeTrue(), "the lock is held by nobody, for ever")
				w.Expect(<-done).To(Succeed())
			})
		})
	}
}

// StopHeartbeat of one member leaves the others alone, and the lock to others once it has
// run out.
func TestAMemberWhoseHeartbeatWasStoppedRunsOutAndIsReleased(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		kept := holder.another("kept")
		w.Expect(kept.GetLock()).To(BeTrue())
		waiter.waits()
		w.passWatching(theLease)
		holder.StopHeartbeat()
		stopped, lost := time.Now(), holder.Lost()
		w.passWatching(theLease/2 + time.Second)
		w.Expect(holder.believes()).To(BeTrue())
		w.ends(lost)
		w.Expect(time.Since(stopped)).To(BeNumerically("<=", theLease))
		w.Expect(holder.LockError()).To(MatchError(lockclient.ErrLeaseExpired))
		w.Expect(w.until(theLease, waiter.believes)).To(BeTrue())
		held, _ := kept.HasLock()
		w.Expect(held).To(BeTrue())
	})
}

// The wall clock goes on while a machine sleeps, for members as for any lock.
func TestAMachineThatSleptDoesNotBelieveInItsMembers(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		waiter.waits()
		w.passWatching(2 * theLease)
		holder.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
		holder.clock.Suspend()
		w.pass(theLease + theLease/10)
		holder.clock.Resume()
		w.Expect(holder.believes()).To(BeFalse())
		w.passWatching(theLease)
	})
}

func TestAgingWarnsOfALateRenewalOfTheSession(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.member("holder")
		holder.get()
		aging := holder.Aging()
		w.passWatching(3 * theLease)
		w.Expect(aging).NotTo(BeClosed())
		holder.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() })
		w.pass(theLease * 3 / 4)
		w.Expect(aging).To(BeClosed())
		w.Expect(holder.believes()).To(BeTrue())
		holder.wire.SetHook(nil)
		w.pass(heartbeat)
		aging = holder.Aging()
		w.Expect(aging).NotTo(BeClosed())
		w.Expect(holder.RemoveLock()).To(Succeed())
		w.Expect(aging).To(BeClosed())
	})
}

func TestTryLockTellsALivingSessionFromADeadOne(t *testing.T) {
	virtually(t, func(w *world) {
		holder, short := w.member("holder"), w.node("short-lived")
		holder.get()
		began := time.Now()
		w.Expect(short.TryLock(w.ctx)).To(MatchError(lockclient.ErrLockHeld))
		w.Expect(time.Since(began)).To(BeNumerically("<=", heartbeat+theLease/20))
		w.Expect(holder.another(theLock).TryLock(w.ctx)).To(MatchError(lockclient.ErrLockHeld), "its own process holds it")
		holder.crash()
		began = time.Now()
		w.Expect(short.TryLock(w.ctx)).To(Succeed())
		w.Expect(time.Since(began)).To(BeNumerically("<=", theLease+theLease/20))
	})
}

// Waiters whose first look came before that at the session don't miss a release in between.
func TestAReleaseBetweenTheLookAtTheLockAndThatAtItsSessionIsNotMissed(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		var released atomic.Bool
		waiter.wire.SetHook(wire.On(wire.Poll, func(_ int, c *wire.Call) wire.Fault {
			if !strings.Contains(string(c.Body), "leaderkit/session/") || !released.CompareAndSwap(false, true) {
				return nil
			}
			return func(ctx context.Context, c *wire.Call) (*http.Response, error) {
				w.Check(holder.RemoveLock() == nil, "the release failed")
				<-time.After(heartbeat + time.Second) // sleep: virtual; the next heartbeat tells
				return c.Deliver(ctx)
			}
		}))
		done := waiter.waits()
		w.Expect(w.until(theLease, waiter.believes)).To(BeTrue(), "the release was missed")
		w.Expect(<-done).To(Succeed())
	})
}
