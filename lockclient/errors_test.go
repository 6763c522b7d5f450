package lockclient

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// notSent is the error of a client that knows whether a request has left it.
type notSent bool

func (notSent) Error() string   { return "no credentials just now" }
func (n notSent) NotSent() bool { return bool(n) }

func TestOnlyARefusalOrARequestThatNeverLeftIsCertain(t *testing.T) {
	reply := func(status int) error {
		return awserr.NewRequestFailure(awserr.New("SomeException", "", nil), status, "id")
	}
	invalid := (&dynamodb.GetItemInput{}).Validate()
	for _, c := range []struct {
		err error
		may bool
	}{
		{nil, true},
		{errors.New("connection reset"), true},
		{awserr.New("RequestError", "send request failed", errors.New("EOF")), true},
		{awserr.New("RequestCanceled", "request context canceled", nil), true},
		{reply(400), false},
		{reply(408), true},
		{awserr.NewRequestFailure(awserr.New(dynamodb.ErrCodeTransactionInProgressException, "in progress", nil), 400, "id"), true},
		{reply(500), true},
		{reply(200), true},
		{errNotSent, false},
		{invalid, false},
		{awserr.New("NoCredentialProviders", "no valid providers in chain", nil), false},
		{aws.ErrMissingRegion, false},
		{aws.ErrMissingEndpoint, false},
		{notSent(true), false},
		{fmt.Errorf("wrapped: %w", notSent(true)), false},
		{notSent(false), true},
		// The SDK's batches of errors that are not its own lead to themselves.
		{awserr.NewBatchError("RequestError", "two tries failed", []error{errors.New("one"), errors.New("two")}), true},
	} {
		if got := mayHaveCommitted(c.err); got != c.may {
			t.Errorf("%v: mayHaveCommitted is %v", c.err, got)
		}
	}
}

func TestOnlyAnAnswerThatSaysWhatHappenedIsOne(t *testing.T) {
	reply := func(status int) error {
		return awserr.NewRequestFailure(awserr.New("SomeException", "", nil), status, "id")
	}
	for _, c := range []struct {
		err      error
		answered bool
	}{
		{nil, true},
		{reply(400), true},
		{&dynamodb.ConditionalCheckFailedException{}, true},
		{reply(200), false}, // it could not be read to its end
		{reply(302), false},
		{reply(408), false},
		{reply(500), false},
		{reply(504), false},
		{errors.New("connection reset"), false},
		{errNotSent, false},
	} {
		if got := wasAnswered(c.err); got != c.answered {
			t.Errorf("%v: wasAnswered is %v", c.err, got)
		}
	}
}

// A log line has room for what happened, not for the item that the SDK prints with it, which has
// the lock's Data or the caller's attributes in it.
func TestALostLockIsReportedInOneLineWithoutTheItem(t *testing.T) {
	item := map[string]*dynamodb.AttributeValue{"secret": {S: aws.String("the caller's")}, FenceAttribute: {N: aws.String("9")}}
	refused := &dynamodb.ConditionalCheckFailedException{Message_: aws.String("The conditional request failed"), Item: item}
	cancelled := &dynamodb.TransactionCanceledException{CancellationReasons: []*dynamodb.CancellationReason{
		{Code: aws.String("ConditionalCheckFailed"), Item: item},
	}}
	unreachable := awserr.New("RequestError", "send request failed", errors.New("dial tcp: refused"))
	stamped := &dynamodb.UpdateItemInput{ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{stampValue: {N: aws.String("3")}}}
	expiring := &tenure{rules: &rules{name: "orders"}, fault: unreachable}
	for name, c := range map[string]struct{ err, cause error }{
		"heartbeat":   {lostTo("orders", decodeRecord(nil), refused), refused},
		"transaction": {TransactionError(cancelled, 0), cancelled},
		"stamp":       {StampError(refused, stamped), refused},
		"lease":       {expiring.expired(), unreachable},
	} {
		text := c.err.Error()
		if strings.ContainsAny(text, "\n{") || strings.Contains(text, "secret") {
			t.Errorf("%s: %s", name, text)
		}
		if !errors.Is(c.err, c.cause) {
			t.Errorf("%s: the cause is not in the chain of: %s", name, text)
		}
	}
	if text := expiring.expired().Error(); !strings.Contains(text, "dial tcp: refused") {
		t.Errorf("the reason is not in: %s", text)
	}
}
