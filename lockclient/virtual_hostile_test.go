package lockclient_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/nodeclock"
	"github.com/leaderkit/leaderkit/test/wire"
)

// What a hostile reader of the lock client found: each of these failed once.

// losesItsTenure has a node acquire, and cuts it off until its tenure has ended; the record is
// still its own.
func (n *node) losesItsTenure() {
	n.get()
	n.w.pass(20 * time.Second)
	n.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() })
	n.w.ends(n.Lost())
}

// An attempt that is given up frees what it may have taken, and does not forget the tenure before
// it.
func TestGivingUpAnAttemptForgetsNoEarlierTenure(t *testing.T) {
	virtually(t, func(w *world) {
		node, other := w.node("node"), w.node("other")
		node.losesItsTenure()
		node.wire.SetHook(wire.Every(wire.Acquire, wire.Refuse()))
		ctx, cancel := context.WithTimeout(w.ctx, 20*time.Millisecond)
		defer cancel()
		_, err := node.GetLockWithContext(ctx)
		w.Expect(err).To(MatchError(context.DeadlineExceeded))
		node.wire.SetHook(nil)
		w.Expect(node.RemoveLock()).To(Succeed())
		other.get()
	})
}

// The one attempt that was carried out before the network went is remembered, however many follow
// it.
func TestAWaiterThroughAPartitionRecognisesTheAttemptThatGotThrough(t *testing.T) {
	virtually(t, func(w *world) {
		node, other := w.node("node"), w.node("other")
		began := time.Now()
		node.wire.SetHook(func(c *wire.Call) wire.Fault {
			switch {
			case c.Number == 1:
				return wire.DropReply()
			case time.Since(began) < 2*time.Minute:
				return wire.Refuse()
			}
			return nil
		})
		w.Expect(node.WaitForLock(w.ctx)).To(Succeed())
		w.Expect(time.Since(began)).To(BeNumerically("<", 2*time.Minute+heartbeat), "waited for itself until %v", time.Since(began))
		w.Expect(node.RemoveLock()).To(Succeed())
		other.get()
	})
}

// A win, or a release, says nothing of an attempt that is still under way.
func TestAnAttemptThatLandsAfterALaterOnesReleaseIsRecognised(t *testing.T) {
	for name, first := range map[string]func(w *world, n *node){
		"a later one has won": func(w *world, n *node) {
			n.wire.SetHook(wire.Nth(wire.Acquire, 1, wire.Delay(8*time.Second)))
			n.get()
			w.pass(time.Second)
		},
		"an earlier one is released": func(w *world, n *node) {
			n.wire.SetHook(wire.On(wire.Acquire, func(i int, _ *wire.Call) wire.Fault {
				if i == 1 {
					return wire.DropReply()
				}
				return wire.Delay(3 * time.Second)
			}))
			n.waits()
			w.pass(400 * time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				node := w.node("node")
				first(w, node)
				w.Expect(node.RemoveLock()).To(Succeed())
				node.wire.SetHook(nil)
				w.pass(4 * time.Second)
				node.get()
			})
		})
	}
}

// What was won too late to be believed is freed as well, where its caller tries no more.
func TestAnAcquireDuringWhichTheMachineSleptIsFreed(t *testing.T) {
	virtually(t, func(w *world) {
		node, other := w.node("node"), w.node("other")
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		defer cancel()
		node.wire.SetHook(wire.Nth(wire.Acquire, 1, func(c context.Context, call *wire.Call) (*http.Response, error) {
			reply, err := call.Deliver(c)
			node.clock.Suspend()
			_ = wire.Sleep(c, theLease)
			node.clock.Resume()
			return reply, err
		}))
		held, err := node.GetLockWithContext(ctx)
		w.Expect(!held && errors.Is(err, lockclient.ErrLeaseExpired)).To(BeTrue(), "%v, %v", held, err)
		other.get()
	})
}

func TestARecordedLeaseWithoutEndIsNotCutShort(t *testing.T) {
	for _, lease := range []string{"3153600000000" /* 100 years of milliseconds */, "876000h"} {
		virtually(t, func(w *world) {
			w.put(map[string]*dynamodb.AttributeValue{"ownerName": s("java"), "leaseDuration": s(lease), "recordVersionNumber": s("v")})
			node := w.node("node")
			node.waits()
			w.pass(time.Hour)
			w.Expect(node.believes()).To(BeFalse(), "took a live lock with a lease of %s", lease)
		})
	}
}

func (w *world) put(item map[string]*dynamodb.AttributeValue) {
	w.Helper()
	item["key"] = s(theLock)
	if _, err := w.admin.PutItem(&dynamodb.PutItemInput{TableName: aws.String(theTable), Item: item}); err != nil {
		w.Fatal(err)
	}
}

func TestAnItemThatCountsInTextIsNoLock(t *testing.T) {
	virtually(t, func(w *world) {
		w.put(map[string]*dynamodb.AttributeValue{"ownerName": s("x"), "leaseDuration": s("1000"), "recordVersionNumber": s("v"), "heartbeatCount": s("5")})
		w.Expect(w.node("node").WaitForLock(w.ctx)).To(MatchError(lockclient.ErrNotALock))
	})
}

// Its holder's clock was behind, so that its token is lower than that of the item that was deleted.
func TestAReleasedLockWithALowerTokenIsTakenAndNotStaredAt(t *testing.T) {
	virtually(t, func(w *world) {
		long := func(c *lockclient.DynamoDBLockClient) { c.LeaseDuration, c.HeartbeatPeriod = time.Hour, time.Second }
		node, other, waiter := w.node("node", long, func(c *lockclient.DynamoDBLockClient) { c.DeleteOnRelease = true }), w.node("other", long), w.node("waiter", long)
		node.get()
		done := waiter.waits()
		w.pass(time.Minute)
		other.clock.JumpWall(-5 * time.Minute)
		w.Expect(node.RemoveLock()).To(Succeed())
		other.get()
		w.Expect(other.RemoveLock()).To(Succeed())
		waiter.wire.Reset()
		began := time.Now()
		w.Expect(<-done == nil && time.Since(began) < 10*time.Second).To(BeTrue(), "taken after %v", time.Since(began))
		w.Expect(waiter.wire.Count("")).To(BeNumerically("<", 20), "%v", waiter.wire.Counts())
	})
}

func TestPollsFollowTheHeartbeatsHoweverLongTheLease(t *testing.T) {
	virtually(t, func(w *world) {
		long := func(c *lockclient.DynamoDBLockClient) { c.LeaseDuration, c.HeartbeatPeriod = 24*time.Hour, time.Minute }
		holder, waiter := w.node("holder", long), w.node("waiter", long)
		holder.get()
		done := waiter.waits()
		w.pass(2 * time.Hour)
		waiter.wire.Reset()
		w.pass(2 * time.Hour)
		polls := waiter.wire.Count("GetItem")
		w.Expect(polls >= 110 && polls <= 150).To(BeTrue(), "%d polls in 120 heartbeats", polls)
		w.Expect(holder.RemoveLock()).To(Succeed())
		began := time.Now()
		w.Expect(<-done == nil && time.Since(began) <= 70*time.Second).To(BeTrue(), "a release was noticed after %v", time.Since(began))
	})
}

func TestDurationsWithoutAUnitAreRefused(t *testing.T) {
	for field, change := range map[string]func(*lockclient.DynamoDBLockClient){
		"HeartbeatPeriod": func(c *lockclient.DynamoDBLockClient) { c.HeartbeatPeriod = 5 },
		"PollPeriod":      func(c *lockclient.DynamoDBLockClient) { c.PollPeriod = 5 },
		"MaxClockSkew":    func(c *lockclient.DynamoDBLockClient) { c.MaxClockSkew = 500 },
		"HeartbeatPeriod is 2562047": func(c *lockclient.DynamoDBLockClient) {
			c.HeartbeatPeriod = math.MaxInt64
		},
		"PollPeriod is 2562047":   func(c *lockclient.DynamoDBLockClient) { c.PollPeriod = math.MaxInt64 },
		"MaxClockSkew is 2562047": func(c *lockclient.DynamoDBLockClient) { c.MaxClockSkew = math.MaxInt64 },
	} {
		virtually(t, func(w *world) {
			_, err := w.node("node", change).Timing()
			w.Expect(err).To(MatchError(lockclient.ErrInvalidConfig))
			w.Expect(err).To(MatchError(ContainSubstring(field)), "%v does not name %s", err, field)
		})
	}
}

func TestFieldsAreFixedAtTheFirstUse(t *testing.T) {
	virtually(t, func(w *world) {
		data := []byte("first")
		node := w.node("node", func(c *lockclient.DynamoDBLockClient) { c.Data = data })
		node.get()
		w.Expect(node.RemoveLock()).To(Succeed())
		copy(data, "other")
		node.get()
		w.Expect(string(w.record()["data"].B)).To(Equal("first"), "data is %q", w.record()["data"].B)
		node.LockName = "another"
		item, err := node.Peek(w.ctx)
		w.Expect(err == nil && item.Name == theLock).To(BeTrue(), "Peek: %v, %v", item, err)
	})
}

// A proxy that gives up waiting for the server can't say that the server has done nothing.
func TestAProxysTimeoutIsNoRefusal(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.wire.SetHook(wire.Nth(wire.Acquire, 1, wire.AfterDelivery(wire.AnswerBody(http.StatusRequestTimeout, "text/plain", "stream timeout"))))
		node.get()
	})
}

func TestGetLockIsInterruptedByRemoveLockAlsoWhereItHasWon(t *testing.T) {
	virtually(t, func(w *world) {
		node, other := w.node("node"), w.node("other")
		node.wire.SetHook(wire.Nth(wire.Acquire, 1, wire.Delay(300*time.Millisecond)))
		done := make(chan error, 1)
		w.waiting.Go(func() {
			held, err := node.GetLock()
			if held {
				err = errors.New("GetLock says that the lock is held")
			}
			done <- err
		})
		w.pass(10 * time.Millisecond)
		w.Expect(node.RemoveLock()).To(Succeed())
		w.Expect(<-done).To(MatchError(lockclient.ErrInterrupted))
		other.get()
	})
}

func TestRemoveLockWakesWaitForLock(t *testing.T) {
	virtually(t, func(w *world) {
		long := func(c *lockclient.DynamoDBLockClient) { c.LeaseDuration, c.HeartbeatPeriod = 24*time.Hour, 8*time.Hour }
		holder, waiter := w.node("holder", long), w.node("waiter", long)
		holder.get()
		done := waiter.waits()
		w.pass(time.Minute)
		w.Expect(waiter.RemoveLock()).To(Succeed())
		began := time.Now()
		w.Expect(<-done).To(MatchError(lockclient.ErrInterrupted))
		w.Expect(time.Since(began)).To(BeNumerically("<", time.Second), "WaitForLock returned %v after RemoveLock", time.Since(began))
	})
}

// moody is a provider of credentials that fails once.
type moody struct{ fails bool }

func (m *moody) Retrieve() (credentials.Value, error) {
	if m.fails {
		m.fails = false
		return credentials.Value{}, errors.New("no answer from the metadata service")
	}
	return credentials.Value{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
}

func (m *moody) IsExpired() bool { return false }

func TestOneLookForCredentialsThatFailsEndsNoWaiting(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		provider := &moody{}
		chain := credentials.NewChainCredentials([]credentials.Provider{provider})
		waiter.Client = wire.NewClient(waiter.wire, func(c *aws.Config) { c.Credentials = chain })
		holder.get()
		done := waiter.waits()
		w.pass(time.Minute)
		provider.fails = true
		chain.Expire()
		w.pass(heartbeat)
		w.Expect(holder.RemoveLock()).To(Succeed())
		w.Expect(<-done).To(Succeed())

		never := w.node("never")
		never.Client = wire.NewClient(never.wire, func(c *aws.Config) { c.Credentials = credentials.NewChainCredentials(nil) })
		w.Expect(never.WaitForLock(w.ctx)).To(MatchError(lockclient.ErrAccessDenied))
	})
}

// The recorded expiry follows the holder's clock, and is not pushed ahead by each of its jumps.
func TestSmallWallJumpsDoNotPileUpInTheRecordedExpiry(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		for range 200 {
			holder.clock.JumpWall(200 * time.Millisecond)
			w.pass(heartbeat)
			holder.clock.JumpWall(-200 * time.Millisecond)
			w.pass(heartbeat)
		}
		last := holder.lastRenewal()
		holder.crash()
		w.pass(theLease + time.Second - time.Since(last))
		w.node("cron", func(c *lockclient.DynamoDBLockClient) { c.MaxClockSkew = 500 * time.Millisecond }).get()
	})
}

func TestALoggerMayAskTheLock(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.Logger = funcr.New(func(string, string) { _, _ = node.HasLock() }, funcr.Options{Verbosity: 2})
		node.get()
		node.StopHeartbeat()
		w.Expect(node.RemoveLock()).To(Succeed())
	})
}

// plusOne is a transaction that adds one to the counter.
func plusOne() *dynamodb.TransactWriteItemsInput {
	return &dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{{Update: &dynamodb.Update{
		TableName: aws.String(theTable), Key: key("counter"), UpdateExpression: aws.String("ADD c :one"),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":one": n("1")},
	}}}}
}

func (w *world) counted() string {
	w.Helper()
	out, err := w.admin.GetItem(&dynamodb.GetItemInput{TableName: aws.String(theTable), Key: key("counter"), ConsistentRead: aws.Bool(true)})
	switch {
	case err != nil:
		w.Fatal(err)
	case out.Item["c"] == nil:
		return "0"
	}
	return aws.StringValue(out.Item["c"].N)
}

// transactions makes a hook for TransactWriteItems, which counts them from 1.
func transactions(fault func(i int) wire.Fault) wire.Hook {
	i := 0
	return func(c *wire.Call) wire.Fault {
		if c.Operation != "TransactWriteItems" {
			return nil
		}
		i++
		return fault(i)
	}
}

func TestATransactionIsNotRepeatedWhenItsTokenIsForgotten(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.get()
		began := time.Now()
		node.wire.SetHook(transactions(func(i int) wire.Fault {
			switch {
			case i == 1:
				return wire.DropReply()
			case time.Since(began) < 11*time.Minute:
				return wire.ThrottleAccount()
			}
			return nil
		}))
		_, err := node.TransactWrite(w.ctx, plusOne())
		w.Expect(err).To(MatchError(lockclient.ErrOutcomeUnknown))
		w.Expect(w.counted()).To(Equal("1"), "carried out %s times", w.counted())
	})
}

// A heartbeat that is repeated for long holds a transaction up for as long as DynamoDB remembers
// its token.
func TestATransactionThatWaitsForAHeartbeatIsNotRepeatedWhenItsTokenIsForgotten(t *testing.T) {
	virtually(t, func(w *world) {
		const period = 15 * time.Minute
		node := w.node("node", func(c *lockclient.DynamoDBLockClient) { c.LeaseDuration, c.HeartbeatPeriod = 3*period, period })
		node.get()
		w.pass(period - roundTrip - 10*time.Millisecond)
		began, sent := time.Now(), 0
		node.wire.SetHook(func(c *wire.Call) wire.Fault {
			switch {
			case c.Operation == "TransactWriteItems":
				if sent++; sent == 1 {
					return wire.DropReply()
				}
			case time.Since(began) < 11*time.Minute:
				return wire.InternalError()
			}
			return nil
		})
		_, err := node.TransactWrite(w.ctx, plusOne())
		w.Expect(err).To(MatchError(lockclient.ErrOutcomeUnknown))
		w.Expect(time.Since(began)).To(BeNumerically(">", 11*time.Minute), "it has not waited for a heartbeat: this spec shows nothing")
		w.Expect(w.counted()).To(Equal("1"), "carried out %s times", w.counted())
	})
}

// The answer to the repetition may reach a process that has stood still since it sent it.
func TestATransactionWhoseTokenIsForgottenIsNotCalledUnwritten(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.get()
		node.wire.SetHook(transactions(func(i int) wire.Fault {
			if i == 1 {
				return wire.DropReply()
			}
			return func(ctx context.Context, c *wire.Call) (*http.Response, error) {
				time.Sleep(11 * time.Minute) // sleep: virtual; the process stands still before the request leaves
				return c.Deliver(context.WithoutCancel(ctx))
			}
		}))
		done := make(chan error, 1)
		w.waiting.Go(func() {
			_, err := node.TransactWrite(w.ctx, plusOne())
			done <- err
		})
		w.pass(time.Second)
		node.clock.Pause()
		w.set("ownerName", s("operator"))
		w.pass(12 * time.Minute)
		node.clock.Continue()
		err := <-done
		w.Expect(err).To(MatchError(lockclient.ErrOutcomeUnknown))
		w.Expect(errors.Is(err, lockclient.ErrLockLost)).To(BeFalse(), "%v", err)
		w.Expect(w.counted()).To(Equal("1"), "carried out %s times", w.counted())
	})
}

func TestATransactionWithoutAnAnswerIsNotCalledUnwritten(t *testing.T) {
	for name, then := range map[string]struct {
		happens func(w *world, n *node)
		answers wire.Fault
		cause   string
	}{
		"the lock is given up":         {func(_ *world, n *node) { _ = n.RemoveLock() }, wire.Refuse(), "not held"},
		"the record is edited":         {func(w *world, _ *node) { w.set("ownerName", s("operator")) }, wire.Refuse(), "lock lost"},
		"the permission is taken away": {func(*world, *node) {}, wire.AccessDenied(), "access denied"},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				node := w.node("node")
				node.get()
				w.pass(heartbeat - 100*time.Millisecond)
				node.wire.SetHook(transactions(func(i int) wire.Fault {
					if i == 1 {
						return wire.DropReply()
					}
					return then.answers
				}))
				done := make(chan error, 1)
				w.waiting.Go(func() {
					_, err := node.TransactWrite(w.ctx, plusOne())
					done <- err
				})
				w.pass(15 * time.Millisecond)
				then.happens(w, node)
				err := <-done
				w.Expect(err).To(MatchError(lockclient.ErrOutcomeUnknown))
				w.Expect(errors.Is(err, lockclient.ErrLockLost)).To(BeFalse(), "%v", err)
				w.Expect(err).To(MatchError(ContainSubstring(then.cause)), "%v does not say %q", err, then.cause)
				w.Expect(w.counted()).To(Equal("1"), "carried out %s times", w.counted())
			})
		})
	}
}

// The server remembers the token: its answer settles what the lost one said, also after the lock
// was given up.
func TestATransactionWithoutAnAnswerIsAskedForUntilItIsKnown(t *testing.T) {
	for _, carriedOut := range []bool{true, false} {
		virtually(t, func(w *world) {
			node := w.node("node")
			node.get()
			var released atomic.Bool
			node.wire.SetHook(transactions(func(i int) wire.Fault {
				switch {
				case i == 1 && carriedOut:
					return wire.DropReply()
				case !released.Load():
					return wire.Refuse()
				}
				return nil
			}))
			done := make(chan error, 1)
			w.waiting.Go(func() {
				_, err := node.TransactWrite(w.ctx, plusOne())
				done <- err
			})
			w.pass(15 * time.Millisecond)
			w.Expect(node.RemoveLock()).To(Succeed())
			released.Store(true)
			err := <-done
			if carriedOut {
				w.Expect(err == nil && w.counted() == "1").To(BeTrue(), "carried out %s times, and TransactWrite says %v", w.counted(), err)
			} else {
				w.Expect(err).To(MatchError(lockclient.ErrLockLost))
				w.Expect(!errors.Is(err, lockclient.ErrOutcomeUnknown) && w.counted() == "0").To(BeTrue(), "carried out %s times, and TransactWrite says %v", w.counted(), err)
			}
		})
	}
}

// The network may deliver a request twice. The answer to one copy, that it has met another
// transaction, says nothing about the other copy.
func TestATransactionIsNotCalledUnwrittenBecauseOneCopyOfItMetAConflict(t *testing.T) {
	for name, ends := range map[string]func(w *world, n *node){
		"the record is edited":    func(w *world, _ *node) { w.set("ownerName", s("operator")) },
		"the lock is given up":    func(_ *world, n *node) { _ = n.RemoveLock() },
		"the process stood still": func(w *world, n *node) { n.clock.Pause(); w.pass(2 * theLease); n.clock.Continue() },
	} {
		t.Run(name, func(t *testing.T) {
			meets := 1
			engine := dynamotest.New(dynamotest.WithConflicts(func(write dynamotest.Write) bool {
				if write.Operation != "TransactWriteItems" || meets == 0 {
					return false
				}
				meets--
				return true
			}))
			virtuallyOn(t, engine, func(w *world) {
				node := w.node("node")
				node.get()
				w.pass(heartbeat - roundTrip - 20*time.Millisecond)
				node.wire.SetHook(transactions(func(int) wire.Fault { return wire.Echo(time.Millisecond) }))
				done := make(chan error, 1)
				w.waiting.Go(func() {
					_, err := node.TransactWrite(w.ctx, plusOne())
					done <- err
				})
				w.pass(roundTrip + time.Millisecond + roundTrip/2)
				w.Expect(w.counted()).To(Equal("1"), "the copy was not carried out: this spec shows nothing")
				ends(w, node)
				err := <-done
				told := err == nil || errors.Is(err, lockclient.ErrOutcomeUnknown)
				w.Expect(told).To(BeTrue(), "it was carried out, and TransactWrite says %v", err)
				w.Expect(w.counted()).To(Equal("1"), "carried out %s times", w.counted())
			})
		})
	}
}

// Other makes' holders believe to the last moment of their lease; the 1 % for clocks of different
// rates is ours to leave.
func TestAHolderOfAnotherMakeIsGivenAHundredthMoreThanItsLease(t *testing.T) {
	virtually(t, func(w *world) {
		w.put(map[string]*dynamodb.AttributeValue{"ownerName": s("java"), "leaseDuration": s("20000"), "recordVersionNumber": s("v")})
		node := w.node("node")
		began := time.Now()
		w.Expect(node.WaitForLock(w.ctx)).To(Succeed())
		took := time.Since(began)
		w.Expect(took >= 20200*time.Millisecond && took <= 20400*time.Millisecond).To(BeTrue(), "taken over after %v", took)
	})
}

// A release was announced, its announcer crashed, and a client that updates records in place took
// over, under a name of its own or the announcer's. The announcement stays in the record, and
// counts no more than our other attributes that it leaves there.
func TestAnAnnouncementIsItsAnnouncersOnly(t *testing.T) {
	for _, owner := range []string{"java", "node"} {
		t.Run(owner, func(t *testing.T) {
			virtually(t, func(w *world) {
				node, waiter := w.node("node"), w.node("waiter")
				node.get()
				w.Expect(node.AnnounceRelease(w.ctx)).To(Succeed(), "could not announce")
				node.crash()
				renew := func(version string) {
					w.set("ownerName", s(owner))
					w.set("recordVersionNumber", s(version))
				}
				renew("v0")
				waiter.waits()
				w.pass(heartbeat)
				waiter.wire.Reset()
				for i := range 10 {
					w.pass(heartbeat)
					renew("v" + strconv.Itoa(i+1))
				}
				w.Expect(waiter.wire.Count("")).To(BeNumerically("<=", 30), "%v in ten heartbeats", waiter.wire.Counts())
			})
		})
	}
}

// hollow is a mock without methods: it panics when it is called.
type hollow struct{ dynamodbiface.DynamoDBAPI }

func TestAClientThatPanicsIsAnError(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.Client = &hollow{}
		held, err := node.GetLock()
		w.Expect(!held && strings.Contains(err.Error(), "UpdateItemWithContext")).To(BeTrue(), "%v, %v; want an error that names the method", held, err)
		var thrown runtime.Error
		w.Expect(errors.As(err, &thrown)).To(BeTrue(), "%v does not lead to what was thrown", err)
		err = node.WaitForLock(w.ctx)
		w.Expect(err).To(MatchError(ContainSubstring("panicked")), "%v", err)
	})
}

// fragile is a client whose second UpdateItem goes wrong.
type fragile struct {
	dynamodbiface.DynamoDBAPI
	breaks func()
	calls  atomic.Int32
}

func (f *fragile) UpdateItemWithContext(ctx aws.Context, in *dynamodb.UpdateItemInput, options ...request.Option) (*dynamodb.UpdateItemOutput, error) {
	if f.calls.Add(1) == 2 {
		f.breaks()
	}
	return f.DynamoDBAPI.UpdateItemWithContext(ctx, in, options...)
}

// FailNow ends the goroutine, as mocks do that were not told of a call.
func TestAClientThatPanicsInAHeartbeatCostsThatHeartbeat(t *testing.T) {
	for name, breaks := range map[string]func(){"it panics": func() { panic("out of order") }, "it ends the goroutine": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				node := w.node("node")
				node.Client = &fragile{DynamoDBAPI: node.Client, breaks: breaks}
				node.get()
				var failed atomic.Int32
				defer node.ObserveHeartbeats(func(_ time.Duration, err error) {
					if err != nil && strings.Contains(err.Error(), "the DynamoDB client") {
						failed.Add(1)
					}
				})()
				w.pass(time.Minute)
				w.Expect(node.believes()).To(BeTrue(), "the tenure was lost: %v", node.LockError())
				w.Expect(failed.Load()).To(BeEquivalentTo(1), "%d failed heartbeats were reported", failed.Load())
			})
		})
	}
}

// Their connections are dead, and their places in line are the ones that the repetitions need.
func TestHeartbeatsThatHangTakeNoPlaceFromThoseThatRepeatThem(t *testing.T) {
	virtually(t, func(w *world) {
		machine := w.node("machine")
		locks := make([]*lockclient.DynamoDBLockClient, 600) // more than there are places
		for i := range locks {
			locks[i] = &lockclient.DynamoDBLockClient{
				LockName: "lock" + strconv.Itoa(i), TableName: theTable, Identifier: "machine",
				LeaseDuration: theLease, HeartbeatPeriod: heartbeat, Client: machine.Client, Clock: machine.clock,
			}
			held, err := locks[i].GetLock()
			w.Expect(held).To(BeTrue(), "%v", err)
		}
		began := time.Now()
		machine.wire.SetHook(func(*wire.Call) wire.Fault {
			if time.Since(began) < heartbeat {
				return wire.Hang()
			}
			return nil
		})
		w.pass(theLease + heartbeat)
		lost := 0
		for _, lock := range locks {
			if held, _ := lock.HasLock(); !held {
				lost++
			}
			_ = lock.RemoveLock()
		}
		w.Expect(lost).To(Equal(0), "%d of %d locks were lost in an outage of %v", lost, len(locks), heartbeat)
	})
}

// Neither a gateway's time-out nor half a reply says that a write was not carried out: who goes on
// writing keeps the lock from all.
func TestAClientWhoseRepliesSayNothingDoesNotKeepTheLockFromOthers(t *testing.T) {
	for name, reply := range map[string]wire.Fault{
		"a gateway's 504":        wire.AfterDelivery(wire.AnswerBody(http.StatusGatewayTimeout, "text/html", "gateway timeout")),
		"a 500 after the commit": wire.AfterDelivery(wire.InternalError()),
		"half a reply":           wire.CutReply(),
		"no reply":               wire.DropReply(),
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				node, other := w.node("node"), w.node("other")
				node.wire.SetHook(func(*wire.Call) wire.Fault { return reply })
				node.waits()
				w.pass(time.Second)
				other.waits()
				w.Expect(w.until(2*theLease, other.believes)).To(BeTrue(), "nobody leads for two leases; sent: %v", node.wire.Counts())
			})
		})
	}
}

// A timer of a bubble that has ended never fires.
func TestTestsInVirtualTimeCanShareAClient(t *testing.T) {
	client := wire.NewClient(dynamotest.Transport(dynamotest.New()))
	if err := lockclient.EnsureTable(t.Context(), client, theTable, lockclient.WithoutTTL()); err != nil {
		t.Fatal(err)
	}
	for _, holds := range []time.Duration{time.Millisecond, time.Minute, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			lock := &lockclient.DynamoDBLockClient{LockName: theLock, TableName: theTable, LeaseDuration: theLease, Client: client}
			if held, err := lock.GetLock(); !held {
				t.Fatal(err)
			}
			time.Sleep(holds)
			if held, err := lock.HasLock(); !held {
				t.Errorf("lost within %v: %v", holds, err)
			}
			if err := lock.RemoveLock(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestALateAnswerCostsNoHeartbeat(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.get()
		node.wire.SetHook(wire.Nth(wire.Heartbeat, 1, wire.DelayReply(4*time.Second)))
		node.wire.Reset()
		w.pass(5 * heartbeat)
		var last time.Time
		for _, call := range node.wire.Calls() {
			w.Expect(call.At.Sub(last)).To(BeNumerically(">", heartbeat/2), "request %d came %v after the one before", call.Number, call.At.Sub(last))
			last = call.At
		}
	})
}

func TestATableThatIsArchivedIsReportedAtOnce(t *testing.T) {
	for _, status := range []string{"ARCHIVED", "ARCHIVING", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"} {
		virtually(t, func(w *world) {
			node := w.node("node")
			node.wire.SetHook(func(*wire.Call) wire.Fault {
				return wire.AnswerBody(http.StatusOK, "application/x-amz-json-1.0", `{"Table":{"TableStatus":"`+status+`",
					"KeySchema":[{"AttributeName":"key","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"key","AttributeType":"S"}]}}`)
			})
			ctx, cancel := context.WithTimeout(w.ctx, time.Hour)
			defer cancel()
			began := time.Now()
			err := lockclient.EnsureTable(ctx, node.Client, theTable)
			w.Expect(strings.Contains(err.Error(), status) && time.Since(began) < time.Second).To(BeTrue(), "after %v: %v", time.Since(began), err)
		})
	}
}

func TestATableThatMayNotBeMadeSaysWhatToAllow(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.wire.SetHook(func(*wire.Call) wire.Fault { return wire.AccessDenied() })
		err := lockclient.EnsureTable(w.ctx, node.Client, theTable)
		w.Expect(err).To(MatchError(lockclient.ErrAccessDenied))
		w.Expect(err).To(MatchError(ContainSubstring("CreateTable")), "%v", err)
	})
}

func TestATransactionThatIsNilIsRefused(t *testing.T) {
	virtually(t, func(w *world) {
		node := w.node("node")
		node.get()
		_, err := node.TransactWrite(w.ctx, nil)
		w.Expect(err).To(MatchError(lockclient.ErrInvalidConfig))
	})
}

// counting counts the timers that are set.
type counting struct {
	*nodeclock.Clock
	timers atomic.Int32
}

func (c *counting) AfterFunc(d time.Duration, f func()) func() bool {
	c.timers.Add(1)
	return c.Clock.AfterFunc(d, f)
}

func TestTheClocksAreLookedAtAsOftenAsTheLocksThatAreHeldNeed(t *testing.T) {
	virtually(t, func(w *world) {
		machine := w.node("machine")
		clock := &counting{Clock: machine.clock}
		hold := func(name string, lease time.Duration) *lockclient.DynamoDBLockClient {
			lock := &lockclient.DynamoDBLockClient{LockName: name, TableName: theTable, LeaseDuration: lease, Client: machine.Client, Clock: clock}
			held, err := lock.GetLock()
			w.Expect(held).To(BeTrue(), "%v", err)
			return lock
		}
		for _, name := range []string{"one", "two", "three"} {
			defer hold(name, theLease).RemoveLock()
		}
		w.Expect(hold("short", 60*time.Millisecond).RemoveLock()).To(Succeed())
		w.pass(theLease)
		before := clock.timers.Load()
		w.pass(theLease)
		set := clock.timers.Load() - before
		w.Expect(set).To(BeNumerically("<", 60), "%d timers were set in %v, as if a heartbeat came every 20 ms", set, theLease)
	})
}
