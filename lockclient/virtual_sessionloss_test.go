package lockclient_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// What a process still does for a session that it has lost.

// loses has the node lose its session at once, by its own clocks: its wall clock is set. Others see
// that the session was renewed a moment ago.
func (n *node) loses() {
	n.w.Helper()
	n.clock.JumpWall(time.Hour)
	n.w.Expect(n.believes()).To(BeFalse())
}

// cutOff returns a node whose session has no members, and is lost because its network is away, and
// the session's name.
func (w *world) cutOff() (holder *node, session string) {
	w.Helper()
	holder = w.member("holder")
	session, err := holder.Session.Open(w.ctx)
	w.Expect(err).NotTo(HaveOccurred())
	holder.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() })
	w.ends(holder.Session.Lost())
	return holder, session
}

// waiterFor has a client of its own wait for a lock, and returns it.
func (w *world) waiterFor(lock string) *node {
	n := w.node("waiter-for-"+lock, func(c *lockclient.DynamoDBLockClient) { c.LockName = lock })
	n.dead = true // it is another lock than the one that the world watches
	w.waiting.Go(func() { _ = n.WaitForLock(w.ctx) })
	return n
}

func TestAReleaseAfterTheSessionWasLostIsToldToTheWaiters(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		working := holder.another("working")
		w.Expect(working.GetLock()).To(BeTrue())
		waiter.waits()
		other := w.waiterFor("working")
		w.passWatching(2 * theLease)
		holder.loses()
		w.Expect(holder.RemoveLock()).To(Succeed())
		began := time.Now()
		w.Expect(w.until(theLease, waiter.believes)).To(BeTrue())
		w.Expect(time.Since(began)).To(BeNumerically("<=", heartbeat+theLease/50))
		w.Expect(other.believes()).To(BeFalse(), "a member was freed that its user has not released: its work may go on")
	})
}

// The mark would free all members. Some work may still have to stop.
func TestALostSessionIsMarkedByItsProcessWhenAllItsMembersAreReleasedAndNotBefore(t *testing.T) {
	last := map[string]func(w *world, last *lockclient.DynamoDBLockClient){
		"released":       func(w *world, last *lockclient.DynamoDBLockClient) { w.Expect(last.RemoveLock()).To(Succeed()) },
		"acquired anew":  func(w *world, last *lockclient.DynamoDBLockClient) { w.Expect(last.GetLock()).To(BeTrue()) },
		"never released": nil,
	}
	for name, last := range last {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				holder := w.member("holder")
				holder.get()
				locks := []*lockclient.DynamoDBLockClient{holder.another("a"), holder.another("b"), holder.DynamoDBLockClient}
				w.Expect(locks[0].GetLock()).To(BeTrue())
				w.Expect(locks[1].GetLock()).To(BeTrue())
				session := holder.Session.Name()
				w.pass(theLease)
				holder.loses()
				for _, lock := range locks[:2] {
					w.Expect(lock.RemoveLock()).To(Succeed())
				}
				w.pass(2 * theLease)
				w.Expect(w.itemOf(session)).NotTo(HaveKey("isReleased"), "a member is not released yet")
				w.Expect(w.itemOf(session)).To(HaveKeyWithValue("changes", n("2")))
				if last == nil {
					return
				}
				last(w, locks[2])
				w.pass(heartbeat)
				w.Expect(w.itemOf(session)).To(HaveKeyWithValue("isReleased", s("1")))
				w.Expect(w.itemOf(session)).To(HaveKey("ttl"))
			})
		})
	}
}

// Somebody has deleted the item. There is nothing to tell on, and a missing session is watched for
// a lease, unless its own process says that it is over.
func TestASessionWhoseItemIsGoneIsMarkedWhenAllItsMembersAreReleased(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		session := holder.Session.Name()
		waiter.waits()
		w.passWatching(2 * theLease)
		_, err := w.admin.DeleteItem(&dynamodb.DeleteItemInput{TableName: aws.String(theTable), Key: key(session)})
		w.Expect(err).NotTo(HaveOccurred())
		w.ends(holder.Lost())
		w.Expect(w.itemOf(session)).To(BeEmpty())
		w.Expect(holder.RemoveLock()).To(Succeed())
		released := time.Now()
		w.Expect(w.until(theLease, waiter.believes)).To(BeTrue())
		w.Expect(time.Since(released)).To(BeNumerically("<=", heartbeat+theLease/50))
		w.Expect(w.itemOf(session)).To(HaveKeyWithValue("isReleased", s("1")))
		w.Expect(w.itemOf(session)).To(HaveKey("ttl"), "DynamoDB would never delete it")
	})
}

// The network is away when the session is lost, and comes back.
func TestWhatIsToldAfterALossIsRepeatedUntilTheNetworkAnswers(t *testing.T) {
	virtually(t, func(w *world) {
		holder, session := w.cutOff()
		w.pass(theLease / 2)
		holder.wire.SetHook(nil)
		w.pass(heartbeat)
		w.Expect(w.itemOf(session)).To(HaveKeyWithValue("isReleased", s("1")))
		w.Expect(holder.Session.Err()).To(MatchError(lockclient.ErrLeaseExpired), "it forgot why it was lost")
	})
}

func TestWhatIsToldAfterALossEndsWithTheLease(t *testing.T) {
	virtually(t, func(w *world) {
		holder, _ := w.cutOff()
		holder.wire.Reset()
		w.pass(2 * theLease)
		w.Expect(len(holder.wire.Calls())).To(And(BeNumerically(">", 0), BeNumerically("<", 20)))
		holder.wire.Reset()
		w.pass(10 * theLease)
		w.Expect(holder.wire.Calls()).To(BeEmpty())
	})
}

// A mark that arrives late changes nothing for the session that came after, and its locks.
func TestALateMarkOfOnesOwnSessionIsHarmless(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.get()
		session := holder.Session.Name()
		waiter.waits()
		w.passWatching(theLease)
		holder.wire.SetHook(func(c *wire.Call) wire.Fault {
			if c.Kind() == wire.Release && strings.Contains(string(c.Body), session) {
				return wire.Delay(theLease + heartbeat)
			}
			return nil
		})
		holder.loses()
		token := holder.get() // which is the last member of the session
		w.passWatching(4 * theLease)
		w.Expect(holder.believes()).To(BeTrue(), "%v", holder.LockError())
		again, _ := holder.FencingToken()
		w.Expect(again).To(Equal(token))
		w.Expect(w.itemOf(session)).To(HaveKeyWithValue("isReleased", s("1")))
	})
}

// Thousands of members are released one after another. Those who wait are told now and then, and
// the session is marked once.
func TestTheReleasesOfThousandsAfterALossAreToldTogether(t *testing.T) {
	const many = 2000
	virtually(t, func(w *world) {
		holder := w.member("holder")
		holder.get()
		session := holder.Session.Name()
		locks := holder.acquireAll(many)
		w.pass(time.Second)
		holder.loses()
		holder.wire.Reset()
		gauge := &gauge{}
		holder.wire.SetHook(func(c *wire.Call) wire.Fault {
			if strings.Contains(string(c.Body), session) && !strings.Contains(string(c.Body), "many-") {
				return gauge.hook(c)
			}
			return nil
		})
		began := time.Now()
		for _, lock := range append(locks, holder.DynamoDBLockClient) {
			w.waiting.Go(func() { w.Check(lock.RemoveLock() == nil, "a release failed") })
		}
		w.waiting.Wait()
		took := time.Since(began)
		w.pass(heartbeat)
		w.Expect(w.itemOf(session)).To(HaveKeyWithValue("isReleased", s("1")))
		told := holder.wire.Count("UpdateItem") - many - 1
		t.Logf("%d writes in %v", told, took)
		w.Expect(told).To(BeNumerically("<=", int(took/(40*time.Millisecond))+3))
		w.Expect(gauge.most.Load()).To(BeEquivalentTo(1))
	})
}

// Close ends the session's own goroutines, too: a bubble that is left with one fails the test.
func TestCloseWaitsForWhatTheSessionSendsByItself(t *testing.T) {
	for _, lost := range []bool{true, false} {
		t.Run(fmt.Sprintf("lost %v", lost), func(t *testing.T) {
			virtually(t, func(w *world) {
				holder := w.member("holder")
				holder.get()
				w.Expect(holder.AnnounceRelease(w.ctx)).To(Succeed())
				session := holder.Session.Name()
				if lost {
					holder.loses()
				}
				holder.wire.SetHook(func(c *wire.Call) wire.Fault {
					byItself := c.Kind() != wire.Release || strings.Contains(c.ConditionExpression(), "attribute_not_exists(key)")
					if strings.Contains(string(c.Body), session) && byItself {
						return wire.DelayReply(time.Second)
					}
					return nil
				})
				w.Expect(holder.RemoveLock()).To(Succeed())
				w.Expect(holder.Session.Close(w.ctx)).To(Succeed())
			})
		})
	}
}

func TestNothingIsToldAfterClose(t *testing.T) {
	virtually(t, func(w *world) {
		holder, _ := w.cutOff()
		w.pass(heartbeat) // a repetition is due soon
		ctx, cancel := context.WithTimeout(w.ctx, time.Second)
		defer cancel()
		_ = holder.Session.Close(ctx) // the network refuses it
		holder.wire.Reset()
		w.pass(2 * theLease)
		w.Expect(holder.wire.Count("")).To(BeZero())
	})
}
