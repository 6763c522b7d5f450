package lockclient_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// member makes a node whose lock, theLock, is held under a session of its own.
func (w *world) member(identifier string, change ...func(*lockclient.DynamoDBLockClient)) *node {
	n := w.node(identifier, change...)
	c := n.DynamoDBLockClient
	c.Session = &lockclient.Session{
		TableName: c.TableName, Client: c.Client, LeaseDuration: c.LeaseDuration, HeartbeatPeriod: c.HeartbeatPeriod,
		Identifier: c.Identifier, Clock: c.Clock,
	}
	return n
}

// another makes another lock of the node's session.
func (n *node) another(lock string) *lockclient.DynamoDBLockClient {
	return &lockclient.DynamoDBLockClient{LockName: lock, Session: n.Session}
}

func (w *world) itemOf(name string) map[string]*dynamodb.AttributeValue {
	w.Helper()
	out, err := w.admin.GetItem(&dynamodb.GetItemInput{TableName: aws.String(theTable), Key: key(name), ConsistentRead: aws.Bool(true)})
	w.Expect(err).NotTo(HaveOccurred())
	return out.Item
}

func TestAMemberIsNotWrittenBetweenAcquireAndRelease(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.member("holder")
		token := holder.get()
		before := w.record()
		w.Expect(before).To(HaveKeyWithValue("sessionName", s(holder.Session.Name())))
		w.Expect(before).To(HaveKeyWithValue("leaseDuration", s("315360000000")), "nobody who knows no sessions may take it")
		for _, attribute := range []string{"expiresAt", "ttl", "heartbeatPeriod"} {
			w.Expect(before).NotTo(HaveKey(attribute))
		}
		w.passWatching(10 * theLease)
		w.Expect(holder.believes()).To(BeTrue())
		w.Expect(w.record()).To(Equal(before))
		again, ok := holder.FencingToken()
		w.Expect(ok).To(BeTrue())
		w.Expect(again).To(Equal(token))
		w.Expect(holder.RemoveLock()).To(Succeed())
		w.Expect(w.record()).To(HaveKeyWithValue("isReleased", s("1")))
	})
}

func TestALiveSessionsMemberIsNeverTaken(t *testing.T) {
	virtually(t, func(w *world) {
		holder, member, plain := w.member("holder"), w.member("member"), w.node("plain")
		holder.get()
		member.waits()
		plain.waits()
		for range 20 {
			w.passWatching(theLease / 2)
			w.Expect(holder.believes()).To(BeTrue(), "the holder lost its lock: %v", holder.LockError())
		}
	})
}

func TestACrashedSessionsMembersAreTakenOverInTime(t *testing.T) {
	for _, waiterHasSession := range []bool{true, false} {
		t.Run(fmt.Sprintf("by a waiter with a session %v", waiterHasSession), func(t *testing.T) {
			virtually(t, func(w *world) {
				holder, waiter := w.member("holder"), w.node("waiter")
				if waiterHasSession {
					waiter = w.member("waiter")
				}
				holder.get()
				waiter.waits()
				w.passWatching(2 * theLease)
				w.crashIsNoticedInTime(holder, waiter)
				w.Expect(w.record()).To(HaveKeyWithValue("ownerName", s("waiter")))
			})
		})
	}
}

func TestAMarkIsMadeBeforeAnyLockIsTakenAndIsFinal(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		name := holder.Session.Name()
		waiter.waits()
		w.pass(theLease)
		holder.crash()
		for !waiter.believes() {
			if w.record()["ownerName"].S != nil && *w.record()["ownerName"].S == "waiter" {
				w.Expect(w.itemOf(name)).To(HaveKeyWithValue("isReleased", s("1")), "a lock was taken before its session was marked")
			}
			w.pass(glance)
		}
		marked := w.itemOf(name)
		w.Expect(marked).To(HaveKeyWithValue("isReleased", s("1")))
		holder.dead = false // it was only paused
		holder.clock.Continue()
		holder.wire.SetHook(nil)
		w.passWatching(2 * theLease)
		w.Expect(w.itemOf(name)).To(Equal(marked), "the mark did not last")
		w.Expect(holder.believes()).To(BeFalse())
		w.Expect(holder.LockError()).To(Or(MatchError(lockclient.ErrLeaseExpired), MatchError(lockclient.ErrLockLost)))
	})
}

func TestCloseEndsAllBeliefAndThenFreesAllLocksWithOneWrite(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		others := make([]*lockclient.DynamoDBLockClient, 20)
		for i := range others {
			others[i] = holder.another(fmt.Sprint("other-", i))
			held, err := others[i].GetLock()
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(held).To(BeTrue())
		}
		w.Expect(holder.Session.Stats()).To(Equal(lockclient.SessionStats{Name: holder.Session.Name(), Held: 21}))
		done := waiter.waits()
		w.passWatching(theLease)
		holder.wire.Reset()
		holder.wire.SetHook(func(c *wire.Call) wire.Fault {
			for _, lock := range append(others, holder.DynamoDBLockClient) {
				held, _ := lock.HasLock()
				w.Check(!held, "a lock is believed in when the close leaves")
			}
			return nil
		})
		lost, name := others[3].Lost(), holder.Session.Name()
		w.Expect(holder.Session.Close(w.ctx)).To(Succeed())
		w.Expect(lost).To(BeClosed())
		w.Expect(others[3].LockError()).To(MatchError(lockclient.ErrSessionClosed))
		w.Expect(holder.wire.Counts()).To(Equal(map[string]int{"UpdateItem": 1}))
		w.Expect(w.itemOf(name)).To(HaveKeyWithValue("isReleased", s("1")))
		closed := time.Now()
		w.Expect(<-done).To(Succeed())
		w.Expect(time.Since(closed)).To(BeNumerically("<=", heartbeat+theLease/50))
		_, err := holder.GetLock()
		w.Expect(err).To(MatchError(lockclient.ErrSessionClosed))
		w.Expect(holder.Session.Close(w.ctx)).To(Succeed())
	})
}

// Check is Expect for other goroutines.
func (w *world) Check(ok bool, text string) {
	if !ok {
		w.Error(text)
	}
}

func TestALostSessionTakesAllItsMembersAndTheNextAcquireOpensAnother(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.member("holder")
		token := holder.get()
		other := holder.another("other")
		_, err := other.GetLock()
		w.Expect(err).NotTo(HaveOccurred())
		name, lost, otherLost := holder.Session.Name(), holder.Session.Lost(), other.Lost()
		holder.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() })
		w.ends(otherLost)
		w.Expect(holder.believes()).To(BeFalse())
		w.Expect(lost).To(BeClosed())
		w.Expect(holder.LockError()).To(MatchError(lockclient.ErrLeaseExpired))
		w.Expect(holder.Session.Err()).To(MatchError(lockclient.ErrLeaseExpired))
		w.Expect(holder.Session.Name()).To(BeEmpty())
		holder.wire.SetHook(nil)
		holder.wire.Reset()
		began := time.Now()
		again := holder.get() // its own dead session still holds the record
		w.Expect(time.Since(began)).To(BeNumerically("<", heartbeat), "its own dead session was waited for")
		w.Expect(again).To(BeNumerically(">", token))
		w.Expect(holder.Session.Name()).NotTo(Or(BeEmpty(), Equal(name)))
		w.Expect(holder.wire.Count("UpdateItem")).To(BeNumerically("<=", 3), "it was not had at once")
		// Nor does another client of the process wait, which never held this lock itself.
		began = time.Now()
		held, err := holder.another("other").GetLock()
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(held).To(BeTrue())
		w.Expect(time.Since(began)).To(BeNumerically("<", heartbeat), "a session that this process lost was watched")
	})
}

func TestAReleasedMemberIsNoticedWithTheNextHeartbeat(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		keep := holder.another("kept")
		_, err := keep.GetLock()
		w.Expect(err).NotTo(HaveOccurred())
		done := waiter.waits()
		w.passWatching(2*theLease + heartbeat/2)
		w.releaseIsNoticedWithin(heartbeat+theLease/20, holder, done)
		held, _ := keep.HasLock()
		w.Expect(held).To(BeTrue(), "the session has ended with one of its locks")
	})
}

func TestAnAnnouncedReleaseOfAMemberIsNoticedAtOnce(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		done := waiter.waits()
		w.passWatching(2*theLease + heartbeat/4)
		w.Expect(holder.AnnounceRelease(w.ctx)).To(Succeed())
		w.passWatching(2 * heartbeat)
		w.releaseIsNoticedWithin(150*time.Millisecond+5*roundTrip, holder, done)
	})
}

func TestMembersThatAreAnnouncedTogetherWriteTheirSessionsItemOnce(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		announce := func(locks []*lockclient.DynamoDBLockClient) {
			holder.wire.Reset()
			var announcing sync.WaitGroup
			for _, lock := range locks {
				announcing.Go(func() { w.Check(lock.AnnounceRelease(w.ctx) == nil, "could not announce") })
			}
			announcing.Wait()
			w.Expect(holder.wire.Kinds()).To(HaveKeyWithValue(wire.Announce, 1))
		}
		others := holder.acquireAll(200)
		done := waiter.waits()
		w.passWatching(2*theLease + heartbeat/4)
		announce(append(others, holder.DynamoDBLockClient))
		for _, lock := range others {
			w.Expect(lock.RemoveLock()).To(Succeed())
		}
		w.passWatching(heartbeat)
		w.releaseIsNoticedWithin(150*time.Millisecond+5*roundTrip, holder, done)
		w.Expect(w.itemOf(holder.Session.Name())).NotTo(HaveKey("isReleasing"), "all that was announced has happened")
		announce(holder.acquireAll(100))
	})
}

func TestAnAnnouncedCloseIsNoticedAtOnce(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		done := waiter.waits()
		w.passWatching(2*theLease + heartbeat/4)
		w.Expect(holder.Session.AnnounceClose(w.ctx)).To(Succeed())
		w.passWatching(2 * heartbeat)
		w.Expect(holder.Session.Close(w.ctx)).To(Succeed())
		closed := time.Now()
		w.Expect(<-done).To(Succeed())
		w.Expect(time.Since(closed)).To(BeNumerically("<=", 150*time.Millisecond+5*roundTrip))
	})
}

func TestALateConfirmationUnderALostSessionWinsNothingAndTheRecordIsFreed(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.member("holder")
		name, err := holder.Session.Open(w.ctx)
		w.Expect(err).NotTo(HaveOccurred())
		w.pass(heartbeat / 2)
		holder.wire.SetHook(wire.Nth(wire.Acquire, 1, func(ctx context.Context, c *wire.Call) (*http.Response, error) {
			reply, err := c.Deliver(ctx)
			_, _ = w.admin.DeleteItem(&dynamodb.DeleteItemInput{TableName: aws.String(theTable), Key: key(name)})
			w.ends(holder.Session.Lost())
			return reply, err
		}))
		held, err := holder.PollLock(w.ctx)
		w.Expect(held).To(BeFalse())
		w.Expect(err).To(MatchError(lockclient.ErrLeaseExpired))
		w.Expect(holder.believes()).To(BeFalse())
		w.Expect(w.record()).To(And(Not(HaveKey("sessionName")), HaveKeyWithValue("isReleased", s("1"))))
	})
}

func TestAMissingSessionItemIsWatchedForALease(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		done := waiter.waits()
		w.passWatching(2 * theLease)
		_, err := w.admin.DeleteItem(&dynamodb.DeleteItemInput{TableName: aws.String(theTable), Key: key(holder.Session.Name())})
		w.Expect(err).NotTo(HaveOccurred())
		deleted := time.Now()
		w.ends(holder.Lost())
		w.Expect(holder.LockError()).To(MatchError(lockclient.ErrLockLost))
		w.Expect(w.until(3*theLease, waiter.believes)).To(BeTrue())
		w.Expect(time.Since(deleted)).To(And(BeNumerically(">=", theLease), BeNumerically("<=", theLease+2*heartbeat)))
		<-done
	})
}

func TestAPausedHolderWhoseSessionItemIsGoneIsNotTakenOverWhileItBelieves(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		waiter.waits()
		w.passWatching(2 * theLease)
		holder.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() }) // it does not hear that its item is gone
		_, err := w.admin.DeleteItem(&dynamodb.DeleteItemInput{TableName: aws.String(theTable), Key: key(holder.Session.Name())})
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(w.until(3*theLease, waiter.believes)).To(BeTrue())
	})
}
