package lockclient_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// What a hostile reader of sessions found: each of these failed once.

// The retry of a release whose reply was lost is refused: the record is released already. Those
// who wait look at the session's item only, so they must be told all the same.
func TestAReleaseWhoseReplyIsLostIsToldToTheWaiters(t *testing.T) {
	for name, fault := range map[string]wire.Fault{
		"lost":                   wire.DropReply(),
		"an error of the server": wire.AfterDelivery(wire.InternalError()),
		"never heard":            wire.AfterDelivery(wire.Hang()),
	} {
		for _, deletes := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, deletes %v", name, deletes), func(t *testing.T) {
				virtually(t, func(w *world) {
					holder, waiter := w.member("holder", func(c *lockclient.DynamoDBLockClient) { c.DeleteOnRelease = deletes }), w.node("waiter")
					holder.get()
					waiter.waits()
					w.passWatching(2 * theLease)
					holder.wire.SetHook(wire.Nth(wire.Release, 1, fault))
					w.Expect(holder.RemoveLock()).To(Succeed())
					w.Expect(w.until(2*heartbeat, waiter.believes)).To(BeTrue(), "the lock is free, and its waiter is never told")
				})
			})
		}
	}
}

// The caller has given up its release, and the session goes on with it.
func TestAReleaseThatTheSessionRepeatsIsToldToTheWaiters(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		waiter.waits()
		w.passWatching(2 * theLease)
		holder.wire.SetHook(wire.Nth(wire.Release, 1, wire.AfterDelivery(wire.Hang())))
		ctx, cancel := context.WithTimeout(w.ctx, 100*time.Millisecond)
		defer cancel()
		w.Expect(holder.RemoveLockWithContext(ctx)).NotTo(Succeed())
		w.Expect(w.until(3*heartbeat, waiter.believes)).To(BeTrue(), "the lock is free, and its waiter is never told")
	})
}

// An operator has deleted the record of a member. Its holder finds out when it releases.
func TestWaitersAreToldWhenAMembersRecordTurnsOutToBeAnothers(t *testing.T) {
	ends := map[string]func(w *world, holder *node){
		"by a release": func(w *world, holder *node) { w.Expect(holder.RemoveLock()).To(Succeed()) },
		"by a transaction": func(w *world, holder *node) {
			_, err := holder.TransactWrite(w.ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{{Put: &dynamodb.Put{
				TableName: aws.String(theTable), Item: key("some other item"),
			}}}})
			w.Expect(err).To(MatchError(lockclient.ErrLockLost))
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				holder, waiter := w.member("holder"), w.node("waiter")
				holder.get()
				waiter.waits()
				w.passWatching(2 * theLease)
				_, err := w.admin.DeleteItem(&dynamodb.DeleteItemInput{TableName: aws.String(theTable), Key: key(theLock)})
				w.Expect(err).NotTo(HaveOccurred())
				end(w, holder)
				w.Expect(w.until(2*heartbeat, waiter.believes)).To(BeTrue(), "the lock is free, and its waiter is never told")
			})
		})
	}
}

// An older version of this library, which knows no sessions, takes a released member. It leaves
// the pointer where it is, and renews like any holder.
func TestAReleasedMemberLeavesNoPointerToAnOlderVersion(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		w.Expect(holder.RemoveLock()).To(Succeed())
		renew := func() {
			version := fmt.Sprint("older-", time.Now().UnixNano())
			_, err := w.admin.UpdateItem(&dynamodb.UpdateItemInput{
				TableName: aws.String(theTable), Key: key(theLock),
				UpdateExpression: aws.String("SET ownerName = :o, recordVersionNumber = :v, ourVersion = :v, leaseDuration = :l, fencingToken = :t REMOVE isReleased ADD heartbeatCount :one"),
				ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
					":o": s("older"), ":v": s(version), ":l": s("10000"), ":t": n(fmt.Sprint(time.Now().UnixMilli())), ":one": n("1"),
				},
			})
			w.Expect(err).NotTo(HaveOccurred())
		}
		renew()
		w.Expect(holder.Session.Close(w.ctx)).To(Succeed()) // what the pointer names is over
		waiter.waits()
		for range 10 {
			w.passWatching(heartbeat)
			w.Expect(waiter.believes()).To(BeFalse(), "it took a lock that is held and renewed")
			w.Expect(w.record()).To(HaveKeyWithValue("ownerName", s("older")))
			renew()
		}
	})
}

// A client that releases and waits again at once leaves no time to see the lock free.
func TestAWaiterDoesNotStarveBesideAMemberThatIsReleasedAndTakenAgainAtOnce(t *testing.T) {
	for _, waiterHasSession := range []bool{true, false} {
		t.Run(fmt.Sprintf("a waiter with a session %v", waiterHasSession), func(t *testing.T) {
			virtually(t, func(w *world) {
				greedy, waiter := w.member("greedy"), w.node("waiter")
				if waiterHasSession {
					waiter = w.member("waiter")
				}
				greedy.get()
				ctx, cancel := context.WithCancel(w.ctx)
				defer cancel()
				w.waiting.Go(func() {
					for ctx.Err() == nil && greedy.WaitForLock(ctx) == nil && sleepFor(ctx, 800*time.Millisecond) {
						_ = greedy.RemoveLock()
					}
				})
				waiter.waits()
				w.Expect(w.until(15*time.Minute, waiter.believes)).To(BeTrue(), "it never had the lock")
				cancel()
			})
		})
	}
}

// All acquires of members return ErrSessionClosed after Close, also those that wait.
func TestWhoWaitsForAMemberIsToldThatItsSessionWasClosed(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.member("waiter")
		holder.get()
		done := waiter.waits()
		w.passWatching(2 * theLease)
		w.Expect(waiter.Session.Close(w.ctx)).To(Succeed())
		w.Expect(w.until(2*heartbeat, func() bool { return len(done) == 1 })).To(BeTrue(), "it waits on, and can't ever win")
		w.Expect(<-done).To(MatchError(lockclient.ErrSessionClosed))
		_, err := waiter.PollLock(w.ctx)
		w.Expect(err).To(MatchError(lockclient.ErrSessionClosed))
		w.Expect(waiter.TryLock(w.ctx)).To(MatchError(lockclient.ErrSessionClosed))
	})
}

// Somebody has put something that is no lock under the session's name.
func TestASessionItemThatIsNoLockIsReportedAndNotAskedForInALoop(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		done := waiter.waits()
		w.passWatching(2 * theLease)
		garbage := key(holder.Session.Name())
		garbage["some"] = s("thing")
		holder.crash()
		_, err := w.admin.PutItem(&dynamodb.PutItemInput{TableName: aws.String(theTable), Item: garbage})
		w.Expect(err).NotTo(HaveOccurred())
		waiter.wire.Reset()
		ended := w.until(2*theLease, func() bool { return len(done) == 1 || len(waiter.wire.Calls()) > 100 })
		w.Expect(len(waiter.wire.Calls())).To(BeNumerically("<=", 100), "it asks without end")
		w.Expect(ended).To(BeTrue(), "it waits for ever, and says nothing")
		w.Expect(<-done).To(MatchError(lockclient.ErrNotALock))
	})
}

// Somebody has written another isReleased into the session's item than lock clients do.
func TestASessionItemWithAStrangeMarkIsMarkedAllTheSame(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		waiter.waits()
		w.passWatching(2 * theLease)
		holder.crash()
		_, err := w.admin.UpdateItem(&dynamodb.UpdateItemInput{
			TableName: aws.String(theTable), Key: key(holder.Session.Name()),
			UpdateExpression: aws.String("SET isReleased = :no"), ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":no": s("0")},
		})
		w.Expect(err).NotTo(HaveOccurred())
		waiter.wire.Reset()
		w.Expect(w.until(2*theLease, func() bool { return waiter.believes() || len(waiter.wire.Calls()) > 100 })).To(BeTrue())
		w.Expect(len(waiter.wire.Calls())).To(BeNumerically("<=", 100), "it asks without end")
	})
}

// A proxy answers each mark with a refusal.
func TestAMarkThatIsRefusedForNoReasonIsRepeatedWithPauses(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		waiter.waits()
		w.passWatching(2 * theLease)
		holder.crash()
		waiter.wire.SetHook(func(c *wire.Call) wire.Fault {
			if isMark(c) {
				return wire.Answer(http.StatusBadRequest, "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "The conditional request failed")
			}
			return nil
		})
		waiter.wire.Reset()
		w.until(2*theLease, func() bool { return len(waiter.wire.Calls()) > 200 })
		w.Expect(len(waiter.wire.Calls())).To(BeNumerically("<=", 200), "it asks without end")
		waiter.wire.SetHook(nil)
		w.Expect(w.until(theLease, waiter.believes)).To(BeTrue())
	})
}

// A close that was announced is noticed at once, also where a member was let go in between.
func TestAMembersReleaseDoesNotEndTheAnnouncementOfClose(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		other := holder.another("other")
		w.Expect(other.GetLock()).To(BeTrue())
		done := waiter.waits()
		w.passWatching(2*theLease + heartbeat/4)
		w.Expect(holder.Session.AnnounceClose(w.ctx)).To(Succeed())
		w.Expect(other.AnnounceRelease(w.ctx)).To(Succeed())
		w.passWatching(heartbeat)
		w.Expect(other.RemoveLock()).To(Succeed())
		w.passWatching(heartbeat + heartbeat/4)
		w.Expect(holder.Session.Close(w.ctx)).To(Succeed())
		closed := time.Now()
		w.Expect(<-done).To(Succeed())
		w.Expect(time.Since(closed)).To(BeNumerically("<=", 150*time.Millisecond+5*roundTrip))
	})
}

// One member has announced its release and stays. The release of another is noticed at once.
func TestAnAnnouncedReleaseIsNoticedAtOnceBesideOneThatDrainsForLong(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		draining := holder.another("draining")
		w.Expect(draining.GetLock()).To(BeTrue())
		done := waiter.waits()
		w.passWatching(2 * theLease)
		w.Expect(draining.AnnounceRelease(w.ctx)).To(Succeed())
		w.passWatching(10*time.Minute + heartbeat/4)
		waiter.wire.Reset()
		w.Expect(holder.AnnounceRelease(w.ctx)).To(Succeed())
		w.passWatching(2 * heartbeat)
		w.Expect(waiter.wire.Count("")).To(BeNumerically(">=", 20), "it does not look closely")
		w.releaseIsNoticedWithin(150*time.Millisecond+5*roundTrip, holder, done)
	})
}

// The write that tells of an announced release, and ends the announcement, has failed.
func TestAnAnnouncementThatCouldNotBeEndedIsEndedLater(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.member("holder")
		holder.get()
		w.Expect(holder.AnnounceRelease(w.ctx)).To(Succeed())
		w.Expect(w.itemOf(holder.Session.Name())).To(HaveKey("isReleasing"))
		holder.wire.SetHook(func(c *wire.Call) wire.Fault {
			if c.Kind() == wire.Other && strings.Contains(string(c.Body), holder.Session.Name()) {
				return wire.Throttle()
			}
			return nil
		})
		w.Expect(holder.RemoveLock()).To(Succeed())
		w.pass(theLease)
		holder.wire.SetHook(nil)
		w.pass(2 * heartbeat)
		w.Expect(w.itemOf(holder.Session.Name())).NotTo(HaveKey("isReleasing"), "waiters look closely for ever, for nothing")
	})
}

// A release was announced, did not get through, and the lock was acquired anew. Nothing more is to
// be expected of that announcement.
func TestAnAnnouncementWhoseReleaseDoesNotComeIsEnded(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.member("holder")
		holder.get()
		w.Expect(holder.AnnounceRelease(w.ctx)).To(Succeed())
		holder.wire.SetHook(wire.Every(wire.Release, wire.Refuse()))
		ctx, cancel := context.WithTimeout(w.ctx, 100*time.Millisecond)
		defer cancel()
		w.Expect(holder.RemoveLockWithContext(ctx)).NotTo(Succeed())
		holder.get()
		w.pass(2 * heartbeat)
		w.Expect(w.itemOf(holder.Session.Name())).NotTo(HaveKey("isReleasing"))
	})
}
