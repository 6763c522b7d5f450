package lockclient_test

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// A renewal is confirmed however slow its answer is, as long as that comes within the lease.
func TestALeaseLastsWhereEveryAnswerTakesTwoFifthsOfIt(t *testing.T) {
	for _, latency := range []time.Duration{time.Second, 3 * time.Second, 5 * time.Second, 6 * time.Second} {
		virtually(t, func(w *world) {
			holder := w.node("holder", func(c *lockclient.DynamoDBLockClient) {
				c.LeaseDuration, c.HeartbeatPeriod = 15*time.Second, 5*time.Second
			})
			holder.get()
			lost := holder.Lost()
			holder.wire.SetHook(wire.Every(wire.Heartbeat, wire.DelayReply(latency)))
			w.pass(10 * time.Minute)
			w.Expect(lost).NotTo(BeClosed(), "at %v: %v", latency, holder.LockError())
		})
	}
}

// Callers of v0.1.0 look for the SDK's error of a refused write.
func TestAGetLockThatIsRefusedHasTheSDKsErrorInItsChain(t *testing.T) {
	for name, fault := range map[string]wire.Fault{"no fault": nil, "the reply lost": wire.DropReply(), "unavailable": wire.Unavailable()} {
		virtually(t, func(w *world) {
			holder, other := w.node("holder"), w.node("other")
			holder.get()
			if fault != nil {
				other.wire.SetHook(wire.Nth(wire.Acquire, 1, fault))
			}
			_, err := other.GetLock()
			var typed *dynamodb.ConditionalCheckFailedException
			w.Expect(errors.As(err, &typed)).To(BeTrue(), "%s: %v", name, err)
			w.Expect(typed.Error()).To(ContainSubstring("ConditionalCheckFailedException"))
			var coded awserr.Error
			w.Expect(errors.As(err, &coded)).To(BeTrue())
			w.Expect(coded.Code()).To(Equal(dynamodb.ErrCodeConditionalCheckFailedException))
		})
	}
}

// A token that a refusal has shown counts for the item that takes the place of a deleted one.
func TestARefusalThatEndsATenureShowsAToken(t *testing.T) {
	const high = "9000000000000000"
	for name, refused := range map[string]func(w *world, n *node){
		"heartbeat": func(w *world, n *node) { w.ends(n.Lost()) },
		"transaction": func(w *world, n *node) {
			_, err := n.TransactWrite(w.ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{{Put: &dynamodb.Put{
				TableName: aws.String(theTable), Item: key("some other item"),
			}}}})
			w.Expect(err).To(MatchError(lockclient.ErrLockLost))
		},
	} {
		virtually(t, func(w *world) {
			holder := w.node("holder")
			holder.get()
			item := w.record()
			item["ownerName"], item["fencingToken"] = s("usurper"), n(high)
			_, err := w.admin.PutItem(&dynamodb.PutItemInput{TableName: aws.String(theTable), Item: item})
			w.Expect(err).NotTo(HaveOccurred())
			refused(w, holder)
			_, err = w.admin.DeleteItem(&dynamodb.DeleteItemInput{TableName: aws.String(theTable), Key: key(theLock)})
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(holder.get()).To(BeNumerically(">", int64(9000000000000000)), name)
		})
	}
}
