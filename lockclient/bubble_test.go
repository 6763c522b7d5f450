package lockclient_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// Users' tests may share one DynamoDB client between bubbles of virtual time, and leave a lock held
// in one. Its timers and channels are of no use in the next.
func TestALockLeftHeldInOneBubbleHarmsNoneOfTheNext(t *testing.T) {
	db := dynamotest.NewClient(dynamotest.New())
	if err := lockclient.EnsureTable(t.Context(), db, theTable, lockclient.WithoutTTL()); err != nil {
		t.Fatal(err)
	}
	var left []*lockclient.DynamoDBLockClient // and so kept by the garbage collector
	for _, name := range []string{"first", "second", "third"} {
		synctest.Test(t, func(t *testing.T) {
			g := NewWithT(t)
			lock := &lockclient.DynamoDBLockClient{LockName: name, TableName: theTable, LeaseDuration: theLease, HeartbeatPeriod: heartbeat, Client: db}
			left = append(left, lock)
			held, err := lock.GetLock()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(held).To(BeTrue())
			lost := lock.Lost()
			if name != "first" { // which is left in the moment in which it was acquired
				time.Sleep(3 * theLease)
				synctest.Wait()
			}
			held, err = lock.HasLock()
			g.Expect(err).NotTo(HaveOccurred(), name)
			g.Expect(held).To(BeTrue(), name)
			g.Expect(lost).NotTo(BeClosed())
			lock.StopHeartbeat() // nothing is under way when the bubble ends
			synctest.Wait()
		})
	}
	runtime.KeepAlive(left)
}
