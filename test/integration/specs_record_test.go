package integration

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
)

type attributes = map[string]*dynamodb.AttributeValue

var _ = Describe("The record", func() {
	It("is awslabs' schema, with a token, a count and hints beside it", func() {
		lock := uniqueLock()
		token := mustGet(contend(lock, "me", lease(6*time.Second), data("payload")))
		r := item(lock)
		Expect(r["ownerName"].S).To(HaveValue(Equal("me")))
		Expect(r["leaseDuration"].S).To(HaveValue(Equal("6000")))
		Expect(r["recordVersionNumber"].S).To(HaveValue(HaveLen(36)))
		Expect(r["data"].B).To(Equal([]byte("payload")))
		Expect(r["fencingToken"].N).To(HaveValue(Equal(strconv.FormatInt(token, 10))))
		Expect(r["heartbeatPeriod"].N).To(HaveValue(Equal("2000")))
		Expect(r).NotTo(Or(HaveKey("isReleased"), HaveKey("ttl"), HaveKey("heartbeatCount")))
	})

	It("keeps its token through a release, marked as Java marks it", func() {
		lock := uniqueLock()
		c := contend(lock, "me")
		token := mustGet(c)
		Expect(c.RemoveLock()).To(Succeed())
		r := item(lock)
		Expect(r["isReleased"].S).To(HaveValue(Equal("1")))
		Expect(r["fencingToken"].N).To(HaveValue(Equal(strconv.FormatInt(token, 10))))
		Expect(mustGet(c)).To(BeNumerically(">", token))
		Expect(item(lock)).NotTo(HaveKey("isReleased"))
	})

	It("keeps what an earlier holder stored unless the next brings data of its own", func() {
		lock := uniqueLock()
		for _, step := range []struct {
			own, want string
		}{{"first", "first"}, {"", "first"}, {"second", "second"}} {
			c := contend(lock, "me")
			if step.own != "" {
				c = contend(lock, "me", data(step.own))
			}
			mustGet(c)
			Expect(c.RemoveLock()).To(Succeed())
			Expect(item(lock)["data"].B).To(BeEquivalentTo(step.want))
		}
	})

	It("carries a ttl only while its holder asks for one, and heartbeats move it on", func() {
		lock := uniqueLock()
		c := contend(lock, "me", lease(300*time.Millisecond), func(c *lockclient.DynamoDBLockClient) { c.TTL = 2 * time.Hour })
		mustGet(c)
		ttl := func() int64 {
			seconds, err := strconv.ParseInt(aws.StringValue(item(lock)["ttl"].N), 10, 64)
			Expect(err).NotTo(HaveOccurred())
			return seconds
		}
		first := ttl()
		Expect(time.Unix(first, 0)).To(BeTemporally("~", time.Now().Add(2*time.Hour), time.Minute))
		Eventually(ttl).WithTimeout(5 * time.Second).Should(BeNumerically(">", first))
		Expect(c.RemoveLock()).To(Succeed())
		mustGet(contend(lock, "another"))
		Expect(item(lock)).NotTo(HaveKey("ttl"), "it would delete a held item")
	})

	It("keeps locks with one name and different sort keys apart", func(ctx SpecContext) {
		name := makeTable(ctx, lockclient.WithPartitionKeyName("pk"), lockclient.WithSortKeyName("sk"))
		at := func(sort string) *contender {
			return contend("lock", "holder of "+sort, func(c *lockclient.DynamoDBLockClient) {
				c.TableName, c.PartitionKeyName, c.SortKeyName, c.SortKeyValue = name, "pk", "sk", sort
			})
		}
		one, two := at("1"), at("2")
		mustGet(one)
		mustGet(two)
		mustBeRefused(at("1"))
		Expect(one.RemoveLock()).To(Succeed())
		mustBeRefused(at("2"))
		mustGet(at("1"))
		peeked, err := two.Peek(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(peeked).To(HaveField("SortKeyValue", "2"))
	})
})

var _ = Describe("Items that others wrote", func() {
	java := func(lease string, more attributes) attributes {
		a := attributes{"ownerName": s("java"), "leaseDuration": s(lease), "recordVersionNumber": s("5f4f24f7-0f34-44a0-a2ec-0f1bd4f4a4d4"), "data": {B: []byte("java's")}}
		for name, value := range more {
			a[name] = value
		}
		return a
	}

	DescribeTable("are watched for the lease that they record, and then taken over with what they store",
		func(ctx SpecContext, lease string, want time.Duration) {
			lock := uniqueLock()
			put(lock, java(lease, nil))
			c := contend(lock, "go", func(c *lockclient.DynamoDBLockClient) { c.LeaseDuration = time.Minute })
			refused := mustBeRefused(c)
			Expect(refused.Owner).To(Equal("java"))
			Expect(refused.FencingToken).To(BeZero())
			Expect(refused.LeaseDuration).To(Equal(want))
			if want > time.Second {
				return // watching it for that long is the business of the virtual tests
			}
			start := time.Now()
			Expect(c.WaitForLock(ctx)).To(Succeed())
			Expect(time.Since(start)).To(BeNumerically(">", want/2))
			token, _ := c.FencingToken()
			Expect(token).To(BeNumerically("~", time.Now().UnixMilli(), 60_000), "started from the clock")
			Expect(item(lock)["data"].B).To(BeEquivalentTo("java's"))
		},
		Entry("milliseconds, as Java writes them", "700", 700*time.Millisecond, SpecTimeout(time.Minute)),
		Entry("Go's notation, as dynamolock writes it", "600ms", 600*time.Millisecond, SpecTimeout(time.Minute)),
		Entry("seconds in Go's notation", "5s", 5*time.Second, SpecTimeout(time.Minute)),
		Entry("unreadable: our own lease, or a minute", "a while", time.Minute, SpecTimeout(time.Minute)),
		Entry("zero is unreadable", "0", time.Minute, SpecTimeout(time.Minute)),
		Entry("negative is unreadable", "-5000", time.Minute, SpecTimeout(time.Minute)),
		Entry("a number out of range is unreadable", "99999999999999999999", time.Minute, SpecTimeout(time.Minute)),
	)

	It("are acquired at once when released", func() {
		lock := uniqueLock()
		put(lock, java("20000", attributes{"isReleased": s("1")}))
		mustGet(contend(lock, "go"))
		Expect(item(lock)).NotTo(HaveKey("isReleased"))
	})

	It("are watched for a minute or our own lease, and replaced, when they are of v0.1.0", func(ctx SpecContext) {
		lock := uniqueLock()
		put(lock, attributes{"identifier": s("seed"), "expiry": n("1700000000000000000")})
		c := contend(lock, "go")
		refused := mustBeRefused(c)
		Expect(refused.Owner).To(Equal("seed"))
		Expect(refused.LeaseDuration).To(Equal(time.Minute))
		Expect(contend(lock, "peek").Peek(ctx)).To(HaveField("Owner", "seed"))
	})

	DescribeTable("are reported and left alone when they are no locks",
		func(ctx SpecContext, what attributes) {
			lock := uniqueLock()
			put(lock, what)
			before := item(lock)
			c := contend(lock, "go")
			held, err := c.GetLock()
			Expect(held).To(BeFalse())
			Expect(err).To(MatchError(lockclient.ErrNotALock))
			Expect(err).To(MatchError(ContainSubstring(lock)))
			Expect(c.WaitForLock(ctx)).To(MatchError(lockclient.ErrNotALock))
			_, err = c.Peek(ctx)
			Expect(err).To(MatchError(lockclient.ErrNotALock))
			Expect(c.RemoveLock()).To(Succeed())
			Expect(item(lock)).To(Equal(before))
		},
		Entry("an item of another program", attributes{"order": n("1")}, SpecTimeout(time.Minute)),
		Entry("marked released, but without a version", attributes{"isReleased": s("1")}, SpecTimeout(time.Minute)),
		Entry("half of an item of v0.1.0", attributes{"identifier": s("x")}, SpecTimeout(time.Minute)),
		Entry("a version that is not a string", attributes{"recordVersionNumber": n("1"), "isReleased": s("1")}, SpecTimeout(time.Minute)),
	)

	It("with a fencing token that is no number are reported and left alone", func() {
		lock := uniqueLock()
		put(lock, java("20000", attributes{"isReleased": s("1"), "fencingToken": s("seven")}))
		before := item(lock)
		held, err := contend(lock, "go").GetLock()
		Expect(held).To(BeFalse())
		Expect(err).To(MatchError(lockclient.ErrNotALock))
		Expect(item(lock)).To(Equal(before))
	})

	It("whose token has run out of numbers do not make a holder with a low one", func() {
		lock := uniqueLock()
		put(lock, java("20000", attributes{"isReleased": s("1"), "fencingToken": n("9223372036854775807")}))
		held, err := contend(lock, "go").GetLock()
		Expect(held).To(BeFalse())
		Expect(err).To(MatchError(lockclient.ErrNotALock))
	})
})

var _ = Describe("Peek and Locks", func() {
	It("show who holds a lock and change nothing", func(ctx SpecContext) {
		lock := uniqueLock()
		onlooker := contend(lock, "onlooker")
		Expect(onlooker.Peek(ctx)).To(HaveValue(Equal(lockclient.LockItem{Name: lock, Released: true})))
		holder := contend(lock, "holder", data("hello"))
		token := mustGet(holder)
		before := item(lock)
		seen, err := onlooker.Peek(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(seen).To(HaveValue(And(HaveField("Owner", "holder"), HaveField("FencingToken", token), HaveField("Released", false),
			HaveField("LeaseDuration", time.Minute), HaveField("HeartbeatPeriod", 20*time.Second), HaveField("Data", []byte("hello")))))
		Expect(item(lock)).To(Equal(before))
		Expect(holder.RemoveLock()).To(Succeed())
		Expect(onlooker.Peek(ctx)).To(HaveField("Released", true))
	})

	It("list every lock of 3,000 and more, page by page, and nothing else", func(ctx SpecContext) {
		const count = 3000
		name := makeTable(ctx, lockclient.WithPartitionKeyName("id"))
		padding := make([]byte, 1000) // three pages of a megabyte
		for from := 0; from < count; from += 100 {
			in := &dynamodb.TransactWriteItemsInput{}
			for i := from; i < from+100; i++ {
				in.TransactItems = append(in.TransactItems, &dynamodb.TransactWriteItem{Put: &dynamodb.Put{TableName: &name, Item: attributes{
					"id": s(fmt.Sprintf("lock-%04d", i)), "ownerName": s("o"), "leaseDuration": s("1000"), "recordVersionNumber": s(strconv.Itoa(i)), "data": {B: padding},
				}}})
			}
			_, err := admin.TransactWriteItemsWithContext(ctx, in)
			Expect(err).NotTo(HaveOccurred())
		}
		_, err := admin.PutItem(&dynamodb.PutItemInput{TableName: &name, Item: attributes{"id": s("an order")}})
		Expect(err).NotTo(HaveOccurred())
		names := map[string]bool{}
		for lock, err := range lockclient.Locks(ctx, admin, name) {
			Expect(err).NotTo(HaveOccurred())
			names[lock.Name] = true
		}
		Expect(names).To(HaveLen(count))
		Expect(names).NotTo(HaveKey("an order"))
		for range lockclient.Locks(ctx, admin, name) {
			break // stops reading
		}
	}, SpecTimeout(2*time.Minute))

	It("report a missing table, once", func(ctx SpecContext) {
		var errs []error
		for _, err := range lockclient.Locks(ctx, admin, "no-such-table") {
			errs = append(errs, err)
		}
		Expect(errs).To(ConsistOf(MatchError(lockclient.ErrTableNotFound)))
	})
})

var _ = Describe("EnsureTable", func() {
	It("makes a table that locks work on, and finds it there the next time", func(ctx SpecContext) {
		name := makeTable(ctx)
		Expect(lockclient.EnsureTable(ctx, admin, name)).To(Succeed())
		mustGet(contend("a", "me", func(c *lockclient.DynamoDBLockClient) { c.TableName = name }))
	})

	It("may be called by many at once", func(ctx SpecContext) {
		name := uniqueTable()
		DeferCleanup(func() { _, _ = admin.DeleteTable(&dynamodb.DeleteTableInput{TableName: &name}) })
		results := make(chan error, 8)
		for range cap(results) {
			go func() { results <- lockclient.EnsureTable(ctx, admin, name) }()
		}
		for range cap(results) {
			Eventually(results).WithTimeout(30 * time.Second).Should(Receive(BeNil()))
		}
	}, SpecTimeout(time.Minute))

	It("refuses a table with another key, and says which it has", func(ctx SpecContext) {
		name := makeTable(ctx, lockclient.WithPartitionKeyName("id"), lockclient.WithSortKeyName("range"))
		err := lockclient.EnsureTable(ctx, admin, name)
		Expect(err).To(MatchError(lockclient.ErrTableMismatch))
		Expect(err).To(MatchError(And(ContainSubstring(`"id"`), ContainSubstring(`"range"`), ContainSubstring(`"key"`))))
	})

	It("reports a table that expires items by another attribute, and does not change that", func(ctx SpecContext) {
		name := makeTable(ctx, lockclient.WithoutTTL())
		_, err := admin.UpdateTimeToLive(&dynamodb.UpdateTimeToLiveInput{TableName: &name,
			TimeToLiveSpecification: &dynamodb.TimeToLiveSpecification{AttributeName: aws.String("expires"), Enabled: aws.Bool(true)}})
		Expect(err).NotTo(HaveOccurred())
		Expect(lockclient.EnsureTable(ctx, admin, name)).To(MatchError(And(ContainSubstring(`"ttl"`), ContainSubstring("WithoutTTL"))))
		Expect(lockclient.EnsureTable(ctx, admin, name, lockclient.WithoutTTL())).To(Succeed())
	})

	It("refuses what can't be a table before any request", func(ctx SpecContext) {
		Expect(lockclient.EnsureTable(ctx, nil, "t")).To(MatchError(lockclient.ErrInvalidConfig))
		Expect(lockclient.EnsureTable(ctx, (*dynamodb.DynamoDB)(nil), "t")).To(MatchError(lockclient.ErrInvalidConfig))
		Expect(lockclient.EnsureTable(ctx, admin, "")).To(MatchError(lockclient.ErrInvalidConfig))
		Expect(lockclient.EnsureTable(ctx, admin, "t", lockclient.WithSortKeyName("key"))).To(MatchError(lockclient.ErrInvalidConfig))
	})
})

var _ = Describe("A permanent error", func() {
	change := func(f func(*lockclient.DynamoDBLockClient)) *contender { return contend(uniqueLock(), "me", f) }

	It("is reported at once: a missing table", func(ctx SpecContext) {
		c := change(func(c *lockclient.DynamoDBLockClient) { c.TableName = "no-such-table" })
		_, err := c.GetLock()
		Expect(err).To(And(MatchError(lockclient.ErrTableNotFound), MatchError(ContainSubstring("EnsureTable")), MatchError(ContainSubstring("no-such-table"))))
		Expect(c.WaitForLock(ctx)).To(MatchError(lockclient.ErrTableNotFound))
		Expect(c.wire.Count("")).To(Equal(2))
	}, SpecTimeout(20*time.Second))

	It("is reported at once: a key of another name", func(ctx SpecContext) {
		c := change(func(c *lockclient.DynamoDBLockClient) { c.PartitionKeyName = "LockID" })
		_, err := c.GetLock()
		Expect(err).To(And(MatchError(lockclient.ErrTableMismatch), MatchError(ContainSubstring(`"LockID"`))))
		Expect(c.WaitForLock(ctx)).To(MatchError(lockclient.ErrTableMismatch))
	}, SpecTimeout(20*time.Second))

	It("is reported all in one, before any request: fields that don't fit", func(ctx SpecContext) {
		c := &lockclient.DynamoDBLockClient{
			LeaseDuration: 1500 * time.Microsecond, HeartbeatPeriod: time.Second, PartitionKeyName: "data", SortKeyName: "s",
			TTL: time.Second, PollPeriod: -1, MaxClockSkew: -1, ReclaimOnRestart: true,
		}
		_, err := c.GetLock()
		Expect(err).To(MatchError(lockclient.ErrInvalidConfig))
		for _, field := range []string{"LockName", "LeaseDuration", "HeartbeatPeriod", "TableName", "Client", "PartitionKeyName", "SortKeyName", "TTL",
			"PollPeriod", "MaxClockSkew", "ReclaimOnRestart"} {
			Expect(err).To(MatchError(ContainSubstring(field)))
		}
		for _, other := range []error{c.WaitForLock(ctx), c.RemoveLock(), c.AnnounceRelease(ctx)} {
			Expect(other).To(MatchError(lockclient.ErrInvalidConfig))
		}
		Expect(c.HasLock()).To(BeFalse())

		c.LockName, c.LeaseDuration, c.HeartbeatPeriod, c.TableName, c.Client = uniqueLock(), time.Minute, 0, table, admin
		c.PartitionKeyName, c.SortKeyName, c.TTL, c.PollPeriod, c.MaxClockSkew, c.ReclaimOnRestart = "", "", 0, 0, 0, false
		Expect(c.GetLock()).To(BeTrue(), "it works after the correction")
		Expect(c.RemoveLock()).To(Succeed())
	})

	It("is reported without a request if the context has already ended", func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c := change(func(*lockclient.DynamoDBLockClient) {})
		_, err := c.GetLockWithContext(ctx)
		Expect(err).To(MatchError(context.Canceled))
		Expect(c.WaitForLock(ctx)).To(MatchError(context.Canceled))
		Expect(c.wire.Count("")).To(BeZero())
	})
})
