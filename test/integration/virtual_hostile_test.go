package integration

import (
	"context"
	"errors"
	"math"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/go-logr/logr/funcr"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// What a hostile reader of the lock client found: each of these failed once.

// losesItsTenure has a node acquire, and cuts it off until its tenure has ended; the record is still its own.
func (n *node) losesItsTenure() {
	n.get()
	n.w.pass(20 * time.Second)
	n.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() })
	n.w.ends(n.Lost())
}

// An attempt that is given up frees what it may have taken, and does not forget the tenure before it.
func TestGivingUpAnAttemptForgetsNoEarlierTenure(t *testing.T) {
	virtually(t, func(w *world) {
		node, other := w.node("node"), w.node("other")
		node.losesItsTenure()
		node.wire.SetHook(wire.Every(wire.Acquire, wire.Refuse()))
		ctx, cancel := context.WithTimeout(w.ctx, 20*time.Millisecond)
		defer cancel()
		_, err := node.GetLockWithContext(ctx)
		w.mustBe(err, context.DeadlineExceeded)
		node.wire.SetHook(nil)
		w.must(node.RemoveLock() == nil, "RemoveLock failed")
		other.get()
	})
}

// The one attempt that was carried out before the network went is remembered, however many follow it.
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
		w.must(node.WaitForLock(w.ctx) == nil, "WaitForLock failed")
		w.must(time.Since(began) < 2*time.Minute+heartbeat, "waited for itself until %v", time.Since(began))
		w.must(node.RemoveLock() == nil, "RemoveLock failed")
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
				w.must(node.RemoveLock() == nil, "RemoveLock failed")
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
			_ = rest(c, theLease)
			node.clock.Resume()
			return reply, err
		}))
		held, err := node.GetLockWithContext(ctx)
		w.must(!held && errors.Is(err, lockclient.ErrLeaseExpired), "%v, %v", held, err)
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
			w.must(!node.believes(), "took a live lock with a lease of %s", lease)
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
		w.mustBe(w.node("node").WaitForLock(w.ctx), lockclient.ErrNotALock)
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
		w.must(node.RemoveLock() == nil, "RemoveLock failed")
		other.get()
		w.must(other.RemoveLock() == nil, "RemoveLock failed")
		waiter.wire.Reset()
		began := time.Now()
		w.must(<-done == nil && time.Since(began) < 10*time.Second, "taken after %v", time.Since(began))
		w.must(waiter.wire.Count("") < 20, "%v", waiter.wire.Counts())
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
		w.must(polls >= 110 && polls <= 150, "%d polls in 120 heartbeats", polls)
		w.must(holder.RemoveLock() == nil, "RemoveLock failed")
		began := time.Now()
		w.must(<-done == nil && time.Since(began) <= 70*time.Second, "a release was noticed after %v", time.Since(began))
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
			_, _, err := w.node("node", change).Timing()
			w.mustBe(err, lockclient.ErrInvalidConfig)
			w.must(contains(err, field), "%v does not name %s", err, field)
		})
	}
}

func TestFieldsAreFixedAtTheFirstUse(t *testing.T) {
	virtually(t, func(w *world) {
		data := []byte("first")
		node := w.node("node", func(c *lockclient.DynamoDBLockClient) { c.Data = data })
		node.get()
		w.must(node.RemoveLock() == nil, "RemoveLock failed")
		copy(data, "other")
		node.get()
		w.must(string(w.record()["data"].B) == "first", "data is %q", w.record()["data"].B)
		node.LockName = "another"
		item, err := node.Peek(w.ctx)
		w.must(err == nil && item.Name == theLock, "Peek: %v, %v", item, err)
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
		w.must(node.RemoveLock() == nil, "RemoveLock failed")
		w.mustBe(<-done, lockclient.ErrInterrupted)
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
		w.must(waiter.RemoveLock() == nil, "RemoveLock failed")
		began := time.Now()
		w.mustBe(<-done, lockclient.ErrInterrupted)
		w.must(time.Since(began) < time.Second, "WaitForLock returned %v after RemoveLock", time.Since(began))
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
		w.must(holder.RemoveLock() == nil, "RemoveLock failed")
		w.must(<-done == nil, "WaitForLock failed")

		never := w.node("never")
		never.Client = wire.NewClient(never.wire, func(c *aws.Config) { c.Credentials = credentials.NewChainCredentials(nil) })
		w.mustBe(never.WaitForLock(w.ctx), lockclient.ErrAccessDenied)
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
		w.must(node.RemoveLock() == nil, "RemoveLock failed")
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
		w.mustBe(err, lockclient.ErrOutcomeUnknown)
		w.must(w.counted() == "1", "carried out %s times", w.counted())
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
				w.mustBe(err, lockclient.ErrOutcomeUnknown)
				w.must(!errors.Is(err, lockclient.ErrLockLost), "%v", err)
				w.must(contains(err, then.cause), "%v does not say %q", err, then.cause)
				w.must(w.counted() == "1", "carried out %s times", w.counted())
			})
		})
	}
}

// The server remembers the token: its answer settles what the lost one said, also after the lock was given up.
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
			w.must(node.RemoveLock() == nil, "RemoveLock failed")
			released.Store(true)
			err := <-done
			if carriedOut {
				w.must(err == nil && w.counted() == "1", "carried out %s times, and TransactWrite says %v", w.counted(), err)
			} else {
				w.mustBe(err, lockclient.ErrLockLost)
				w.must(!errors.Is(err, lockclient.ErrOutcomeUnknown) && w.counted() == "0", "carried out %s times, and TransactWrite says %v", w.counted(), err)
			}
		})
	}
}

// Other makes' holders believe to the last moment of their lease; the 1 % for clocks of different rates is ours to leave.
func TestAHolderOfAnotherMakeIsGivenAHundredthMoreThanItsLease(t *testing.T) {
	virtually(t, func(w *world) {
		w.put(map[string]*dynamodb.AttributeValue{"ownerName": s("java"), "leaseDuration": s("20000"), "recordVersionNumber": s("v")})
		node := w.node("node")
		began := time.Now()
		w.must(node.WaitForLock(w.ctx) == nil, "WaitForLock failed")
		took := time.Since(began)
		w.must(took >= 20200*time.Millisecond && took <= 20400*time.Millisecond, "taken over after %v", took)
	})
}

// A release was announced, its announcer crashed, and a client that updates records in place took over.
func TestAnAnnouncementIsItsAnnouncersOnly(t *testing.T) {
	virtually(t, func(w *world) {
		node, waiter := w.node("node"), w.node("waiter")
		node.get()
		w.must(node.AnnounceRelease(w.ctx) == nil, "could not announce")
		node.crash()
		renew := func(version string) {
			w.set("ownerName", s("java"))
			w.set("recordVersionNumber", s(version))
		}
		renew("v0")
		waiter.waits()
		w.pass(heartbeat)
		waiter.wire.Reset()
		for i := range 10 {
			w.pass(heartbeat)
			renew("v" + itoa(i+1))
		}
		w.must(waiter.wire.Count("") <= 30, "%v in ten heartbeats", waiter.wire.Counts())
	})
}
