package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbattribute"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/aws/aws-sdk-go/service/dynamodb/expression"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// v010 holds a lock by the protocol of dynamodb-lock-client-golang v0.1.0: a goroutine sleeps for a
// heartbeat, and puts the whole record again if it has run out or is its own. It is here for what
// its heartbeat costs on the machine that measures ours.
type v010 struct {
	client           dynamodbiface.DynamoDBAPI
	name, identifier string
	lease            time.Duration
}

func (l *v010) put(ctx context.Context) error {
	now := time.Now()
	is, err := expression.NewBuilder().WithCondition(expression.Or(
		expression.Name("key").NotEqual(expression.Value(l.name)),
		expression.Name("expiry").LessThan(expression.Value(now.UnixNano())),
		expression.Name("identifier").Equal(expression.Value(l.identifier)),
	)).Build()
	if err != nil {
		return err
	}
	item, err := dynamodbattribute.MarshalMap(map[string]any{
		"expiry": now.UnixNano() + int64(l.lease), "key": l.name, "identifier": l.identifier,
	})
	if err != nil {
		return err
	}
	_, err = l.client.PutItemWithContext(ctx, &dynamodb.PutItemInput{
		ConditionExpression: is.Condition(), ExpressionAttributeNames: is.Names(), ExpressionAttributeValues: is.Values(),
		Item: item, TableName: aws.String(table),
	})
	return err
}

// holdLikeV010 is the role: acquire, and see what the heartbeats cost.
func holdLikeV010(c crowd) (Scale, error) {
	client := c.client(c.httpClient())
	if err := lockclient.EnsureTable(context.Background(), client, table); err != nil {
		return Scale{}, err
	}
	locks := make([]v010, c.Locks)
	err := sixtyFour(c.Locks, func(i int) error {
		locks[i] = v010{client: client, name: fmt.Sprintf("lock-%05d", i), identifier: fmt.Sprintf("holder-%05d", i), lease: c.Lease}
		return locks[i].put(context.Background())
	})
	if err != nil {
		return Scale{}, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var beating sync.WaitGroup
	defer beating.Wait()
	defer cancel()
	var sent, failed atomic.Int64
	for i := range locks {
		beating.Go(func() {
			for lease.Sleep(ctx, lease.System(), c.Heartbeat) {
				sent.Add(1)
				if locks[i].put(ctx) != nil && ctx.Err() == nil {
					failed.Add(1)
				}
			}
		})
	}
	pass(2 * c.Heartbeat)
	before, cpu, began := sent.Load(), cpuTime(), time.Now()
	pass(c.Window)
	return Scale{Locks: c.Locks, Lease: c.Lease, Heartbeat: c.Heartbeat, RoundTrip: c.RoundTrip, Window: time.Since(began),
		CPU: cpuTime() - cpu, Sent: int(sent.Load() - before), Failed: int(failed.Load())}, nil
}
