package lockclient_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// Acquire a lock, do what only one may do, release it.
func Example() {
	server := dynamotest.NewServer() // in production: dynamodb.New(session.Must(session.NewSession()))
	defer server.Close()
	ctx := context.Background()
	if err := lockclient.EnsureTable(ctx, server.Client(), "locks"); err != nil {
		fmt.Println(err)
		return
	}

	lock := &lockclient.DynamoDBLockClient{
		LockName:      "nightly-report",
		LeaseDuration: 15 * time.Second,
		TableName:     "locks",
		Client:        server.Client(),
	}
	held, err := lock.GetLock()
	fmt.Println("held:", held, err)

	rival := &lockclient.DynamoDBLockClient{
		LockName: "nightly-report", LeaseDuration: 15 * time.Second, TableName: "locks", Client: server.Client(),
	}
	_, err = rival.GetLock()
	fmt.Println("rival refused:", errors.Is(err, lockclient.ErrLockHeld))

	fmt.Println("released:", lock.RemoveLock() == nil)
	held, _ = rival.GetLock()
	fmt.Println("rival held:", held)
	_ = rival.RemoveLock()
	// Output:
	// held: true <nil>
	// rival refused: true
	// released: true
	// rival held: true
}

// Wait until the lock is free, for as long as a context allows.
func ExampleDynamoDBLockClient_WaitForLock() {
	holder, waiter, end := twoClients()
	defer end()
	_, _ = holder.GetLock()

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := waiter.WaitForLock(ctx)
	fmt.Println("too impatient:", errors.Is(err, context.DeadlineExceeded))

	_ = holder.RemoveLock()
	fmt.Println("waited:", waiter.WaitForLock(context.Background()))
	_ = waiter.RemoveLock()
	// Output:
	// too impatient: true
	// waited: <nil>
}

// Be told when a lock is lost, rather than asking.
func ExampleDynamoDBLockClient_Lost() {
	lock, _, end := twoClients()
	defer end()
	_, _ = lock.GetLock()

	lock.StopHeartbeat() // stands in for a partition: nothing is renewed any more
	<-lock.Lost()
	held, err := lock.HasLock()
	fmt.Println(held, errors.Is(err, lockclient.ErrLeaseExpired))
	_ = lock.RemoveLock()
	// Output: false true
}

// Write only if the lock is still held at the moment of the write, whatever happened
// to this process since it last looked.
func ExampleDynamoDBLockClient_TransactWrite() {
	stale, successor, end := twoClients()
	defer end()
	ctx := context.Background()
	_, _ = stale.GetLock()

	deposit := &dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{{Update: &dynamodb.Update{
		TableName:                 aws.String("locks"),
		Key:                       map[string]*dynamodb.AttributeValue{"key": {S: aws.String("account")}},
		UpdateExpression:          aws.String("ADD balance :amount"),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":amount": {N: aws.String("100")}},
	}}}}
	_, err := stale.TransactWrite(ctx, deposit)
	fmt.Println("while held:", err)

	stale.StopHeartbeat()
	_ = successor.WaitForLock(ctx)
	_, err = stale.TransactWrite(ctx, deposit)
	fmt.Println("after the takeover:", errors.Is(err, lockclient.ErrNotHeld))
	_ = successor.RemoveLock()
	// Output:
	// while held: <nil>
	// after the takeover: true
}

// Put the check into a transaction of your own.
func ExampleDynamoDBLockClient_ConditionCheck() {
	lock, _, end := twoClients()
	defer end()
	_, _ = lock.GetLock()

	check, err := lock.ConditionCheck()
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = lock.Client.TransactWriteItems(&dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{
		{ConditionCheck: check},
		{Put: &dynamodb.Put{
			TableName: aws.String("locks"),
			Item:      map[string]*dynamodb.AttributeValue{"key": {S: aws.String("report-2026-11-23")}},
		}},
	}})
	if lost := lockclient.TransactionError(err, 0); lost != nil {
		fmt.Println("not ours any more, and nothing was written:", lost)
		return
	}
	fmt.Println("written:", err == nil)
	_ = lock.RemoveLock()
	// Output: written: true
}

// Stamp what you write with the fencing token, and let the store refuse lower ones.
// Any store that can compare two numbers can do that.
func ExampleDynamoDBLockClient_FencingToken() {
	first, second, end := twoClients()
	defer end()
	write := func(token int64, value string) error {
		_, err := first.Client.UpdateItem(&dynamodb.UpdateItemInput{
			TableName:           aws.String("locks"),
			Key:                 map[string]*dynamodb.AttributeValue{"key": {S: aws.String("document")}},
			ConditionExpression: aws.String("attribute_not_exists(fence) OR fence <= :token"),
			UpdateExpression:    aws.String("SET fence = :token, body = :value"),
			ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
				":token": {N: aws.String(strconv.FormatInt(token, 10))},
				":value": {S: aws.String(value)},
			},
		})
		return err
	}
	_, _ = first.GetLock()
	old, _ := first.FencingToken()
	_ = first.RemoveLock()

	_, _ = second.GetLock()
	token, _ := second.FencingToken()
	fmt.Println("the new holder writes:", write(token, "new") == nil)
	fmt.Println("a late write of the old one is refused:", write(old, "old") != nil)
	_ = second.RemoveLock()
	// Output:
	// the new holder writes: true
	// a late write of the old one is refused: true
}

// twoClients are rivals for one lock, in an in-memory DynamoDB.
func twoClients() (one, two *lockclient.DynamoDBLockClient, end func()) {
	server := dynamotest.NewServer()
	_ = lockclient.EnsureTable(context.Background(), server.Client(), "locks")
	client := func(name string) *lockclient.DynamoDBLockClient {
		return &lockclient.DynamoDBLockClient{
			LockName: "lock", Identifier: name, LeaseDuration: 300 * time.Millisecond, TableName: "locks", Client: server.Client(),
		}
	}
	return client("one"), client("two"), server.Close
}
