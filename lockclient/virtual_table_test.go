package lockclient_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// refusedConnection is what a dead endpoint answers.
func refusedConnection(context.Context, *wire.Call) (reply, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.UnknownNetworkError("connection refused")}
}

func TestRequestsAboutATableAreRepeatedForTenSeconds(t *testing.T) {
	for name, do := range map[string]func(w *world, n *node, ctx context.Context) error{
		"EnsureTable": func(_ *world, n *node, ctx context.Context) error {
			return lockclient.EnsureTable(ctx, n.Client, "another-table")
		},
		"SweepSessions": func(_ *world, n *node, ctx context.Context) error {
			_, err := lockclient.SweepSessions(ctx, n.Client, theTable)
			return err
		},
		"Locks": func(_ *world, n *node, ctx context.Context) error {
			for _, err := range lockclient.Locks(ctx, n.Client, theTable) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				n := w.node("node")
				always := func(fault wire.Fault) wire.Hook { return func(*wire.Call) wire.Fault { return fault } }

				n.wire.SetHook(always(refusedConnection))
				began := time.Now()
				err := do(w, n, context.Background())
				w.Expect(err).To(MatchError(ContainSubstring("connection refused")))
				w.Expect(time.Since(began)).To(And(BeNumerically(">=", 9*time.Second), BeNumerically("<=", 12*time.Second)))

				ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
				defer cancel()
				err = do(w, n, ctx)
				w.Expect(err).To(MatchError(context.DeadlineExceeded))
				w.Expect(err).To(MatchError(ContainSubstring("connection refused")), "what stood in the way is not hidden behind the deadline")

				n.wire.SetHook(always(wire.Hang()))
				began = time.Now()
				w.Expect(do(w, n, context.Background())).To(MatchError(ContainSubstring("no answer in time")))
				w.Expect(time.Since(began)).To(BeNumerically("<=", 17*time.Second))

				n.wire.SetHook(always(wire.AccessDenied()))
				began = time.Now()
				w.Expect(do(w, n, context.Background())).To(MatchError(lockclient.ErrAccessDenied))
				w.Expect(time.Since(began)).To(BeNumerically("<", time.Second), "permanent errors are returned at once")

				for _, fault := range []wire.Fault{wire.Refuse(), wire.DropReply(), wire.Throttle(), wire.Unavailable(), wire.InternalError()} {
					seen := map[string]bool{}
					n.wire.SetHook(func(c *wire.Call) wire.Fault {
						if seen[c.Operation] {
							return nil
						}
						seen[c.Operation] = true
						return fault
					})
					w.Expect(do(w, n, context.Background())).To(Succeed(), "each operation fails once")
					_, err := w.admin.DeleteTable(&dynamodb.DeleteTableInput{TableName: aws.String("another-table")})
					w.Expect(err == nil || name != "EnsureTable").To(BeTrue(), "%v", err)
				}
			})
		})
	}
}

// The lock's item is one of several: a fault of the caller's own items is not blamed on the lock's
// table.
func TestATransactionThatIsInvalidIsNotBlamedOnTheLock(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		for _, invalid := range []*dynamodb.TransactWriteItem{
			{Delete: &dynamodb.Delete{TableName: aws.String(theTable), Key: map[string]*dynamodb.AttributeValue{"id": s("mine")}}},
			{Put: &dynamodb.Put{TableName: aws.String(theTable), Item: map[string]*dynamodb.AttributeValue{"id": s("mine")}}},
		} {
			_, err := holder.TransactWrite(w.ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{invalid}})
			w.Expect(err).To(MatchError(ContainSubstring("transaction guarded by")))
			w.Expect(err).NotTo(MatchError(lockclient.ErrTableMismatch))
			w.Expect(err).NotTo(MatchError(ContainSubstring("PartitionKeyName")))
			w.Expect(holder.believes()).To(BeTrue())
		}
		holder.wire.SetHook(wire.Every(wire.Other, wire.AccessDenied()))
		_, err := holder.TransactWrite(w.ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{
			{Put: &dynamodb.Put{TableName: aws.String(theTable), Item: key("mine")}},
		}})
		w.Expect(err).To(MatchError(lockclient.ErrAccessDenied))
		w.Expect(err).To(MatchError(ContainSubstring("ConditionCheckItem on the lock's")))
	})
}
