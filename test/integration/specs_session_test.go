package integration

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// join makes a client whose lock is held under a session of its own, which is closed after the
// spec.
func join(lock, identifier string, change ...func(*lockclient.DynamoDBLockClient)) *contender {
	c := contend(lock, identifier, append(change, func(c *lockclient.DynamoDBLockClient) {
		c.Session = &lockclient.Session{
			TableName: c.TableName, Client: c.Client, LeaseDuration: c.LeaseDuration, HeartbeatPeriod: c.HeartbeatPeriod,
			Identifier: c.Identifier, PartitionKeyName: c.PartitionKeyName, SortKeyName: c.SortKeyName,
		}
		c.Client, c.TableName, c.LeaseDuration, c.Identifier = nil, "", 0, ""
	})...)
	DeferCleanup(func() {
		c.wire.SetHook(nil)
		_ = c.Session.Close(context.Background())
		c.wire.Settle()
	})
	return c
}

// in makes another lock of the same session.
func in(session *lockclient.Session, lock string) *lockclient.DynamoDBLockClient {
	return &lockclient.DynamoDBLockClient{LockName: lock, Session: session}
}

// crash has nothing of the client arrive any more.
func (c *contender) crash() {
	c.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
}

// mustWait waits for a lock in the background.
func mustWait(ctx context.Context, c *lockclient.DynamoDBLockClient) <-chan error {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		done <- c.WaitForLock(ctx)
	}()
	DeferCleanup(func() {
		cancel()
		<-ended
	})
	return done
}

// holds is HasLock without why.
func holds(c interface{ HasLock() (bool, error) }) bool {
	held, _ := c.HasLock()
	return held
}

var _ = Describe("A session", func() {
	const short = 1500 * time.Millisecond

	It("holds a lock without writing it, and frees it like any lock", func() {
		holder := join(uniqueLock(), "holder")
		token := mustGet(holder)
		Expect(holder.wire.Counts()).To(Equal(map[string]int{"UpdateItem": 2}), "the session's item, and the lock's")
		record := item(holder.LockName)
		Expect(record).To(HaveKeyWithValue("sessionName", s(holder.Session.Name())))
		Expect(record).To(HaveKeyWithValue("ownerName", s("holder")))
		Expect(record).To(HaveKeyWithValue("leaseDuration", s("315360000000")))
		for _, attribute := range []string{"expiresAt", "ttl", "heartbeatPeriod"} {
			Expect(record).NotTo(HaveKey(attribute))
		}
		Expect(item(holder.Session.Name())).To(And(HaveKey("ttl"), HaveKeyWithValue("changes", n("0")), HaveKeyWithValue("leaseDuration", s("60000"))))
		mustBeRefused(contend(holder.LockName, "other"))
		Expect(mustBeRefused(join(holder.LockName, "member")).LeaseDuration).To(Equal(time.Minute))

		Expect(holder.RemoveLock()).To(Succeed())
		Expect(holds(holder)).To(BeFalse())
		Expect(mustGet(contend(holder.LockName, "other"))).To(BeNumerically(">", token))
		Expect(item(holder.LockName)).NotTo(HaveKey("sessionName"))
	})

	It("lets a member be taken by a plain client, and a plain lock by a member, when they are free", func() {
		lock := uniqueLock()
		member, plain := join(lock, "member"), contend(lock, "plain")
		last := int64(0)
		for range 3 {
			for _, c := range []*contender{member, plain} {
				token := mustGet(c)
				Expect(token).To(BeNumerically(">", last))
				last = token
				Expect(c.RemoveLock()).To(Succeed())
			}
		}
	})

	for _, byMember := range []bool{true, false} {
		It(fmt.Sprintf("leaves its locks to others when its process dies (waiter with a session: %v)", byMember), func(ctx SpecContext) {
			holder := join(uniqueLock(), "holder", lease(short))
			waiter := contend(holder.LockName, "waiter", lease(short))
			if byMember {
				waiter = join(holder.LockName, "waiter", lease(short))
			}
			token := mustGet(holder)
			name := holder.Session.Name()
			done := mustWait(ctx, waiter.DynamoDBLockClient)
			Consistently(done).WithTimeout(2 * short).ShouldNot(Receive())
			holder.crash()
			Eventually(done).WithTimeout(20 * short).Should(Receive(Succeed()))
			Expect(item(name)).To(HaveKeyWithValue("isReleased", s("1")), "no mark")
			Expect(holds(holder)).To(BeFalse())
			Expect(holder.LockError()).To(MatchError(lockclient.ErrLeaseExpired))
			again, _ := waiter.FencingToken()
			Expect(again).To(BeNumerically(">", token))
		}, SpecTimeout(time.Minute))
	}

	It("frees all its locks with one write when it is closed", func(ctx SpecContext) {
		holder := join(uniqueLock(), "holder", lease(short))
		mustGet(holder)
		locks := []*lockclient.DynamoDBLockClient{holder.DynamoDBLockClient}
		for range 9 {
			lock := in(holder.Session, uniqueLock())
			Expect(lock.GetLock()).To(BeTrue())
			locks = append(locks, lock)
		}
		name := holder.Session.Name()
		Expect(holder.Session.Close(ctx)).To(Succeed())
		Expect(item(name)).To(HaveKeyWithValue("isReleased", s("1")))
		for _, lock := range locks {
			Expect(holds(lock)).To(BeFalse())
			Expect(lock.LockError()).To(MatchError(lockclient.ErrSessionClosed))
			other := contend(lock.LockName, "other")
			mustGet(other)
			_, err := lock.GetLock()
			Expect(err).To(MatchError(lockclient.ErrSessionClosed))
		}
	}, SpecTimeout(time.Minute))

	It("tells whoever waits for its end, and marks a dead one", func(ctx SpecContext) {
		dying, closing, watcher := join(uniqueLock(), "dying", lease(short)), join(uniqueLock(), "closing", lease(short)), join(uniqueLock(), "watcher", lease(short))
		first, err := dying.Session.Open(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(first).To(HavePrefix("leaderkit/session/"))
		second, err := closing.Session.Open(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(dying.Session.Open(ctx)).To(Equal(first))
		wait := func(name string) <-chan error {
			done := make(chan error, 1)
			go func() { done <- watcher.Session.WaitForEnd(ctx, name) }()
			return done
		}
		dead, closed := wait(first), wait(second)
		Consistently(closed).WithTimeout(short).ShouldNot(Receive())
		Expect(closing.Session.Close(ctx)).To(Succeed())
		Eventually(closed).WithTimeout(10 * short).Should(Receive(Succeed()))
		Expect(dead).NotTo(Receive())
		dying.crash()
		Eventually(dead).WithTimeout(10 * short).Should(Receive(Succeed()))
		Expect(item(first)).To(HaveKeyWithValue("isReleased", s("1")))
	}, SpecTimeout(time.Minute))

	It("opens another one under a new name when it was lost", func() {
		holder := join(uniqueLock(), "holder", lease(short))
		token := mustGet(holder)
		name, lost := holder.Session.Name(), holder.Session.Lost()
		_, err := admin.DeleteItem(&dynamodb.DeleteItemInput{TableName: &table, Key: key(name)})
		Expect(err).NotTo(HaveOccurred())
		Eventually(lost).WithTimeout(10 * short).Should(BeClosed())
		Eventually(holder.Lost()).Should(BeClosed())
		Expect(holder.LockError()).To(MatchError(lockclient.ErrLockLost))
		Expect(holder.Session.Name()).To(BeEmpty())
		Expect(mustGet(holder)).To(BeNumerically(">", token))
		Expect(holder.Session.Name()).NotTo(Or(BeEmpty(), Equal(name)))
	})

	It("guards transactions and stamps per lock", func(ctx SpecContext) {
		holder := join(uniqueLock(), "holder")
		token := mustGet(holder)
		write := func() error {
			_, err := holder.TransactWrite(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{{
				Put: &dynamodb.Put{TableName: &table, Item: map[string]*dynamodb.AttributeValue{"key": s("work-" + holder.LockName)}},
			}}})
			return err
		}
		Expect(write()).To(Succeed())
		stamped, err := holder.Stamp(&dynamodb.UpdateItemInput{TableName: &table, Key: key("stamped-" + holder.LockName)})
		Expect(err).NotTo(HaveOccurred())
		_, err = admin.UpdateItem(stamped)
		Expect(err).NotTo(HaveOccurred())
		Expect(item("stamped-" + holder.LockName)).To(HaveKeyWithValue("fence", n(fmt.Sprint(token))))

		put(holder.LockName, map[string]*dynamodb.AttributeValue{ // an operator overwrites the record
			"ownerName": s("intruder"), "leaseDuration": s("60000"), "recordVersionNumber": s("1"),
		})
		Expect(holder.HasLock()).To(BeTrue(), "a member's record is not read between acquire and release")
		Expect(write()).To(MatchError(lockclient.ErrLockLost))
		Expect(holds(holder)).To(BeFalse())
		Expect(holder.RemoveLock()).To(Succeed())
		Expect(item(holder.LockName)).NotTo(HaveKey("isReleased"), "it has freed another's lock")
	})

	It("does not count a pointer that a client of another make left behind", func() {
		holder := join(uniqueLock(), "holder")
		mustGet(holder)
		Expect(holder.Session.Close(context.Background())).To(Succeed())
		// A Java client that updates in place has taken the lock, and renews it.
		_, err := admin.UpdateItem(&dynamodb.UpdateItemInput{TableName: &table, Key: key(holder.LockName),
			UpdateExpression:          aws.String("SET ownerName = :o, leaseDuration = :l, recordVersionNumber = :v REMOVE isReleased"),
			ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":o": s("java"), ":l": s("60000"), ":v": s("java's")}})
		Expect(err).NotTo(HaveOccurred())
		other := contend(holder.LockName, "other")
		Expect(mustBeRefused(other).Owner).To(Equal("java"), "it was taken as the lock of the session that is over")
		mustBeRefused(other)
	})

	It("works with a sort key, data, a TTL, and deleting on release", func(ctx SpecContext) {
		sorted := makeTable(ctx, lockclient.WithSortKeyName("range"))
		change := func(c *lockclient.DynamoDBLockClient) {
			c.TableName, c.SortKeyName, c.SortKeyValue, c.Data, c.TTL = sorted, "range", "r", []byte("hello"), 2*time.Hour
		}
		holder := join("lock", "holder", lease(short), change)
		mustGet(holder)
		waiter := contend("lock", "waiter", lease(short), change)
		Expect(waiter.Peek(ctx)).To(And(HaveField("Owner", "holder"), HaveField("Data", []byte("hello")), HaveField("Session", holder.Session.Name()),
			HaveField("SessionOver", false), HaveField("Released", false), HaveField("LeaseDuration", short)))
		read := func() map[string]*dynamodb.AttributeValue {
			out, err := admin.GetItem(&dynamodb.GetItemInput{TableName: &sorted, Key: map[string]*dynamodb.AttributeValue{"key": s("lock"), "range": s("r")}, ConsistentRead: aws.Bool(true)})
			Expect(err).NotTo(HaveOccurred())
			return out.Item
		}
		Expect(read()).NotTo(HaveKey("ttl"), "DynamoDB would delete what is held")
		done := mustWait(ctx, waiter.DynamoDBLockClient)
		Consistently(done).WithTimeout(2 * short).ShouldNot(Receive())
		Expect(holder.RemoveLock()).To(Succeed())
		Eventually(done).WithTimeout(10 * short).Should(Receive(Succeed()))
		Expect(waiter.RemoveLock()).To(Succeed())

		deleting := join("lock", "deleting", lease(short), change, func(c *lockclient.DynamoDBLockClient) { c.DeleteOnRelease = true })
		mustGet(deleting)
		Expect(deleting.RemoveLock()).To(Succeed())
		Expect(read()).To(BeEmpty())
		again := join("lock", "again", lease(short), change)
		mustGet(again)
		Expect(again.RemoveLock()).To(Succeed())
		Expect(read()).To(HaveKey("ttl"), "a released record is removed some day")
	}, SpecTimeout(time.Minute))

	It("is shown with the locks that it holds, and not as a lock", func(ctx SpecContext) {
		name := makeTable(ctx)
		change := func(c *lockclient.DynamoDBLockClient) { c.TableName = name }
		alive, over := join("of-the-living", "alive", change), join("of-the-closed", "closed", change)
		mustGet(alive)
		mustGet(over)
		mustGet(contend("plain", "plain", change))
		first, second := alive.Session.Name(), over.Session.Name()
		Expect(over.Session.Close(ctx)).To(Succeed())
		found := map[string]*lockclient.LockItem{}
		for lock, err := range lockclient.Locks(ctx, admin, name) {
			Expect(err).NotTo(HaveOccurred())
			found[lock.Name] = lock
		}
		Expect(found).To(HaveLen(3))
		Expect(found["of-the-living"]).To(And(HaveField("Session", first), HaveField("SessionOver", false), HaveField("Released", false), HaveField("LeaseDuration", time.Minute)))
		Expect(found["of-the-closed"]).To(And(HaveField("Session", second), HaveField("SessionOver", true), HaveField("Released", true)))
		Expect(found["plain"]).To(And(HaveField("Session", ""), HaveField("Released", false)))
	})

	It("is swept away a day after its end, and not while it lives or a lock names it", func(ctx SpecContext) {
		name := makeTable(ctx, lockclient.WithoutTTL(), lockclient.WithPartitionKeyName("id"), lockclient.WithSortKeyName("range"))
		change := func(c *lockclient.DynamoDBLockClient) {
			c.TableName, c.PartitionKeyName, c.SortKeyName, c.SortKeyValue, c.LeaseDuration = name, "id", "range", "r", short
		}
		closed, living, dead, named := join("1", "closed", change), join("2", "living", change), join("3", "dead", change), join("4", "named", change)
		sessions := map[*contender]string{}
		for _, c := range []*contender{closed, living, dead, named} {
			mustGet(c)
			sessions[c] = c.Session.Name()
			if c != named {
				Expect(c.RemoveLock()).To(Succeed())
			}
		}
		keyOf := func(c *contender) map[string]*dynamodb.AttributeValue {
			return map[string]*dynamodb.AttributeValue{"id": s(sessions[c]), "range": s(sessions[c])}
		}
		Expect(closed.Session.Close(ctx)).To(Succeed())
		Expect(named.Session.Close(ctx)).To(Succeed())
		dead.crash()
		Expect(lockclient.SweepSessions(ctx, admin, name)).To(BeZero(), "a day has not passed")
		for c := range sessions {
			_, err := admin.UpdateItem(&dynamodb.UpdateItemInput{
				TableName: &name, Key: keyOf(c), UpdateExpression: aws.String("SET #t = :past"), ConditionExpression: aws.String("attribute_exists(changes)"),
				ExpressionAttributeNames: map[string]*string{"#t": aws.String("ttl")}, ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":past": n("1")},
			})
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(lockclient.SweepSessions(ctx, admin, name)).To(Equal(2))
		for c, gone := range map[*contender]bool{closed: true, living: false, dead: true, named: false} {
			out, err := admin.GetItem(&dynamodb.GetItemInput{TableName: &name, Key: keyOf(c), ConsistentRead: aws.Bool(true)})
			Expect(err).NotTo(HaveOccurred())
			Expect(len(out.Item) == 0).To(Equal(gone), c.Session.Identity())
		}
		Expect(living.Session.Name()).To(Equal(sessions[living]))
	}, SpecTimeout(time.Minute))

	It("reclaims at once what an earlier life of the same Identifier held", func() {
		lock := uniqueLock()
		former := join(lock, "stable")
		token := mustGet(former)
		former.crash()
		restarted := join(lock, "stable", func(c *lockclient.DynamoDBLockClient) { c.ReclaimOnRestart = true })
		Expect(mustGet(restarted)).To(BeNumerically(">", token))
		Expect(item(former.Session.Name())).To(HaveKeyWithValue("isReleased", s("1")), "it was not marked first")
	})

	It("has its fields checked, and those of its locks compared", func() {
		locks := []*lockclient.DynamoDBLockClient{}
		session := join(uniqueLock(), "holder").Session
		refusal := func(change func(*lockclient.DynamoDBLockClient)) error {
			c := in(session, uniqueLock())
			change(c)
			locks = append(locks, c)
			_, err := c.GetLock()
			return err
		}
		for field, change := range map[string]func(c *lockclient.DynamoDBLockClient){
			"TableName":        func(c *lockclient.DynamoDBLockClient) { c.TableName = "another" },
			"Client":           func(c *lockclient.DynamoDBLockClient) { c.Client = admin },
			"LeaseDuration":    func(c *lockclient.DynamoDBLockClient) { c.LeaseDuration = 7 * time.Second },
			"HeartbeatPeriod":  func(c *lockclient.DynamoDBLockClient) { c.HeartbeatPeriod = 7 * time.Second },
			"Identifier":       func(c *lockclient.DynamoDBLockClient) { c.Identifier = "another" },
			"PartitionKeyName": func(c *lockclient.DynamoDBLockClient) { c.PartitionKeyName = "another" },
			"SortKeyName":      func(c *lockclient.DynamoDBLockClient) { c.SortKeyName, c.SortKeyValue = "another", "1" },
			"LockName":         func(c *lockclient.DynamoDBLockClient) { c.LockName = "leaderkit/session/x" },
		} {
			err := refusal(change)
			Expect(err).To(MatchError(lockclient.ErrInvalidConfig), field)
			Expect(err).To(MatchError(ContainSubstring(field+" is")), field)
		}
		Expect(refusal(func(c *lockclient.DynamoDBLockClient) {
			c.TableName, c.Client, c.LeaseDuration, c.HeartbeatPeriod, c.Identifier, c.PartitionKeyName = table, session.Client, time.Minute, 20*time.Second, "holder", "key"
		})).To(Succeed(), "equal fields")
		Expect(locks[len(locks)-1].RemoveLock()).To(Succeed())
		_, err := in(&lockclient.Session{TableName: table, Client: admin}, "lock").GetLock()
		Expect(err).To(MatchError(lockclient.ErrInvalidConfig))
		Expect(err).To(MatchError(ContainSubstring("LeaseDuration")))
	})
})
