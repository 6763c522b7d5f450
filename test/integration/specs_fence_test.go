package integration

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// stolen rewrites a held record as a successor would have.
func stolen(lock string, token int64) {
	GinkgoHelper()
	put(lock, attributes{"ownerName": s("successor"), "leaseDuration": s("60000"), "recordVersionNumber": s("v"),
		"heartbeatCount": n("9"), "fencingToken": n(strconv.FormatInt(token+1, 10))})
}

var _ = Describe("Fencing", func() {
	It("commits a transaction while the lock is held, and hides its check from the caller", func(ctx SpecContext) {
		lock, counter := uniqueLock(), uniqueLock()
		c := contend(lock, "me")
		mustGet(c)
		in := add(counter)
		_, err := c.TransactWrite(ctx, in)
		Expect(err).NotTo(HaveOccurred())
		Expect(in.TransactItems).To(HaveLen(1))
		Expect(in.ClientRequestToken).To(BeNil())
		Expect(item(counter)["n"].N).To(HaveValue(Equal("1")))
	})

	It("refuses the transaction of a holder that was replaced without noticing, and reports that", func(ctx SpecContext) {
		lock, counter := uniqueLock(), uniqueLock()
		c := contend(lock, "me")
		token := mustGet(c)
		lost := c.Lost()
		stolen(lock, token)
		Expect(c.HasLock()).To(BeTrue(), "it can't know yet")
		_, err := c.TransactWrite(ctx, add(counter))
		Expect(err).To(MatchError(lockclient.ErrLockLost))
		Expect(err).To(MatchError(ContainSubstring("successor")))
		Expect(item(counter)).To(BeEmpty())
		Expect(lost).To(BeClosed())
		held, why := c.HasLock()
		Expect(held).To(BeFalse())
		Expect(why).To(MatchError(lockclient.ErrLockLost))
		_, err = c.TransactWrite(ctx, add(counter))
		Expect(err).To(MatchError(lockclient.ErrNotHeld))
	})

	It("guards a transaction of the caller's own with ConditionCheck", func(ctx SpecContext) {
		lock, counter := uniqueLock(), uniqueLock()
		c := contend(lock, "me")
		_, err := c.ConditionCheck()
		Expect(err).To(MatchError(lockclient.ErrNotHeld))
		token := mustGet(c)
		check, err := c.ConditionCheck()
		Expect(err).NotTo(HaveOccurred())
		in := add(counter)
		in.TransactItems = append(in.TransactItems, &dynamodb.TransactWriteItem{ConditionCheck: check})
		_, err = admin.TransactWriteItemsWithContext(ctx, in)
		Expect(err).NotTo(HaveOccurred())
		stolen(lock, token)
		_, err = admin.TransactWriteItemsWithContext(ctx, in)
		Expect(lockclient.TransactionError(err, 1)).To(MatchError(lockclient.ErrLockLost))
		Expect(lockclient.TransactionError(err, 0)).To(Succeed(), "the caller's own item did not fail")
		Expect(item(counter)["n"].N).To(HaveValue(Equal("1")))
	})

	DescribeTable("refuses a check against a record that is not this tenure's any more",
		func(ctx SpecContext, change func(lock string)) {
			lock, counter := uniqueLock(), uniqueLock()
			c := contend(lock, "me")
			mustGet(c)
			change(lock)
			_, err := c.TransactWrite(ctx, add(counter))
			Expect(err).To(MatchError(lockclient.ErrLockLost))
			Expect(item(counter)).To(BeEmpty())
		},
		Entry("deleted", func(lock string) {
			_, err := admin.DeleteItem(&dynamodb.DeleteItemInput{TableName: &table, Key: key(lock)})
			Expect(err).NotTo(HaveOccurred())
		}),
		Entry("released by somebody", func(lock string) {
			r := item(lock)
			r["isReleased"] = s("1")
			put(lock, r)
		}),
		Entry("taken by a Java client, which drops the token", func(lock string) {
			put(lock, attributes{"ownerName": s("java"), "leaseDuration": s("60000"), "recordVersionNumber": s("v")})
		}),
		Entry("taken by somebody of our own name", func(lock string) {
			r := item(lock)
			token, err := strconv.ParseInt(*r["fencingToken"].N, 10, 64)
			Expect(err).NotTo(HaveOccurred())
			r["fencingToken"] = n(strconv.FormatInt(token+1, 10))
			put(lock, r)
		}),
	)

	It("returns the failed conditions of the caller's own items, and keeps the lock", func(ctx SpecContext) {
		lock, counter := uniqueLock(), uniqueLock()
		c := contend(lock, "me")
		mustGet(c)
		in := add(counter)
		in.TransactItems[0].Update.ConditionExpression = aws.String("attribute_exists(n)")
		_, err := c.TransactWrite(ctx, in)
		var cancelled *dynamodb.TransactionCanceledException
		Expect(err).To(BeAssignableToTypeOf(cancelled))
		Expect(c.HasLock()).To(BeTrue())
	})

	It("repeats a transaction that met a heartbeat, under one ClientRequestToken, and carries it out once", func(ctx SpecContext) {
		lock, counter := uniqueLock(), uniqueLock()
		c := contend(lock, "me")
		mustGet(c)
		tries := 0
		c.wire.SetHook(func(call *wire.Call) wire.Fault {
			if call.Operation != "TransactWriteItems" {
				return nil
			}
			switch tries++; tries {
			case 1:
				return wire.CancelTransaction("None", "TransactionConflict")
			case 2:
				return wire.DropReply() // committed, and the answer is lost
			default:
				return nil
			}
		})
		_, err := c.TransactWrite(ctx, add(counter))
		Expect(err).NotTo(HaveOccurred())
		Expect(tries).To(Equal(3))
		Expect(item(counter)["n"].N).To(HaveValue(Equal("1")))
	})

	It("lets a store that compares numbers refuse the stale one: stamp and compare", func(ctx SpecContext) {
		lock, account := uniqueLock(), uniqueLock()
		write := func(token int64, value string) error {
			_, err := admin.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
				TableName: &table, Key: key(account),
				ConditionExpression:       aws.String("attribute_not_exists(fence) OR fence <= :token"),
				UpdateExpression:          aws.String("SET fence = :token, v = :value"),
				ExpressionAttributeValues: attributes{":token": n(strconv.FormatInt(token, 10)), ":value": s(value)},
			})
			return err
		}
		first, second := contend(lock, "first"), contend(lock, "second")
		old := mustGet(first)
		Expect(write(old, "by the first")).To(Succeed())
		Expect(first.RemoveLock()).To(Succeed())
		Expect(write(mustGet(second), "by the second")).To(Succeed())
		Expect(write(old, "too late")).To(MatchError(ContainSubstring(dynamodb.ErrCodeConditionalCheckFailedException)))
		Expect(item(account)["v"].S).To(HaveValue(Equal("by the second")))
	})

	It("lets heartbeats through a storm of transactions on the lock's own item", func(ctx SpecContext) {
		lock, counter := uniqueLock(), uniqueLock()
		c := contend(lock, "me", lease(900*time.Millisecond))
		token := mustGet(c)
		commits := 0
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); commits++ {
			_, err := c.TransactWrite(ctx, add(counter))
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(mustGet(c)).To(Equal(token), "the tenure lasted")
		Expect(item(counter)["n"].N).To(HaveValue(Equal(strconv.Itoa(commits))))
	}, SpecTimeout(time.Minute))
})
