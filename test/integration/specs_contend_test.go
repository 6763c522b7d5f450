package integration

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
)

var _ = Describe("Mutual exclusion", func() {
	const contenders, rounds = 32, 3

	It("lets one of 32 contenders in at a time, in tenures whose fencing tokens rise", func(ctx SpecContext) {
		lock := uniqueLock()
		var inside atomic.Int32
		var mu sync.Mutex
		var tokens []int64
		unguarded := 0 // guarded by nothing but the lock: the race detector watches too
		var all sync.WaitGroup
		for i := range contenders {
			c := contend(lock, "contender-"+strconv.Itoa(i), lease(6*time.Second), func(c *lockclient.DynamoDBLockClient) { c.PollPeriod = 30 * time.Millisecond })
			all.Go(func() {
				defer GinkgoRecover()
				for range rounds {
					Expect(c.WaitForLock(ctx)).To(Succeed())
					Expect(inside.Add(1)).To(BeEquivalentTo(1), "two contenders are inside")
					token, ok := c.FencingToken()
					Expect(ok).To(BeTrue())
					mu.Lock()
					tokens = append(tokens, token)
					mu.Unlock()
					unguarded++
					inside.Add(-1)
					Expect(c.RemoveLock()).To(Succeed())
				}
			})
		}
		all.Wait()
		Expect(unguarded).To(Equal(contenders * rounds))
		for i := 1; i < len(tokens); i++ {
			Expect(tokens[i]).To(BeNumerically(">", tokens[i-1]))
		}
	}, SpecTimeout(2*time.Minute))

	It("counts to the same number in the table, one fenced transaction a tenure", func(ctx SpecContext) {
		lock, counter := uniqueLock(), "counter-of-"+uniqueLock()
		var all sync.WaitGroup
		for i := range 8 {
			c := contend(lock, "contender-"+strconv.Itoa(i), lease(6*time.Second), func(c *lockclient.DynamoDBLockClient) { c.PollPeriod = 30 * time.Millisecond })
			all.Go(func() {
				defer GinkgoRecover()
				Expect(c.WaitForLock(ctx)).To(Succeed())
				_, err := c.TransactWrite(ctx, add(counter))
				Expect(err).NotTo(HaveOccurred())
				Expect(c.RemoveLock()).To(Succeed())
			})
		}
		all.Wait()
		Expect(item(counter)["n"].N).To(HaveValue(Equal("8")))
	}, SpecTimeout(time.Minute))

	It("refuses a second client with the holder's name, token and lease, and the SDK's error in the chain", func() {
		lock := uniqueLock()
		holder, other := contend(lock, "holder"), contend(lock, "other")
		token := mustGet(holder)
		refused := mustBeRefused(other)
		Expect(refused.Owner).To(Equal("holder"))
		Expect(refused.FencingToken).To(Equal(token))
		Expect(refused.LeaseDuration).To(Equal(time.Minute))
		Expect(refused.RetryAfter).To(And(BeNumerically(">", 0), BeNumerically("<=", time.Minute)))
		Expect(error(refused)).To(MatchError(lockclient.ErrLockHeld))
		var failed *dynamodb.ConditionalCheckFailedException
		Expect(errors.As(error(refused), &failed)).To(BeTrue())
	})

	It("never lets a non-holder's RemoveLock free the holder's lock", func() {
		lock := uniqueLock()
		holder, other := contend(lock, "holder"), contend(lock, "other")
		mustGet(holder)
		Expect(other.RemoveLock()).To(Succeed())
		Expect(other.wire.Count("")).To(BeZero(), "there was nothing of its own to free")
		mustBeRefused(other)
		Expect(other.RemoveLock()).To(Succeed())
		mustBeRefused(other)
		Expect(holder.HasLock()).To(BeTrue())
	})

	It("keeps two clients with one Identifier apart", func() {
		lock := uniqueLock()
		one, two := contend(lock, "twin"), contend(lock, "twin")
		mustGet(one)
		mustBeRefused(two)
		Expect(two.RemoveLock()).To(Succeed())
		Expect(one.HasLock()).To(BeTrue())
		Expect(item(lock)).NotTo(HaveKey("isReleased"))
	})
})

var _ = Describe("Requests, counted at the wire", func() {
	It("acquires a fresh lock with one UpdateItem, and releases it with one", func() {
		c := contend(uniqueLock(), "c")
		mustGet(c)
		Expect(c.wire.Counts()).To(Equal(map[string]int{"UpdateItem": 1}))
		Expect(c.RemoveLock()).To(Succeed())
		Expect(c.wire.Counts()).To(Equal(map[string]int{"UpdateItem": 2}))
	})

	It("acquires a released lock with one UpdateItem", func() {
		lock := uniqueLock()
		first, second := contend(lock, "first"), contend(lock, "second")
		token := mustGet(first)
		Expect(first.RemoveLock()).To(Succeed())
		Eventually(func() int64 { return time.Now().UnixMilli() }).Should(BeNumerically(">", token), "the second's token is its clock")
		mustGet(second)
		Expect(second.wire.Counts()).To(Equal(map[string]int{"UpdateItem": 1}))
	})

	It("is refused with one request, which brings the holder's record with it", func() {
		lock := uniqueLock()
		mustGet(contend(lock, "holder"))
		other := contend(lock, "other")
		mustBeRefused(other)
		Expect(other.wire.Count("")).To(Equal(1))
	})

	It("sends nothing for HasLock, LockError, FencingToken, Deadline, LeaseAge, Lost, ConditionCheck and a second GetLock", func() {
		c := contend(uniqueLock(), "c")
		mustGet(c)
		c.wire.Reset()
		Expect(c.HasLock()).To(BeTrue())
		Expect(c.LockError()).To(Succeed())
		_, ok := c.Deadline()
		Expect(ok).To(BeTrue())
		_, ok = c.LeaseAge()
		Expect(ok).To(BeTrue())
		Expect(c.Lost()).NotTo(BeClosed())
		_, err := c.ConditionCheck()
		Expect(err).NotTo(HaveOccurred())
		mustGet(c)
		Expect(c.wire.Count("")).To(BeZero())
	})

	It("polls with one eventually consistent GetItem while the holder lives", func(ctx SpecContext) {
		lock := uniqueLock()
		mustGet(contend(lock, "holder"))
		other := contend(lock, "other")
		for range 3 {
			held, err := other.PollLock(ctx)
			Expect(held).To(BeFalse())
			Expect(err).To(MatchError(lockclient.ErrLockHeld))
		}
		Expect(other.wire.Counts()).To(Equal(map[string]int{"UpdateItem": 1, "GetItem": 2}))
		for _, call := range other.wire.Calls()[1:] {
			Expect(call.Consistent()).To(BeFalse())
		}
	})

	It("deletes with one DeleteItem where DeleteOnRelease is set", func() {
		lock := uniqueLock()
		c := contend(lock, "c", func(c *lockclient.DynamoDBLockClient) { c.DeleteOnRelease = true })
		token := mustGet(c)
		Expect(c.RemoveLock()).To(Succeed())
		Expect(c.wire.Counts()).To(Equal(map[string]int{"UpdateItem": 1, "DeleteItem": 1}))
		Expect(item(lock)).To(BeEmpty())
		Eventually(func() int64 { return time.Now().UnixMilli() }).Should(BeNumerically(">", token), "it starts from a clock of milliseconds")
		Expect(mustGet(contend(lock, "next"))).To(BeNumerically(">", token), "the token starts again above all that were given out")
	})
})

var _ = Describe("Waiting and takeover", func() {
	It("takes over from a crashed holder a lease after its last renewal, and not before", func(ctx SpecContext) {
		lock := uniqueLock()
		holder := contend(lock, "holder", lease(900*time.Millisecond))
		waiter := contend(lock, "waiter", lease(900*time.Millisecond))
		token := mustGet(holder)
		done := make(chan error, 1)
		go func() { done <- waiter.WaitForLock(ctx) }()
		Consistently(done).WithTimeout(2 * time.Second).ShouldNot(Receive())
		Expect(holder.HasLock()).To(BeTrue())
		holder.StopHeartbeat()
		Eventually(done).WithTimeout(3 * time.Second).Should(Receive(BeNil()))
		held, err := holder.HasLock()
		Expect(held).To(BeFalse())
		Expect(err).To(MatchError(lockclient.ErrLeaseExpired))
		Expect(mustGet(waiter)).To(BeNumerically(">", token))
	}, SpecTimeout(time.Minute))

	It("takes a released lock within one poll", func(ctx SpecContext) {
		lock := uniqueLock()
		holder := contend(lock, "holder", lease(30*time.Second))
		waiter := contend(lock, "waiter", lease(30*time.Second), func(c *lockclient.DynamoDBLockClient) { c.PollPeriod = 100 * time.Millisecond })
		mustGet(holder)
		done := make(chan error, 1)
		go func() { done <- waiter.WaitForLock(ctx) }()
		Eventually(func() int { return waiter.wire.Count("") }).Should(BeNumerically(">=", 2))
		Expect(holder.RemoveLock()).To(Succeed())
		Eventually(done).WithTimeout(5 * time.Second).Should(Receive(BeNil()))
	}, SpecTimeout(time.Minute))

	It("gives up waiting when the context ends, and says who holds the lock", func(ctx SpecContext) {
		lock := uniqueLock()
		mustGet(contend(lock, "holder"))
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		err := contend(lock, "waiter").WaitForLock(short)
		Expect(err).To(MatchError(context.DeadlineExceeded))
		Expect(err).To(MatchError(lockclient.ErrLockHeld))
		Expect(err).To(MatchError(ContainSubstring("holder")))
	}, SpecTimeout(time.Minute))

	It("takes over at once what carries its own Identifier, with ReclaimOnRestart", func() {
		lock := uniqueLock()
		reclaim := func(c *lockclient.DynamoDBLockClient) { c.ReclaimOnRestart = true }
		before := contend(lock, "me", reclaim)
		token := mustGet(before)
		before.StopHeartbeat() // as if it had crashed
		Expect(mustGet(contend(lock, "me", reclaim))).To(BeNumerically(">", token))
		mustBeRefused(contend(lock, "somebody else", reclaim))
	})

	It("takes up its own expired tenure again at once", func() {
		c := contend(uniqueLock(), "c", lease(300*time.Millisecond))
		token := mustGet(c)
		c.StopHeartbeat()
		Eventually(c.Lost()).WithTimeout(3 * time.Second).Should(BeClosed())
		Expect(mustGet(c)).To(BeNumerically(">", token))
		Expect(c.LockError()).To(Succeed())
	})
})

var _ = Describe("A program written against dynamodb-lock-client-golang v0.1.0", func() {
	It("compiles and behaves as its README says", func() {
		lock := uniqueLock()
		var lockClient lockclient.LockClient = &lockclient.DynamoDBLockClient{
			LockName:        lock,
			LeaseDuration:   5000 * time.Millisecond,
			HeartbeatPeriod: 1000 * time.Millisecond,
			TableName:       table,
			Client:          admin,
		}
		for {
			result, err := lockClient.GetLock()
			if result {
				break
			}
			Fail(err.Error())
		}
		Expect(lockClient.(*lockclient.DynamoDBLockClient).Identifier).NotTo(BeEmpty(), "an unset Identifier is made up")
		Expect(lockClient.HasLock()).To(BeTrue())

		other := &lockclient.DynamoDBLockClient{LockName: lock, LeaseDuration: 5 * time.Second, HeartbeatPeriod: time.Second, TableName: table, Client: admin}
		result, err := other.GetLock()
		Expect(result).To(BeFalse())
		coded, ok := err.(awserr.Error)
		Expect(ok).To(BeTrue())
		Expect(coded.Code()).To(Equal(dynamodb.ErrCodeConditionalCheckFailedException))
		Expect(coded.Message()).To(ContainSubstring("is held by"))
		Expect(coded.OrigErr()).To(BeAssignableToTypeOf(&dynamodb.ConditionalCheckFailedException{}))

		lockClient.StopHeartbeat()
		Expect(lockClient.HasLock()).To(BeTrue(), "the lease has not run out yet")
		Expect(lockClient.RemoveLock()).To(Succeed())
		Expect(lockClient.HasLock()).To(BeFalse())
		Expect(other.GetLock()).To(BeTrue())
		Expect(other.LockError()).To(Succeed())
		Expect(other.RemoveLock()).To(Succeed())
	})
})

// add is a transaction that adds one to an item's number.
func add(name string) *dynamodb.TransactWriteItemsInput {
	return &dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{{Update: &dynamodb.Update{
		TableName: &table, Key: key(name), UpdateExpression: aws.String("ADD n :one"),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":one": n("1")},
	}}}}
}
