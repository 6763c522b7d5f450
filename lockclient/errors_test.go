package lockclient

import (
	"errors"
	"fmt"
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
