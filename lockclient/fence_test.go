package lockclient

import (
	"errors"
	"testing"

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
