package wire_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// bench is a table with a counter, behind a Wire, in a bubble.
type bench struct {
	*testing.T
	wire    *wire.Wire
	history *wire.History
	client  dynamodbiface.DynamoDBAPI // without the SDK's retries
	admin   dynamodbiface.DynamoDBAPI
}

func inBubble(t *testing.T, do func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		engine := dynamotest.Transport(dynamotest.New())
		b := &bench{T: t, history: wire.NewHistory(engine), admin: wire.NewClient(engine)}
		b.wire = wire.New(b.history)
		b.client = wire.NewClient(b.wire, func(c *aws.Config) { c.MaxRetries = aws.Int(0) })
		if err := lockclient.EnsureTable(context.Background(), b.admin, "locks", lockclient.WithoutTTL()); err != nil {
			t.Fatal(err)
		}
		do(b)
		b.wire.Settle()
	})
}

type reply = *http.Response

var itemKey = map[string]*dynamodb.AttributeValue{"key": {S: aws.String("counter")}}

// add counts one up, within patience.
func (b *bench) add(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := b.client.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{TableName: aws.String("locks"), Key: itemKey,
		UpdateExpression: aws.String("ADD n :one"), ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":one": {N: aws.String("1")}}})
	return err
}

// count is how often the server has counted.
func (b *bench) count(client dynamodbiface.DynamoDBAPI, consistent bool) string {
	b.Helper()
	out, err := client.GetItem(&dynamodb.GetItemInput{TableName: aws.String("locks"), Key: itemKey, ConsistentRead: &consistent})
	if err != nil {
		b.Fatal(err)
	}
	if out.Item["n"] == nil {
		return "0"
	}
	return *out.Item["n"].N
}

func TestEachFaultDoesToClientAndServerWhatItSays(t *testing.T) {
	const patience = time.Second
	for name, c := range map[string]struct {
		fault  wire.Fault
		code   string // that the client gets; "" for success
		counts string // how often the server has counted once everything has settled
	}{
		"none":                          {nil, "", "1"},
		"Refuse":                        {wire.Refuse(), "RequestError", "0"},
		"DropReply":                     {wire.DropReply(), "RequestError", "1"},
		"Hang":                          {wire.Hang(), "RequestCanceled", "0"},
		"Delay within patience":         {wire.Delay(patience / 2), "", "1"},
		"Delay beyond patience":         {wire.Delay(2 * patience), "RequestCanceled", "1"},
		"DelayReply within patience":    {wire.DelayReply(patience / 2), "", "1"},
		"DelayReply beyond patience":    {wire.DelayReply(2 * patience), "RequestCanceled", "1"},
		"Twice":                         {wire.Twice(), "", "2"},
		"Echo at once":                  {wire.Echo(0), "", "2"},
		"Echo later":                    {wire.Echo(time.Hour), "", "2"},
		"CutReply":                      {wire.CutReply(), request.ErrCodeSerialization, "1"},
		"AnswerBody":                    {wire.AnswerBody(502, "text/html", "<html>"), request.ErrCodeSerialization, "0"},
		"Throttle":                      {wire.Throttle(), "ProvisionedThroughputExceededException", "0"},
		"ThrottleAccount":               {wire.ThrottleAccount(), "ThrottlingException", "0"},
		"InternalError":                 {wire.InternalError(), "InternalServerError", "0"},
		"InternalError after delivery":  {wire.AfterDelivery(wire.InternalError()), "InternalServerError", "1"},
		"Unavailable":                   {wire.Unavailable(), "ServiceUnavailable", "0"},
		"ExpiredToken":                  {wire.ExpiredToken(), "ExpiredTokenException", "0"},
		"AccessDenied":                  {wire.AccessDenied(), "AccessDeniedException", "0"},
		"ResourceNotFound":              {wire.ResourceNotFound(), "ResourceNotFoundException", "0"},
		"TransactionConflict":           {wire.TransactionConflict(), "TransactionConflictException", "0"},
		"a hook's own, which delivers":  {func(ctx context.Context, c *wire.Call) (r reply, err error) { return c.Deliver(ctx) }, "", "1"},
		"CancelTransaction, if it were": {wire.CancelTransaction("None", "TransactionConflict"), "TransactionCanceledException", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.wire.SetHook(func(*wire.Call) wire.Fault { return c.fault })
				err := b.add(patience)
				var coded awserr.Error
				switch {
				case c.code == "" && err != nil:
					t.Errorf("the client got %v", err)
				case c.code != "" && (!errors.As(err, &coded) || coded.Code() != c.code):
					t.Errorf("the client got %v, want %s", err, c.code)
				}
				b.wire.Settle()
				if n := b.count(b.admin, true); n != c.counts {
					t.Errorf("the server counted %s, want %s", n, c.counts)
				}
				if sent := b.wire.Count("UpdateItem"); sent != 1 {
					t.Errorf("%d requests left the client", sent)
				}
			})
		})
	}
}

func TestDeafIgnoresTheClientsContext(t *testing.T) {
	inBubble(t, func(b *bench) {
		until := make(chan struct{})
		b.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Deaf(until) })
		time.AfterFunc(time.Hour, func() { close(until) })
		began := time.Now()
		if err := b.add(time.Second); err == nil || time.Since(began) != time.Hour {
			t.Errorf("the call returned %v after %v", err, time.Since(began))
		}
	})
}

func TestTheRequestsAreKeptInOrderAndACallCanBeDeliveredAgain(t *testing.T) {
	inBubble(t, func(b *bench) {
		for range 3 {
			if err := b.add(time.Second); err != nil {
				t.Fatal(err)
			}
		}
		calls := b.wire.Calls()
		if len(calls) != 3 || calls[0].Number != 1 || calls[2].Number != 3 || calls[1].Operation != "UpdateItem" {
			t.Errorf("calls: %v", calls)
		}
		if status := calls[0].Repeat(); status != 200 || b.count(b.admin, true) != "4" {
			t.Errorf("the repeated call was answered with %d, the server counted %s", status, b.count(b.admin, true))
		}
		b.wire.Reset()
		if b.wire.Count("") != 0 {
			t.Error("Reset forgets the calls")
		}
	})
}

func TestMeterAddsUpWhatTheServerSaysItConsumed(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.wire.Meter()
		if err := b.add(time.Second); err != nil {
			t.Fatal(err)
		}
		b.count(b.client, false)
		b.count(b.client, true)
		if got := b.wire.Capacity(); got != (wire.Capacity{Read: 1.5, Write: 1}) {
			t.Errorf("a write, a cheap read and a consistent one: %+v", got)
		}
		_, err := b.client.PutItem(&dynamodb.PutItemInput{TableName: aws.String("locks"), Item: itemKey, ConditionExpression: aws.String("attribute_not_exists(n)")})
		if err == nil || b.wire.Capacity().Write != 2 {
			t.Errorf("a refused write (%v) costs as much as one that succeeds: %+v", err, b.wire.Capacity())
		}
		keys := &dynamodb.KeysAndAttributes{Keys: []map[string]*dynamodb.AttributeValue{itemKey}, ConsistentRead: aws.Bool(true)}
		if _, err := b.client.BatchGetItem(&dynamodb.BatchGetItemInput{RequestItems: map[string]*dynamodb.KeysAndAttributes{"locks": keys}}); err != nil {
			t.Fatal(err)
		}
		if got := b.wire.Capacity().Read; got != 2.5 {
			t.Errorf("a batch of one consistent read more: %v", got)
		}
	})
}

func TestStaleAnswersCheapReadsFromThePastAndConsistentOnesFromThePresent(t *testing.T) {
	inBubble(t, func(b *bench) {
		for range 5 {
			if err := b.add(time.Second); err != nil {
				t.Fatal(err)
			}
		}
		b.wire.SetHook(func(*wire.Call) wire.Fault { return b.history.Stale(2) })
		if past, now := b.count(b.client, false), b.count(b.client, true); past != "3" || now != "5" {
			t.Errorf("two writes ago %s, now %s; want 3 and 5", past, now)
		}
	})
}

// What the lock client sends is told apart by what it would write.
func TestTheStepsOfTheLocksProtocolAreToldApart(t *testing.T) {
	inBubble(t, func(b *bench) {
		for _, deletes := range []bool{false, true} {
			b.wire.Reset()
			holder := &lockclient.DynamoDBLockClient{LockName: "lock", TableName: "locks", LeaseDuration: 3 * time.Second, Client: b.client, DeleteOnRelease: deletes}
			other := &lockclient.DynamoDBLockClient{LockName: "lock", TableName: "locks", LeaseDuration: 3 * time.Second, Client: b.client}
			if held, err := holder.GetLock(); !held {
				t.Fatal(err)
			}
			_, _ = other.GetLock()
			_, _ = other.PollLock(context.Background())
			time.Sleep(1100 * time.Millisecond)
			synctest.Wait()
			if err := holder.AnnounceRelease(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := holder.RemoveLock(); err != nil {
				t.Fatal(err)
			}
			kinds := b.wire.Kinds()
			beats := kinds[wire.Heartbeat]
			want := map[wire.Kind]int{wire.Acquire: 2, wire.Poll: 1, wire.Release: 1, wire.Announce: 1, wire.Heartbeat: beats}
			if beats < 1 || len(kinds) != len(want) || kinds[wire.Acquire] != 2 || kinds[wire.Poll] != 1 || kinds[wire.Release] != 1 {
				t.Errorf("kinds: %v, want %v", kinds, want)
			}
		}
	})
}
