package lockclient

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

func cancelled(codes ...string) error {
	e := &dynamodb.TransactionCanceledException{}
	for _, code := range codes {
		e.CancellationReasons = append(e.CancellationReasons, &dynamodb.CancellationReason{Code: aws.String(code)})
	}
	return e
}

func TestOnlyAFailedCheckOfOursMeansThatTheLockIsLost(t *testing.T) {
	for _, c := range []struct {
		err       error
		lost      bool
		retriable bool
	}{
		{nil, false, false},
		{errors.New("network"), false, false},
		{cancelled(), false, false},
		{cancelled("None"), false, false},
		{cancelled("None", "ConditionalCheckFailed"), true, false},
		{cancelled("ConditionalCheckFailed", "ConditionalCheckFailed"), true, false},
		{cancelled("ConditionalCheckFailed", "None"), false, false},
		{cancelled("None", "TransactionConflict"), false, true},
		{cancelled("TransactionConflict", "ThrottlingError"), false, true},
		{cancelled("ConditionalCheckFailed", "TransactionConflict"), false, false},
		{cancelled("ValidationError", "TransactionConflict"), false, false},
	} {
		if got := TransactionError(c.err, 1); errors.Is(got, ErrLockLost) != c.lost {
			t.Errorf("%v: TransactionError is %v", c.err, got)
		}
		if got := transactionRetriable(c.err); got != c.retriable {
			t.Errorf("%v: retriable is %v", c.err, got)
		}
	}
}

// TestConditionChecksShareNothing: a caller may add names and values of its own to a check,
// whatever others do with theirs.
func TestConditionChecksShareNothing(t *testing.T) {
	c := &DynamoDBLockClient{LockName: "a", TableName: "locks", LeaseDuration: time.Second, Client: &dynamodb.DynamoDB{}}
	d, err := c.driver()
	if err != nil {
		t.Fatal(err)
	}
	one := d.requests.conditionCheck(1)
	one.ExpressionAttributeNames["#mine"] = aws.String("mine")
	one.ExpressionAttributeValues[":mine"] = text("mine")
	one.Key["mine"] = text("mine")
	other := d.requests.conditionCheck(2)
	if other.ExpressionAttributeNames["#mine"] != nil || other.ExpressionAttributeValues[":mine"] != nil || other.Key["mine"] != nil {
		t.Errorf("what one caller adds shows in another's check: %v", other)
	}
	if d.requests.renewing.names["#mine"] != nil {
		t.Error("it shows in the lock's own requests")
	}
}
