package regions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

func TestALockTakenInOneRegionIsRefusedInTheOthers(t *testing.T) {
	strongly(t, func(w *world) {
		a, b, c := w.three()
		token := a.takes()
		b.isRefused(a)
		c.isRefused(a)
		item, err := c.Peek(w.ctx)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(item.FencingToken).To(Equal(token))
		w.Expect(a.RemoveLock()).To(Succeed())
		w.Expect(b.takes()).To(BeNumerically(">", token), "tokens rise across Regions")
		a.isRefused(b)
	})
}

func TestAHeartbeatInOneRegionIsSeenInTheOthers(t *testing.T) {
	for _, lag := range []time.Duration{0, time.Second, heartbeat, 2 * theLease} {
		t.Run("cheap reads lag by "+lag.String(), func(t *testing.T) {
			strongly(t, func(w *world) {
				w.table.SetLag(lag)
				a, b, c := w.three()
				a.takes()
				b.waits()
				c.waits()
				version := func() string {
					item, err := b.Peek(w.ctx)
					w.Expect(err).NotTo(HaveOccurred())
					return item.RecordVersionNumber
				}
				before := version()
				a.renewed()
				w.Expect(version()).NotTo(Equal(before), "a consistent read sees a renewal at once, wherever it is sent")
				w.pass(10 * theLease)
				w.Expect(w.believers()).To(Equal([]string{"a"}), "nobody takes a lock that is renewed")
			})
		})
	}
}

func TestALockReleasedInOneRegionIsHadInAnother(t *testing.T) {
	strongly(t, func(w *world) {
		a, b, _ := w.three()
		a.takes()
		b.waits()
		w.pass(2 * theLease)
		w.Expect(a.RemoveLock()).To(Succeed())
		took := w.mustCome(theLease, "b holds the lock", b.believes)
		w.Expect(took).To(BeNumerically("<", 2*heartbeat), "one poll, and the second by which cheap reads lag")
	})
}

func TestFailoverAcrossRegions(t *testing.T) {
	strongly(t, func(w *world) {
		a, b, _ := w.three()
		a.takes()
		b.waits()
		w.pass(3 * theLease)
		last := a.renewed()
		a.crash()
		w.mustCome(2*theLease, "b holds the lock", b.believes)
		// b saw the last renewal by a cheap read, which lags by a second here.
		w.Expect(time.Since(last)).To(BeNumerically("<", takeover+time.Second))
		w.Expect(time.Since(last)).To(BeNumerically(">", theLease*99/100))
	})
}

func TestTheHoldersRegionIsCutOff(t *testing.T) {
	strongly(t, func(w *world) {
		a, b, c := w.three()
		token := a.takes()
		b.waits()
		c.waits()
		w.pass(2 * theLease)
		last := a.renewed()
		w.table.Region(0).Isolate()
		ended := w.mustCome(theLease, "a has stopped to believe", func() bool { return !a.believes() })
		w.Expect(ended).To(BeNumerically("<=", theLease*99/100+glance))
		w.Expect(a.LockError()).To(MatchError(lockclient.ErrLeaseExpired))
		w.mustCome(2*theLease, "b or c holds the lock", func() bool { return b.believes() || c.believes() })
		w.Expect(time.Since(last)).To(BeNumerically("<", takeover+time.Second))

		_, err := a.GetLock()
		var failed awserr.RequestFailure
		w.Expect(errors.As(err, &failed)).To(BeTrue(), "%v", err)
		w.Expect(failed.StatusCode()).To(Equal(http.StatusInternalServerError), "the Region says that it can't")

		a.waits()
		w.pass(3 * theLease)
		w.table.Region(0).Rejoin()
		w.pass(3 * theLease)
		w.Expect(w.believers()).To(HaveLen(1))
		w.Expect(w.believers()).NotTo(ContainElement("a"), "the one who was away does not get it back")
		item, err := a.Peek(w.ctx)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(item.FencingToken).To(BeNumerically(">", token))
	})
}

func TestAWaitersRegionIsCutOff(t *testing.T) {
	strongly(t, func(w *world) {
		a, _, c := w.three()
		a.takes()
		c.waits()
		w.pass(2 * theLease)
		w.table.Region(2).Isolate()
		// c sees the same old record for many leases. It believes that the holder is dead, and
		// can't do anything about it.
		w.pass(5 * theLease)
		w.Expect(w.believers()).To(Equal([]string{"a"}))
		w.table.Region(2).Rejoin()
		w.pass(5 * theLease)
		w.Expect(w.believers()).To(Equal([]string{"a"}), "its takeover names a version that has passed")
		w.Expect(a.RemoveLock()).To(Succeed())
		w.mustCome(theLease, "c holds the lock", c.believes)
	})
}

func TestAShortCutCostsNoLock(t *testing.T) {
	strongly(t, func(w *world) {
		a, b, _ := w.three()
		token := a.takes()
		b.waits()
		for range 5 {
			w.table.Region(0).Isolate()
			w.pass(theLease / 2)
			w.table.Region(0).Rejoin()
			w.pass(theLease)
		}
		w.Expect(w.believers()).To(Equal([]string{"a"}))
		w.Expect(a.takes()).To(Equal(token), "one tenure all the time")
	})
}

// cutDuring cuts a Region off while a write of do is under way there.
func (w *world) cutDuring(region int, do func()) {
	w.Helper()
	finished := make(chan struct{})
	w.waiting.Go(func() {
		defer close(finished)
		do()
	})
	time.Sleep(roundTrip/2 + writeTime/2)
	w.table.Region(region).Isolate()
	<-finished
}

func TestARegionIsCutOffDuringAnAcquire(t *testing.T) {
	strongly(t, func(w *world) {
		a, b, _ := w.three()
		ctx, cancel := context.WithTimeout(w.ctx, theLease)
		defer cancel()
		var held bool
		var err error
		w.cutDuring(0, func() { held, err = a.GetLockWithContext(ctx) })
		w.Expect(held).To(BeFalse())
		w.Expect(err).To(HaveOccurred())
		w.Expect(err).NotTo(MatchError(lockclient.ErrLockHeld), "it does not know")
		b.takes()
		w.table.Region(0).Rejoin()
		w.pass(3 * theLease)
		w.Expect(w.believers()).To(Equal([]string{"b"}))
		a.isRefused(b)
	})
}

func TestARegionIsCutOffDuringARelease(t *testing.T) {
	strongly(t, func(w *world) {
		a, b, _ := w.three()
		a.takes()
		last := time.Now()
		b.waits()
		ctx, cancel := context.WithTimeout(w.ctx, theLease/2)
		defer cancel()
		var err error
		w.cutDuring(0, func() { err = a.RemoveLockWithContext(ctx) })
		w.Expect(err).To(HaveOccurred(), "the lock may still be in our name")
		w.Expect(a.believes()).To(BeFalse())
		w.mustCome(2*theLease, "b holds the lock", b.believes)
		w.Expect(time.Since(last)).To(BeNumerically("<", takeover+2*time.Second), "as if a had crashed")
		w.table.Region(0).Rejoin()
		w.pass(theLease)
		w.Expect(a.RemoveLock()).To(Succeed(), "there is nothing of a's to free any more")
		w.pass(theLease)
		w.Expect(w.believers()).To(Equal([]string{"b"}), "and it did not free b's")
	})
}

// refusals are how many writes of each Region are still to meet another Region's.
type refusals struct {
	mu   sync.Mutex
	left map[string]int
}

func (r *refusals) set(region string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left[region] = n
}

func (r *refusals) none(region string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left[region] == 0
}

func (r *refusals) decide(write dynamotest.Write) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	refused := r.left[write.Region] > 0
	if refused {
		r.left[write.Region]--
	}
	return refused
}

func TestConflictsBetweenRegionsAreRetried(t *testing.T) {
	const regionOfA, regionOfB = "us-east-1", "us-east-2"
	meet := &refusals{left: map[string]int{}}
	strongly(t, func(w *world) {
		a, b, _ := w.three()
		meet.set(regionOfA, 3)
		a.waits()
		w.mustCome(theLease, "a holds the lock", a.believes)
		w.Expect(meet.none(regionOfA)).To(BeTrue(), "the acquire was refused, and sent again")
		token, _ := a.FencingToken()
		b.waits()
		for range 4 {
			meet.set(regionOfA, 2)
			w.pass(2 * heartbeat)
			w.Expect(meet.none(regionOfA)).To(BeTrue(), "heartbeats met another Region's writes")
		}
		w.Expect(a.takes()).To(Equal(token), "none that was refused cost the lock")

		meet.set(regionOfA, 2)
		meet.set(regionOfB, 2)
		w.Expect(a.RemoveLock()).To(Succeed())
		w.Expect(meet.none(regionOfA)).To(BeTrue(), "the release was refused, and sent again")
		w.mustCome(2*heartbeat, "b holds the lock", b.believes)
		w.Expect(meet.none(regionOfB)).To(BeTrue())
	}, dynamotest.WithConflicts(meet.decide))
}

func TestManyInAllRegionsWantItAtOnce(t *testing.T) {
	strongly(t, func(w *world) {
		for i := range 30 {
			w.node(i%3, fmt.Sprint("client-", i)).waits()
		}
		seen := map[string]bool{}
		for range 20 {
			w.mustCome(3*theLease, "somebody holds the lock", func() bool { return len(w.believers()) > 0 })
			for _, n := range w.nodes {
				if n.believes() {
					seen[n.Identifier] = true
					w.Expect(n.RemoveLock()).To(Succeed())
					break
				}
			}
		}
		w.Expect(len(seen)).To(BeNumerically(">=", 15), "it goes round: %v", seen)
	})
}

// There are no transactions in a strongly consistent table: what the lock guards compares tokens.
func TestAFencedWriteAcrossRegions(t *testing.T) {
	strongly(t, func(w *world) {
		a, b, _ := w.three()
		write := func(n *node, token int64, value string) error {
			_, err := w.client(n.region).UpdateItemWithContext(w.ctx, &dynamodb.UpdateItemInput{
				TableName: aws.String(theTable), Key: map[string]*dynamodb.AttributeValue{"key": {S: aws.String("account")}},
				ConditionExpression: aws.String("attribute_not_exists(fence) OR fence <= :token"),
				UpdateExpression:    aws.String("SET fence = :token, v = :value"),
				ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
					":token": {N: aws.String(strconv.FormatInt(token, 10))}, ":value": {S: aws.String(value)}},
			})
			return err
		}
		old := a.takes()
		w.Expect(write(a, old, "by a")).To(Succeed())
		b.waits()
		a.crash()
		w.mustCome(2*theLease, "b holds the lock", b.believes)
		token, _ := b.FencingToken()
		w.Expect(write(b, token, "by b")).To(Succeed())
		w.Expect(write(a, old, "too late")).To(MatchError(ContainSubstring(dynamodb.ErrCodeConditionalCheckFailedException)))

		check, err := b.ConditionCheck()
		w.Expect(err).NotTo(HaveOccurred())
		_, err = w.client(1).TransactWriteItems(&dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{{ConditionCheck: check}}})
		w.Expect(err).To(MatchError(ContainSubstring("ValidationException")), "the other way to fence needs a transaction")
	})
}

func TestATableForLocksInSeveralRegions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		table := dynamotest.NewGlobalTable(2)
		g.Expect(lockclient.EnsureTable(t.Context(), table.Region(0).Client(), theTable, lockclient.WithoutTTL())).To(Succeed())
		g.Expect(lockclient.EnsureTable(t.Context(), table.Region(1).Client(), theTable, lockclient.WithoutTTL())).To(Succeed(), "it is there already")
		g.Expect(lockclient.EnsureTable(t.Context(), table.Region(1).Client(), theTable)).To(MatchError(ContainSubstring("Time to Live is not supported")))
	})
}
