package chaos

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/google/uuid"
	"github.com/leaderkit/leaderkit/lockclient"
)

// The items beside the lock in the table.
const (
	counterKey = "counter/"
	receiptKey = "receipt/"
)

// NewClient returns a client of an engine that checks no credentials.
func NewClient(endpoint string) (*dynamodb.DynamoDB, error) {
	s, err := session.NewSession(&aws.Config{
		Endpoint:    &endpoint,
		Region:      aws.String("us-east-1"),
		Credentials: credentials.NewStaticCredentials("chaos", "chaos", ""),
		HTTPClient:  lockclient.NewHTTPClient(),
	})
	if err != nil {
		return nil, err
	}
	return dynamodb.New(s), nil
}

type transactItem = dynamodb.TransactWriteItem

// once turns the SDK's retries off for a request, so that a refusal is the answer to the only copy
// of it that there is.
func once(r *request.Request) { r.Retryer = client.NoOpRetryer{} }

// store is the table, for everything but the lock.
type store struct {
	client *dynamodb.DynamoDB
	table  string
}

func key(name string) map[string]*dynamodb.AttributeValue {
	return map[string]*dynamodb.AttributeValue{"key": {S: &name}}
}

func number(n int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(n, 10))}
}

func numberOf(v *dynamodb.AttributeValue) int64 {
	if v == nil {
		return 0
	}
	n, _ := strconv.ParseInt(aws.StringValue(v.N), 10, 64)
	return n
}

// read is a consistent read of an item; an absent one is empty.
func (s store) read(ctx context.Context, name string) (map[string]*dynamodb.AttributeValue, error) {
	out, err := s.client.GetItemWithContext(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: key(name), ConsistentRead: aws.Bool(true)}, once)
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

// counterOf is the key of one of a lock's counters.
func counterOf(lock, name string) string { return counterKey + lock + "/" + name }

// readAll is read of many items, by name.
func (s store) readAll(ctx context.Context, names []string) (map[string]map[string]*dynamodb.AttributeValue, error) {
	items := map[string]map[string]*dynamodb.AttributeValue{}
	for some := range slices.Chunk(names, 100) {
		keys := make([]map[string]*dynamodb.AttributeValue, len(some))
		for i, name := range some {
			keys[i] = key(name)
		}
		wanted := map[string]*dynamodb.KeysAndAttributes{s.table: {Keys: keys, ConsistentRead: aws.Bool(true)}}
		for len(wanted) > 0 {
			out, err := s.client.BatchGetItemWithContext(ctx, &dynamodb.BatchGetItemInput{RequestItems: wanted}, once)
			if err != nil {
				return nil, err
			}
			for _, item := range out.Responses[s.table] {
				items[aws.StringValue(item["key"].S)] = item
			}
			wanted = out.UnprocessedKeys
		}
	}
	return items, nil
}

// counters reads a counter of many locks.
func (s store) counters(ctx context.Context, locks []string, name string) (Counters, error) {
	keys := make([]string, len(locks))
	for i, lock := range locks {
		keys[i] = counterOf(lock, name)
	}
	items, err := s.readAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	values := Counters{}
	for i, lock := range locks {
		values[lock] = numberOf(items[keys[i]]["value"])
	}
	return values, nil
}

// counter reads a counter of a lock; one never written stands at 0.
func (s store) counter(ctx context.Context, lock, name string) (int64, error) {
	item, err := s.read(ctx, counterOf(lock, name))
	return numberOf(item["value"]), err
}

// overwrite sets a counter without any condition.
func (s store) overwrite(ctx context.Context, lock, name string, value int64) error {
	item := key(counterOf(lock, name))
	item["value"] = number(value)
	_, err := s.client.PutItemWithContext(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: item}, once)
	return err
}

// fenced is the transaction of one increment: the counter, without a condition of its own, and the
// receipt.
func (s store) fenced(r Receipt) *dynamodb.TransactWriteItemsInput {
	receipt := key(receiptKey + r.Op)
	receipt["value"], receipt["token"] = number(r.Value), number(r.Token)
	receipt["process"], receipt["lock"] = &dynamodb.AttributeValue{S: &r.Process}, &dynamodb.AttributeValue{S: &r.Lock}
	return &dynamodb.TransactWriteItemsInput{
		ClientRequestToken: aws.String(uuid.NewString()),
		TransactItems: []*dynamodb.TransactWriteItem{
			{Update: &dynamodb.Update{
				TableName:                 &s.table,
				Key:                       key(counterOf(r.Lock, Fenced)),
				UpdateExpression:          aws.String("SET #v = :v"),
				ExpressionAttributeNames:  map[string]*string{"#v": aws.String("value")},
				ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":v": number(r.Value)},
			}},
			{Put: &dynamodb.Put{TableName: &s.table, Item: receipt}},
		},
	}
}

// transact sends a transaction whose last item is the lock's ConditionCheck until an answer says
// what became of it, or ctx ends. All attempts carry one ClientRequestToken, so that it is carried
// out once. An attempt waits for its answer for as long as given: many that are repeated early
// would keep a busy machine busy.
func (s store) transact(ctx context.Context, in *dynamodb.TransactWriteItemsInput, wait, pause time.Duration) (Outcome, error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, wait)
		_, err := s.client.TransactWriteItemsWithContext(attempt, in, once)
		cancel()
		switch {
		case err == nil:
			return Done, nil
		case lockclient.TransactionError(err, len(in.TransactItems)-1) != nil:
			return Refused, err
		}
		select {
		case <-ctx.Done():
			return Unknown, err
		case <-time.After(pause):
		}
	}
}

// receipts reads all receipts.
func (s store) receipts(ctx context.Context) ([]Receipt, error) {
	var all []Receipt
	err := s.client.ScanPagesWithContext(ctx, &dynamodb.ScanInput{TableName: &s.table, ConsistentRead: aws.Bool(true)}, func(page *dynamodb.ScanOutput, _ bool) bool {
		for _, item := range page.Items {
			if op, ok := strings.CutPrefix(aws.StringValue(item["key"].S), receiptKey); ok {
				all = append(all, Receipt{Op: op, Lock: aws.StringValue(item["lock"].S), Process: aws.StringValue(item["process"].S),
					Value: numberOf(item["value"]), Token: numberOf(item["token"])})
			}
		}
		return true
	})
	return all, err
}

// certainlyNot reports whether an unconditional write that ended in err has not been and will not
// be carried out.
func certainlyNot(err error) bool {
	var reply awserr.RequestFailure
	return errors.As(err, &reply) && reply.StatusCode() >= 400 && reply.StatusCode() < 500
}
