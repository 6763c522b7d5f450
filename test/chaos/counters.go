package chaos

import (
	"context"
	"errors"
	"net/http"
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
		// Of its own: where AWS_CA_BUNDLE is set a session changes the one that it is given.
		HTTPClient: &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()},
	})
	if err != nil {
		return nil, err
	}
	return dynamodb.New(s), nil
}

type transactItem = dynamodb.TransactWriteItem

// once turns the SDK's retries off for a request, so that a refusal is the answer to the only copy of it that there is.
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

// counter reads a counter; one never written stands at 0.
func (s store) counter(ctx context.Context, name string) (int64, error) {
	item, err := s.read(ctx, counterKey+name)
	return numberOf(item["value"]), err
}

// overwrite sets a counter without any condition.
func (s store) overwrite(ctx context.Context, name string, value int64) error {
	item := key(counterKey + name)
	item["value"] = number(value)
	_, err := s.client.PutItemWithContext(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: item}, once)
	return err
}

// fenced is the transaction of one increment: the counter, without a condition of its own, and the receipt.
func (s store) fenced(r Receipt) *dynamodb.TransactWriteItemsInput {
	receipt := key(receiptKey + r.Op)
	receipt["value"], receipt["token"], receipt["process"] = number(r.Value), number(r.Token), &dynamodb.AttributeValue{S: &r.Process}
	return &dynamodb.TransactWriteItemsInput{
		ClientRequestToken: aws.String(uuid.NewString()),
		TransactItems: []*dynamodb.TransactWriteItem{
			{Update: &dynamodb.Update{
				TableName:                 &s.table,
				Key:                       key(counterKey + Fenced),
				UpdateExpression:          aws.String("SET #v = :v"),
				ExpressionAttributeNames:  map[string]*string{"#v": aws.String("value")},
				ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":v": number(r.Value)},
			}},
			{Put: &dynamodb.Put{TableName: &s.table, Item: receipt}},
		},
	}
}

// transact sends a transaction whose last item is the lock's ConditionCheck until an answer says what became of it, or ctx ends.
// All attempts carry one ClientRequestToken, so that it is carried out once.
func (s store) transact(ctx context.Context, in *dynamodb.TransactWriteItemsInput, pause time.Duration) (Outcome, error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, 10*pause)
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
				all = append(all, Receipt{Op: op, Process: aws.StringValue(item["process"].S), Value: numberOf(item["value"]), Token: numberOf(item["token"])})
			}
		}
		return true
	})
	return all, err
}

// certainlyNot reports whether an unconditional write that ended in err has not been and will not be carried out.
func certainlyNot(err error) bool {
	var reply awserr.RequestFailure
	return errors.As(err, &reply) && reply.StatusCode() >= 400 && reply.StatusCode() < 500
}
