package lockclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// Each test here is a stress under which an earlier version starved, hung or lost a lock.

// DynamoDB refuses a write that meets a transaction on the same item, and every fenced transaction
// is on the lock's item.
func TestABusyLoopOfFencedTransactionsDoesNotStarveTheLease(t *testing.T) {
	for _, c := range []struct {
		each    time.Duration
		writers int
		lasts   time.Duration
	}{{50 * time.Millisecond, 16, 45 * time.Second}, {500 * time.Millisecond, 4, 30 * time.Second}} {
		t.Run(fmt.Sprintf("%v each by %d writers", c.each, c.writers), func(t *testing.T) {
			virtuallyOn(t, dynamotest.New(dynamotest.WithTransactionTime(c.each)), func(w *world) {
				holder := w.node("holder")
				holder.get()
				var committed atomic.Int64
				ctx, cancel := context.WithCancel(w.ctx)
				for i := range c.writers {
					w.waiting.Go(func() {
						for ctx.Err() == nil {
							in := plusOne()
							in.TransactItems[0].Update.Key = key(fmt.Sprint("counter-", i))
							if _, err := holder.TransactWrite(ctx, in); err == nil {
								committed.Add(1)
							}
						}
					})
				}
				select {
				case <-holder.Lost():
					t.Errorf("lost: %v", holder.LockError())
				case <-time.After(c.lasts):
				}
				cancel()
				w.Expect(committed.Load()).To(BeNumerically(">", 50), "only %d transactions were committed", committed.Load())
			})
		})
	}
}

func TestConflictsAtRandomCostNoLease(t *testing.T) {
	virtuallyOn(t, dynamotest.New(dynamotest.WithConflicts(everyOther())), func(w *world) {
		holder := w.node("holder")
		w.Expect(holder.WaitForLock(w.ctx)).To(Succeed())
		select {
		case <-holder.Lost():
			t.Errorf("lost: %v", holder.LockError())
		case <-time.After(20 * time.Minute):
		}
	})
}

// everyOther refuses three writes of four, in bursts.
func everyOther() func(dynamotest.Write) bool {
	var n atomic.Int64
	return func(dynamotest.Write) bool { return n.Add(1)%8 < 6 }
}

// Requests arrive and replies do not: a proxy that mangles them, a hole in the path for large
// packets.
func TestAClientThatGetsNoRepliesDoesNotKeepTheLockFromOthers(t *testing.T) {
	virtually(t, func(w *world) {
		deaf, healthy := w.node("deaf"), w.node("healthy")
		deaf.wire.SetHook(func(*wire.Call) wire.Fault { return wire.DropReply() })
		deaf.waits()
		w.pass(time.Minute)
		began := time.Now()
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Minute)
		defer cancel()
		w.Expect(healthy.WaitForLock(ctx)).To(Succeed(), "a healthy waiter never had the lock beside a client that hears nothing")
		w.Expect(time.Since(began)).To(BeNumerically("<=", 2*theLease), "it took %v", time.Since(began))
		w.Expect(deaf.wire.Count("UpdateItem")).To(BeNumerically("<=", 2), "the deaf client wrote %d times", deaf.wire.Count("UpdateItem"))
	})
}

// Its reads are answered and its writes are not: a gateway that is slow for writes only.
func TestAClientWhoseWritesGoUnansweredDoesNotKeepTheLockFromOthers(t *testing.T) {
	virtually(t, func(w *world) {
		deaf, healthy := w.node("deaf"), w.node("healthy")
		deaf.wire.SetHook(func(c *wire.Call) wire.Fault {
			if c.Operation == "UpdateItem" {
				return wire.DropReply()
			}
			return nil
		})
		deaf.waits()
		w.pass(time.Minute)
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Minute)
		defer cancel()
		w.Expect(healthy.WaitForLock(ctx)).To(Succeed(), "a healthy waiter never had the lock")
	})
}

// A holder that hears nothing any more loses the lock, and does not write itself into it again.
func TestAHolderThatGetsNoRepliesIsReplaced(t *testing.T) {
	virtually(t, func(w *world) {
		deaf, healthy := w.node("deaf"), w.node("healthy")
		deaf.get()
		w.pass(time.Minute)
		healthy.waits()
		w.pass(heartbeat)
		deaf.wire.SetHook(func(*wire.Call) wire.Fault { return wire.DropReply() })
		w.ends(deaf.Lost())
		deaf.waits()
		w.Expect(w.until(3*theLease, healthy.believes)).To(BeTrue(), "nobody took over from a holder that hears nothing")
	})
}

func TestWaitersDoNotStarveBesideAClientThatReleasesAndWaitsAgainAtOnce(t *testing.T) {
	virtually(t, func(w *world) {
		greedy := w.node("greedy")
		greedy.get()
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		releases := 0
		w.waiting.Go(func() {
			for ctx.Err() == nil && greedy.WaitForLock(ctx) == nil {
				if !sleepFor(ctx, 800*time.Millisecond) {
					return
				}
				_ = greedy.RemoveLock()
				releases++
			}
		})
		const waiters = 6
		had := make(chan int, waiters)
		for i := range waiters {
			n := w.node(fmt.Sprint("waiter-", i))
			w.waiting.Go(func() {
				if n.WaitForLock(ctx) == nil {
					sleepFor(ctx, 100*time.Millisecond)
					_ = n.RemoveLock()
					had <- i
				}
			})
		}
		for i := range waiters {
			select {
			case <-had:
			case <-time.After(15 * time.Minute):
				t.Fatalf("%d of %d waiters had the lock in a quarter of an hour and %d releases", i, waiters, releases)
			}
		}
	})
}

func sleepFor(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func TestHungHeartbeatsDoNotPileUp(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder", func(c *lockclient.DynamoDBLockClient) {
			c.LeaseDuration, c.HeartbeatPeriod = time.Minute, 100*time.Millisecond
		})
		holder.get()
		var now, most atomic.Int64
		holder.wire.SetHook(func(*wire.Call) wire.Fault {
			return func(ctx context.Context, _ *wire.Call) (*http.Response, error) {
				now.Add(1)
				defer now.Add(-1)
				time.Sleep(time.Millisecond) // sleep: in virtual time; what was cancelled for it has gone by then
				most.Store(max(most.Load(), now.Load()))
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		<-holder.Lost()
		w.Expect(most.Load()).To(BeEquivalentTo(2), "%d heartbeats were in flight at once", most.Load())
	})
}

// Hung requests must not take the room of the heartbeats of other locks.
func TestAFrontEndThatIsDeadForAWhileCostsNoLock(t *testing.T) {
	virtually(t, func(w *world) {
		const locks = 700 // more than have a place in line
		n := w.node("process")
		all := make([]*lockclient.DynamoDBLockClient, locks)
		for i := range all {
			all[i] = &lockclient.DynamoDBLockClient{
				LockName: fmt.Sprint("lock-", i), TableName: theTable, Client: n.Client, Clock: n.clock,
				LeaseDuration: 9 * time.Second, HeartbeatPeriod: 3 * time.Second,
			}
			if held, err := all[i].GetLock(); !held {
				t.Fatal(err)
			}
		}
		defer func() {
			for _, c := range all {
				_ = c.RemoveLock()
			}
		}()
		n.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
		w.pass(3 * time.Second)
		n.wire.SetHook(nil)
		w.pass(9 * time.Second)
		lost := 0
		for _, c := range all {
			if held, _ := c.HasLock(); !held {
				lost++
			}
		}
		w.Expect(lost).To(Equal(0), "%d of %d locks were lost", lost, locks)
	})
}

func TestRemoveLockInterruptsEveryCallThatWaitsForItsTurn(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
		results := make(chan error, 3)
		for range 3 {
			w.waiting.Go(func() {
				_, err := node.GetLock()
				results <- err
			})
		}
		w.pass(100 * time.Millisecond)
		began := time.Now()
		ctx, cancel := context.WithTimeout(w.ctx, 3*time.Second)
		defer cancel()
		_ = node.RemoveLockWithContext(ctx)
		w.Expect(time.Since(began)).To(BeNumerically("<=", 3*time.Second), "RemoveLock took %v", time.Since(began))
		for range 3 {
			w.Expect(<-results).To(MatchError(lockclient.ErrInterrupted))
		}
		node.wire.SetHook(nil)
		w.pass(theLease)
		w.Expect(node.believes()).To(BeFalse(), "an interrupted GetLock took the lock after RemoveLock")
	})
}

func TestWaitersOfOneClientShareTheirPolls(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		done := make(chan error, 20)
		for range 20 {
			w.waiting.Go(func() { done <- waiter.WaitForLock(ctx) })
		}
		w.pass(30 * time.Second)
		waiter.wire.Reset()
		w.pass(time.Minute)
		heartbeats := int(time.Minute / heartbeat)
		polls := waiter.wire.Count("")
		w.Expect(polls).To(BeNumerically("<=", heartbeats*5/4+1), "20 waiters of one client sent %d polls in %d heartbeats", polls, heartbeats)
		w.Expect(holder.RemoveLock()).To(Succeed())
		for range 20 {
			select {
			case err := <-done:
				w.Expect(err).NotTo(HaveOccurred(), "%v", err)
			case <-time.After(2 * heartbeat):
				t.Fatal("a waiter did not hear that its client has the lock")
			}
		}
	})
}

func TestARecordWithATinyHeartbeatPeriodIsPolledAtTheWaitersPace(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder", func(c *lockclient.DynamoDBLockClient) { c.HeartbeatPeriod = time.Millisecond })
		waiter := w.node("waiter")
		holder.get()
		waiter.waits()
		w.pass(5 * time.Second)
		waiter.wire.Reset()
		w.pass(10 * time.Second)
		w.Expect(waiter.wire.Count("")).To(BeNumerically("<=", 5), "%d polls in 10 s", waiter.wire.Count(""))
	})
}

func TestATokenNearTheTopOfItsRangeDoesNotSpoilTheItemThatIsMadeAnew(t *testing.T) {
	virtually(t, func(w *world) {
		version := s("v")
		w.put(map[string]*dynamodb.AttributeValue{"ownerName": s("x"), "leaseDuration": s("1000"), "recordVersionNumber": version, "ourVersion": version,
			"fencingToken": {N: aws.String("9223372036854775806")}, "isReleased": s("1")})
		node := w.node("node")
		_, _ = node.GetLock()
		_ = node.RemoveLock()
		_, err := node.GetLock()
		w.Expect(err).To(MatchError(lockclient.ErrNotALock))
		_, err = w.admin.DeleteItem(&dynamodb.DeleteItemInput{TableName: aws.String(theTable), Key: key(theLock)})
		w.Expect(err).NotTo(HaveOccurred(), "%v", err)
		token := node.get()
		w.Expect(token).To(BeNumerically("<", 1<<60), "the new item begins at %d", token)
	})
}

// A refused connection says that nothing was sent.
func TestWithRefusedConnectionsNothingIsOwed(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.wire.SetHook(func(*wire.Call) wire.Fault {
			return func(context.Context, *wire.Call) (*http.Response, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
			}
		})
		held, err := node.GetLock()
		w.Expect(!held && err != nil).To(BeTrue(), "%v, %v", held, err)
		node.wire.Reset()
		w.Expect(node.RemoveLock() == nil && node.wire.Count("") == 0).To(BeTrue(), "RemoveLock sent %v", node.wire.Counts())
	})
}

func TestLockErrorIsNilAfterRemoveLockOfALostTenure(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.get()
		w.put(map[string]*dynamodb.AttributeValue{"ownerName": s("java"), "leaseDuration": s("20000"), "recordVersionNumber": s("v")})
		w.ends(node.Lost())
		w.Expect(node.LockError()).To(MatchError(lockclient.ErrLockLost))
		w.Expect(node.RemoveLock() == nil && node.LockError() == nil).To(BeTrue(), "LockError is %v after RemoveLock", node.LockError())
	})
}

// Java's withUpdateExistingLockRecord leaves our attributes in the record, and may carry our name.
func TestAnInPlaceWriterUnderOurIdentifierIsNotTakenForOurselves(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("twin")
		node.get()
		fenced := make(chan error, 1)
		w.set("recordVersionNumber", s("java-1"))
		_, err := node.TransactWrite(w.ctx, plusOne())
		fenced <- err
		w.Expect(<-fenced).To(MatchError(lockclient.ErrLockLost))
		w.Expect(node.believes()).To(BeFalse(), "it believes in a record that a Java client of the same name has written")
		w.Expect(node.RemoveLock()).To(Succeed())
		w.Expect(w.record()["isReleased"]).To(BeNil(), "another's lock was released")
	})
}

func TestALongLivedHolderOfV010IsNotTakenOverWithinItsLease(t *testing.T) {
	virtually(t, func(w *world) {
		expiry := time.Now().Add(5 * time.Minute).UnixNano()
		w.put(map[string]*dynamodb.AttributeValue{"identifier": s("old"), "expiry": {N: aws.String(fmt.Sprint(expiry))}})
		node := w.node("node")
		began := time.Now()
		w.Expect(node.WaitForLock(w.ctx)).To(Succeed())
		if passed := time.Since(began); passed < 5*time.Minute || passed > 5*time.Minute+10*time.Second {
			t.Errorf("taken over after %v, its lease was 5 min", passed)
		}
	})
}

func TestAnEndpointThatShowsNoItemCausesNoFalseLoss(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		// The first heartbeat is late and lands after the second one, whose reply is late, too.
		holder.wire.SetHook(wire.On(wire.Heartbeat, func(n int, c *wire.Call) wire.Fault {
			switch n {
			case 1:
				return wire.Delay(4 * time.Second)
			case 2:
				return wire.DelayReply(2 * time.Second)
			}
			return nil
		}))
		w.pass(2 * theLease)
		w.Expect(holder.believes()).To(BeTrue(), "lost: %v", holder.LockError())
		w.Expect(holder.wire.Count("UpdateItem")).To(BeNumerically(">", 3), "the second heartbeat was not followed by another")
	})
}

func TestTryLock(t *testing.T) {
	t.Run("takes a free lock at once", func(t *testing.T) {
		virtually(t, func(w *world) {
			node := w.node("node")
			w.Expect(node.TryLock(w.ctx) == nil && node.believes() && node.wire.Count("") == 1).To(BeTrue(), "%v", node.wire.Counts())
		})
	})
	t.Run("gives up on a live holder within one heartbeat", func(t *testing.T) {
		virtually(t, func(w *world) {
			holder, node := w.node("holder"), w.node("node")
			holder.get()
			w.pass(heartbeat / 2)
			began := time.Now()
			err := node.TryLock(w.ctx)
			w.Expect(err).To(MatchError(lockclient.ErrLockHeld))
			w.Expect(time.Since(began)).To(BeNumerically("<=", heartbeat+heartbeat/4), "it took %v", time.Since(began))
		})
	})
	t.Run("takes over from a crashed holder when its lease has run out", func(t *testing.T) {
		virtually(t, func(w *world) {
			holder, node := w.node("holder"), w.node("node")
			holder.get()
			holder.crash()
			began := time.Now()
			w.Expect(node.TryLock(w.ctx)).To(Succeed(), "TryLock failed")
			w.Expect(time.Since(began)).To(BeNumerically("<=", theLease+200*time.Millisecond), "it took %v", time.Since(began))
		})
	})
	t.Run("gives up when another waiter is faster", func(t *testing.T) {
		virtually(t, func(w *world) {
			holder, first, second := w.node("holder"), w.node("first"), w.node("second")
			holder.get()
			holder.crash()
			first.waits()
			w.pass(time.Second)
			w.Expect(second.TryLock(w.ctx)).To(MatchError(lockclient.ErrLockHeld))
			w.Expect(first.believes()).To(BeTrue(), "nobody has it")
		})
	})
	t.Run("ends with its context", func(t *testing.T) {
		virtually(t, func(w *world) {
			holder, node := w.node("holder"), w.node("node")
			holder.get()
			holder.crash()
			ctx, cancel := context.WithTimeout(w.ctx, time.Second)
			defer cancel()
			w.Expect(node.TryLock(ctx)).To(MatchError(context.DeadlineExceeded))
		})
	})
}

func TestAgingWarnsBeforeTheEndAndIsQuietOtherwise(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		aging, lost := holder.Aging(), holder.Lost()
		w.pass(time.Minute)
		select {
		case <-aging:
			t.Fatal("a lease that is renewed in time is called aging")
		default:
		}
		holder.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
		<-aging
		age, held := holder.LeaseAge()
		w.Expect(held && age >= 2*heartbeat && age <= 3*heartbeat).To(BeTrue(), "warned at an age of %v, held %v", age, held)
		holder.wire.SetHook(nil)
		w.pass(heartbeat)
		w.Expect(holder.believes()).To(BeTrue(), "lost: %v", holder.LockError())
		again := holder.Aging()
		select {
		case <-again:
			t.Fatal("the warning stands although the lease was renewed")
		default:
		}
		w.Expect(holder.RemoveLock()).To(Succeed())
		<-again
		<-lost
	})
}

func TestALocalRefusalOfATransactionIsNoUnknownOutcome(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.get()
		_, err := node.TransactWrite(w.ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{{Update: &dynamodb.Update{}}}})
		w.Expect(err != nil && !errors.Is(err, lockclient.ErrOutcomeUnknown)).To(BeTrue(), "%v", err)
	})
}

func TestAMissingTableOfTheCallersOwnIsNotCalledTheLocks(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.get()
		in := plusOne()
		in.TransactItems[0].Update.TableName = aws.String("nowhere")
		_, err := node.TransactWrite(w.ctx, in)
		w.Expect(err != nil && !errors.Is(err, lockclient.ErrTableNotFound)).To(BeTrue(), "%v", err)
		w.Expect(node.believes()).To(BeTrue(), "the lock was lost")
	})
}
