package lockclient_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// sweep is SweepSessions, which must not fail.
func (w *world) sweep() (removed int) {
	w.Helper()
	removed, err := lockclient.SweepSessions(w.ctx, w.admin, theTable)
	w.Expect(err).NotTo(HaveOccurred())
	return removed
}

// opened opens a session without locks.
func (w *world) opened(identifier string) (n *node, name string) {
	w.Helper()
	n = w.member(identifier)
	name, err := n.Session.Open(w.ctx)
	w.Expect(err).NotTo(HaveOccurred())
	return n, name
}

// backdate has the ttl of a session's item be over, as it is where a clock is wrong.
func (w *world) backdate(name string) {
	w.Helper()
	_, err := w.admin.UpdateItem(&dynamodb.UpdateItemInput{
		TableName: aws.String(theTable), Key: key(name), UpdateExpression: aws.String("SET #t = :past"), ConditionExpression: aws.String("attribute_exists(changes)"),
		ExpressionAttributeNames: map[string]*string{"#t": aws.String("ttl")}, ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":past": n("1")},
	})
	w.Expect(err).NotTo(HaveOccurred())
}

func TestASweepDeletesTheItemsOfSessionsThatEndedADayAgo(t *testing.T) {
	virtually(t, func(w *world) {
		closing, closed := w.opened("closing")
		w.Expect(closing.Session.Close(w.ctx)).To(Succeed())
		dying, dead := w.opened("dying")
		dying.crash()
		w.pass(23 * time.Hour)
		w.Expect(w.sweep()).To(BeZero(), "it is not a day ago")
		w.pass(2 * time.Hour)
		young, recent := w.opened("young")
		w.Expect(young.Session.Close(w.ctx)).To(Succeed())
		_, alive := w.opened("living")
		began := time.Now()
		w.Expect(w.sweep()).To(Equal(2))
		w.Expect(time.Since(began)).To(And(BeNumerically(">=", theLease), BeNumerically("<", theLease+time.Second)), "one that was not marked is watched for a lease")
		w.Expect(w.itemOf(closed)).To(BeEmpty())
		w.Expect(w.itemOf(dead)).To(BeEmpty())
		w.Expect(w.itemOf(recent)).NotTo(BeEmpty())
		w.Expect(w.itemOf(alive)).NotTo(BeEmpty())
		w.Expect(w.sweep()).To(BeZero())
	})
}

func TestASweepKeepsASessionThatIsRenewed(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		w.Expect(holder.RemoveLock()).To(Succeed())
		kept := holder.another("kept")
		w.Expect(kept.GetLock()).To(BeTrue())
		w.Expect(kept.RemoveLock()).To(Succeed()) // no lock names the session, and it lives
		waiter.waits()
		for range 5 {
			w.backdate(holder.Session.Name())
			w.Expect(w.sweep()).To(BeZero())
			w.Expect(holder.Session.Name()).NotTo(BeEmpty(), "the session was lost: %v", holder.Session.Err())
		}
	})
}

func TestASweepKeepsWhatALockNamesSoThatItIsTakenAtOnce(t *testing.T) {
	virtually(t, func(w *world) {
		holder, watcher := w.member("holder"), w.member("watcher")
		holder.get()
		name := holder.Session.Name()
		ended := make(chan error, 1)
		go func() { ended <- watcher.Session.WaitForEnd(w.ctx, name) }()
		w.pass(theLease)
		holder.crash()
		w.Expect(<-ended).To(Succeed())
		w.pass(25 * time.Hour)
		w.Expect(w.sweep()).To(BeZero(), "the-lock names it")
		late := w.node("late")
		late.get()
		w.Expect(w.sweep()).To(Equal(1))
		w.Expect(w.itemOf(name)).To(BeEmpty())
		w.Expect(late.believes()).To(BeTrue())
	})
}

// Its process was paused when it was marked and swept away, and wakes up later.
func TestASessionThatWasSweptAwayIsNotRevived(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.member("waiter")
		holder.get()
		name := holder.Session.Name()
		waiter.waits()
		w.passWatching(2 * theLease)
		holder.crash()
		w.Expect(w.until(3*theLease, waiter.believes)).To(BeTrue())
		w.Expect(w.itemOf(name)).To(HaveKeyWithValue("isReleased", s("1")))
		w.backdate(name)
		w.Expect(w.sweep()).To(Equal(1))
		holder.dead = false
		holder.clock.Continue()
		holder.wire.SetHook(nil)
		w.passWatching(2 * theLease)
		w.Expect(holder.believes()).To(BeFalse())
		w.Expect(waiter.believes()).To(BeTrue())
		w.Expect(holder.Session.Close(w.ctx)).To(Succeed())
		w.Expect(w.itemOf(name)).To(BeEmpty(), "its process has written it again")
	})
}

// A session that ends while a sweep watches it goes with the next sweep.
func TestASweepLeavesAMarkThatIsNew(t *testing.T) {
	virtually(t, func(w *world) {
		closing, name := w.opened("closing")
		closing.wire.SetHook(wire.Every(wire.Heartbeat, wire.Refuse())) // nothing of it arrives
		w.backdate(name)
		swept := make(chan int)
		go func() {
			removed, _ := lockclient.SweepSessions(w.ctx, w.admin, theTable)
			swept <- removed
		}()
		w.pass(theLease / 2)
		w.Expect(closing.Session.Close(w.ctx)).To(Succeed())
		w.Expect(<-swept).To(BeZero())
		w.Expect(w.itemOf(name)).To(HaveKeyWithValue("isReleased", s("1")))
		w.Expect(w.sweep()).To(Equal(1))
	})
}

func TestASweepLeavesEverythingElseAlone(t *testing.T) {
	virtually(t, func(w *world) {
		put := func(name string, attributes map[string]*dynamodb.AttributeValue) {
			attributes["key"] = s(name)
			_, err := w.admin.PutItem(&dynamodb.PutItemInput{TableName: aws.String(theTable), Item: attributes})
			w.Expect(err).NotTo(HaveOccurred())
		}
		v := func(more map[string]*dynamodb.AttributeValue) map[string]*dynamodb.AttributeValue {
			for name, value := range map[string]*dynamodb.AttributeValue{
				"recordVersionNumber": s("v"), "ourVersion": s("v"), "isReleased": s("1"), "ttl": n("1"), "leaseDuration": s("1000")} {
				if _, given := more[name]; !given {
					more[name] = value
				}
			}
			return more
		}
		put("a-lock", v(map[string]*dynamodb.AttributeValue{}))
		put("leaderkit/session/of-java", v(map[string]*dynamodb.AttributeValue{"ourVersion": s("an older one")}))
		put("leaderkit/session/no-ttl", v(map[string]*dynamodb.AttributeValue{"ttl": s("text")}))
		put("leaderkit/session/no-lock", map[string]*dynamodb.AttributeValue{"ttl": n("1")})
		put("leaderkit/session/for-years", v(map[string]*dynamodb.AttributeValue{"isReleased": s("0"), "leaseDuration": s("315360000000")}))
		w.Expect(w.sweep()).To(BeZero())
		put("leaderkit/session/over", v(map[string]*dynamodb.AttributeValue{}))
		for i := range 5 { // more than a page
			put(fmt.Sprint("big-", i), map[string]*dynamodb.AttributeValue{"data": {B: make([]byte, 390<<10)}})
		}
		w.Expect(w.sweep()).To(Equal(1))
	})
}

func TestASweepSaysWhatIsWrong(t *testing.T) {
	virtually(t, func(w *world) {
		_, err := lockclient.SweepSessions(w.ctx, nil, theTable)
		w.Expect(err).To(MatchError(lockclient.ErrInvalidConfig))
		_, err = lockclient.SweepSessions(w.ctx, w.admin, "no-such-table")
		w.Expect(err).To(MatchError(lockclient.ErrTableNotFound))
		dying, _ := w.opened("dying")
		dying.crash()
		w.pass(25 * time.Hour)
		ctx, cancel := context.WithTimeout(w.ctx, theLease/2)
		defer cancel()
		removed, err := lockclient.SweepSessions(ctx, w.admin, theTable)
		w.Expect(err).To(MatchError(context.DeadlineExceeded))
		w.Expect(removed).To(BeZero())
	})
}
